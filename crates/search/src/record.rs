//! What is kept of one therapist: open time, what takes it, and where sessions may start in what is left.

use std::borrow::Cow;
use std::ops::ControlFlow;

use calendar::{Limits, Load, Open, Schedule, Span, Zone};

use crate::clock::{Clocks, DAY, Grid, Minute, floor, outward, span};
use crate::index::Kinds;
use crate::kept::Kept;
use crate::load::Left;
use crate::rooms::Rooms;
use crate::taken::{Held, Packed, Tag, Taken, View};
use crate::terms::Term;
use crate::{SessionTypeId, TherapistId};

/// What can be booked, for the purposes of time and of modality: interned, because therapists resemble each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kind {
    pub(crate) duration: u16,
    pub(crate) before: u16,
    pub(crate) after: u16,
    pub(crate) grid: Grid,
    pub(crate) modalities: u8,
    /// A2.
    pub(crate) weight: u32,
}

impl Kind {
    pub(crate) fn whole(&self) -> Minute {
        Minute::from(self.before) + Minute::from(self.duration) + Minute::from(self.after)
    }
}

/// A session type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) id: SessionTypeId,
    pub(crate) kind: u32,
}

/// Everything about one therapist.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: TherapistId,
    pub(crate) kept: Kept,
    /// Of the schedule's zone.
    pub(crate) clock: u16,
    pub(crate) offers: Box<[Offer]>,
    pub(crate) terms: Box<[Term]>,
    /// With years of experience.
    pub(crate) specializations: Box<[(Term, u8)]>,
    /// Terms that hold until the end of a day, counted from the epoch.
    pub(crate) dated: Box<[(Term, i32)]>,
    pub(crate) time: Time,
}

/// When a therapist works, and what of it is taken.
#[derive(Debug, Default)]
pub(crate) struct Time {
    /// What packed minutes count from; nothing before it is known.
    since: Minute,
    /// Up to where open time is laid out.
    pub(crate) until: Minute,
    /// Open time: a start, and a length in minutes. Sorted and disjoint; those that touch are one.
    open: Box<[Packed]>,
    /// Windows with their clock, if not all are on the schedule's: by start.
    windows: Box<[(Minute, Minute, u16)]>,
    pub(crate) taken: Taken,
}

impl Record {
    /// The longest free time of the days that touch a span, holds aside, where limits leave it any session, and of those
    /// next to them: farther away free time that reaches here is long enough for anything, before and after. With the
    /// first of these days, counted from the epoch.
    pub(crate) fn room(
        &self,
        (from, to): (Minute, Minute),
        kinds: &Kinds,
        view: View<'_>,
        clocks: &Clocks,
    ) -> (Minute, Vec<Minute>) {
        let Time { since, until, .. } = self.time;
        let first = (from / DAY).saturating_sub(1).max(since / DAY);
        let last = (to.div_ceil(DAY).saturating_add(1)).min(until / DAY);
        let mut found: Vec<Minute> = vec![0; last.saturating_sub(first) as usize];
        // What is cut off at the ends of this is longer than a day as well.
        let around = ((first * DAY).saturating_sub(DAY), (last * DAY).saturating_add(DAY));
        let mut left = Left::of(self, clocks.get(self.clock), view);
        let offered = self.offers.iter().map(|offer| kinds.get(offer.kind));
        let _: ControlFlow<()> = self.time.free(around, view, |start, end| {
            if left.as_mut().is_none_or(|left| left.allows_some((start, end), offered.clone())) {
                for day in (start / DAY).max(first)..end.div_ceil(DAY).min(last) {
                    let known = &mut found[(day - first) as usize];
                    *known = (*known).max(end - start);
                }
            }
            ControlFlow::Continue(())
        });
        (first, found)
    }

    /// What [`calendar::admit`] asks for to judge whether a session may start at `start`, for somebody who must not meet
    /// `tags` and whose own sessions with the therapist `is_own` tells by their time.
    pub(crate) fn around(
        &self,
        start: Minute,
        clocks: &Clocks,
        view: View<'_>,
        tags: &[Tag],
        is_own: impl Fn((Minute, Minute)) -> bool,
    ) -> Around<'_> {
        let time = &self.time;
        let schedule = self.kept.laid_out(&clocks.get(self.clock).zone);
        let (from, to) = (start.saturating_sub(DAY), start.saturating_add(DAY));
        let busy = time.taken.held((from, to), view).filter_map(|held| span(held.busy)).collect();
        // Whoever has no tags does not pay for them.
        let sharing = if tags.is_empty() {
            Vec::new()
        } else {
            let sharing = time.taken.sharing((from, to), view, tags).filter(|held| !is_own(held.busy));
            sharing.filter_map(|held| span(held.session)).collect()
        };
        // Whoever has no limits does not pay for them.
        let load = span((start, start + 1)).filter(|_| schedule.limits != Limits::default()).map(|start| {
            let held = time.taken.held(outward(schedule.load_range(start)), view);
            schedule.load(held.filter_map(Held::counted))
        });
        Around {
            open: time.open_around((from, to), clocks, &schedule.zone),
            busy: calendar::union(busy),
            sharing,
            load: load.unwrap_or_default(),
            schedule,
        }
    }
}

