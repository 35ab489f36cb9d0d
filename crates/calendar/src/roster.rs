//! A worker's duty periods and the time they take away (S1, S2, S4).
//!
//! A roster says when a person is away from home, so its debug output tells no times.

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use serde::{Deserialize, Serialize};

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
        Ok(Self { shifts, published_until, zone: zone.name().to_owned() })
    }

    /// Sorted by start; they may overlap.
    pub fn shifts(&self) -> &[Shift] {
        &self.shifts
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
}

/// Time a worker has not, and what takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unavailable {
    /// From when to when.
    pub span: Span,
    /// What takes it.
    pub reason: WorkerRefusal,
}

impl fmt::Debug for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unavailable({:?}, ..)", self.reason)
    }
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
    // A session that starts at the end of the range must be judged whole.
    let range = range.widened(TimeDelta::zero(), TimeDelta::days(1));
    let zero = TimeDelta::zero();
    let (commute, sleep) = (rules.commute.max(zero), rules.sleep_after_night.max(zero));
    let rest = rules.rest_before.max(zero);

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
        if shift.kind == ShiftKind::OnCall && !rules.on_call_blocks {
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Rules;

    fn zone(name: &str) -> Zone {
        Rules::compiled_in().zone(name).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    fn span(text: &str) -> Span {
        let (start, end) = text.split_once(' ').unwrap();
        Span::new(at(start), at(end)).unwrap()
    }

    #[track_caller]
    fn check_kind(name: &str, times: &str, kind: ShiftKind) {
        assert_eq!(classify(span(times), &zone(name)), kind);
    }

    #[test]
    fn s2_three_hours_between_23_and_6_make_a_night() {
        check_kind("Europe/Berlin", "2026-01-12T05:00 2026-01-12T13:00", ShiftKind::Day);
        check_kind("Europe/Berlin", "2026-01-12T13:00 2026-01-12T21:00", ShiftKind::Evening);
        check_kind("Europe/Berlin", "2026-01-12T13:00 2026-01-12T23:00", ShiftKind::Evening);
        check_kind("Europe/Berlin", "2026-01-12T10:00 2026-01-12T20:00", ShiftKind::Day);
        check_kind("Europe/Berlin", "2026-01-12T12:00 2026-01-12T19:00", ShiftKind::Day);
        check_kind("Europe/Berlin", "2026-01-12T21:00 2026-01-13T05:00", ShiftKind::Night);
        check_kind("Europe/Berlin", "2026-01-12T16:00 2026-01-13T00:59", ShiftKind::Evening);
        check_kind("Europe/Berlin", "2026-01-12T16:00 2026-01-13T01:00", ShiftKind::Night);
        check_kind("Europe/Berlin", "2026-01-13T02:00 2026-01-13T10:00", ShiftKind::Night);
        check_kind("Europe/Berlin", "2026-01-13T02:01 2026-01-13T10:00", ShiftKind::Day);
        check_kind("America/New_York", "2026-01-12T21:00 2026-01-13T05:00", ShiftKind::Evening);
    }

    #[test]
    fn s2_a_changed_clock_makes_the_night_shorter_or_longer() {
        // From 03:00 on, there are only 2 hours until 06:00 where the clock skipped the hour before.
        check_kind("Europe/Berlin", "2026-03-29T00:00 2026-03-29T04:00", ShiftKind::Night);
        check_kind("Europe/Berlin", "2026-03-29T01:01 2026-03-29T08:00", ShiftKind::Day);
        check_kind("Europe/Berlin", "2026-10-25T01:30 2026-10-25T08:00", ShiftKind::Night);
    }

    #[test]
    fn s2_a_day_long_duty_has_a_night_in_it() {
        check_kind("Europe/Berlin", "2026-01-12T07:00 2026-01-13T07:00", ShiftKind::Night);
        // Half of the 3 hours in the morning, half in the evening.
        check_kind("Europe/Berlin", "2026-01-12T03:30 2026-01-12T23:30", ShiftKind::Night);
    }

    fn roster(shifts: &[(&str, ShiftKind)], published_until: Option<&str>) -> Roster {
        let shifts = shifts.iter().map(|(times, kind)| Shift { span: span(times), kind: *kind }).collect();
        let published_until = published_until.map(|date| date.parse().unwrap());
        Roster::new(&zone("Europe/Berlin"), shifts, published_until, at("2026-01-12T00:00")).unwrap()
    }

    #[track_caller]
    fn check_unavailable(roster: &Roster, rules: &ShiftRules, expected: &[(&str, WorkerRefusal)]) {
        let range = span("2026-01-12T00:00 2026-01-14T00:00");
        let found = unavailable(roster, rules, &zone("Europe/Berlin"), range, true);
        let found: Vec<_> = found.iter().map(|time| (time.span, time.reason)).collect();
        assert_eq!(found, expected.iter().map(|(times, why)| (span(times), *why)).collect::<Vec<_>>());
    }

    #[test]
    fn s2_a_day_shift_takes_the_way_and_the_rest_before() {
        check_unavailable(
            &roster(&[("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day)], None),
            &ShiftRules::default(),
            &[
                ("2026-01-12T07:00 2026-01-12T07:30", WorkerRefusal::Rest),
                ("2026-01-12T07:30 2026-01-12T08:00", WorkerRefusal::Commute),
                ("2026-01-12T08:00 2026-01-12T16:00", WorkerRefusal::Shift),
                ("2026-01-12T16:00 2026-01-12T16:30", WorkerRefusal::Commute),
            ],
        );
    }

    #[test]
    fn s2_a_long_commute_leaves_no_more_rest() {
        let far = ShiftRules { commute: TimeDelta::minutes(90), ..ShiftRules::default() };
        check_unavailable(
            &roster(&[("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day)], None),
            &far,
            &[
                ("2026-01-12T06:30 2026-01-12T08:00", WorkerRefusal::Commute),
                ("2026-01-12T08:00 2026-01-12T16:00", WorkerRefusal::Shift),
                ("2026-01-12T16:00 2026-01-12T17:30", WorkerRefusal::Commute),
            ],
        );
    }

    #[test]
    fn s2_sleep_follows_the_way_home_from_a_night() {
        let nights = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::Night)], None);
        let expected = [
            ("2026-01-12T19:00 2026-01-12T19:30", WorkerRefusal::Rest),
            ("2026-01-12T19:30 2026-01-12T20:00", WorkerRefusal::Commute),
            ("2026-01-12T20:00 2026-01-13T05:00", WorkerRefusal::Shift),
            ("2026-01-13T05:00 2026-01-13T05:30", WorkerRefusal::Commute),
            ("2026-01-13T05:30 2026-01-13T13:30", WorkerRefusal::Sleep),
        ];
        check_unavailable(&nights, &ShiftRules::default(), &expected);
        // What covers the night takes sleep away whatever it is called.
        let called_evening = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::Evening)], None);
        check_unavailable(&called_evening, &ShiftRules::default(), &expected);
        let on_call = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::OnCall)], None);
        check_unavailable(&on_call, &ShiftRules::default(), &expected);
    }

    #[test]
    fn s2_on_call_that_does_not_block_takes_nothing() {
        let on_call = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::OnCall)], None);
        check_unavailable(&on_call, &ShiftRules { on_call_blocks: false, ..ShiftRules::default() }, &[]);
    }

    #[track_caller]
    fn check_beyond(roster: &Roster, beyond_roster: bool, expected: &[&str]) {
        let range = span("2026-01-12T00:00 2026-01-16T00:00");
        let found = unavailable(roster, &ShiftRules::default(), &zone("Europe/Berlin"), range, beyond_roster);
        let beyond = found.iter().filter(|time| time.reason == WorkerRefusal::BeyondRoster);
        let expected: Vec<_> = expected.iter().map(|text| span(text)).collect();
        assert_eq!(beyond.map(|time| time.span).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn s4_nothing_after_the_last_published_day() {
        let published = roster(&[], Some("2026-01-13"));
        check_beyond(&published, false, &["2026-01-13T23:00 2026-01-17T00:00"]);
        check_beyond(&published, true, &[]);
        check_beyond(&roster(&[], None), false, &[]);
        // A roster that does not say ends with its last shift.
        let until_midnight = roster(&[("2026-01-12T14:00 2026-01-12T23:00", ShiftKind::Evening)], None);
        check_beyond(&until_midnight, false, &["2026-01-12T23:30 2026-01-17T00:00"]);
    }

    #[track_caller]
    fn check_refused(shifts: &[&str], published_until: Option<&str>, error: RosterError) {
        let shifts = shifts.iter().map(|times| Shift { span: span(times), kind: ShiftKind::Day }).collect();
        let published_until = published_until.map(|date| date.parse().unwrap());
        let refused = Roster::new(&zone("Europe/Berlin"), shifts, published_until, at("2026-01-12T00:00"));
        assert_eq!(refused, Err(error));
    }

    #[test]
    fn s1_a_roster_has_bounds() {
        let fine = "2026-01-12T08:00 2026-01-12T16:00";
        let longest = "2026-01-12T08:00 2026-01-14T08:00";
        let longer = "2026-01-12T08:00 2026-01-14T08:01";
        assert_eq!(roster(&[(longest, ShiftKind::Day), (fine, ShiftKind::Day)], None).shifts().len(), 2);
        check_refused(&[fine, longer], None, RosterError::ShiftTooLong { index: 1 });
        check_refused(
            &[fine, fine, "2020-01-01T08:00 2020-01-01T16:00"],
            None,
            RosterError::ShiftOutOfReach { index: 2 },
        );
        check_refused(
            &["2029-01-01T08:00 2029-01-01T16:00"],
            None,
            RosterError::ShiftOutOfReach { index: 0 },
        );
        check_refused(&[], Some("2029-01-01"), RosterError::PublishedUntilOutOfReach);
        check_refused(&vec![fine; 5_001], None, RosterError::TooManyShifts { count: 5_001 });
    }

    #[test]
    fn settings_of_the_worker_have_bounds_and_defaults() {
        assert_eq!(ShiftRules::default().validate(), Ok(()));
        assert_eq!(serde_json::from_str::<ShiftRules>("{}").unwrap(), ShiftRules::default());
        let refused = |text| serde_json::from_str::<ShiftRules>(text).unwrap().validate().unwrap_err();
        assert_eq!(refused(r#"{"commute":361}"#), ShiftRulesError::Commute);
        assert_eq!(refused(r#"{"rest_before":-1}"#), ShiftRulesError::RestBefore);
        assert_eq!(refused(r#"{"sleep_after_night":961}"#), ShiftRulesError::SleepAfterNight);
        assert!(serde_json::from_str::<ShiftRules>(r#"{"comute":30}"#).is_err());
    }

    #[test]
    fn a_roster_survives_storage_and_shows_no_times_in_logs() {
        let roster = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::Night)], Some("2026-01-31"));
        let stored = serde_json::to_string(&roster).unwrap();
        assert_eq!(serde_json::from_str::<Roster>(&stored).unwrap(), roster);
        let zone = zone("Europe/Berlin");
        let times = unavailable(&roster, &ShiftRules::default(), &zone, roster.shifts()[0].span, false);
        let shown = format!("{roster:?} {:?} {times:?}", roster.shifts());
        assert!(!shown.contains("2026") && !shown.contains("Berlin"), "{shown}");
    }

    fn night_minutes(span: Span, zone: &Zone) -> usize {
        let minutes = (0..span.duration().num_minutes()).map(|i| span.start() + TimeDelta::minutes(i));
        minutes.filter(|minute| [23, 0, 1, 2, 3, 4, 5].contains(&zone.local(*minute).hour())).count()
    }

    /// What takes a minute, asking in turn each shift, told with its minutes at night.
    fn reason_of(
        minute: DateTime<Utc>,
        shifts: &[(Shift, usize)],
        published_until: Option<NaiveDate>,
        rules: &ShiftRules,
        zone: &Zone,
    ) -> Option<WorkerRefusal> {
        let mut reasons = Vec::new();
        for (shift, minutes_at_night) in shifts {
            if shift.kind == ShiftKind::OnCall && !rules.on_call_blocks {
                continue;
            }
            let (start, end) = (shift.span.start(), shift.span.end());
            let night = shift.kind == ShiftKind::Night || *minutes_at_night >= 180;
            let asleep = if night { rules.sleep_after_night } else { TimeDelta::zero() };
            if (start..end).contains(&minute) {
                reasons.push(WorkerRefusal::Shift);
            } else if (start - rules.commute..start).contains(&minute)
                || (end..end + rules.commute).contains(&minute)
            {
                reasons.push(WorkerRefusal::Commute);
            } else if (start - rules.rest_before..start).contains(&minute) {
                reasons.push(WorkerRefusal::Rest);
            } else if night && (end..end + rules.commute + asleep).contains(&minute) {
                reasons.push(WorkerRefusal::Sleep);
            }
        }
        if published_until.is_some_and(|last| zone.local(minute).date() > last) {
            reasons.push(WorkerRefusal::BeyondRoster);
        }
        reasons.into_iter().min()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn s2_s4_every_minute_is_taken_by_what_a_slow_model_says(
            place in prop::sample::select(vec![
                ("Europe/Berlin", "2026-03-28T00:00"),
                ("America/New_York", "2026-10-31T00:00"),
                ("Australia/Lord_Howe", "2026-04-04T00:00"),
                ("America/Vancouver", "2026-10-31T00:00"),
            ]),
            shifts in prop::collection::vec((0_i64..3000, 30_i64..1500, 0_usize..4), 0..5),
            (commute, rest, sleep) in (0_i64..90, 0_i64..120, 0_i64..600),
            on_call_blocks in any::<bool>(),
            published in prop::option::of(0_u64..4),
        ) {
            let (zone, start) = (zone(place.0), at(place.1));
            let kinds = [ShiftKind::Day, ShiftKind::Evening, ShiftKind::Night, ShiftKind::OnCall];
            let shifts = shifts.into_iter().map(|(from, minutes, kind)| {
                let from = start + TimeDelta::minutes(from);
                Shift { span: Span::new(from, from + TimeDelta::minutes(minutes)).unwrap(), kind: kinds[kind] }
            });
            let published = published.map(|days| start.date_naive() + chrono::Days::new(days));
            let roster = Roster::new(&zone, shifts.collect(), published, start).unwrap();
            let rules = ShiftRules {
                commute: TimeDelta::minutes(commute),
                rest_before: TimeDelta::minutes(rest),
                sleep_after_night: TimeDelta::minutes(sleep),
                on_call_blocks,
            };
            let range = Span::new(start, start + TimeDelta::days(2)).unwrap();
            let taken = unavailable(&roster, &rules, &zone, range, false);
            prop_assert!(taken.windows(2).all(|pair| pair[0].span.end() <= pair[1].span.start()), "disjoint");
            let shifts: Vec<_> =
                roster.shifts().iter().map(|shift| (*shift, night_minutes(shift.span, &zone))).collect();
            let expected = |minute| reason_of(minute, &shifts, roster.published_until(), &rules, &zone);
            for minute in (0..2 * 24 * 60).map(|i| start + TimeDelta::minutes(i)) {
                let found = taken.iter().find(|time| time.span.contains_instant(minute)).map(|time| time.reason);
                prop_assert_eq!(found, expected(minute), "at {}", minute);
            }
        }
    }
}
