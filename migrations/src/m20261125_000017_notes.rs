//! Notes from device to device, and the keys of the devices that they are sealed to.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("device_key")
                    .col(uuid("id").primary_key())
                    .col(uuid("therapist_id"))
                    .col(binary("public_key"))
                    .col(binary("signature"))
                    .col(big_integer("expires_at"))
                    .foreign_key(&mut reference("device_key", "therapist_id", "therapist"))
                    .to_owned(),
            )
            .await?;
        let by_therapist = Index::create()
            .name("device_key_therapist_id")
            .table("device_key")
            .col("therapist_id")
            .to_owned();
        manager.create_index(by_therapist).await?;
        // It names the booking alone. A reference to the alias would make a therapist who writes wait for whoever erases
        // it, who waits for the therapist.
        manager
            .create_table(
                Table::create()
                    .table("note")
                    .col(uuid("booking_id"))
                    .col(string("kind"))
                    .col(binary("sealed"))
                    .primary_key(Index::create().col("booking_id").col("kind"))
                    .foreign_key(&mut reference("note", "booking_id", "booking"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["note", "device_key"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn reference(table: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(to, "id").on_delete(ForeignKeyAction::Cascade).to_owned()
}
