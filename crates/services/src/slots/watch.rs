//! S7: changes to a search, as they happen.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use api::v1;
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use search::{Hit, SessionTypeId, TherapistId};
use store::AliasId;
use tokio::{
    sync::watch,
    time::{Instant as Moment, sleep, sleep_until, timeout_at},
};
use tonic::Status;

use super::search::{Looking, Search};
use crate::{
    App,
    access::{self, TokenHash},
    error::Error,
    field,
    mirror::Seen,
    page,
};

/// Between two messages; what changes meanwhile comes in one.
const PACE: Duration = Duration::from_secs(1);
/// How long the worker's own roster and bookings and the token are taken to be as they were while the mirror is behind,
/// and how long nothing is looked at while nothing changes but the time.
const LOOK: Duration = Duration::from_secs(15);
/// How long it is watched at most, so that nobody is forgotten.
const LASTS: Duration = Duration::from_mins(15);
/// How many searches are watched at once.
const MOST: usize = 1_000;
/// How many of them by one alias.
const MOST_EACH: usize = 3;

/// The answers to one call.
pub(super) type Watching = Pin<Box<dyn Stream<Item = Result<v1::WatchSlotsResponse, Status>> + Send>>;

/// Who watches, and whether they shall leave.
pub struct Watches {
    by_alias: Mutex<HashMap<AliasId, usize>>,
    leave: watch::Sender<bool>,
}

impl Default for Watches {
    fn default() -> Self {
        Self { by_alias: Mutex::default(), leave: watch::Sender::new(false) }
    }
}

impl Watches {
    /// Lets them come, as at the beginning of serving.
    pub fn welcome(&self) {
        self.leave.send_replace(false);
    }

    /// Ends all of them, and those that come after, as at its end.
    pub fn dismiss(&self) {
        self.leave.send_replace(true);
    }

    fn enter(self: &Arc<Self>, alias: AliasId) -> Result<Place, Error> {
        let mut by_alias = self.by_alias.lock().unwrap_or_else(PoisonError::into_inner);
        let own = by_alias.get(&alias).copied().unwrap_or_default();
        if own >= MOST_EACH || by_alias.values().sum::<usize>() >= MOST {
            return Err(Error::Overloaded);
        }
        by_alias.insert(alias, own + 1);
        Ok(Place { watches: self.clone(), alias })
    }
}

/// Somebody's place among those who watch.
struct Place {
    watches: Arc<Watches>,
    alias: AliasId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_alias = self.watches.by_alias.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_alias.get_mut(&self.alias) {
            *own -= 1;
            if *own == 0 {
                by_alias.remove(&self.alias);
            }
        }
    }
}

pub(super) fn watch_slots(
    app: &App,
    alias: AliasId,
    token: TokenHash,
    request: v1::WatchSlotsRequest,
) -> Result<Watching, Error> {
    let question = field::given(request.search, "search")?;
    let limit = page::size(question.page_size)?;
    if !question.page_token.is_empty() {
        return Err(field::out_of_range("search.page_token", "empty: the first page is watched"));
    }
    // Refused at once what would be refused later.
    Search::parse(app, question.clone(), app.clock.now())?;
    let place = app.watches.enter(alias)?;
    let watch = Watch {
        seen: app.mirror.watch(),
        leave: app.watches.leave.subscribe(),
        app: app.clone(),
        token,
        question,
        limit,
        looking: None,
        shown: None,
        ends: Moment::now() + LASTS,
        place,
    };
    Ok(Box::pin(stream::try_unfold(watch, |mut watch| async {
        match watch.next().await {
            Ok(Some(changes)) => Ok(Some((changes, watch))),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })))
}

/// What makes a slot the same one.
type Slot = (DateTime<Utc>, TherapistId, SessionTypeId);

struct Watch {
    app: App,
    place: Place,
    token: TokenHash,
    question: v1::SearchSlotsRequest,
    limit: usize,
    seen: watch::Receiver<Seen>,
    leave: watch::Receiver<bool>,
    /// The search, and until when the worker's own time is taken to be as it was.
    looking: Option<(Looking, Moment)>,
    /// What the client knows; nothing before the first message.
    shown: Option<HashMap<Slot, v1::SlotHit>>,
    ends: Moment,
}

impl Watch {
    /// The next changes; nothing once it has lasted long enough.
    async fn next(&mut self) -> Result<Option<v1::WatchSlotsResponse>, Error> {
        loop {
            if self.shown.is_some() && !self.wait().await {
                return Ok(None);
            }
            self.seen.mark_unchanged();
            let now = self.app.clock.now();
            let hits = self.look(now).await?;
            let first = self.shown.is_none();
            let before = self.shown.take().unwrap_or_default();
            let added = hits.iter().filter(|(slot, hit)| before.get(slot) != Some(hit));
            let added: Vec<_> = added.map(|(_, hit)| hit.clone()).collect();
            let hits: HashMap<Slot, v1::SlotHit> = hits.into_iter().collect();
            let removed = before.iter().filter(|(slot, _)| !hits.contains_key(slot));
            let mut removed: Vec<_> = removed.collect();
            removed.sort_unstable_by_key(|(slot, _)| **slot);
            let removed: Vec<_> = removed.into_iter().filter_map(|(_, hit)| hit.slot.clone()).collect();
            self.shown = Some(hits);
            if first || !added.is_empty() || !removed.is_empty() {
                return Ok(Some(v1::WatchSlotsResponse { added, removed }));
            }
        }
    }

    /// Until something may have changed; false if it is time to leave.
    async fn wait(&mut self) -> bool {
        let look = self.looking.as_ref().map_or_else(Moment::now, |(_, until)| *until);
        let (leave, seen) = (&mut self.leave, &mut self.seen);
        tokio::select! {
            () = sleep_until(self.ends) => false,
            // An error means that nobody is left to dismiss anybody.
            _ = leave.wait_for(|leave| *leave) => false,
            () = async {
                sleep(PACE).await;
                let _ = timeout_at(look, seen.changed()).await;
            } => true,
        }
    }

    /// The page as it is, in its order.
    async fn look(&mut self, now: DateTime<Utc>) -> Result<Vec<(Slot, v1::SlotHit)>, Error> {
        let current = self.app.mirror.catch_up(now).await?;
        let known = self.looking.take().filter(|(_, until)| !current && Moment::now() < *until);
        let (mut looking, until) = if let Some(known) = known {
            known
        } else {
            // A token that was given back or has ended ends this, too.
            access::recall(&self.app, &self.token, now).await?;
            let search = Search::parse(&self.app, self.question.clone(), now)?;
            (search.begin(&self.app, self.place.alias, now).await?, Moment::now() + LOOK)
        };
        let page = self.app.mirror.ask(|index| looking.ask(index, None, self.limit, now));
        let slot = |hit: &Hit| (hit.place.start, hit.place.therapist, hit.place.session_type);
        let hits = page.hits.iter().filter_map(|hit| Some((slot(hit), looking.print(&self.app, hit, now)?)));
        let hits = hits.collect();
        self.looking = Some((looking, until));
        Ok(hits)
    }
}
