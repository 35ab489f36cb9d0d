//! What staff did: a log to which is only added.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, integer, string, uuid_null},
    sea_orm::DbBackend,
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("audit")
                    .col(integer("position").primary_key())
                    .col(big_integer("at"))
                    .col(string("actor"))
                    .col(uuid_null("actor_id"))
                    .col(string("action"))
                    .col(string("object"))
                    .col(binary("hash"))
                    .to_owned(),
            )
            .await?;
        let statements: &[&str] = match manager.get_database_backend() {
            DbBackend::Postgres => &ONLY_ADDED_ON_POSTGRES,
            _ => &ONLY_ADDED_ON_SQLITE,
        };
        for statement in statements {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("audit").to_owned()).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            manager.get_connection().execute_unprepared("drop function audit_is_only_added_to()").await?;
        }
        Ok(())
    }
}

/// The owner of the table can take the triggers away; the chain of hashes shows what is done then.
const ONLY_ADDED_ON_POSTGRES: [&str; 3] = [
    "create function audit_is_only_added_to() returns trigger language plpgsql as $$
     begin raise exception 'audit is only added to'; end $$",
    "create trigger audit_is_only_added_to before update or delete on audit
     for each row execute function audit_is_only_added_to()",
    "create trigger audit_is_not_truncated before truncate on audit
     for each statement execute function audit_is_only_added_to()",
];

const ONLY_ADDED_ON_SQLITE: [&str; 3] = [
    "create trigger audit_is_not_changed before update on audit
     begin select raise(abort, 'audit is only added to'); end",
    "create trigger audit_is_not_deleted before delete on audit
     begin select raise(abort, 'audit is only added to'); end",
    // `insert or replace` deletes without asking triggers.
    "create trigger audit_is_not_replaced before insert on audit
     when exists (select 1 from audit where position = new.position)
     begin select raise(abort, 'audit is only added to'); end",
];
