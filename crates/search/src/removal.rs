//! S5: what took time away, so that a person can relax it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use calendar::WorkerRefusal;
use chrono::TimeDelta;

use crate::clock::{DAY, HOUR, Minute, ceil, minutes};
use crate::search::Search;

/// What takes time away, and may be told to the worker: never what others booked (D4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Constraint {
    /// The therapist's notice.
    Notice,
    /// The last date the therapist plans for.
    Horizon,
    /// Another session of the worker.
    OwnBooking,
    /// The worker's roster.
    Worker(WorkerRefusal),
    /// The times of day the worker asks for.
    TimeOfDay,
}

impl Search<'_> {
    /// How many therapist-hours each constraint took away whole, up to the hour of `end` or of the whole window.
    ///
    /// Counted are the hours of the window from where the page begins, in which a therapist who meets the criteria
    /// has a start that no session booked is in the way of, on a day that they do not fill up. Such an hour counts against the first of these that
    /// leaves no minute of it: the therapist's notice; the last date, where the hour begins on a later one; the
    /// worker's own time, that is what takes most of the hour, of equals the first of [`Constraint`]. Beyond the last
    /// date only days are counted that are laid out already, a few.
    pub(crate) fn removals(&self, end: Option<Minute>) -> Vec<(Constraint, usize)> {
        let (from, to) = self.worker.range;
        let mut counts: BTreeMap<Constraint, usize> = BTreeMap::new();
        if from >= to {
            return Vec::new();
        }
        let plain = self.plain();
        for hour in from / HOUR..end.map_or(to.div_ceil(HOUR), |end| end / HOUR) {
            let Some(members) = self.index.hours.get(hour) else { continue };
            let mut count = |constraint, by| *counts.entry(constraint).or_default() += by;
            let taken = self.worker.takes(hour);
            if plain.contains(&hour) {
                if let Some(taken) = taken {
                    count(taken, self.candidates.count_of(members));
                }
                continue;
            }
            for number in self.candidates.among(members) {
                let constraint = if self.notice_ends(number) >= to.min((hour + 1) * HOUR) {
                    Some(Constraint::Notice)
                } else if self.is_beyond_horizon(number, from.max(hour * HOUR)) {
                    Some(Constraint::Horizon)
                } else {
                    taken
                };
                if let Some(constraint) = constraint {
                    count(constraint, 1);
                }
            }
        }
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        counts.sort_by_key(|(constraint, count)| (Reverse(*count), *constraint));
        counts
    }

    /// Hours in which everybody's notice is over, and nobody's last date.
    fn plain(&self) -> Range<Minute> {
        let notice = self.index.glances.iter().map(|glance| glance.notice).max().unwrap_or_default();
        let notice = minutes(TimeDelta::seconds(notice.into()));
        let last = self.ends.iter().map(|end| end.at).min().unwrap_or_default();
        let from = ceil(self.query.now).saturating_add(notice) / HOUR + 1;
        from..(last.saturating_sub(DAY) / HOUR).max(from)
    }
}
