//! What changed, for whoever keeps a copy of it in memory.
//!
//! Triggers write it, so that nothing that writes can forget to: not a new call, not an operator's own SQL.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, uuid},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Raised by whatever changes what can be booked with a therapist, or what is told of them.
        let revision = big_integer("revision").default(1).to_owned();
        manager.alter_table(Table::alter().table("therapist").add_column(revision).to_owned()).await?;
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let position = if postgres {
            // Transactions end in another order than they began or counted: with their numbers a reader knows which
            // ones it cannot have seen.
            big_integer("position").default(Expr::cust("(pg_current_xact_id()::text::bigint)")).take()
        } else {
            ColumnDef::new("position").integer().primary_key().auto_increment().take()
        };
        manager
            .create_table(
                Table::create()
                    .table("change")
                    .col(position)
                    .col(uuid("therapist_id"))
                    // The time of a booking that came or went, buffers included; empty if it was anything else.
                    .col(big_integer_null("busy_from"))
                    .col(big_integer_null("busy_until"))
                    .to_owned(),
            )
            .await?;
        // The few bookings that are held: by whom, for every new hold is counted; until when, for those that came to
        // nothing are swept.
        let connection = manager.get_connection();
        connection.execute_unprepared("drop index booking_hold_expires_at").await?;
        connection.execute_unprepared(HELD).await?;
        let statements = if postgres { postgres_triggers() } else { sqlite_triggers() };
        for statement in statements {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let postgres = manager.get_database_backend() == DbBackend::Postgres;
        let statements = if postgres { postgres_drops() } else { sqlite_drops() };
        for statement in statements {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        let connection = manager.get_connection();
        connection.execute_unprepared("drop index booking_alias_id_hold_expires_at").await?;
        connection.execute_unprepared(HELD_BEFORE).await?;
        manager.drop_table(Table::drop().table("change").to_owned()).await?;
        manager.alter_table(Table::alter().table("therapist").drop_column("revision").to_owned()).await
    }
}

const HELD: &str = "create index booking_alias_id_hold_expires_at on booking (alias_id, hold_expires_at)
    where hold_expires_at is not null";
const HELD_BEFORE: &str =
    "create index booking_hold_expires_at on booking (hold_expires_at) where hold_expires_at is not null";

/// What belongs to a therapist and changes how they are found and booked.
const PARTS: [&str; 5] = ["credential", "schedule", "session_type", "date_override", "time_off"];

fn postgres_triggers() -> Vec<String> {
    let mut statements = [
        "create index change_position on change (position)",
        "create function therapist_revised() returns trigger language plpgsql as $$
         begin
            if new.revision = old.revision then new.revision := old.revision + 1; end if;
            return new;
         end $$",
        "create function therapist_changed() returns trigger language plpgsql as $$
         begin
            insert into change (therapist_id) values (coalesce(new.id, old.id));
            return null;
         end $$",
        "create function therapist_part_changed() returns trigger language plpgsql as $$
         begin
            if tg_op <> 'INSERT' then
                update therapist set revision = revision + 1 where id = old.therapist_id;
            end if;
            if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.therapist_id <> old.therapist_id) then
                update therapist set revision = revision + 1 where id = new.therapist_id;
            end if;
            return null;
         end $$",
        "create function booking_changed() returns trigger language plpgsql as $$
         begin
            if tg_op <> 'INSERT' and old.occupies then
                insert into change (therapist_id, busy_from, busy_until)
                values (old.therapist_id, old.busy_from, old.busy_until);
            end if;
            if tg_op <> 'DELETE' and new.occupies and (tg_op = 'INSERT' or not old.occupies
                or new.busy_from <> old.busy_from or new.busy_until <> old.busy_until)
            then
                insert into change (therapist_id, busy_from, busy_until)
                values (new.therapist_id, new.busy_from, new.busy_until);
            end if;
            return null;
         end $$",
        "create trigger therapist_revised before update on therapist
         for each row execute function therapist_revised()",
        "create trigger therapist_changed after insert or update or delete on therapist
         for each row execute function therapist_changed()",
        "create trigger booking_changed after insert or delete or update of state, occupies, busy_from, busy_until,
         hold_expires_at on booking for each row execute function booking_changed()",
    ]
    .map(str::to_owned)
    .to_vec();
    statements.extend(PARTS.iter().map(|part| {
        format!(
            "create trigger {part}_changed after insert or update or delete on {part}
             for each row execute function therapist_part_changed()"
        )
    }));
    statements
}

fn postgres_drops() -> Vec<String> {
    let mut tables = PARTS.to_vec();
    tables.extend(["therapist", "booking"]);
    let mut statements: Vec<String> =
        tables.iter().map(|table| format!("drop trigger {table}_changed on {table}")).collect();
    statements.push("drop trigger therapist_revised on therapist".to_owned());
    for function in ["therapist_revised", "therapist_changed", "therapist_part_changed", "booking_changed"] {
        statements.push(format!("drop function {function}()"));
    }
    statements
}

/// A trigger of SQLite does not set off itself, so that one may raise what it watches.
fn sqlite_triggers() -> Vec<String> {
    let log = "insert into change (therapist_id) values";
    let free = "insert into change (therapist_id, busy_from, busy_until)
             select old.therapist_id, old.busy_from, old.busy_until where old.occupies";
    let take = "insert into change (therapist_id, busy_from, busy_until)
             select new.therapist_id, new.busy_from, new.busy_until where new.occupies";
    let raise = "update therapist set revision = revision + 1 where id";
    let mut statements = vec![
        format!(
            "create trigger therapist_revised after update on therapist when new.revision = old.revision
             begin {raise} = new.id; end"
        ),
        format!(
            "create trigger therapist_changed_update after update of revision on therapist
             when new.revision <> old.revision begin {log} (new.id); end"
        ),
        format!(
            "create trigger therapist_changed_insert after insert on therapist
             begin {log} (new.id); end"
        ),
        format!(
            "create trigger therapist_changed_delete after delete on therapist
             begin {log} (old.id); end"
        ),
        format!("create trigger booking_changed_insert after insert on booking begin {take}; end"),
        format!(
            "create trigger booking_changed_update after update of state, occupies, busy_from, busy_until,
             hold_expires_at on booking
             begin
                {free};
                {take} and not (old.occupies and new.busy_from = old.busy_from
                and new.busy_until = old.busy_until);
             end"
        ),
        format!("create trigger booking_changed_delete after delete on booking begin {free}; end"),
    ];
    for part in PARTS {
        statements.push(format!(
            "create trigger {part}_changed_insert after insert on {part}
             begin {raise} = new.therapist_id; end"
        ));
        statements.push(format!(
            "create trigger {part}_changed_update after update on {part}
             begin {raise} in (old.therapist_id, new.therapist_id); end"
        ));
        statements.push(format!(
            "create trigger {part}_changed_delete after delete on {part}
             begin {raise} = old.therapist_id; end"
        ));
    }
    statements
}

fn sqlite_drops() -> Vec<String> {
    let mut tables = PARTS.to_vec();
    tables.extend(["therapist", "booking"]);
    let mut statements = vec!["drop trigger therapist_revised".to_owned()];
    for table in tables {
        for event in ["insert", "update", "delete"] {
            statements.push(format!("drop trigger {table}_changed_{event}"));
        }
    }
    statements
}
