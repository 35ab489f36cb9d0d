//! Bookings whose hour on the therapist's clock became another instant (T6).

use sea_orm::{
    Condition, DeriveActiveEnum, EnumIter, IntoActiveModel, QueryOrder, QuerySelect, QueryTrait,
    entity::prelude::*,
    sea_query::{InsertStatement, OnConflict},
};

use crate::{BookingId, Instant};

/// What new rules meant for a booking, the last time that they meant anything.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "zone_change")]
pub struct Model {
    /// Which booking.
    #[sea_orm(primary_key, auto_increment = false)]
    pub booking_id: BookingId,
    /// Of the rules: the release of the tz database.
    pub version: String,
    /// The zone whose clock the hour was agreed on.
    pub time_zone: String,
    /// Where the session stood.
    pub old_start: Instant,
    /// Where its hour is by these rules.
    pub new_start: Instant,
    /// What became of it.
    pub outcome: Outcome,
}

impl ActiveModelBehavior for ActiveModel {}

/// What became of a booking whose hour is another instant now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "lowercase")]
pub enum Outcome {
    /// It was moved there.
    Moved,
    /// It could not be moved, and stands where it stood.
    Undecided,
}

impl Model {
    /// Whether the booking stands where this left it: whoever moved it since has decided.
    #[must_use]
    pub fn holds_for(&self, starts_at: Instant) -> bool {
        match self.outcome {
            Outcome::Moved => self.new_start == starts_at,
            Outcome::Undecided => self.old_start == starts_at,
        }
    }
}

impl Entity {
    /// Up to `limit` by where they stood, from the one after `after` on.
    pub fn after(after: Option<(Instant, BookingId)>, limit: u64) -> Select<Self> {
        let later = after.map_or_else(Condition::all, |(start, id)| {
            let same = Condition::all().add(COLUMN.old_start.eq(start)).add(Column::BookingId.gt(id));
            Condition::any().add(COLUMN.old_start.gt(start)).add(same)
        });
        let by_start = Self::find().filter(later).order_by_asc(Column::OldStart);
        by_start.order_by_asc(Column::BookingId).limit(limit)
    }

    /// What is known of each of these bookings.
    pub fn of(bookings: impl IntoIterator<Item = BookingId>) -> Select<Self> {
        Self::find().filter(COLUMN.booking_id.is_in(bookings))
    }

    /// Puts `row` in the place of what was known of its booking.
    pub fn replace(row: Model) -> InsertStatement {
        let columns =
            [Column::Version, Column::TimeZone, Column::OldStart, Column::NewStart, Column::Outcome];
        let replace = OnConflict::column(Column::BookingId).update_columns(columns).to_owned();
        Self::insert(row.into_active_model()).on_conflict(replace).into_query()
    }
}
