//! Calendars that are fetched again and again.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, integer, uuid, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut of_alias = ForeignKey::create()
            .from("feed", "alias_id")
            .to("alias", "id")
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        manager
            .create_table(
                Table::create()
                    .table("feed")
                    .col(uuid("id").primary_key())
                    // Whose roster it is; a column for another owner may stand beside it.
                    .col(uuid_null("alias_id").unique_key())
                    .col(binary("sealed"))
                    .col(integer("failures"))
                    .col(big_integer("next_attempt_at"))
                    .foreign_key(&mut of_alias)
                    .to_owned(),
            )
            .await?;
        let due =
            Index::create().name("feed_next_attempt_at").table("feed").col("next_attempt_at").to_owned();
        manager.create_index(due).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("feed").to_owned()).await
    }
}
