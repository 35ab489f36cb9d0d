//! Calendars that therapists publish (A4).

use sea_orm::entity::prelude::*;

use crate::{Opaque, TherapistId};

/// A calendar feed; a therapist has at most one.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "calendar_feed")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub therapist_id: TherapistId,
    /// SHA-256 of the secret in the address of its open time, which follows from that in the address of its sessions;
    /// neither is kept.
    #[sea_orm(unique)]
    pub hash: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}
