//! The index: who is in it, and how it stays current.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use calendar::{Admitted, Horizon, Limits, Schedule, SessionRules, Span};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::clock::{Clocks, DAY, Grid, HOUR, Minute, floor, instant, local, minutes, outward, span};
use crate::kept::Kept;
use crate::load::{Left, quarter, week, week_start, weeks};
use crate::members::{Members, Wide};
use crate::record::{Fit, Kind, Offer, Record, Time};
use crate::rooms::Rooms;
use crate::rows::Rows;
use crate::taken::{Shapes, Taken, View};
use crate::terms::{Terms, VERIFIED};
use crate::{Facet, SessionTypeId, Tag, Term, TherapistId};

/// For so many days after the last [`Index::advance`] the index still knows everything.
pub const SLACK_DAYS: u32 = 2;

/// How far open time is laid out for who plans until a date; rolling days reach as far at most (A3).
const REACH_DAYS: u32 = 731;

/// All therapists, and when they are free.
///
/// It is exact for questions asked from half a day before the last [`Index::advance`] until [`SLACK_DAYS`] after
/// it, about the two years to come. Every change costs what it touches; reads need no more than `&self`.
#[derive(Debug)]
pub struct Index {
    pub(crate) now: DateTime<Utc>,
    pub(crate) numbers: HashMap<TherapistId, u32>,
    /// Unused numbers, by the clock of whoever had them.
    unused: HashMap<u16, Vec<u32>>,
    pub(crate) records: Vec<Option<Box<Record>>>,
    /// Of each record, what every search looks at.
    pub(crate) glances: Vec<Glance>,
    pub(crate) hours: Hours,
    pub(crate) terms: Terms,
    pub(crate) kinds: Kinds,
    pub(crate) shapes: Shapes,
    pub(crate) rooms: Rooms,
    /// A2: the quarters of weeks that are taken.
    pub(crate) loads: Rows,
    pub(crate) clocks: Clocks,
    pub(crate) plans: Plans,
    /// The next record to advance.
    turn: usize,
}

/// What a therapist is to the index.
#[derive(Clone, Debug)]
pub struct Therapist {
    /// Who.
    pub id: TherapistId,
    /// When they work.
    pub schedule: Schedule,
    /// What can be booked.
    pub session_types: Vec<SessionType>,
    /// What they carry, other than specializations and jurisdictions.
    pub terms: Vec<(Facet, String)>,
    /// Slugs with years of experience.
    pub specializations: Vec<(String, u8)>,
    /// Those that are verified; nobody finds a therapist without one.
    pub credentials: Vec<Credential>,
    /// Sessions that are not given up, those of the past included that [`Index::counts_from`] asks for. Other time that
    /// is taken, such as by events of a calendar elsewhere, is the schedule's: limits do not count it.
    pub booked: Vec<Booked>,
    /// Sessions that are held for somebody.
    pub holds: Vec<Hold>,
}

/// Something that can be booked.
#[derive(Clone, Debug)]
pub struct SessionType {
    /// Which.
    pub id: SessionTypeId,
    /// How long it lasts, and where it may start; within the bounds that saving it checks (A3).
    pub rules: SessionRules,
    /// How it is held: a bit for each modality, as the caller numbers them.
    pub modalities: u8,
}

/// A verified credential.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where it holds.
    pub jurisdictions: Vec<String>,
    /// The last day on which it does, in UTC.
    pub until: NaiveDate,
}

/// A session, as it takes time and counts against limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// When it is.
    pub time: Admitted,
    /// The load weight of its type (A2).
    pub weight: u32,
    /// What whoever comes must not meet (D5).
    pub tags: Vec<Tag>,
}

/// A session held for somebody.
#[derive(Clone, Debug)]
pub struct Hold {
    /// What would be booked.
    pub booked: Booked,
    /// From when on it keeps nobody out, without a word to the index (B1).
    pub expiry: DateTime<Utc>,
}

impl Index {
    /// Knows nobody yet.
    pub fn new(now: DateTime<Utc>) -> Self {
        let since = since(now);
        Self {
            now,
            numbers: HashMap::new(),
            unused: HashMap::new(),
            records: Vec::new(),
            glances: Vec::new(),
            hours: Hours { first: since / HOUR, rows: VecDeque::new() },
            terms: Terms::new(),
            kinds: Kinds::default(),
            shapes: Shapes::default(),
            rooms: Rooms::starting(since / DAY),
            loads: Rows::starting(week(since)),
            clocks: Clocks::default(),
            plans: Plans::default(),
            turn: 0,
        }
    }

