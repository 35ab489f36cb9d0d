//! Public keys of therapists' devices, which notes are sealed to (G5).

use sea_orm::{Select, entity::prelude::*};

use crate::{DeviceKeyId, Instant, Opaque, TherapistId};

/// The key of a device, with what the practice says of it.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device_key")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DeviceKeyId,
    /// Whose.
    pub therapist_id: TherapistId,
    /// X25519.
    pub public_key: Opaque,
    /// The practice's, over all of this; judged by workers' devices alone.
    pub signature: Opaque,
    /// When the practice's word ends.
    pub expires_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// The therapist's keys whose practice's word has not ended.
    pub fn live(therapist: TherapistId, now: Instant) -> Select<Self> {
        Self::find().filter(COLUMN.therapist_id.eq(therapist)).filter(COLUMN.expires_at.gt(now))
    }
}
