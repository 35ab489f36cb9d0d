//! Therapists, their credentials, and when they work.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, boolean, date, integer, json_binary, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
#[expect(clippy::too_many_lines, reason = "a schema is read in one piece")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("therapist")
                    .col(uuid("id").primary_key())
                    .col(binary("public_key").unique_key())
                    .col(boolean("accepts_new_clients"))
                    .col(json_binary("profile"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("credential")
                    .col(uuid("id").primary_key())
                    .col(uuid("therapist_id"))
                    .col(string("taxonomy_code"))
                    .col(string("licence_number"))
                    .col(json_binary("jurisdictions"))
                    .col(date("expires_on"))
                    .col(boolean("verified"))
                    .foreign_key(&mut of_therapist("credential"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("schedule")
                    .col(uuid("therapist_id").primary_key())
                    .col(string("time_zone"))
                    .col(json_binary("windows"))
                    .col(json_binary("travels"))
                    .col(integer("notice_minutes"))
                    .col(json_binary("horizon"))
                    .foreign_key(&mut of_therapist("schedule"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("session_type")
                    .col(uuid("id").primary_key())
                    .col(uuid("therapist_id"))
                    .col(string("display_name"))
                    .col(integer("duration_minutes"))
                    .col(integer("buffer_before_minutes"))
                    .col(integer("buffer_after_minutes"))
                    .col(integer("grid_interval_minutes"))
                    .col(integer("grid_offset_minutes"))
                    .col(json_binary("modalities"))
                    .col(boolean("withdrawn"))
                    .foreign_key(&mut of_therapist("session_type"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("date_override")
                    .col(uuid("id").primary_key())
                    .col(uuid("therapist_id"))
                    .col(date("date"))
                    .col(string("kind"))
                    .col(json_binary("windows"))
                    .foreign_key(&mut of_therapist("date_override"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("time_off")
                    .col(uuid("id").primary_key())
                    .col(uuid("therapist_id"))
                    .col(big_integer("starts_at"))
                    .col(big_integer("ends_at"))
                    .foreign_key(&mut of_therapist("time_off"))
                    .check(Expr::col("starts_at").lt(Expr::col("ends_at")))
                    .to_owned(),
            )
            .await?;
        for table in ["credential", "session_type", "time_off"] {
            let name = format!("{table}_therapist_id");
            manager
                .create_index(Index::create().name(name).table(table).col("therapist_id").to_owned())
                .await?;
        }
        manager
            .create_index(
                Index::create()
                    .name("date_override_therapist_id_date")
                    .table("date_override")
                    .col("therapist_id")
                    .col("date")
                    .unique()
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["time_off", "date_override", "session_type", "schedule", "credential", "therapist"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn of_therapist(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(table, "therapist_id")
        .to("therapist", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}