    /// How many therapists are known.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The term of a value, if some therapist has carried it.
    pub fn term(&self, facet: Facet, value: &str) -> Option<Term> {
        self.terms.get(facet, value)
    }

    /// Every value of a facet that some therapist has carried, with its term; sorted.
    pub fn terms(&self, facet: Facet) -> impl Iterator<Item = (&str, Term)> {
        self.terms.of(facet)
    }

    /// From when on the sessions of a therapist have to be given: those of the week still count when they are over, and so
    /// may a row of them before it.
    pub fn counts_from(&self, schedule: &Schedule) -> DateTime<Utc> {
        instant(since_of(schedule, self.now))
    }

    /// Adds a therapist, or replaces all that is known of one.
    pub fn upsert(&mut self, therapist: Therapist) {
        self.remove(therapist.id);
        let Therapist { id, schedule, session_types, terms, specializations, credentials, booked, holds } =
            therapist;
        let clocked = clocked(self.now);
        let clock = self.clocks.number(&schedule.zone, clocked);
        let number = self.number(clock);

        let offers = session_types.iter().map(|offered| {
            let kind = self.kinds.intern(offered);
            Offer { id: offered.id, kind }
        });
        let offers: Box<[Offer]> = offers.collect();
        let terms = terms.iter().map(|(facet, value)| self.terms.intern(*facet, value)).collect();
        let specializations = specializations
            .iter()
            .map(|(slug, years)| (self.terms.intern(Facet::Specialization, slug), *years))
            .collect();
        let dated = self.dated(&credentials);
        let (since, until) = (since_of(&schedule, self.now), until(&schedule, self.now));
        let mut time = Time::starting(since);
        time.lay_out(&schedule, since, until, |zone| self.clocks.number(zone, clocked));
        time.taken.book_all(&booked, &mut self.shapes);
        for hold in &holds {
            time.taken.hold(hold, &self.shapes);
        }

        let kept = Kept::new(schedule);
        let record = Record { id, kept, clock, offers, terms, specializations, dated, time };
        self.glances[number as usize] = Glance::of(&record, &self.kinds, &self.clocks, &mut self.plans);
        self.plans.members[self.glances[number as usize].plan as usize].insert(number);
        for term in record.terms.iter().chain(record.specializations.iter().map(|(term, _)| term)) {
            self.terms.insert(*term, number);
        }
        for (term, day) in &record.dated {
            self.terms.insert_until(*term, *day, number);
        }
        for offer in &record.offers {
            self.kinds.members[offer.kind as usize].insert(number);
        }
        self.numbers.insert(id, number);
        self.records[number as usize] = Some(Box::new(record));
        self.find_room(number, (since, until));
        self.mark(number, (0, Minute::MAX), true);
    }

    /// Forgets a therapist.
    pub fn remove(&mut self, id: TherapistId) {
        let Some(number) = self.numbers.remove(&id) else { return };
        self.mark(number, (0, Minute::MAX), false);
        let Some(record) = self.records[number as usize].take() else { return };
        for term in record.terms.iter().chain(record.specializations.iter().map(|(term, _)| term)) {
            self.terms.remove(*term, number);
        }
        for (term, day) in &record.dated {
            self.terms.remove_until(*term, *day, number);
        }
        for offer in &record.offers {
            self.kinds.members[offer.kind as usize].remove(number);
        }
        self.plans.members[self.glances[number as usize].plan as usize].remove(number);
        self.rooms.clear(number);
        self.loads.clear(number);
        self.unused.entry(record.clock).or_default().push(number);
    }

    /// Keeps others out of a session's time, and ends a hold of it. Doing so twice is doing so once.
    pub fn book(&mut self, therapist: TherapistId, session: &Booked) {
        self.change(therapist, session.time.busy, |taken, shapes| taken.book(session, shapes));
    }

    /// Keeps others out of a session's time until the hold expires, unless it is booked already.
    pub fn hold(&mut self, therapist: TherapistId, hold: &Hold) {
        let Some(&number) = self.numbers.get(&therapist) else { return };
        if let Some(record) = self.records[number as usize].as_deref_mut() {
            record.time.taken.sweep(self.now);
            record.time.taken.hold(hold, &self.shapes);
        }
    }

    /// Gives the time of a held or booked session back: that which was `busy`, buffers included.
    pub fn release(&mut self, therapist: TherapistId, busy: Span) {
        self.change(therapist, busy, |taken, shapes| taken.release(busy, shapes));
    }

