//! Calendars elsewhere that keep a therapist busy (A1).
//!
//! Of each, what is kept is when it keeps them busy; its address is sealed. What it said last stays until a fetch brings
//! something else, whatever fails meanwhile.

use std::collections::BTreeSet;

use api::v1;
use calendar::{
    Span, Zone,
    ical::{self, IcalError},
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use fetch::{FeedUrl, Fetched};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use serde::{Deserialize, Serialize};
use store::{
    BookingId, FeedId, Instant, List, Opaque, TherapistId,
    booking::{self, State},
    busy_feed, feed,
};
use vault::{Keyring, Padding};
use zeroize::Zeroizing;

use super::schedule;
use crate::{
    App, Caller,
    error::{Error, LimitReason},
    feeds::{self, Read},
    field,
    once::{Once, Turn},
};

/// How many a therapist has at most.
const MOST: u64 = 5;
/// How far back events are kept: no session that begins now needs time before.
const BEFORE: TimeDelta = TimeDelta::days(1);
/// How far ahead: to any schedule's horizon from any day on which what was read holds.
const AHEAD: TimeDelta = TimeDelta::days(735);

/// All of them, by name, each with the bookings that it collides with.
pub(super) async fn list(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
    now: DateTime<Utc>,
) -> Result<Vec<v1::BusyFeed>, Error> {
    let by_name = of(therapist).order_by_asc(busy_feed::Column::DisplayName);
    let kept = by_name.order_by_asc(busy_feed::Column::Id).all(db).await?;
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let ids = kept.iter().map(|row| row.id);
    let feeds = feed::Entity::find().filter(feed::Column::Id.is_in(ids)).all(db).await?;
    let booked = booked(db, therapist, now).await?;
    let shown = kept.into_iter().filter_map(|row| {
        let feed = feeds.iter().find(|feed| feed.id == row.id)?;
        Some(show(row, feed, &booked))
    });
    Ok(shown.collect())
}

/// Fetches a calendar, and keeps it if it could be read.
pub(super) async fn create(
    app: &App,
    caller: Caller,
    therapist: TherapistId,
    request: v1::CreateBusyFeedRequest,
    now: DateTime<Utc>,
) -> Result<v1::CreateBusyFeedResponse, Error> {
    let message = field::given(request.busy_feed.clone(), "busy_feed")?;
    let v1::BusyFeed { id: _, display_name, feed_uri, state: _, colliding_booking_ids: _ } = message;
    let display_name = field::line(display_name, 60, "busy_feed.display_name")?;
    let url = feeds::address(&feed_uri, "busy_feed.feed_uri")?.expose();

    let begin = || Once::begin(app, caller, "CreateBusyFeed", &request, &request.request_id, now);
    // Nothing stays locked while it is fetched.
    match begin().await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => {
            check_room(&once.tx, therapist).await?;
            feeds::take_turn(once, now).await?;
        }
    }
    let News { source, busy } = fetch(app, therapist, Source { url, read: None }, now).await?;
    let busy = List(busy.ok_or(Error::FeedUnavailable)?);
    let once = match begin().await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    check_room(&once.tx, therapist).await?;
    let id = FeedId::random();
    let feed = feeds::begun(id, None, source.seal(app, id)?, now)?;
    let feed = feed.into_active_model().insert(&once.tx).await?;
    let row = busy_feed::Model { id, therapist_id: therapist, display_name, busy };
    let row = row.into_active_model().insert(&once.tx).await?;
    let booked = booked(&once.tx, therapist, now).await?;
    let busy_feed = Some(show(row, &feed, &booked));
    once.commit(v1::CreateBusyFeedResponse { busy_feed }).await
}

pub(super) async fn delete(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    id: FeedId,
) -> Result<(), Error> {
    let row = of(therapist).filter(busy_feed::COLUMN.id.eq(id)).one(tx).await?;
    row.ok_or(Error::NotFound("busy feed"))?.delete(tx).await?;
    feed::Entity::delete_by_id(id).exec(tx).await?;
    Ok(())
}

/// Where a calendar is, and what is known of it; kept sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Source {
    url: String,
    /// Nothing before the first fetch.
    read: Option<Read>,
}

/// What a fetch brought.
pub(crate) struct News {
    source: Source,
    /// Nothing if the calendar says what it said before.
    busy: Option<Vec<Span>>,
}

impl Source {
    pub(crate) fn unseal(app: &App, feed: &feed::Model) -> Result<Self, Error> {
        serde_json::from_slice(&open(&app.keyring, feed)?).map_err(|_| Error::Sealed(SEALED))
    }

    fn seal(&self, app: &App, id: FeedId) -> Result<Opaque, Error> {
        let plaintext = serde_json::to_vec(self).map_err(|_| Error::Sealed(SEALED))?;
        Ok(Opaque(app.keyring.therapists_key().seal(SEALED, id.0.into_bytes(), &plaintext, PADDING)))
    }
}

/// The same under the key that wraps now.
pub(crate) fn reseal(keyring: &Keyring, feed: &feed::Model) -> Result<Opaque, Error> {
    let plaintext = open(keyring, feed)?;
    Ok(Opaque(keyring.therapists_key().seal(SEALED, feed.id.0.into_bytes(), &plaintext, PADDING)))
}

fn open(keyring: &Keyring, feed: &feed::Model) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (_, key) = keyring.therapists_key_of(&feed.sealed.0).ok_or(Error::Sealed(SEALED))?;
    key.open(SEALED, feed.id.0.into_bytes(), &feed.sealed.0).map_err(|_| Error::Sealed(SEALED))
}

