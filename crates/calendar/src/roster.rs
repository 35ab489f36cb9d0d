//! A worker's duty periods and the time they take away (S1 to S4, S6).
//!
//! A roster says when a person is away from home, so its debug output tells no times.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

use crate::span::first_ending_after;
use crate::{Span, Zone, subtract, union};

/// What sort of duty a shift is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftKind {
    /// Neither evening nor night.
    Day,
    /// Starts at noon or later and ends after 20:00, without being a night.
    Evening,
    /// At least 3 hours of it are between 23:00 and 06:00.
    Night,
    /// Reachable, at home or on site; the worker says whether it blocks.
    OnCall,
}

/// A duty period, of which nothing else is kept (S1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shift {
    /// From the start of duty to its end.
    pub span: Span,
    /// What sort of duty.
    pub kind: ShiftKind,
}

impl fmt::Debug for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shift(..)")
    }
}

/// The shifts of one worker, up to the last day that is published.
///
/// The limits hold for what [`Roster::new`] made; data that was sealed after it is not measured again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    shifts: Vec<Shift>,
    published_until: Option<NaiveDate>,
    zone: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    breaks: Vec<Span>,
}

impl Roster {
    /// At most 5,000 shifts of at most 48 hours each, from 5 years before `now` to 2 years after it.
    ///
    /// Without a published day, the roster is taken to end with the local day on which the last shift ends.
    pub fn new(
        zone: &Zone,
        mut shifts: Vec<Shift>,
        published_until: Option<NaiveDate>,
        now: DateTime<Utc>,
    ) -> Result<Self, RosterError> {
        if shifts.len() > 5_000 {
            return Err(RosterError::TooManyShifts { count: shifts.len() });
        }
        let reach = (now - TimeDelta::days(5 * 366), now + TimeDelta::days(2 * 366));
        for (index, shift) in shifts.iter().enumerate() {
            if shift.span.duration() > TimeDelta::hours(48) {
                return Err(RosterError::ShiftTooLong { index });
            }
            if shift.span.start() < reach.0 || shift.span.end() > reach.1 {
                return Err(RosterError::ShiftOutOfReach { index });
            }
        }
        if published_until.is_some_and(|date| date < reach.0.date_naive() || date > reach.1.date_naive()) {
            return Err(RosterError::PublishedUntilOutOfReach);
        }
        shifts.sort_unstable();
        shifts.dedup();
        let last_end = shifts.iter().map(|shift| shift.span.end()).max();
        // The end is the first instant off duty: a shift until midnight ends with the day before.
        let last_day = last_end.map(|end| zone.local(end - TimeDelta::seconds(1)).date());
        let published_until = published_until.or(last_day);
        Ok(Self { shifts, published_until, zone: zone.name().to_owned(), breaks: Vec::new() })
    }

    /// S3: with the breaks that the shifts declare, at most 10,000, each wholly inside a shift.
    ///
    /// They take nothing away and change nothing but what [`in_breaks`] makes of the roster.
    pub fn with_breaks(self, breaks: Vec<Span>) -> Result<Self, BreakError> {
        if breaks.len() > 10_000 {
            return Err(BreakError::TooMany { count: breaks.len() });
        }
        if let Some(index) = breaks.iter().position(|pause| !self.has_shift_around(*pause)) {
            return Err(BreakError::OutsideShift { index });
        }
        Ok(Self { breaks: union(breaks), ..self })
    }

    fn has_shift_around(&self, pause: Span) -> bool {
        let earlier =
            &self.shifts[..self.shifts.partition_point(|shift| shift.span.start() <= pause.start())];
        // No shift is longer than 48 hours, so that the others are over.
        let reach = pause.start() - TimeDelta::hours(48);
        let mut near = earlier.iter().rev().take_while(|shift| shift.span.start() >= reach);
        near.any(|shift| shift.span.contains(pause))
    }

    /// Sorted by start; they may overlap.
    pub fn shifts(&self) -> &[Shift] {
        &self.shifts
    }

    /// S3: the breaks that the shifts declare, sorted; those that touch are one.
    pub fn breaks(&self) -> &[Span] {
        &self.breaks
    }

    /// The last local date of which the shifts are known; nothing if there has never been one.
    pub fn published_until(&self) -> Option<NaiveDate> {
        self.published_until
    }

    /// The IANA name of the clock the roster is read on.
    pub fn zone(&self) -> &str {
        &self.zone
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster").field("shifts", &self.shifts.len()).finish_non_exhaustive()
    }
}

/// Why a list of shifts is no roster; the index is that of the list given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// More than 5,000.
    #[error("a roster has at most 5,000 shifts, not {count}")]
    TooManyShifts {
        /// How many there are.
        count: usize,
    },
    /// Longer than 48 hours.
    #[error("shift {index} is longer than 48 hours")]
    ShiftTooLong {
        /// Which one.
        index: usize,
    },
    /// Before the last 5 years or after the next 2.
    #[error("shift {index} is more than 5 years ago or 2 years ahead")]
    ShiftOutOfReach {
        /// Which one.
        index: usize,
    },
    /// Before the last 5 years or after the next 2.
    #[error("the last published day is more than 5 years ago or 2 years ahead")]
    PublishedUntilOutOfReach,
}

