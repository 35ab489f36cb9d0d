//! Everybody who can be found, and when they are free, kept in memory and current.
//!
//! A search asks this and never the database. Loaded at the start, it follows what the database's triggers write down of
//! every change (`store::change`): at once after a change of this server's own, soon after word from another, and
//! every second in any case, so that a server that was cut off catches up by itself. It may be a moment old: a
//! booking's own transaction judges.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use calendar::{Admitted, Span};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use search::{Booked, Facet, Hold, Index};
use store::{
    Instant, TherapistId,
    booking::{self, Tagged},
    change::{self, Change, Position},
    therapist,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant as Moment, sleep, timeout},
};

use crate::{App, availability, directory, error::Error, exclusions, listing::Listing};

/// How often it looks without being told to.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks, unless somebody waits: changes come in swarms.
const PACE: Duration = Duration::from_millis(50);
/// After a look that failed.
const RECOVER: Duration = Duration::from_millis(500);
/// How long a search waits for what its caller was told already.
const PATIENCE: Duration = Duration::from_secs(2);
/// Therapists that are loaded at a time.
const CHUNK: u64 = 500;
/// Records that time passes for at a time.
const ADVANCED: usize = 256;
/// How old it may be for its server to believe what it remembers of callers.
const BELIEVED: Duration = Duration::from_secs(2);
/// How far back sessions count: to the Monday of a therapist's week, and for those in a row before it.
const COUNTED: TimeDelta = TimeDelta::days(10);
/// How far the clock may have moved on since time passed for the index.
const FRESH: TimeDelta = TimeDelta::hours(12);

/// The index with what keeps it current.
pub struct Mirror {
    index: RwLock<Index>,
    /// Changes committed here.
    committed: AtomicU64,
    /// There is something to look at.
    poke: Notify,
    /// Somebody waits.
    hurry: Notify,
    seen: watch::Sender<Seen>,
}

/// How far the mirror has come.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Raised when what searches find may have changed.
    pub version: u64,
    /// Changes committed here that are in it.
    committed: u64,
    /// By the app's clock; nothing before it is loaded.
    now: Option<DateTime<Utc>>,
    /// When it was last known to be current.
    pub current: Moment,
}

impl Default for Mirror {
    fn default() -> Self {
        let seen = Seen { version: 0, committed: 0, now: None, current: Moment::now() };
        Self {
            index: RwLock::new(Index::new(DateTime::UNIX_EPOCH)),
            committed: AtomicU64::new(0),
            poke: Notify::new(),
            hurry: Notify::new(),
            seen: watch::Sender::new(seen),
        }
    }
}

impl Mirror {
    /// Says that a change was committed here.
    pub(crate) fn committed(&self) {
        self.committed.fetch_add(1, Ordering::Release);
        self.poke.notify_one();
    }

    /// Waits until all is in it that was committed here before, and says whether what is kept in memory may be
    /// believed: a change made elsewhere is no older than a moment.
    pub(crate) async fn catch_up(&self, now: DateTime<Utc>) -> Result<bool, Error> {
        let committed = self.committed.load(Ordering::Acquire);
        let current =
            |seen: &Seen| seen.committed >= committed && seen.now.is_some_and(|then| now - then < FRESH);
        let mut seen = self.seen.subscribe();
        if !current(&seen.borrow()) {
            self.hurry.notify_one();
            self.poke.notify_one();
            let late = timeout(PATIENCE, seen.wait_for(current)).await.is_err();
            // An old answer is better than none; no answer is better than an empty one.
            if late && !self.loaded() {
                return Err(Error::Loading);
            }
        }
        let seen = self.seen.borrow();
        Ok(current(&seen) && seen.current.elapsed() < BELIEVED)
    }

    /// Asks the index as it is.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Index) -> T) -> T {
        question(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends once it is loaded.
    pub async fn until_loaded(&self) {
        // It cannot be dropped while it is borrowed, so that it always ends well.
        let _ = self.seen.subscribe().wait_for(|seen| seen.now.is_some()).await;
    }

    /// Whether it is loaded.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.seen.borrow().now.is_some()
    }

    /// How long ago it was last known to be current.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.seen.borrow().current.elapsed()
    }

    /// Tells of every change of what searches find.
    pub(crate) fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.index.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Loads the mirror and keeps it current, until `stop`.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    tokio::select! {
        biased;
        () = &mut stop => {}
        () = keep(&app) => {}
    }
}

async fn keep(app: &App) {
    let (mut failing, mut position) = (false, None);
    loop {
        let Err(error) = follow(app, &mut position, &mut failing).await;
        // An outage is told when it begins, not at every look.
        if !std::mem::replace(&mut failing, true) {
            tracing::warn!(error = &error as &dyn std::error::Error, "changes are not followed");
        }
        sleep(RECOVER).await;
    }
}

