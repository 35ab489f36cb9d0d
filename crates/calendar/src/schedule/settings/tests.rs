use chrono::{Datelike, NaiveTime};
use proptest::prelude::*;

use super::SettingsError as E;
use super::*;
use crate::schedule::Protected;
use crate::schedule::tests::{date, hours, schedule, weekly};
use crate::{Caps, Zone};

fn session(minutes: i64) -> SessionRules {
    SessionRules {
        duration: TimeDelta::minutes(minutes),
        buffer_before: TimeDelta::zero(),
        buffer_after: TimeDelta::zero(),
        grid_interval_minutes: 15,
        grid_offset_minutes: 0,
        load_weight: 1,
    }
}

#[track_caller]
fn check_refused(schedule: &Schedule, sessions: &[SessionRules], expected: SettingsError) {
    assert_eq!(check_settings(schedule, sessions), Err(expected));
}

#[test]
fn a3_sound_settings_are_accepted() {
    let week = ["Mon 09:00-12:00", "Mon 12:00-12:15", "Sun 22:00-00:00", "Mon 00:00-00:15"];
    assert_eq!(check_settings(&schedule("Europe/Berlin", &week), &[session(50), session(400)]), Ok(()));
    assert_eq!(check_settings(&schedule("Europe/Berlin", &["Mon 09:00-09:01"]), &[]), Ok(()));
    assert_eq!(check_settings(&schedule("Europe/Berlin", &[]), &[session(50)]), Ok(()));
}

#[test]
fn a3_a_window_shorter_than_every_session_is_refused() {
    let week = schedule("Europe/Berlin", &["Mon 09:00-12:00", "Tue 09:00-09:45"]);
    let short = E::WindowShorterThanSession { window: 1, weekday: Weekday::Tue };
    check_refused(&week, &[session(50)], short.clone());
    assert_eq!(check_settings(&week, &[session(50), session(45)]), Ok(()));
    let buffered = SessionRules { buffer_after: TimeDelta::minutes(5), ..session(45) };
    check_refused(&week, &[buffered], short);
}

#[test]
fn a3_overlapping_windows_are_refused() {
    check_refused(
        &schedule("Europe/Berlin", &["Tue 12:00-14:00", "Mon 09:00-12:00", "Tue 09:00-12:30"]),
        &[],
        E::WindowsOverlap { first: 2, second: 0 },
    );
    check_refused(
        &schedule("Europe/Berlin", &["Mon 01:00-03:00", "Sun 22:00-02:00"]),
        &[],
        E::WindowsOverlap { first: 1, second: 0 },
    );
}

#[test]
fn a3_contradictory_overrides_are_refused() {
    let mut week = schedule("Europe/Berlin", &["Mon 09:00-12:00"]);
    let date = date("2026-01-14");
    let day = |kind, windows: &[&str]| DateOverride {
        date,
        kind,
        windows: windows.iter().map(|text| hours(text)).collect(),
    };
    week.overrides = vec![day(OverrideKind::Add, &["09:00-12:00", "11:00-14:00"])];
    check_refused(&week, &[], E::OverrideHoursOverlap { index: 0, window: 1, date });
    week.overrides = vec![day(OverrideKind::Add, &["09:00-12:00", "15:00-15:30"])];
    check_refused(&week, &[session(50)], E::OverrideShorterThanSession { index: 0, window: 1, date });
    week.overrides = vec![day(OverrideKind::Replace, &[]), day(OverrideKind::Replace, &["09:00-12:00"])];
    check_refused(&week, &[session(50)], E::ReplacedTwice { index: 1, date });
}

