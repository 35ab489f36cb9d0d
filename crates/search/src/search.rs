//! How a page is found: hour by hour, the most promising first, and where that does not pay, everybody once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::ControlFlow;

use calendar::{Admission, Admitted, SessionRules};
use chrono::TimeDelta;

use crate::clock::{DAY, HOUR, Minute, ceil, instant, local, minutes, outward};
use crate::index::{End, Index, day};
use crate::load::{Left, week};
use crate::members::Wide;
use crate::record::{Around, Fit, Kind, Record};
use crate::taken::View;
use crate::terms::VERIFIED;
use crate::worker::{Worker, hours};
use crate::{Criterion, Hit, Matched, Met, Opening, Page, Place, Query, Term, TherapistId, Wanted};

/// So many records, and a few of each hundred candidates, may be looked at in vain before every candidate's is read in
/// turn: few enough not to matter beside that.
const IN_VAIN: usize = 4;

/// In how many hours those whose plans end meanwhile are left out again.
pub(crate) const LOOK: Minute = 12;

impl Index {
    /// The answers that come first, by [`Place`].
    pub fn search(&self, query: &Query<'_>) -> Page {
        let mut search = Search::new(self, query);
        let mut found = search.walk(query.limit.saturating_add(1));
        let more = found.len() > query.limit;
        found.truncate(query.limit);
        let end = if more { found.last().map(|found| found.start) } else { None };
        Page {
            next: found.last().filter(|_| more).map(|found| search.place(found)),
            hits: found.iter().filter_map(|found| search.hit(found)).collect(),
            removals: search.removals(end),
            removed: search.removed,
        }
    }

    /// Who meets the criteria, whatever their time: the better match first, then whom the worker knows, then more years,
    /// then ids. Of the query, the window, the session types and all that is about time do not matter, but for `now`.
    pub fn matching(&self, query: &Query<'_>) -> Vec<Matched> {
        let search = Search::new(self, query);
        let mut ranked: Vec<_> = search
            .candidates
            .numbers()
            .filter_map(|number| Some((search.rank(number), self.record(number)?.id)))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(rank, id)| rank.of(id)).collect()
    }

    /// The first opening of each therapist who meets the criteria and has one, in no order; where the page before ended
    /// and its size do not matter.
    pub fn earliest(&self, query: &Query<'_>) -> Vec<Opening> {
        let query = Query { after: None, ..query.clone() };
        let mut search = Search::new(self, &query);
        let numbers: Vec<_> = search.candidates.numbers().collect();
        let mut earliest = Vec::new();
        for number in numbers {
            let Some(record) = self.record(number) else { continue };
            if let Some(start) = search.first(number) {
                earliest.push(Opening { matched: search.rank(number).of(record.id), start: instant(start) });
            }
        }
        earliest
    }
}

/// One question being answered.
pub(crate) struct Search<'a> {
    pub(crate) index: &'a Index,
    pub(crate) query: &'a Query<'a>,
    /// Who meets all criteria.
    pub(crate) candidates: Wide,
    removed: Vec<usize>,
    /// Which kinds of sessions do, and the shortest of these.
    kinds: Vec<bool>,
    shortest: Minute,
    /// The least time that any of these takes with its buffers.
    least: Minute,
    /// Whom the worker knows.
    seen: Wide,
    /// Of whom a session is moved, and when it was: hours and days do not know how much room that makes.
    moving: Option<(u32, (Minute, Minute))>,
    /// The worker's own sessions.
    own: Vec<(u32, (Minute, Minute))>,
    pub(crate) worker: Worker,
    /// Seconds since the epoch.
    now: u64,
    /// Of each plan.
    pub(crate) ends: Vec<End>,
    /// Those candidates who plan as far as the walk has come, and perhaps half a day less.
    planning: Wide,
}

/// A start of one offer of one therapist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    start: Minute,
    rank: Rank,
    therapist: TherapistId,
    session_type: crate::SessionTypeId,
    number: u32,
    offer: u32,
}