/// Follows from where it stands, and loads everything if it stands nowhere or too far behind.
async fn follow(
    app: &App,
    stands: &mut Option<Position>,
    failing: &mut bool,
) -> Result<std::convert::Infallible, Error> {
    let mirror = &app.mirror;
    // Behind a pooler nobody can listen; looking is enough, and later.
    let mut word = match app.db.listen().await {
        Ok(word) => word,
        Err(store::Error::Unavailable(_)) => store::Word::none(),
        Err(error) => return Err(error.into()),
    };
    let mut position = match *stands {
        Some(position) => position,
        None => *stands.insert(load(app).await?),
    };
    let mut before = HashSet::new();
    loop {
        let told = tokio::select! {
            () = mirror.poke.notified() => true,
            () = word.heard() => false,
            () = sleep(LOOK) => false,
        };
        let (committed, now) = (mirror.committed.load(Ordering::Acquire), app.clock.now());
        let begun = Moment::now();
        let changes = change::since(app.db.read(), position).await?;
        if std::mem::take(failing) {
            tracing::info!("changes are followed again");
        }
        let held_back = changes.next == position;
        if changes.gap {
            position = *stands.insert(load(app).await?);
            // Whatever made it necessary may last: no more than every other moment goes into it.
            sleep(begun.elapsed()).await;
        } else {
            apply(app, &changes.changes, now).await?;
            position = *stands.insert(changes.next);
        }
        while !mirror.change(|index| index.advance(now, ADVANCED)) {
            tokio::task::yield_now().await;
        }
        // A transaction that stays open has all that changed since read again and again: that is no news.
        let read: HashSet<Change> = changes.changes.into_iter().collect();
        let same = if held_back { read.is_subset(&before) } else { read.is_empty() };
        let news = u64::from(changes.gap || !same);
        before = read;
        mirror.seen.send_modify(|seen| {
            *seen = Seen { version: seen.version + news, committed, now: Some(now), current: begun };
        });
        if told {
            change::announce(app.db.read()).await?;
        }
        // Whoever waits does not wait for this.
        let _ = timeout(PACE, mirror.hurry.notified()).await;
    }
}

/// Reads everything.
async fn load(app: &App) -> Result<Position, Error> {
    let mirror = &app.mirror;
    let (committed, now, begun) = (mirror.committed.load(Ordering::Acquire), app.clock.now(), Moment::now());
    let position = change::position(app.db.read()).await?;
    let mut index = Index::new(now);
    let mut known = HashSet::new();
    let mut after = None;
    loop {
        let mut next = therapist::Entity::find()
            .select_only()
            .column(therapist::Column::Id)
            .order_by_asc(therapist::Column::Id)
            .limit(CHUNK);
        if let Some(after) = after {
            next = next.filter(therapist::COLUMN.id.gt(after));
        }
        let ids: Vec<TherapistId> = next.into_tuple().all(app.db.read()).await?;
        after = ids.last().copied();
        if ids.is_empty() {
            break;
        }
        let found = therapists(app, &ids, now).await?;
        known.extend(ids);
        index = tokio::task::spawn_blocking(move || {
            found.into_iter().flatten().for_each(|therapist| index.upsert(therapist));
            index
        })
        .await
        .map_err(|_| Error::Interrupted)?;
    }
    mirror.change(|kept| *kept = index);
    app.listings.retain(&known);
    app.callers.forget_all();
    mirror.seen.send_modify(|seen| {
        *seen = Seen { version: seen.version + 1, committed, now: Some(now), current: begun };
    });
    Ok(position)
}

/// Reads what changed, and only that.
async fn apply(app: &App, changes: &[Change], now: DateTime<Utc>) -> Result<(), Error> {
    let (mut revised, mut callers, mut aliases) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut times: HashMap<TherapistId, Vec<Span>> = HashMap::new();
    for change in changes {
        match *change {
            Change::Therapist(id) => _ = revised.insert(id),
            Change::Caller(id) => _ = callers.insert(id),
            // It is not said who, so that no trace is left.
            Change::Erased => app.callers.forget_all(),
            Change::Booking { therapist_id, busy, alias_id } => {
                times.entry(therapist_id).or_default().push(busy);
                aliases.extend(alias_id);
            }
        }
    }
    times.retain(|id, _| !revised.contains(id));
    app.callers.forget(&callers, &aliases);
    let revised: Vec<_> = revised.into_iter().collect();
    for ids in revised.chunks(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
        let found = therapists(app, ids, now).await?;
        for (id, therapist) in ids.iter().zip(found) {
            app.mirror.change(|index| match therapist {
                Some(therapist) => index.upsert(therapist),
                None => index.remove(search::TherapistId(id.0)),
            });
        }
    }
    let all = || times.values().flatten();
    let range = all().map(|span| span.start()).min().zip(all().map(|span| span.end()).max());
    let Some(range) = range.and_then(|(start, end)| Span::new(start, end)) else { return Ok(()) };
    let taken = booking::Entity::busy_during(range, now)
        .filter(booking::Column::TherapistId.is_in(times.keys().copied()));
    let taken = booking::Entity::with_tags(taken).all(app.db.read()).await?;
    let taken = taken.iter().filter(|Tagged { booking: row, .. }| {
        let touched = |span: &Span| row.busy().is_some_and(|busy| busy.overlaps(*span));
        times[&row.therapist_id].iter().any(touched)
    });
    app.mirror.change(|index| {
        for (therapist, spans) in &times {
            for span in spans {
                index.release(search::TherapistId(therapist.0), *span);
            }
        }
        for row in taken {
            let therapist = row.booking.therapist_id;
            let listing = app.listings.get(therapist);
            let Some(booked) = listing.and_then(|listing| booked(&listing, row)) else { continue };
            let therapist = search::TherapistId(therapist.0);
            match row.booking.hold_expires_at {
                Some(expiry) => index.hold(therapist, &Hold { booked, expiry: expiry.into() }),
                None => index.book(therapist, &booked),
            }
        }
    });
    Ok(())
}

