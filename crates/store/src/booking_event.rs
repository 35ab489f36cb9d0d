//! What happened to bookings (B8).

use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};

use crate::{BookingId, Instant, booking::State};

/// One change of a booking.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "booking_event")]
pub struct Model {
    /// Of which booking.
    #[sea_orm(primary_key, auto_increment = false)]
    pub booking_id: BookingId,
    /// From 1 on.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i32,
    /// When.
    pub at: Instant,
    /// To what.
    pub state: State,
    /// By whom.
    pub actor: Actor,
    /// It was moved to another time.
    pub rescheduled: bool,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who changed a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "lowercase")]
pub enum Actor {
    /// The worker.
    Alias,
    /// The therapist.
    Therapist,
    /// Somebody who runs the service.
    Operator,
    /// Respite by itself.
    System,
}
