//! Messages that are due, written in the transaction of what they are about (R1).

use chrono::{DateTime, Utc};
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{DeriveActiveEnum, EnumIter, QueryOrder, QuerySelect, Select, entity::prelude::*};

use crate::{AliasId, BookingId, Instant, ReminderId};

/// A reminder. It holds neither address nor text.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reminder")]
pub struct Model {
    /// Its id, and the message's id on every attempt, so that mail systems drop a second copy.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReminderId,
    /// For whom.
    pub alias_id: AliasId,
    /// Of which session; empty for a code.
    pub booking_id: Option<BookingId>,
    /// What it is.
    pub kind: Kind,
    /// How long before the session; 0 for what leaves at once. It stands here in the open, since the server must know when.
    pub lead_minutes: i32,
    /// When it is due.
    pub due_at: Instant,
    /// How far it is.
    pub state: State,
    /// Deliveries begun so far.
    pub attempts: i32,
    /// When it is tried next: when it is due, after a failure later, and while somebody sends it the end of
    /// their lease.
    pub next_attempt_at: Instant,
}

impl ActiveModelBehavior for ActiveModel {}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "snake_case")]
pub enum Kind {
    /// A word ahead of a session.
    Session,
    /// Word that something about a session is not as it was (T6).
    SessionUpdate,
    /// A code that confirms a contact (R6).
    ContactCode,
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "lowercase")]
pub enum State {
    /// To be sent when it is due.
    Planned,
    /// Sent.
    Sent,
    /// Already past due when the session was booked.
    Skipped,
    /// Given up after retries.
    Dead,
}

impl Entity {
    /// Up to `limit` messages that are due and that nobody is sending, locked for the transaction; on
    /// PostgreSQL those locked by another server are passed over.
    pub fn claimable(now: DateTime<Utc>, limit: u64) -> Select<Self> {
        Self::find()
            .filter(COLUMN.state.eq(State::Planned))
            .filter(COLUMN.next_attempt_at.lte(Instant::from(now)))
            .order_by_asc(Column::NextAttemptAt)
            .limit(limit)
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
    }
}
