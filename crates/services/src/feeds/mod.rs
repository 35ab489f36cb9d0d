//! Calendars from addresses that somebody else chose: fetched at once, and again and again.

mod read;
mod refresh;
mod turn;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use fetch::{Cause, FeedUrl, FetchError, Fetched, Fetcher, Validator, refresh_after};
use sha2::{Digest, Sha256};
use store::{AliasId, FeedId, Instant, Opaque, feed};
use tokio::sync::Semaphore;

use crate::{
    error::{Error, Violation},
    field,
};

pub(crate) use read::Read;
pub use refresh::{Refreshed, refresh_due, run};
pub(crate) use turn::take_turn;

/// Where feeds come from.
pub enum Feeds {
    /// Nowhere: whoever runs the server trusts nobody, so every fetch fails.
    Off,
    /// A list that tests write.
    Canned(Canned),
    /// The internet, with turns to go there.
    Network(Fetcher, Semaphore),
}

/// How many fetches are under way at once.
const FETCHES: usize = 16;

/// Calendars by address; what is not there cannot be fetched.
#[derive(Clone, Default)]
pub struct Canned(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Canned {
    /// Puts a calendar where it can be fetched.
    pub fn publish(&self, address: &str, calendar: &str) {
        self.calendars().insert(address.to_owned(), calendar.into());
    }

    /// Takes it away.
    pub fn withdraw(&self, address: &str) {
        self.calendars().remove(address);
    }

    fn calendars(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, url: &FeedUrl, validator: Option<&Validator>) -> Result<Fetched, FetchError> {
        let bytes = self.calendars().get(&url.expose()).cloned();
        let bytes = bytes.ok_or(FetchError { cause: Cause::Status })?;
        let state = format!("\"{}\"", data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)));
        if validator.is_some_and(|known| known.expose() == state) {
            return Ok(Fetched::Unchanged);
        }
        Ok(Fetched::Calendar { bytes, validator: state.parse().ok() })
    }
}

impl Feeds {
    /// The internet, if the system trusts anybody there.
    #[must_use]
    pub fn network() -> Self {
        Fetcher::new().map_or_else(
            |error| {
                tracing::warn!(%error, "no feed can be fetched");
                Self::Off
            },
            |fetcher| Self::Network(fetcher, Semaphore::new(FETCHES)),
        )
    }

    pub(crate) async fn get(
        &self,
        url: &FeedUrl,
        validator: Option<&Validator>,
    ) -> Result<Fetched, FetchError> {
        let fetched = match self {
            Self::Off => Err(FetchError { cause: Cause::Encryption }),
            Self::Canned(canned) => canned.get(url, validator),
            Self::Network(fetcher, turns) => {
                // Nobody closes it.
                let _turn = turns.acquire().await;
                fetcher.get(url, validator).await
            }
        };
        if let Err(error) = &fetched {
            tracing::info!(cause = error.cause.label(), "a feed was not fetched");
        }
        fetched
    }
}

impl fmt::Debug for Feeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Canned(_) => "Canned(..)",
            Self::Network(..) => "Network(..)",
        })
    }
}

/// The address in `field`.
pub(crate) fn address(text: &str, field: &str) -> Result<FeedUrl, Error> {
    if text.is_empty() {
        return Err(field::required(field));
    }
    text.parse().map_err(|error| Error::invalid(field, Violation::FeedUri(error)))
}

/// A feed that was fetched just now, for the first time.
pub(crate) fn begun(
    id: FeedId,
    alias: Option<AliasId>,
    sealed: Opaque,
    now: DateTime<Utc>,
) -> Result<feed::Model, Error> {
    Ok(feed::Model {
        id,
        alias_id: alias,
        sealed,
        failures: 0,
        next_attempt_at: next_attempt(0, now)?,
        fetched_at: Some(now.into()),
        failing_since: None,
    })
}

/// What its owner is told of a feed.
pub(crate) fn state(feed: &feed::Model) -> v1::FeedState {
    let condition = match feed.failures {
        0 => v1::FeedCondition::Current,
        _ => v1::FeedCondition::Unavailable,
    };
    v1::FeedState {
        last_success_time: feed.fetched_at.map(field::timestamp),
        next_attempt_time: Some(field::timestamp(feed.next_attempt_at)),
        condition: condition.into(),
        unavailable_since_time: feed.failing_since.map(field::timestamp),
    }
}

fn next_attempt(failures: u32, now: DateTime<Utc>) -> Result<Instant, Error> {
    let random = getrandom::u32().map_err(|_| Error::Randomness)?;
    let wait = TimeDelta::from_std(refresh_after(failures, random)).map_err(|_| Error::Interrupted)?;
    Ok((now + wait).into())
}
