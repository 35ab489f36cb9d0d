//! Pseudonymous accounts.

use sea_orm::{
    DatabaseTransaction, FromQueryResult, JoinType, QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{ExprTrait, LockType, SelectStatement},
};

use crate::{AliasId, Opaque, RequestId, Tags, access_token, alias_key, contact, request, roster};

/// An alias. No column says who it is, or when it was made.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alias")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AliasId,
    /// The Ed25519 key its holder signs in with.
    #[sea_orm(unique)]
    pub public_key: Opaque,
    /// Chosen by the server, seen by its holder alone.
    pub handle: String,
    /// Sealed under the alias's data key: how sessions are fitted between shifts.
    pub settings: Opaque,
    /// What it must not meet (D5). A sealed list could not be compared with those of others.
    pub exclusion_tags: Tags,
}

impl ActiveModelBehavior for ActiveModel {}

/// All that is kept for one alias alone, and what it was answered when it asked the same before.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Kept {
    /// The data key that opens the rest, as `vault` wraps it.
    pub wrapped_key: Opaque,
    /// How sessions are fitted between shifts.
    pub settings: Opaque,
    /// What must not be met (D5).
    pub exclusion_tags: Tags,
    /// Shifts, if there are any.
    pub roster: Option<Opaque>,
    /// Where to write, if anywhere.
    pub contact: Option<Opaque>,
    /// Of the request asked about, if it was carried out: what [`request::Model`] says.
    pub payload_mac: Option<Opaque>,
    /// Its answer.
    pub response: Option<Opaque>,
}

impl Kept {
    /// What is kept for the alias; nothing without a data key, as once the alias is erased.
    pub async fn find(db: &impl ConnectionTrait, id: AliasId) -> Result<Option<Self>, DbErr> {
        Self::ask(db, &kept(id, None, None)).await
    }

    /// The same with the alias's row locked until the transaction ends, and with the answer to `request`, if any;
    /// nothing, too, if the alias has no such `token`.
    pub async fn lock(
        tx: &DatabaseTransaction,
        id: AliasId,
        request: Option<RequestId>,
        token: Option<&Opaque>,
    ) -> Result<Option<Self>, DbErr> {
        let row = Entity::find_by_id(id).select_only().column(Column::Id).lock(LockType::NoKeyUpdate);
        row.into_tuple::<AliasId>().one(tx).await?;
        // A question of its own, since one that has to wait for a lock sees what was there before.
        Self::ask(tx, &kept(id, request, token)).await
    }

    async fn ask(db: &impl ConnectionTrait, question: &SelectStatement) -> Result<Option<Self>, DbErr> {
        Self::find_by_statement(db.get_database_backend().build(question)).one(db).await
    }
}

fn kept(id: AliasId, request: Option<RequestId>, token: Option<&Opaque>) -> SelectStatement {
    let own = |owner: Expr| owner.equals((Entity, Column::Id));
    let asked = request::Column::RequestId.eq(request);
    let mut kept = Entity::find_by_id(id)
        .select_only()
        .column_as(alias_key::Column::WrappedKey, "wrapped_key")
        .columns([Column::Settings, Column::ExclusionTags])
        .column_as(roster::Column::Sealed, "roster")
        .column_as(contact::Column::Sealed, "contact")
        .column(request::Column::PayloadMac)
        .column(request::Column::Response)
        .into_query();
    kept.join(
        JoinType::InnerJoin,
        alias_key::Entity,
        own(Expr::col((alias_key::Entity, alias_key::Column::AliasId))),
    )
    .join(JoinType::LeftJoin, roster::Entity, own(Expr::col((roster::Entity, roster::Column::AliasId))))
    .join(JoinType::LeftJoin, contact::Entity, own(Expr::col((contact::Entity, contact::Column::AliasId))))
    .join(
        JoinType::LeftJoin,
        request::Entity,
        own(Expr::col((request::Entity, request::Column::CallerId))).and(asked),
    );
    if let Some(token) = token {
        let theirs = own(Expr::col((access_token::Entity, access_token::Column::CallerId)));
        let this = access_token::Column::Hash.eq(token.clone());
        kept.join(JoinType::InnerJoin, access_token::Entity, theirs.and(this));
    }
    kept
}
