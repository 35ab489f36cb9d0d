//! What can be booked with a therapist.

use calendar::SessionRules;
use chrono::TimeDelta;
use sea_orm::{Select, entity::prelude::*};

use crate::{List, Modality, SessionTypeId, TherapistId};

/// A session type.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session_type")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SessionTypeId,
    /// With whom.
    pub therapist_id: TherapistId,
    /// For the therapist's own lists.
    pub display_name: String,
    /// Without buffers.
    pub duration_minutes: i32,
    /// Kept free before.
    pub buffer_before_minutes: i32,
    /// Kept free after.
    pub buffer_after_minutes: i32,
    /// Between starts on the local clock (T4).
    pub grid_interval_minutes: i32,
    /// Of the first start after midnight.
    pub grid_offset_minutes: i32,
    /// How it is held; never empty.
    #[sea_orm(column_type = "JsonBinary")]
    pub modalities: List<Modality>,
    /// Not offered any more; bookings of it stay.
    pub withdrawn: bool,
    /// How much of the therapist's load it is.
    pub load_weight: i32,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// What can be booked with `therapist` today.
    pub fn offered_by(therapist: TherapistId) -> Select<Self> {
        Self::find().filter(COLUMN.therapist_id.eq(therapist)).filter(COLUMN.withdrawn.eq(false))
    }
}

impl Model {
    /// What decides where a session of this type may be.
    #[must_use]
    pub fn rules(&self) -> SessionRules {
        let minutes = |minutes: i32| TimeDelta::minutes(minutes.into());
        SessionRules {
            duration: minutes(self.duration_minutes),
            buffer_before: minutes(self.buffer_before_minutes),
            buffer_after: minutes(self.buffer_after_minutes),
            grid_interval_minutes: self.grid_interval_minutes.unsigned_abs(),
            grid_offset_minutes: self.grid_offset_minutes.unsigned_abs(),
            load_weight: self.load_weight.unsigned_abs(),
        }
    }
}
