//! What limits leave of days and weeks (A1, A2), and how much of a week is taken, in the units of the index.

use calendar::{Caps, Limits};

use crate::clock::{Clock, DAY, Minute, local};
use crate::record::{Kind, Record};
use crate::taken::{Held, Shapes, View};

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
            let (start, _) = held.session;
            let (day, _) = local(start, self.clock.offset(start));
            let Some(tally) = usize::try_from(day - monday).ok().and_then(|day| week.days.get_mut(day))
            else {
                continue;
            };
            for tally in [tally, &mut week.whole] {
                tally.add(held);
            }
        }
        week
    }
}

impl Tally {
    fn add(&mut self, Held { session: (start, end), weight, .. }: Held) {
        self.sessions += 1;
        self.minutes += end - start;
        self.load += u64::from(weight);
    }

    fn leaves(&self, caps: Caps, kind: &Kind) -> bool {
        let Caps { sessions, minutes, load } = caps;
        sessions.is_none_or(|most| self.sessions < most)
            && minutes.is_none_or(|most| self.minutes + u32::from(kind.duration) <= most)
            && load.is_none_or(|most| self.load + u64::from(kind.weight) <= u64::from(most))
    }
}

/// In which quarter of a week in UTC what is booked is, as [`Place::load`](crate::Place::load) says. Holds do not count:
/// what ends by itself would change an order that nobody is told about.
pub(crate) fn quarter(record: &Record, week: Minute, shapes: &Shapes) -> u8 {
    let (from, to) = (week_start(week), week_start(week + 1));
    let (mut held, mut busy) = (Tally::default(), 0);
    // A buffer may reach into the week before.
    for session in record.time.taken.held((from.saturating_sub(DAY), to), View::booked(shapes)) {
        if (from..to).contains(&session.session.0) {
            held.add(session);
            busy += u64::from(session.busy.1 - session.busy.0);
        }
    }
    let part = |taken: u64, most: u64| u8::try_from(taken * 4 / most.max(1)).unwrap_or(u8::MAX).min(3);
    let Caps { sessions, minutes, load } = record.kept.limits().week;
    let of_caps = [
        sessions.map(|most| part(held.sessions.into(), most.into())),
        minutes.map(|most| part(held.minutes.into(), most.into())),
        load.map(|most| part(held.load, most.into())),
    ];
    of_caps.into_iter().flatten().max().unwrap_or_else(|| {
        let open = record.time.open(from, to).map(|(start, end)| u64::from(end - start));
        part(busy, open.sum())
    })
}

/// The week of a minute, from Monday in UTC, counted from that of the epoch, which was a Thursday.
pub(crate) fn week(minute: Minute) -> Minute {
    (minute / DAY + 3) / 7
}

/// The first minute of a week.
pub(crate) fn week_start(week: Minute) -> Minute {
    (week * 7).saturating_sub(3) * DAY
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

/// The first day of the week of a day, counted from the epoch.
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
            let minute = day.unsigned_abs() * DAY;
            let monday = u32::try_from(monday(day).max(0)).unwrap() * DAY;
            assert_eq!(week_start(week(minute)), monday);
            assert_eq!(week(minute + DAY - 1), week(minute));
        }
    }
}
