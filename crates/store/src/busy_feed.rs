//! What calendars elsewhere say a therapist is busy with (A1).

use calendar::Span;
use sea_orm::entity::prelude::*;

use crate::{FeedId, List, TherapistId};

/// What a feed last said. Its address and its next attempt are the feed's.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "busy_feed")]
pub struct Model {
    /// The feed's.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: FeedId,
    /// Whom it keeps busy.
    pub therapist_id: TherapistId,
    /// What the therapist calls it.
    pub display_name: String,
    /// When, sorted and disjoint; a change raises the therapist's revision.
    #[sea_orm(column_type = "JsonBinary")]
    pub busy: List<Span>,
}

impl ActiveModelBehavior for ActiveModel {}
