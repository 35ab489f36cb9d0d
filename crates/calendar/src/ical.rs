//! Shifts from an iCalendar file (S1). Of each event only the time is kept.

use crate::{Rules, Shift, Span, Zone};

/// What the worker says about the whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Every event is an on-call duty.
    pub on_call: bool,
}

/// Why a file was refused; never a word of what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IcalError {
    /// No calendar could be found in it.
    #[error("this is not an iCalendar file")]
    NotACalendar,
}

/// The shifts of `window` in an iCalendar file, sorted.
pub fn shifts(
    _bytes: &[u8],
    _default_zone: &Zone,
    _rules: &Rules,
    _window: Span,
    _options: Options,
) -> Result<Vec<Shift>, IcalError> {
    Err(IcalError::NotACalendar)
}
