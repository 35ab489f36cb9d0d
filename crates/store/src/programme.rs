//! Hospitals' contracts.

use sea_orm::entity::prelude::*;

use crate::{List, Modality, Opaque, ProgrammeId};

/// A programme.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "programme")]
pub struct Model {
    /// Its id, and its manager's as a caller.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ProgrammeId,
    /// The Ed25519 key its manager signs in with.
    #[sea_orm(unique)]
    pub public_key: Opaque,
    /// The hospital's name for those who work there.
    pub display_name: String,
    /// How many passes a worker gets for a period.
    pub sessions_per_period: i32,
    /// How many minutes a session may be; empty for any length.
    #[sea_orm(column_type = "JsonBinary")]
    pub durations: List<i32>,
    /// How it may be held; empty for any way.
    #[sea_orm(column_type = "JsonBinary")]
    pub modalities: List<Modality>,
    /// A late cancellation loses the session (B4).
    pub late_cancellation_costs: bool,
    /// How many people it is for, by its contract; 0 if that is not known (E4).
    pub eligible_workers: i32,
}

impl ActiveModelBehavior for ActiveModel {}
