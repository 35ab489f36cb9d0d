//! S5: what took time away, so that a person can relax it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use calendar::WorkerRefusal;
use chrono::TimeDelta;

use crate::clock::{DAY, HOUR, Minute, ceil, minutes};
use crate::members::Wide;
use crate::search::{LOOK, Search};

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
    /// has a start that no session booked is in the way of, on a day that they do not fill up. Such an hour counts
    /// against the first of these that leaves no minute of it: the therapist's notice; the last date, where the hour
    /// begins on a later one; the worker's own time, that is what takes most of the hour, of equals the first of
    /// [`Constraint`]. Beyond the last date only days are counted that are laid out already, a few.
    pub(crate) fn removals(&self, end: Option<Minute>) -> Vec<(Constraint, usize)> {
        let (from, to) = self.worker.range;
        let mut counts: BTreeMap<Constraint, usize> = BTreeMap::new();
        if from >= to {
            return Vec::new();
        }
        let noticed = self.noticed();
        let mut look = self.first_end().saturating_sub(DAY) / HOUR;
        look = look.saturating_sub(LOOK).max(noticed);
        let mut plans = Plans { past: Wide::none(0), near: Wide::none(0), on: self.candidates.clone() };
        for hour in from / HOUR..end.map_or(to.div_ceil(HOUR), |end| end / HOUR) {
            if hour >= look {
                plans = self.plans(hour);
                look = hour + LOOK;
            }
            let Some(members) = self.index.hours.get(hour) else { continue };
            let mut count = |constraint, by| *counts.entry(constraint).or_default() += by;
            let taken = self.worker.takes(hour);
            // One by one only where there is no other way.
            let some = if hour < noticed { &self.candidates } else { &plans.near };
            for number in some.among(members) {
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
            if hour >= noticed {
                count(Constraint::Horizon, plans.past.count_of(members));
                if let Some(taken) = taken {
                    count(taken, plans.on.count_of(members));
                }
            }
        }
        let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        counts.sort_by_key(|(constraint, count)| (Reverse(*count), *constraint));
        counts
    }

    /// The first hour in which everybody's notice is over.
    fn noticed(&self) -> Minute {
        let notice = self.index.glances.iter().map(|glance| glance.notice).max().unwrap_or_default();
        let notice = minutes(TimeDelta::seconds(notice.into()));
        ceil(self.query.now).saturating_add(notice) / HOUR + 1
    }

    /// How far the candidates plan, for the next hours.
    fn plans(&self, hour: Minute) -> Plans {
        let mut past = self.with_end(|end| end.at <= hour * HOUR);
        past.keep(&self.candidates, true);
        let mut near =
            self.with_end(|end| end.at > hour * HOUR && end.at < ((hour + LOOK) * HOUR).saturating_add(DAY));
        near.keep(&self.candidates, true);
        let mut on = self.candidates.clone();
        on.keep(&past, false);
        on.keep(&near, false);
        Plans { past, near, on }
    }
}

/// Candidates by how far they plan.
struct Plans {
    /// Past their last date.
    past: Wide,
    /// Perhaps.
    near: Wide,
    /// Not yet.
    on: Wide,
}