/// Of each of `ids` what the index knows, if they can be found at all.
async fn therapists(
    app: &App,
    ids: &[TherapistId],
    now: DateTime<Utc>,
) -> Result<Vec<Option<search::Therapist>>, Error> {
    let mut listings: HashMap<_, _> = Listing::load(app, app.db.read(), ids)
        .await?
        .into_iter()
        .map(|listing| (listing.therapist.id, Arc::new(listing)))
        .collect();
    let rows = booking::Entity::find()
        .filter(booking::Column::TherapistId.is_in(ids.iter().copied()))
        .filter(booking::COLUMN.occupies.eq(true))
        .filter(booking::COLUMN.ends_at.gt(Instant::from(now - COUNTED)));
    let rows = booking::Entity::with_tags(rows).all(app.db.read()).await?;
    let mut bookings = directory::by_therapist(rows, |row| row.booking.therapist_id);
    let found = ids.iter().map(|id| {
        let listing = listings.remove(id);
        match &listing {
            Some(listing) => app.listings.keep(listing.clone()),
            None => app.listings.forget(*id),
        }
        let listing = listing.filter(|listing| listing.therapist.accepts_new_clients)?;
        Some(entry(&listing, &bookings.remove(id).unwrap_or_default()))
    });
    Ok(found.collect())
}

fn entry(listing: &Listing, bookings: &[Tagged]) -> search::Therapist {
    let profile = &listing.therapist.profile;
    let of = |facet, values: &[String]| -> Vec<(Facet, String)> {
        values.iter().map(|value| (facet, value.clone())).collect()
    };
    let mut terms = of(Facet::Language, &profile.languages);
    terms.extend(of(Facet::Approach, &profile.approaches));
    terms.extend(of(Facet::CulturalCompetence, &profile.cultural_competences));
    terms.extend(profile.gender.map(|gender| (Facet::Gender, directory::gender_name(gender).to_owned())));
    terms
        .extend(exclusions::terms(&listing.exclusion_tags).into_iter().map(|tag| (Facet::ExclusionTag, tag)));
    terms.extend(directory::said(profile).into_iter().map(|word| (Facet::Word, word)));
    let (held, settled): (Vec<_>, Vec<_>) =
        bookings.iter().partition(|row| row.booking.hold_expires_at.is_some());
    search::Therapist {
        id: search::TherapistId(listing.therapist.id.0),
        schedule: listing.schedule.clone().unwrap_or_else(availability::empty),
        session_types: listing
            .offered()
            .map(|offered| search::SessionType {
                id: search::SessionTypeId(offered.id.0),
                rules: offered.rules(),
                modalities: directory::modality_bits(&offered.modalities.0),
            })
            .collect(),
        terms,
        specializations: profile.specializations.iter().map(|had| (had.slug.clone(), had.years)).collect(),
        credentials: listing
            .credentials
            .iter()
            .map(|credential| search::Credential {
                jurisdictions: credential.jurisdictions.0.clone(),
                until: credential.expires_on,
            })
            .collect(),
        booked: settled.iter().filter_map(|row| booked(listing, row)).collect(),
        holds: held
            .iter()
            .filter_map(|row| {
                Some(Hold { booked: booked(listing, row)?, expiry: row.booking.hold_expires_at?.into() })
            })
            .collect(),
    }
}

/// A booking as the index counts it; a session weighs what its type does today.
fn booked(listing: &Listing, Tagged { booking: row, exclusion_tags }: &Tagged) -> Option<Booked> {
    let session = Span::new(row.starts_at.into(), row.ends_at.into())?;
    let kind = listing.session_type(row.session_type_id)?;
    Some(Booked {
        time: Admitted { session, busy: row.busy()? },
        weight: kind.rules().load_weight,
        tags: exclusion_tags.as_ref().map(exclusions::tags).unwrap_or_default(),
    })
}
