//! A therapist's weekly windows and how they are booked.

use calendar::{DateOverride, Window};
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Horizon, Limits, List, TherapistId};

/// A schedule; a therapist has at most one.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule")]
pub struct Model {
    /// Whose.
    #[sea_orm(primary_key, auto_increment = false)]
    pub therapist_id: TherapistId,
    /// IANA name of the zone the windows are read in.
    pub time_zone: String,
    /// Local hours by weekday.
    #[sea_orm(column_type = "JsonBinary")]
    pub windows: List<Window>,
    /// Periods in another zone.
    #[sea_orm(column_type = "JsonBinary")]
    pub travels: List<Travel>,
    /// How long before its start a session can be booked at the latest.
    pub notice_minutes: i32,
    /// How far ahead.
    #[sea_orm(column_type = "JsonBinary")]
    pub horizon: Horizon,
    /// How much the therapist takes on.
    #[sea_orm(column_type = "JsonBinary")]
    pub limits: Limits,
    /// Local hours by weekday that are kept from being booked.
    #[sea_orm(column_type = "JsonBinary")]
    pub protected_windows: List<Window>,
    /// Local dates on which they differ.
    #[sea_orm(column_type = "JsonBinary")]
    pub protected_dates: List<DateOverride>,
}

impl ActiveModelBehavior for ActiveModel {}

/// Local dates, both included, in which the windows are read in another zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Travel {
    /// The first date.
    pub from: Date,
    /// The last date.
    pub until: Date,
    /// IANA name.
    pub time_zone: String,
}
