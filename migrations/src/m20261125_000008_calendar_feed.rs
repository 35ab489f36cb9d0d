//! Calendars that therapists publish, by the hashes of their secrets.

use sea_orm_migration::{
    prelude::*,
    schema::{binary, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut of_therapist = ForeignKey::create()
            .from("calendar_feed", "therapist_id")
            .to("therapist", "id")
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        let table = Table::create()
            .table("calendar_feed")
            .col(uuid("therapist_id").primary_key())
            .col(binary("hash").unique_key())
            .foreign_key(&mut of_therapist)
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("calendar_feed").to_owned()).await
    }
}
