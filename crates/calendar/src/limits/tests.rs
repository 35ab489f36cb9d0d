use chrono::Weekday;
use proptest::prelude::*;

use super::*;
use crate::{Admission, Busy, DayWindow, Horizon, Protected, Refusal, Rules, Window, Zone, admit, union};

fn zone(name: &str) -> Zone {
    Rules::compiled_in().zone(name).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").parse().unwrap()
}

/// Open all the time, for whoever asks at any time.
fn schedule(name: &str, limits: Limits) -> Schedule {
    let hours = DayWindow::new(NaiveTime::MIN, NaiveTime::MIN).unwrap();
    let weekdays = (0..7).map(|day| Weekday::try_from(day).unwrap());
    Schedule {
        zone: zone(name),
        windows: weekdays.map(|weekday| Window { weekday, hours }).collect(),
        overrides: Vec::new(),
        time_off: Vec::new(),
        busy_elsewhere: Busy::default(),
        protected: Protected::default(),
        travels: Vec::new(),
        notice: TimeDelta::zero(),
        horizon: Horizon::Days(365),
        limits,
    }
}

fn held(start: DateTime<Utc>, minutes: i64, load_weight: u32) -> HeldSession {
    HeldSession { span: Span::new(start, start + TimeDelta::minutes(minutes)).unwrap(), load_weight }
}

/// What the one decision says of a session, beside those that are held.
fn decide(schedule: &Schedule, sessions: &[HeldSession], wanted: HeldSession) -> Result<(), Refusal> {
    decide_for(&[], schedule, sessions, wanted)
}

/// The same for a worker who is busy.
fn decide_for(
    alias_busy: &[Span],
    schedule: &Schedule,
    sessions: &[HeldSession],
    wanted: HeldSession,
) -> Result<(), Refusal> {
    let start = wanted.span.start();
    let rules = SessionRules {
        duration: wanted.span.duration(),
        buffer_before: TimeDelta::zero(),
        buffer_after: TimeDelta::zero(),
        grid_interval_minutes: 5,
        grid_offset_minutes: 0,
        load_weight: wanted.load_weight,
    };
    let admission = Admission {
        schedule,
        open: &schedule.open(wanted.span),
        session: &rules,
        busy: &union(sessions.iter().map(|session| session.span).collect()),
        sharing: &[],
        load: &schedule.load(sessions.iter().copied()),
        alias_busy,
        unavailable: &[],
        now: start - TimeDelta::days(30),
    };
    admit(&admission, start).map(|_| ())
}

fn sessions(most: u32) -> Caps {
    Caps { sessions: Some(most), ..Caps::default() }
}

fn a_day(caps: Caps) -> Limits {
    Limits { day: caps, ..Limits::default() }
}

fn a_week(caps: Caps) -> Limits {
    Limits { week: caps, ..Limits::default() }
}

fn in_a_row(sessions: u32, break_minutes: u32) -> Limits {
    Limits { pacing: Some(Pacing { sessions, break_minutes }), ..Limits::default() }
}

/// Sessions of 50 minutes in Berlin, by their starts.
#[track_caller]
fn check(limits: Limits, sessions: &[&str], wanted: &str, expected: Result<(), LimitReached>) {
    check_in("Europe/Berlin", limits, sessions, wanted, expected);
}

#[track_caller]
fn check_in(name: &str, limits: Limits, sessions: &[&str], wanted: &str, expected: Result<(), LimitReached>) {
    let sessions: Vec<_> = sessions.iter().map(|start| held(at(start), 50, 1)).collect();
    let found = decide(&schedule(name, limits), &sessions, held(at(wanted), 50, 1));
    assert_eq!(found, expected.map_err(Refusal::Limit));
}

fn day_full(until: &str) -> Result<(), LimitReached> {
    Err(LimitReached::DayFull { measure: Measure::Sessions, until: at(until) })
}

fn week_full(until: &str) -> Result<(), LimitReached> {
    Err(LimitReached::WeekFull { measure: Measure::Sessions, until: at(until) })
}

