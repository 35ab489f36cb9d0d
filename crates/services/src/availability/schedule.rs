//! Weekly windows and how they are booked (A1), between message, row and rule.

use std::collections::{HashMap, HashSet};

use api::{
    google::r#type::DayOfWeek,
    v1::{self, schedule::Horizon as To},
};
use calendar::{Horizon, Limits, Protected, SettingsError, Window};
use chrono::{DateTime, TimeDelta, Utc, Weekday};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, QueryFilter,
};
use store::{List, TherapistId, date_override, schedule, therapist, time_off};

use super::settings::{self, Saved};
use crate::{
    App,
    directory::by_therapist,
    error::{Error, Violation},
    field,
};

/// Well below what SQLite binds in one statement; for more, all rows are read and the others left out.
const MOST_IDS: usize = 1_000;

/// Therapists' time as the calendar reads it, in three statements. Who saved none is not in the answer.
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
        let mut schedule = ordinary(app, row)?;
        let overrides = overrides.remove(&therapist).unwrap_or_default();
        schedule.overrides = overrides.into_iter().map(Into::into).collect();
        let time_off = time_off.remove(&therapist).unwrap_or_default();
        schedule.time_off = time_off.iter().filter_map(time_off::Model::span).collect();
        Some((therapist, schedule))
    });
    Ok(schedules.collect())
}

/// The same without date overrides and time off; without windows, if none was saved.
pub(super) async fn saved_or_empty(
    app: &App,
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<calendar::Schedule, Error> {
    let row = schedule::Entity::find_by_id(therapist).one(db).await?;
    let empty = || calendar::Schedule {
        zone: calendar::Zone::utc(),
        windows: Vec::new(),
        overrides: Vec::new(),
        time_off: Vec::new(),
        protected: Protected::default(),
        travels: Vec::new(),
        notice: TimeDelta::zero(),
        horizon: Horizon::Days(1),
        limits: Limits::default(),
    };
    Ok(row.and_then(|row| ordinary(app, row)).unwrap_or_else(empty))
}

/// What was saved, or an empty one in the therapist's own zone.
pub(super) async fn get(db: &impl ConnectionTrait, therapist: TherapistId) -> Result<v1::Schedule, Error> {
    if let Some(row) = schedule::Entity::find_by_id(therapist).one(db).await? {
        return Ok(show(row));
    }
    let own = therapist::Entity::find_by_id(therapist).one(db).await?.ok_or(Error::NotFound("therapist"))?;
    Ok(v1::Schedule { time_zone: own.profile.time_zone, ..v1::Schedule::default() })
}

/// Replaces the schedule, unless it contradicts itself, the session types or the date overrides (A3).
pub(super) async fn update(
    app: &App,
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    message: v1::Schedule,
    now: DateTime<Utc>,
) -> Result<v1::Schedule, Error> {
    let row = parse(app, therapist, message)?;
    let mut wanted = ordinary(app, row.clone())
        .ok_or_else(|| Error::invalid("schedule.time_zone", Violation::UnknownZone))?;
    check_reach(&wanted, now)?;
    wanted.overrides = settings::overrides_to_come(tx, therapist, now).await?;
    let sessions = settings::sessions(tx, therapist).await?;
    settings::check(&wanted, &sessions, Saved::Schedule)?;

    let before = schedule::Entity::find_by_id(therapist).one(tx).await?;
    let row = row.into_active_model();
    let row = if before.is_some() { row.reset_all().update(tx).await? } else { row.insert(tx).await? };
    Ok(show(row))
}

/// The schedule without overrides and time off. Nothing, as if none were saved, if the rules in force know one of
/// its zones no more: better closed than open at a wrong time.
fn ordinary(app: &App, row: schedule::Model) -> Option<calendar::Schedule> {
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
        overrides: Vec::new(),
        time_off: Vec::new(),
        protected: Protected::default(),
        travels: travels.collect::<Option<_>>()?,
        notice: TimeDelta::minutes(notice_minutes.into()),
        horizon: horizon.0,
        limits: Limits::default(),
    })
}

