//! Weekly windows and how they are booked (A1), between message, row and rule.

use std::collections::{HashMap, HashSet};

use api::{
    google::r#type::DayOfWeek,
    v1::{self, schedule::Horizon as To},
};
use calendar::{Busy, Caps, DateOverride, Horizon, Limits, Pacing, Protected, SettingsError, Window};
use chrono::{DateTime, TimeDelta, Utc, Weekday};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, QueryFilter,
};
use store::{List, TherapistId, busy_feed, date_override, schedule, therapist, time_off};

use super::settings::{self, Saved};
use crate::{
    App,
    directory::by_therapist,
    error::{Error, Violation},
    field,
};

/// Well below what SQLite binds in one statement; for more, all rows are read and the others left out.
const MOST_IDS: usize = 1_000;

/// Therapists' time as the calendar reads it, in four statements. Who saved none is not in the answer.
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
    let busy_feeds =
        busy_feed::Entity::find().filter(among(busy_feed::Column::TherapistId, therapists)).all(db).await?;
    let mut overrides = by_therapist(overrides, |row| row.therapist_id);
    let mut time_off = by_therapist(time_off, |row| row.therapist_id);
    let mut busy_feeds = by_therapist(busy_feeds, |row| row.therapist_id);
    let schedules = rows.into_iter().filter(|row| wanted.contains(&row.therapist_id)).filter_map(|row| {
        let therapist = row.therapist_id;
        let mut schedule = ordinary(app, row)?;
        let overrides = overrides.remove(&therapist).unwrap_or_default();
        schedule.overrides = overrides.into_iter().map(Into::into).collect();
        let time_off = time_off.remove(&therapist).unwrap_or_default();
        schedule.time_off = time_off.iter().filter_map(time_off::Model::span).collect();
        let busy = busy_feeds.remove(&therapist).unwrap_or_default();
        schedule.busy_elsewhere = busy.into_iter().flat_map(|row| row.busy.0).collect();
        Some((therapist, schedule))
    });
    Ok(schedules.collect())
}

/// The same without date overrides, time off and busy time elsewhere; without windows, if none was saved.
pub(super) async fn saved_or_empty(
    app: &App,
    db: &impl ConnectionTrait,
    therapist: TherapistId,
) -> Result<calendar::Schedule, Error> {
    let row = schedule::Entity::find_by_id(therapist).one(db).await?;
    Ok(row.and_then(|row| ordinary(app, row)).unwrap_or_else(empty))
}

/// The schedule of whoever saved none.
pub(crate) fn empty() -> calendar::Schedule {
    calendar::Schedule {
        zone: calendar::Zone::utc(),
        windows: Vec::new(),
        overrides: Vec::new(),
        time_off: Vec::new(),
        busy_elsewhere: Busy::default(),
        protected: Protected::default(),
        travels: Vec::new(),
        notice: TimeDelta::zero(),
        horizon: Horizon::Days(1),
        limits: Limits::default(),
    }
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

/// The schedule without overrides, time off and busy time elsewhere. Nothing, as if none were saved, if the rules in force know one of
/// its zones no more: better closed than open at a wrong time.
fn ordinary(app: &App, row: schedule::Model) -> Option<calendar::Schedule> {
    let schedule::Model {
        therapist_id: _,
        time_zone,
        windows,
        travels,
        notice_minutes,
        horizon,
        limits,
        protected_windows,
        protected_dates,
    } = row;
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
        busy_elsewhere: Busy::default(),
        protected: Protected { windows: protected_windows.0, overrides: protected_dates.0 },
        travels: travels.collect::<Option<_>>()?,
        notice: TimeDelta::minutes(notice_minutes.into()),
        horizon: horizon.0,
        limits: limits.0,
    })
}

fn parse(app: &App, therapist: TherapistId, message: v1::Schedule) -> Result<schedule::Model, Error> {
    let v1::Schedule {
        time_zone,
        windows,
        minimum_notice,
        travels,
        horizon,
        day_limits,
        week_limits,
        pacing,
        protected_windows,
        protected_dates,
    } = message;
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
        windows: List(field::list(windows, 50, "schedule.windows", parse_window)?),
        travels: List(travels),
        notice_minutes: i32::try_from(notice)
            .map_err(|_| field::out_of_range("schedule.minimum_notice", "at most 366 days"))?,
        horizon: store::Horizon(parse_horizon(horizon)?),
        limits: store::Limits(Limits {
            day: caps(day_limits, "schedule.day_limits")?,
            week: caps(week_limits, "schedule.week_limits")?,
            pacing: pacing.map(parse_pacing).transpose()?,
        }),
        protected_windows: List(field::list(
            protected_windows,
            50,
            "schedule.protected_windows",
            parse_window,
        )?),
        protected_dates: List(parse_protected_dates(protected_dates)?),
    })
}

fn parse_window(message: v1::WeeklyWindow, path: &str) -> Result<Window, Error> {
    let v1::WeeklyWindow { day, hours } = message;
    Ok(Window {
        weekday: weekday(day, &format!("{path}.day"))?,
        hours: field::hours(hours, &format!("{path}.hours"))?,
    })
}