const SEALED: &str = "feed.sealed";
/// Every address there may be fits.
const PADDING: Padding = Padding::to(8192);

/// Fetches and reads it. Whoever gave the address learns only that this failed, so that nobody maps a network
/// through it.
pub(crate) async fn fetch(
    app: &App,
    therapist: TherapistId,
    source: Source,
    now: DateTime<Utc>,
) -> Result<News, Error> {
    let url: FeedUrl = source.url.parse().map_err(|_| Error::Sealed(SEALED))?;
    let zone = zone(app, therapist).await?;
    let known = source.read.as_ref().and_then(|read| read.known(app, &zone, now));
    match app.feeds.get(&url, known.as_ref()).await.map_err(|_| Error::FeedUnavailable)? {
        Fetched::Unchanged => Ok(News { source, busy: None }),
        Fetched::Calendar { bytes, validator } => {
            let read = Read::now(app, &zone, validator, now);
            // By days, so that what is read again is the same all day, and nobody hears of a change that is none.
            let today = now.date_naive().and_time(NaiveTime::MIN).and_utc();
            let window = Span::new(today - BEFORE, today + AHEAD).ok_or(Error::Interrupted)?;
            let own = own_sessions(app, therapist, window).await?;
            let busy = read_busy(app, bytes, zone, own, window).await?;
            Ok(News { source: Source { read: Some(read), ..source }, busy: Some(busy) })
        }
    }
}

/// Keeps what a fetch brought.
pub(crate) async fn renew(app: &App, tx: &DatabaseTransaction, id: FeedId, news: News) -> Result<(), Error> {
    let News { source, busy } = news;
    let sealed = Set(source.seal(app, id)?);
    feed::ActiveModel { id: Set(id), sealed, ..Default::default() }.update(tx).await?;
    if let Some(busy) = busy {
        busy_feed::ActiveModel { id: Set(id), busy: Set(List(busy)), ..Default::default() }
            .update(tx)
            .await?;
    }
    Ok(())
}

/// The clock of the schedule, or of the profile until there is one.
async fn zone(app: &App, therapist: TherapistId) -> Result<Zone, Error> {
    let name = schedule::get(app.db.read(), therapist).await?.time_zone;
    app.rules.zone(&name).ok_or(Error::FeedUnavailable)
}

/// How the sessions are called that the therapist's own calendar has, or had: where it comes back, it must not keep
/// them busy once a session is cancelled.
async fn own_sessions(app: &App, therapist: TherapistId, window: Span) -> Result<BTreeSet<String>, Error> {
    let ids: Vec<BookingId> = booking::Entity::find()
        .select_only()
        .column(booking::Column::Id)
        .filter(booking::COLUMN.therapist_id.eq(therapist))
        .filter(booking::COLUMN.ends_at.gt(Instant::from(window.start())))
        .into_tuple()
        .all(app.db.read())
        .await?;
    Ok(ids.into_iter().map(|id| id.to_string()).collect())
}

/// Reads a calendar, off the async threads.
async fn read_busy(
    app: &App,
    bytes: Vec<u8>,
    zone: Zone,
    own: BTreeSet<String>,
    window: Span,
) -> Result<Vec<Span>, Error> {
    let rules = app.rules.clone();
    let work = move || ical::busy(&bytes, &zone, &rules, window, &own);
    // A parser that panics has met what it cannot read.
    let read = tokio::task::spawn_blocking(work).await.unwrap_or(Err(IcalError::NotACalendar));
    read.map_err(|_| Error::FeedUnavailable)
}

async fn check_room(tx: &DatabaseTransaction, therapist: TherapistId) -> Result<(), Error> {
    if of(therapist).count(tx).await? >= MOST {
        return Err(Error::Limit { reason: LimitReason::BusyFeeds, most: MOST });
    }
    Ok(())
}

fn of(therapist: TherapistId) -> Select<busy_feed::Entity> {
    busy_feed::Entity::find().filter(busy_feed::COLUMN.therapist_id.eq(therapist))
}

/// Sessions to come, the earliest first.
async fn booked(
    db: &impl ConnectionTrait,
    therapist: TherapistId,
    now: DateTime<Utc>,
) -> Result<Vec<booking::Model>, Error> {
    let ahead = Span::new(now, now + AHEAD).ok_or(Error::Interrupted)?;
    let booked = booking::Entity::keeping(therapist, ahead, now)
        .filter(booking::COLUMN.state.is_in([State::Booked, State::Arrived]))
        .order_by_asc(booking::Column::StartsAt)
        .all(db)
        .await?;
    Ok(booked)
}

fn show(row: busy_feed::Model, feed: &feed::Model, booked: &[booking::Model]) -> v1::BusyFeed {
    let busy_feed::Model { id, therapist_id: _, display_name, busy: List(busy) } = row;
    let collides = |session: Span| {
        let next = busy.partition_point(|span| span.end() <= session.start());
        busy.get(next).is_some_and(|span| span.overlaps(session))
    };
    let colliding = booked.iter().filter(|booking| booking.busy().is_some_and(collides));
    v1::BusyFeed {
        id: id.to_string(),
        display_name,
        // Whoever has it reads the calendar.
        feed_uri: String::new(),
        state: Some(feeds::state(feed)),
        colliding_booking_ids: colliding.map(|booking| booking.id.to_string()).collect(),
    }
}
