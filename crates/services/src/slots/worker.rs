//! When one worker has time, for a search and for a booking alike.

use calendar::{Span, Unavailable};

use crate::{App, error::Error, sealed::Safe};

/// What the stored roster means for one call.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RosterUse {
    ignore_shifts: bool,
    beyond_published: bool,
}

impl From<Option<api::v1::RosterUse>> for RosterUse {
    fn from(message: Option<api::v1::RosterUse>) -> Self {
        let api::v1::RosterUse { ignore_shifts, beyond_published } = message.unwrap_or_default();
        Self { ignore_shifts, beyond_published }
    }
}

/// Whose time, when.
pub(crate) struct Asked {
    /// When.
    pub(crate) range: Span,
    /// What the roster means.
    pub(crate) roster_use: RosterUse,
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
}

impl Worker {
    /// What takes time away.
    pub(crate) fn during(app: &App, safe: &Safe, asked: Asked) -> Result<Self, Error> {
        let Asked { range, roster_use, busy } = asked;
        let roster = if roster_use.ignore_shifts { None } else { safe.roster()? };
        let Some(roster) = roster else {
            return Ok(Self { unavailable: Vec::new(), busy, fits_roster: false });
        };
        let settings = safe.settings()?;
        let zone = app.rules.zone(roster.zone()).ok_or(Error::Sealed("roster.sealed"))?;
        let unavailable =
            calendar::unavailable(&roster, &settings.shift_rules, &zone, range, roster_use.beyond_published);
        Ok(Self { unavailable, busy, fits_roster: true })
    }
}
