//! Shifts from an iCalendar file (S1); [`write`] makes calendars for others (A4). Of each event only the time is kept.
//!
//! - A time without a zone is read on the worker's own clock, and so is a whole day.
//! - A whole day counts as duty unless the file marks it as free (`TRANSP:TRANSPARENT`).
//! - A duty that repeats starts and ends when the local clock reads so, whatever the clock did in between; a
//!   duration in hours is elapsed time.
//! - An event longer than 48 hours is a holiday or a course, but nobody's shift, and is left out. So is what
//!   has no length and what is cancelled.
//!
//! Hostile files are refused by what they are, and the work on any file is bounded by counting, not by time.

mod clocks;
mod limits;
mod recurrence;
pub mod write;

use std::collections::{HashMap, HashSet};

use calcard::icalendar::{
    ICalendar, ICalendarComponent, ICalendarComponentType, ICalendarDuration, ICalendarParameterName,
    ICalendarPeriod, ICalendarProperty, ICalendarStatus, ICalendarTransparency, ICalendarValue,
};
use calcard::{Entry, Parser};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use self::clocks::{Clocks, Reading};
pub use self::limits::RuleError;
use self::recurrence::{Budget, Rule};
use crate::{Rules, Shift, ShiftKind, Span, Zone, classify};

const MAX_SHIFT: TimeDelta = TimeDelta::hours(48);
const MAX_DATES: usize = 366;
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
    /// A date, time or duration that is none.
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
    /// Over 5,000 in the window.
    #[error("the file has more than 5,000 shifts")]
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
    let calendars = parse(&limits::times(bytes)?)?;
    let mut clocks = Clocks { floating: default_zone, rules, explained: HashMap::new() };
    for calendar in &calendars {
        clocks.learn(calendar);
    }

    let is_event =
        |component: &&ICalendarComponent| component.component_type == ICalendarComponentType::VEvent;
    let components = calendars.iter().flat_map(|calendar| &calendar.components).filter(is_event);
    let events = components
        .enumerate()
        .map(|(index, component)| Event::read(component, index + 1, &clocks))
        .collect::<Result<Vec<Event<'_>>, IcalError>>()?;
    let changes = Changes::of(&events);

    let mut budget = Budget(MAX_DAYS_EXAMINED);
    let mut spans: Vec<Span> = Vec::new();
    for event in events.iter().filter(|event| event.is_duty() && !changes.supersede(event)) {
        spans.extend(event.occurrences(window, &changes, &mut budget)?);
        if spans.len() > MAX_SHIFTS {
            return Err(IcalError::TooManyShifts);
        }
    }
    spans.sort_unstable();
    spans.dedup();
    let kind = |span| if options.on_call { ShiftKind::OnCall } else { classify(span, default_zone) };
    Ok(spans.into_iter().map(|span| Shift { span, kind: kind(span) }).collect())
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
    let rule = event.map(|event| rule(event, 1, &start)).transpose().map_err(|_| RuleError::Malformed)?;
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

/// The times of one VEVENT, and what ties it to the event it changes.
struct Event<'a> {
    number: usize,
    uid: Option<&'a str>,
    start: Reading,
    length: Length,
    rule: Option<Rule>,
    extra: Vec<(NaiveDateTime, Length)>,
    excepted: Marks,
    /// The occurrence of another event that this one stands for.
    instead_of: Option<Reading>,
    sequence: i64,
    cancelled: bool,
    marked_free: bool,
}

/// How long: readings of the clock first, then elapsed time.
#[derive(Clone, Copy)]
struct Length {
    nominal: TimeDelta,
    elapsed: TimeDelta,
}

impl Length {
    fn nominal(nominal: TimeDelta) -> Self {
        Self { nominal, elapsed: TimeDelta::zero() }
    }

    fn of(duration: &ICalendarDuration) -> Option<Self> {
        let days = i64::from(duration.weeks) * 7 + i64::from(duration.days);
        let seconds =
            i64::from(duration.hours) * 3600 + i64::from(duration.minutes) * 60 + i64::from(duration.seconds);
        let (nominal, elapsed) = (TimeDelta::try_days(days)?, TimeDelta::try_seconds(seconds)?);
        (!duration.neg).then_some(Self { nominal, elapsed })
    }

    fn whole(self) -> TimeDelta {
        self.nominal.checked_add(&self.elapsed).unwrap_or(TimeDelta::MAX)
    }
}

