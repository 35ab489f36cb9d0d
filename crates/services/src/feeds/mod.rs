//! Calendars from addresses that somebody else chose: fetched at once, and again and again.

mod refresh;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use fetch::{Cause, FeedUrl, FetchError, Fetched, Fetcher, Validator};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

pub use refresh::{Refreshed, refresh_due, run};

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