#[test]
fn a3_notice_horizon_and_travels_must_leave_something() {
    let week = schedule("Europe/Berlin", &["Mon 09:00-12:00"]);
    let notice = |hours| TimeDelta::hours(hours);
    let one_day = Schedule { horizon: Horizon::Days(1), notice: notice(47), ..week.clone() };
    assert_eq!(check_settings(&one_day, &[]), Ok(()));
    let beyond = E::NoticeBeyondHorizon { notice: notice(48), days: 1 };
    check_refused(&Schedule { notice: notice(48), ..one_day }, &[], beyond);
    check_refused(&Schedule { notice: notice(-1), ..week.clone() }, &[], E::NoticeOutOfRange);
    check_refused(&Schedule { horizon: Horizon::Days(731), ..week.clone() }, &[], E::HorizonOutOfRange);
    let travel = |from, until| Travel { from: date(from), until: date(until), zone: week.zone.clone() };
    let reversed = vec![travel("2026-01-02", "2026-01-01")];
    check_refused(&Schedule { travels: reversed, ..week.clone() }, &[], E::TravelReversed { index: 0 });
    let twice = vec![travel("2026-01-05", "2026-01-06"), travel("2026-01-01", "2026-01-05")];
    check_refused(&Schedule { travels: twice, ..week.clone() }, &[], E::TravelsOverlap { index: 0 });
}

#[test]
fn a3_session_types_have_bounds() {
    let week = schedule("Europe/Berlin", &["Mon 09:00-12:00"]);
    check_refused(&week, &[session(50), session(4)], E::DurationOutOfRange { session: 1 });
    check_refused(&week, &[session(481)], E::DurationOutOfRange { session: 0 });
    let half = SessionRules { duration: TimeDelta::seconds(330), ..session(50) };
    check_refused(&week, &[half], E::DurationOutOfRange { session: 0 });
    let negative = SessionRules { buffer_before: TimeDelta::minutes(-1), ..session(50) };
    check_refused(&week, &[negative], E::BufferOutOfRange { session: 0, before: true });
    let long = SessionRules { buffer_after: TimeDelta::minutes(241), ..session(50) };
    check_refused(&week, &[long], E::BufferOutOfRange { session: 0, before: false });
    for grid_interval_minutes in [0, 4, 1441] {
        let odd = SessionRules { grid_interval_minutes, ..session(50) };
        check_refused(&week, &[odd], E::GridIntervalOutOfRange { session: 0 });
    }
    for grid_interval_minutes in [5, 1440] {
        let sound = SessionRules { grid_interval_minutes, ..session(50) };
        assert_eq!(check_settings(&week, &[sound]), Ok(()));
    }
    let late = SessionRules { grid_offset_minutes: 1440, ..session(50) };
    check_refused(&week, &[late], E::GridOffsetOutOfRange { session: 0 });
}

#[track_caller]
fn check_limits_refused(limits: Limits, sessions: &[SessionRules], expected: SettingsError) {
    let week = Schedule { limits, ..schedule("Europe/Berlin", &["Mon 09:00-12:00"]) };
    check_refused(&week, sessions, expected);
}

fn day(caps: Caps) -> Limits {
    Limits { day: caps, ..Limits::default() }
}

#[test]
fn a3_a_limit_below_every_session_is_refused() {
    let sessions = |most| Caps { sessions: Some(most), ..Caps::default() };
    let minutes = |most| Caps { minutes: Some(most), ..Caps::default() };
    let load = |most| Caps { load: Some(most), ..Caps::default() };
    let below = |period, measure, most, least| E::LimitBelowEverySession { period, measure, most, least };
    let heavy = |load_weight, length| SessionRules { load_weight, ..session(length) };

    let none = below(Period::Day, Measure::Sessions, 0, 1);
    check_limits_refused(day(sessions(0)), &[session(50)], none.clone());
    check_limits_refused(day(sessions(0)), &[], none);
    check_limits_refused(day(minutes(0)), &[], below(Period::Day, Measure::Minutes, 0, 1));
    let short = below(Period::Day, Measure::Minutes, 44, 45);
    check_limits_refused(day(minutes(44)), &[session(50), session(45)], short);
    let light = below(Period::Week, Measure::Load, 2, 3);
    let week = Limits { week: load(2), ..Limits::default() };
    check_limits_refused(week, &[heavy(3, 50), heavy(5, 50)], light);
    let neither = day(Caps { load: Some(2), minutes: Some(30), sessions: None });
    check_limits_refused(neither, &[heavy(3, 30), heavy(1, 50)], E::LimitsExcludeEverySession);

    for sound in [day(sessions(1)), day(minutes(45)), day(load(3)), week] {
        let week = Schedule { limits: sound, ..schedule("Europe/Berlin", &["Mon 09:00-12:00"]) };
        assert_eq!(check_settings(&week, &[heavy(3, 50), heavy(2, 45)]), Ok(()));
        assert_eq!(check_settings(&week, &[]), Ok(()));
    }
}

