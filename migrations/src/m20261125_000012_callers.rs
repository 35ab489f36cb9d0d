//! Whose doing a change was, for whoever keeps in memory who calls and when they have time.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer_null, uuid, uuid_null},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// On SQLite, too: a connection that did not drop a trigger itself may refuse to make it anew.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            let mut statements = vec![
                "alter table change alter column therapist_id drop not null, add column caller_id uuid"
                    .to_owned(),
                booking_changed(true),
            ];
            for (table, id, events) in CALLERS {
                let whose = if table == ALIAS {
                    "new.id".to_owned()
                } else {
                    format!("coalesce(new.{id}, old.{id})")
                };
                statements.push(format!(
                    "create function {table}_changed() returns trigger language plpgsql as $$
                     begin insert into change (caller_id) values ({whose}); return null; end $$"
                ));
                statements.push(format!(
                    "create trigger {table}_changed after {} on {table}
                     for each row execute function {table}_changed()",
                    events.join(" or ")
                ));
            }
            return run(manager, statements).await;
        }
        // Nobody follows a database of this kind while its schema changes: the log may begin anew.
        log_anew(manager, uuid_null("therapist_id"), Some(uuid_null("caller_id"))).await?;
        let mut statements = booking_triggers(true);
        for (table, id, events) in CALLERS {
            statements.extend(events.iter().map(|event| {
                let whose = match *event {
                    "delete" if table == ALIAS => "null".to_owned(),
                    "delete" => format!("old.{id}"),
                    _ => format!("new.{id}"),
                };
                format!(
                    "create trigger {table}_changed_{event} after {event} on {table}
                     begin insert into change (caller_id) values ({whose}); end"
                )
            }));
        }
        run(manager, statements).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            let mut statements = Vec::new();
            for (table, ..) in CALLERS {
                statements.push(format!("drop trigger {table}_changed on {table}"));
                statements.push(format!("drop function {table}_changed()"));
            }
            statements.push(booking_changed(false));
            statements.push("delete from change where therapist_id is null".to_owned());
            statements.push(
                "alter table change drop column caller_id, alter column therapist_id set not null".to_owned(),
            );
            return run(manager, statements).await;
        }
        let drops = CALLERS.iter().flat_map(|(table, _, events)| {
            events.iter().map(move |event| format!("drop trigger {table}_changed_{event}"))
        });
        run(manager, drops.collect()).await?;
        log_anew(manager, uuid("therapist_id"), None).await?;
        run(manager, booking_triggers(false)).await
    }
}

/// An alias that is erased is named nowhere, and not here either: that somebody is gone is all that is written down.
const ALIAS: &str = "alias";

/// What is kept of a caller, the column that says whose it is, and when it changes what was known before.
const CALLERS: [(&str, &str, &[&str]); 3] = [
    ("access_token", "caller_id", &["update", "delete"]),
    (ALIAS, "id", &["update", "delete"]),
    ("roster", "alias_id", &["insert", "update", "delete"]),
];

async fn run(manager: &SchemaManager<'_>, statements: Vec<String>) -> Result<(), DbErr> {
    for statement in statements {
        manager.get_connection().execute_unprepared(&statement).await?;
    }
    Ok(())
}

async fn log_anew(
    manager: &SchemaManager<'_>,
    therapist_id: ColumnDef,
    caller_id: Option<ColumnDef>,
) -> Result<(), DbErr> {
    manager.drop_table(Table::drop().table("change").to_owned()).await?;
    let mut table = Table::create()
        .table("change")
        .col(ColumnDef::new("position").integer().primary_key().auto_increment())
        .col(therapist_id)
        .col(big_integer_null("busy_from"))
        .col(big_integer_null("busy_until"))
        .to_owned();
    if let Some(caller_id) = caller_id {
        table.col(caller_id);
    }
    manager.create_table(table).await
}

/// The columns that a booking's change fills, and what it fills them with.
fn booked(row: &str, with_caller: bool) -> (&'static str, String) {
    let values = format!("{row}.therapist_id, {row}.busy_from, {row}.busy_until");
    if with_caller {
        ("therapist_id, busy_from, busy_until, caller_id", format!("{values}, {row}.alias_id"))
    } else {
        ("therapist_id, busy_from, busy_until", values)
    }
}

fn booking_changed(with_caller: bool) -> String {
    let ((columns, old), (_, new)) = (booked("old", with_caller), booked("new", with_caller));
    format!(
        "create or replace function booking_changed() returns trigger language plpgsql as $$
         begin
            if tg_op <> 'INSERT' and old.occupies then
                insert into change ({columns}) values ({old});
            end if;
            if tg_op <> 'DELETE' and new.occupies and (tg_op = 'INSERT' or not old.occupies
                or new.busy_from <> old.busy_from or new.busy_until <> old.busy_until)
            then
                insert into change ({columns}) values ({new});
            end if;
            return null;
         end $$"
    )
}

fn booking_triggers(with_caller: bool) -> Vec<String> {
    let ((columns, old), (_, new)) = (booked("old", with_caller), booked("new", with_caller));
    let free = format!("insert into change ({columns}) select {old} where old.occupies");
    let take = format!("insert into change ({columns}) select {new} where new.occupies");
    let mut statements: Vec<_> =
        ["insert", "update", "delete"].map(|event| format!("drop trigger booking_changed_{event}")).into();
    statements
        .push(format!("create trigger booking_changed_insert after insert on booking begin {take}; end"));
    statements.push(format!(
        "create trigger booking_changed_update after update of state, occupies, busy_from, busy_until,
         hold_expires_at on booking
         begin
            {free};
            {take} and not (old.occupies and new.busy_from = old.busy_from and new.busy_until = old.busy_until);
         end"
    ));
    statements
        .push(format!("create trigger booking_changed_delete after delete on booking begin {free}; end"));
    statements
}
