//! When one worker has time: where sessions of a kind may start.

use std::ops::RangeInclusive;

use calendar::{Span, WorkerRefusal};

use crate::clock::{HOUR, Minute, outward};
use crate::record::Kind;
use crate::{Constraint, Query};

/// How long a session in a break may be, as [`calendar::refuses`] has it.
const CHECK_IN: RangeInclusive<Minute> = 10..=30;

/// Where starts may be: sorted, disjoint, and apart.
type Runs = Box<[(Minute, Minute)]>;

/// What a search has to keep free of, in minutes.
pub(crate) struct Worker {
    /// Where sessions may start, whoever holds them.
    pub(crate) range: (Minute, Minute),
    /// What the session itself may not touch, by start: each list is sorted.
    unavailable: Vec<(Minute, Minute, WorkerRefusal)>,
    excluded: Vec<(Minute, Minute)>,
    /// What the session may not touch with its buffers.
    busy: Vec<(Minute, Minute)>,
    /// Where sessions of each kind may start, once somebody has asked.
    runs: Vec<Option<Runs>>,
}

impl Worker {
    pub(crate) fn new(query: &Query<'_>, range: (Minute, Minute), kinds: usize) -> Self {
        let minutes = |spans: &[Span]| calendar::union(spans.to_vec()).into_iter().map(outward).collect();
        let mut unavailable: Vec<_> = query
            .unavailable
            .iter()
            .map(|time| {
                let (start, end) = outward(time.span);
                (start, end, time.reason)
            })
            .collect();
        unavailable.sort_unstable();
        Self {
            range,
            unavailable,
            excluded: minutes(query.excluded),
            busy: minutes(query.busy),
            runs: vec![None; kinds],
        }
    }

    /// Works out where sessions of a kind may start, unless that is known.
    pub(crate) fn prepare(&mut self, number: u32, kind: &Kind) {
        if self.runs[number as usize].is_none() {
            let lengths = [kind.before, kind.duration, kind.after].map(Minute::from);
            self.runs[number as usize] = Some(self.starts(lengths));
        }
    }

    /// Where sessions of a kind that is prepared may start: sorted, disjoint, and apart.
    pub(crate) fn runs(&self, number: u32) -> &[(Minute, Minute)] {
        self.runs[number as usize].as_deref().unwrap_or_default()
    }

    /// Where sessions of at least this length may start.
    pub(crate) fn any_starts(&self, shortest: Minute) -> Runs {
        self.starts_in([0, shortest, 0], true)
    }

    /// Where sessions of these lengths (before, itself, after) may start.
    fn starts(&self, lengths: [Minute; 3]) -> Runs {
        self.starts_in(lengths, CHECK_IN.contains(&lengths[1]))
    }

    /// All else is taken around an open break (S3), so that what starts in it ends in it.
    fn starts_in(&self, [before, duration, after]: [Minute; 3], breaks: bool) -> Runs {
        let (from, to) = self.range;
        let taken = self
            .unavailable
            .iter()
            .filter(|(.., reason)| !(breaks && *reason == WorkerRefusal::Break))
            .map(|(start, end, _)| (*start, *end));
        let session = taken
            .chain(self.excluded.iter().copied())
            .map(|(start, end)| ((start + 1).saturating_sub(duration), end));
        let whole = self
            .busy
            .iter()
            .map(|(start, end)| ((start + 1).saturating_sub(duration + after), end.saturating_add(before)));
        let mut blocked: Vec<_> =
            session.chain(whole).filter(|(start, end)| *start < to && *end > from).collect();
        blocked.sort_unstable();
        let mut runs = Vec::with_capacity(blocked.len() + 1);
        let mut next = from;
        for (start, end) in blocked {
            if next < start {
                runs.push((next, start));
            }
            next = next.max(end);
        }
        if next < to {
            runs.push((next, to));
        }
        runs.into()
    }

    /// What takes every minute of an hour that is in the range, if something does: what takes most of it.
    pub(crate) fn takes(&self, hour: Minute) -> Option<Constraint> {
        let within = |(start, end): (Minute, Minute)| {
            let (from, to) = (start.max(hour * HOUR), end.min(hour * HOUR + HOUR));
            if from < to { (u64::MAX >> (64 - (to - from))) << (from - hour * HOUR) } else { 0 }
        };
        let whole = within(self.range);
        let mut left = whole;
        let mut most: Option<(u32, Constraint)> = None;
        let mut take = |constraint: Constraint, minutes: u64| {
            let taken = (minutes & left).count_ones();
            left &= !minutes;
            if taken > most.map_or(0, |(most, _)| most) {
                most = Some((taken, constraint));
            }
        };
        let of = |spans: &[(Minute, Minute)]| {
            let first = spans.partition_point(|span| span.1 <= hour * HOUR);
            let near = spans[first..].iter().take_while(|span| span.0 < hour * HOUR + HOUR);
            near.fold(0, |known, span| known | within(*span))
        };
        take(Constraint::OwnBooking, of(&self.busy));
        let first = self.unavailable.partition_point(|span| span.1 <= hour * HOUR);
        let near: Vec<_> =
            self.unavailable[first..].iter().take_while(|span| span.0 < hour * HOUR + HOUR).collect();
        for reason in [
            WorkerRefusal::Shift,
            WorkerRefusal::Commute,
            WorkerRefusal::Rest,
            WorkerRefusal::Sleep,
            WorkerRefusal::BeyondRoster,
            WorkerRefusal::OffDuty,
        ] {
            let minutes = near.iter().filter(|span| span.2 == reason);
            take(Constraint::Worker(reason), minutes.fold(0, |known, span| known | within((span.0, span.1))));
        }
        take(Constraint::TimeOfDay, of(&self.excluded));
        most.filter(|_| left == 0 && whole != 0).map(|(_, constraint)| constraint)
    }
}

/// The hours in which runs have minutes, each with those minutes.
pub(crate) fn hours(runs: &[(Minute, Minute)]) -> impl Iterator<Item = (Minute, u64)> + '_ {
    let mut runs = runs.iter().copied().peekable();
    let mut next = 0;
    std::iter::from_fn(move || {
        let hour = (runs.peek()?.0 / HOUR).max(next);
        next = hour + 1;
        let (start, end) = (hour * HOUR, hour * HOUR + HOUR);
        let mut minutes = 0;
        while let Some(run) = runs.peek().filter(|run| run.0 < end) {
            let (from, to) = (run.0.max(start), run.1.min(end));
            minutes |= (u64::MAX >> (64 - (to - from))) << (from - start);
            if run.1 > end {
                break;
            }
            runs.next();
        }
        Some((hour, minutes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_have_the_minutes_of_runs() {
        let found: Vec<_> = hours(&[(0, 2), (58, 60), (60, 61), (119, 241)]).collect();
        let all = (1 << 60) - 1;
        assert_eq!(found, [(0, 3 | 3 << 58), (1, 1 | 1 << 59), (2, all), (3, all), (4, 1)]);
    }
}
