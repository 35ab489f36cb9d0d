//! A4: a therapist's calendars, for whoever asks at their secret address over plain HTTP.

use std::collections::HashMap;

use calendar::{Span, ical};
use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use http::{HeaderValue, Response, StatusCode, header};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use sha2::{Digest, Sha256};
use store::{
    BookingId, Instant, TherapistId,
    booking::{self, State},
    booking_event::{self, Changes},
    calendar_feed,
};
use tokio::sync::Semaphore;

use super::{
    calendar_feed::{Calendar, Key},
    schedule,
};
use crate::{
    App,
    alias::handle,
    error::Error,
    rates::{Class, Spot},
};

/// How far back sessions are told of.
const BEFORE: TimeDelta = TimeDelta::days(31);
/// How far ahead.
const AFTER: TimeDelta = TimeDelta::days(366);
/// How many of them.
const MOST: u64 = 1_000;
/// How far ahead open time is told of.
const OPEN: TimeDelta = TimeDelta::days(31);

/// The answer to a GET of `path`; the body is empty unless it is a calendar in force, and then only if it is not the
/// one that `if_none_match` names. Nothing if there is a calendar and no turn left to make it: whoever guesses takes
/// none, and keeps nobody from theirs. Nor if the database is not to be had, which calls tell the log.
///
/// Nobody who asks is known: each time takes a call of the share of their `network`.
///
/// Nothing of the path goes anywhere, and whatever there is nothing at is answered the same.
pub async fn published(
    app: &App,
    path: &str,
    network: Option<Spot>,
    if_none_match: Option<&HeaderValue>,
    turns: &Semaphore,
) -> Option<Response<String>> {
    if let Err(refused) = app.rates.anonymous(Some(Class::Other), network) {
        return Some(later(&refused));
    }
    let made = match find(app, path).await {
        Ok(None) => return Some(answer(StatusCode::NOT_FOUND, String::new())),
        Ok(Some((therapist, calendar))) => {
            let _turn = turns.try_acquire().ok()?;
            make(app, therapist, calendar).await
        }
        Err(error) => Err(error),
    };
    let calendar = match made {
        Ok(calendar) => calendar,
        Err(Error::Store(store::Error::Unavailable(_))) => return None,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "a calendar could not be published");
            return Some(answer(StatusCode::SERVICE_UNAVAILABLE, String::new()));
        }
    };
    let tag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&calendar)[..16]));
    let known = if_none_match
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag));
    let mut response = if known {
        answer(StatusCode::NOT_MODIFIED, String::new())
    } else {
        answer(StatusCode::OK, calendar)
    };
    response.headers_mut().extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    Some(response)
}

/// Too much was asked, and for how long not to.
fn later(refused: &Error) -> Response<String> {
    let mut response = answer(StatusCode::TOO_MANY_REQUESTS, String::new());
    let seconds = match refused {
        Error::RateLimited { wait } => wait.num_seconds().unsigned_abs() + 1,
        _ => 1,
    };
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// With what is said of every answer: that it is one reader's, to be asked for again each time, and what it is.
fn answer(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in [
        (header::CONTENT_TYPE, "text/calendar; charset=utf-8"),
        (header::CACHE_CONTROL, "private, no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whose calendar is at the path, and which.
async fn find(app: &App, path: &str) -> Result<Option<(TherapistId, Calendar)>, Error> {
    let Some((key, calendar)) = Key::parse(path) else { return Ok(None) };
    let row = calendar_feed::Entity::find()
        .filter(calendar_feed::COLUMN.hash.eq(key.hash()))
        .one(app.db.read())
        .await?;
    Ok(row.map(|row| (row.therapist_id, calendar)))
}

async fn make(app: &App, therapist: TherapistId, calendar: Calendar) -> Result<String, Error> {
    let now = app.clock.now();
    match calendar {
        Calendar::Sessions => sessions(app, therapist, now).await,
        Calendar::OpenTime => open_time(app, therapist, now).await,
    }
}

async fn sessions(app: &App, therapist: TherapistId, now: DateTime<Utc>) -> Result<String, Error> {
    let db = app.db.read();
    let bookings = booking::Entity::find()
        .filter(booking::COLUMN.therapist_id.eq(therapist))
        .filter(booking::COLUMN.state.is_in([State::Booked, State::Arrived, State::Fulfilled, State::NoShow]))
        .filter(booking::COLUMN.starts_at.gt(Instant::from(now - BEFORE)))
        .filter(booking::COLUMN.starts_at.lt(Instant::from(now + AFTER)))
        .order_by_asc(booking::Column::StartsAt)
        .limit(MOST)
        .all(db)
        .await?;
    let changes = booking_event::Entity::changes(bookings.iter().map(|booking| booking.id)).all(db).await?;
    let changes: HashMap<BookingId, Changes> =
        changes.into_iter().map(|changes| (changes.booking_id, changes)).collect();
    let texts: Vec<_> = bookings
        .iter()
        .map(|booking| {
            let handle = booking.alias_id.map(|alias| handle::pair(&app.keyring, alias, therapist));
            (booking.id.to_string(), handle.unwrap_or_default())
        })
        .collect();
    let events: Vec<_> = bookings
        .iter()
        .zip(&texts)
        .filter_map(|(booking, (uid, handle))| {
            let changes = changes.get(&booking.id);
            Some(ical::write::SessionEvent {
                uid,
                sequence: changes.map_or(0, |changes| changes.sequence.unsigned_abs()),
                changed: changes.map_or(booking.starts_at, |changes| changes.at).into(),
                span: Span::new(booking.starts_at.into(), booking.ends_at.into())?,
                handle,
            })
        })
        .collect();
    Ok(ical::write::sessions(&events))
}

/// From the midnight before, so that it is the same text until something changes or the day ends.
async fn open_time(app: &App, therapist: TherapistId, now: DateTime<Utc>) -> Result<String, Error> {
    let db = app.db.read();
    let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    let range = Span::new(midnight, midnight + OPEN).expect("31 days are not nothing");
    let schedule = schedule::schedules(app, db, &[therapist]).await?.remove(&therapist);
    let open = schedule.map(|schedule| schedule.open(range).spans().to_vec()).unwrap_or_default();
    let busy = booking::Entity::keeping(therapist, range, now).all(db).await?;
    let busy: Vec<Span> = busy.iter().filter_map(booking::Model::busy).collect();
    Ok(ical::write::open_time(&therapist.to_string(), midnight, range, &calendar::subtract(&open, &busy)))
}
