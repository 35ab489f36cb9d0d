//! Changes that chance seldom makes: days that are full to the minute, and searches that look in vain.

#![expect(clippy::unwrap_used, reason = "what cannot be made up is a failed test")]

use calendar::{
    Admitted, Busy, DayWindow, Horizon, Limits, Protected, Schedule, SessionRules, Span, Window, Zone,
};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use search::{
    Booked, Credential, Criterion, Facet, Hold, Index, Met, Page, Query, SessionType, SessionTypeId, Tag,
    Therapist, TherapistId, Wanted,
};
use uuid::Uuid;

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-06-{text}:00Z").parse().unwrap()
}

fn span(text: &str) -> Span {
    let (start, end) = text.split_once(' ').unwrap();
    Span::new(at(start), at(end)).unwrap()
}

fn booked(text: &str) -> Booked {
    Booked { time: Admitted { session: span(text), busy: span(text) }, weight: 1, tags: Vec::new() }
}

/// Open every day between two times in UTC, for sessions of some minutes before and in them, every five minutes.
fn therapist(id: u128, hours: (&str, &str), (before, minutes): (i64, i64)) -> Therapist {
    let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").unwrap();
    let hours = DayWindow::new(time(hours.0), time(hours.1)).unwrap();
    let rules = SessionRules {
        duration: TimeDelta::minutes(minutes),
        buffer_before: TimeDelta::minutes(before),
        buffer_after: TimeDelta::zero(),
        grid_interval_minutes: 5,
        grid_offset_minutes: 0,
        load_weight: 1,
    };
    Therapist {
        id: TherapistId(Uuid::from_u128(id)),
        schedule: Schedule {
            zone: Zone::utc(),
            windows: (0..7_u8).map(|day| Window { weekday: day.try_into().unwrap(), hours }).collect(),
            overrides: Vec::new(),
            time_off: Vec::new(),
            busy_elsewhere: Busy::default(),
            travels: Vec::new(),
            notice: TimeDelta::zero(),
            horizon: Horizon::Days(10),
            limits: Limits::default(),
            protected: Protected::default(),
        },
        session_types: vec![SessionType { id: SessionTypeId(Uuid::from_u128(id)), rules, modalities: 1 }],
        terms: Vec::new(),
        specializations: Vec::new(),
        credentials: vec![Credential { jurisdictions: Vec::new(), until: NaiveDate::MAX }],
        booked: Vec::new(),
        holds: Vec::new(),
    }
}

fn search(index: &Index, criteria: &[Criterion], window: &str, limit: usize) -> Page {
    index.search(&query(criteria, window, limit))
}

fn query<'a>(criteria: &'a [Criterion], window: &str, limit: usize) -> Query<'a> {
    Query {
        criteria,
        therapists: &[],
        session_types: &[],
        seen: &[],
        window: span(window),
        excluded: &[],
        unavailable: &[],
        busy: &[],
        tags: &[],
        own: &[],
        moving: None,
        now: at("10T00:00"),
        after: None,
        limit,
    }
}

