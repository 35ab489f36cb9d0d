//! What can be booked with a therapist (A1).

use api::v1;
use calendar::SessionRules;
use chrono::{DateTime, TimeDelta, Utc};
use prost_types::Duration;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, IntoActiveModel, QueryFilter,
    QueryOrder, Set,
};
use store::{List, SessionTypeId, TherapistId, session_type};

use super::{
    schedule,
    settings::{self, Saved},
};
use crate::{
    App,
    error::{Error, LimitReason},
    field,
};

/// How many a therapist offers at most.
const MOST: usize = 20;

const NOT_FOUND: Error = Error::NotFound("session type");

/// What is offered, by name.
pub(super) async fn list(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<Vec<v1::SessionType>, Error> {
    let offered = session_type::Entity::offered_by(therapist)
        .order_by_asc(session_type::Column::DisplayName)
        .order_by_asc(session_type::Column::Id);
    Ok(offered.all(db).await?.into_iter().map(show).collect())
}

pub(super) async fn create(
    app: &App,
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    message: v1::SessionType,
    now: DateTime<Utc>,
) -> Result<v1::SessionType, Error> {
    let row = parse(therapist, SessionTypeId::random(), message)?;
    let others = session_type::Entity::offered_by(therapist).all(tx).await?;
    if others.len() >= MOST {
        return Err(Error::Limit { reason: LimitReason::SessionTypes, most: MOST as u64 });
    }
    check(app, tx, &row, &others, now).await?;
    Ok(show(row.into_active_model().insert(tx).await?))
}

pub(super) async fn update(
    app: &App,
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    message: v1::SessionType,
    now: DateTime<Utc>,
) -> Result<v1::SessionType, Error> {
    let row = parse(therapist, field::id(&message.id, "session_type.id")?, message)?;
    let mut others = session_type::Entity::offered_by(therapist).all(tx).await?;
    let place = others.iter().position(|other| other.id == row.id).ok_or(NOT_FOUND)?;
    others.swap_remove(place);
    check(app, tx, &row, &others, now).await?;
    Ok(show(row.into_active_model().reset_all().update(tx).await?))
}

/// Withdraws it; the row stays for the bookings of it.
pub(super) async fn delete(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    id: SessionTypeId,
) -> Result<(), Error> {
    let offered = session_type::Entity::offered_by(therapist).filter(session_type::COLUMN.id.eq(id));
    let mut row = offered.one(tx).await?.ok_or(NOT_FOUND)?.into_active_model();
    row.withdrawn = Set(true);
    row.update(tx).await?;
    Ok(())
}

/// Whether every window still has room for something that is offered (A3).
async fn check(
    app: &App,
    tx: &DatabaseTransaction,
    row: &session_type::Model,
    others: &[session_type::Model],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut schedule = schedule::saved_or_empty(app, tx, row.therapist_id).await?;
    schedule.overrides = settings::overrides_to_come(tx, row.therapist_id, now).await?;
    let sessions: Vec<SessionRules> =
        [row].into_iter().chain(others).map(session_type::Model::rules).collect();
    settings::check(&schedule, &sessions, Saved::SessionType)
}

fn parse(
    therapist: TherapistId,
    id: SessionTypeId,
    message: v1::SessionType,
) -> Result<session_type::Model, Error> {
    let v1::SessionType {
        id: _,
        display_name,
        duration,
        buffer_before,
        buffer_after,
        modalities,
        grid_interval,
        grid_offset,
        load_weight,
    } = message;
    if modalities.is_empty() {
        return Err(field::required("session_type.modalities"));
    }
    Ok(session_type::Model {
        id,
        therapist_id: therapist,
        display_name: field::line(display_name, 60, "session_type.display_name")?,
        duration_minutes: minutes(duration, "session_type.duration")?,
        buffer_before_minutes: minutes(buffer_before, "session_type.buffer_before")?,
        buffer_after_minutes: minutes(buffer_after, "session_type.buffer_after")?,
        grid_interval_minutes: minutes(grid_interval, "session_type.grid_interval")?,
        grid_offset_minutes: minutes(grid_offset, "session_type.grid_offset")?,
        modalities: List(field::list(modalities, 3, "session_type.modalities", field::modality)?),
        withdrawn: false,
        load_weight: if load_weight == 0 { 1 } else { weight(load_weight)? },
    })
}

/// Under ten years, and so in any case a number of minutes; the calendar knows the bounds of each.
fn minutes(duration: Option<Duration>, field: &str) -> Result<i32, Error> {
    let minutes = field::minutes(duration, field)?.num_minutes();
    i32::try_from(minutes).map_err(|_| field::out_of_range(field, "at most a day"))
}

/// What is negative is no weight; how large one may be, the calendar knows.
fn weight(number: i32) -> Result<i32, Error> {
    if number < 0 { Err(field::out_of_range("session_type.load_weight", "1 to 100")) } else { Ok(number) }
}

fn show(row: session_type::Model) -> v1::SessionType {
    let session_type::Model {
        id,
        therapist_id: _,
        display_name,
        duration_minutes,
        buffer_before_minutes,
        buffer_after_minutes,
        grid_interval_minutes,
        grid_offset_minutes,
        modalities,
        withdrawn: _,
        load_weight,
    } = row;
    let duration = |minutes: i32| Some(field::duration(TimeDelta::minutes(minutes.into())));
    v1::SessionType {
        id: id.to_string(),
        display_name,
        duration: duration(duration_minutes),
        buffer_before: duration(buffer_before_minutes),
        buffer_after: duration(buffer_after_minutes),
        modalities: modalities.0.into_iter().map(|modality| field::to_modality(modality).into()).collect(),
        grid_interval: duration(grid_interval_minutes),
        grid_offset: duration(grid_offset_minutes),
        load_weight,
    }
}
