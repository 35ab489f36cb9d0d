//! How much one client may ask for, and how long it may take.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

/// Bounds on connections and requests.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open at once; further ones wait until one closes.
    pub connections: NonZeroUsize,
    /// Of those, from one network; further ones are closed.
    pub connections_per_network: NonZeroUsize,
    /// Worked on at once for one connection; further ones are refused.
    pub requests_per_connection: NonZeroUsize,
    /// Open at once on one connection.
    pub streams_per_connection: NonZeroU32,
    /// Until an answer must have begun, and then until a client takes more of it.
    pub request_seconds: NonZeroU64,
    /// Until a connection is asked to end; at three times this age it is cut off.
    pub connection_age_seconds: NonZeroU64,
    /// Between two signs of life asked of a client.
    pub keepalive_seconds: NonZeroU64,
    /// Of all headers of one request.
    pub header_bytes: NonZeroU32,
    /// Logins and new aliases worked on at once for everybody; further ones are refused.
    pub logins_at_once: NonZeroUsize,
    /// The same of searches.
    pub searches_at_once: NonZeroUsize,
    /// The same of all other calls.
    pub calls_at_once: NonZeroUsize,
    /// Without a token, or to get one, by everybody of one network.
    pub anonymous_calls_per_minute: NonZeroU32,
    /// By one caller.
    pub searches_per_minute: NonZeroU32,
    /// Times taken by one caller.
    pub holds_per_minute: NonZeroU32,
    /// Rosters brought by one caller.
    pub imports_per_minute: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Self {
        const fn size(value: usize) -> NonZeroUsize {
            NonZeroUsize::new(value).expect("no default is zero")
        }
        const fn count(value: u32) -> NonZeroU32 {
            NonZeroU32::new(value).expect("no default is zero")
        }
        const fn seconds(value: u64) -> NonZeroU64 {
            NonZeroU64::new(value).expect("no default is zero")
        }
        Self {
            connections: const { size(512) },
            connections_per_network: const { size(64) },
            requests_per_connection: const { size(32) },
            streams_per_connection: const { count(64) },
            request_seconds: const { seconds(10) },
            connection_age_seconds: const { seconds(600) },
            keepalive_seconds: const { seconds(30) },
            header_bytes: const { count(8 * 1024) },
            logins_at_once: const { size(64) },
            searches_at_once: const { size(64) },
            calls_at_once: const { size(256) },
            anonymous_calls_per_minute: const { count(1_200) },
            searches_per_minute: const { count(300) },
            holds_per_minute: const { count(60) },
            imports_per_minute: const { count(12) },
        }
    }
}

impl Limits {
    /// Each limit by its path, with the values that work: more than these would be no limit.
    pub(super) fn bounds(&self) -> [(&'static str, u64, RangeInclusive<u64>); 15] {
        let count = |value: NonZeroUsize| u64::try_from(value.get()).unwrap_or(u64::MAX);
        [
            ("limits.connections", count(self.connections), 1..=100_000),
            ("limits.connections_per_network", count(self.connections_per_network), 1..=100_000),
            ("limits.requests_per_connection", count(self.requests_per_connection), 1..=10_000),
            ("limits.streams_per_connection", self.streams_per_connection.get().into(), 1..=10_000),
            ("limits.request_seconds", self.request_seconds.get(), 1..=600),
            ("limits.connection_age_seconds", self.connection_age_seconds.get(), 1..=86_400),
            ("limits.keepalive_seconds", self.keepalive_seconds.get(), 1..=3_600),
            ("limits.header_bytes", self.header_bytes.get().into(), 1_024..=1_048_576),
            ("limits.logins_at_once", count(self.logins_at_once), 1..=100_000),
            ("limits.searches_at_once", count(self.searches_at_once), 1..=100_000),
            ("limits.calls_at_once", count(self.calls_at_once), 1..=100_000),
            (
                "limits.anonymous_calls_per_minute",
                self.anonymous_calls_per_minute.get().into(),
                1..=1_000_000,
            ),
            ("limits.searches_per_minute", self.searches_per_minute.get().into(), 1..=1_000_000),
            ("limits.holds_per_minute", self.holds_per_minute.get().into(), 1..=1_000_000),
            ("limits.imports_per_minute", self.imports_per_minute.get().into(), 1..=1_000_000),
        ]
    }

    /// `request_seconds` as a duration.
    #[must_use]
    pub fn request(&self) -> Duration {
        Duration::from_secs(self.request_seconds.get())
    }

    /// `connection_age_seconds` as a duration.
    #[must_use]
    pub fn connection_age(&self) -> Duration {
        Duration::from_secs(self.connection_age_seconds.get())
    }

    /// `keepalive_seconds` as a duration.
    #[must_use]
    pub fn keepalive(&self) -> Duration {
        Duration::from_secs(self.keepalive_seconds.get())
    }
}
