//! Access tokens, by their hashes.

use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};
use uuid::Uuid;

use crate::{Instant, Opaque};

/// An access token.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "access_token")]
pub struct Model {
    /// SHA-256 of the token; the token itself is not kept.
    #[sea_orm(primary_key, auto_increment = false)]
    pub hash: Opaque,
    /// What kind of caller it stands for.
    pub caller_kind: CallerKind,
    /// Which one.
    pub caller_id: Uuid,
    /// When it ends.
    pub expires_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// Whom a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum CallerKind {
    /// A worker.
    Alias,
    /// A therapist.
    Therapist,
    /// Somebody who runs the service.
    Operator,
    /// Who manages a hospital's programme.
    Manager,
}
