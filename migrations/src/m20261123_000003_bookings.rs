//! Bookings, which the database itself keeps from overlapping, their history, and reminders.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, boolean, integer, string, uuid, uuid_null},
    sea_orm::DbBackend,
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
                    .table("booking")
                    .col(uuid("id").primary_key())
                    .col(uuid("therapist_id"))
                    // Empty once the alias is erased: the time stays taken, by nobody.
                    .col(uuid_null("alias_id"))
                    .col(uuid("session_type_id"))
                    .col(string("state"))
                    .col(boolean("occupies"))
                    .col(big_integer("starts_at"))
                    .col(big_integer("ends_at"))
                    .col(big_integer("busy_from"))
                    .col(big_integer("busy_until"))
                    .col(string("local_start"))
                    .col(string("time_zone"))
                    .col(string("modality"))
                    .col(big_integer_null("hold_expires_at"))
                    .col(boolean("late_cancellation"))
                    .foreign_key(&mut reference("booking", "therapist_id", "therapist"))
                    .foreign_key(&mut reference("booking", "session_type_id", "session_type"))
                    .foreign_key(
                        reference("booking", "alias_id", "alias").on_delete(ForeignKeyAction::SetNull),
                    )
                    .check(Expr::cust(
                        "busy_from <= starts_at and starts_at < ends_at and ends_at <= busy_until",
                    ))
                    .to_owned(),
            )
            .await?;
        for owner in ["therapist_id", "alias_id"] {
            manager
                .create_index(
                    Index::create()
                        .name(format!("booking_{owner}_starts_at"))
                        .table("booking")
                        .col(owner)
                        .col("starts_at")
                        .to_owned(),
                )
                .await?;
        }
        manager
            .create_index(
                Index::create().name("booking_starts_at").table("booking").col("starts_at").to_owned(),
            )
            .await?;
        for column in ["ends_at", "hold_expires_at"] {
            manager
                .get_connection()
                .execute_unprepared(&format!(
                    "create index booking_{column} on booking ({column}) where {column} is not null"
                ))
                .await?;
        }
        for statement in match manager.get_database_backend() {
            DbBackend::Postgres => EXCLUSIONS.as_slice(),
            _ => TRIGGERS.as_slice(),
        } {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("booking_event")
                    .col(uuid("booking_id"))
                    .col(integer("sequence"))
                    .col(big_integer("at"))
                    .col(string("state"))
                    .col(string("actor"))
                    .col(boolean("rescheduled"))
                    .primary_key(Index::create().col("booking_id").col("sequence"))
                    .foreign_key(
                        reference("booking_event", "booking_id", "booking")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("reminder")
                    .col(uuid("id").primary_key())
                    .col(uuid("alias_id"))
                    // Empty for a code that confirms a contact.
                    .col(uuid_null("booking_id"))
                    .col(string("kind"))
                    .col(integer("lead_minutes"))
                    .col(big_integer("due_at"))
                    .col(string("state"))
                    .col(integer("attempts"))
                    .col(big_integer("next_attempt_at"))
                    .foreign_key(
                        reference("reminder", "alias_id", "alias").on_delete(ForeignKeyAction::Cascade),
                    )
                    .foreign_key(
                        reference("reminder", "booking_id", "booking").on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("reminder_booking_id_kind_lead_minutes")
                    .table("reminder")
                    .col("booking_id")
                    .col("kind")
                    .col("lead_minutes")
                    .unique()
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create().name("reminder_alias_id").table("reminder").col("alias_id").to_owned(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared(
                "create index reminder_next_attempt_at on reminder (next_attempt_at) where state = 'planned'",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["reminder", "booking_event", "booking"] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

/// B2 on PostgreSQL.
const EXCLUSIONS: [&str; 3] = [
    "create extension if not exists btree_gist",
    "alter table booking add constraint booking_therapist_overlap
        exclude using gist (therapist_id with =, int8range(busy_from, busy_until) with &&) where (occupies)",
    "alter table booking add constraint booking_alias_overlap
        exclude using gist (alias_id with =, int8range(busy_from, busy_until) with &&) where (occupies)",
];

/// B2 on SQLite, whose one writer at a time makes a trigger enough.
const TRIGGERS: [&str; 4] = [
    "create trigger booking_therapist_overlap_insert before insert on booking when new.occupies
     begin
        select raise(abort, 'booking_therapist_overlap') where exists (
            select 1 from booking where occupies and therapist_id = new.therapist_id
            and busy_from < new.busy_until and new.busy_from < busy_until);
     end",
    "create trigger booking_therapist_overlap_update
     before update of therapist_id, occupies, busy_from, busy_until on booking when new.occupies
     begin
        select raise(abort, 'booking_therapist_overlap') where exists (
            select 1 from booking where occupies and therapist_id = new.therapist_id and id <> new.id
            and busy_from < new.busy_until and new.busy_from < busy_until);
     end",
    "create trigger booking_alias_overlap_insert before insert on booking when new.occupies
     begin
        select raise(abort, 'booking_alias_overlap') where exists (
            select 1 from booking where occupies and alias_id = new.alias_id
            and busy_from < new.busy_until and new.busy_from < busy_until);
     end",
    "create trigger booking_alias_overlap_update
     before update of alias_id, occupies, busy_from, busy_until on booking when new.occupies
     begin
        select raise(abort, 'booking_alias_overlap') where exists (
            select 1 from booking where occupies and alias_id = new.alias_id and id <> new.id
            and busy_from < new.busy_until and new.busy_from < busy_until);
     end",
];

fn reference(table: &'static str, column: &'static str, to: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create().from(table, column).to(to, "id").to_owned()
}
