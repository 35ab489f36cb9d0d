//! Pseudonymous accounts.

use sea_orm::entity::prelude::*;

use crate::{AliasId, Opaque};

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
}

impl ActiveModelBehavior for ActiveModel {}