#[test]
fn a1_a_session_counts_on_the_local_day_it_starts_on() {
    let two = ["2026-01-12T08:00", "2026-01-12T10:00"];
    check(a_day(sessions(3)), &two, "2026-01-12T12:00", Ok(()));
    check(a_day(sessions(2)), &two, "2026-01-12T12:00", day_full("2026-01-12T23:00"));
    check(a_day(sessions(2)), &two, "2026-01-13T12:00", Ok(()));
    // 23:30 in Berlin, although it lasts into the day after.
    check(a_day(sessions(2)), &two, "2026-01-12T22:30", day_full("2026-01-12T23:00"));
    check(a_day(sessions(2)), &two, "2026-01-12T23:00", Ok(()));
    check(a_day(sessions(2)), &["2026-01-11T22:30", "2026-01-12T10:00"], "2026-01-12T12:00", Ok(()));
}

/// Counted in UTC, or on the worker's clock, each of these would come out the other way.
#[test]
fn a1_limits_are_counted_in_the_therapists_zone() {
    let one = ["2026-01-13T05:00"];
    check_in("America/New_York", a_day(sessions(1)), &one, "2026-01-13T03:00", Ok(()));
    check_in("America/New_York", a_day(sessions(1)), &one, "2026-01-13T20:00", day_full("2026-01-14T05:00"));
    check_in("Pacific/Auckland", a_day(sessions(1)), &one, "2026-01-13T12:00", Ok(()));
    check_in("Pacific/Auckland", a_day(sessions(1)), &one, "2026-01-12T12:00", day_full("2026-01-13T11:00"));
    let evening = ["2026-01-13T03:00"];
    check_in(
        "America/New_York",
        a_day(sessions(1)),
        &evening,
        "2026-01-12T20:00",
        day_full("2026-01-13T05:00"),
    );
    // Monday in Auckland is still Sunday in UTC.
    let sunday = ["2026-01-11T09:00"];
    check_in("Pacific/Auckland", a_week(sessions(1)), &sunday, "2026-01-11T12:00", Ok(()));
    check_in(
        "Asia/Kathmandu",
        a_week(sessions(1)),
        &sunday,
        "2026-01-11T18:00",
        week_full("2026-01-11T18:15"),
    );
    check_in("Asia/Kathmandu", a_week(sessions(1)), &sunday, "2026-01-11T18:15", Ok(()));
}

#[test]
fn a1_a_week_is_from_monday_to_sunday_across_the_turn_of_the_year() {
    let one = ["2025-12-29T09:00"];
    check(a_week(sessions(1)), &one, "2025-12-28T09:00", Ok(()));
    check(a_week(sessions(1)), &one, "2026-01-04T22:00", week_full("2026-01-04T23:00"));
    check(a_week(sessions(1)), &one, "2026-01-05T09:00", Ok(()));
}

#[test]
fn a1_days_with_a_changed_clock_are_one_day() {
    let spring = ["2026-03-28T23:00", "2026-03-29T20:00"];
    check(a_day(sessions(2)), &spring, "2026-03-29T10:00", day_full("2026-03-29T22:00"));
    check(a_day(sessions(2)), &spring, "2026-03-29T22:00", Ok(()));
    let autumn = ["2026-10-24T22:00", "2026-10-25T22:00"];
    check(a_day(sessions(2)), &autumn, "2026-10-25T10:00", day_full("2026-10-25T23:00"));
    // 00:05 comes twice in the Azores, on the same day.
    let twice = ["2026-10-25T00:05"];
    check_in("Atlantic/Azores", a_day(sessions(1)), &twice, "2026-10-25T01:05", day_full("2026-10-26T01:00"));
    // Beirut's clock goes from midnight back to 23:00 of the day before.
    let beirut = ["2026-10-24T09:00"];
    check_in("Asia/Beirut", a_day(sessions(1)), &beirut, "2026-10-24T21:30", day_full("2026-10-24T22:00"));
    check_in("Asia/Beirut", a_day(sessions(1)), &beirut, "2026-10-24T22:00", Ok(()));
}