/// How good a match is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    matched: Reverse<u8>,
    seen: Reverse<bool>,
    load: u8,
    years: Reverse<u8>,
}

impl Rank {
    fn of(self, therapist: TherapistId) -> Matched {
        let Self { matched: Reverse(matched), seen: _, load: _, years: Reverse(years) } = self;
        Matched { therapist, matched, years }
    }
}

/// The best place anybody's start in an hour can have, in one number, with whose it is. Compared without that, it
/// never is behind a start's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Promise(u128);

impl Promise {
    fn new(minute: Minute, rank: Rank, id: u64, number: u32) -> Self {
        let Rank { matched: Reverse(matched), seen: Reverse(seen), load, years: Reverse(years) } = rank;
        let minute = u128::from(minute % HOUR);
        let known = u128::from(!seen) << 7 | u128::from(load);
        let rank = u128::from(u8::MAX - matched) << 16 | known << 8 | u128::from(u8::MAX - years);
        Self(minute << 120 | rank << 96 | u128::from(id) << 32 | u128::from(number))
    }

    fn of(found: &Found) -> Self {
        let id = u64::try_from(found.therapist.0.as_u128() >> 64).unwrap_or_default();
        Self::new(found.start, found.rank, id, found.number)
    }

    fn number(self) -> u32 {
        u32::try_from(self.0 & u128::from(u32::MAX)).unwrap_or_default()
    }

    fn surely_before(self, other: Self) -> bool {
        self.0 >> 32 < other.0 >> 32
    }
}

impl<'a> Search<'a> {
    fn new(index: &'a Index, query: &'a Query<'a>) -> Self {
        let numbers = index.records.len();
        let today = day(query.now.date_naive());
        let mut kinds = vec![true; index.kinds.all.len()];
        let mut candidates = index.terms.carrying(&[VERIFIED], today, numbers);
        if !query.therapists.is_empty() {
            candidates.keep(&among(index, query.therapists), true);
        }
        let mut removed = Vec::with_capacity(query.criteria.len());
        let mut left = candidates.count();
        for criterion in query.criteria {
            let carrying = |terms: &[Term]| index.terms.carrying(terms, today, numbers);
            match criterion {
                Criterion::Any(terms) => candidates.keep(&carrying(terms), true),
                Criterion::NoneOf(terms) => candidates.keep(&carrying(terms), false),
                Criterion::Specializations { wanted, all: true } => {
                    for wanted in wanted {
                        candidates.keep(&carrying(&wanted.answers), true);
                    }
                }
                Criterion::Specializations { wanted, all: false } => {
                    let terms: Vec<_> = wanted.iter().flat_map(|wanted| wanted.answers.clone()).collect();
                    if !wanted.is_empty() {
                        candidates.keep(&carrying(&terms), true);
                    }
                }
                Criterion::Modalities(_) | Criterion::Duration(_) => {
                    for (wanted, kind) in kinds.iter_mut().zip(&index.kinds.all) {
                        *wanted &= offers(criterion, kind);
                    }
                    candidates.keep(&index.kinds.offering(&kinds, numbers), true);
                }
            }
            let before = std::mem::replace(&mut left, candidates.count());
            removed.push(before - left);
        }
        let from = ceil(query.window.start()).max(ceil(query.now));
        let from = query.after.map_or(from, |after| from.max(ceil(after.start)));
        let range = (from, ceil(query.window.end()).max(from));
        let taken = |(id, busy)| Some((*index.numbers.get(&id)?, outward(busy)));
        let wanted =
            || index.kinds.all.iter().zip(&kinds).filter(|(_, wanted)| **wanted).map(|(kind, _)| kind);
        Self {
            index,
            query,
            removed,
            shortest: wanted().map(|kind| kind.duration.into()).min().unwrap_or_default(),
            least: wanted().map(Kind::whole).min().unwrap_or_default(),
            seen: among(index, query.seen),
            moving: query.moving.and_then(taken),
            own: query.own.iter().copied().filter_map(taken).collect(),
            worker: Worker::new(query, range, kinds.len()),
            now: u64::try_from(query.now.timestamp()).unwrap_or_default(),
            ends: index.plans.ends(&index.clocks, query.now),
            kinds,
            planning: candidates.clone(),
            candidates,
        }
    }

