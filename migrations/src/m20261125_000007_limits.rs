//! How much a therapist takes on, and what time is kept from being booked.

use sea_orm_migration::{
    prelude::*,
    schema::{integer, json_binary},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in columns() {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in columns().into_iter().rev() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(name).to_owned()).await?;
        }
        Ok(())
    }
}

/// Whoever said nothing is limited by nothing, protects nothing, and an ordinary session weighs one.
fn columns() -> [(&'static str, ColumnDef); 4] {
    [
        ("schedule", json_binary("limits").default("{}").take()),
        ("schedule", json_binary("protected_windows").default("[]").take()),
        ("schedule", json_binary("protected_dates").default("[]").take()),
        ("session_type", integer("load_weight").default(1).take()),
    ]
}
