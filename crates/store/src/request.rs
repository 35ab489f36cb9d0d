//! Answers already given, by request id (B3).

use sea_orm::entity::prelude::*;
use uuid::Uuid;

use crate::{Instant, Opaque, RequestId};

/// A request that was carried out, written in its transaction.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "request")]
pub struct Model {
    /// Who asked.
    #[sea_orm(primary_key, auto_increment = false)]
    pub caller_id: Uuid,
    /// The caller's name for it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: RequestId,
    /// A keyed hash of method and payload: a plain one would let a thief try addresses.
    pub payload_mac: Opaque,
    /// The first answer; sealed under the alias's data key if an alias asked.
    pub response: Opaque,
    /// When it is forgotten.
    pub expires_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}
