//! What is kept of one therapist: open time, what takes it, and where sessions may start in what is left.

use std::ops::ControlFlow;

use calendar::{Admitted, Open, Schedule, Span, Zone};
use chrono::{DateTime, Utc};

use crate::clock::{Clocks, DAY, Grid, Minute, floor, outward, span};
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
    pub(crate) schedule: Schedule,
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
    open: Vec<Packed>,
    /// Windows with their clock, if not all are on the schedule's: by start.
    windows: Vec<(Minute, Minute, u16)>,
    /// Sessions that are not given up: the start of the buffer before, and the index of a shape. Sorted.
    booked: Vec<Packed>,
    /// What booked sessions look like.
    shapes: Vec<Shape>,
    /// Of all shapes.
    longest: Minute,
    /// Sessions that cannot be packed. Sorted.
    unpacked: Vec<(Minute, Minute)>,
    holds: Vec<(Minute, Minute, DateTime<Utc>)>,
    /// Of each day, the longest free time that touches it, holds aside: in fives of minutes, rounded up. Most days
    /// that are too full for a session are told by this alone.
    roomiest: Vec<u8>,
}

/// The lengths of a session and its buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    before: u16,
    duration: u16,
    after: u16,
}

impl Shape {
    fn whole(self) -> Minute {
        Minute::from(self.before) + Minute::from(self.duration) + Minute::from(self.after)
    }
}

/// A minute, counted from its record's first and so near enough for 21 bits, and 11 bits beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packed(u32);

impl Packed {
    const BESIDE: u32 = (1 << 11) - 1;
    const LATEST: u32 = (1 << 21) - 1;

    fn new(minute: Minute, beside: u32) -> Option<Self> {
        (minute <= Self::LATEST && beside <= Self::BESIDE).then_some(Self(minute << 11 | beside))
    }

    fn minute(self) -> Minute {
        self.0 >> 11
    }

    fn beside(self) -> u32 {
        self.0 & Self::BESIDE
    }
}

impl Time {
    /// Nothing is open yet.
    pub(crate) fn starting(since: Minute) -> Self {
        Self { since, until: since, ..Self::default() }
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
        for span in open.spans() {
            // Inward.
            let (start, end) = (crate::clock::ceil(span.start()).max(from), floor(span.end()).min(until));
            let mut start = start;
            while start < end {
                let length = (end - start).min(Packed::BESIDE);
                self.open.extend(Packed::new(start - self.since, length));
                start += length;
            }
        }
        self.open.shrink_to_fit();
        if !schedule.travels.is_empty() {
            let windows = open.windows().map(|(window, zone)| {
                let (start, end) = outward(window);
                (start.max(from), end.min(until), clock(zone))
            });
            self.windows.extend(windows.filter(|(start, end, _)| start < end));
            self.windows.sort_unstable();
        }
        self.find_room((from, until));
    }

    fn forget(&mut self, since: Minute) {
        let Some(gone) = since.checked_sub(self.since).filter(|gone| *gone > 0) else { return };
        let open = self.open.iter().filter_map(|piece| {
            let end = piece.minute() + piece.beside();
            let start = piece.minute().max(gone);
            (start < end).then(|| Packed::new(start - gone, end - start))?
        });
        self.open = open.collect();
        self.windows.retain(|(_, end, _)| *end > since);
        // One that started before has ended by now: it lasts a day at most, and `since` is a day ago.
        let kept = self
            .booked
            .iter()
            .filter_map(|packed| Packed::new(packed.minute().checked_sub(gone)?, packed.beside()));
        self.booked = kept.collect();
        self.unpacked.retain(|(_, end)| *end > since);
        self.holds.retain(|(_, end, _)| *end > since);
        self.roomiest.drain(..self.roomiest.len().min((gone / DAY) as usize));
        self.since = since;
    }

