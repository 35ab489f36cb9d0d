//! A2, D4: the therapist sees how much there is to do, and nobody else does.

use api::v1;
use calendar::{Span, Tally};
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use store::{
    TherapistId,
    booking::{self, Held},
};

use super::schedule;
use crate::{
    App,
    error::{Error, Violation},
    field,
};

/// How many dates are told of at once.
const MOST: usize = 92;

pub(super) async fn get_load(
    app: &App,
    therapist: TherapistId,
    request: v1::GetLoadRequest,
    now: DateTime<Utc>,
) -> Result<v1::GetLoadResponse, Error> {
    let v1::GetLoadRequest { start_date, end_date } = request;
    let first = field::date(field::given(start_date, "start_date")?, "start_date")?;
    let last = field::date(field::given(end_date, "end_date")?, "end_date")?;
    if last < first {
        return Err(Error::invalid("end_date", Violation::ReversedSpan));
    }
    let dates: Vec<NaiveDate> = first.iter_days().take_while(|date| *date <= last).take(MOST + 1).collect();
    if dates.len() > MOST {
        return Err(field::out_of_range("end_date", "at most 92 days from the first"));
    }
    let mut mondays: Vec<NaiveDate> = dates.iter().copied().map(monday).collect();
    mondays.dedup();

    let db = app.db.read();
    let schedule = schedule::saved_or_empty(app, db, therapist).await?;
    // The weeks of those dates on whatever clock.
    let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc();
    let day = TimeDelta::days(1);
    let weeks = Span::new(midnight(monday(first)) - day, midnight(monday(last)) + day * 8)
        .ok_or(Error::invalid("end_date", Violation::ReversedSpan))?;
    let held = booking::Entity::held_by(therapist, weeks, now).all(db).await?;
    let booked = held.iter().filter(|held| held.hold_expires_at.is_none());
    let load = schedule.count(booked.filter_map(Held::session));
    Ok(v1::GetLoadResponse {
        days: dates.into_iter().map(|date| print(date, load.day(date))).collect(),
        weeks: mondays.into_iter().map(|monday| print(monday, load.week(monday))).collect(),
    })
}

fn monday(date: NaiveDate) -> NaiveDate {
    date - Days::new(date.weekday().num_days_from_monday().into())
}

fn print(date: NaiveDate, tally: Tally) -> v1::Load {
    let Tally { sessions, minutes, load } = tally;
    v1::Load {
        start_date: Some(field::to_date(date)),
        sessions: field::count(sessions),
        session_time: Some(field::duration(TimeDelta::minutes(field::count(minutes).into()))),
        load: field::count(load),
    }
}