#[test]
fn a1_a_limit_of_the_day_above_that_of_the_week_is_no_contradiction() {
    let caps = |most| Caps { sessions: Some(most), ..Caps::default() };
    let limits = Limits { day: caps(20), week: caps(10), pacing: None };
    let week = Schedule { limits, ..schedule("Europe/Berlin", &["Mon 09:00-12:00"]) };
    assert_eq!(check_settings(&week, &[session(50)]), Ok(()));
}

#[test]
fn a3_breaks_and_load_weights_have_bounds() {
    let pacing = |sessions, break_minutes| Limits {
        pacing: Some(Pacing { sessions, break_minutes }),
        ..Limits::default()
    };
    check_limits_refused(pacing(0, 30), &[], E::InARowOutOfRange);
    check_limits_refused(pacing(51, 30), &[], E::InARowOutOfRange);
    check_limits_refused(pacing(3, 0), &[], E::BreakOutOfRange);
    check_limits_refused(pacing(3, 481), &[], E::BreakOutOfRange);
    let week = schedule("Europe/Berlin", &["Mon 09:00-12:00"]);
    for sound in [pacing(1, 1), pacing(50, 480)] {
        assert_eq!(check_settings(&Schedule { limits: sound, ..week.clone() }, &[]), Ok(()));
    }
    for load_weight in [0, 101] {
        let odd = SessionRules { load_weight, ..session(50) };
        check_refused(&week, &[session(50), odd], E::LoadWeightOutOfRange { session: 1 });
    }
}

#[test]
fn a3_protected_time_must_leave_room_in_some_window() {
    let windows = ["Mon 09:00-12:00", "Sun 22:00-00:00", "Mon 00:00-01:00", "Tue 00:00-01:00"];
    let mut week = schedule("Europe/Berlin", &windows);
    let protect = |windows: &[&str]| Protected {
        windows: windows.iter().map(|text| weekly(text)).collect(),
        overrides: Vec::new(),
    };
    let all = ["Mon 08:00-12:00", "Sun 20:00-01:00", "Mon 23:00-02:00"];
    for left in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(left);
        week.protected = protect(&some);
        assert_eq!(check_settings(&week, &[session(50)]), Ok(()), "{}", all[left]);
    }
    week.protected = protect(&all);
    check_refused(&week, &[session(50)], E::ProtectedCoversEveryWindow);
    check_refused(&week, &[], E::ProtectedCoversEveryWindow);
    week.protected = protect(&["Mon 09:40-12:00", "Sun 22:00-00:30", "Mon 23:00-02:00"]);
    check_refused(&week, &[session(50)], E::ProtectedCoversEveryWindow);
    assert_eq!(check_settings(&week, &[session(40)]), Ok(()));
    week.windows.clear();
    assert_eq!(check_settings(&week, &[session(50)]), Ok(()));
}