/// Why a list of breaks is not that of a roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakError {
    /// More than 10,000.
    #[error("a roster has at most 10,000 breaks, not {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Not wholly inside a shift.
    #[error("break {index} is not inside a shift")]
    OutsideShift {
        /// Which one.
        index: usize,
    },
}

/// The kind of a duty period that nobody named, from the local clock; never on-call.
pub fn classify(span: Span, zone: &Zone) -> ShiftKind {
    let (start, end) = (zone.local(span.start()), zone.local(span.end()));
    let late = end.date() > start.date() || end.time() > time(20);
    if covers_night(span, zone) {
        ShiftKind::Night
    } else if start.hour() >= 12 && late {
        ShiftKind::Evening
    } else {
        ShiftKind::Day
    }
}

/// What a worker asks to be kept free around shifts (S2); as data, in minutes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShiftRules {
    /// The way to work, and home again.
    #[serde(with = "minutes")]
    pub commute: TimeDelta,
    /// Rest before a shift, of which the commute is a part.
    #[serde(with = "minutes")]
    pub rest_before: TimeDelta,
    /// Sleep after a night shift and the way home.
    #[serde(with = "minutes")]
    pub sleep_after_night: TimeDelta,
    /// Whether an on-call shift counts as a shift at all.
    pub on_call_blocks: bool,
}

impl ShiftRules {
    /// Commute and rest are at most 6 hours, sleep at most 16.
    pub fn validate(&self) -> Result<(), ShiftRulesError> {
        let within = |time: TimeDelta, hours| (TimeDelta::zero()..=TimeDelta::hours(hours)).contains(&time);
        if !within(self.commute, 6) {
            return Err(ShiftRulesError::Commute);
        }
        if !within(self.rest_before, 6) {
            return Err(ShiftRulesError::RestBefore);
        }
        if !within(self.sleep_after_night, 16) {
            return Err(ShiftRulesError::SleepAfterNight);
        }
        Ok(())
    }

    fn count(&self, shift: Shift) -> bool {
        self.on_call_blocks || shift.kind != ShiftKind::OnCall
    }
}

impl Default for ShiftRules {
    fn default() -> Self {
        Self {
            commute: TimeDelta::minutes(30),
            rest_before: TimeDelta::minutes(60),
            sleep_after_night: TimeDelta::hours(8),
            on_call_blocks: true,
        }
    }
}

mod minutes {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(time: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.num_minutes())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
        Ok(TimeDelta::minutes(i32::deserialize(deserializer)?.into()))
    }
}

/// Which of the [`ShiftRules`] is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShiftRulesError {
    /// The commute.
    #[error("a commute is at most 6 hours")]
    Commute,
    /// The rest before a shift.
    #[error("the rest before a shift is at most 6 hours")]
    RestBefore,
    /// The sleep after a night shift.
    #[error("the sleep after a night shift is at most 16 hours")]
    SleepAfterNight,
}

/// What takes time away from a worker. Where several do, the earliest of this list counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum WorkerRefusal {
    /// On duty.
    #[error("the worker is on shift then")]
    Shift,
    /// On duty, but in a declared break: a check-in of 10 to 30 minutes may be held there, if it fits wholly.
    #[error("in a break there is time for 10 to 30 minutes, and only if it is over with the break")]
    Break,
    /// On the way to a shift or home from it.
    #[error("the worker is on the way to or from a shift then")]
    Commute,
    /// About to leave for a shift.
    #[error("the worker rests before a shift then")]
    Rest,
    /// After a night shift.
    #[error("the worker sleeps after a night shift then")]
    Sleep,
    /// S4: nobody knows the shifts yet.
    #[error("the roster is not published that far")]
    BeyondRoster,
    /// S3: off duty, where only breaks were asked for.
    #[error("only breaks were asked for, and the worker is off duty then")]
    OffDuty,
}

/// Time a worker has not, and what takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unavailable {
    /// From when to when.
    pub span: Span,
    /// What takes it.
    pub reason: WorkerRefusal,
}

impl Unavailable {
    /// Whether `session` has no place here; in a break, a check-in has.
    pub(crate) fn excludes(self, session: Span) -> bool {
        let check_in = TimeDelta::minutes(10)..=TimeDelta::minutes(30);
        let in_break = self.reason == WorkerRefusal::Break
            && self.span.contains(session)
            && check_in.contains(&session.duration());
        self.span.overlaps(session) && !in_break
    }
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unavailable({:?}, ..)", self.reason)
    }
}

/// Why a session has no place in what [`unavailable`] or [`in_breaks`] gave.
pub fn refuses(unavailable: &[Unavailable], session: Span) -> Option<WorkerRefusal> {
    first_ending_after(unavailable, session.start(), |time| time.span)
        .filter(|time| time.excludes(session))
        .map(|time| time.reason)
}

