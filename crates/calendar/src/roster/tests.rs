use proptest::prelude::*;

use super::*;
use crate::Rules;

fn zone(name: &str) -> Zone {
    Rules::compiled_in().zone(name).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").parse().unwrap()
}

fn span(text: &str) -> Span {
    let (start, end) = text.split_once(' ').unwrap();
    Span::new(at(start), at(end)).unwrap()
}

#[track_caller]
fn check_kind(name: &str, times: &str, kind: ShiftKind) {
    assert_eq!(classify(span(times), &zone(name)), kind);
}

#[test]
fn s2_three_hours_between_23_and_6_make_a_night() {
    check_kind("Europe/Berlin", "2026-01-12T05:00 2026-01-12T13:00", ShiftKind::Day);
    check_kind("Europe/Berlin", "2026-01-12T13:00 2026-01-12T21:00", ShiftKind::Evening);
    check_kind("Europe/Berlin", "2026-01-12T13:00 2026-01-12T23:00", ShiftKind::Evening);
    check_kind("Europe/Berlin", "2026-01-12T10:00 2026-01-12T20:00", ShiftKind::Day);
    check_kind("Europe/Berlin", "2026-01-12T12:00 2026-01-12T19:00", ShiftKind::Day);
    check_kind("Europe/Berlin", "2026-01-12T21:00 2026-01-13T05:00", ShiftKind::Night);
    check_kind("Europe/Berlin", "2026-01-12T16:00 2026-01-13T00:59", ShiftKind::Evening);
    check_kind("Europe/Berlin", "2026-01-12T16:00 2026-01-13T01:00", ShiftKind::Night);
    check_kind("Europe/Berlin", "2026-01-13T02:00 2026-01-13T10:00", ShiftKind::Night);
    check_kind("Europe/Berlin", "2026-01-13T02:01 2026-01-13T10:00", ShiftKind::Day);
    check_kind("America/New_York", "2026-01-12T21:00 2026-01-13T05:00", ShiftKind::Evening);
}

#[test]
fn s2_a_changed_clock_makes_the_night_shorter_or_longer() {
    // From 03:00 on, there are only 2 hours until 06:00 where the clock skipped the hour before.
    check_kind("Europe/Berlin", "2026-03-29T00:00 2026-03-29T04:00", ShiftKind::Night);
    check_kind("Europe/Berlin", "2026-03-29T01:01 2026-03-29T08:00", ShiftKind::Day);
    check_kind("Europe/Berlin", "2026-10-25T01:30 2026-10-25T08:00", ShiftKind::Night);
}

#[test]
fn s2_a_day_long_duty_has_a_night_in_it() {
    check_kind("Europe/Berlin", "2026-01-12T07:00 2026-01-13T07:00", ShiftKind::Night);
    // Half of the 3 hours in the morning, half in the evening.
    check_kind("Europe/Berlin", "2026-01-12T03:30 2026-01-12T23:30", ShiftKind::Night);
}

fn roster(shifts: &[(&str, ShiftKind)], published_until: Option<&str>) -> Roster {
    let shifts = shifts.iter().map(|(times, kind)| Shift { span: span(times), kind: *kind }).collect();
    let published_until = published_until.map(|date| date.parse().unwrap());
    Roster::new(&zone("Europe/Berlin"), shifts, published_until, at("2026-01-12T00:00")).unwrap()
}

#[track_caller]
fn check_unavailable(roster: &Roster, rules: &ShiftRules, expected: &[(&str, WorkerRefusal)]) {
    let range = span("2026-01-12T00:00 2026-01-14T00:00");
    let found = unavailable(roster, rules, &zone("Europe/Berlin"), range, true);
    let found: Vec<_> = found.iter().map(|time| (time.span, time.reason)).collect();
    assert_eq!(found, expected.iter().map(|(times, why)| (span(times), *why)).collect::<Vec<_>>());
}