    /// The first `limit` answers.
    fn walk(&mut self, limit: usize) -> Vec<Found> {
        let mut found = Vec::with_capacity(limit.min(128));
        let allowed = self.worker.any_starts(self.shortest);
        let mut patience = IN_VAIN + self.candidates.count() / 32;
        let mut look = self.first_end() / HOUR;
        for (hour, minutes) in hours(&allowed) {
            if hour >= look {
                self.planning.keep(&self.with_end(|end| end.at <= hour * HOUR), false);
                look = hour + LOOK;
            }
            let before = found.len();
            if self.hour(hour, minutes, limit, &mut found, &mut patience).is_break() {
                found.truncate(before);
                let (from, to) = self.worker.range;
                self.everybody((from.max(hour * HOUR), to), limit, &mut found);
                break;
            }
            if found.len() >= limit {
                break;
            }
        }
        found
    }

    /// Before which nobody's plan ends.
    pub(crate) fn first_end(&self) -> Minute {
        self.ends.iter().map(|end| end.at).min().unwrap_or_default()
    }

    /// Whose plan ends as asked.
    pub(crate) fn with_end(&self, asked: impl Fn(&End) -> bool) -> Wide {
        self.index.plans.with_end(&self.ends, asked, self.index.records.len())
    }

    /// Answers of one hour, in order, until there are enough, or so many looks were in vain that it stops.
    ///
    /// Whoever may have a start in the hour promises a place by the minutes of their grids alone. A record is opened
    /// only when no start that is known is better than its promise, and a start is judged only when it is next.
    fn hour(
        &mut self,
        hour: Minute,
        allowed: u64,
        limit: usize,
        found: &mut Vec<Found>,
        patience: &mut usize,
    ) -> ControlFlow<()> {
        let members = self.index.hours.get(hour);
        let moving = self.moving.map(|(number, _)| number).filter(|number| self.candidates.contains(*number));
        if members.is_none() && moving.is_none() {
            return ControlFlow::Continue(());
        }
        let members = members.into_iter().flat_map(|members| self.planning.among(members));
        let members = members.filter(|number| Some(*number) != moving).chain(moving);
        let after = self.after();
        let promises = members.filter_map(|number| {
            let glance = &self.index.glances[number as usize];
            let planned =
                from_minute(self.notice_ends(number), hour) & !from_minute(self.end(number).at, hour);
            let mut minutes = glance.minutes & allowed & planned;
            if minutes == 0 {
                return None;
            }
            let rank = self.rank_at(number, hour * HOUR);
            let promise = |minutes: u64| Promise::new(minutes.trailing_zeros(), rank, glance.id, number);
            if let Some(after) = after
                && after.start / HOUR == hour
                && promise(minutes).surely_before(Promise::of(&after))
            {
                minutes &= from_minute(after.start + 1, hour);
            }
            (minutes != 0).then(|| Reverse(promise(minutes)))
        });
        let mut promises: BinaryHeap<_> = promises.collect();
        let mut starts: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
        while found.len() < limit {
            let known = starts.peek().map(|Reverse(start)| *start);
            let best = promises.peek().map(|Reverse(promise)| *promise);
            match (known, best) {
                (Some(start), None) => {
                    starts.pop();
                    found.extend(self.admits(start.number, start.offer, start.start).then_some(start));
                }
                (Some(start), Some(promise)) if Promise::of(&start).surely_before(promise) => {
                    starts.pop();
                    found.extend(self.admits(start.number, start.offer, start.start).then_some(start));
                }
                (_, Some(promise)) => {
                    promises.pop();
                    let before = starts.len();
                    let number = promise.number();
                    let rank = self.rank_at(number, hour * HOUR);
                    let range = (hour * HOUR, (hour + 1) * HOUR);
                    for offer in 0..self.offers(number) {
                        let _: ControlFlow<()> = self.starts(number, offer, range, |search, start| {
                            starts.extend(search.found(number, offer, start, rank).map(Reverse));
                            ControlFlow::Continue(())
                        });
                    }
                    if starts.len() == before && Some(number) != moving {
                        *patience =
                            patience.checked_sub(1).map_or(ControlFlow::Break(()), ControlFlow::Continue)?;
                    }
                }
                (None, None) => break,
            }
        }
        ControlFlow::Continue(())
    }

