//! How the database's schema stands to this program's.

use migrations::{Migrator, MigratorTrait};
use sea_orm::{DatabaseConnection, EntityTrait, QueryOrder};
use sea_orm_migration::{SchemaManager, seaql_migrations};

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
    /// A newer program moved it on, and this one cannot know what to.
    Ahead {
        /// The steps it does not know, the oldest first.
        unknown: Vec<String>,
    },
}

/// Asks the database, and changes nothing.
pub async fn of(db: &DatabaseConnection) -> Result<Schema, store::Error> {
    let made: Vec<String> = if SchemaManager::new(db).has_table(STEPS).await? {
        let steps = seaql_migrations::Entity::find().order_by_asc(seaql_migrations::Column::Version);
        steps.all(db).await?.into_iter().map(|step| step.version).collect()
    } else {
        Vec::new()
    };
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    let unknown: Vec<String> = made.iter().filter(|name| !known.contains(name)).cloned().collect();
    if !unknown.is_empty() {
        return Ok(Schema::Ahead { unknown });
    }
    let pending: Vec<String> = known.iter().filter(|name| !made.contains(name)).cloned().collect();
    if !pending.is_empty() {
        return Ok(Schema::Behind { pending });
    }
    Ok(Schema::Current { last: known.last().cloned().unwrap_or_default() })
}

/// The migrator's table.
const STEPS: &str = "seaql_migrations";