impl<'a> Event<'a> {
    fn read(component: &'a ICalendarComponent, event: usize, clocks: &Clocks<'_>) -> Result<Self, IcalError> {
        let malformed = IcalError::MalformedTime { event };
        let reading = |property: &ICalendarProperty| {
            let Some(entry) = component.property(property) else { return Ok(None) };
            match entry.values.first() {
                Some(ICalendarValue::PartialDateTime(value)) => {
                    Reading::of(value, &clocks.clock(entry, event)?, event).map(Some)
                }
                _ => Err(malformed),
            }
        };
        let instead_of = reading(&ICalendarProperty::RecurrenceId)?;
        let cancelled = component.status() == Some(&ICalendarStatus::Cancelled);
        let start = match reading(&ICalendarProperty::Dtstart)? {
            Some(start) => start,
            // What cancels an occurrence needs no time of its own.
            None => instead_of.clone().filter(|_| cancelled).ok_or(IcalError::NoStart { event })?,
        };
        let length = match reading(&ICalendarProperty::Dtend)? {
            Some(end) => {
                let nominal = end.on(&start.zone) - start.local;
                if nominal < TimeDelta::zero() {
                    return Err(IcalError::EndsBeforeStart { event });
                }
                Length::nominal(if start.date_only { nominal.max(TimeDelta::days(1)) } else { nominal })
            }
            None => {
                match component.property(&ICalendarProperty::Duration).map(|entry| entry.values.first()) {
                    Some(Some(ICalendarValue::Duration(duration))) => {
                        Length::of(duration).ok_or(malformed)?
                    }
                    Some(_) => return Err(malformed),
                    None if start.date_only => Length::nominal(TimeDelta::days(1)),
                    None => Length::nominal(TimeDelta::zero()),
                }
            }
        };
        let sequence =
            component.property(&ICalendarProperty::Sequence).and_then(|entry| entry.values.first());
        let changed = component.property(&ICalendarProperty::RecurrenceId);
        if changed.is_some_and(|entry| entry.has_parameter(&ICalendarParameterName::Range)) {
            return Err(IcalError::ThisAndFuture { event });
        }
        let (extra, excepted) = dates(component, event, clocks, &start.zone, length)?;
        Ok(Self {
            number: event,
            uid: component.uid(),
            rule: rule(component, event, &start)?,
            length,
            extra,
            excepted,
            instead_of,
            sequence: sequence.and_then(ICalendarValue::as_integer).unwrap_or(0),
            cancelled,
            marked_free: component.transparency() == Some(&ICalendarTransparency::Transparent),
            start,
        })
    }

    fn is_duty(&self) -> bool {
        !(self.cancelled || self.start.date_only && self.marked_free)
    }

    fn occurrences(
        &self,
        window: Span,
        changes: &Changes<'_>,
        budget: &mut Budget,
    ) -> Result<Vec<Span>, IcalError> {
        let mut starts = match &self.rule {
            None => vec![(self.start.local, self.length)],
            Some(rule) => self.recurring(rule, window, budget)?,
        };
        starts.extend(&self.extra);
        Ok(starts
            .into_iter()
            .filter(|(start, _)| {
                !self.excepted.name(*start, &self.start.zone) && !changes.replace(self, *start)
            })
            .filter_map(|(start, length)| self.span(start, length))
            .filter(|span| span.overlaps(window))
            .collect())
    }

    fn recurring(
        &self,
        rule: &Rule,
        window: Span,
        budget: &mut Budget,
    ) -> Result<Vec<(NaiveDateTime, Length)>, IcalError> {
        let reach = window.widened(TimeDelta::days(5 * 366), TimeDelta::zero());
        if rule.counts() && self.start.zone.resolve_start(self.start.local) < reach.start() {
            return Err(IcalError::StartOutOfReach { event: self.number });
        }
        // A shift may have begun before the window, and a gap may have moved it.
        let around = window.widened(MAX_SHIFT + TimeDelta::days(1), TimeDelta::days(1));
        let (from, to) = (self.start.zone.local(around.start()), self.start.zone.local(around.end()));
        let starts = rule.starts(from.date(), to.date(), budget).map_err(|_| IcalError::TooMuchWork)?;
        Ok(starts.into_iter().map(|start| (start, self.length)).collect())
    }

    fn span(&self, start: NaiveDateTime, length: Length) -> Option<Span> {
        let zone = &self.start.zone;
        let begin: DateTime<Utc> = zone.resolve_start(start);
        let end = if length.nominal.is_zero() {
            begin
        } else {
            zone.resolve_end(start.checked_add_signed(length.nominal)?)
        };
        let span = Span::new(begin, end.checked_add_signed(length.elapsed)?)?;
        (length.whole() <= MAX_SHIFT).then_some(span)
    }
}

/// Occurrences named one by one.
#[derive(Default)]
struct Marks {
    instants: HashSet<DateTime<Utc>>,
    /// Named by the day alone, whatever their time.
    dates: HashSet<NaiveDate>,
}