#[test]
fn a1_the_strictest_limit_wins_whichever_it_is() {
    let three = ["2026-01-12T08:00", "2026-01-12T10:00", "2026-01-13T08:00"];
    let both = |day, week| Limits { day: sessions(day), week: sessions(week), pacing: None };
    check(both(2, 9), &three, "2026-01-12T12:00", day_full("2026-01-12T23:00"));
    check(both(9, 3), &three, "2026-01-12T12:00", week_full("2026-01-18T23:00"));
    check(both(2, 3), &three, "2026-01-12T12:00", week_full("2026-01-18T23:00"));
    check(both(3, 4), &three, "2026-01-12T12:00", Ok(()));
}

#[test]
fn a2_minutes_and_load_weigh_what_a_session_is() {
    let full =
        |measure| Err(Refusal::Limit(LimitReached::DayFull { measure, until: at("2026-01-12T23:00") }));
    let before = [held(at("2026-01-12T08:00"), 90, 3), held(at("2026-01-12T12:00"), 15, 1)];
    let wanted = held(at("2026-01-12T14:00"), 50, 2);
    let decide = |caps| decide(&schedule("Europe/Berlin", a_day(caps)), &before, wanted);
    let caps = |minutes, load| Caps { sessions: None, minutes: Some(minutes), load: Some(load) };
    assert_eq!(decide(caps(155, 6)), Ok(()));
    assert_eq!(decide(caps(154, 6)), full(Measure::Minutes));
    assert_eq!(decide(caps(155, 5)), full(Measure::Load));
    assert_eq!(decide(caps(154, 5)), full(Measure::Minutes));
    assert_eq!(decide(Caps { sessions: Some(2), ..caps(154, 5) }), full(Measure::Sessions));
}

#[test]
fn a2_after_so_many_in_a_row_there_is_a_break() {
    let row = |until| Err(LimitReached::InARow { most: 2, until: at(until) });
    let two = ["2026-01-12T08:00", "2026-01-12T09:00"];
    check(in_a_row(2, 30), &two, "2026-01-12T10:00", row("2026-01-12T10:20"));
    check(in_a_row(2, 30), &two, "2026-01-12T10:15", row("2026-01-12T10:20"));
    check(in_a_row(2, 30), &two, "2026-01-12T10:20", Ok(()));
    // In front of them, the break is after it.
    check(in_a_row(2, 30), &two, "2026-01-12T07:00", row("2026-01-12T10:20"));
    check(in_a_row(2, 30), &two, "2026-01-12T06:40", Ok(()));
    check(in_a_row(3, 30), &two, "2026-01-12T07:00", Ok(()));
    // One day's sessions meet the next one's at midnight, and one week's the next one's.
    let late = ["2026-01-11T21:00", "2026-01-11T22:00"];
    check(in_a_row(2, 30), &late, "2026-01-11T23:00", row("2026-01-11T23:20"));
}

#[test]
fn a2_what_bears_on_a_start_is_its_week_and_a_row_on_both_sides() {
    let range = held(at("2026-01-12T00:00"), 5, 1).span;
    let check = |limits: Limits, start, end| {
        let expected = Span::new(at(start), at(end)).unwrap();
        assert_eq!(schedule("Europe/Berlin", limits).load_range(range), expected);
    };
    check(Limits::default(), "2026-01-12T00:00", "2026-01-12T00:05");
    check(a_day(sessions(9)), "2026-01-11T23:00", "2026-01-18T23:00");
    check(in_a_row(3, 60), "2026-01-10T20:00", "2026-01-20T02:00");
}