    /// Lets time pass: what is over is forgotten, and new days come into reach. To be called at least every
    /// [`SLACK_DAYS`] days, until it says that nothing is left to do; each call looks at `most` records at most.
    pub fn advance(&mut self, now: DateTime<Utc>, most: usize) -> bool {
        let (before, today) = (since(self.now), since(now));
        if today > before {
            self.hours.forget(today / HOUR);
            self.rooms.forget(today / DAY);
            self.loads.forget(week(today));
            self.clocks.lay_out(clocked(now));
            self.turn = 0;
        }
        self.now = self.now.max(now);
        let (now, clocked) = (self.now, clocked(self.now));
        for number in self.turn..self.records.len().min(self.turn.saturating_add(most)) {
            self.turn = number + 1;
            let Some(record) = self.records[number].as_mut() else { continue };
            let schedule = record.kept.schedule(&self.clocks.get(record.clock).zone).into_owned();
            let (from, until) = (record.time.until, until(&schedule, now));
            record.time.taken.sweep(now);
            let since = since_of(&schedule, now);
            record.time.lay_out(&schedule, since, until, |zone| self.clocks.number(zone, clocked));
            let record = &*record;
            self.glances[number] = Glance::of(record, &self.kinds, &self.clocks, &mut self.plans);
            // A session may start before the new days and end in them.
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.find_room(number, (from, until));
            self.mark(number, (from.saturating_sub(self.reach(number)), Minute::MAX), true);
        }
        self.turn >= self.records.len()
    }

    pub(crate) fn record(&self, number: u32) -> Option<&Record> {
        self.records.get(number as usize)?.as_deref()
    }

    /// Changes what is taken around `busy`.
    fn change(&mut self, therapist: TherapistId, busy: Span, change: impl FnOnce(&mut Taken, &mut Shapes)) {
        let Some(&number) = self.numbers.get(&therapist) else { return };
        let Some(record) = self.record(number) else { return };
        // Of whoever starts farther away, nothing changes, but where a week may be full.
        let (reach, clock) = (self.reach(number), self.clocks.get(record.clock));
        let mut range = outward(busy);
        if Left::of(record, clock, View::booked(&self.shapes)).is_some() {
            range = weeks(range, clock);
        }
        let touched = (range.0.saturating_sub(reach), range.1.saturating_add(reach));
        self.mark(number, touched, false);
        if let Some(record) = self.records[number as usize].as_deref_mut() {
            change(&mut record.time.taken, &mut self.shapes);
        }
        self.find_room(number, range);
        self.mark(number, touched, true);
    }

    /// Writes down again what room there is around a range, and how much of its weeks is taken.
    fn find_room(&mut self, number: u32, range: (Minute, Minute)) {
        let Some(record) = self.records[number as usize].as_deref() else { return };
        let (day, longest) = record.room(range, &self.kinds, View::booked(&self.shapes), &self.clocks);
        self.rooms.set(number, day, &longest);
        let until = range.1.min(record.time.until);
        let weeks = week(range.0)..week(until.saturating_sub(1)) + 1;
        let first = weeks.start;
        self.loads.set(number, first, weeks.map(|week| quarter(record, week, &self.shapes)));
    }

    /// The longest session of a therapist, with its buffers.
    fn reach(&self, number: u32) -> Minute {
        let offers = self.record(number).map_or(&[][..], |record| &record.offers);
        offers.iter().map(|offer| self.kinds.get(offer.kind).whole()).max().unwrap_or_default()
    }

    /// Writes into the hours that touch a range whether the therapist has a start in them, or that nobody knows.
    fn mark(&mut self, number: u32, (from, to): (Minute, Minute), known: bool) {
        let Some(record) = self.records[number as usize].as_deref() else { return };
        let (from, to) = (from / HOUR * HOUR, to.div_ceil(HOUR).saturating_mul(HOUR).min(record.time.until));
        let clock = self.clocks.get(record.clock);
        let view = View::booked(&self.shapes);
        let mut left = Left::of(record, clock, view);
        for offer in &record.offers {
            let kind = self.kinds.get(offer.kind);
            let runs = &[(0, Minute::MAX)];
            let (rooms, clocks) = (&self.rooms, &self.clocks);
            let fit = Fit { number, rooms, clocks, clock: record.clock, kind, runs, view };
            let mut last = None;
            let _: ControlFlow<()> = record.time.starts(&fit, (from, to), |start| {
                let hour = start / HOUR;
                if last != Some(hour)
                    && left.as_mut().is_none_or(|left| {
                        let (day, _) = local(start, clock.offset(start));
                        left.allows(day, kind)
                    })
                {
                    last = Some(hour);
                    self.hours.set(hour, number, known);
                }
                ControlFlow::Continue(())
            });
        }
    }

