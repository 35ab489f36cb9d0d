//! How the database's schema stands to this program's.

use migrations::{Migrator, MigratorTrait};
use sea_orm::{DatabaseConnection, DbErr};

/// Where a database's schema is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// Where this program wants it.
    Current {
        /// The last step.
        last: String,
    },
    /// It lacks steps.
    Behind {
        /// Their names, the oldest first.
        pending: Vec<String>,
    },
    /// A newer program moved it on; steps only add, so this one still works.
    Ahead,
}

/// Asks the database, and changes nothing.
pub async fn of(db: &DatabaseConnection) -> Result<Schema, store::Error> {
    let steps = match Migrator::get_pending_migrations_read_only(db).await {
        Ok(steps) => steps,
        // The migrator's word for steps it does not know.
        Err(DbErr::Custom(_)) => return Ok(Schema::Ahead),
        Err(error) => return Err(error.into()),
    };
    if steps.is_empty() {
        let last = Migrator::migrations().last().map(|step| step.name().to_owned()).unwrap_or_default();
        return Ok(Schema::Current { last });
    }
    Ok(Schema::Behind { pending: steps.iter().map(|step| step.name().to_owned()).collect() })
}