fn parse(app: &App, therapist: TherapistId, message: v1::Schedule) -> Result<schedule::Model, Error> {
    let v1::Schedule { time_zone, windows, minimum_notice, travels, horizon } = message;
    let windows = field::list(windows, 50, "schedule.windows", |v1::WeeklyWindow { day, hours }, path| {
        Ok(Window {
            weekday: weekday(day, &format!("{path}.day"))?,
            hours: field::hours(hours, &format!("{path}.hours"))?,
        })
    })?;
    let travels = field::list(
        travels,
        20,
        "schedule.travels",
        |v1::Travel { start_date, end_date, time_zone }, path| {
            let (start, end) = (format!("{path}.start_date"), format!("{path}.end_date"));
            Ok(schedule::Travel {
                from: field::date(field::given(start_date, &start)?, &start)?,
                until: field::date(field::given(end_date, &end)?, &end)?,
                time_zone: field::zone(app, &time_zone, &format!("{path}.time_zone"))?.name().to_owned(),
            })
        },
    )?;
    let notice = field::minutes(minimum_notice, "schedule.minimum_notice")?.num_minutes();
    Ok(schedule::Model {
        therapist_id: therapist,
        time_zone: field::zone(app, &time_zone, "schedule.time_zone")?.name().to_owned(),
        windows: List(windows),
        travels: List(travels),
        notice_minutes: i32::try_from(notice)
            .map_err(|_| field::out_of_range("schedule.minimum_notice", "at most 366 days"))?,
        horizon: store::Horizon(parse_horizon(horizon)?),
    })
}

fn parse_horizon(horizon: Option<To>) -> Result<Horizon, Error> {
    match field::given(horizon, "schedule.horizon_days")? {
        To::HorizonDays(days) => u32::try_from(days)
            .ok()
            .filter(|days| (1..=730).contains(days))
            .map(Horizon::Days)
            .ok_or_else(|| field::out_of_range("schedule.horizon_days", "1 to 730")),
        To::HorizonDate(date) => Ok(Horizon::Until(field::date(date, "schedule.horizon_date")?)),
    }
}

fn weekday(number: i32, field: &str) -> Result<Weekday, Error> {
    match DayOfWeek::try_from(number) {
        Ok(DayOfWeek::Unspecified) => Err(field::required(field)),
        Ok(DayOfWeek::Monday) => Ok(Weekday::Mon),
        Ok(DayOfWeek::Tuesday) => Ok(Weekday::Tue),
        Ok(DayOfWeek::Wednesday) => Ok(Weekday::Wed),
        Ok(DayOfWeek::Thursday) => Ok(Weekday::Thu),
        Ok(DayOfWeek::Friday) => Ok(Weekday::Fri),
        Ok(DayOfWeek::Saturday) => Ok(Weekday::Sat),
        Ok(DayOfWeek::Sunday) => Ok(Weekday::Sun),
        Err(_) => Err(field::malformed(field, "a day of the week")),
    }
}

/// A last date that the notice reaches past today contradicts it (A3). Only whoever knows what day it is can tell.
fn check_reach(schedule: &calendar::Schedule, now: DateTime<Utc>) -> Result<(), Error> {
    let Horizon::Until(last) = schedule.horizon else { return Ok(()) };
    let today = schedule.zone.local(now).date();
    let first = now.checked_add_signed(schedule.notice).map(|at| schedule.zone.local(at).date());
    if first.is_some_and(|first| first <= last) {
        return Ok(());
    }
    let days = u32::try_from((last - today).num_days()).unwrap_or_default();
    let error = SettingsError::NoticeBeyondHorizon { notice: schedule.notice, days };
    Err(settings::refusal(error, Saved::Schedule))
}

fn show(row: schedule::Model) -> v1::Schedule {
    let schedule::Model { therapist_id: _, time_zone, windows, travels, notice_minutes, horizon } = row;
    let day = |weekday| match weekday {
        Weekday::Mon => DayOfWeek::Monday,
        Weekday::Tue => DayOfWeek::Tuesday,
        Weekday::Wed => DayOfWeek::Wednesday,
        Weekday::Thu => DayOfWeek::Thursday,
        Weekday::Fri => DayOfWeek::Friday,
        Weekday::Sat => DayOfWeek::Saturday,
        Weekday::Sun => DayOfWeek::Sunday,
    };
    let windows = windows.0.into_iter().map(|Window { weekday, hours }| v1::WeeklyWindow {
        day: day(weekday).into(),
        hours: Some(field::to_hours(hours)),
    });
    let travels = travels.0.into_iter().map(|schedule::Travel { from, until, time_zone }| v1::Travel {
        start_date: Some(field::to_date(from)),
        end_date: Some(field::to_date(until)),
        time_zone,
    });
    v1::Schedule {
        time_zone,
        windows: windows.collect(),
        minimum_notice: Some(field::duration(TimeDelta::minutes(notice_minutes.into()))),
        travels: travels.collect(),
        horizon: Some(match horizon.0 {
            Horizon::Days(days) => To::HorizonDays(i32::try_from(days).unwrap_or(i32::MAX)),
            Horizon::Until(date) => To::HorizonDate(field::to_date(date)),
        }),
    }
}

fn among(column: impl ColumnTrait, therapists: &[TherapistId]) -> Condition {
    let anybody = Condition::all();
    if therapists.len() > MOST_IDS { anybody } else { anybody.add(column.is_in(therapists.iter().copied())) }
}
