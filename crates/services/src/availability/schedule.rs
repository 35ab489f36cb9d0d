//! Weekly windows and how they are booked (A1), between message, row and rule.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter};
use store::{TherapistId, date_override, schedule, time_off};

use crate::{App, directory::by_therapist, error::Error};

/// SQLite takes some 32,000 parameters; above this, all rows are read and the others left out.
const MOST_IDS: usize = 1_000;

/// The therapist's time as the calendar reads it; nothing if none was saved.
pub(crate) async fn schedule(
    app: &App,
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<Option<calendar::Schedule>, Error> {
    Ok(schedules(app, db, &[therapist]).await?.remove(&therapist))
}

/// The same of many, in three statements. Who saved none is not in the answer.
pub(crate) async fn schedules(
    app: &App,
    db: &impl ConnectionTrait,
    therapists: &[TherapistId],
) -> Result<HashMap<TherapistId, calendar::Schedule>, Error> {
    let wanted: HashSet<_> = therapists.iter().collect();
    let rows =
        schedule::Entity::find().filter(among(schedule::Column::TherapistId, therapists)).all(db).await?;
    let overrides = date_override::Entity::find()
        .filter(among(date_override::Column::TherapistId, therapists))
        .all(db)
        .await?;
    let time_off =
        time_off::Entity::find().filter(among(time_off::Column::TherapistId, therapists)).all(db).await?;
    let mut overrides = by_therapist(overrides, |row| row.therapist_id);
    let mut time_off = by_therapist(time_off, |row| row.therapist_id);
    let schedules = rows.into_iter().filter(|row| wanted.contains(&row.therapist_id)).filter_map(|row| {
        let therapist = row.therapist_id;
        let overrides = overrides.remove(&therapist).unwrap_or_default();
        let time_off = time_off.remove(&therapist).unwrap_or_default();
        Some((therapist, assemble(app, row, overrides, time_off)?))
    });
    Ok(schedules.collect())
}

/// Nothing, as if no schedule were saved, if the rules in force know one of its zones no more: better closed than
/// open at a wrong time.
fn assemble(
    app: &App,
    row: schedule::Model,
    overrides: Vec<date_override::Model>,
    time_off: Vec<time_off::Model>,
) -> Option<calendar::Schedule> {
    let schedule::Model { therapist_id: _, time_zone, windows, travels, notice_minutes, horizon } = row;
    let zone = |name: &str| {
        let zone = app.rules.zone(name);
        if zone.is_none() {
            tracing::warn!(zone = name, "zone rules know a schedule's zone no more; it is taken as closed");
        }
        zone
    };
    let travels = travels.0.into_iter().map(|schedule::Travel { from, until, time_zone }| {
        Some(calendar::Travel { from, until, zone: zone(&time_zone)? })
    });
    Some(calendar::Schedule {
        zone: zone(&time_zone)?,
        windows: windows.0,
        overrides: overrides.into_iter().map(Into::into).collect(),
        time_off: time_off.iter().filter_map(time_off::Model::span).collect(),
        travels: travels.collect::<Option<_>>()?,
        notice: TimeDelta::minutes(notice_minutes.into()),
        horizon: horizon.0,
    })
}

fn among(column: impl ColumnTrait, therapists: &[TherapistId]) -> Condition {
    let anybody = Condition::all();
    if therapists.len() > MOST_IDS { anybody } else { anybody.add(column.is_in(therapists.iter().copied())) }
}
