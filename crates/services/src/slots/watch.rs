//! S7: changes to a search, as they happen.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use api::v1;
use futures_util::{Stream, stream};
use search::Place;
use store::AliasId;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant as Moment, sleep, sleep_until, timeout},
};
use tonic::Status;

use super::search::Search;
use crate::{
    App,
    access::{self, TokenHash},
    error::Error,
    field,
    mirror::Seen,
    page,
};

/// Between two messages; what changes meanwhile comes in one.
const PACE: Duration = Duration::from_millis(250);
/// How long nothing may have changed before it is looked again: notice, horizon and holds end by themselves.
const LOOK: Duration = Duration::from_secs(15);
/// How long it is watched at most, so that nobody is forgotten.
const LASTS: Duration = Duration::from_mins(15);

/// The answers to one call.
pub(super) type Watching = Pin<Box<dyn Stream<Item = Result<v1::WatchSlotsResponse, Status>> + Send>>;

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
    let place = app.watches.clone().try_acquire_owned().map_err(|_| Error::Overloaded)?;
    let watch = Watch {
        seen: app.mirror.watch(),
        app: app.clone(),
        alias,
        token,
        question,
        limit,
        shown: None,
        ends: Moment::now() + LASTS,
        _place: place,
    };
    Ok(Box::pin(stream::try_unfold(watch, |mut watch| async {
        match watch.next().await {
            Ok(Some(changes)) => Ok(Some((changes, watch))),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })))
}

struct Watch {
    app: App,
    alias: AliasId,
    token: TokenHash,
    question: v1::SearchSlotsRequest,
    limit: usize,
    seen: watch::Receiver<Seen>,
    /// What the client knows; nothing before the first message.
    shown: Option<BTreeMap<Place, v1::SlotHit>>,
    ends: Moment,
    _place: OwnedSemaphorePermit,
}

impl Watch {
    /// The next changes; nothing once it has lasted long enough.
    async fn next(&mut self) -> Result<Option<v1::WatchSlotsResponse>, Error> {
        loop {
            if self.shown.is_some() {
                sleep(PACE).await;
                tokio::select! {
                    () = sleep_until(self.ends) => return Ok(None),
                    // An error means that nothing will change any more; the clock goes on.
                    _ = timeout(LOOK, self.seen.changed()) => {}
                }
            }
            self.seen.mark_unchanged();
            let now = self.app.clock.now();
            // A token that was given back or has ended ends this, too.
            access::admit(&self.app, &self.token, now).await?;
            let mut looking = Search::parse(&self.app, self.question.clone(), now)?
                .begin(&self.app, self.alias, now)
                .await?;
            let page = self.app.mirror.ask(now, |index| looking.ask(index, None, self.limit, now)).await?;
            let hits =
                page.hits.iter().filter_map(|hit| Some((hit.place, looking.print(&self.app, hit, now)?)));
            let hits: BTreeMap<Place, v1::SlotHit> = hits.collect();
            let before = self.shown.replace(hits);
            let (first, before) = (before.is_none(), before.unwrap_or_default());
            let hits = self.shown.as_ref().unwrap_or(&before);
            let differs = |this: &BTreeMap<Place, v1::SlotHit>, place: &Place, hit: &v1::SlotHit| {
                this.get(place).is_none_or(|other| other.slot != hit.slot)
            };
            let added: Vec<_> = hits
                .iter()
                .filter(|(place, hit)| differs(&before, place, hit))
                .map(|(_, hit)| hit.clone())
                .collect();
            let removed: Vec<_> = before
                .iter()
                .filter(|(place, hit)| differs(hits, place, hit))
                .filter_map(|(_, hit)| hit.slot.clone())
                .collect();
            if first || !added.is_empty() || !removed.is_empty() {
                return Ok(Some(v1::WatchSlotsResponse { added, removed }));
            }
        }
    }
}
