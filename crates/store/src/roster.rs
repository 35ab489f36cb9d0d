//! Rosters, sealed.

use sea_orm::entity::prelude::*;

use crate::{AliasId, Opaque};

/// A roster; an alias has at most one.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "roster")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub alias_id: AliasId,
    /// Sealed under the alias's data key and padded: shifts and the last published day.
    pub sealed: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}
