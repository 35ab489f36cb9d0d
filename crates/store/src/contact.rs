//! Contacts, sealed, and the codes that confirm them.

use sea_orm::entity::prelude::*;
use uuid::Uuid;

use crate::{AliasId, Instant, Opaque};

/// A contact; an alias has at most one.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "contact")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub alias_id: AliasId,
    /// Sealed under the alias's data key and padded: address, language, level, lead time. Empty once deleted;
    /// the row stays to count the codes of the day.
    pub sealed: Option<Opaque>,
    /// The code came back (R6).
    pub confirmed: bool,
    /// What the code in force is derived from.
    pub code_id: Uuid,
    /// When the code ends.
    pub code_expires_at: Instant,
    /// Wrong codes so far.
    pub code_attempts: i32,
    /// The UTC day `codes_sent` counts.
    pub codes_sent_on: Date,
    /// Codes sent on that day.
    pub codes_sent: i32,
}

impl ActiveModelBehavior for ActiveModel {}
