//! Shifts (S1) and busy time (A1) from iCalendar files; [`mod@write`] makes calendars for others (A4). Of each event
//! only the time is kept.
//!
//! - A time without a zone is read on the worker's own clock, and so is a whole day.
//! - A whole day counts as duty unless the file marks it as free (`TRANSP:TRANSPARENT`). As busy time, what is marked
//!   as free never counts.
//! - A duty that repeats starts and ends when the local clock reads so, whatever the clock did in between; a
//!   duration in hours is elapsed time.
//! - An event longer than 48 hours is a holiday or a course: busy time, but nobody's shift. What has no length and
//!   what is cancelled is neither.
//!
//! Hostile files are refused by what they are, and the work on any file is bounded by counting, not by time.

mod clocks;
mod event;
mod limits;
mod recurrence;
pub mod write;

use std::collections::{BTreeSet, HashMap};

use calcard::icalendar::{ICalendar, ICalendarComponentType};
use calcard::{Entry, Parser};
use chrono::{NaiveDate, NaiveDateTime};

use self::clocks::{Clocks, Reading};
use self::event::{Changes, Event};
pub use self::limits::RuleError;
use self::recurrence::Budget;
use crate::{Rules, Shift, ShiftKind, Span, Zone, classify, union};

const MAX_SHIFTS: usize = 5_000;
const MAX_DAYS_EXAMINED: u32 = 500_000;

/// What the worker says about the whole file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Every event is an on-call duty.
    pub on_call: bool,
}

/// Why a file was refused; never a word of what it says. Lines and events count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IcalError {
    /// Over 1 MiB.
    #[error("the file has {bytes} bytes; at most 1 MiB is read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not text.
    #[error("line {line} is not UTF-8")]
    NotUtf8 {
        /// The first such line.
        line: usize,
    },
    /// No calendar in it.
    #[error("this is not an iCalendar file")]
    NotACalendar,
    /// Over 8 KiB, continuation lines included.
    #[error("line {line} is longer than 8 KiB")]
    LineTooLong {
        /// Where it starts.
        line: usize,
    },
    /// Components more than three deep.
    #[error("line {line} nests more than three deep")]
    NestedTooDeep {
        /// The line that begins the fourth.
        line: usize,
    },
    /// A component that never ends, or an end without its beginning.
    #[error("line {line} ends a component that is not open, or leaves one open")]
    Unbalanced {
        /// Where that shows.
        line: usize,
    },
    /// Over 2,000.
    #[error("the file has more than 2,000 events")]
    TooManyEvents,
    /// Over 200.
    #[error("the file has more than 200 recurring events")]
    TooManyRecurring,
    /// Hourly or finer, or no frequency known.
    #[error("event {event} recurs more often than daily")]
    Frequency {
        /// Which one.
        event: usize,
    },
    /// An interval of nothing, or over 366.
    #[error("event {event} recurs at an interval that is not 1 to 366")]
    Interval {
        /// Which one.
        event: usize,
    },
    /// A count of nothing, or over 1,000.
    #[error("event {event} recurs a number of times that is not 1 to 1,000")]
    Count {
        /// Which one.
        event: usize,
    },
    /// A rule with BYHOUR, BYMINUTE or BYSECOND.
    #[error("event {event} recurs several times a day")]
    TimesOfDay {
        /// Which one.
        event: usize,
    },
    /// A rule that takes occurrences away.
    #[error("event {event} has an EXRULE")]
    ExceptionRule {
        /// Which one.
        event: usize,
    },
    /// A rule that RFC 5545 does not know.
    #[error("event {event} has a recurrence rule that cannot be read")]
    MalformedRule {
        /// Which one.
        event: usize,
    },
    /// Several rules at once.
    #[error("event {event} has more than one recurrence rule")]
    SeveralRules {
        /// Which one.
        event: usize,
    },
    /// A counted recurrence that began more than 5 years before the window.
    #[error("event {event} counts its occurrences from more than 5 years ago")]
    StartOutOfReach {
        /// Which one.
        event: usize,
    },
    /// Over 366 dates added or taken out.
    #[error("event {event} has more than 366 extra or excepted dates")]
    TooManyDates {
        /// Which one.
        event: usize,
    },
    /// An event without a start.
    #[error("event {event} has no start")]
    NoStart {
        /// Which one.
        event: usize,
    },
    /// A date, time or duration that is none, or busy time that recurs and lasts longer than a year.
    #[error("event {event} has a time that cannot be read")]
    MalformedTime {
        /// Which one.
        event: usize,
    },
    /// An end before the start.
    #[error("event {event} ends before it starts")]
    EndsBeforeStart {
        /// Which one.
        event: usize,
    },
    /// A zone that neither the tz database nor the known vendors name.
    #[error("event {event} names an unknown time zone")]
    UnknownZone {
        /// Which one.
        event: usize,
    },
    /// A change to an occurrence and all after it.
    #[error("event {event} changes an occurrence and all that follow, which is not supported")]
    ThisAndFuture {
        /// Which one.
        event: usize,
    },
    /// A VFREEBUSY with something else than periods, or with one that ends before it starts.
    #[error("a free/busy time cannot be read")]
    MalformedFreeBusy,
    /// Over 5,000 in the window, or as many busy times.
    #[error("the file has more than 5,000 shifts or busy times")]
    TooManyShifts,
    /// The recurrences would have to be followed through half a million days.
    #[error("the recurrences of the file reach too far")]
    TooMuchWork,
}