    /// Finds the longest free time again of the days that touch a span, and of those next to them: farther away
    /// free time that reaches here is long enough for anything, before and after.
    fn find_room(&mut self, (from, to): (Minute, Minute)) {
        let first = (from / DAY).saturating_sub(1).max(self.since / DAY);
        let last = (to.div_ceil(DAY).saturating_add(1)).min(self.until / DAY);
        let Some(days) = last.checked_sub(first) else { return };
        let mut found = vec![0_u8; days as usize];
        // What is cut off at the ends of this is longer than a day as well.
        let around = ((first * DAY).saturating_sub(DAY), (last * DAY).saturating_add(DAY));
        let _: ControlFlow<()> = self.free(around.0, around.1, None, |start, end| {
            let length = u8::try_from((end - start).div_ceil(5)).unwrap_or(u8::MAX);
            for day in (start / DAY).max(first)..end.div_ceil(DAY).min(last) {
                let known = &mut found[(day - first) as usize];
                *known = length.max(*known);
            }
            ControlFlow::Continue(())
        });
        self.roomiest.reserve_exact(((self.until - self.since) / DAY) as usize - self.roomiest.len());
        self.roomiest.resize(((self.until - self.since) / DAY) as usize, 0);
        let index = (first - self.since / DAY) as usize;
        self.roomiest[index..index + found.len()].copy_from_slice(&found);
    }

    /// Takes the time of a session, once; a hold of the same time is done with.
    pub(crate) fn book(&mut self, time: Admitted) {
        self.insert(time);
        self.find_room(outward(time.busy));
    }

    /// Takes the time of many sessions.
    pub(crate) fn book_all(&mut self, times: &[Admitted]) {
        self.booked.reserve_exact(times.len());
        for time in times {
            self.insert(*time);
        }
        self.booked.shrink_to_fit();
        self.shapes.shrink_to_fit();
        self.find_room((self.since, self.until));
    }

    fn insert(&mut self, time: Admitted) {
        let busy = outward(time.busy);
        self.holds.retain(|(from, to, _)| (*from, *to) != busy);
        if busy.1 <= self.since || self.is_booked(busy) {
            return;
        }
        if let Some(packed) = self.packed(time) {
            let index = self.booked.partition_point(|known| *known < packed);
            if self.booked.len() == self.booked.capacity() {
                // Doubling would cost more memory than it saves time.
                self.booked.reserve_exact(8);
            }
            self.booked.insert(index, packed);
        } else {
            let index = self.unpacked.partition_point(|known| *known < busy);
            self.unpacked.insert(index, busy);
        }
    }

    /// Takes the time of a session until `expiry`.
    pub(crate) fn hold(&mut self, time: Admitted, expiry: DateTime<Utc>) {
        let (from, to) = outward(time.busy);
        self.holds.retain(|hold| (hold.0, hold.1) != (from, to));
        self.holds.push((from, to, expiry));
    }

    /// Gives the time of a session back, held or booked.
    pub(crate) fn release(&mut self, busy: Span) {
        let busy = outward(busy);
        self.holds.retain(|(from, to, _)| (*from, *to) != busy);
        self.unpacked.retain(|known| *known != busy);
        let Self { since, shapes, booked, .. } = self;
        booked.retain(|packed| {
            let start = *since + packed.minute();
            (start, start + shapes[packed.beside() as usize].whole()) != busy
        });
        self.find_room(busy);
    }

    /// Lets go of holds that have expired.
    pub(crate) fn sweep(&mut self, now: DateTime<Utc>) {
        self.holds.retain(|(_, _, expiry)| *expiry > now);
    }

    fn is_booked(&self, busy: (Minute, Minute)) -> bool {
        let near = &self.booked[self.booked_after(busy.0)..];
        near.iter()
            .map(|packed| self.whole(*packed))
            .take_while(|known| known.0 <= busy.0)
            .chain(self.unpacked.iter().copied())
            .any(|known| known == busy)
    }

    fn packed(&mut self, Admitted { session, busy }: Admitted) -> Option<Packed> {
        let ((from, to), (start, end)) = (outward(busy), outward(session));
        let length = |minutes: Option<Minute>| u16::try_from(minutes?).ok();
        let shape = Shape {
            before: length(start.checked_sub(from))?,
            duration: length(end.checked_sub(start))?,
            after: length(to.checked_sub(end))?,
        };
        let minute = from.checked_sub(self.since)?;
        // A single long one would make every look at the others longer.
        if shape.whole() > DAY {
            return None;
        }
        let index = self.shapes.iter().position(|known| *known == shape).unwrap_or(self.shapes.len());
        let packed = Packed::new(minute, u32::try_from(index).ok()?)?;
        if index == self.shapes.len() {
            self.shapes.push(shape);
            self.longest = self.longest.max(shape.whole());
        }
        Some(packed)
    }

    /// The time of a session, buffers included.
    fn whole(&self, packed: Packed) -> (Minute, Minute) {
        let start = self.since + packed.minute();
        (start, start + self.shapes[packed.beside() as usize].whole())
    }

