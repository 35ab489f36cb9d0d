//! The days for which a key's passes pay, and what its key does when.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use pass::{KeyRecord, Schedule};

/// Whole days in UTC, the first and the last among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    first: NaiveDate,
    last: NaiveDate,
}

impl Period {
    /// Nothing, if it is of another length than [`Schedule::LENGTH`].
    pub(super) fn new(first: NaiveDate, last: NaiveDate) -> Option<Self> {
        Schedule::LENGTH.contains(&(last - first).num_days()).then_some(Self { first, last })
    }

    /// The period of a key in the log.
    pub(super) fn of(record: &KeyRecord) -> Option<Self> {
        let (first, last) = record.period.as_str().split_once('/')?;
        Self::new(first.parse().ok()?, last.parse().ok()?)
    }

    /// As the log names it: an interval of ISO 8601.
    pub(super) fn name(self) -> String {
        format!("{}/{}", self.first, self.last)
    }

    pub(super) fn first(self) -> NaiveDate {
        self.first
    }

    pub(super) fn last(self) -> NaiveDate {
        self.last
    }

    pub(super) fn contains(self, at: DateTime<Utc>) -> bool {
        (self.first..=self.last).contains(&at.date_naive())
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// What its key does when, if it is published `now`.
    pub(super) fn schedule(self, now: DateTime<Utc>) -> Schedule {
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN).and_utc().timestamp();
        Schedule::paying(midnight(self.first)..midnight(self.last + Days::new(1)), now.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(first: &str, last: &str) -> Option<Period> {
        Period::new(first.parse().unwrap(), last.parse().unwrap())
    }

    #[test]
    fn a_period_is_of_four_weeks_to_a_year() {
        for (first, last, taken) in [
            ("2026-02-01", "2026-02-28", true),
            ("2026-02-01", "2026-02-27", false),
            ("2028-01-01", "2028-12-31", true),
            ("2027-01-01", "2028-01-01", true),
            ("2027-01-01", "2028-01-02", false),
            ("2026-03-01", "2026-02-01", false),
        ] {
            assert_eq!(period(first, last).is_some(), taken, "{first} {last}");
        }
    }

    #[test]
    fn its_days_are_all_of_the_first_and_all_of_the_last() {
        let quarter = period("2026-01-01", "2026-03-31").unwrap();
        for (at, inside) in [
            ("2025-12-31T23:59:59Z", false),
            ("2026-01-01T00:00:00Z", true),
            ("2026-03-31T23:59:59Z", true),
            ("2026-04-01T00:00:00Z", false),
        ] {
            assert_eq!(quarter.contains(at.parse().unwrap()), inside, "{at}");
        }
        assert!(quarter.overlaps(period("2026-03-31", "2026-06-30").unwrap()));
        assert!(!quarter.overlaps(period("2026-04-01", "2026-06-30").unwrap()));
    }

    #[test]
    fn a_key_signs_and_pays_when_the_contract_says() {
        let check = |now: &str, active: &str| {
            let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp();
            let schedule = period("2026-01-01", "2026-03-31").unwrap().schedule(now.parse().unwrap());
            let expected = Schedule {
                published: at(now),
                active_from: at(active),
                grace_from: at("2026-03-18T00:00:00Z"),
                retired_from: at("2026-04-01T00:00:00Z"),
            };
            assert_eq!(schedule, expected, "{now}");
        };
        check("2025-11-01T09:00:00Z", "2025-12-18T00:00:00Z");
        // Whoever publishes late has a week to wait.
        check("2026-01-15T09:00:00Z", "2026-01-22T09:00:00Z");
    }

    /// Whatever comes one after the other, the log takes it: one key signs at a time, and two pay.
    #[test]
    fn of_periods_one_after_the_other_one_key_signs_and_two_pay() {
        for published in ["2025-11-01T09:00:00Z", "2026-01-15T09:00:00Z"] {
            let schedule = |first, last| period(first, last).unwrap().schedule(published.parse().unwrap());
            let one = schedule("2026-01-01", "2026-02-28");
            let two = schedule("2026-03-01", "2026-03-28");
            let three = schedule("2026-03-29", "2026-06-30");
            assert_eq!((one.grace_from, two.grace_from), (two.active_from, three.active_from));
            assert!(one.retired_from <= three.active_from);
        }
    }
}
