//! Fetches what is due. Several servers share the work: each feed is claimed for a while by one.
//!
//! Whatever goes wrong, what the feed last brought stays as it is.

use std::{panic::AssertUnwindSafe, pin::pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    sea_query::{Expr, LockType},
};
use store::{AliasId, TherapistId, alias, feed, therapist};

use super::next_attempt;
use crate::{
    App,
    availability::busy_feed::{self, Source},
    error::Error,
    roster,
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
    // One feed that cannot be read must not keep the others from being fetched.
    let brought = match AssertUnwindSafe(fetch_again(app, &claim, now)).catch_unwind().await {
        Ok(Ok(brought)) => Some(brought),
        Ok(Err(Error::FeedUnavailable)) => None,
        Ok(Err(Error::Store(error))) => {
            // Nothing is known of the feed: its lease ends, and it is fetched again.
            tracing::warn!(error = &error as &dyn std::error::Error, "a feed could not be looked up");
            return false;
        }
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
    if let Err(error) = record(app, &claim, brought, now).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the end of a refresh was not recorded");
    }
    fetched
}

/// What a feed brought.
enum Brought {
    /// For an alias.
    Roster(AliasId, roster::News),
    /// For a therapist.
    Busy(TherapistId, busy_feed::News),
}

async fn fetch_again(app: &App, claim: &feed::Model, now: DateTime<Utc>) -> Result<Brought, Error> {
    let db = app.db.read();
    if let Some(alias) = claim.alias_id {
        let safe = Safe::open(app, db, alias).await?;
        let news = roster::fetch(app, safe.unseal_feed(&claim.sealed)?, now).await?;
        return Ok(Brought::Roster(alias, news));
    }
    let kept = store::busy_feed::Entity::find_by_id(claim.id).one(db).await?;
    let therapist = kept.ok_or(Error::NotFound("busy feed"))?.therapist_id;
    let news = busy_feed::fetch(app, therapist, Source::unseal(app, claim)?, now).await?;
    Ok(Brought::Busy(therapist, news))
}

/// Writes down how the fetch ended, and keeps what it brought if the feed is still ours: its owner may have put another
/// in its place meanwhile.
async fn record(
    app: &App,
    claim: &feed::Model,
    brought: Option<Brought>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let tx = app.db.write().await?;
    // In this order, as everywhere: whose it is, and then what is kept for them.
    match brought {
        None => {
            end(&tx, claim, claim.failures.saturating_add(1), now).await?;
            tx.commit().await?;
        }
        Some(Brought::Roster(alias, news)) => {
            let row = alias::Entity::find_by_id(alias).select_only().column(alias::Column::Id);
            row.lock(LockType::NoKeyUpdate).into_tuple::<AliasId>().one(&tx).await?;
            if end(&tx, claim, 0, now).await? {
                roster::renew(app, &tx, alias, news, now).await?;
            }
            tx.commit().await?;
            app.mirror.committed();
        }
        Some(Brought::Busy(therapist, news)) => {
            therapist::Entity::lock(therapist).into_tuple::<i64>().one(&tx).await?;
            if end(&tx, claim, 0, now).await? {
                busy_feed::renew(app, &tx, claim.id, news).await?;
            }
            tx.commit().await?;
            app.mirror.committed();
        }
    }
    Ok(())
}

/// Ends the claim with so many failures in a row, unless it is not ours any more.
async fn end(
    tx: &DatabaseTransaction,
    claim: &feed::Model,
    failures: i32,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    use feed::Column as C;
    let (fetched_at, failing_since) = match failures {
        0 => (Some(now.into()), None),
        _ => (claim.fetched_at, claim.failing_since.or(Some(now.into()))),
    };
    let ended = feed::Entity::update_many()
        .filter(feed::COLUMN.id.eq(claim.id))
        .filter(feed::COLUMN.next_attempt_at.eq(claim.next_attempt_at))
        .col_expr(C::Failures, failures.into())
        .col_expr(C::NextAttemptAt, next_attempt(failures.unsigned_abs(), now)?.into())
        .col_expr(C::FetchedAt, Expr::value(fetched_at))
        .col_expr(C::FailingSince, Expr::value(failing_since))
        .exec(tx)
        .await?;
    Ok(ended.rows_affected == 1)
}