/// The starts there are once one session is given back, and that there were none before.
#[track_caller]
fn check_release(
    hours: (&str, &str),
    session: (i64, i64),
    booked: &[&str],
    released: &str,
    expected: &[&str],
) {
    let mut index = Index::new(at("10T00:00"));
    let booked = booked.iter().map(|text| self::booked(text)).collect();
    let therapist = Therapist { booked, ..therapist(1, hours, session) };
    let id = therapist.id;
    index.upsert(therapist);
    let starts = |index: &Index| {
        let page = search(index, &[], "11T12:00 12T12:00", 100);
        page.hits.iter().map(|hit| hit.session.start().format("%dT%H:%M").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(starts(&index), Vec::<String>::new());
    index.release(id, span(released));
    assert_eq!(starts(&index), expected);
    index.book(id, &self::booked(released));
    assert_eq!(starts(&index), Vec::<String>::new());
}

#[test]
fn b4_what_is_given_back_is_found() {
    let full = ["11T13:00 11T14:00", "11T14:00 11T15:00"];
    check_release(("13:00", "15:00"), (0, 50), &full, full[0], &["11T13:00", "11T13:05", "11T13:10"]);
}

#[test]
fn b4_and_so_is_what_becomes_free_around_midnight() {
    // The nights next to it are full, or their room would hide what is asked here.
    let before = [
        "11T22:00 11T23:40",
        "12T00:00 12T01:00",
        "12T01:00 12T02:00",
        "10T22:00 11T02:00",
        "12T22:00 13T02:00",
    ];
    check_release(("22:00", "02:00"), (0, 75), &before, before[1], &["11T23:40", "11T23:45"]);
    let after = [
        "11T22:00 11T23:00",
        "11T23:00 12T00:00",
        "12T00:20 12T02:00",
        "10T22:00 11T02:00",
        "12T22:00 13T02:00",
    ];
    check_release(("22:00", "02:00"), (60, 20), &after, after[1], &["12T00:00"]);
}

/// Whether somebody who takes a session a day, after these are told to the index, has any time that day.
#[track_caller]
fn check_full(told: &[fn(&mut Index, TherapistId)], expected: bool) {
    let mut index = Index::new(at("10T00:00"));
    let mut therapist = therapist(1, ("13:00", "15:00"), (0, 50));
    therapist.schedule.limits.day.sessions = Some(2);
    let id = therapist.id;
    index.upsert(therapist);
    for tell in told {
        tell(&mut index, id);
    }
    assert_eq!(!search(&index, &[], "11T12:00 11T18:00", 9).hits.is_empty(), expected);
}

#[test]
fn a1_what_is_told_twice_counts_once() {
    let book = |index: &mut Index, id| index.book(id, &booked("11T13:00 11T13:30"));
    let hold = |index: &mut Index, id| {
        index.hold(id, &Hold { booked: booked("11T13:00 11T13:30"), expiry: at("10T00:10") });
    };
    let other = |index: &mut Index, id| index.book(id, &booked("11T08:00 11T08:30"));
    check_full(&[book, book], true);
    check_full(&[hold, hold], true);
    check_full(&[hold, book, hold], true);
    check_full(&[book, other], false);
    check_full(&[hold, other], false);
}

#[test]
fn a1_the_first_session_of_a_week_counts_although_its_buffer_is_of_the_week_before() {
    let mut index = Index::new(at("05T00:00"));
    let mut therapist = therapist(1, ("00:00", "02:00"), (20, 40));
    therapist.schedule.limits.week.sessions = Some(1);
    let time = Admitted { session: span("08T00:00 08T00:40"), busy: span("07T23:40 08T00:40") };
    therapist.booked = vec![Booked { time, weight: 1, tags: Vec::new() }];
    let id = therapist.id;
    index.upsert(therapist);
    for day in ["07T00:00", "09T00:00", "10T00:00"] {
        while !index.advance(at(day), 9) {}
    }
    // Somebody else comes and goes, so that the week is counted again.
    index.book(id, &booked("12T00:20 12T01:00"));
    index.release(id, span("12T00:20 12T01:00"));
    assert!(search(&index, &[], "10T00:00 14T23:00", 9).hits.is_empty());
    assert!(!search(&index, &[], "15T00:00 16T00:00", 9).hits.is_empty());
}

#[test]
fn d5_what_shares_a_tag_is_not_adjacent_unless_it_is_ones_own() {
    let mut index = Index::new(at("10T00:00"));
    let therapist = therapist(1, ("13:00", "17:00"), (0, 50));
    let id = therapist.id;
    index.upsert(therapist);
    let session = Booked { tags: vec![Tag([1; 16]), Tag([2; 16])], ..booked("11T14:40 11T15:30") };
    index.book(id, &session);
    let tags = [Tag([2; 16])];
    let first_and_last = |index: &Index, own: &[(TherapistId, Span)]| {
        let page = index.search(&Query { tags: &tags, own, ..query(&[], "11T13:00 11T17:00", 99) });
        let starts = page.hits.iter().map(|hit| hit.session.start());
        let (before, after): (Vec<_>, Vec<_>) = starts.partition(|start| *start < at("11T15:00"));
        [before.last().copied(), after.first().copied()]
    };
    let free = [Some(at("11T13:50")), Some(at("11T15:30"))];
    let apart = [Some(at("11T13:20")), Some(at("11T16:00"))];
    assert_eq!(first_and_last(&index, &[]), apart);
    assert_eq!(first_and_last(&index, &[(id, session.time.busy)]), free);
    let other = TherapistId(Uuid::from_u128(2));
    assert_eq!(
        first_and_last(&index, &[(other, session.time.busy)]),
        apart,
        "somebody else at the same time"
    );

    index.release(id, session.time.busy);
    index.book(id, &Booked { tags: Vec::new(), ..session });
    assert_eq!(first_and_last(&index, &[]), free, "the alias names nothing any more");
}

#[test]
fn d5_whoever_changes_tags_again_and_again_leaves_nothing_behind() {
    let mut index = Index::new(at("10T00:00"));
    let therapist = therapist(1, ("13:00", "17:00"), (0, 50));
    let id = therapist.id;
    index.upsert(therapist);
    let mut tell = |round: u32| {
        let tags = (0..10_u8).map(|number| {
            let mut tag = [number; 16];
            tag[..4].copy_from_slice(&round.to_le_bytes());
            Tag(tag)
        });
        let session = Booked { tags: tags.collect(), ..booked("11T14:40 11T15:30") };
        let held = Booked { time: booked("11T13:00 11T13:50").time, ..session.clone() };
        for gone in [&session, &held] {
            index.release(id, gone.time.busy);
        }
        index.book(id, &session);
        index.hold(id, &Hold { booked: held, expiry: at("10T00:10") });
        // All that there is of it.
        format!("{index:?}").len()
    };
    let first = tell(0);
    let last = (1..1_000).map(tell).last();
    assert_eq!(last, Some(first));
}

#[test]
fn b4_a_move_is_found_however_many_looks_are_in_vain() {
    let mut index = Index::new(at("10T00:00"));
    for id in 1..=40_u128 {
        let mut therapist = therapist(id, ("13:00", "14:00"), (0, 50));
        if id == 1 {
            therapist.booked = (10..25).map(|day| booked(&format!("{day}T13:00 {day}T14:00"))).collect();
        } else {
            let held = |day| booked(&format!("{day}T13:00 {day}T14:00"));
            therapist.holds = [11, 12].map(|day| Hold { booked: held(day), expiry: at("10T00:10") }).into();
        }
        index.upsert(therapist);
    }
    let moving = Some((TherapistId(Uuid::from_u128(1)), span("12T13:00 12T14:00")));
    let page = index.search(&Query { moving, ..query(&[], "11T12:00 12T18:00", 9) });
    let found: Vec<_> = page.hits.iter().map(|hit| hit.session.start()).collect();
    assert_eq!(found, [at("12T13:00"), at("12T13:05"), at("12T13:10")]);
}

#[test]
fn d4_the_best_of_one_start_is_first_however_many_looks_are_in_vain() {
    let mut index = Index::new(at("10T00:00"));
    for id in 1..=40_u128 {
        let mut therapist = therapist(id, ("13:00", "14:00"), (0, 50));
        therapist.specializations = vec![("grief".to_owned(), u8::try_from(id).unwrap())];
        // Those with the most years are held, which only their records tell.
        if id > 30 {
            therapist.holds = vec![Hold { booked: booked("11T13:00 11T14:00"), expiry: at("10T00:10") }];
        }
        index.upsert(therapist);
    }
    let page = search(&index, &[], "11T12:00 11T18:00", 2);
    let found: Vec<_> = page.hits.iter().map(|hit| hit.place.therapist.0.as_u128()).collect();
    assert_eq!(found, [30, 29]);
}

#[test]
fn d4_a_hit_says_what_it_meets_and_a_page_whom_each_criterion_removed() {
    let mut index = Index::new(at("10T00:00"));
    for (id, slug, language, until) in [
        (1, "ptsd", "de", "2026-06-10"),
        (2, "ptsd", "en", "2026-07-01"),
        (3, "grief", "de", "2026-07-01"),
        (4, "trauma", "de", "2026-06-09"),
    ] {
        let mut therapist = therapist(id, ("13:00", "14:00"), (0, 50));
        therapist.specializations = vec![(slug.to_owned(), 3)];
        therapist.terms = vec![(Facet::Language, language.to_owned())];
        therapist.credentials =
            vec![Credential { jurisdictions: vec!["AT".to_owned()], until: until.parse().unwrap() }];
        index.upsert(therapist);
    }
    let term = |facet, value| index.term(facet, value).unwrap();
    let (trauma, ptsd) = (term(Facet::Specialization, "trauma"), term(Facet::Specialization, "ptsd"));
    let (german, austria) = (term(Facet::Language, "de"), term(Facet::Jurisdiction, "AT"));
    let criteria = [
        Criterion::Specializations {
            wanted: vec![Wanted { asked: Some(trauma), answers: vec![trauma, ptsd] }],
            all: false,
        },
        Criterion::Any(vec![term(Facet::Language, "en"), german]),
        Criterion::NoneOf(vec![term(Facet::Language, "en")]),
        Criterion::Any(vec![austria]),
    ];
    let page = search(&index, &criteria, "11T12:00 11T18:00", 1);
    assert_eq!(page.removed, [1, 0, 1, 0]);
    let [hit] = page.hits.as_slice() else { panic!("{} hits", page.hits.len()) };
    assert_eq!(hit.place.therapist.0.as_u128(), 1);
    let met = |criterion, asked, term| Met { criterion, asked, term };
    assert_eq!(hit.met, [met(0, 0, ptsd), met(1, 1, german), met(3, 0, austria)]);
}
