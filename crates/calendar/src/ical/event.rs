//! One event of a file: when it is, how often, and which other events it changes.

use std::collections::{HashMap, HashSet};

use calcard::icalendar::{
    ICalendarComponent, ICalendarDuration, ICalendarEntry, ICalendarFreeBusyType, ICalendarParameterName,
    ICalendarParameterValue, ICalendarPeriod, ICalendarProperty, ICalendarStatus, ICalendarTransparency,
    ICalendarValue,
};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use super::clocks::{Clocks, Reading};
use super::recurrence::{Budget, Rule};
use super::{IcalError, Sought};
use crate::{Span, Zone};

const MAX_SHIFT: TimeDelta = TimeDelta::hours(48);
const MAX_RECURRING: TimeDelta = TimeDelta::days(366);
const MAX_DATES: usize = 366;

/// The times of one VEVENT, and what ties it to the event it changes.
pub(super) struct Event<'a> {
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
    pub(super) fn read(
        component: &'a ICalendarComponent,
        event: usize,
        clocks: &Clocks<'_>,
    ) -> Result<Self, IcalError> {
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

    /// Who marks a shift as free keeps the calendar open for colleagues, and is on duty; who marks a whole day as
    /// free is told about a birthday.
    pub(super) fn counts_as(&self, sought: Sought<'_>) -> bool {
        let (free, known) = match sought {
            Sought::Shifts => (self.marked_free && self.start.date_only, false),
            Sought::Busy { own } => (self.marked_free, self.uid.is_some_and(|uid| own.contains(uid))),
        };
        !(self.cancelled || free || known)
    }

    pub(super) fn occurrences(
        &self,
        sought: Sought<'_>,
        window: Span,
        changes: &Changes<'_>,
        budget: &mut Budget,
    ) -> Result<Vec<Span>, IcalError> {
        let mut starts = match &self.rule {
            None => vec![(self.start.local, self.length)],
            Some(rule) => self.recurring(rule, sought, window, budget)?,
        };
        starts.extend(&self.extra);
        Ok(starts
            .into_iter()
            .filter(|(start, _)| {
                !self.excepted.name(*start, &self.start.zone) && !changes.replace(self, *start)
            })
            .filter(|(_, length)| sought.is_busy() || length.whole() <= MAX_SHIFT)
            .filter_map(|(start, length)| self.span(start, length))
            .filter(|span| span.overlaps(window))
            .collect())
    }

    fn recurring(
        &self,
        rule: &Rule,
        sought: Sought<'_>,
        window: Span,
        budget: &mut Budget,
    ) -> Result<Vec<(NaiveDateTime, Length)>, IcalError> {
        let reach = window.widened(TimeDelta::days(5 * 366), TimeDelta::zero());
        if rule.counts() && self.start.zone.resolve_start(self.start.local) < reach.start() {
            return Err(IcalError::StartOutOfReach { event: self.number });
        }
        let longest = if sought.is_busy() { MAX_RECURRING } else { MAX_SHIFT };
        if sought.is_busy() && self.length.whole() > longest {
            return Err(IcalError::MalformedTime { event: self.number });
        }
        // An occurrence may have begun before the window, and a gap may have moved it.
        let around = window.widened(self.length.whole().min(longest), TimeDelta::zero());
        let around = around.widened(TimeDelta::days(1), TimeDelta::days(1));
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
            zone.resolve_end(start.checked_add_signed(length.nominal).unwrap_or(NaiveDateTime::MAX))
        };
        // What lasts longer than time can be told lasts for ever.
        Span::new(begin, end.checked_add_signed(length.elapsed).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

/// The times that a VFREEBUSY tells, without those that are free; `None` if one of them cannot be read.
pub(super) fn free_busy(component: &ICalendarComponent, clocks: &Clocks<'_>) -> Option<Vec<Span>> {
    let free = ICalendarParameterValue::Fbtype(ICalendarFreeBusyType::Free);
    let is_busy = |entry: &&ICalendarEntry| {
        entry.name == ICalendarProperty::Freebusy
            && entry.parameter(&ICalendarParameterName::Fbtype) != Some(&free)
    };
    let mut spans = Vec::new();
    for entry in component.entries.iter().filter(is_busy) {
        let clock = clocks.clock(entry, 0).ok()?;
        let instant = |value| Some(Reading::of(value, &clock, 0).ok()?.instant());
        for value in &entry.values {
            let ICalendarValue::Period(period) = value else { return None };
            spans.push(match period {
                ICalendarPeriod::Range { start, end } => Span::new(instant(start)?, instant(end)?)?,
                ICalendarPeriod::Duration { start, duration } => {
                    let start = instant(start)?;
                    Span::new(start, start.checked_add_signed(Length::of(duration)?.whole())?)?
                }
            });
        }
    }
    Some(spans)
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
pub(super) struct Changes<'a> {
    marks: HashMap<&'a str, Marks>,
    /// The revision of each change that counts, the later in the file among equals.
    latest: HashMap<(&'a str, DateTime<Utc>), (i64, usize)>,
}

impl<'a> Changes<'a> {
    pub(super) fn of(events: &[Event<'a>]) -> Self {
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
    pub(super) fn supersede(&self, event: &Event<'_>) -> bool {
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

pub(super) fn rule(
    component: &ICalendarComponent,
    event: usize,
    start: &Reading,
) -> Result<Option<Rule>, IcalError> {
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
