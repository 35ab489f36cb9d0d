//! The schema, step by step, on SQLite and on PostgreSQL.
//!
//! **Invariant:** entities are never imported here: a step says what the schema was at its time, and stays
//! so when the entities move on.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261123_000001_directory;
mod m20261123_000002_aliases;
mod m20261123_000003_bookings;
mod m20261125_000004_changes;
mod m20261125_000006_feeds;
mod m20261125_000007_limits;
mod m20261125_000008_calendar_feed;
mod m20261125_000009_busy_feeds;
mod m20261125_000010_zone_rules;
mod m20261125_000011_exclusion_tags;
mod m20261125_000012_callers;
mod m20261125_000013_programmes;
mod m20261125_000015_audit;
mod m20261125_000017_notes;
mod m20261125_000021_reports;
mod m20261126_000001_emergency_access;
mod m20261126_000002_staff_identity;

/// Every step, the oldest first.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_directory::Migration),
            Box::new(m20261123_000002_aliases::Migration),
            Box::new(m20261123_000003_bookings::Migration),
            Box::new(m20261125_000004_changes::Migration),
            Box::new(m20261125_000006_feeds::Migration),
            Box::new(m20261125_000007_limits::Migration),
            Box::new(m20261125_000008_calendar_feed::Migration),
            Box::new(m20261125_000009_busy_feeds::Migration),
            Box::new(m20261125_000010_zone_rules::Migration),
            Box::new(m20261125_000011_exclusion_tags::Migration),
            Box::new(m20261125_000012_callers::Migration),
            Box::new(m20261125_000013_programmes::Migration),
            Box::new(m20261125_000015_audit::Migration),
            Box::new(m20261125_000017_notes::Migration),
            Box::new(m20261125_000021_reports::Migration),
            Box::new(m20261126_000001_emergency_access::Migration),
            Box::new(m20261126_000002_staff_identity::Migration),
        ]
    }
}

/// Moves the schema up to `Migrator`'s last step.
///
/// On PostgreSQL several servers may do this at once: an advisory lock lets one of them work and the others
/// find it done.
pub async fn up(db: &sea_orm_migration::sea_orm::DatabaseConnection) -> Result<(), DbErr> {
    use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, TransactionTrait};

    /// Any number that no other program takes on this database.
    const LOCK: &str = "select pg_advisory_xact_lock(7246337)";

    if db.get_database_backend() != DbBackend::Postgres {
        return Migrator::up(db, None).await;
    }
    let guard = db.begin().await?;
    guard.execute_unprepared(LOCK).await?;
    Migrator::up(db, None).await?;
    guard.commit().await
}
