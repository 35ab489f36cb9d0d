//! Recurrence rules, expanded as readings of the local clock.
//!
//! Written here because the expansion must stop: existing ones search for the next match of a rule that has
//! none, such as 30 February, for thousands of years. This one looks at the days of a bounded range, counts
//! each against a budget, and jumps to the range by arithmetic unless the rule counts its occurrences.

use calcard::icalendar::{ICalendarFrequency, ICalendarRecurrenceRule, ICalendarWeekday};
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, Weekday};

/// How many days may still be looked at.
pub(super) struct Budget(pub(super) u32);

/// The days allowed were not enough.
pub(super) struct Exhausted;

#[derive(Clone, Copy, PartialEq)]
enum Frequency {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

/// A rule together with what it takes from the first start.
pub(super) struct Rule {
    start: NaiveDateTime,
    frequency: Frequency,
    interval: u32,
    count: Option<u32>,
    until: Option<NaiveDateTime>,
    months: Vec<u32>,
    weeks: Vec<i32>,
    year_days: Vec<i32>,
    month_days: Vec<i32>,
    weekdays: Vec<(Option<i32>, Weekday)>,
    positions: Vec<i32>,
    week_start: Weekday,
}

impl Rule {
    /// `None` for what the allow-list does not know. The end of the rule comes as a reading of the clock
    /// that `start` was read on.
    pub(super) fn read(
        rule: &ICalendarRecurrenceRule,
        start: NaiveDateTime,
        until: Option<NaiveDateTime>,
    ) -> Option<Self> {
        let frequency = match rule.freq {
            ICalendarFrequency::Daily => Frequency::Daily,
            ICalendarFrequency::Weekly => Frequency::Weekly,
            ICalendarFrequency::Monthly => Frequency::Monthly,
            ICalendarFrequency::Yearly => Frequency::Yearly,
            _ => return None,
        };
        let weekdays: Vec<(Option<i32>, Weekday)> =
            rule.byday.iter().map(|day| (day.ordwk.map(i32::from), weekday(day.weekday))).collect();
        let numbered = weekdays.iter().any(|(number, _)| number.is_some());
        if numbered && matches!(frequency, Frequency::Daily | Frequency::Weekly) {
            return None;
        }
        let mut rule = Self {
            start,
            frequency,
            interval: u32::from(rule.interval.unwrap_or(1)).max(1),
            count: rule.count,
            until,
            months: rule.bymonth.iter().map(|month| u32::from(month.month())).collect(),
            weeks: rule.byweekno.iter().map(|week| i32::from(*week)).collect(),
            year_days: rule.byyearday.iter().map(|day| i32::from(*day)).collect(),
            month_days: rule.bymonthday.iter().map(|day| i32::from(*day)).collect(),
            weekdays,
            positions: rule.bysetpos.clone(),
            week_start: rule.wkst.map_or(Weekday::Mon, weekday),
        };
        rule.complete();
        Some(rule)
    }

    /// Whether it ends after a number of occurrences, so that all before must be looked at.
    pub(super) fn counts(&self) -> bool {
        self.count.is_some()
    }

    /// What the rule leaves open is as it was at the first start.
    fn complete(&mut self) {
        let days_given =
            !self.year_days.is_empty() || !self.month_days.is_empty() || !self.weekdays.is_empty();
        if days_given {
            return;
        }
        let first_weekday = (None, self.start.weekday());
        match self.frequency {
            Frequency::Daily => {}
            Frequency::Weekly => self.weekdays.push(first_weekday),
            Frequency::Yearly if !self.weeks.is_empty() => self.weekdays.push(first_weekday),
            Frequency::Monthly | Frequency::Yearly => {
                if self.frequency == Frequency::Yearly && self.months.is_empty() {
                    self.months.push(self.start.month());
                }
                self.month_days.push(self.start.day().cast_signed());
            }
        }
    }

    /// The starts on the dates `from` to `to`, ascending.
    pub(super) fn starts(
        &self,
        from: NaiveDate,
        to: NaiveDate,
        budget: &mut Budget,
    ) -> Result<Vec<NaiveDateTime>, Exhausted> {
        let mut starts = Vec::new();
        let mut passed = 0;
        let first = if self.count.is_some() { 0 } else { self.period_before(from) };
        for (begin, length) in (first..).map_while(|index| self.period(index)) {
            if begin > to || self.until.is_some_and(|until| begin > until.date()) {
                break;
            }
            budget.0 = budget.0.checked_sub(length).ok_or(Exhausted)?;
            for date in self.dates(begin, length) {
                let start = date.and_time(self.start.time());
                if start < self.start {
                    continue;
                }
                if self.until.is_some_and(|until| start > until)
                    || self.count.is_some_and(|count| passed >= count)
                {
                    return Ok(starts);
                }
                passed += 1;
                if from <= date && date <= to {
                    starts.push(start);
                }
            }
        }
        Ok(starts)
    }

