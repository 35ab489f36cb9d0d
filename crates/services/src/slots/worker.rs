//! When one worker has time, for a search and for a booking alike.

use std::sync::{Arc, LazyLock};

use api::v1;
use calendar::{Roster, SessionRules, ShiftRules, Span, Unavailable};
use chrono::{DateTime, TimeDelta, Utc};

use crate::{App, alias::AliasSettings, error::Error, field::out_of_range, roster, vocabulary::Vocabulary};

/// What the roster means for one call.
#[derive(Clone, Debug)]
pub(crate) struct RosterUse {
    ignore_shifts: bool,
    beyond_published: bool,
    /// S3
    breaks_only: bool,
    /// Instead of the stored one (S1).
    carried: Option<Arc<Roster>>,
}

impl RosterUse {
    /// Reads the field `roster_use`.
    pub(crate) fn read(app: &App, message: Option<v1::RosterUse>, now: DateTime<Utc>) -> Result<Self, Error> {
        let v1::RosterUse { ignore_shifts, beyond_published, breaks_only, roster } =
            message.unwrap_or_default();
        if ignore_shifts && breaks_only {
            return Err(out_of_range("roster_use.breaks_only", "false if shifts are ignored"));
        }
        let carried =
            roster.map(|roster| roster::carried(app, roster, "roster_use.roster", now)).transpose()?;
        Ok(Self { ignore_shifts, beyond_published, breaks_only, carried: carried.map(Arc::new) })
    }

    /// The roster that counts, if any does; `stored` is the alias's.
    fn roster<'a>(&'a self, stored: Option<&'a Arc<Roster>>) -> Option<&'a Arc<Roster>> {
        if self.ignore_shifts { None } else { self.carried.as_ref().or(stored) }
    }
}

/// Whose time, when.
pub(crate) struct Asked<'a> {
    /// When.
    pub(crate) range: Span,
    /// How the worker's shifts count.
    pub(crate) settings: &'a AliasSettings,
    /// The roster that is stored.
    pub(crate) stored: Option<&'a Arc<Roster>>,
    /// What the roster means.
    pub(crate) roster_use: &'a RosterUse,
    /// The worker's own holds and bookings then, buffers included.
    pub(crate) busy: Vec<Span>,
}

/// What a worker has no time for.
pub(crate) struct Worker {
    /// What the roster takes away (S2, S4).
    pub(crate) unavailable: Vec<Unavailable>,
    /// The worker's own holds and bookings, buffers included.
    pub(crate) busy: Vec<Span>,
    /// There is a roster, and it was asked.
    pub(crate) fits_roster: bool,
    /// The roster, and how it counts.
    duty: Option<(Arc<Roster>, ShiftRules)>,
}

/// S6: how long a session that weighs heavily is followed.
const BEFORE_SHIFT: TimeDelta = TimeDelta::hours(4);

impl Worker {
    /// What takes time away.
    pub(crate) fn during(app: &App, asked: Asked<'_>) -> Result<Self, Error> {
        let Asked { range, settings, stored, roster_use, busy } = asked;
        let Some(roster) = roster_use.roster(stored) else {
            let nothing = roster_use.breaks_only.then(|| calendar::in_breaks(&[], &[], range));
            return Ok(Self {
                unavailable: nothing.unwrap_or_default(),
                busy,
                fits_roster: false,
                duty: None,
            });
        };
        let zone = app.rules.zone(roster.zone()).ok_or(Error::Sealed("roster.sealed"))?;
        let unavailable =
            calendar::unavailable(roster, &settings.shift_rules, &zone, range, roster_use.beyond_published);
        let unavailable = if roster_use.breaks_only {
            calendar::in_breaks(&unavailable, roster.breaks(), range)
        } else {
            unavailable
        };
        Ok(Self {
            unavailable,
            busy,
            fits_roster: true,
            duty: Some((roster.clone(), settings.shift_rules.clone())),
        })
    }

    /// S6: what is to be said of a slot of these rules, found for these reasons.
    pub(crate) fn warnings(
        &self,
        session: Span,
        rules: &SessionRules,
        reasons: &[v1::MatchReason],
    ) -> Vec<v1::SlotWarning> {
        let before_shift = weighs_heavily(rules, reasons)
            && self
                .duty
                .as_ref()
                .is_some_and(|(roster, rules)| calendar::on_shift_soon(roster, rules, session, BEFORE_SHIFT));
        before_shift.then_some(v1::SlotWarning::BeforeShift).into_iter().collect()
    }
}

/// Whether a session is like to touch on trauma.
fn weighs_heavily(rules: &SessionRules, reasons: &[v1::MatchReason]) -> bool {
    static TRAUMA: LazyLock<Vec<&str>> = LazyLock::new(|| Vocabulary::get().narrower_or_same("trauma"));
    let asked = |reason: &v1::MatchReason| {
        reason.criterion() == v1::Criterion::Specialization && TRAUMA.contains(&reason.value.as_str())
    };
    rules.load_weight > 1 || reasons.iter().any(asked)
}
