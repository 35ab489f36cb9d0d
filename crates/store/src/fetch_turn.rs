//! How often somebody has calendars fetched.

use sea_orm::entity::prelude::*;
use uuid::Uuid;

use crate::Instant;

/// Turns taken by one caller; without a row all are left.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "fetch_turn")]
pub struct Model {
    /// A worker or a therapist.
    #[sea_orm(primary_key, auto_increment = false)]
    pub caller_id: Uuid,
    /// When the last of them is given back.
    pub used_until: Instant,
}

impl ActiveModelBehavior for ActiveModel {}