#[test]
fn s2_a_day_shift_takes_the_way_and_the_rest_before() {
    check_unavailable(
        &roster(&[("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day)], None),
        &ShiftRules::default(),
        &[
            ("2026-01-12T07:00 2026-01-12T07:30", WorkerRefusal::Rest),
            ("2026-01-12T07:30 2026-01-12T08:00", WorkerRefusal::Commute),
            ("2026-01-12T08:00 2026-01-12T16:00", WorkerRefusal::Shift),
            ("2026-01-12T16:00 2026-01-12T16:30", WorkerRefusal::Commute),
        ],
    );
}

#[test]
fn s2_a_long_commute_leaves_no_more_rest() {
    let far = ShiftRules { commute: TimeDelta::minutes(90), ..ShiftRules::default() };
    check_unavailable(
        &roster(&[("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day)], None),
        &far,
        &[
            ("2026-01-12T06:30 2026-01-12T08:00", WorkerRefusal::Commute),
            ("2026-01-12T08:00 2026-01-12T16:00", WorkerRefusal::Shift),
            ("2026-01-12T16:00 2026-01-12T17:30", WorkerRefusal::Commute),
        ],
    );
}

#[test]
fn s2_sleep_follows_the_way_home_from_a_night() {
    let nights = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::Night)], None);
    let expected = [
        ("2026-01-12T19:00 2026-01-12T19:30", WorkerRefusal::Rest),
        ("2026-01-12T19:30 2026-01-12T20:00", WorkerRefusal::Commute),
        ("2026-01-12T20:00 2026-01-13T05:00", WorkerRefusal::Shift),
        ("2026-01-13T05:00 2026-01-13T05:30", WorkerRefusal::Commute),
        ("2026-01-13T05:30 2026-01-13T13:30", WorkerRefusal::Sleep),
    ];
    check_unavailable(&nights, &ShiftRules::default(), &expected);
    // What covers the night takes sleep away whatever it is called.
    let called_evening = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::Evening)], None);
    check_unavailable(&called_evening, &ShiftRules::default(), &expected);
    let on_call = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::OnCall)], None);
    check_unavailable(&on_call, &ShiftRules::default(), &expected);
}

#[test]
fn s2_a_shift_outside_the_range_takes_what_reaches_into_it() {
    let shifts = [
        ("2026-01-11T20:00 2026-01-12T05:00", ShiftKind::Night),
        ("2026-01-13T14:30 2026-01-13T20:00", ShiftKind::Day),
    ];
    let (roster, zone) = (roster(&shifts, None), zone("Europe/Berlin"));
    let range = span("2026-01-12T13:00 2026-01-12T14:00");
    let taken = unavailable(&roster, &ShiftRules::default(), &zone, range, true);
    let found: Vec<_> = taken.iter().map(|time| (time.span, time.reason)).collect();
    let expected = [
        ("2026-01-12T13:00 2026-01-12T13:30", WorkerRefusal::Sleep),
        ("2026-01-13T13:30 2026-01-13T14:00", WorkerRefusal::Rest),
    ];
    assert_eq!(found, expected.map(|(times, why)| (span(times), why)));
}

#[test]
fn s2_on_call_that_does_not_block_takes_nothing() {
    let on_call = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::OnCall)], None);
    check_unavailable(&on_call, &ShiftRules { on_call_blocks: false, ..ShiftRules::default() }, &[]);
}

#[track_caller]
fn check_beyond(roster: &Roster, beyond_roster: bool, expected: &[&str]) {
    let range = span("2026-01-12T00:00 2026-01-16T00:00");
    let found = unavailable(roster, &ShiftRules::default(), &zone("Europe/Berlin"), range, beyond_roster);
    let beyond = found.iter().filter(|time| time.reason == WorkerRefusal::BeyondRoster);
    let expected: Vec<_> = expected.iter().map(|text| span(text)).collect();
    assert_eq!(beyond.map(|time| time.span).collect::<Vec<_>>(), expected);
}

#[test]
fn s4_nothing_after_the_last_published_day() {
    let published = roster(&[], Some("2026-01-13"));
    check_beyond(&published, false, &["2026-01-13T23:00 2026-01-17T00:00"]);
    check_beyond(&published, true, &[]);
    check_beyond(&roster(&[], None), false, &[]);
    // A roster that does not say ends with its last shift.
    let until_midnight = roster(&[("2026-01-12T14:00 2026-01-12T23:00", ShiftKind::Evening)], None);
    check_beyond(&until_midnight, false, &["2026-01-12T23:30 2026-01-17T00:00"]);
}

#[track_caller]
fn check_refused(shifts: &[&str], published_until: Option<&str>, error: RosterError) {
    let shifts = shifts.iter().map(|times| Shift { span: span(times), kind: ShiftKind::Day }).collect();
    let published_until = published_until.map(|date| date.parse().unwrap());
    let refused = Roster::new(&zone("Europe/Berlin"), shifts, published_until, at("2026-01-12T00:00"));
    assert_eq!(refused, Err(error));
}

