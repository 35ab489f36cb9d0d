//! Made-up therapists and workers: plausible, and the same on every machine.

use calendar::{
    Admitted, Busy, DayWindow, Horizon, Limits, Protected, Roster, Rules, Schedule, SessionRules, Shift,
    ShiftKind, ShiftRules, Span, Unavailable, Window, Zone, unavailable,
};
use chrono::{DateTime, NaiveTime, TimeDelta, Utc, Weekday};
use search::{
    Booked, Credential, Criterion, Facet, Index, Page, Query, SessionType, SessionTypeId, Therapist,
    TherapistId, Wanted,
};
use uuid::Uuid;

/// Therapists by number.
#[derive(Clone, Copy)]
pub(crate) struct Population {
    /// How far ahead they plan.
    pub(crate) days: u32,
    /// How much of their time is booked.
    pub(crate) density: Density,
    /// Every tenth has a calendar elsewhere with so many events a week, for the two years that are read of one.
    pub(crate) elsewhere: u32,
}

/// How much is booked, an hour at a time.
#[derive(Clone, Copy)]
pub(crate) enum Density {
    /// So many in a hundred, at random.
    Percent(u64),
    /// Every other hour.
    EveryOther,
}

/// A Monday, with clock changes within the next weeks on both sides of the Atlantic.
pub(crate) fn now() -> DateTime<Utc> {
    "2026-10-19T06:00:00Z".parse().expect("a constant instant")
}

/// Days, counted from now.
pub(crate) fn window(from: i64, days: i64) -> Span {
    let start = now() + TimeDelta::days(from);
    Span::new(start, start + TimeDelta::days(days)).expect("days are not empty")
}

const ZONES: [(&str, &str, &[&str]); 8] = [
    ("America/New_York", "US-NY", &["en", "es"]),
    ("America/Chicago", "US-IL", &["en", "es"]),
    ("America/Los_Angeles", "US-CA", &["en", "es", "zh"]),
    ("Europe/London", "GB", &["en"]),
    ("Europe/Berlin", "DE", &["de", "en", "tr"]),
    ("Europe/Vienna", "AT", &["de", "en"]),
    ("Asia/Kathmandu", "NP", &["ne", "en"]),
    ("Australia/Sydney", "AU", &["en"]),
];
const SPECIALIZATIONS: [&str; 16] = [
    "burnout",
    "compassion-fatigue",
    "moral-injury",
    "trauma",
    "ptsd",
    "secondary-trauma",
    "second-victim",
    "workplace-violence",
    "anxiety",
    "panic",
    "depression",
    "grief",
    "sleep",
    "substance-use",
    "relationships",
    "career-distress",
];
const APPROACHES: [&str; 6] = ["cbt", "emdr", "act", "dbt", "mindfulness", "psychodynamic"];
const COMPETENCES: [&str; 6] = ["lgbtq", "migration", "faith", "disability", "veterans", "rural"];

impl Population {
    /// Without calendars elsewhere.
    pub(crate) fn new(days: u32, density: Density) -> Self {
        Self { days, density, elsewhere: 0 }
    }

    /// Somebody, and the hours that nobody has booked with them.
    pub(crate) fn therapist(self, number: u32) -> (Therapist, Vec<Booked>) {
        let mut chance = Chance(u64::from(number) << 20);
        let id = TherapistId(chance.uuid());
        let (zone, place, languages) = ZONES[number as usize % ZONES.len()];
        let mut schedule = self.schedule(zone, &mut chance);
        if number.is_multiple_of(10) {
            schedule.busy_elsewhere = self.events(Chance(u64::from(number) << 20 | 0xcdef)).collect();
        }
        let mut terms = vec![
            (Facet::Gender, chance.pick(&["female", "female", "male", "non_binary"])),
            (Facet::Approach, chance.pick(&APPROACHES)),
            (Facet::Approach, chance.pick(&APPROACHES)),
            (Facet::CulturalCompetence, chance.pick(&COMPETENCES)),
            (Facet::Language, languages[0]),
            (Facet::Language, chance.pick(languages)),
        ];
        terms.dedup();
        let mut terms: Vec<_> = terms.into_iter().map(|(facet, value)| (facet, value.to_owned())).collect();
        if chance.below(5) == 0 {
            terms.push((Facet::ExclusionTag, format!("hospital-{}", chance.below(500))));
        }
        let first = chance.below(16);
        let specializations = (0..=chance.below(4)).map(|n| {
            let index = usize::try_from((first + n * 5) % 16).expect("one of sixteen");
            (SPECIALIZATIONS[index].to_owned(), u8::try_from(1 + chance.below(30)).expect("small"))
        });
        let specializations: Vec<_> = specializations.collect();
        let until =
            now().date_naive() + TimeDelta::days(i64::try_from(30 + chance.below(700)).expect("small"));
        let session_types = session_types(&mut chance);
        let (booked, free) = self.sessions(&schedule, &mut chance);
        let credentials = vec![Credential { jurisdictions: vec![place.to_owned()], until }];
        let therapist = Therapist {
            id,
            schedule,
            session_types,
            terms,
            specializations,
            credentials,
            booked,
            holds: Vec::new(),
        };
        (therapist, free)
    }