#[test]
fn a2_a_session_between_two_rows_makes_one_of_them() {
    let rows = ["2026-01-12T08:00", "2026-01-12T09:00", "2026-01-12T11:00", "2026-01-12T12:00"];
    let row = |most| Err(LimitReached::InARow { most, until: at("2026-01-12T13:20") });
    check(in_a_row(4, 30), &rows, "2026-01-12T10:00", row(4));
    check(in_a_row(5, 30), &rows, "2026-01-12T10:00", Ok(()));
    check(in_a_row(1, 5), &["2026-01-12T08:00", "2026-01-12T10:00"], "2026-01-12T09:00", Ok(()));
    check(in_a_row(1, 10), &["2026-01-12T08:00", "2026-01-12T10:00"], "2026-01-12T09:00", Ok(()));
    let alone = Err(LimitReached::InARow { most: 1, until: at("2026-01-12T11:01") });
    check(in_a_row(1, 11), &["2026-01-12T08:00", "2026-01-12T10:00"], "2026-01-12T09:00", alone);
}

/// B4: a session that moves within a full day is left out of what is held, and so is not in its own way.
#[test]
fn a1_a_moving_session_does_not_count_against_its_own_limits() {
    let full = ["2026-01-12T08:00", "2026-01-12T10:00"];
    let limits = Limits {
        day: sessions(2),
        week: sessions(2),
        pacing: Some(Pacing { sessions: 1, break_minutes: 15 }),
    };
    check(limits, &full, "2026-01-12T11:00", week_full("2026-01-18T23:00"));
    check(limits, &full[..1], "2026-01-12T11:00", Ok(()));
    check(limits, &full[..1], "2026-01-12T10:15", Ok(()));
}

/// Limits may be lowered below what is booked already; that hinders nothing elsewhere.
#[test]
fn a1_a_day_that_is_over_its_limit_leaves_the_others_alone() {
    let three = ["2026-01-12T08:00", "2026-01-12T09:00", "2026-01-12T10:00"];
    let limits = Limits {
        day: sessions(1),
        week: sessions(4),
        pacing: Some(Pacing { sessions: 2, break_minutes: 30 }),
    };
    check(limits, &three, "2026-01-13T09:00", Ok(()));
}

#[test]
fn a1_a_limit_refuses_after_what_is_taken_and_before_what_the_worker_has() {
    let (full, nine) = (schedule("Europe/Berlin", a_day(sessions(1))), held(at("2026-01-12T09:00"), 50, 1));
    let decide = |start| {
        let wanted = held(at(start), 50, 1);
        decide_for(&[wanted.span], &full, &[nine], wanted)
    };
    assert_eq!(decide("2026-01-12T09:30"), Err(Refusal::Taken));
    assert_eq!(decide("2026-01-12T10:00"), day_full("2026-01-12T23:00").map_err(Refusal::Limit));
    assert_eq!(decide("2026-01-13T10:00"), Err(Refusal::AliasBusy));
}

#[test]
fn d4_a_worker_is_told_that_the_time_is_taken_and_no_more() {
    let until = at("2026-01-12T23:00");
    let measure = Measure::Load;
    for reached in [
        LimitReached::WeekFull { measure, until },
        LimitReached::DayFull { measure, until },
        LimitReached::InARow { most: 3, until },
    ] {
        assert_eq!(Refusal::Limit(reached).for_worker(), Refusal::Taken);
    }
    assert_eq!(Refusal::OffGrid.for_worker(), Refusal::OffGrid);
    assert_eq!(Refusal::TooSoon { earliest: until }.for_worker(), Refusal::TooSoon { earliest: until });
}

