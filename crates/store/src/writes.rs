//! Writes that nobody reads in between, sent together.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, IntoActiveModel,
    QueryTrait, Statement,
    sea_query::{
        CommonTableExpression, InsertStatement, SqliteQueryBuilder, SubQueryStatement, UpdateStatement,
        WithClause,
    },
};

/// What a transaction writes at its end, in one trip to the database instead of one each.
///
/// No two of them may touch the same row: PostgreSQL keeps to no order within one statement.
#[derive(Default)]
pub struct Writes(Vec<Write>);

enum Write {
    Insert(InsertStatement),
    Update(UpdateStatement),
}

impl std::fmt::Debug for Writes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writes({})", self.0.len())
    }
}

impl Writes {
    /// A new row.
    pub fn insert<A: ActiveModelTrait>(&mut self, row: impl IntoActiveModel<A>) {
        self.insert_by(A::Entity::insert(row.into_active_model()).into_query());
    }

    /// A new row that is computed.
    pub fn insert_by(&mut self, statement: InsertStatement) {
        self.0.push(Write::Insert(statement));
    }

    /// A change of rows.
    pub fn update(&mut self, statement: UpdateStatement) {
        self.0.push(Write::Update(statement));
    }

    /// Sends them: to PostgreSQL as parts of one statement, to SQLite, which knows no such parts, as one text.
    pub async fn send(self, tx: &DatabaseTransaction) -> Result<(), DbErr> {
        let Self(mut writes) = self;
        let Some(last) = writes.pop() else { return Ok(()) };
        if tx.get_database_backend() == DbBackend::Sqlite {
            writes.push(last);
            return tx.execute_raw(one_text(&writes)).await.map(|_| ());
        }
        let statement = match (writes.is_empty(), last) {
            (true, Write::Insert(only)) => tx.execute(&only).await,
            (true, Write::Update(only)) => tx.execute(&only).await,
            (false, last) => tx.execute(&parts(writes).query(last)).await,
        };
        statement.map(|_| ())
    }
}

impl From<Write> for SubQueryStatement {
    fn from(write: Write) -> Self {
        match write {
            Write::Insert(statement) => Self::InsertStatement(statement),
            Write::Update(statement) => Self::UpdateStatement(statement),
        }
    }
}

fn parts(writes: Vec<Write>) -> WithClause {
    let mut clause = WithClause::new();
    for (index, write) in writes.into_iter().enumerate() {
        clause.cte(CommonTableExpression::new().table_name(format!("write_{index}")).query(write).to_owned());
    }
    clause
}

fn one_text(writes: &[Write]) -> Statement {
    let (mut text, mut values) = (String::new(), Vec::new());
    for write in writes {
        let (statement, bound) = match write {
            Write::Insert(statement) => statement.build(SqliteQueryBuilder),
            Write::Update(statement) => statement.build(SqliteQueryBuilder),
        };
        text.push_str(&statement);
        text.push(';');
        values.extend(bound);
    }
    Statement::from_sql_and_values(DbBackend::Sqlite, text, values)
}
