//! Who may read a contact in an emergency, and the worker's own log of what was opened.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary, uuid, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("emergency_access")
                    .col(uuid("id").primary_key())
                    .col(uuid("booking_id"))
                    .col(uuid("requested_by"))
                    .col(big_integer("requested_at"))
                    .col(uuid_null("approved_by"))
                    .col(big_integer("expires_at"))
                    .col(big_integer_null("read_at"))
                    // Two people, whatever a server that was tampered with may write.
                    .check(Expr::cust("approved_by <> requested_by"))
                    .check(Expr::cust("read_at is null or approved_by is not null"))
                    .foreign_key(&mut reference("emergency_access", "booking_id", "booking"))
                    // An operator who is removed takes along what they asked for, and what they agreed to.
                    .foreign_key(&mut reference("emergency_access", "requested_by", "operator"))
                    .foreign_key(&mut reference("emergency_access", "approved_by", "operator"))
                    .to_owned(),
            )
            .await?;
        for column in ["booking_id", "requested_by"] {
            let index = Index::create()
                .name(format!("emergency_access_{column}"))
                .table("emergency_access")
                .col(column)
                .to_owned();
            manager.create_index(index).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("access_log")
                    .col(uuid("alias_id").primary_key())
                    .col(binary("sealed"))
                    .foreign_key(&mut reference("access_log", "alias_id", "alias"))
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["access_log", "emergency_access"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn reference(table: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(to, "id").on_delete(ForeignKeyAction::Cascade).to_owned()
}