    /// Four or five days of six to eight hours: 30 hours a week in the mean.
    fn schedule(self, zone: &str, chance: &mut Chance) -> Schedule {
        let weekend = chance.below(6) == 0;
        let days = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat];
        let left_out = chance.below(6);
        let days = days.into_iter().zip(0..).filter(|(_, day)| *day != left_out && (*day < 5 || weekend));
        let start = 7 + u32::try_from(chance.below(6)).expect("small");
        let windows = days.map(|(weekday, _)| {
            let length = 6 + u32::try_from(chance.below(3)).expect("small");
            let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("an hour of the day");
            let hours = DayWindow::new(time(start), time(start + length)).expect("whole hours");
            Window { weekday, hours }
        });
        let windows = windows.collect();
        Schedule {
            zone: self::zone(zone),
            windows,
            overrides: Vec::new(),
            time_off: Vec::new(),
            busy_elsewhere: Busy::default(),
            travels: Vec::new(),
            notice: TimeDelta::hours([1, 2, 12, 24][usize::try_from(chance.below(4)).expect("small")]),
            horizon: Horizon::Days(self.days),
            limits: Limits::default(),
            protected: Protected::default(),
        }
    }

    /// Half an hour to two, at any time of the week.
    fn events(self, mut chance: Chance) -> impl Iterator<Item = Span> {
        (0..105 * self.elsewhere).filter_map(move |number| {
            let quarter = chance.below(7 * 24 * 4) + 7 * 24 * 4 * u64::from(number / self.elsewhere);
            let start = now() + TimeDelta::minutes(i64::try_from(15 * quarter).expect("two years"));
            let quarters = 2 + chance.below(7);
            Span::new(start, start + TimeDelta::minutes(i64::try_from(15 * quarters).expect("small")))
        })
    }

    /// Sessions of 50 minutes and 10 after, on the hour.
    fn sessions(self, schedule: &Schedule, chance: &mut Chance) -> (Vec<Booked>, Vec<Booked>) {
        let open = schedule.open(window(0, i64::from(self.days)));
        let hours = open.spans().iter().flat_map(|span| {
            let hour = move |n| span.start() + TimeDelta::hours(n);
            (0..).map(hour).take_while(|start| *start + TimeDelta::hours(1) <= span.end())
        });
        let sessions = hours.filter(|start| *start > now() + TimeDelta::days(1)).filter_map(|start| {
            let session = Span::new(start, start + TimeDelta::minutes(50))?;
            let busy = Span::new(start, start + TimeDelta::hours(1))?;
            Some(Booked { time: Admitted { session, busy }, weight: 1, tags: Vec::new() })
        });
        let mut every_other = false;
        sessions.partition(|_| match self.density {
            Density::Percent(percent) => chance.below(100) < percent,
            Density::EveryOther => {
                every_other = !every_other;
                every_other
            }
        })
    }
}

/// Fifty minutes for everybody, an hour and a half for everybody, and a short one for half of them.
fn session_types(chance: &mut Chance) -> Vec<SessionType> {
    let grid = [15, 30][usize::try_from(chance.below(2)).expect("small")];
    let half = usize::try_from(2 + chance.below(2)).expect("small");
    let modalities = u8::try_from(1 + chance.below(7)).expect("three bits");
    [(50, 10), (90, 0), (25, 5)][..half]
        .iter()
        .map(|(duration, after)| {
            let rules = SessionRules {
                duration: TimeDelta::minutes(*duration),
                buffer_before: TimeDelta::zero(),
                buffer_after: TimeDelta::minutes(*after),
                grid_interval_minutes: grid,
                grid_offset_minutes: 0,
                load_weight: 1,
            };
            SessionType { id: SessionTypeId(chance.uuid()), rules, modalities }
        })
        .collect()
}

/// What a worker asks.
pub(crate) struct Question {
    /// Of therapists and sessions.
    pub(crate) criteria: Vec<Criterion>,
    /// What the roster takes.
    pub(crate) unavailable: Vec<Unavailable>,
    /// When.
    pub(crate) window: Span,
}