/// S2, S4: what a roster takes away of `range` and the day after it, sorted and disjoint.
///
/// A shift counts as a night if it is called one or covers the night on the clock of `zone`. After the last
/// published day nothing is free, unless the worker asks for `beyond_roster`.
pub fn unavailable(
    roster: &Roster,
    rules: &ShiftRules,
    zone: &Zone,
    range: Span,
    beyond_roster: bool,
) -> Vec<Unavailable> {
    let range = judged(range);
    let zero = TimeDelta::zero();
    let (commute, sleep) = (rules.commute.max(zero), rules.sleep_after_night.max(zero));
    let rest = rules.rest_before.max(zero);
    let near = range.widened(commute + sleep, commute.max(rest));

    let mut taken: Vec<(WorkerRefusal, Vec<Span>)> = [
        WorkerRefusal::Shift,
        WorkerRefusal::Commute,
        WorkerRefusal::Rest,
        WorkerRefusal::Sleep,
        WorkerRefusal::BeyondRoster,
    ]
    .map(|reason| (reason, Vec::new()))
    .into();
    let mut take = |reason: WorkerRefusal, span: Span| {
        if let Some(span) = span.intersection(range)
            && let Some((_, spans)) = taken.iter_mut().find(|(known, _)| *known == reason)
        {
            spans.push(span);
        }
    };
    for shift in roster.shifts() {
        if !rules.count(*shift) || !shift.span.overlaps(near) {
            continue;
        }
        // Each reason spans the shift as well: what comes earlier in the list covers that part.
        take(WorkerRefusal::Shift, shift.span);
        take(WorkerRefusal::Commute, shift.span.widened(commute, commute));
        take(WorkerRefusal::Rest, shift.span.widened(rest, zero));
        if shift.kind == ShiftKind::Night || covers_night(shift.span, zone) {
            take(WorkerRefusal::Sleep, shift.span.widened(zero, commute + sleep));
        }
    }
    if let Some(after) = roster.published_until().and_then(|date| date.succ_opt()).filter(|_| !beyond_roster)
        && let Some(unknown) = Span::new(zone.resolve_start(after.and_time(NaiveTime::MIN)), range.end())
    {
        take(WorkerRefusal::BeyondRoster, unknown);
    }

    let mut covered: Vec<Span> = Vec::new();
    let mut unavailable: Vec<Unavailable> = Vec::new();
    for (reason, spans) in taken {
        let more = subtract(&spans, &covered);
        unavailable.extend(more.iter().map(|span| Unavailable { span: *span, reason }));
        covered = union([covered, more].concat());
    }
    unavailable.sort_unstable();
    unavailable
}

/// S3: what [`unavailable`] gave for `range`, with the declared breaks open for check-ins, and nothing else: all else
/// inside shifts stays taken, and so does what lies around them, and what was free is not asked for.
pub fn in_breaks(unavailable: &[Unavailable], breaks: &[Span], range: Span) -> Vec<Unavailable> {
    let range = judged(range);
    let covered: Vec<Span> = unavailable.iter().map(|time| time.span).collect();
    let (shifts, mut taken): (Vec<Unavailable>, Vec<Unavailable>) =
        unavailable.iter().partition(|time| time.reason == WorkerRefusal::Shift);
    let on_shift: Vec<Span> = shifts.into_iter().map(|time| time.span).collect();
    let on_duty = subtract(&on_shift, breaks);
    let in_break = subtract(&on_shift, &on_duty);
    let with = |reason| move |span| Unavailable { span, reason };
    taken.extend(on_duty.into_iter().map(with(WorkerRefusal::Shift)));
    taken.extend(in_break.into_iter().map(with(WorkerRefusal::Break)));
    taken.extend(subtract(&[range], &covered).into_iter().map(with(WorkerRefusal::OffDuty)));
    taken.sort_unstable();
    taken
}

/// With the day after it: a session that starts at the end of the range must be judged whole.
fn judged(range: Span) -> Span {
    range.widened(TimeDelta::zero(), TimeDelta::days(1))
}

/// S6: whether the worker is on shift again within that time after `session`, at once if it is in a break.
pub fn on_shift_soon(roster: &Roster, rules: &ShiftRules, session: Span, within: TimeDelta) -> bool {
    let end = session.end();
    roster
        .shifts()
        .iter()
        .filter(|shift| rules.count(**shift) && end < shift.span.end())
        .any(|shift| shift.span.start() - end <= within)
}

/// S2: at least 3 hours of it are between 23:00 and 06:00 local time, in one night or in two.
fn covers_night(span: Span, zone: &Zone) -> bool {
    if span.duration() >= TimeDelta::hours(24) {
        return true;
    }
    let first = zone.local(span.start()).date();
    let last = zone.local(span.end()).date();
    let nights = first.pred_opt().unwrap_or(first).iter_days().take_while(|date| *date <= last);
    let of_night: TimeDelta = nights
        .filter_map(|date| {
            let (start, end) = (date.and_time(time(23)), date.succ_opt()?.and_time(time(6)));
            Span::new(zone.resolve_start(start), zone.resolve_end(end))?.intersection(span)
        })
        .map(Span::duration)
        .sum();
    of_night >= TimeDelta::hours(3)
}

fn time(hour: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or_default()
}

#[cfg(test)]
mod tests;
