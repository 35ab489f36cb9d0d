//! Wrapped data keys of aliases; without its row nothing sealed for an alias can be opened again.

use sea_orm::entity::prelude::*;

use crate::{AliasId, Opaque};

/// A wrapped data key.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "alias_key")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub alias_id: AliasId,
    /// As `vault` wraps it.
    pub wrapped_key: Opaque,
    /// Which key-encryption key wraps it.
    pub kek_id: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}
