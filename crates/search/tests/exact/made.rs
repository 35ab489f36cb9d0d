//! Small worlds in which much happens at once: clock changes, travels, seconds that do not fit.

use std::collections::HashSet;

use calendar::{
    Admitted, Caps, DateOverride, DayWindow, Horizon, Limits, OverrideKind, Pacing, Protected, Roster, Rules,
    Schedule, SessionRules, Shift, ShiftKind, ShiftRules, Span, Travel, Unavailable, Window, Zone, in_breaks,
    unavailable, union,
};
use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use search::{
    Booked, Credential, Criterion, Facet, Hold, Index, SessionType, SessionTypeId, Tag, Therapist,
    TherapistId, Wanted,
};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) now: DateTime<Utc>,
    pub(crate) therapists: Vec<Therapist>,
    pub(crate) ask: Ask,
    pub(crate) changes: Vec<Change>,
}

/// A [`search::Query`] that knows no index.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) criteria: Vec<Asked>,
    pub(crate) therapists: Vec<TherapistId>,
    pub(crate) session_types: Vec<SessionTypeId>,
    pub(crate) seen: Vec<TherapistId>,
    pub(crate) window: Span,
    pub(crate) excluded: Vec<Span>,
    pub(crate) busy: Vec<Span>,
    /// What must not be met, and sessions that are the worker's own: which ones of whom, and which those are.
    pub(crate) tags: Vec<Tag>,
    pub(crate) owns: Vec<(usize, usize)>,
    pub(crate) own: Vec<(TherapistId, Span)>,
    /// A booking that is to be moved: which one of whom, and which that is.
    pub(crate) moves: Option<(usize, usize)>,
    pub(crate) moving: Option<(TherapistId, Span)>,
    pub(crate) shifts: Vec<Shift>,
    pub(crate) shift_rules: ShiftRules,
    pub(crate) beyond_roster: bool,
    /// Sessions are asked for in breaks alone, one in the middle of each shift (S3).
    pub(crate) breaks_only: bool,
    pub(crate) now: DateTime<Utc>,
    /// When the index was told the time.
    pub(crate) laid_out: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Any(Facet, Vec<&'static str>),
    NoneOf(Facet, Vec<&'static str>),
    Specializations(Vec<(String, Vec<String>)>, bool),
    Modalities(u8),
    Duration(TimeDelta),
}

#[derive(Clone, Debug)]
pub(crate) enum Change {
    Upsert(Box<Therapist>),
    Remove(usize),
    Book(usize, Booked),
    Hold(usize, Hold),
    Release(usize, usize),
    Advance(i64, usize),
}

impl Ask {
    /// The same about these therapists.
    pub(crate) fn about(self, therapists: &[Therapist]) -> Self {
        let one = |(which, session): (usize, usize)| {
            let therapist: &Therapist = therapists.get(which % therapists.len().max(1))?;
            let booked = therapist.booked.get(session % therapist.booked.len().max(1))?;
            Some((therapist.id, booked.time.busy))
        };
        let (moving, own) = (self.moves.and_then(one), self.owns.iter().copied().filter_map(one).collect());
        Self { own, moving, ..self }
    }

    pub(crate) fn unavailable(&self, zone: &Zone) -> Vec<Unavailable> {
        let roster = self.roster(zone);
        let taken = unavailable(&roster, &self.shift_rules, zone, self.window, self.beyond_roster);
        if !self.breaks_only {
            return taken;
        }
        let middle = |shift: &Shift| {
            let third = shift.span.duration() / 3;
            Span::new(shift.span.start() + third, shift.span.end() - third)
        };
        let breaks: Vec<Span> = self.shifts.iter().filter_map(middle).collect();
        in_breaks(&taken, &union(breaks), self.window)
    }

    fn roster(&self, zone: &Zone) -> Roster {
        Roster::new(zone, self.shifts.clone(), None, self.now).unwrap()
    }

    pub(crate) fn criteria(&self, index: &Index) -> Vec<Criterion> {
        let terms =
            |facet, values: &[&str]| values.iter().filter_map(|value| index.term(facet, value)).collect();
        let criterion = |asked: &Asked| match asked {
            Asked::Any(facet, values) => Criterion::Any(terms(*facet, values)),
            Asked::NoneOf(facet, values) => Criterion::NoneOf(terms(*facet, values)),
            Asked::Specializations(wanted, all) => {
                let term = |slug: &String| index.term(Facet::Specialization, slug);
                let wanted = wanted.iter().map(|(asked, answers)| Wanted {
                    asked: term(asked),
                    answers: answers.iter().filter_map(term).collect(),
                });
                Criterion::Specializations { wanted: wanted.collect(), all: *all }
            }
            Asked::Modalities(wanted) => Criterion::Modalities(*wanted),
            Asked::Duration(wanted) => Criterion::Duration(*wanted),
        };
        self.criteria.iter().map(criterion).collect()
    }
}

/// Days on or around which some clock changes.
const DAYS: [&str; 8] = [
    "2026-03-07",
    "2026-03-28",
    "2026-04-04",
    "2026-06-10",
    "2026-10-03",
    "2026-10-24",
    "2026-10-31",
    "2026-12-30",
];
const ZONES: [&str; 4] = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu"];
const TAGS: [&str; 3] = ["de", "en", "fr"];
const EXCLUSIONS: [&str; 3] = ["ward", "clinic", "group"];
const PLACES: [&str; 3] = ["AT", "DE", "US-NY"];

fn zone() -> impl Strategy<Value = Zone> {
    select(&ZONES[..]).prop_map(|name| Rules::compiled_in().zone(name).unwrap())
}

prop_compose! {
    pub(crate) fn made()(day in select(&DAYS[..]), seconds in 0_i64..86_400, whole in any::<bool>())(
        therapists in vec(therapist(instant(day, seconds, whole)), 1..3),
        ask in ask(instant(day, seconds, whole)),
        changes in vec(change(instant(day, seconds, whole)), 0..8),
        now in Just(instant(day, seconds, whole)),
    ) -> Made {
        let mut therapists = therapists;
        therapists.sort_by_key(|therapist: &Therapist| therapist.id);
        therapists.dedup_by_key(|therapist| therapist.id);
        Made { now, therapists, ask, changes }
    }
}

fn instant(day: &str, seconds: i64, whole: bool) -> DateTime<Utc> {
    let seconds = if whole { seconds / 1800 * 1800 } else { seconds };
    format!("{day}T00:00:00Z").parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn hours() -> impl Strategy<Value = DayWindow> {
    let time = |minute: u32| NaiveTime::from_hms_opt(minute / 60 % 24, minute % 60, 0).unwrap();
    prop_oneof![(0_u32..96).prop_map(|quarter| quarter * 15), 0_u32..1440]
        .prop_flat_map(|start| (Just(start), prop_oneof![30_u32..300, 240_u32..900, 1_u32..=1440]))
        .prop_filter_map("ends at 23:59", move |(start, length)| {
            DayWindow::new(time(start), time(start + length)).ok()
        })
}

/// A span that starts near `now`, mostly of whole minutes.
fn near(now: DateTime<Utc>, longest: i64) -> impl Strategy<Value = Span> {
    (
        -2_880_i64..8_000,
        1..longest,
        prop_oneof![8 => Just(0_i64), 1 => 1_i64..60],
        prop_oneof![8 => Just(0_i64), 1 => 1_i64..60],
    )
        .prop_map(move |(start, length, a, b)| {
            let midnight = now.timestamp().div_euclid(86_400) * 86_400;
            let start = DateTime::from_timestamp(midnight + start * 60 + a, 0).unwrap();
            Span::new(start, start + TimeDelta::seconds(length * 60 + b)).unwrap()
        })
}

/// Whole minutes, seconds and all between buffers that need not be.
fn session(now: DateTime<Utc>) -> impl Strategy<Value = Booked> {
    (near(now, 100), select(&[0_i64, 5, 10, 33][..]), select(&[0_i64, 10, 15][..]), weight(), tags())
        .prop_map(|(span, before, after, weight, tags)| booked(span, (before, after), weight, tags))
}

/// What sessions carry and must not be met; often nothing. Each differs from another in one place alone.
fn tags() -> impl Strategy<Value = Vec<Tag>> {
    let tag = |place: usize| Tag(std::array::from_fn(|index| u8::from(index == place)));
    prop_oneof![
        1 => Just(Vec::new()),
        1 => prop::sample::subsequence([0, 7, 15].map(tag).to_vec(), 1..=3),
    ]
}

/// What must not be met, of therapists; often nothing.
fn exclusions() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![
        1 => prop::sample::subsequence(&EXCLUSIONS[..], 0..=0),
        1 => prop::sample::subsequence(&EXCLUSIONS[..], 1..=3),
    ]
}

fn booked(span: Span, (before, after): (i64, i64), weight: u32, tags: Vec<Tag>) -> Booked {
    let (start, end) =
        (span.start().timestamp().div_euclid(60) * 60, span.end().timestamp().div_euclid(60) * 60);
    let at = |second| DateTime::from_timestamp(second, 0).unwrap();
    let session = Span::new(at(start), at(end.max(start + 60))).unwrap();
    let (before, after) = (TimeDelta::minutes(before), TimeDelta::minutes(after));
    let early = TimeDelta::seconds(span.start().timestamp() % 60);
    let late = TimeDelta::seconds(span.end().timestamp() % 60);
    let busy = Span::new(session.start() - before - early, session.end() + after + late).unwrap();
    Booked { time: Admitted { session, busy }, weight, tags }
}

/// Some one after the other, with little between them.
fn row(now: DateTime<Utc>) -> impl Strategy<Value = Vec<Booked>> {
    (-8_000_i64..8_000, 1_usize..6, select(&[20_i64, 50][..]), select(&[0_i64, 10, 15][..]), weight(), tags())
        .prop_map(move |(start, count, length, between, weight, tags)| {
            let midnight = now.timestamp().div_euclid(86_400) * 86_400;
            let first = DateTime::from_timestamp(midnight + start * 60, 0).unwrap();
            let starts = (0..count)
                .map(|n| first + TimeDelta::minutes((length + between) * i64::try_from(n).unwrap()));
            let spans = starts.map(|start| Span::new(start, start + TimeDelta::minutes(length)).unwrap());
            spans.map(|span| booked(span, (0, between), weight, tags.clone())).collect()
        })
}

fn weight() -> impl Strategy<Value = u32> {
    select(&[1_u32, 1, 3][..])
}

fn hold(now: DateTime<Utc>) -> impl Strategy<Value = Hold> {
    (session(now), prop_oneof![1 => Just(0_i64), 4 => -600_i64..200_000])
        .prop_map(move |(booked, expiry)| Hold { booked, expiry: now + TimeDelta::seconds(expiry) })
}

fn caps(most: u32) -> impl Strategy<Value = Caps> {
    let some = |values| prop::option::weighted(0.4, values);
    (some(1..=most), some(30..=most * 60), some(1..=most * 2)).prop_map(|(sessions, minutes, load)| Caps {
        sessions,
        minutes,
        load,
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    let pacing = (1_u32..4, select(&[1_u32, 15, 16, 45, 480][..]))
        .prop_map(|(sessions, break_minutes)| Pacing { sessions, break_minutes });
    let limits = (caps(3), caps(6), prop::option::weighted(0.4, pacing))
        .prop_map(|(day, week, pacing)| Limits { day, week, pacing });
    prop_oneof![1 => Just(Limits::default()), 1 => limits]
}

prop_compose! {
    fn schedule(now: DateTime<Utc>)(
        zone in zone(),
        windows in vec((0_u8..7, hours()), 3..12),
        overrides in prop_oneof![vec((0_u64..6, any::<bool>(), vec(hours(), 0..3)), 0..=0), vec((0_u64..6, any::<bool>(), vec(hours(), 0..3)), 1..3)],
        time_off in prop_oneof![vec(near(now, 900), 0..=0), vec(near(now, 900), 1..3)],
        busy_elsewhere in prop_oneof![vec(near(now, 900), 0..=0), vec(near(now, 900), 1..3)],
        travels in prop_oneof![3 => vec((0_u64..5, 0_u64..3, self::zone()), 0..=0), 1 => vec((0_u64..5, 0_u64..3, self::zone()), 1..3)],
        notice in prop_oneof![2 => Just(0_i64), 2 => Just(1_800), 1 => Just(93_600), 2 => 0_i64..40_000],
        limits in limits(),
        protected in prop_oneof![4 => vec((0_u8..7, hours()), 0..=0), 1 => vec((0_u8..7, hours()), 1..3)],
        horizon in prop_oneof![3 => (1_u32..7).prop_map(Horizon::Days), 1 => (0_u64..8).prop_map(move |days| Horizon::Until(now.date_naive() + Days::new(days)))],
    ) -> Schedule {
        let date = |days| now.date_naive() - Days::new(1) + Days::new(days);
        let window = |(day, hours): (u8, DayWindow)| Window { weekday: day.try_into().unwrap(), hours };
        let kind = |replace| if replace { OverrideKind::Replace } else { OverrideKind::Add };
        Schedule {
            zone,
            windows: windows.into_iter().map(window).collect(),
            overrides: overrides.into_iter().map(|(days, replace, windows)| DateOverride { date: date(days), kind: kind(replace), windows }).collect(),
            time_off,
            busy_elsewhere: busy_elsewhere.into_iter().collect(),
            travels: travels.into_iter().map(|(from, days, zone)| Travel { from: date(from), until: date(from + days), zone }).collect(),
            notice: TimeDelta::seconds(notice),
            horizon,
            limits,
            protected: Protected { windows: protected.into_iter().map(window).collect(), overrides: Vec::new() },
        }
    }
}

prop_compose! {
    fn session_type()(
        id in 1_u128..8,
        duration in select(&[5_i64, 30, 50, 90][..]),
        before in select(&[0_i64, 0, 5, 20][..]),
        after in select(&[0_i64, 10, 15][..]),
        interval in select(&[5_u32, 15, 30, 30, 30, 50, 60, 60, 60, 1440][..]),
        offset in select(&[0_u32, 0, 5, 6, 545][..]),
        modalities in 1_u8..8,
        load_weight in weight(),
    ) -> SessionType {
        let rules = SessionRules {
            duration: TimeDelta::minutes(duration),
            buffer_before: TimeDelta::minutes(before),
            buffer_after: TimeDelta::minutes(after),
            grid_interval_minutes: interval,
            grid_offset_minutes: offset,
            load_weight,
        };
        SessionType { id: SessionTypeId(Uuid::from_u128(id)), rules, modalities }
    }
}

prop_compose! {
    fn therapist(now: DateTime<Utc>)(
        id in id(),
        schedule in schedule(now),
        session_types in prop_oneof![1 => vec(session_type(), 0..3), 4 => vec(session_type(), 1..3)],
        languages in prop::sample::subsequence(&TAGS[..], 0..=3),
        exclusions in exclusions(),
        specializations in prop::sample::subsequence(&["anxiety", "ptsd", "trauma"][..], 0..=3),
        years in 0_u8..4,
        credentials in vec((prop::sample::subsequence(&PLACES[..], 0..=2), -1_i64..9), 0..3),
        booked in vec(session(now), 0..6),
        row in prop_oneof![1 => Just(Vec::new()), 1 => row(now)],
        holds in vec(hold(now), 0..3),
    ) -> Therapist {
        let days = |days| now.date_naive() + TimeDelta::days(days);
        let (mut seen, mut types) = (HashSet::new(), HashSet::new());
        let booked: Vec<Booked> =
            booked.into_iter().chain(row).filter(|session| seen.insert(minutes(session.time.busy))).collect();
        let holds = holds.into_iter().filter(|hold: &Hold| seen.insert(minutes(hold.booked.time.busy)));
        Therapist {
            id,
            schedule,
            session_types: session_types.into_iter().filter(|offered: &SessionType| types.insert(offered.id)).collect(),
            terms: languages
                .into_iter()
                .map(|tag| (Facet::Language, tag.to_owned()))
                .chain(exclusions.into_iter().map(|tag| (Facet::ExclusionTag, tag.to_owned())))
                .collect(),
            specializations: (years..).zip(specializations).map(|(years, slug)| (slug.to_owned(), years)).collect(),
            credentials: credentials.into_iter().map(|(places, until)| Credential {
                jurisdictions: places.into_iter().map(str::to_owned).collect(),
                until: days(until),
            }).chain((years > 0).then(|| Credential { jurisdictions: Vec::new(), until: days(30) })).collect(),
            booked,
            holds: holds.collect(),
        }
    }
}

/// The minutes that a span touches, by which the index knows it.
pub(crate) fn minutes(span: Span) -> (i64, i64) {
    (span.start().timestamp().div_euclid(60), (span.end().timestamp() + 59).div_euclid(60))
}

/// Some that only differ in the second half.
fn id() -> impl Strategy<Value = TherapistId> {
    prop_oneof![3 => 1_u128..6, 2 => (1_u128..6).prop_map(|id| id << 64), 1 => any::<u128>()]
        .prop_map(|id| TherapistId(Uuid::from_u128(id)))
}

fn asked() -> impl Strategy<Value = Asked> {
    let some = |values: &'static [&'static str]| prop::sample::subsequence(values, 0..=values.len());
    let trauma = || ("trauma".to_owned(), vec!["trauma".to_owned(), "ptsd".to_owned()]);
    let plain = |slug: &str| (slug.to_owned(), vec![slug.to_owned()]);
    let wanted =
        prop::sample::subsequence(vec![trauma(), plain("anxiety"), plain("ptsd"), plain("grief")], 0..4);
    prop_oneof![
        3 => prop::sample::subsequence(&TAGS[..], 1..=3).prop_map(|tags| Asked::Any(Facet::Language, tags)),
        1 => some(&EXCLUSIONS).prop_map(|tags| Asked::NoneOf(Facet::ExclusionTag, tags)),
        2 => prop::sample::subsequence(&PLACES[..], 1..=3).prop_map(|places| Asked::Any(Facet::Jurisdiction, places)),
        4 => (wanted, prop::bool::weighted(0.2)).prop_map(|(wanted, all)| Asked::Specializations(wanted, all)),
        2 => (1_u8..8).prop_map(Asked::Modalities),
        1 => select(&[5_i64, 30, 50, 90][..]).prop_map(|minutes| Asked::Duration(TimeDelta::minutes(minutes))),
    ]
}

prop_compose! {
    fn ask(now: DateTime<Utc>)(
        criteria in prop_oneof![2 => vec(asked(), 0..=0), 1 => vec(asked(), 1..4)],
        therapists in prop_oneof![5 => vec(id(), 0..=0), 1 => vec(id(), 1..4)],
        session_types in prop_oneof![9 => vec(1_u128..8, 0..=0), 1 => vec(1_u128..8, 1..4)],
        seen in vec(id(), 0..4),
        start in prop_oneof![3 => -200_i64..2_000, 1 => -1_440_i64..8_640],
        seconds in prop_oneof![2 => Just(0_i64), 1 => 0_i64..60],
        length in prop_oneof![1 => 1_i64..300, 4 => 300_i64..1_300],
        excluded in vec(near(now, 300), 0..2),
        busy in vec(near(now, 120), 0..3),
        tags in tags(),
        owns in vec(any::<(usize, usize)>(), 0..5),
        shifts in prop_oneof![vec((near(now, 720), any::<bool>()), 0..=0), vec((near(now, 720), any::<bool>()), 1..4)],
        beyond_roster in prop::bool::weighted(0.8),
        breaks_only in prop::bool::weighted(0.2),
        moves in prop::option::weighted(0.3, any::<(usize, usize)>()),
        later in prop_oneof![1 => Just(0_i64), 1 => 0_i64..172_800],
    ) -> Ask {
        let minute = (now.timestamp() + later).div_euclid(60);
        let start = DateTime::from_timestamp((minute + start) * 60 + seconds, 0).unwrap();
        let kind = |night| if night { ShiftKind::Night } else { ShiftKind::Day };
        Ask {
            criteria,
            therapists,
            session_types: session_types.into_iter().map(|id| SessionTypeId(Uuid::from_u128(id))).collect(),
            seen,
            window: Span::new(start, start + TimeDelta::seconds(length * 60 + seconds)).unwrap(),
            excluded,
            busy,
            tags,
            owns,
            own: Vec::new(),
            moves,
            moving: None,
            shifts: shifts.into_iter().map(|(span, night)| Shift { span, kind: kind(night) }).collect(),
            shift_rules: ShiftRules::default(),
            beyond_roster,
            breaks_only,
            now: now + TimeDelta::seconds(later),
            laid_out: now,
        }
    }
}

fn change(now: DateTime<Utc>) -> impl Strategy<Value = Change> {
    prop_oneof![
        2 => therapist(now).prop_map(|therapist| Change::Upsert(Box::new(therapist))),
        1 => any::<usize>().prop_map(Change::Remove),
        3 => (any::<usize>(), session(now)).prop_map(|(which, session)| Change::Book(which, session)),
        2 => (any::<usize>(), hold(now)).prop_map(|(which, hold)| Change::Hold(which, hold)),
        3 => any::<(usize, usize)>().prop_map(|(which, session)| Change::Release(which, session)),
        1 => (0_i64..2_000, 1_usize..200).prop_map(|(minutes, most)| Change::Advance(minutes, most)),
    ]
}
