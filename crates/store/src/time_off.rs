//! Time in which a therapist cannot be booked.

use calendar::Span;
use sea_orm::entity::prelude::*;

use crate::{Instant, TherapistId, TimeOffId};

/// Time off.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "time_off")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TimeOffId,
    /// Whose.
    pub therapist_id: TherapistId,
    /// The first instant.
    pub starts_at: Instant,
    /// The first instant after.
    pub ends_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// When; the table's check keeps it from being empty.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        Span::new(self.starts_at.into(), self.ends_at.into())
    }
}