#[test]
fn limits_as_data_say_only_what_is_limited() {
    assert_eq!(serde_json::from_str::<Limits>("{}").unwrap(), Limits::default());
    let text = r#"{"day":{"sessions":5},"pacing":{"sessions":3,"break_minutes":30}}"#;
    let expected = Limits { day: sessions(5), ..in_a_row(3, 30) };
    assert_eq!(serde_json::from_str::<Limits>(text).unwrap(), expected);
    assert!(serde_json::from_str::<Limits>(r#"{"day":{"session":5}}"#).is_err());
}

/// Whether sessions as a whole keep every limit, from scratch.
fn all_keep(schedule: &Schedule, sessions: &[HeldSession]) -> bool {
    let local = |session: &HeldSession| schedule.zone.local(session.span.start());
    let caps_keep = |caps: Caps, name: &str| {
        let period = |session: &HeldSession| local(session).format(name).to_string();
        sessions.iter().all(|one| {
            let same: Vec<_> = sessions.iter().filter(|other| period(other) == period(one)).collect();
            let minutes: i64 = same.iter().map(|session| session.span.duration().num_minutes()).sum();
            caps.sessions.is_none_or(|most| same.len() <= most as usize)
                && caps.minutes.is_none_or(|most| minutes <= i64::from(most))
                && caps
                    .load
                    .is_none_or(|most| same.iter().map(|session| session.load_weight).sum::<u32>() <= most)
        })
    };
    let rows_keep = |Pacing { sessions: most, break_minutes }: Pacing| {
        let mut ordered: Vec<_> = sessions.iter().map(|session| session.span).collect();
        ordered.sort_unstable();
        // Of any sessions one after the other, one more than there may be in a row, some two are far apart.
        ordered.windows(most as usize + 1).all(|row| {
            row.windows(2)
                .any(|pair| pair[1].start() - pair[0].end() >= TimeDelta::minutes(break_minutes.into()))
        })
    };
    let Limits { day, week, pacing } = schedule.limits;
    caps_keep(day, "%Y-%m-%d") && caps_keep(week, "%G-W%V") && pacing.is_none_or(rows_keep)
}

fn some_caps(most: u32) -> impl Strategy<Value = Caps> {
    let cap = move |unit: u32| prop::option::of((1..=most).prop_map(move |most| most * unit));
    (cap(1), cap(40), cap(2)).prop_map(|(sessions, minutes, load)| Caps { sessions, minutes, load })
}

prop_compose! {
    fn some_limits()(
        day in some_caps(4),
        week in some_caps(12),
        pacing in prop::option::of((1_u32..4, 1_u32..120)),
    ) -> Limits {
        let pacing = pacing.map(|(sessions, break_minutes)| Pacing { sessions, break_minutes });
        Limits { day, week, pacing }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// One session after the other is asked for, and kept if it is admitted.
    #[test]
    fn a1_a2_what_is_admitted_keeps_every_limit_and_what_keeps_them_is_admitted(
        place in prop::sample::select(vec![
            ("Europe/Berlin", "2026-03-27T00:00"),
            ("America/New_York", "2026-10-30T00:00"),
            ("Asia/Beirut", "2026-10-23T00:00"),
            ("Australia/Lord_Howe", "2026-04-03T00:00"),
            ("Pacific/Apia", "2011-12-28T00:00"),
            ("Asia/Kathmandu", "2025-12-27T00:00"),
        ]),
        limits in some_limits(),
        wanted in prop::collection::vec((0_i64..5 * 24 * 12, 1_i64..18, 1_u32..4), 1..40),
    ) {
        let (schedule, start) = (schedule(place.0, limits), at(place.1));
        let mut kept: Vec<HeldSession> = Vec::new();
        for (slot, length, weight) in wanted {
            let wanted = held(start + TimeDelta::minutes(5 * slot), 5 * length, weight);
            if kept.iter().any(|session| session.span.overlaps(wanted.span)) {
                continue;
            }
            let with_it = [kept.clone(), vec![wanted]].concat();
            let verdict = decide(&schedule, &kept, wanted);
            prop_assert_eq!(verdict.is_ok(), all_keep(&schedule, &with_it), "{:?} beside {:?}", wanted, kept);
            if let Err(refusal) = verdict {
                prop_assert!(matches!(refusal, Refusal::Limit(_)), "{}", refusal);
            } else {
                kept = with_it;
            }
        }
        // What is further away than `load_range` says changes no verdict.
        for day in 0..6 {
            let wanted = held(start + TimeDelta::days(day), 25, 1);
            let range = schedule.load_range(wanted.span);
            let near: Vec<_> = kept.iter().copied().filter(|session| session.span.overlaps(range)).collect();
            prop_assert_eq!(decide(&schedule, &near, wanted), decide(&schedule, &kept, wanted));
        }
    }
}