    /// Answers in `range`, in order, from one look at every candidate's record.
    fn everybody(&mut self, range: (Minute, Minute), limit: usize, found: &mut Vec<Found>) {
        let wanted = limit - found.len();
        let mut best: BTreeSet<Found> = BTreeSet::new();
        let moving = self.moving.map(|(number, _)| number).filter(|number| self.candidates.contains(*number));
        let with_room = |block| self.index.rooms.with_room(block, range, self.least);
        let numbers: Vec<_> = self.planning.numbers_of(with_room).collect();
        let numbers = numbers.into_iter().filter(|number| Some(*number) != moving).chain(moving);
        for number in numbers {
            let mut rank = None;
            for offer in 0..self.offers(number) {
                let worst = best.last().filter(|_| best.len() >= wanted).map(|worst| worst.start);
                let to = worst.map_or(range.1, |worst| range.1.min(worst + 1));
                let _: ControlFlow<()> = self.starts(number, offer, (range.0, to), |search, start| {
                    let rank = *rank.get_or_insert_with(|| search.rank(number));
                    let rank = Rank { load: search.load(number, start), ..rank };
                    let Some(found) = search.found(number, offer, start, rank) else {
                        return ControlFlow::Continue(());
                    };
                    if best.len() >= wanted && best.last().is_some_and(|worst| *worst < found) {
                        // Later starts of the same offer are worse.
                        return ControlFlow::Break(());
                    }
                    if search.admits(number, offer, start) {
                        best.insert(found);
                        if best.len() > wanted {
                            best.pop_last();
                        }
                    }
                    ControlFlow::Continue(())
                });
            }
        }
        found.extend(best);
    }

