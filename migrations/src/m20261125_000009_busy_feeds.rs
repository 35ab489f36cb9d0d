//! Calendars elsewhere that keep therapists busy, how it stands with every feed, and how often somebody has one fetched.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, json_binary, string, uuid},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in STATE {
            let column = big_integer_null(column).take();
            manager.alter_table(Table::alter().table("feed").add_column(column).to_owned()).await?;
        }
        let mut of_feed =
            ForeignKey::create().from("busy_feed", "id").to("feed", "id").on_delete(CASCADE).to_owned();
        let mut of_therapist = ForeignKey::create()
            .from("busy_feed", "therapist_id")
            .to("therapist", "id")
            .on_delete(CASCADE)
            .to_owned();
        let busy_feed = Table::create()
            .table("busy_feed")
            .col(uuid("id").primary_key())
            .col(uuid("therapist_id"))
            .col(string("display_name"))
            // Whole, since it is only ever read and replaced whole: a change of it is one change of the therapist.
            .col(json_binary("busy"))
            .foreign_key(&mut of_feed)
            .foreign_key(&mut of_therapist)
            .to_owned();
        manager.create_table(busy_feed).await?;
        let by_therapist =
            Index::create().name("busy_feed_therapist_id").table("busy_feed").col("therapist_id").to_owned();
        manager.create_index(by_therapist).await?;
        let fetch_turn = Table::create()
            .table("fetch_turn")
            .col(uuid("caller_id").primary_key())
            .col(big_integer("used_until"))
            .to_owned();
        manager.create_table(fetch_turn).await?;
        let triggers = if manager.get_database_backend() == DbBackend::Postgres { POSTGRES } else { SQLITE };
        for trigger in triggers {
            manager.get_connection().execute_unprepared(trigger).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Its triggers go with it.
        for table in ["fetch_turn", "busy_feed"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        // What is left of a feed of nobody's roster could never be read again.
        manager.get_connection().execute_unprepared("delete from feed where alias_id is null").await?;
        for column in STATE {
            manager.alter_table(Table::alter().table("feed").drop_column(column).to_owned()).await?;
        }
        Ok(())
    }
}

/// When a feed was last fetched, and since when it cannot be.
const STATE: [&str; 2] = ["fetched_at", "failing_since"];

const CASCADE: ForeignKeyAction = ForeignKeyAction::Cascade;

/// Whoever keeps therapists in memory hears of what they are busy with, and not of every fetch that changed nothing.
const POSTGRES: &[&str] = &[
    "create trigger busy_feed_changed after insert or delete on busy_feed
     for each row execute function therapist_part_changed()",
    "create trigger busy_feed_changed_update after update on busy_feed
     for each row when (new.busy is distinct from old.busy) execute function therapist_part_changed()",
];

const SQLITE: &[&str] = &[
    "create trigger busy_feed_changed_insert after insert on busy_feed
     begin update therapist set revision = revision + 1 where id = new.therapist_id; end",
    "create trigger busy_feed_changed_update after update on busy_feed when new.busy is not old.busy
     begin update therapist set revision = revision + 1 where id = new.therapist_id; end",
    "create trigger busy_feed_changed_delete after delete on busy_feed
     begin update therapist set revision = revision + 1 where id = old.therapist_id; end",
];
