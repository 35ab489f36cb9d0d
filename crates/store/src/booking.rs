//! Sessions held or booked.

use calendar::{HeldSession, Span};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    Condition, ConnectionTrait, DeriveActiveEnum, EnumIter, FromQueryResult, JoinType, QueryOrder,
    QuerySelect, QueryTrait, Select, SelectModel, Selector,
    entity::prelude::*,
    sea_query::{ExprTrait, LockType, SelectStatement, UnionType},
};

use crate::{
    AliasId, BookingId, Instant, Modality, ProgrammeId, SessionTypeId, Tags, TherapistId, alias,
    session_type, therapist,
};

/// A booking.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "booking")]
pub struct Model {
    /// Its id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: BookingId,
    /// With whom.
    pub therapist_id: TherapistId,
    /// Whose; nobody's once the alias is erased.
    pub alias_id: Option<AliasId>,
    /// What.
    pub session_type_id: SessionTypeId,
    /// How far it is.
    pub state: State,
    /// It keeps others out (B2): held and not given up, booked, or past.
    pub occupies: bool,
    /// The first instant of the session.
    pub starts_at: Instant,
    /// The first instant after.
    pub ends_at: Instant,
    /// The same with the buffer before.
    pub busy_from: Instant,
    /// The same with the buffer after.
    pub busy_until: Instant,
    /// The start on the therapist's clock, `YYYY-MM-DDTHH:MM`: what was agreed, if zone rules change (T6).
    pub local_start: String,
    /// The zone of that clock, an IANA name.
    pub time_zone: String,
    /// How it is held.
    pub modality: Modality,
    /// When the hold ends (B1); empty once booked.
    pub hold_expires_at: Option<Instant>,
    /// Cancelled less than 24 hours ahead, or moved so of the worker's own accord (B4).
    pub late_cancellation: bool,
    /// Which programme pays, if one does (E2); not by which pass.
    pub programme_id: Option<ProgrammeId>,
}

impl ActiveModelBehavior for ActiveModel {}

/// A booking that stands still, and so does what can be booked with its therapist.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Locked {
    /// The booking.
    #[sea_orm(nested)]
    pub booking: Model,
    /// The therapist's.
    pub revision: i64,
}

/// A booking with what its alias must not meet.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Tagged {
    /// The booking.
    #[sea_orm(nested)]
    pub booking: Model,
    /// Of whoever's it is; nothing once the alias is erased.
    pub exclusion_tags: Option<Tags>,
}

/// States of a FHIR R5 Appointment; they only move forward (B8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "String", db_type = "Text", rename_all = "lowercase")]
pub enum State {
    /// Held.
    Pending,
    /// To take place.
    Booked,
    /// The worker has joined.
    Arrived,
    /// Took place.
    Fulfilled,
    /// Will not take place.
    Cancelled,
    /// The worker did not come.
    NoShow,
}

impl Model {
    /// When it keeps others out; the table's check keeps it from being empty.
    #[must_use]
    pub fn busy(&self) -> Option<Span> {
        Span::new(self.busy_from.into(), self.busy_until.into())
    }

    /// The session without buffers; the table's check keeps it from being empty.
    #[must_use]
    pub fn session(&self) -> Option<Span> {
        Span::new(self.starts_at.into(), self.ends_at.into())
    }

    /// Whether it is a hold that has ended by itself (B1).
    #[must_use]
    pub fn hold_expired(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Pending && self.hold_expires_at.is_none_or(|at| at <= now.into())
    }
}

/// As long as any session with its buffers.
const LONGEST: TimeDelta = TimeDelta::hours(16);
/// As long as any buffer.
const BUFFER: TimeDelta = TimeDelta::hours(4);

/// Bookings that keep others out at `now`: a hold stops doing so the moment it expires, swept or not (B1).
fn live(now: DateTime<Utc>) -> Condition {
    Condition::all().add(COLUMN.occupies.eq(true)).add(
        Condition::any()
            .add(COLUMN.hold_expires_at.is_null())
            .add(COLUMN.hold_expires_at.gt(Instant::from(now))),
    )
}

fn overlapping(span: Span) -> Condition {
    // The bounds on the start, which is indexed, follow from the others.
    Condition::all()
        .add(COLUMN.starts_at.gt(Instant::from(span.start() - LONGEST)))
        .add(COLUMN.starts_at.lt(Instant::from(span.end() + LONGEST)))
        .add(COLUMN.busy_from.lt(Instant::from(span.end())))
        .add(COLUMN.busy_until.gt(Instant::from(span.start())))
}

impl Entity {
    /// What keeps anybody busy at some moment of `span`.
    pub fn busy_during(span: Span, now: DateTime<Utc>) -> Select<Self> {
        Self::find().filter(live(now)).filter(overlapping(span))
    }

    /// What keeps `therapist` busy at some moment of `span`.
    pub fn keeping(therapist: TherapistId, span: Span, now: DateTime<Utc>) -> Select<Self> {
        Self::busy_during(span, now).filter(COLUMN.therapist_id.eq(therapist))
    }

