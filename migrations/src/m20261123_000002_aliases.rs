//! Who calls: aliases with their keys, operators, tokens, and answers already given.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, binary, binary_null, boolean, date, integer, string, uuid},
};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
#[expect(clippy::too_many_lines, reason = "a schema is read in one piece")]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // No column says when an alias was made.
        manager
            .create_table(
                Table::create()
                    .table("alias")
                    .col(uuid("id").primary_key())
                    .col(binary("public_key").unique_key())
                    .col(string("handle"))
                    .col(binary("settings"))
                    .to_owned(),
            )
            .await?;
        // Apart from `alias`, so that its backups can be kept shorter: whoever restores an old dump with
        // today's keys can open nothing of an alias erased in between.
        manager
            .create_table(
                Table::create()
                    .table("alias_key")
                    .col(uuid("alias_id").primary_key())
                    .col(binary("wrapped_key"))
                    .col(binary("kek_id"))
                    .foreign_key(&mut of_alias("alias_key"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("roster")
                    .col(uuid("alias_id").primary_key())
                    .col(binary("sealed"))
                    .foreign_key(&mut of_alias("roster"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("contact")
                    .col(uuid("alias_id").primary_key())
                    .col(binary_null("sealed"))
                    .col(boolean("confirmed"))
                    .col(uuid("code_id"))
                    .col(big_integer("code_expires_at"))
                    .col(integer("code_attempts"))
                    .col(date("codes_sent_on"))
                    .col(integer("codes_sent"))
                    .foreign_key(&mut of_alias("contact"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("operator")
                    .col(uuid("id").primary_key())
                    .col(binary("public_key").unique_key())
                    .col(string("label"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("access_token")
                    .col(binary("hash").primary_key())
                    .col(string("caller_kind"))
                    .col(uuid("caller_id"))
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("used_challenge")
                    .col(binary("hash").primary_key())
                    .col(big_integer("expires_at"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table("request")
                    .col(uuid("caller_id"))
                    .col(uuid("request_id"))
                    .col(binary("payload_mac"))
                    .col(binary("response"))
                    .col(big_integer("expires_at"))
                    .primary_key(Index::create().col("caller_id").col("request_id"))
                    .to_owned(),
            )
            .await?;
        manager
            .create_index(
                Index::create()
                    .name("access_token_caller_id")
                    .table("access_token")
                    .col("caller_id")
                    .to_owned(),
            )
            .await?;
        for table in ["access_token", "used_challenge", "request"] {
            let name = format!("{table}_expires_at");
            manager
                .create_index(Index::create().name(name).table(table).col("expires_at").to_owned())
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "request",
            "used_challenge",
            "access_token",
            "operator",
            "contact",
            "roster",
            "alias_key",
            "alias",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn of_alias(table: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(table, "alias_id")
        .to("alias", "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}