/// The shifts of `window` in an iCalendar file, sorted.
///
/// Zones are named by the file and read from `rules`. The kind of each shift is what its times say on the
/// clock of `default_zone`, unless the whole file is on-call duty.
pub fn shifts(
    bytes: &[u8],
    default_zone: &Zone,
    rules: &Rules,
    window: Span,
    options: Options,
) -> Result<Vec<Shift>, IcalError> {
    let mut budget = Budget(MAX_DAYS_EXAMINED);
    let mut spans = occurrences(bytes, default_zone, rules, Sought::Shifts, window, &mut budget)?;
    spans.sort_unstable();
    spans.dedup();
    let kind = |span| if options.on_call { ShiftKind::OnCall } else { classify(span, default_zone) };
    Ok(spans.into_iter().map(|span| Shift { span, kind: kind(span) }).collect())
}

/// A1: the busy time of `window` in an iCalendar feed, sorted and disjoint: of events that are neither cancelled
/// nor marked as free (`TRANSP:TRANSPARENT`), however long, and of VFREEBUSY what is not said to be free.
///
/// Times without a zone are read on the clock of `default_zone`. Events with a UID of `own` come back from a calendar
/// that was made of them, and tell nothing new.
pub fn busy(
    bytes: &[u8],
    default_zone: &Zone,
    rules: &Rules,
    window: Span,
    own: &BTreeSet<String>,
) -> Result<Vec<Span>, IcalError> {
    let mut budget = Budget(MAX_DAYS_EXAMINED);
    let spans = occurrences(bytes, default_zone, rules, Sought::Busy { own }, window, &mut budget)?;
    Ok(union(spans.into_iter().filter_map(|span| span.intersection(window)).collect()))
}

/// What a file is read for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sought<'a> {
    Shifts,
    Busy {
        /// UIDs of events that do not count.
        own: &'a BTreeSet<String>,
    },
}

impl Sought<'_> {
    fn is_busy(self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// The spans that overlap `window`.
fn occurrences(
    bytes: &[u8],
    default_zone: &Zone,
    rules: &Rules,
    sought: Sought<'_>,
    window: Span,
    budget: &mut Budget,
) -> Result<Vec<Span>, IcalError> {
    let calendars = parse(&limits::times(bytes)?)?;
    let mut clocks = Clocks { floating: default_zone, rules, explained: HashMap::new() };
    for calendar in &calendars {
        clocks.learn(calendar);
    }
    let of_type = |component_type: ICalendarComponentType| {
        let components = calendars.iter().flat_map(|calendar| &calendar.components);
        components.filter(move |component| component.component_type == component_type)
    };
    let events = of_type(ICalendarComponentType::VEvent)
        .enumerate()
        .map(|(index, component)| Event::read(component, index + 1, &clocks))
        .collect::<Result<Vec<Event<'_>>, IcalError>>()?;
    let changes = Changes::of(&events);

    let mut spans: Vec<Span> = Vec::new();
    for event in events.iter().filter(|event| event.counts_as(sought) && !changes.supersede(event)) {
        spans.extend(event.occurrences(sought, window, &changes, budget)?);
        if spans.len() > MAX_SHIFTS {
            return Err(IcalError::TooManyShifts);
        }
    }
    if sought.is_busy() {
        for component in of_type(ICalendarComponentType::VFreebusy) {
            let times = event::free_busy(component, &clocks).ok_or(IcalError::MalformedFreeBusy)?;
            spans.extend(times.into_iter().filter(|span| span.overlaps(window)));
            if spans.len() > MAX_SHIFTS {
                return Err(IcalError::TooManyShifts);
            }
        }
    }
    Ok(spans)
}

/// The dates up to `last` on which a recurrence rule that starts at `start` means something.
pub(crate) fn rule_dates(
    text: &str,
    start: NaiveDateTime,
    zone: &Zone,
    last: NaiveDate,
) -> Result<Vec<NaiveDate>, RuleError> {
    if text.len() > limits::MAX_LINE || text.contains(char::is_control) {
        return Err(RuleError::Malformed);
    }
    limits::check_rule(text)?;
    let component = format!("BEGIN:VCALENDAR\nBEGIN:VEVENT\nRRULE:{text}\nEND:VEVENT\nEND:VCALENDAR\n");
    let calendars = parse(&component).map_err(|_| RuleError::Malformed)?;
    let event = calendars.first().and_then(|calendar| calendar.components.get(1));
    let start = Reading { local: start, zone: zone.clone(), date_only: false };
    let rule =
        event.map(|event| event::rule(event, 1, &start)).transpose().map_err(|_| RuleError::Malformed)?;
    let rule = rule.flatten().ok_or(RuleError::Malformed)?;
    let starts = rule.starts(start.local.date(), last, &mut Budget(MAX_DAYS_EXAMINED));
    Ok(starts.map_err(|_| RuleError::Malformed)?.into_iter().map(|start| start.date()).collect())
}

fn parse(text: &str) -> Result<Vec<ICalendar>, IcalError> {
    let mut parser = Parser::new(text);
    let mut calendars = Vec::new();
    loop {
        match parser.entry() {
            Entry::ICalendar(calendar) => calendars.push(calendar),
            Entry::Eof => break,
            _ => return Err(IcalError::NotACalendar),
        }
    }
    let is_calendar = |calendar: &ICalendar| {
        calendar
            .components
            .first()
            .is_some_and(|component| component.component_type == ICalendarComponentType::VCalendar)
    };
    if calendars.is_empty() || !calendars.iter().all(is_calendar) {
        return Err(IcalError::NotACalendar);
    }
    Ok(calendars)
}

#[cfg(test)]
mod foreign;
#[cfg(test)]
mod tests;
