//! Whom an identity provider's word signs in.

use sea_orm_migration::{
    prelude::*,
    schema::{binary, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No alias is signed in by anything but its own key, whatever a program says.
        let staff = Expr::col("staff_kind").is_in(["therapist", "operator", "manager"]);
        manager
            .create_table(
                Table::create()
                    .table("staff_identity")
                    .col(binary("hash").primary_key())
                    .col(string("staff_kind").check(staff))
                    .col(uuid("staff_id").unique_key())
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("staff_identity").to_owned()).await
    }
}
