//! Pure calendar arithmetic: what time is open, what time a worker's shifts take away, and may this session
//! be held.
//!
//! **Invariant:** nothing here awaits, opens anything or asks what time it is. Everything needed for a
//! decision arrives as an argument, zone rules included: they are data that changes, so they come from a tz
//! database and never from arithmetic.
//!
//! Instants and dates are chrono's types, because those are what the database and the contract speak. The
//! rules behind a [`Zone`] are jiff's reading of TZif data.

mod admit;
mod busy;
pub mod ical;
mod limits;
pub mod pattern;
mod roster;
mod schedule;
mod span;
mod zone;

pub use admit::{ADJACENT, Admission, Admitted, Refusal, adjacent, admit, candidates, slots};
pub use busy::Busy;
pub use limits::{Caps, HeldSession, LimitReached, Limits, Load, Measure, Pacing, Period, Tally};
pub use roster::{
    BreakError, Roster, RosterError, Shift, ShiftKind, ShiftRules, ShiftRulesError, Unavailable,
    WorkerRefusal, classify, in_breaks, on_shift_soon, refuses, unavailable,
};
pub use schedule::{
    DateOverride, DayWindow, Horizon, Open, OverrideKind, Protected, Schedule, SessionRules, SettingsError,
    Travel, Window, WindowError, check_settings,
};
pub use span::{Span, subtract, union};
pub use zone::{Rules, Zone};