/// What is known around a start.
pub(crate) struct Around<'a> {
    pub(crate) schedule: Cow<'a, Schedule>,
    pub(crate) open: Open,
    pub(crate) busy: Vec<Span>,
    pub(crate) sharing: Vec<Span>,
    pub(crate) load: Load,
}

impl Time {
    /// Nothing is open yet.
    pub(crate) fn starting(since: Minute) -> Self {
        Self { since, until: since, taken: Taken::starting(since), ..Self::default() }
    }

    /// Forgets what ended before `since`, and lays open time out up to `until`.
    pub(crate) fn lay_out(
        &mut self,
        schedule: &Schedule,
        since: Minute,
        until: Minute,
        mut clock: impl FnMut(&Zone) -> u16,
    ) {
        self.forget(since);
        let from = self.until.max(since);
        let Some(range) = span((from, until)) else { return };
        self.until = until;
        let open = schedule.open(range);
        let mut pieces = std::mem::take(&mut self.open).into_vec();
        for span in open.spans() {
            // Inward.
            let (start, end) = (crate::clock::ceil(span.start()).max(from), floor(span.end()).min(until));
            let mut start = start;
            while start < end {
                let length = (end - start).min(Packed::BESIDE);
                pieces.extend(Packed::new(start - self.since, length));
                start += length;
            }
        }
        self.open = pieces.into();
        if !schedule.travels.is_empty() {
            let windows = open.windows().map(|(window, zone)| {
                let (start, end) = outward(window);
                (start.max(from), end.min(until), clock(zone))
            });
            let mut all = std::mem::take(&mut self.windows).into_vec();
            all.extend(windows.filter(|(start, end, _)| start < end));
            all.sort_unstable();
            self.windows = all.into();
        }
    }

    fn forget(&mut self, since: Minute) {
        let Some(gone) = since.checked_sub(self.since).filter(|gone| *gone > 0) else { return };
        let open = self.open.iter().filter_map(|piece| {
            let end = piece.minute() + piece.beside();
            let start = piece.minute().max(gone);
            (start < end).then(|| Packed::new(start - gone, end - start))?
        });
        self.open = open.collect();
        self.windows = self.windows.iter().copied().filter(|(_, end, _)| *end > since).collect();
        self.taken.forget(since);
        self.since = since;
    }