#[test]
fn a3_windows_of_two_days_before_may_make_the_room() {
    let mut week = schedule("Europe/Berlin", &["Mon 23:30-23:00", "Tue 23:00-00:00"]);
    let day = |date, kind, windows| DateOverride { date, kind, windows };
    let (monday, wednesday) = (date("2026-01-12"), date("2026-01-14"));
    week.overrides = vec![day(wednesday, OverrideKind::Add, vec![hours("00:00-00:05")])];
    assert_eq!(check_settings(&week, &[session(120)]), Ok(()));
    week.overrides.push(day(monday, OverrideKind::Replace, vec![]));
    let refused = E::OverrideShorterThanSession { index: 0, window: 0, date: wednesday };
    check_refused(&week, &[session(120)], refused);
}

/// Room for a session, asked of the open time around each window, one window after the other.
fn plain_room(schedule: &Schedule, needed: TimeDelta) -> Result<(), E> {
    let all = Schedule { zone: Zone::utc(), ..schedule.clone() };
    let ordinary = Schedule { overrides: Vec::new(), ..all.clone() };
    let short = |schedule: &Schedule, hours, date| {
        let window = nominal(hours, date).unwrap();
        let open = schedule.open(window);
        !open.spans().iter().any(|span| span.contains(window) && span.duration() >= needed)
    };
    for (window, &Window { weekday, hours }) in all.windows.iter().enumerate() {
        if short(&ordinary, hours, nominal_date(weekday, 0)) {
            return Err(E::WindowShorterThanSession { window, weekday });
        }
    }
    for (index, day) in all.overrides.iter().enumerate() {
        if let Some(window) = day.windows.iter().position(|hours| short(&all, *hours, day.date)) {
            return Err(E::OverrideShorterThanSession { index, window, date: day.date });
        }
    }
    Ok(())
}

/// Hours that start and end at a few times of day, so that many touch.
fn some_hours() -> impl Strategy<Value = DayWindow> {
    let time = |quarter: u32| NaiveTime::from_hms_opt(6 * quarter, 0, 0).unwrap();
    (0_u32..4, 0_u32..4).prop_map(move |(start, end)| DayWindow::new(time(start), time(end)).unwrap())
}

prop_compose! {
    fn some_window()(weekday in 0_u8..7, hours in some_hours()) -> Window {
        Window { weekday: weekday.try_into().unwrap(), hours }
    }
}

prop_compose! {
    fn some_override()(
        day in 0_u64..9,
        kind in prop_oneof![Just(OverrideKind::Replace), Just(OverrideKind::Add)],
        windows in prop::collection::vec(some_hours(), 0..3),
    ) -> DateOverride {
        DateOverride { date: date("2026-01-12") + Days::new(day), kind, windows }
    }
}

proptest! {
    #[test]
    fn a1_the_hours_of_a_date_come_from_its_overrides_and_no_others(
        windows in prop::collection::vec(some_window(), 0..5),
        overrides in prop::collection::vec(some_override(), 0..9),
    ) {
        let hours = HoursByDate::new(&windows, &overrides);
        for date in date("2026-01-11").iter_days().take(12) {
            let own: Vec<_> = overrides.iter().filter(|day| day.date == date).collect();
            let replaced = own.iter().any(|day| day.kind == OverrideKind::Replace);
            let weekly = windows.iter().filter(|window| !replaced && window.weekday == date.weekday());
            let expected: Vec<DayWindow> = weekly
                .map(|window| window.hours)
                .chain(own.iter().flat_map(|day| day.windows.clone()))
                .collect();
            prop_assert_eq!(hours.on(date).collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a3_room_laid_out_once_is_the_room_around_each_window(
        windows in prop::collection::vec(some_window(), 0..5),
        overrides in prop::collection::vec(some_override(), 0..9),
        needed in 1_i64..=16,
    ) {
        let schedule = Schedule { windows, overrides, ..schedule("Europe/Berlin", &[]) };
        let needed = TimeDelta::hours(needed);
        prop_assert_eq!(check_room(&schedule, needed), plain_room(&schedule, needed));
    }
}
