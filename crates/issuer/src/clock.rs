//! The one place that reads the wall clock.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, NaiveDate, Utc};

/// What time it is; read once per call, so that a call cannot disagree with itself.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's.
    System,
    /// One that tests move, in whole seconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The present, in whole seconds.
    pub fn now(&self) -> DateTime<Utc> {
        let seconds = match self {
            #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
            Self::System => Utc::now().timestamp(),
            Self::Manual(seconds) => seconds.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// The day, in UTC: eligibility and keys begin and end with days.
    pub fn today(&self) -> NaiveDate {
        self.now().date_naive()
    }
}