    /// A number nobody has, next to others of the same clock: they work at the same hours, and a set of them is
    /// small.
    fn number(&mut self, clock: u16) -> u32 {
        let unused = self.unused.entry(clock).or_default();
        if unused.is_empty() {
            let first = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
            unused.extend((first..first.saturating_add(64)).rev());
            let more = 64.max(self.records.len() / 16);
            if self.records.len() + 64 > self.records.capacity() {
                self.records.reserve_exact(more);
                self.glances.reserve_exact(more);
            }
            self.records.resize_with(self.records.len() + 64, || None);
            self.glances.resize(self.records.len(), Glance::default());
        }
        unused.pop().unwrap_or_default()
    }

    /// The terms of credentials, each once, with its last day.
    fn dated(&mut self, credentials: &[Credential]) -> Box<[(Term, i32)]> {
        let mut dated: Vec<(Term, i32)> = Vec::new();
        for Credential { jurisdictions, until } in credentials {
            let places = jurisdictions.iter().map(|place| self.terms.intern(Facet::Jurisdiction, place));
            for term in places.chain([VERIFIED]) {
                let until = day(*until);
                match dated.iter_mut().find(|(known, _)| *known == term) {
                    Some((_, known)) => *known = until.max(*known),
                    None => dated.push((term, until)),
                }
            }
        }
        dated.into()
    }
}

/// What a search looks at before it opens the record.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glance {
    /// The minutes of any hour at which a session may start, a bit each.
    pub(crate) minutes: u64,
    /// The first half of the id.
    pub(crate) id: u64,
    /// In seconds.
    pub(crate) notice: u32,
    pub(crate) plan: u32,
    /// The most in any specialization.
    pub(crate) years: u8,
}

impl Glance {
    fn of(record: &Record, kinds: &Kinds, clocks: &Clocks, plans: &mut Plans) -> Self {
        let grids = record.offers.iter().fold(0, |known, offer| known | kinds.grids[offer.kind as usize]);
        let read = record.time.clocks(record.clock);
        Self {
            minutes: read.fold(0, |known, clock| known | clocks.get(clock).minutes_of_hour(grids)),
            id: u64::try_from(record.id.0.as_u128() >> 64).unwrap_or_default(),
            notice: u32::try_from(record.kept.notice().num_seconds().max(0)).unwrap_or(u32::MAX),
            plan: plans.intern(record.clock, record.kept.horizon()),
            years: record.specializations.iter().map(|(_, years)| *years).max().unwrap_or_default(),
        }
    }
}

/// For every hour, who may have a start in it.
#[derive(Debug)]
pub(crate) struct Hours {
    first: Minute,
    rows: VecDeque<Members>,
}

impl Hours {
    pub(crate) fn get(&self, hour: Minute) -> Option<&Members> {
        self.rows.get(hour.checked_sub(self.first)? as usize)
    }

    fn set(&mut self, hour: Minute, number: u32, known: bool) {
        let Some(index) = hour.checked_sub(self.first) else { return };
        if self.rows.len() <= index as usize {
            self.rows.resize_with(index as usize + 1, Members::default);
        }
        if known {
            self.rows[index as usize].insert(number);
        } else {
            self.rows[index as usize].remove(number);
        }
    }

    fn forget(&mut self, first: Minute) {
        let gone = (first.saturating_sub(self.first) as usize).min(self.rows.len());
        self.rows.drain(..gone);
        self.first = first.max(self.first);
    }
}

/// Every kind of session, and who offers it.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    numbers: HashMap<Kind, u32>,
    pub(crate) all: Vec<Kind>,
    /// Local minutes of the hour with starts.
    grids: Vec<u64>,
    members: Vec<Members>,
}

impl Kinds {
    fn intern(&mut self, SessionType { id: _, rules, modalities }: &SessionType) -> u32 {
        let narrow = |time: TimeDelta| u16::try_from(minutes(time)).unwrap_or(u16::MAX);
        let kind = Kind {
            duration: narrow(rules.duration),
            before: narrow(rules.buffer_before),
            after: narrow(rules.buffer_after),
            grid: Grid::of(rules),
            modalities: *modalities,
            weight: rules.load_weight,
        };
        if let Some(number) = self.numbers.get(&kind) {
            return *number;
        }
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.numbers.insert(kind, number);
        self.all.push(kind);
        self.grids.push(kind.grid.minutes_of_hour());
        self.members.push(Members::default());
        number
    }

