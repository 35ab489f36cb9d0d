//! What hospitals are told of their programmes, and how many people a programme is for.

use sea_orm_migration::{
    prelude::*,
    schema::{integer, integer_null, json_binary, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Of programmes that are there it is not known, and so nothing is told of them.
        let eligible = integer("eligible_workers").default(0).to_owned();
        manager.alter_table(Table::alter().table("programme").add_column(eligible).to_owned()).await?;
        manager
            .create_table(
                Table::create()
                    .table("report")
                    .col(uuid("programme_id"))
                    .col(integer("year"))
                    .col(integer("quarter"))
                    .col(integer_null("sessions"))
                    .col(json_binary("year_by_modality"))
                    .primary_key(Index::create().col("programme_id").col("year").col("quarter"))
                    .foreign_key(
                        ForeignKey::create()
                            .from("report", "programme_id")
                            .to("programme", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("report").to_owned()).await?;
        manager
            .alter_table(Table::alter().table("programme").drop_column("eligible_workers").to_owned())
            .await
    }
}
