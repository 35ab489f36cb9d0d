//! Shifts from a pattern (S1): a cycle of named shifts such as `D D N N - - - -`, or a recurrence rule.
//!
//! A shift belongs to the date it starts on; its times are read on the local clock as those of a window are (T2,
//! T3), so that a night keeps its times when the clock changes under it.

use std::collections::HashMap;

use chrono::{Days, NaiveDate, TimeDelta};

use crate::ical::{RuleError, rule_dates};
use crate::{DayWindow, Shift, ShiftKind, Span, Zone, classify};

const MOST_DAYS: u64 = 2 * 366;
const MOST_TOKENS: usize = 366;
const LONGEST_NAME: usize = 8;

/// How shifts repeat, from a first date on.
#[derive(Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Names with blanks between them, in capitals or not, one for each day; `-` is a day off. After the last, the
    /// first comes again.
    Cycle {
        /// Such as `D D N N - - - -`.
        cycle: String,
        /// What the names mean.
        named: Vec<NamedShift>,
    },
    /// The dates of a recurrence rule.
    Rule {
        /// An RRULE of RFC 5545 without its name, such as `FREQ=WEEKLY;BYDAY=MO,TH`, with what an iCalendar file
        /// may have.
        rule: String,
        /// What every shift is like.
        shift: ShiftHours,
    },
}

/// A shift, by the name that cycles call it.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedShift {
    /// Up to 8 characters without a blank, such as `D`.
    pub name: String,
    /// What it is like.
    pub shift: ShiftHours,
}

/// What a shift is like on any day.
#[derive(Clone, PartialEq, Eq)]
pub struct ShiftHours {
    /// From when to when.
    pub hours: DayWindow,
    /// What sort of duty; what the times say, if nothing is.
    pub kind: Option<ShiftKind>,
    /// S3: the breaks it declares.
    pub breaks: Vec<ShiftBreak>,
}

/// A break within any shift of some hours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShiftBreak {
    /// Time that has passed since the shift began.
    pub offset: TimeDelta,
    /// How long it is.
    pub duration: TimeDelta,
}

/// What a pattern makes, in ascending order of the dates that the shifts start on: at most one on each.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// The shifts.
    pub shifts: Vec<Shift>,
    /// Their breaks, but for those that are over only after the shift, as when the clock is put forward in it.
    pub breaks: Vec<Span>,
}

/// Why a pattern makes no shifts; never a word of what it says. Positions count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The last date is before the first.
    #[error("the last day is before the first")]
    Reversed,
    /// More than 732 days from the first date to the last.
    #[error("a pattern reaches at most two years")]
    TooLong,
    /// More than 366 days.
    #[error("a cycle has at most 366 days, not {days}")]
    CycleTooLong {
        /// How many it has.
        days: usize,
    },
    /// Empty, longer than 8 characters, with a blank in it, or the name of a day off.
    #[error("name {position} is not one of 1 to 8 characters without a blank")]
    BadName {
        /// Of which shift times.
        position: usize,
    },
    /// The same as an earlier one; capitals make no difference.
    #[error("name {position} is there already")]
    NameTwice {
        /// Of which shift times.
        position: usize,
    },
    /// No shift times go by that name.
    #[error("day {position} of the cycle names no shift; a day off is -")]
    UnknownName {
        /// Which day of the cycle.
        position: usize,
    },
    /// The rule is not taken.
    #[error("the rule {0}")]
    Rule(#[from] RuleError),
    /// Nothing but days off.
    #[error("the pattern has no shift up to its last day")]
    NoShift,
}

