//! The one place that reads the wall clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, Utc};

/// What time it is; read once per call, so that a call cannot disagree with itself.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that tests and the demo move, in whole seconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still at `at` until it is set.
    #[must_use]
    pub fn stopped(at: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(at.timestamp())))
    }

    /// Sets a manual clock; the machine's is not ours to set.
    pub fn set(&self, at: DateTime<Utc>) {
        if let Self::Manual(seconds) = self {
            seconds.store(at.timestamp(), Ordering::SeqCst);
        }
    }

    /// The present, in whole seconds (T1).
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let seconds = match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            Self::System => Utc::now().timestamp(),
            Self::Manual(seconds) => seconds.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH)
    }
}
