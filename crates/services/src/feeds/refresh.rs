//! Fetches what is due. Several servers share the work: each feed is claimed for a while by one.
//!
//! Whatever goes wrong, what the feed last brought stays as it is.

use std::{panic::AssertUnwindSafe, pin::pin, time::Duration};

use calendar::Roster;
use chrono::{DateTime, TimeDelta, Utc};
use fetch::refresh_after;
use futures_util::{FutureExt, StreamExt, stream};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    sea_query::{Expr, LockType},
};
use store::{AliasId, Instant, alias, feed};

use crate::{
    App,
    error::Error,
    roster::{self, Feed, News},
    sealed::Safe,
};

/// How many feeds were fetched, and how many could not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// They say something new, or said that they do not.
    pub fetched: u32,
    /// To be tried later.
    pub failed: u32,
}

/// Fetches what falls due until `stop`, and then finishes what it has claimed.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut failing = false;
    loop {
        let full = match batch(&app, app.clock.now()).await {
            Ok((claimed, _)) => {
                failing = false;
                claimed == CLAIMED
            }
            Err(error) => {
                // An outage is told when it begins, not at every look.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "feeds are not claimed");
                }
                false
            }
        };
        let pause = if full { Duration::ZERO } else { PAUSE };
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Fetches, once, all that is due.
pub async fn refresh_due(app: &App) -> Result<Refreshed, Error> {
    let now = app.clock.now();
    let mut all = Refreshed::default();
    loop {
        let (claimed, Refreshed { fetched, failed }) = batch(app, now).await?;
        all.fetched += fetched;
        all.failed += failed;
        if claimed < CLAIMED {
            return Ok(all);
        }
    }
}

/// Between looks at what is due.
const PAUSE: Duration = Duration::from_secs(30);
/// How many feeds are claimed at once, and how many of them are fetched at one time.
const CLAIMED: usize = 16;
const AT_ONCE: usize = 4;
/// How long a claim holds: longer than a batch takes if every fetch times out. Then another server tries.
const LEASE: TimeDelta = TimeDelta::minutes(5);

async fn batch(app: &App, now: DateTime<Utc>) -> Result<(usize, Refreshed), Error> {
    let claims = claim(app, now).await?;
    let claimed = claims.len();
    let brought: Vec<bool> =
        stream::iter(claims).map(|claim| settle(app, claim, now)).buffer_unordered(AT_ONCE).collect().await;
    let count =
        |wanted| u32::try_from(brought.iter().filter(|is| **is == wanted).count()).unwrap_or(u32::MAX);
    let refreshed = Refreshed { fetched: count(true), failed: count(false) };
    if claimed > 0 {
        tracing::info!(fetched = refreshed.fetched, failed = refreshed.failed, "feeds refreshed");
    }
    Ok((claimed, refreshed))
}

/// Takes what is due, in one short transaction; nothing is fetched in it.
async fn claim(app: &App, now: DateTime<Utc>) -> Result<Vec<feed::Model>, Error> {
    let tx = app.db.write().await?;
    let mut claims = Vec::new();
    for row in feed::Entity::claimable(now, CLAIMED as u64).all(&tx).await? {
        let mut row = row.into_active_model();
        row.next_attempt_at = Set((now + LEASE).into());
        claims.push(row.update(&tx).await?);
    }
    tx.commit().await?;
    Ok(claims)
}

/// Whether the feed could be fetched and read.
async fn settle(app: &App, claim: feed::Model, now: DateTime<Utc>) -> bool {
    let Some(alias) = claim.alias_id else { return false };
    // One feed that cannot be read must not keep the others from being fetched.
    let brought = match AssertUnwindSafe(fetch_again(app, &claim, alias, now)).catch_unwind().await {
        Ok(Ok(brought)) => brought,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a feed could not be opened");
            None
        }
        Err(_) => {
            tracing::error!("refreshing a feed panicked");
            None
        }
    };
    let fetched = brought.is_some();
    // Its lease ends, and it is fetched again.
    if let Err(error) = record(app, &claim, alias, brought, now).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the end of a refresh was not recorded");
    }
    fetched
}

/// What the feed brings, if it can be fetched and read.
async fn fetch_again(
    app: &App,
    claim: &feed::Model,
    alias: AliasId,
    now: DateTime<Utc>,
) -> Result<Option<(Feed, Option<Roster>)>, Error> {
    let safe = Safe::open(app, app.db.read(), alias).await?;
    let feed = safe.unseal_feed(&claim.sealed)?;
    match roster::fetch(app, feed, now).await {
        Ok(News { feed, roster }) => Ok(Some((feed, roster))),
        Err(Error::FeedUnavailable) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Keeps what the feed brought, if the feed is still ours; a worker may have given another roster meanwhile.
async fn record(
    app: &App,
    claim: &feed::Model,
    alias: AliasId,
    brought: Option<(Feed, Option<Roster>)>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    use feed::Column as C;
    let tx = app.db.write().await?;
    // In this order, as everywhere: the alias, and then what is kept for it.
    let row = alias::Entity::find_by_id(alias).select_only().column(alias::Column::Id);
    row.lock(LockType::NoKeyUpdate).into_tuple::<AliasId>().one(&tx).await?;
    let failures = if brought.is_some() { 0 } else { claim.failures.saturating_add(1) };
    let random = getrandom::u32().map_err(|_| Error::Randomness)?;
    let wait = refresh_after(failures.unsigned_abs(), random);
    let next = Instant::from(now + TimeDelta::from_std(wait).unwrap_or(LEASE));
    let mut ours = feed::Entity::update_many()
        .filter(feed::COLUMN.id.eq(claim.id))
        .filter(feed::COLUMN.next_attempt_at.eq(claim.next_attempt_at))
        .col_expr(C::Failures, failures.into())
        .col_expr(C::NextAttemptAt, next.into());
    let kept = match brought {
        Some((feed, roster)) => {
            let safe = Safe::open(app, &tx, alias).await?;
            ours = ours.col_expr(C::Sealed, Expr::value(safe.seal_feed(&feed)?));
            roster.map(|roster| Ok::<_, Error>((safe, roster))).transpose()?
        }
        None => None,
    };
    if ours.exec(&tx).await?.rows_affected == 1
        && let Some((safe, roster)) = kept
    {
        roster::replace(&tx, &safe, alias, &roster).await?;
    }
    tx.commit().await?;
    Ok(())
}
