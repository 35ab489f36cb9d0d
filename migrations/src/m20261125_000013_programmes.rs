//! What hospitals pay for: programmes, the log of their keys, passes that are spent, and credits.

use sea_orm_migration::{
    prelude::*,
    schema::{binary, boolean, date, integer, json_binary, string, uuid},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("programme")
                    .col(uuid("id").primary_key())
                    .col(binary("public_key").unique_key())
                    .col(string("display_name"))
                    .col(integer("sessions_per_period"))
                    .col(json_binary("durations"))
                    .col(json_binary("modalities"))
                    .col(boolean("late_cancellation_costs"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("key_log")
                    .col(integer("position").primary_key())
                    .col(binary("entry"))
                    .to_owned(),
            )
            .await?;
        let spent_pass = match manager.get_database_backend() {
            DbBackend::Postgres => SPENT_PASS.replace("BINARY", "bytea"),
            // Rows lie by their nullifiers, and not in the order in which they were written.
            _ => SPENT_PASS.replace("BINARY", "blob") + " without rowid",
        };
        manager.get_connection().execute_unprepared(&spent_pass).await?;
        manager
            .create_table(
                Table::create()
                    .table("credit")
                    .col(uuid("id").primary_key())
                    .col(uuid("alias_id"))
                    .col(uuid("programme_id"))
                    .col(date("first_date"))
                    .col(date("last_date"))
                    .foreign_key(&mut reference("alias_id", "alias"))
                    .foreign_key(&mut reference("programme_id", "programme"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(Index::create().name("credit_alias_id").table("credit").col("alias_id").to_owned())
            .await?;
        // SQLite adds no constraint to a table that is there; programmes are not deleted.
        manager
            .alter_table(
                Table::alter()
                    .table("booking")
                    .add_column(ColumnDef::new("programme_id").uuid().null())
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("booking").drop_column("programme_id").to_owned()).await?;
        for table in ["credit", "spent_pass", "key_log", "programme"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// Whatever else were here could be joined with a booking: no alias, no time, no address, no number that counts.
const SPENT_PASS: &str =
    "create table spent_pass (nullifier BINARY not null primary key, key_id BINARY not null)";

fn reference(column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from("credit", column).to(to, "id").on_delete(ForeignKeyAction::Cascade).to_owned()
}
