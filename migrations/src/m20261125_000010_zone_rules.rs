//! What new zone rules mean for bookings to come, and against which rules those were checked.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, integer, string, uuid, uuid_null},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("zone_check")
                    .col(integer("id").primary_key())
                    .col(string("version"))
                    .col(big_integer("checked_at"))
                    .col(uuid_null("claimed_by"))
                    .col(big_integer("claimed_until"))
                    .to_owned(),
            )
            .await?;
        // Nothing was ever checked.
        let row = "insert into zone_check (id, version, checked_at, claimed_until) values (1, '', 0, 0)";
        manager.get_connection().execute_unprepared(row).await?;
        let mut of_booking = ForeignKey::create()
            .from("zone_change", "booking_id")
            .to("booking", "id")
            .on_delete(ForeignKeyAction::Cascade)
            .to_owned();
        manager
            .create_table(
                Table::create()
                    .table("zone_change")
                    .col(uuid("booking_id").primary_key())
                    .col(string("version"))
                    .col(string("time_zone"))
                    .col(big_integer("old_start"))
                    .col(big_integer("new_start"))
                    .col(string("outcome"))
                    .foreign_key(&mut of_booking)
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["zone_change", "zone_check"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}
