//! Challenges that were answered, so that none is answered twice.

use sea_orm::entity::prelude::*;

use crate::{Instant, Opaque};

/// A challenge.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "used_challenge")]
pub struct Model {
    /// SHA-256 of the challenge.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Opaque,
    /// When it would have expired by itself; the row is of no use after.
    pub expires_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}