impl Question {
    /// Somebody on a roster with nights, who asks for a fortnight of the next weeks: for anybody at all, or for up to
    /// five things.
    pub(crate) fn random(index: &Index, number: u32) -> Self {
        let mut chance = Chance(u64::from(number) << 20 | 0xabcd);
        let window = window(i64::try_from(chance.below(21)).expect("small"), 14);
        let mut criteria = Vec::new();
        let term = |facet, value| index.term(facet, value).into_iter().collect::<Vec<_>>();
        if chance.below(4) > 0 {
            let wanted = (0..=chance.below(2)).map(|_| {
                let asked = term(Facet::Specialization, chance.pick(&SPECIALIZATIONS));
                Wanted { asked: asked.first().copied(), answers: asked }
            });
            criteria.push(Criterion::Specializations { wanted: wanted.collect(), all: false });
        }
        let (_, place, languages) = ZONES[usize::try_from(chance.below(8)).expect("small")];
        if chance.below(2) == 0 {
            criteria.push(Criterion::Any(term(Facet::Language, chance.pick(languages))));
        }
        if chance.below(4) == 0 {
            criteria.push(Criterion::Modalities(1));
        }
        if chance.below(4) == 0 {
            criteria.push(Criterion::Any(term(Facet::Jurisdiction, place)));
        }
        if chance.below(4) == 0 {
            criteria.push(Criterion::Any(term(Facet::Gender, "female")));
        }
        if chance.below(4) == 0 {
            criteria.push(Criterion::Duration(TimeDelta::minutes(50)));
        }
        let zone = zone("Europe/Berlin");
        let roster = roster(&zone, &mut chance);
        let unavailable = unavailable(&roster, &ShiftRules::default(), &zone, window, true);
        Self { criteria, unavailable, window }
    }

    /// The most that can be asked: a hundred things, over 31 days, around the 400 short shifts of a made-up roster.
    pub(crate) fn heaviest(index: &Index, number: u32) -> Self {
        let mut chance = Chance(u64::from(number) << 20 | 0xbcde);
        let everybody: Vec<_> =
            ["en", "de", "ne"].iter().filter_map(|language| index.term(Facet::Language, language)).collect();
        let wanted = SPECIALIZATIONS.iter().filter_map(|slug| index.term(Facet::Specialization, slug));
        let wanted = wanted.map(|term| Wanted { asked: Some(term), answers: vec![term] }).collect();
        let mut criteria = vec![Criterion::Specializations { wanted, all: false }];
        criteria.resize(99, Criterion::Any(everybody));
        let place = ZONES[usize::try_from(chance.below(8)).expect("small")].1;
        criteria.push(Criterion::Any(index.term(Facet::Jurisdiction, place).into_iter().collect()));
        let (zone, window) = (zone("Europe/Berlin"), window(0, 31));
        let shifts = (0..400).filter_map(|number| {
            let start = window.start() + TimeDelta::minutes(110 * number);
            Some(Shift { span: Span::new(start, start + TimeDelta::minutes(25))?, kind: ShiftKind::Day })
        });
        let roster = Roster::new(&zone, shifts.collect(), None, now()).expect("shifts of less than a day");
        let commute = ShiftRules {
            commute: TimeDelta::zero(),
            rest_before: TimeDelta::zero(),
            ..ShiftRules::default()
        };
        Self { criteria, unavailable: unavailable(&roster, &commute, &zone, window, true), window }
    }

    /// The answer.
    pub(crate) fn ask(&self, index: &Index, limit: usize) -> Page {
        index.search(&Query {
            criteria: &self.criteria,
            therapists: &[],
            session_types: &[],
            seen: &[],
            window: self.window,
            excluded: &[],
            unavailable: &self.unavailable,
            busy: &[],
            tags: &[],
            own: &[],
            moving: None,
            now: now(),
            after: None,
            limit,
        })
    }
}

/// Two days, two nights, four days off, over and over.
fn roster(zone: &Zone, chance: &mut Chance) -> Roster {
    let first = i64::try_from(chance.below(8)).expect("small");
    let midnight = now() - TimeDelta::hours(8);
    let shifts = (0..60).filter_map(|day| {
        let (hour, length, kind) = match (day + first) % 8 {
            0 | 1 => (6, 9, ShiftKind::Day),
            2 | 3 => (21, 10, ShiftKind::Night),
            _ => return None,
        };
        let start = midnight + TimeDelta::days(day) + TimeDelta::hours(hour);
        Some(Shift { span: Span::new(start, start + TimeDelta::hours(length))?, kind })
    });
    Roster::new(zone, shifts.collect(), None, now()).expect("shifts of less than a day")
}

fn zone(name: &str) -> Zone {
    Rules::compiled_in().zone(name).expect("a zone that has existed for long")
}

/// Chance that is the same every time (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<'a>(&mut self, values: &[&'a str]) -> &'a str {
        values[usize::try_from(self.next()).unwrap_or_default() % values.len()]
    }

    fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }
}