    /// The index of the first that can end after `at`.
    fn booked_after(&self, at: Minute) -> usize {
        let from = at.saturating_sub(self.since).saturating_sub(self.longest);
        self.booked.partition_point(|packed| packed.minute() < from)
    }

    /// What is taken of `[from, to)`, by start: sessions, and holds that are live at `now`.
    pub(crate) fn taken(
        &self,
        from: Minute,
        to: Minute,
        now: Option<DateTime<Utc>>,
    ) -> impl Iterator<Item = (Minute, Minute)> + '_ {
        let live = self
            .holds
            .iter()
            .filter(|(_, _, expiry)| now.is_some_and(|now| *expiry > now))
            .map(|(from, to, _)| (*from, *to));
        let mut others: Vec<_> = Vec::new();
        if !self.holds.is_empty() || !self.unpacked.is_empty() {
            others.extend(self.unpacked.iter().copied().chain(live).filter(|(_, end)| *end > from));
            others.sort_unstable();
        }
        let first = self.booked_after(from);
        let mut booked = self.booked[first..].iter().map(|packed| self.whole(*packed)).peekable();
        let mut others = others.into_iter().peekable();
        std::iter::from_fn(move || match (booked.peek(), others.peek()) {
            (Some(a), Some(b)) if a > b => others.next(),
            (Some(_), _) => booked.next(),
            (None, _) => others.next(),
        })
        .take_while(move |(start, _)| *start < to)
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
        from: Minute,
        to: Minute,
        now: Option<DateTime<Utc>>,
        mut each: impl FnMut(Minute, Minute) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut taken = self.taken(from, to, now).peekable();
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
        let needed = fit.kind.whole();
        for (day, _) in
            (from / DAY..).zip(self.rooms((from, to))).filter(|(_, room)| has_room(**room, needed))
        {
            self.starts_of_day(fit, (from.max(day * DAY), to.min((day + 1) * DAY)), &mut each)?;
        }
        ControlFlow::Continue(())
    }

    /// Whether some day has room for a session that takes so long with its buffers, as far as the days tell.
    pub(crate) fn may_hold(&self, range: (Minute, Minute), needed: Minute) -> bool {
        self.rooms(range).iter().copied().max().is_some_and(|room| has_room(room, needed))
    }

    /// The longest free time of each day that `[from, to)` touches.
    fn rooms(&self, (from, to): (Minute, Minute)) -> &[u8] {
        let (from, to) = (from.max(self.since), to.min(self.until));
        if from >= to {
            return &[];
        }
        let first = self.since / DAY;
        self.roomiest
            .get((from / DAY - first) as usize..(to.div_ceil(DAY) - first) as usize)
            .unwrap_or_default()
    }

    fn starts_of_day(
        &self,
        fit: &Fit<'_>,
        (from, to): (Minute, Minute),
        mut each: impl FnMut(Minute) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let Fit { clocks, clock, kind, runs, now } = *fit;
        let (before, after) =
            (Minute::from(kind.before), Minute::from(kind.duration) + Minute::from(kind.after));
        let mut run = runs.partition_point(|run| run.1 <= from);
        if runs.get(run).is_none_or(|run| run.0 >= to) {
            return ControlFlow::Continue(());
        }
        self.free(from.saturating_sub(before), to.saturating_add(after), now, |start, end| {
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

    /// What [`calendar::admit`] asks for, a day around `start`.
    pub(crate) fn around(
        &self,
        start: Minute,
        clocks: &Clocks,
        zone: &Zone,
        now: DateTime<Utc>,
    ) -> (Open, Vec<Span>) {
        let (from, to) = (start.saturating_sub(DAY), start.saturating_add(DAY));
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
        let taken = self.taken(from, to, Some(now)).filter_map(span).collect();
        (Open::new(windows, &[]), calendar::union(taken))
    }
}

/// Whether the longest free time of a day is long enough.
fn has_room(room: u8, needed: Minute) -> bool {
    u32::from(room) * 5 >= needed
}

/// What a start has to fit, besides free time.
#[derive(Clone, Copy)]
pub(crate) struct Fit<'a> {
    pub(crate) clocks: &'a Clocks,
    /// The schedule's.
    pub(crate) clock: u16,
    pub(crate) kind: &'a Kind,
    /// Where starts may be: sorted and disjoint.
    pub(crate) runs: &'a [(Minute, Minute)],
    /// When holds have to be live to count; without it none does.
    pub(crate) now: Option<DateTime<Utc>>,
}
