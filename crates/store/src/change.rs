//! What changed, as the database's triggers wrote it down, for whoever keeps a copy in memory.

use calendar::Span;
use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult, Statement, entity::prelude::*};
use uuid::Uuid;

use crate::{AliasId, Instant, TherapistId};

/// How far a reader has come; what is behind it was seen, and some of what is before it may have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(i64);

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Of what can be booked with a therapist, or of what is told of them.
    Therapist(TherapistId),
    /// A booking came or went.
    Booking {
        /// With whom.
        therapist_id: TherapistId,
        /// Its time, buffers included.
        busy: Span,
        /// Whose; nobody's once the alias is erased.
        alias_id: Option<AliasId>,
    },
    /// Of what is kept of a caller: a token that ended, an alias's settings or roster.
    Caller(Uuid),
    /// An alias was erased; not said which.
    Erased,
}

/// What a reader has not seen, and where to go on.
#[derive(Clone, Debug)]
pub struct Changes {
    /// Each at least once.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub next: Position,
    /// What lies between was thrown away: everything has to be read anew.
    pub gap: bool,
}

/// A reader that has missed more is faster if it reads everything.
const MOST: u64 = 20_000;

/// Where a reader stands that is about to read everything.
pub async fn position(db: &impl ConnectionTrait) -> Result<Position, DbErr> {
    if db.get_database_backend() == DbBackend::Postgres {
        // Left by another cluster whose dump this is: here those transactions are yet to come.
        let left =
            "delete from change where position >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
        db.execute_unprepared(left).await?;
    }
    let next = next(db.get_database_backend());
    let statement = Statement::from_string(db.get_database_backend(), format!("select {next} as next"));
    let row = db.query_one_raw(statement).await?.ok_or(DbErr::RecordNotFound("position".to_owned()))?;
    Ok(Position(row.try_get("", "next")?))
}

/// What changed since, in one statement. Asked again with the same position, it says the same and more.
pub async fn since(db: &impl ConnectionTrait, Position(after): Position) -> Result<Changes, DbErr> {
    let backend = db.get_database_backend();
    let text = format!(
        "select now.next, now.oldest, change.there, change.therapist_id, change.busy_from, change.busy_until, change.caller_id
         from (select {} as next, (select min(position) from change) as oldest) now
         left join (
            select distinct 1 as there, therapist_id, busy_from, busy_until, caller_id
            from change where position >= $1 limit {}
         ) change on true",
        next(backend),
        MOST + 1
    );
    let rows =
        Row::find_by_statement(Statement::from_sql_and_values(backend, text, [after.into()])).all(db).await?;
    let changes: Vec<Change> = rows.iter().filter_map(Row::change).collect();
    let (next, oldest) = rows.first().map_or((after, None), |row| (row.next, row.oldest));
    let gap = changes.len() as u64 > MOST || (oldest.is_some_and(|oldest| oldest > after) && next > after);
    Ok(Changes { changes, next: Position(next), gap })
}

/// Forgets what changed before, but for the latest change: whoever has not seen that has missed something.
pub async fn forget(db: &impl ConnectionTrait, Position(before): Position) -> Result<(), DbErr> {
    let text = "delete from change where position < $1 and position < (select max(position) from change)";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), text, [before.into()]);
    db.execute_raw(statement).await.map(|_| ())
}

/// Takes an alias that is about to be erased out of what is written down. The rows stay, as [`Changes::gap`] is told by
/// the oldest, and so that somebody is gone.
pub async fn forget_alias(tx: &impl ConnectionTrait, AliasId(id): AliasId) -> Result<(), DbErr> {
    let text = "update change set caller_id = null where caller_id = $1";
    tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), text, [id.into()])).await?;
    Ok(())
}

/// Takes back what a transaction that has written nothing else wrote down since it stood at `since`: it is no news.
pub async fn take_back(tx: &DatabaseTransaction, Position(since): Position) -> Result<(), DbErr> {
    let backend = tx.get_database_backend();
    let statement = match backend {
        DbBackend::Postgres => Statement::from_string(
            backend,
            "delete from change where position = pg_current_xact_id()::text::bigint",
        ),
        _ => {
            Statement::from_sql_and_values(backend, "delete from change where position >= $1", [since.into()])
        }
    };
    tx.execute_raw(statement).await.map(|_| ())
}

/// Tells other servers of the same database that something changed; what they hear sooner or later anyway.
pub async fn announce(db: &impl ConnectionTrait) -> Result<(), DbErr> {
    match db.get_database_backend() {
        DbBackend::Postgres => db.execute_unprepared(&format!("notify {CHANNEL}")).await.map(|_| ()),
        _ => Ok(()),
    }
}

/// Where PostgreSQL carries the word.
pub(crate) const CHANNEL: &str = "respite_change";

/// The position of whoever has seen all there is. On PostgreSQL transactions that are still open keep it back, as theirs
/// may have smaller numbers than what is there; on SQLite one ends before the next begins.
fn next(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "pg_snapshot_xmin(pg_current_snapshot())::text::bigint",
        _ => "(select coalesce(max(position), 0) + 1 from change)",
    }
}

#[derive(FromQueryResult)]
struct Row {
    next: i64,
    oldest: Option<i64>,
    /// Nothing in the one row that comes when nothing changed.
    there: Option<i32>,
    therapist_id: Option<TherapistId>,
    busy_from: Option<Instant>,
    busy_until: Option<Instant>,
    caller_id: Option<Uuid>,
}

impl Row {
    fn change(&self) -> Option<Change> {
        self.there?;
        let Some(therapist_id) = self.therapist_id else {
            return Some(self.caller_id.map_or(Change::Erased, Change::Caller));
        };
        let Some((from, until)) = self.busy_from.zip(self.busy_until) else {
            return Some(Change::Therapist(therapist_id));
        };
        let busy = Span::new(from.into(), until.into())?;
        Some(Change::Booking { therapist_id, busy, alias_id: self.caller_id.map(AliasId) })
    }
}