impl Marks {
    fn add(&mut self, reading: &Reading) {
        if reading.date_only {
            self.dates.insert(reading.local.date());
        } else {
            self.instants.insert(reading.instant());
        }
    }

    fn name(&self, start: NaiveDateTime, zone: &Zone) -> bool {
        self.dates.contains(&start.date()) || self.instants.contains(&zone.resolve_start(start))
    }
}

/// The occurrences that other events of the file stand for, by UID.
#[derive(Default)]
struct Changes<'a> {
    marks: HashMap<&'a str, Marks>,
    /// The revision of each change that counts, the later in the file among equals.
    latest: HashMap<(&'a str, DateTime<Utc>), (i64, usize)>,
}

impl<'a> Changes<'a> {
    fn of(events: &[Event<'a>]) -> Self {
        let mut changes = Self::default();
        for event in events {
            if let (Some(uid), Some(instead_of)) = (event.uid, &event.instead_of) {
                changes.marks.entry(uid).or_default().add(instead_of);
                let revision = changes.latest.entry((uid, instead_of.instant())).or_default();
                *revision = (*revision).max((event.sequence, event.number));
            }
        }
        changes
    }

    /// Whether a later revision of the same change exists.
    fn supersede(&self, event: &Event<'_>) -> bool {
        let key = event.uid.zip(event.instead_of.as_ref().map(Reading::instant));
        key.and_then(|key| self.latest.get(&key))
            .is_some_and(|revision| *revision != (event.sequence, event.number))
    }

    /// Whether another event stands for the occurrence of `event` that starts then.
    fn replace(&self, event: &Event<'_>, start: NaiveDateTime) -> bool {
        let marks = event.uid.and_then(|uid| self.marks.get(uid));
        event.instead_of.is_none() && marks.is_some_and(|marks| marks.name(start, &event.start.zone))
    }
}

fn rule(component: &ICalendarComponent, event: usize, start: &Reading) -> Result<Option<Rule>, IcalError> {
    let malformed = IcalError::MalformedRule { event };
    let mut rules = component.entries.iter().filter(|entry| entry.name == ICalendarProperty::Rrule);
    let Some(entry) = rules.next() else { return Ok(None) };
    if rules.next().is_some() {
        return Err(IcalError::SeveralRules { event });
    }
    let Some(ICalendarValue::RecurrenceRule(rule)) = entry.values.first() else { return Err(malformed) };
    let until = match &rule.until {
        None => None,
        Some(value) => {
            let until = Reading::of(value, &start.zone, event)?;
            let end_of_day = TimeDelta::seconds(if until.date_only { 24 * 60 * 60 - 1 } else { 0 });
            Some(until.on(&start.zone) + end_of_day)
        }
    };
    Rule::read(rule, start.local, until).ok_or(malformed).map(Some)
}

/// The starts that RDATE adds, as readings of the clock of `zone`, and the occurrences that EXDATE takes out.
fn dates(
    component: &ICalendarComponent,
    event: usize,
    clocks: &Clocks<'_>,
    zone: &Zone,
    usual: Length,
) -> Result<(Vec<(NaiveDateTime, Length)>, Marks), IcalError> {
    let malformed = IcalError::MalformedTime { event };
    let (mut extra, mut excepted, mut count) = (Vec::new(), Marks::default(), 0);
    for entry in &component.entries {
        let adds = match entry.name {
            ICalendarProperty::Rdate => true,
            ICalendarProperty::Exdate => false,
            _ => continue,
        };
        let clock = clocks.clock(entry, event)?;
        for value in &entry.values {
            count += 1;
            if count > MAX_DATES {
                return Err(IcalError::TooManyDates { event });
            }
            match value {
                ICalendarValue::PartialDateTime(value) if adds => {
                    extra.push((Reading::of(value, &clock, event)?.on(zone), usual));
                }
                ICalendarValue::PartialDateTime(value) => {
                    excepted.add(&Reading::of(value, &clock, event)?);
                }
                ICalendarValue::Period(ICalendarPeriod::Range { start, end }) if adds => {
                    let start = Reading::of(start, &clock, event)?.on(zone);
                    let length = Reading::of(end, &clock, event)?.on(zone) - start;
                    extra.push((start, Length::nominal(length)));
                }
                ICalendarValue::Period(ICalendarPeriod::Duration { start, duration }) if adds => {
                    let start = Reading::of(start, &clock, event)?.on(zone);
                    extra.push((start, Length::of(duration).ok_or(malformed)?));
                }
                _ => return Err(malformed),
            }
        }
    }
    Ok((extra, excepted))
}

#[cfg(test)]
mod foreign;
#[cfg(test)]
mod tests;
