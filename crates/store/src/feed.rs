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
    /// Whose roster it is; nobody's if it keeps a therapist busy.
    #[sea_orm(unique)]
    pub alias_id: Option<AliasId>,
    /// Address, validator, and how the calendar is read, padded; sealed under the alias's data key, or under the key for
    /// what therapists say in confidence.
    pub sealed: Opaque,
    /// Fetches that failed since the last one that did not.
    pub failures: i32,
    /// When it is fetched next; while somebody does the end of their lease.
    pub next_attempt_at: Instant,
    /// When it was last fetched and read; nothing for a feed that is older than this column and has not been since.
    pub fetched_at: Option<Instant>,
    /// The first fetch that failed since the last one that did not.
    pub failing_since: Option<Instant>,
}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Where `alias`'s roster comes from.
    pub fn of_roster(alias: AliasId) -> Select<Self> {
        Self::find().filter(COLUMN.alias_id.eq(alias))
    }

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