/// The shifts that start on the dates `first` to `last`.
pub fn shifts(
    pattern: &Pattern,
    zone: &Zone,
    first: NaiveDate,
    last: NaiveDate,
) -> Result<Planned, PatternError> {
    if last < first {
        return Err(PatternError::Reversed);
    }
    if first.checked_add_days(Days::new(MOST_DAYS)).is_none_or(|end| last > end) {
        return Err(PatternError::TooLong);
    }
    let days: Vec<(NaiveDate, &ShiftHours)> = match pattern {
        Pattern::Cycle { cycle, named } => {
            let cycle = read_cycle(cycle, named)?;
            let dates = first.iter_days().take_while(|date| *date <= last);
            dates
                .zip(cycle.into_iter().cycle())
                .filter_map(|(date, named)| named.map(|named| (date, &named.shift)))
                .collect()
        }
        Pattern::Rule { rule, shift } => {
            let dates = rule_dates(rule, first.and_time(shift.hours.start()), zone, last)?;
            dates.into_iter().map(|date| (date, shift)).collect()
        }
    };
    let mut planned = Planned::default();
    for (date, ShiftHours { hours, kind, breaks }) in days {
        let span = hours
            .on(date)
            .and_then(|(start, end)| Span::new(zone.resolve_start(start), zone.resolve_end(end)));
        let Some(span) = span else { continue };
        let shift = Shift { span, kind: kind.unwrap_or_else(|| classify(span, zone)) };
        planned.shifts.push(shift);
        planned.breaks.extend(breaks.iter().filter_map(|pause| pause.within(span)));
    }
    if planned.shifts.is_empty() { Err(PatternError::NoShift) } else { Ok(planned) }
}

impl ShiftBreak {
    fn within(self, shift: Span) -> Option<Span> {
        let start = shift.start().checked_add_signed(self.offset)?;
        let pause = Span::new(start, start.checked_add_signed(self.duration)?)?;
        shift.contains(pause).then_some(pause)
    }
}