    /// The open time in `[from, to)`.
    pub(crate) fn open(&self, from: Minute, to: Minute) -> impl Iterator<Item = (Minute, Minute)> + '_ {
        let since = self.since;
        let after = from.saturating_sub(since);
        let first = self.open.partition_point(|piece| piece.minute() + piece.beside() <= after);
        let mut pieces = self.open[first..]
            .iter()
            .map(move |piece| (since + piece.minute(), since + piece.minute() + piece.beside()))
            .peekable();
        std::iter::from_fn(move || {
            let (start, mut end) = pieces.next_if(|piece| piece.0 < to)?;
            while let Some(next) = pieces.next_if(|piece| piece.0 == end && end < to) {
                end = next.1;
            }
            Some((start.max(from), end.min(to)))
        })
    }

    /// The free time in `[from, to)`, ascending: open, and not taken.
    fn free(
        &self,
        (from, to): (Minute, Minute),
        view: View<'_>,
        mut each: impl FnMut(Minute, Minute) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut taken = self.taken.held((from, to), view).map(|held| held.busy).peekable();
        let mut busy_until = 0;
        for (start, end) in self.open(from, to) {
            while let Some((from, to)) = taken.next_if(|next| next.0 < end) {
                let start = start.max(busy_until);
                if start < from {
                    each(start, from)?;
                }
                busy_until = busy_until.max(to);
            }
            let start = start.max(busy_until);
            if start < end {
                each(start, end)?;
            }
        }
        ControlFlow::Continue(())
    }

    /// The starts of sessions in `[from, to)` that fit, ascending.
    pub(crate) fn starts(
        &self,
        fit: &Fit<'_>,
        (from, to): (Minute, Minute),
        mut each: impl FnMut(Minute) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (from, to) = (from.max(self.since), to.min(self.until));
        // What is being moved makes room that is not known.
        if fit.view.moving.is_some() {
            for day in from / DAY..to.div_ceil(DAY) {
                self.starts_of_day(fit, (from.max(day * DAY), to.min((day + 1) * DAY)), &mut each)?;
            }
            return ControlFlow::Continue(());
        }
        for day in fit.rooms.days(fit.number, (from, to), fit.kind.whole()) {
            self.starts_of_day(fit, (from.max(day * DAY), to.min((day + 1) * DAY)), &mut each)?;
        }
        ControlFlow::Continue(())
    }

    fn starts_of_day(
        &self,
        fit: &Fit<'_>,
        (from, to): (Minute, Minute),
        mut each: impl FnMut(Minute) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Fit { clocks, clock, kind, runs, view, .. } = *fit;
        let (before, after) =
            (Minute::from(kind.before), Minute::from(kind.duration) + Minute::from(kind.after));
        let mut run = runs.partition_point(|run| run.1 <= from);
        if runs.get(run).is_none_or(|run| run.0 >= to) {
            return ControlFlow::Continue(());
        }
        self.free((from.saturating_sub(before), to.saturating_add(after)), view, |start, end| {
            if end - start < before + after {
                return ControlFlow::Continue(());
            }
            let (first, last) = (from.max(start + before), to.min(end - after + 1));
            while runs.get(run).is_some_and(|run| run.1 <= first) {
                run += 1;
            }
            for (start, end) in runs[run..].iter().take_while(|run| run.0 < last) {
                let (start, end) = (first.max(*start), last.min(*end));
                if self.windows.is_empty() {
                    for (start, end, offset) in clocks.get(clock).pieces(start, end) {
                        kind.grid.starts(start, end, offset).try_for_each(&mut each)?;
                    }
                } else {
                    self.starts_of_windows(clocks, kind.grid, (start, end))
                        .into_iter()
                        .try_for_each(&mut each)?;
                }
            }
            ControlFlow::Continue(())
        })
    }

    /// A travel begins or ends within hours that overlap: their grids mix.
    fn starts_of_windows(&self, clocks: &Clocks, grid: Grid, (from, to): (Minute, Minute)) -> Vec<Minute> {
        let windows = self.windows.iter().take_while(|window| window.0 < to).filter(|window| window.1 > from);
        let mut starts: Vec<Minute> = windows
            .flat_map(|(start, end, clock)| clocks.get(*clock).pieces(from.max(*start), to.min(*end)))
            .flat_map(|(start, end, offset)| grid.starts(start, end, offset))
            .collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// The clocks that grids are read on.
    pub(crate) fn clocks(&self, own: u16) -> impl Iterator<Item = u16> + '_ {
        let own = self.windows.is_empty().then_some(own);
        own.into_iter().chain(self.windows.iter().map(|(_, _, clock)| *clock))
    }

    /// The open time of `[from, to)` with its clocks.
    fn open_around(&self, (from, to): (Minute, Minute), clocks: &Clocks, zone: &Zone) -> Open {
        let open: Vec<_> = self.open(from, to).collect();
        let mut windows: Vec<(Zone, Vec<Span>)> = Vec::new();
        if self.windows.is_empty() {
            windows.push((zone.clone(), open.iter().copied().filter_map(span).collect()));
        }
        for (start, end, clock) in self.windows.iter().filter(|window| window.0 < to && window.1 > from) {
            let zone = &clocks.get(*clock).zone;
            let inside = open.iter().filter_map(|open| span((open.0.max(*start), open.1.min(*end))));
            match windows.iter_mut().find(|(known, _)| known == zone) {
                Some((_, known)) => known.extend(inside),
                None => windows.push((zone.clone(), inside.collect())),
            }
        }
        Open::new(windows, &[])
    }
}

/// What a start has to fit, besides free time.
#[derive(Clone, Copy)]
pub(crate) struct Fit<'a> {
    /// Whose record it is, and the days that have room.
    pub(crate) number: u32,
    pub(crate) rooms: &'a Rooms,
    pub(crate) clocks: &'a Clocks,
    /// The schedule's.
    pub(crate) clock: u16,
    pub(crate) kind: &'a Kind,
    /// Where starts may be: sorted and disjoint.
    pub(crate) runs: &'a [(Minute, Minute)],
    pub(crate) view: View<'a>,
}
