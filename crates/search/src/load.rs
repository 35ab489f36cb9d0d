//! What limits leave of days and weeks (A1, A2), in the units of the index.

use calendar::{Caps, Limits};

use crate::clock::{Clock, DAY, Minute, local};
use crate::record::{Kind, Record};
use crate::taken::View;

/// The days and weeks of a therapist with limits, each counted when it is asked about.
///
/// [`calendar::admit`] counts again; this is so that days that are full cost it nothing. Breaks are left to it.
pub(crate) struct Left<'a> {
    record: &'a Record,
    clock: &'a Clock,
    view: View<'a>,
    /// The one counted last.
    week: Option<Week>,
}

/// Seven local days from a Monday.
struct Week {
    monday: i32,
    whole: Tally,
    days: [Tally; 7],
}

#[derive(Clone, Copy, Default)]
struct Tally {
    sessions: u32,
    minutes: u32,
    load: u64,
}

impl<'a> Left<'a> {
    /// Nothing if neither days nor weeks have limits.
    pub(crate) fn of(record: &'a Record, clock: &'a Clock, view: View<'a>) -> Option<Self> {
        let Limits { day, week, pacing: _ } = record.kept.limits();
        let limited = [day, week].iter().any(|caps| *caps != Caps::default());
        limited.then_some(Self { record, clock, view, week: None })
    }

    /// Whether a session of this kind may start on the local day, as far as its limits and its week's go.
    pub(crate) fn allows(&mut self, day: i32, kind: &Kind) -> bool {
        let monday = monday(day);
        if self.week.as_ref().is_none_or(|week| week.monday != monday) {
            self.week = Some(self.count(monday));
        }
        let Limits { day: of_day, week: of_week, pacing: _ } = self.record.kept.limits();
        let Some(Week { whole, days, .. }) = &self.week else { return true };
        let of_days = usize::try_from(day - monday).ok().and_then(|day| days.get(day));
        whole.leaves(of_week, kind) && of_days.is_none_or(|tally| tally.leaves(of_day, kind))
    }

    /// Whether a session of one of `kinds` may start on a day that is read between two minutes.
    pub(crate) fn allows_some<'k>(
        &mut self,
        (start, end): (Minute, Minute),
        mut kinds: impl Iterator<Item = &'k Kind> + Clone,
    ) -> bool {
        let read = self
            .clock
            .pieces(start, end)
            .flat_map(|(start, end, offset)| local(start, offset).0..=local(end - 1, offset).0);
        let read: Vec<i32> = read.collect();
        kinds.any(|kind| read.iter().any(|day| self.allows(*day, kind)))
    }

    fn count(&self, monday: i32) -> Week {
        let mut week = Week { monday, whole: Tally::default(), days: Default::default() };
        for held in self.record.time.taken.held(around(monday), self.view) {
            let (start, end) = held.session;
            let (day, _) = local(start, self.clock.offset(start));
            let Some(tally) = usize::try_from(day - monday).ok().and_then(|day| week.days.get_mut(day))
            else {
                continue;
            };
            for tally in [tally, &mut week.whole] {
                tally.sessions += 1;
                tally.minutes += end - start;
                tally.load += u64::from(held.weight);
            }
        }
        week
    }
}

impl Tally {
    fn leaves(&self, caps: Caps, kind: &Kind) -> bool {
        let Caps { sessions, minutes, load } = caps;
        sessions.is_none_or(|most| self.sessions < most)
            && minutes.is_none_or(|most| self.minutes + u32::from(kind.duration) <= most)
            && load.is_none_or(|most| self.load + u64::from(kind.weight) <= u64::from(most))
    }
}

/// The local weeks of both ends of a time, and a day on each side of them: no clock is a day from UTC.
pub(crate) fn weeks((from, to): (Minute, Minute), clock: &Clock) -> (Minute, Minute) {
    let week = |at| around(monday(local(at, clock.offset(at)).0));
    (week(from).0, week(to).1)
}

fn around(monday: i32) -> (Minute, Minute) {
    let minute = |day: i32| Minute::try_from(day).unwrap_or_default().saturating_mul(DAY);
    (minute(monday - 1), minute(monday + 8))
}

/// The first day of the week of a day, counted from the epoch, which was a Thursday.
fn monday(day: i32) -> i32 {
    day - (day + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Days};

    use super::*;

    #[test]
    fn a1_weeks_begin_on_mondays() {
        let epoch = chrono::DateTime::UNIX_EPOCH.date_naive();
        for day in 0..1000_i32 {
            let date = epoch + Days::new(day.unsigned_abs().into());
            assert_eq!(monday(day), day - i32::try_from(date.weekday().num_days_from_monday()).unwrap());
        }
    }
}