    pub(crate) fn get(&self, number: u32) -> &Kind {
        &self.all[number as usize]
    }

    /// Who offers one of these kinds.
    pub(crate) fn offering(&self, wanted: &[bool], numbers: usize) -> Wide {
        let mut offering = Wide::none(numbers);
        for (members, _) in self.members.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            offering.add(members);
        }
        offering
    }
}

/// The ways to plan ahead: how far, on whose clock.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    numbers: HashMap<(u16, Horizon), u32>,
    all: Vec<(u16, Horizon)>,
    /// Whose each is.
    members: Vec<Members>,
}

impl Plans {
    fn intern(&mut self, clock: u16, horizon: Horizon) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.numbers.entry((clock, horizon)).or_insert(next);
        if number == next {
            self.all.push((clock, horizon));
            self.members.push(Members::default());
        }
        number
    }

    /// Who has a plan whose end is one that is asked for; the ends are those of [`ends`](Self::ends).
    pub(crate) fn with_end(&self, ends: &[End], asked: impl Fn(&End) -> bool, numbers: usize) -> Wide {
        let mut with_end = Wide::none(numbers);
        for (_, members) in ends.iter().zip(&self.members).filter(|(end, _)| asked(end)) {
            with_end.add(members);
        }
        with_end
    }

    /// What each plan means at `now`.
    pub(crate) fn ends(&self, clocks: &Clocks, now: DateTime<Utc>) -> Vec<End> {
        let now = floor(now);
        let end = |(clock, horizon): &(u16, Horizon)| {
            let clock = clocks.get(*clock);
            let last = match horizon {
                Horizon::Days(days) => {
                    let (today, _) = local(now, clock.offset(now));
                    today.saturating_add_unsigned(*days)
                }
                Horizon::Until(date) => day(*date),
            };
            End { day: last, at: clock.end_of(last) }
        };
        self.all.iter().map(end).collect()
    }
}

/// Where a plan ends.
pub(crate) struct End {
    /// The last local day, counted from the epoch.
    pub(crate) day: i32,
    /// The minute from which on the clock never again reads that day or one before.
    pub(crate) at: Minute,
}

/// A date, counted from the epoch.
pub(crate) fn day(date: NaiveDate) -> i32 {
    let days = date.signed_duration_since(DateTime::UNIX_EPOCH.date_naive()).num_days();
    i32::try_from(days).unwrap_or_default()
}

/// From when on open time is laid out: a question may be a little older than the index.
fn since(now: DateTime<Utc>) -> Minute {
    (floor(now) / DAY).saturating_sub(1) * DAY
}

/// From when on one therapist's time is known: what is over still counts in its week, and against limits. Buffers may
/// reach into the day before.
fn since_of(schedule: &Schedule, now: DateTime<Utc>) -> Minute {
    let first = since(now);
    let counted = match span((first, first + 1)) {
        Some(start) if schedule.limits != Limits::default() => {
            floor(schedule.load_range(start).start()) / DAY * DAY
        }
        _ => first,
    };
    counted.min(week_start(week(first))).saturating_sub(DAY)
}

/// Up to where open time is laid out: today is at most tomorrow in UTC anywhere, the last date ends at most half a day
/// after it does in UTC, a session that starts then lasts at most half a day, and there is the slack.
fn until(schedule: &Schedule, now: DateTime<Utc>) -> Minute {
    let days = match schedule.horizon {
        Horizon::Days(days) => days,
        Horizon::Until(date) => {
            u32::try_from((date - now.date_naive()).num_days().max(0)).unwrap_or(u32::MAX)
        }
    };
    (floor(now) / DAY).saturating_add(days.min(REACH_DAYS) + 2 + SLACK_DAYS).saturating_mul(DAY)
}

/// Where clocks are laid out: well beyond open time, so that a new year's rules are no surprise.
fn clocked(now: DateTime<Utc>) -> Span {
    let now = floor(now) / DAY * DAY;
    let range = (now.saturating_sub(40 * DAY), now.saturating_add((REACH_DAYS + 40) * DAY));
    span(range).expect("the end of time is more than a day after its beginning, and so are these")
}