    /// The same bookings, each with what its alias must not meet (D5).
    pub fn with_tags(bookings: Select<Self>) -> Selector<SelectModel<Tagged>> {
        let whose = Expr::col((alias::Entity, alias::Column::Id)).equals((Entity, Column::AliasId));
        let mut tagged = bookings.column(alias::Column::ExclusionTags);
        QueryTrait::query(&mut tagged).join(JoinType::LeftJoin, alias::Entity, whose);
        tagged.into_model()
    }

    /// What keeps `alias` busy at some moment of `span`.
    pub fn keeping_alias(alias: AliasId, span: Span, now: DateTime<Utc>) -> Select<Self> {
        Self::busy_during(span, now).filter(COLUMN.alias_id.eq(alias))
    }

    /// What keeps `therapist` busy at some moment of `span`, as it counts against their limits.
    pub fn held_by(therapist: TherapistId, span: Span, now: DateTime<Utc>) -> Selector<SelectModel<Held>> {
        let of = Expr::col((session_type::Entity, session_type::Column::Id))
            .equals((Entity, Column::SessionTypeId));
        let mut counting = Self::keeping(therapist, span, now)
            .select_only()
            .columns([
                Column::Id,
                Column::TherapistId,
                Column::StartsAt,
                Column::EndsAt,
                Column::HoldExpiresAt,
            ])
            .column(session_type::Column::LoadWeight);
        QueryTrait::query(&mut counting).join(JoinType::InnerJoin, session_type::Entity, of);
        counting.into_model()
    }

    /// What `programme` paid for that began in `span` and was not cancelled, counted by who had it and how it was held.
    pub fn used(programme: ProgrammeId, span: Span) -> Selector<SelectModel<Used>> {
        Self::find()
            .select_only()
            .columns([Column::AliasId, Column::Modality])
            .column_as(Column::Id.count(), "sessions")
            .filter(COLUMN.programme_id.eq(programme))
            .filter(COLUMN.state.is_not_in([State::Pending, State::Cancelled]))
            .filter(COLUMN.starts_at.gte(Instant::from(span.start())))
            .filter(COLUMN.starts_at.lt(Instant::from(span.end())))
            .group_by(Column::AliasId)
            .group_by(Column::Modality)
            .into_model()
    }

    /// The alias's own, by their ids, to be asked within another question.
    pub fn ids_of(alias: AliasId) -> SelectStatement {
        Self::find().select_only().column(Column::Id).filter(COLUMN.alias_id.eq(alias)).into_query()
    }

    /// The booking, if it is the alias's own.
    pub fn owned(id: BookingId, alias: AliasId) -> Select<Self> {
        Self::find_by_id(id).filter(COLUMN.alias_id.eq(alias))
    }

    /// The same, with its therapist's time and itself locked until the transaction ends: neither is older than the lock.
    pub fn lock_owned(id: BookingId, alias: AliasId) -> Selector<SelectModel<Locked>> {
        let with =
            Expr::col((therapist::Entity, therapist::Column::Id)).equals((Entity, Column::TherapistId));
        let mut owned = Self::owned(id, alias).column(therapist::Column::Revision);
        QueryTrait::query(&mut owned)
            .join(JoinType::InnerJoin, therapist::Entity, with)
            // In this order, as everywhere: whoever has the therapist's time may go on to a booking of it.
            .lock_with_tables(LockType::NoKeyUpdate, ["therapist", "booking"]);
        owned.into_model()
    }

