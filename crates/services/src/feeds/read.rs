//! How long what was read of a calendar holds, while the calendar itself does not change.

use calendar::Zone;
use chrono::{DateTime, TimeDelta, Utc};
use fetch::Validator;
use serde::{Deserialize, Serialize};

use crate::App;

/// How a calendar was read; kept sealed with its address.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Read {
    at: DateTime<Utc>,
    /// The clock of its whole days, and of its times without a zone.
    time_zone: String,
    /// The release of the zone rules (T6); nothing if it was read before that was written down.
    #[serde(default)]
    rules: String,
    /// What the other side calls what it said.
    validator: Option<String>,
}

/// How long a calendar that did not change is left unread: its recurrences reach further with every day.
const UNREAD: TimeDelta = TimeDelta::days(1);

impl Read {
    /// A calendar that was read just now.
    pub(crate) fn now(app: &App, zone: &Zone, validator: Option<Validator>, now: DateTime<Utc>) -> Self {
        let validator = validator.map(|state| state.expose().to_owned());
        Self { at: now, time_zone: zone.name().to_owned(), rules: app.rules.version().to_owned(), validator }
    }

    /// By what to ask whether the calendar changed; nothing if it has to be read anew even though it did not. By older
    /// rules nothing is read anew, as no booking is moved back by them.
    pub(crate) fn known(&self, app: &App, zone: &Zone, now: DateTime<Utc>) -> Option<Validator> {
        let holds = self.time_zone == zone.name()
            && self.rules.as_str() >= app.rules.version()
            && now < self.at + UNREAD;
        self.validator.as_deref().filter(|_| holds)?.parse().ok()
    }
}
