//! Calendars that are fetched again and again, from addresses that are sealed.

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{QueryOrder, QuerySelect, Select, entity::prelude::*};

use crate::{AliasId, FeedId, Instant, Opaque};

/// A feed; an alias has at most one.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feed")]
pub struct Model {
    /// Its id, another one whenever the address is given anew.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: FeedId,
    /// Whose roster it is.
    #[sea_orm(unique)]
    pub alias_id: Option<AliasId>,
    /// Sealed under the alias's data key and padded: address, validator, and how the calendar is read.
    pub sealed: Opaque,
    /// Fetches that failed since the last one that did not.
    pub failures: i32,
    /// When it is fetched next; while somebody does the end of their lease.
    pub next_attempt_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Up to `limit` feeds that are due and that nobody is fetching, locked for the transaction; on PostgreSQL those
    /// locked by another server are passed over.
    pub fn claimable(now: DateTime<Utc>, limit: u64) -> Select<Self> {
        Self::find()
            .filter(COLUMN.next_attempt_at.lte(Instant::from(now)))
            .order_by_asc(Column::NextAttemptAt)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
    }
}