#[test]
fn s1_a_roster_has_bounds() {
    let fine = "2026-01-12T08:00 2026-01-12T16:00";
    let longest = "2026-01-12T08:00 2026-01-14T08:00";
    let longer = "2026-01-12T08:00 2026-01-14T08:01";
    assert_eq!(roster(&[(longest, ShiftKind::Day), (fine, ShiftKind::Day)], None).shifts().len(), 2);
    check_refused(&[fine, longer], None, RosterError::ShiftTooLong { index: 1 });
    check_refused(
        &[fine, fine, "2020-01-01T08:00 2020-01-01T16:00"],
        None,
        RosterError::ShiftOutOfReach { index: 2 },
    );
    check_refused(&["2029-01-01T08:00 2029-01-01T16:00"], None, RosterError::ShiftOutOfReach { index: 0 });
    check_refused(&[], Some("2029-01-01"), RosterError::PublishedUntilOutOfReach);
    check_refused(&vec![fine; 5_001], None, RosterError::TooManyShifts { count: 5_001 });
}

#[test]
fn settings_of_the_worker_have_bounds_and_defaults() {
    assert_eq!(ShiftRules::default().validate(), Ok(()));
    assert_eq!(serde_json::from_str::<ShiftRules>("{}").unwrap(), ShiftRules::default());
    let refused = |text| serde_json::from_str::<ShiftRules>(text).unwrap().validate().unwrap_err();
    assert_eq!(refused(r#"{"commute":361}"#), ShiftRulesError::Commute);
    assert_eq!(refused(r#"{"rest_before":-1}"#), ShiftRulesError::RestBefore);
    assert_eq!(refused(r#"{"sleep_after_night":961}"#), ShiftRulesError::SleepAfterNight);
    assert!(serde_json::from_str::<ShiftRules>(r#"{"comute":30}"#).is_err());
}

#[test]
fn a_roster_survives_storage_and_shows_no_times_in_logs() {
    let roster = roster(&[("2026-01-12T20:00 2026-01-13T05:00", ShiftKind::Night)], Some("2026-01-31"));
    let roster = roster.with_breaks(vec![span("2026-01-13T00:00 2026-01-13T00:30")]).unwrap();
    let stored = serde_json::to_string(&roster).unwrap();
    assert_eq!(serde_json::from_str::<Roster>(&stored).unwrap(), roster);
    let zone = zone("Europe/Berlin");
    let times = unavailable(&roster, &ShiftRules::default(), &zone, roster.shifts()[0].span, false);
    let shown = format!("{roster:?} {:?} {times:?}", roster.shifts());
    assert!(!shown.contains("2026") && !shown.contains("Berlin"), "{shown}");
}

fn with_breaks(shifts: &[(&str, ShiftKind)], breaks: &[&str]) -> Result<Roster, BreakError> {
    roster(shifts, None).with_breaks(breaks.iter().map(|times| span(times)).collect())
}

#[test]
fn s3_a_break_lies_wholly_inside_a_shift() {
    let shifts = [
        ("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day),
        ("2026-01-12T12:00 2026-01-12T13:00", ShiftKind::OnCall),
        ("2026-01-13T08:00 2026-01-13T16:00", ShiftKind::Day),
    ];
    let whole = "2026-01-12T15:30 2026-01-12T16:00";
    assert!(with_breaks(&shifts, &["2026-01-12T08:00 2026-01-12T08:10", whole]).is_ok());
    for outside in [
        "2026-01-12T15:30 2026-01-12T16:01",
        "2026-01-12T07:59 2026-01-12T08:30",
        "2026-01-14T09:00 2026-01-14T09:30",
        "2026-01-12T15:00 2026-01-13T09:00",
    ] {
        let refused = with_breaks(&shifts, &[whole, outside]);
        assert_eq!(refused, Err(BreakError::OutsideShift { index: 1 }), "{outside}");
    }
    let refused = with_breaks(&shifts, &vec![whole; 10_001]);
    assert_eq!(refused, Err(BreakError::TooMany { count: 10_001 }));
}

/// Every minute of a day shift at which a session of that length may start, and why not at the others.
#[track_caller]
fn check_in_breaks(breaks: &[&str], minutes: i64, starts: &[&str]) {
    let rules =
        ShiftRules { commute: TimeDelta::zero(), rest_before: TimeDelta::zero(), ..ShiftRules::default() };
    let roster = with_breaks(&[("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day)], breaks).unwrap();
    let range = span("2026-01-12T00:00 2026-01-13T00:00");
    let taken = unavailable(&roster, &rules, &zone("Europe/Berlin"), range, true);
    let taken = in_breaks(&taken, roster.breaks(), range);
    let from = at("2026-01-12T08:00");
    let fits = |start: &DateTime<Utc>| {
        let session = Span::new(*start, *start + TimeDelta::minutes(minutes)).unwrap();
        !taken.iter().any(|time| time.excludes(session))
    };
    let found = (0..8 * 60).map(|minute| from + TimeDelta::minutes(minute)).filter(fits);
    let found: Vec<_> = found.map(|start| start.format("%H:%M").to_string()).collect();
    assert_eq!(found, starts);
}

#[test]
fn s3_in_a_break_there_are_check_ins_that_fit_wholly_and_nothing_else() {
    let noon = ["2026-01-12T12:00 2026-01-12T12:12"];
    check_in_breaks(&noon, 10, &["12:00", "12:01", "12:02"]);
    check_in_breaks(&noon, 12, &["12:00"]);
    check_in_breaks(&noon, 13, &[]);
    check_in_breaks(&noon, 9, &[]);
    check_in_breaks(&[], 10, &[]);
    let hour = ["2026-01-12T12:00 2026-01-12T13:00"];
    check_in_breaks(&hour, 59, &[]);
    check_in_breaks(&hour, 31, &[]);
    // Two that touch are one.
    let two = ["2026-01-12T12:00 2026-01-12T12:15", "2026-01-12T12:15 2026-01-12T12:30"];
    check_in_breaks(&two, 30, &["12:00"]);
    // What is free after the shift is no part of the break at its end.
    check_in_breaks(&["2026-01-12T15:45 2026-01-12T16:00"], 15, &["15:45"]);
}

#[test]
fn s3_what_lies_around_a_shift_stays_taken() {
    let shift = ("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day);
    let roster =
        with_breaks(&[shift], &["2026-01-12T08:00 2026-01-12T08:20", "2026-01-12T12:00 2026-01-12T12:30"]);
    let (roster, zone) = (roster.unwrap(), zone("Europe/Berlin"));
    let range = span("2026-01-12T00:00 2026-01-13T00:00");
    let taken = unavailable(&roster, &ShiftRules::default(), &zone, range, true);
    assert!(taken.iter().all(|time| time.reason != WorkerRefusal::Break), "only who asks for it gets it");
    let found: Vec<_> =
        in_breaks(&taken, roster.breaks(), range).iter().map(|time| (time.span, time.reason)).collect();
    let expected = [
        ("2026-01-12T00:00 2026-01-12T07:00", WorkerRefusal::OffDuty),
        ("2026-01-12T07:00 2026-01-12T07:30", WorkerRefusal::Rest),
        ("2026-01-12T07:30 2026-01-12T08:00", WorkerRefusal::Commute),
        ("2026-01-12T08:00 2026-01-12T08:20", WorkerRefusal::Break),
        ("2026-01-12T08:20 2026-01-12T12:00", WorkerRefusal::Shift),
        ("2026-01-12T12:00 2026-01-12T12:30", WorkerRefusal::Break),
        ("2026-01-12T12:30 2026-01-12T16:00", WorkerRefusal::Shift),
        ("2026-01-12T16:00 2026-01-12T16:30", WorkerRefusal::Commute),
        ("2026-01-12T16:30 2026-01-14T00:00", WorkerRefusal::OffDuty),
    ];
    assert_eq!(found, expected.map(|(times, why)| (span(times), why)));
}

#[track_caller]
fn check_soon(session: &str, within: i64, expected: bool) {
    let shifts = [
        ("2026-01-12T08:00 2026-01-12T16:00", ShiftKind::Day),
        ("2026-01-13T20:00 2026-01-14T05:00", ShiftKind::OnCall),
    ];
    let blocks = |on_call_blocks| {
        let rules = ShiftRules { on_call_blocks, ..ShiftRules::default() };
        on_shift_soon(&roster(&shifts, None), &rules, span(session), TimeDelta::minutes(within))
    };
    assert_eq!(blocks(true), expected);
    assert!(!blocks(false) || session < "2026-01-13", "on call counts as the worker says");
}

#[test]
fn s6_a_session_right_before_a_shift_is_known() {
    check_soon("2026-01-12T05:00 2026-01-12T06:00", 119, false);
    check_soon("2026-01-12T05:00 2026-01-12T06:00", 120, true);
    check_soon("2026-01-12T07:00 2026-01-12T08:00", 0, true);
    check_soon("2026-01-12T16:00 2026-01-12T17:00", 24 * 60, false);
    check_soon("2026-01-13T18:00 2026-01-13T19:00", 60, true);
    // In a break, the shift goes on at once; at the end of it, it does not.
    check_soon("2026-01-12T12:00 2026-01-12T12:20", 0, true);
    check_soon("2026-01-12T15:40 2026-01-12T16:00", 60, false);
}

fn night_minutes(span: Span, zone: &Zone) -> usize {
    let minutes = (0..span.duration().num_minutes()).map(|i| span.start() + TimeDelta::minutes(i));
    minutes.filter(|minute| [23, 0, 1, 2, 3, 4, 5].contains(&zone.local(*minute).hour())).count()
}

/// What takes a minute, asking in turn each shift, told with its minutes at night.
fn reason_of(
    minute: DateTime<Utc>,
    shifts: &[(Shift, usize)],
    published_until: Option<NaiveDate>,
    rules: &ShiftRules,
    zone: &Zone,
) -> Option<WorkerRefusal> {
    let mut reasons = Vec::new();
    for (shift, minutes_at_night) in shifts {
        if shift.kind == ShiftKind::OnCall && !rules.on_call_blocks {
            continue;
        }
        let (start, end) = (shift.span.start(), shift.span.end());
        let night = shift.kind == ShiftKind::Night || *minutes_at_night >= 180;
        let asleep = if night { rules.sleep_after_night } else { TimeDelta::zero() };
        if (start..end).contains(&minute) {
            reasons.push(WorkerRefusal::Shift);
        } else if (start - rules.commute..start).contains(&minute)
            || (end..end + rules.commute).contains(&minute)
        {
            reasons.push(WorkerRefusal::Commute);
        } else if (start - rules.rest_before..start).contains(&minute) {
            reasons.push(WorkerRefusal::Rest);
        } else if night && (end..end + rules.commute + asleep).contains(&minute) {
            reasons.push(WorkerRefusal::Sleep);
        }
    }
    if published_until.is_some_and(|last| zone.local(minute).date() > last) {
        reasons.push(WorkerRefusal::BeyondRoster);
    }
    reasons.into_iter().min()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn s2_s4_every_minute_is_taken_by_what_a_slow_model_says(
        place in prop::sample::select(vec![
            ("Europe/Berlin", "2026-03-28T00:00"),
            ("America/New_York", "2026-10-31T00:00"),
            ("Australia/Lord_Howe", "2026-04-04T00:00"),
            ("America/Vancouver", "2026-10-31T00:00"),
        ]),
        shifts in prop::collection::vec((0_i64..3000, 30_i64..1500, 0_usize..4), 0..5),
        (commute, rest, sleep) in (0_i64..90, 0_i64..120, 0_i64..600),
        on_call_blocks in any::<bool>(),
        published in prop::option::of(0_u64..4),
    ) {
        let (zone, start) = (zone(place.0), at(place.1));
        let kinds = [ShiftKind::Day, ShiftKind::Evening, ShiftKind::Night, ShiftKind::OnCall];
        let shifts = shifts.into_iter().map(|(from, minutes, kind)| {
            let from = start + TimeDelta::minutes(from);
            Shift { span: Span::new(from, from + TimeDelta::minutes(minutes)).unwrap(), kind: kinds[kind] }
        });
        let published = published.map(|days| start.date_naive() + chrono::Days::new(days));
        let roster = Roster::new(&zone, shifts.collect(), published, start).unwrap();
        let rules = ShiftRules {
            commute: TimeDelta::minutes(commute),
            rest_before: TimeDelta::minutes(rest),
            sleep_after_night: TimeDelta::minutes(sleep),
            on_call_blocks,
        };
        let range = Span::new(start, start + TimeDelta::days(2)).unwrap();
        let taken = unavailable(&roster, &rules, &zone, range, false);
        prop_assert!(taken.windows(2).all(|pair| pair[0].span.end() <= pair[1].span.start()), "disjoint");
        let shifts: Vec<_> =
            roster.shifts().iter().map(|shift| (*shift, night_minutes(shift.span, &zone))).collect();
        let expected = |minute| reason_of(minute, &shifts, roster.published_until(), &rules, &zone);
        for minute in (0..2 * 24 * 60).map(|i| start + TimeDelta::minutes(i)) {
            let found = taken.iter().find(|time| time.span.contains_instant(minute)).map(|time| time.reason);
            prop_assert_eq!(found, expected(minute), "at {}", minute);
        }
    }
}