/// Bounds that keep sums far from what overflows; whether a limit makes sense, the calendar knows.
fn caps(message: Option<v1::LoadLimits>, field: &str) -> Result<Caps, Error> {
    let v1::LoadLimits { max_sessions, max_session_time, max_load } = message.unwrap_or_default();
    let number = |number: i32, name: &str| match u32::try_from(number) {
        Ok(0) => Ok(None),
        Ok(number @ ..=10_000) => Ok(Some(number)),
        _ => Err(field::out_of_range(&format!("{field}.{name}"), "0 to 10,000")),
    };
    let time = format!("{field}.max_session_time");
    let minutes = |duration| {
        let minutes = field::minutes(Some(duration), &time)?.num_minutes();
        let bounded = u32::try_from(minutes).ok().filter(|minutes| *minutes <= 7 * 1_440);
        bounded.ok_or_else(|| field::out_of_range(&time, "at most 7 days"))
    };
    Ok(Caps {
        sessions: number(max_sessions, "max_sessions")?,
        minutes: max_session_time.map(minutes).transpose()?,
        load: number(max_load, "max_load")?,
    })
}

/// What is out of reach of the numbers is out of the calendar's bounds, too.
fn parse_pacing(message: v1::Pacing) -> Result<Pacing, Error> {
    let v1::Pacing { max_sessions_in_a_row, break_duration } = message;
    let pause = field::minutes(break_duration, "schedule.pacing.break_duration")?.num_minutes();
    Ok(Pacing {
        sessions: u32::try_from(max_sessions_in_a_row).unwrap_or_default(),
        break_minutes: u32::try_from(pause).unwrap_or(u32::MAX),
    })
}

fn parse_protected_dates(messages: Vec<v1::ProtectedDate>) -> Result<Vec<DateOverride>, Error> {
    let mut dates = HashSet::new();
    field::list(messages, 100, "schedule.protected_dates", |v1::ProtectedDate { date, kind, hours }, path| {
        let day = super::date_override::parse_day(date, kind, hours, path)?;
        if dates.insert(day.date) {
            return Ok(day);
        }
        Err(Error::invalid(format!("{path}.date"), Violation::Duplicate))
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
    let schedule::Model {
        therapist_id: _,
        time_zone,
        windows,
        travels,
        notice_minutes,
        horizon,
        limits: store::Limits(Limits { day: day_limits, week, pacing }),
        protected_windows,
        protected_dates,
    } = row;
    let day = |weekday| match weekday {
        Weekday::Mon => DayOfWeek::Monday,
        Weekday::Tue => DayOfWeek::Tuesday,
        Weekday::Wed => DayOfWeek::Wednesday,
        Weekday::Thu => DayOfWeek::Thursday,
        Weekday::Fri => DayOfWeek::Friday,
        Weekday::Sat => DayOfWeek::Saturday,
        Weekday::Sun => DayOfWeek::Sunday,
    };
    let window = |Window { weekday, hours }: Window| v1::WeeklyWindow {
        day: day(weekday).into(),
        hours: Some(field::to_hours(hours)),
    };
    let travels = travels.0.into_iter().map(|schedule::Travel { from, until, time_zone }| v1::Travel {
        start_date: Some(field::to_date(from)),
        end_date: Some(field::to_date(until)),
        time_zone,
    });
    v1::Schedule {
        time_zone,
        windows: windows.0.into_iter().map(window).collect(),
        minimum_notice: Some(field::duration(TimeDelta::minutes(notice_minutes.into()))),
        travels: travels.collect(),
        horizon: Some(match horizon.0 {
            Horizon::Days(days) => To::HorizonDays(i32::try_from(days).unwrap_or(i32::MAX)),
            Horizon::Until(date) => To::HorizonDate(field::to_date(date)),
        }),
        day_limits: show_caps(day_limits),
        week_limits: show_caps(week),
        pacing: pacing.map(|Pacing { sessions, break_minutes }| v1::Pacing {
            max_sessions_in_a_row: field::count(sessions),
            break_duration: Some(field::duration(TimeDelta::minutes(break_minutes.into()))),
        }),
        protected_windows: protected_windows.0.into_iter().map(window).collect(),
        protected_dates: protected_dates.0.into_iter().map(show_protected_date).collect(),
    }
}

fn show_caps(caps: Caps) -> Option<v1::LoadLimits> {
    let Caps { sessions, minutes, load } = caps;
    let limits = v1::LoadLimits {
        max_sessions: sessions.map(field::count).unwrap_or_default(),
        max_session_time: minutes.map(|minutes| field::duration(TimeDelta::minutes(minutes.into()))),
        max_load: load.map(field::count).unwrap_or_default(),
    };
    (caps != Caps::default()).then_some(limits)
}

fn show_protected_date(day: DateOverride) -> v1::ProtectedDate {
    let DateOverride { date, kind, windows } = day;
    v1::ProtectedDate {
        date: Some(field::to_date(date)),
        kind: super::date_override::print_kind(kind).into(),
        hours: windows.into_iter().map(field::to_hours).collect(),
    }
}

fn among(column: impl ColumnTrait, therapists: &[TherapistId]) -> Condition {
    let anybody = Condition::all();
    if therapists.len() > MOST_IDS { anybody } else { anybody.add(column.is_in(therapists.iter().copied())) }
}
