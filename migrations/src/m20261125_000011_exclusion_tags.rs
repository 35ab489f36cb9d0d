//! What aliases must not meet, as keyed hashes.

use sea_orm_migration::{prelude::*, schema::binary, sea_orm::DbBackend};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let nothing = if postgres { "''::bytea" } else { "x''" };
        let tags = binary("exclusion_tags").default(Expr::cust(nothing)).to_owned();
        manager.alter_table(Table::alter().table("alias").add_column(tags).to_owned()).await?;
        for statement in if postgres { POSTGRES.as_slice() } else { SQLITE.as_slice() } {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        for statement in if postgres { POSTGRES_DROPS.as_slice() } else { SQLITE_DROPS.as_slice() } {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        manager.alter_table(Table::alter().table("alias").drop_column("exclusion_tags").to_owned()).await
    }
}

/// Whoever keeps a copy of bookings keeps their aliases' tags with them. An alias has few bookings, and those that are
/// over cost a look.
const POSTGRES: [&str; 2] = [
    "create function alias_tags_changed() returns trigger language plpgsql as $$
     begin
        insert into change (therapist_id, busy_from, busy_until)
        select therapist_id, busy_from, busy_until from booking where alias_id = new.id and occupies;
        return null;
     end $$",
    "create trigger alias_tags_changed after update of exclusion_tags on alias
     for each row when (old.exclusion_tags <> new.exclusion_tags) execute function alias_tags_changed()",
];
const POSTGRES_DROPS: [&str; 2] =
    ["drop trigger alias_tags_changed on alias", "drop function alias_tags_changed()"];
const SQLITE: [&str; 1] = ["create trigger alias_tags_changed after update of exclusion_tags on alias
     when old.exclusion_tags <> new.exclusion_tags
     begin
        insert into change (therapist_id, busy_from, busy_until)
        select therapist_id, busy_from, busy_until from booking where alias_id = new.id and occupies;
     end"];
const SQLITE_DROPS: [&str; 1] = ["drop trigger alias_tags_changed"];
