//! Time in which a therapist cannot be booked (A1).

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, Select,
};
use store::{
    TherapistId, TimeOffId,
    booking::{self, State},
    time_off,
};

use crate::{
    error::{Error, LimitReason},
    field,
};

/// How many times off a therapist has at most.
const MOST: u64 = 200;
/// How long one may be.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// All of it, by its start.
pub(super) async fn list(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<Vec<v1::TimeOff>, Error> {
    let by_start = of(therapist).order_by_asc(time_off::Column::StartsAt).order_by_asc(time_off::Column::Id);
    Ok(by_start.all(db).await?.iter().map(show).collect())
}

/// Takes time off, and tells what it collides with: sessions and holds whose time, buffers included, it touches.
/// They stay as they are.
pub(super) async fn create(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    message: v1::TimeOff,
    now: DateTime<Utc>,
) -> Result<v1::CreateTimeOffResponse, Error> {
    let v1::TimeOff { id: _, span } = message;
    let span = field::span(span, "time_off.span")?;
    if span.duration() > LONGEST {
        return Err(field::out_of_range("time_off.span", "at most a year"));
    }
    if of(therapist).count(tx).await? >= MOST {
        return Err(Error::Limit { reason: LimitReason::TimeOff, most: MOST });
    }
    let row = time_off::Model {
        id: TimeOffId::random(),
        therapist_id: therapist,
        starts_at: span.start().into(),
        ends_at: span.end().into(),
    };
    let row = row.into_active_model().insert(tx).await?;
    let colliding = booking::Entity::keeping(therapist, span, now)
        .filter(booking::COLUMN.state.is_in([State::Booked, State::Arrived]))
        .order_by_asc(booking::Column::StartsAt)
        .all(tx)
        .await?;
    Ok(v1::CreateTimeOffResponse {
        time_off: Some(show(&row)),
        colliding_booking_ids: colliding.iter().map(|booking| booking.id.to_string()).collect(),
    })
}

pub(super) async fn delete(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    id: TimeOffId,
) -> Result<(), Error> {
    let row =
        time_off::Entity::find_by_id(id).filter(time_off::COLUMN.therapist_id.eq(therapist)).one(tx).await?;
    row.ok_or(Error::NotFound("time off"))?.delete(tx).await?;
    Ok(())
}

fn of(therapist: TherapistId) -> Select<time_off::Entity> {
    time_off::Entity::find().filter(time_off::COLUMN.therapist_id.eq(therapist))
}

fn show(row: &time_off::Model) -> v1::TimeOff {
    let time_off::Model { id, therapist_id: _, starts_at, ends_at } = *row;
    let span =
        v1::Span { start_time: Some(field::timestamp(starts_at)), end_time: Some(field::timestamp(ends_at)) };
    v1::TimeOff { id: id.to_string(), span: Some(span) }
}
