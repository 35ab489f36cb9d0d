//! Shifts that repeat (S1): a cycle or a recurrence rule.

use api::v1;
use calendar::{
    Zone,
    pattern::{self, NamedShift, Pattern, PatternError, Planned, ShiftBreak, ShiftHours},
};
use chrono::{NaiveDate, TimeDelta};
use v1::shift_pattern::Repetition;

use super::shifts;
use crate::{
    error::{Error, Violation},
    field::{self, given, out_of_range},
};

/// How long a rule may be, in characters.
const RULE: usize = 1_000;
/// The same of a cycle: 366 of the longest names, and blanks.
const CYCLE: usize = 4_000;
/// How many shifts of a cycle have names.
const NAMED: usize = 20;

/// The shifts of the pattern up to the last day.
pub(super) fn read(pattern: v1::ShiftPattern, zone: &Zone, last: NaiveDate) -> Result<Planned, Error> {
    let v1::ShiftPattern { start_date, repetition } = pattern;
    let first = field::date(given(start_date, "pattern.start_date")?, "pattern.start_date")?;
    let pattern = match given(repetition, "pattern.repetition")? {
        Repetition::Cycle(v1::ShiftCycle { days, shifts }) => {
            let cycle = field::line(days, CYCLE, "pattern.cycle.days")?;
            Pattern::Cycle { cycle, named: named(shifts)? }
        }
        Repetition::Rule(v1::ShiftRule { rrule, shift }) => {
            let rule = field::line(rrule, RULE, "pattern.rule.rrule")?;
            Pattern::Rule { rule, shift: hours(shift, "pattern.rule.shift")? }
        }
    };
    pattern::shifts(&pattern, zone, first, last)
        .map_err(|error| Error::invalid(path(error), Violation::Pattern(error)))
}

fn named(shifts: Vec<v1::NamedShift>) -> Result<Vec<NamedShift>, Error> {
    if shifts.len() > NAMED {
        return Err(Error::invalid("pattern.cycle.shifts", Violation::TooMany { most: NAMED }));
    }
    let read = |(index, v1::NamedShift { name, shift })| {
        Ok(NamedShift { name, shift: hours(shift, &format!("pattern.cycle.shifts[{index}].shift"))? })
    };
    shifts.into_iter().enumerate().map(read).collect()
}

fn hours(shift: Option<v1::ShiftHours>, field: &str) -> Result<ShiftHours, Error> {
    let v1::ShiftHours { hours, kind, breaks } = given(shift, field)?;
    let hours = field::hours(hours, &format!("{field}.hours"))?;
    let breaks = field::list(breaks, shifts::BREAKS, &format!("{field}.breaks"), |pause, path| {
        let v1::ShiftBreak { offset, duration } = pause;
        let offset = field::minutes(offset, &format!("{path}.offset"))?;
        let duration = field::minutes(duration, &format!("{path}.duration"))?;
        if duration.is_zero() || offset + duration > TimeDelta::minutes(hours.minutes()) {
            return Err(out_of_range(path, "inside its shift, and at least a minute long"));
        }
        Ok(ShiftBreak { offset, duration })
    })?;
    Ok(ShiftHours { hours, kind: shifts::kind(kind, &format!("{field}.kind"))?, breaks })
}

/// The field that a pattern is refused for; positions count from 1 there, and from 0 in a path.
fn path(error: PatternError) -> String {
    let name = |position: usize| format!("pattern.cycle.shifts[{}].name", position.saturating_sub(1));
    match error {
        PatternError::Reversed | PatternError::TooLong => "publish_date".to_owned(),
        PatternError::CycleTooLong { .. } | PatternError::UnknownName { .. } => {
            "pattern.cycle.days".to_owned()
        }
        PatternError::BadName { position } | PatternError::NameTwice { position } => name(position),
        PatternError::Rule(_) => "pattern.rule.rrule".to_owned(),
        PatternError::NoShift => "pattern".to_owned(),
    }
}