    /// The first start of a therapist.
    fn first(&mut self, number: u32) -> Option<Minute> {
        let mut first = None;
        let (from, to) = self.worker.range;
        for offer in 0..self.offers(number) {
            let _: ControlFlow<()> =
                self.starts(number, offer, (from, first.unwrap_or(to)), |search, start| {
                    if search.admits(number, offer, start) {
                        first = Some(start);
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
        }
        first
    }

    /// The starts of one offer in `range` that nothing known here forbids, ascending.
    fn starts(
        &mut self,
        number: u32,
        offer: u32,
        (from, to): (Minute, Minute),
        mut each: impl FnMut(&Self, Minute) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let index = self.index;
        let (from, to) = (from.max(self.notice_ends(number)), to.min(self.end(number).at));
        let Some(record) = index.record(number) else { return ControlFlow::Continue(()) };
        let offer = record.offers[offer as usize];
        if from >= to
            || !self.kinds[offer.kind as usize]
            || (!self.query.session_types.is_empty() && !self.query.session_types.contains(&offer.id))
        {
            return ControlFlow::Continue(());
        }
        let kind = index.kinds.get(offer.kind);
        self.worker.prepare(offer.kind, kind);
        let fit = Fit {
            number,
            rooms: &index.rooms,
            clocks: &index.clocks,
            clock: record.clock,
            kind,
            runs: self.worker.runs(offer.kind),
            view: self.view(number),
        };
        let clock = index.clocks.get(record.clock);
        let mut left = Left::of(record, clock, fit.view);
        record.time.starts(&fit, (from, to), |start| {
            let is_full = |left: &mut Left<'_>| !left.allows(local(start, clock.offset(start)).0, kind);
            if self.is_beyond_horizon(number, start) || left.as_mut().is_some_and(is_full) {
                ControlFlow::Continue(())
            } else {
                each(self, start)
            }
        })
    }

    /// What of a therapist's time is taken, for this worker.
    fn view(&self, number: u32) -> View<'a> {
        View {
            shapes: &self.index.shapes,
            now: Some(self.query.now),
            moving: self.moving.filter(|(moving, _)| *moving == number).map(|(_, busy)| busy),
        }
    }

    /// Whether the therapist's clock reads a later date than the last.
    pub(crate) fn is_beyond_horizon(&self, number: u32, at: Minute) -> bool {
        let &End { day: last, .. } = self.end(number);
        // No clock is a day from UTC.
        i64::from(at / DAY) + 1 >= i64::from(last)
            && self
                .index
                .record(number)
                .is_none_or(|record| local(at, self.index.clocks.get(record.clock).offset(at)).0 > last)
    }

    fn end(&self, number: u32) -> &End {
        &self.ends[self.index.glances[number as usize].plan as usize]
    }

    /// T5: what is offered would be accepted.
    fn admits(&self, number: u32, offer: u32, start: Minute) -> bool {
        self.admitted(number, offer, start).is_some()
    }

    fn admitted(&self, number: u32, offer: u32, start: Minute) -> Option<Admitted> {
        let Query { unavailable, busy: alias_busy, now, .. } = *self.query;
        let record = self.index.record(number)?;
        let Record { offers, .. } = record;
        let is_own = |busy| self.own.contains(&(number, busy));
        let Around { schedule, open, busy, sharing, load } =
            record.around(start, &self.index.clocks, self.view(number), self.query.tags, is_own);
        let admission = Admission {
            schedule: &schedule,
            open: &open,
            session: &rules(self.index.kinds.get(offers[offer as usize].kind)),
            busy: &busy,
            sharing: &sharing,
            load: &load,
            alias_busy,
            unavailable,
            now,
        };
        calendar::admit(&admission, instant(start)).ok()
    }

    fn found(&self, number: u32, offer: u32, start: Minute, rank: Rank) -> Option<Found> {
        let record = self.index.record(number)?;
        let session_type = record.offers[offer as usize].id;
        let found = Found { start, rank, therapist: record.id, session_type, number, offer };
        (self.query.after.is_none_or(|after| self.place(&found) > after)).then_some(found)
    }

    /// Where the page before ended, as if somebody had it.
    fn after(&self) -> Option<Found> {
        self.query.after.map(|Place { start, matched, seen, load, years, therapist, session_type }| Found {
            start: ceil(start),
            rank: Rank { matched, seen, load, years },
            therapist,
            session_type,
            number: 0,
            offer: 0,
        })
    }

    fn offers(&self, number: u32) -> u32 {
        self.index.record(number).map_or(0, |record| u32::try_from(record.offers.len()).unwrap_or(u32::MAX))
    }

    /// The first minute that the therapist's notice leaves.
    pub(crate) fn notice_ends(&self, number: u32) -> Minute {
        let seconds = self.now + u64::from(self.index.glances[number as usize].notice);
        Minute::try_from(seconds.div_ceil(60)).unwrap_or(Minute::MAX)
    }

    /// How good a match is for a session that starts then.
    fn rank_at(&self, number: u32, start: Minute) -> Rank {
        Rank { load: self.load(number, start), ..self.rank(number) }
    }

    fn load(&self, number: u32, start: Minute) -> u8 {
        self.index.loads.get(number, week(start))
    }

    /// The same whatever the time, and so whatever the load.
    fn rank(&self, number: u32) -> Rank {
        let (mut matched, mut years) = (0_u8, 0);
        let mut asked = false;
        for wanted in self.wanted() {
            asked = true;
            if let Some((_, had)) = self.best(number, wanted) {
                matched = matched.saturating_add(1);
                years = years.max(had);
            }
        }
        if !asked {
            years = self.index.glances[number as usize].years;
        }
        let seen = Reverse(self.seen.contains(number));
        Rank { matched: Reverse(matched), seen, load: 0, years: Reverse(years) }
    }

    fn wanted(&self) -> impl Iterator<Item = &'a Wanted> {
        self.query.criteria.iter().flat_map(|criterion| match criterion {
            Criterion::Specializations { wanted, all: _ } => wanted.as_slice(),
            _ => &[],
        })
    }

    /// What a therapist answers to a specialization wanted: what was asked itself, then what they did the longest.
    fn best(&self, number: u32, wanted: &Wanted) -> Option<(Term, u8)> {
        let had = self.index.record(number)?.specializations.iter().copied();
        had.filter(|(term, _)| wanted.answers.contains(term))
            .max_by_key(|(term, years)| (wanted.asked == Some(*term), *years))
    }

    #[expect(clippy::unused_self, reason = "a place belongs to the search that found it")]
    fn place(&self, found: &Found) -> Place {
        let &Found { start, rank: Rank { matched, seen, load, years }, therapist, session_type, .. } = found;
        Place { start: instant(start), matched, seen, load, years, therapist, session_type }
    }

    fn hit(&self, found: &Found) -> Option<Hit> {
        let session = self.admitted(found.number, found.offer, found.start)?.session;
        let record = self.index.record(found.number)?;
        let carries = |term: Term| {
            record.terms.contains(&term)
                || record.specializations.iter().any(|(had, _)| *had == term)
                || record
                    .dated
                    .iter()
                    .any(|(had, until)| *had == term && *until >= day(self.query.now.date_naive()))
        };
        let mut met = Vec::new();
        for (criterion, wanted) in self.query.criteria.iter().enumerate() {
            match wanted {
                Criterion::Any(terms) => {
                    let had = terms.iter().copied().enumerate().filter(|(_, term)| carries(*term));
                    met.extend(had.map(|(asked, term)| Met { criterion, asked, term }));
                }
                Criterion::Specializations { wanted, all: _ } => {
                    met.extend(wanted.iter().enumerate().filter_map(|(asked, wanted)| {
                        let (term, _) = self.best(found.number, wanted)?;
                        Some(Met { criterion, asked, term })
                    }));
                }
                Criterion::NoneOf(_) | Criterion::Modalities(_) | Criterion::Duration(_) => {}
            }
        }
        Some(Hit { place: self.place(found), session, met })
    }
}

fn among(index: &Index, therapists: &[TherapistId]) -> Wide {
    let mut among = Wide::none(index.records.len());
    therapists.iter().filter_map(|id| index.numbers.get(id)).for_each(|number| among.insert(*number));
    among
}

/// Whether sessions of this kind are what is asked for.
fn offers(criterion: &Criterion, kind: &Kind) -> bool {
    match criterion {
        Criterion::Modalities(wanted) => kind.modalities & wanted != 0,
        Criterion::Duration(wanted) => u32::from(kind.duration) == minutes(*wanted),
        Criterion::Any(_) | Criterion::NoneOf(_) | Criterion::Specializations { .. } => true,
    }
}

/// The minutes of an hour from `from` on.
fn from_minute(from: Minute, hour: Minute) -> u64 {
    match from.saturating_sub(hour * HOUR) {
        gone @ 0..HOUR => u64::MAX << gone,
        _ => 0,
    }
}

fn rules(kind: &Kind) -> SessionRules {
    let length = |minutes: u16| TimeDelta::minutes(minutes.into());
    SessionRules {
        duration: length(kind.duration),
        buffer_before: length(kind.before),
        buffer_after: length(kind.after),
        grid_interval_minutes: kind.grid.interval.into(),
        grid_offset_minutes: kind.grid.offset.into(),
        load_weight: kind.weight,
    }
}