    /// What the alias holds, and lives, of the booking's therapist and session type at `start` (B1, S8).
    pub fn held_slot(
        alias: AliasId,
        booking: &Model,
        start: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Select<Self> {
        Self::find()
            .filter(COLUMN.alias_id.eq(alias))
            .filter(COLUMN.state.eq(State::Pending))
            .filter(COLUMN.occupies.eq(true))
            .filter(COLUMN.hold_expires_at.gt(Instant::from(now)))
            .filter(COLUMN.therapist_id.eq(booking.therapist_id))
            .filter(COLUMN.session_type_id.eq(booking.session_type_id))
            .filter(COLUMN.starts_at.eq(Instant::from(start)))
    }

    /// What is booked and has not begun, by its start, after the `limit` before it.
    pub fn anchored(
        now: DateTime<Utc>,
        after: Option<(Instant, BookingId)>,
        limit: u64,
    ) -> Selector<SelectModel<Anchored>> {
        // One bound on the start, from which the index is read on: with another beside it, or with alternatives alone,
        // every page would read those before it again.
        let later = match after {
            None => Condition::all().add(COLUMN.starts_at.gt(Instant::from(now))),
            Some((start, id)) => Condition::all()
                .add(COLUMN.starts_at.gte(start))
                .add(Condition::any().add(COLUMN.starts_at.gt(start)).add(Column::Id.gt(id))),
        };
        Self::find()
            .select_only()
            .columns([Column::Id, Column::StartsAt, Column::LocalStart, Column::TimeZone])
            .filter(COLUMN.state.eq(State::Booked))
            .filter(later)
            .order_by_asc(Column::StartsAt)
            .order_by_asc(Column::Id)
            .limit(limit)
            .into_model()
    }

    /// Lets go of expired holds that stand in the way of `span` for `therapist` or `alias`, since the database's
    /// own guard (B2) cannot ask what time it is.
    pub async fn let_go_of_expired(
        tx: &impl ConnectionTrait,
        therapist: TherapistId,
        alias: AliasId,
        span: Span,
        now: DateTime<Utc>,
    ) -> Result<(), DbErr> {
        Self::update_many()
            .col_expr(Column::Occupies, Expr::value(false))
            .filter(COLUMN.occupies.eq(true))
            .filter(COLUMN.hold_expires_at.lte(Instant::from(now)))
            .filter(overlapping(span))
            .filter(Condition::any().add(COLUMN.therapist_id.eq(therapist)).add(COLUMN.alias_id.eq(alias)))
            .exec(tx)
            .await?;
        Ok(())
    }
}

/// Where a booking stands, and what was agreed (T6).
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Anchored {
    /// Which.
    pub id: BookingId,
    /// The first instant of the session.
    pub starts_at: Instant,
    /// The start on the therapist's clock.
    pub local_start: String,
    /// The zone of that clock.
    pub time_zone: String,
}

/// How many sessions somebody had (E4).
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Used {
    /// Who; nobody for all that had aliases which are erased.
    pub alias_id: Option<AliasId>,
    /// How they were held.
    pub modality: Modality,
    /// How many.
    pub sessions: i64,
}

/// What of a booking counts against the limits of its therapist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Held {
    /// Which.
    pub id: BookingId,
    /// With whom.
    pub therapist_id: TherapistId,
    /// The first instant of the session.
    pub starts_at: Instant,
    /// The first instant after.
    pub ends_at: Instant,
    /// When the hold ends (B1); empty once booked.
    pub hold_expires_at: Option<Instant>,
    /// Of the session type.
    pub load_weight: i32,
}

impl Held {
    /// As the calendar counts it; the table's check keeps its time from being empty.
    #[must_use]
    pub fn session(&self) -> Option<HeldSession> {
        let span = Span::new(self.starts_at.into(), self.ends_at.into())?;
        Some(HeldSession { span, load_weight: self.load_weight.unsigned_abs() })
    }
}

/// What of a booking keeps others out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Occupied {
    /// Which.
    pub id: BookingId,
    /// With whom.
    pub therapist_id: TherapistId,
    /// Whose; nobody's once the alias is erased.
    pub alias_id: Option<AliasId>,
    /// How far it is.
    pub state: State,
    /// From when, with the buffer before.
    pub busy_from: Instant,
    /// Until when, with the buffer after.
    pub busy_until: Instant,
    /// When the hold ends (B1); empty once booked.
    pub hold_expires_at: Option<Instant>,
}

impl Occupied {
    /// Whatever a session of `alias` with `therapist` that starts at `start` has to be judged by, in one statement:
    /// what comes near it, and the alias's holds wherever they are. Those expired are among them.
    pub async fn bearing_on(
        db: &impl ConnectionTrait,
        therapist: TherapistId,
        alias: AliasId,
        start: DateTime<Utc>,
    ) -> Result<Vec<Self>, DbErr> {
        let near = Span::new(start - BUFFER, start + LONGEST - BUFFER);
        let near = near.map_or_else(Condition::any, overlapping);
        let occupied = |whose: Condition| {
            Entity::find()
                .select_only()
                .columns([Column::Id, Column::TherapistId, Column::AliasId, Column::State])
                .columns([Column::BusyFrom, Column::BusyUntil, Column::HoldExpiresAt])
                .filter(whose)
                .into_query()
        };
        let keeping = near.add(COLUMN.occupies.eq(true));
        let with = keeping.clone().add(COLUMN.therapist_id.eq(therapist));
        let own = Condition::all().add(COLUMN.alias_id.eq(alias));
        let held = own.clone().add(COLUMN.hold_expires_at.is_not_null()).add(COLUMN.state.eq(State::Pending));
        // Each part is what one index is for; all of it in one condition, PostgreSQL guesses what it finds in a new
        // database, and guesses wrong.
        let mut question = occupied(with);
        question
            .union(UnionType::Distinct, occupied(own.add(keeping)))
            .union(UnionType::Distinct, occupied(held));
        Self::find_by_statement(db.get_database_backend().build(&question)).all(db).await
    }

    /// When it keeps others out; the table's check keeps it from being empty.
    #[must_use]
    pub fn busy(&self) -> Option<Span> {
        Span::new(self.busy_from.into(), self.busy_until.into())
    }

    /// Whether it is a hold that has ended by itself (B1).
    #[must_use]
    pub fn hold_expired(&self, now: DateTime<Utc>) -> bool {
        self.state == State::Pending && self.hold_expires_at.is_none_or(|at| at <= now.into())
    }
}