    /// The first day and the number of days of the period with that index, counted from the first start.
    fn period(&self, index: u32) -> Option<(NaiveDate, u32)> {
        let (first, steps) = (self.start.date(), index.checked_mul(self.interval)?);
        match self.frequency {
            Frequency::Daily => Some((first.checked_add_days(Days::new(steps.into()))?, 1)),
            Frequency::Weekly => {
                let days = Days::new(u64::from(steps) * 7);
                Some((self.week_of(first)?.checked_add_days(days)?, 7))
            }
            Frequency::Monthly => {
                let begin = first.with_day(1)?.checked_add_months(Months::new(steps))?;
                Some((begin, days_in_month(begin)))
            }
            Frequency::Yearly => {
                let begin = first.with_ordinal(1)?.checked_add_months(Months::new(steps.checked_mul(12)?))?;
                Some((begin, days_in_year(begin)))
            }
        }
    }

    /// An index whose period does not begin after `date`, so that no earlier one reaches it.
    fn period_before(&self, date: NaiveDate) -> u32 {
        let first = self.start.date();
        let months = |date: NaiveDate| i64::from(date.year()) * 12 + i64::from(date.month0());
        let steps = match self.frequency {
            Frequency::Daily => (date - first).num_days(),
            Frequency::Weekly => (date - first).num_days() / 7,
            Frequency::Monthly => months(date) - months(first),
            Frequency::Yearly => i64::from(date.year()) - i64::from(first.year()),
        };
        u32::try_from(steps).unwrap_or(0) / self.interval
    }

    /// The days of one period that the rule means.
    fn dates(&self, begin: NaiveDate, length: u32) -> Vec<NaiveDate> {
        let days = begin.iter_days().take(length as usize);
        let dates: Vec<NaiveDate> = days.filter(|date| self.means(*date)).collect();
        if self.positions.is_empty() {
            return dates;
        }
        let count = dates.len();
        let at = |position: i32| {
            let distance = position.unsigned_abs() as usize;
            if position > 0 { distance.checked_sub(1) } else { count.checked_sub(distance) }
        };
        let mut chosen: Vec<NaiveDate> =
            self.positions.iter().filter_map(|position| dates.get(at(*position)?).copied()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    fn means(&self, date: NaiveDate) -> bool {
        let counted = |list: &[i32], index: u32, length: u32| {
            let (forward, backward) = counted_both_ways(index, length);
            list.is_empty() || list.contains(&forward) || list.contains(&backward)
        };
        let (week, weeks) = self.week_number(date);
        (self.months.is_empty() || self.months.contains(&date.month()))
            && counted(&self.weeks, week, weeks)
            && counted(&self.year_days, date.ordinal0(), days_in_year(date))
            && counted(&self.month_days, date.day0(), days_in_month(date))
            && (self.weekdays.is_empty() || self.weekdays.iter().any(|day| self.is_weekday(date, *day)))
    }

    fn is_weekday(&self, date: NaiveDate, (number, weekday): (Option<i32>, Weekday)) -> bool {
        let of_month = self.frequency == Frequency::Monthly || !self.months.is_empty();
        let (index, length) =
            if of_month { (date.day0(), days_in_month(date)) } else { (date.ordinal0(), days_in_year(date)) };
        let (nth, nth_last) = (index / 7 + 1, (length - 1 - index) / 7 + 1);
        date.weekday() == weekday
            && number.is_none_or(|number| number == nth.cast_signed() || number == -nth_last.cast_signed())
    }

    fn week_of(&self, date: NaiveDate) -> Option<NaiveDate> {
        date.checked_sub_days(Days::new(date.weekday().days_since(self.week_start).into()))
    }

    /// From 0, and how many its year has: a week belongs to the year that has most of its days.
    fn week_number(&self, date: NaiveDate) -> (u32, u32) {
        let Some(middle) = self.week_of(date).and_then(|week| week.checked_add_days(Days::new(3))) else {
            return (0, 52);
        };
        let index = middle.ordinal0() / 7;
        let after = (days_in_year(middle) - 1 - middle.ordinal0()) / 7;
        (index, index + 1 + after)
    }
}

/// The place of an index in a list of that length, from 1 at its start and from -1 at its end.
fn counted_both_ways(index: u32, length: u32) -> (i32, i32) {
    (index.cast_signed() + 1, index.cast_signed() - length.cast_signed())
}

fn days_in_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

fn days_in_year(date: NaiveDate) -> u32 {
    if date.leap_year() { 366 } else { 365 }
}

fn weekday(day: ICalendarWeekday) -> Weekday {
    match day {
        ICalendarWeekday::Monday => Weekday::Mon,
        ICalendarWeekday::Tuesday => Weekday::Tue,
        ICalendarWeekday::Wednesday => Weekday::Wed,
        ICalendarWeekday::Thursday => Weekday::Thu,
        ICalendarWeekday::Friday => Weekday::Fri,
        ICalendarWeekday::Saturday => Weekday::Sat,
        ICalendarWeekday::Sunday => Weekday::Sun,
    }
}
