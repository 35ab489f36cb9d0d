//! Notes from device to device (G5), which no server can read.

use sea_orm::{DeriveActiveEnum, EnumIter, entity::prelude::*};

use crate::{BookingId, Opaque};

/// A note. Whose it is, the booking says; no column says when it was written.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "note")]
pub struct Model {
    /// Of which booking.
    #[sea_orm(primary_key, auto_increment = false)]
    pub booking_id: BookingId,
    /// A booking has at most one of each kind.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: Kind,
    /// As a device sealed it, sealed again under the data key of the booking's alias.
    pub sealed: Opaque,
}

impl ActiveModelBehavior for ActiveModel {}

/// Who may open a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Kind {
    /// The worker's, for the therapist.
    Intake,
    /// The same, for the worker.
    Copy,
    /// The therapist's, for the worker.
    Handover,
}