/// What each day of a cycle is; nothing on a day off.
fn read_cycle<'a>(cycle: &str, named: &'a [NamedShift]) -> Result<Vec<Option<&'a NamedShift>>, PatternError> {
    let mut known: HashMap<String, Option<&NamedShift>> =
        ["-", "\u{2013}", "\u{2014}"].map(|dash| (dash.to_owned(), None)).into();
    for (index, shift) in named.iter().enumerate() {
        let (name, position) = (&shift.name, index + 1);
        let sound = (1..=LONGEST_NAME).contains(&name.chars().count()) && !name.contains(char::is_whitespace);
        if !sound || known.get(name).is_some_and(Option::is_none) {
            return Err(PatternError::BadName { position });
        }
        if known.insert(name.to_uppercase(), Some(shift)).is_some() {
            return Err(PatternError::NameTwice { position });
        }
    }
    let days: Vec<&str> = cycle.split_whitespace().collect();
    if days.len() > MOST_TOKENS {
        return Err(PatternError::CycleTooLong { days: days.len() });
    }
    days.iter()
        .enumerate()
        .map(|(index, day)| {
            known.get(&day.to_uppercase()).copied().ok_or(PatternError::UnknownName { position: index + 1 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use proptest::prelude::*;

    use super::PatternError as E;
    use super::*;
    use crate::Rules;

    fn zone(name: &str) -> Zone {
        Rules::compiled_in().zone(name).unwrap()
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn span(text: &str) -> Span {
        let (start, end) = text.split_once(' ').unwrap();
        let at = |text: &str| format!("{text}:00Z").parse::<DateTime<Utc>>().unwrap();
        Span::new(at(start), at(end)).unwrap()
    }

    fn hours(text: &str) -> DayWindow {
        let (start, end) = text.split_once('-').unwrap();
        DayWindow::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()
    }

    fn shift(text: &str) -> ShiftHours {
        ShiftHours { hours: hours(text), kind: None, breaks: Vec::new() }
    }

    fn named(texts: &[&str]) -> Vec<NamedShift> {
        let split =
            |text: &&str| text.split_once(' ').map(|(name, hours)| (name.to_owned(), hours.to_owned()));
        let named = texts.iter().map(|text| split(text).unwrap());
        named.map(|(name, text)| NamedShift { name, shift: shift(&text) }).collect()
    }

    fn two_kinds() -> Vec<NamedShift> {
        named(&["D 07:00-19:00", "N 19:00-07:00"])
    }

    fn expand(pattern: &Pattern, dates: &str) -> Result<Vec<Shift>, E> {
        let (first, last) = dates.split_once(' ').unwrap();
        shifts(pattern, &zone("Europe/Berlin"), date(first), date(last)).map(|planned| planned.shifts)
    }

    fn cycle(cycle: &str, dates: &str) -> Result<Vec<Shift>, E> {
        expand(&Pattern::Cycle { cycle: cycle.into(), named: two_kinds() }, dates)
    }

    fn rule(rule: &str, times: &str, dates: &str) -> Result<Vec<Shift>, E> {
        expand(&Pattern::Rule { rule: rule.into(), shift: shift(times) }, dates)
    }

    #[track_caller]
    fn check(found: Result<Vec<Shift>, E>, expected: &[&str]) {
        let found: Vec<Span> = found.unwrap().into_iter().map(|shift| shift.span).collect();
        assert_eq!(found, expected.iter().map(|text| span(text)).collect::<Vec<_>>());
    }

    #[test]
    fn s1_a_cycle_begins_with_its_first_day_and_begins_again() {
        check(
            cycle("D N - -", "2026-01-12 2026-01-17"),
            &[
                "2026-01-12T06:00 2026-01-12T18:00",
                "2026-01-13T18:00 2026-01-14T06:00",
                "2026-01-16T06:00 2026-01-16T18:00",
                "2026-01-17T18:00 2026-01-18T06:00",
            ],
        );
        let kinds: Vec<_> =
            cycle("D N", "2026-01-12 2026-01-13").unwrap().iter().map(|shift| shift.kind).collect();
        assert_eq!(kinds, [ShiftKind::Day, ShiftKind::Night]);
    }

    #[test]
    fn s1_capitals_blanks_and_long_dashes_make_no_difference() {
        let expected = cycle("D D N N - - - -", "2026-01-12 2026-03-12");
        for friendly in ["d d n n - - - -", "  D  d\tN\nn - -   - -  ", "D D N N \u{2013} \u{2014} - -"] {
            assert_eq!(cycle(friendly, "2026-01-12 2026-03-12"), expected);
        }
        let early = named(&["früh 06:00-14:00"]);
        check(
            expand(&Pattern::Cycle { cycle: "FRÜH".into(), named: early }, "2026-01-12 2026-01-12"),
            &["2026-01-12T05:00 2026-01-12T13:00"],
        );
    }

    #[test]
    fn s1_what_a_cycle_does_not_know_is_named_by_its_place() {
        let dates = "2026-01-12 2026-02-12";
        let refused = |text| cycle(text, dates).unwrap_err();
        assert_eq!(refused("D D X N"), E::UnknownName { position: 3 });
        assert_eq!(refused("DDNN----"), E::UnknownName { position: 1 });
        assert_eq!(refused("D,N - -"), E::UnknownName { position: 1 });
        assert_eq!(refused("D --"), E::UnknownName { position: 2 });
        assert_eq!(refused(""), E::NoShift);
        assert_eq!(refused("- - -"), E::NoShift);
        assert!(cycle(&"D ".repeat(366), dates).is_ok());
        assert_eq!(refused(&"D ".repeat(367)), E::CycleTooLong { days: 367 });
        let with = |names: &[&str]| {
            let named = names
                .iter()
                .map(|name| NamedShift { name: (*name).into(), shift: shift("07:00-19:00") })
                .collect();
            expand(&Pattern::Cycle { cycle: "D".into(), named }, dates).map(|shifts| shifts.len())
        };
        assert_eq!(with(&["D", "12345678"]), Ok(32));
        for bad in ["", "-", "\u{2013}", "D 1", "123456789"] {
            assert_eq!(with(&["D", bad]), Err(E::BadName { position: 2 }), "{bad}");
        }
        assert_eq!(with(&["D", "N", "d"]), Err(E::NameTwice { position: 3 }));
    }

    #[test]
    fn s1_a_pattern_reaches_two_years_and_forward() {
        assert_eq!(cycle("D", "2026-01-12 2026-01-11"), Err(E::Reversed));
        assert_eq!(cycle("D", "2026-01-12 2028-01-14").map(|shifts| shifts.len()), Ok(733));
        assert_eq!(cycle("D", "2026-01-12 2028-01-15"), Err(E::TooLong));
        let end_of_time = shifts(
            &Pattern::Cycle { cycle: "N".into(), named: two_kinds() },
            &zone("Europe/Berlin"),
            NaiveDate::MAX,
            NaiveDate::MAX,
        );
        assert_eq!(end_of_time.err(), Some(E::TooLong));
    }

    #[test]
    fn t3_a_shift_keeps_its_times_when_the_clock_changes() {
        check(
            cycle("N", "2026-03-27 2026-03-29"),
            &[
                "2026-03-27T18:00 2026-03-28T06:00",
                "2026-03-28T18:00 2026-03-29T05:00",
                "2026-03-29T17:00 2026-03-30T05:00",
            ],
        );
        check(
            cycle("N", "2026-10-24 2026-10-25"),
            &["2026-10-24T17:00 2026-10-25T06:00", "2026-10-25T18:00 2026-10-26T06:00"],
        );
        // It starts where the clock skips an hour, and ends where it repeats one.
        check(
            rule("FREQ=YEARLY", "02:30-10:00", "2026-03-29 2026-03-29"),
            &["2026-03-29T01:00 2026-03-29T08:00"],
        );
        check(
            rule("FREQ=DAILY", "18:00-02:30", "2026-10-24 2026-10-24"),
            &["2026-10-24T16:00 2026-10-25T01:30"],
        );
    }

    #[test]
    fn s1_a_rule_names_the_dates() {
        check(
            rule("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH;COUNT=3", "22:00-06:00", "2026-01-13 2026-12-31"),
            &[
                "2026-01-15T21:00 2026-01-16T05:00",
                "2026-01-26T21:00 2026-01-27T05:00",
                "2026-01-29T21:00 2026-01-30T05:00",
            ],
        );
        let until = ["2026-01-12T05:00 2026-01-12T13:00", "2026-01-13T05:00 2026-01-13T13:00"];
        check(rule("FREQ=DAILY;UNTIL=20260113T050000Z", "06:00-14:00", "2026-01-12 2026-12-31"), &until);
        check(rule("FREQ=DAILY", "06:00-14:00", "2026-01-12 2026-01-13"), &until);
        let on_call = Pattern::Rule {
            rule: "freq=monthly;byday=-1fr".into(),
            shift: ShiftHours { kind: Some(ShiftKind::OnCall), ..shift("00:00-00:00") },
        };
        let found = expand(&on_call, "2026-01-12 2026-02-12").unwrap();
        assert_eq!(
            found,
            [Shift { span: span("2026-01-29T23:00 2026-01-30T23:00"), kind: ShiftKind::OnCall }]
        );
    }

    #[test]
    fn s3_a_break_is_counted_from_the_start_of_its_shift() {
        let pause = |offset, duration| ShiftBreak {
            offset: TimeDelta::minutes(offset),
            duration: TimeDelta::minutes(duration),
        };
        let breaks = vec![pause(0, 10), pause(240, 30), pause(700, 20)];
        let night = ShiftHours { breaks, ..shift("19:00-07:00") };
        let pattern = Pattern::Rule { rule: "FREQ=DAILY".into(), shift: night };
        // In the second night the clock is put forward, and the last break is cut off.
        let planned =
            shifts(&pattern, &zone("Europe/Berlin"), date("2026-03-27"), date("2026-03-28")).unwrap();
        let expected = [
            "2026-03-27T18:00 2026-03-27T18:10",
            "2026-03-27T22:00 2026-03-27T22:30",
            "2026-03-28T05:40 2026-03-28T06:00",
            "2026-03-28T18:00 2026-03-28T18:10",
            "2026-03-28T22:00 2026-03-28T22:30",
        ];
        assert_eq!(planned.breaks, expected.map(span));
        let absurd = ShiftBreak { offset: TimeDelta::MAX, duration: TimeDelta::MAX };
        assert_eq!(absurd.within(span("2026-03-27T18:00 2026-03-28T06:00")), None);
    }

    #[test]
    fn s1_rules_have_the_bounds_of_a_file() {
        let refused = |text: &str| rule(text, "06:00-14:00", "2026-01-12 2028-01-12").unwrap_err();
        assert_eq!(refused("FREQ=HOURLY"), E::Rule(RuleError::Frequency));
        assert_eq!(refused("FREQ=DAILY;INTERVAL=0"), E::Rule(RuleError::Interval));
        assert_eq!(refused("FREQ=DAILY;COUNT=1001"), E::Rule(RuleError::Count));
        assert_eq!(refused("FREQ=DAILY;BYHOUR=6,14"), E::Rule(RuleError::TimesOfDay));
        assert_eq!(refused("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), E::NoShift);
        for malformed in [
            "",
            "every day",
            "FREQ=DAILY;UNTIL=tomorrow",
            "FREQ=DAILY\nRRULE:FREQ=DAILY",
            "FREQ=DAILY;UNTIL=20260113\r\nEXDATE:20260112",
            &format!("FREQ=DAILY;{}", "BYDAY=MO;".repeat(1_000)),
        ] {
            assert_eq!(refused(malformed), E::Rule(RuleError::Malformed), "{malformed}");
        }
        assert_eq!(refused("FREQ=HOURLY").to_string(), "the rule recurs more often than daily");
    }

    proptest! {
        #[test]
        fn s1_a_cycle_is_what_one_counts_on_the_calendar(
            days in prop::collection::vec(prop::sample::select(vec!["D", "n", "-"]), 1..20),
            place in prop::sample::select(vec![("Europe/Berlin", "2026-03-20"), ("America/New_York", "2026-10-25"),
                ("Australia/Lord_Howe", "2026-09-28"), ("Africa/Cairo", "2026-04-20")]),
            length in 0_u64..40,
        ) {
            let (zone, first) = (zone(place.0), date(place.1));
            let pattern = Pattern::Cycle { cycle: days.join(" "), named: two_kinds() };
            let found = shifts(&pattern, &zone, first, first + Days::new(length)).unwrap_or_default().shifts;
            let mut expected = Vec::new();
            for n in 0..=length {
                let date = first + Days::new(n);
                let reading = |date: NaiveDate, hour| date.and_hms_opt(hour, 0, 0).unwrap();
                let (start, end) = match days[usize::try_from(n).unwrap() % days.len()] {
                    "D" => (reading(date, 7), reading(date, 19)),
                    "n" => (reading(date, 19), reading(date + Days::new(1), 7)),
                    _ => continue,
                };
                // None of these places changes its clock at 7 or at 19.
                let instant = |local| zone.instants(local).next();
                expected.extend(instant(start).zip(instant(end)).and_then(|(start, end)| Span::new(start, end)));
            }
            let spans: Vec<Span> = found.iter().map(|shift| shift.span).collect();
            prop_assert_eq!(spans, expected);
        }

        #[test]
        fn no_pattern_makes_it_panic(text in "[A-Z=;,0-9 -]{0,40}", name in ".{0,10}", day in 0_i32..3_000_000) {
            let first = NaiveDate::from_num_days_from_ce_opt(day).unwrap();
            let last = first.checked_add_days(Days::new(400)).unwrap_or(first);
            let rule = Pattern::Rule { rule: format!("FREQ=DAILY;{text}"), shift: shift("19:00-07:00") };
            let named = vec![NamedShift { name, shift: shift("19:00-07:00") }];
            for pattern in [rule, Pattern::Cycle { cycle: text, named }] {
                let _ = shifts(&pattern, &zone("Europe/Berlin"), first, last);
            }
        }
    }
}
