use chrono::{Datelike, Days, NaiveDateTime, NaiveTime, Weekday};
use proptest::prelude::*;

use super::*;
use crate::{
    Busy, DateOverride, DayWindow, Horizon, Limits, OverrideKind, Protected, Roster, Rules, Shift, ShiftKind,
    ShiftRules, Travel, Window, Zone, unavailable, union,
};

fn zone(name: &str) -> Zone {
    Rules::compiled_in().zone(name).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    format!("{text}:00Z").parse().unwrap()
}

fn span(start: DateTime<Utc>, minutes: i64) -> Span {
    Span::new(start, start + TimeDelta::minutes(minutes)).unwrap()
}

fn hours(start: u32, end: u32) -> DayWindow {
    let time = |minute: u32| NaiveTime::from_hms_opt(minute / 60 % 24, minute % 60, 0).unwrap();
    DayWindow::new(time(start), time(end)).unwrap()
}

fn session(minutes: i64, interval: u32, offset: u32) -> SessionRules {
    SessionRules {
        duration: TimeDelta::minutes(minutes),
        buffer_before: TimeDelta::zero(),
        buffer_after: TimeDelta::zero(),
        grid_interval_minutes: interval,
        grid_offset_minutes: offset,
        load_weight: 1,
    }
}

/// Open every day between two minutes of the local day.
fn daily(name: &str, start: u32, end: u32) -> Schedule {
    let weekdays = (0..7).map(|day| Weekday::try_from(day).unwrap());
    Schedule {
        zone: zone(name),
        windows: weekdays.map(|weekday| Window { weekday, hours: hours(start, end) }).collect(),
        overrides: Vec::new(),
        time_off: Vec::new(),
        busy_elsewhere: Busy::default(),
        protected: Protected::default(),
        travels: Vec::new(),
        notice: TimeDelta::zero(),
        horizon: Horizon::Days(365),
        limits: Limits::default(),
    }
}

/// The local readings of the slots that start in the 24 hours from `from`.
#[track_caller]
fn check_slots(schedule: &Schedule, session: &SessionRules, from: &str, expected: &[&str]) {
    let range = span(at(from), 24 * 60);
    let open = schedule.open(range);
    let admission = Admission {
        schedule,
        open: &open,
        session,
        busy: &[],
        sharing: &[],
        load: &Load::default(),
        alias_busy: &[],
        unavailable: &[],
        now: range.start() - TimeDelta::days(1),
    };
    let found: Vec<String> = slots(&admission, range)
        .map(|slot| schedule.zone.local(slot.session.start()).format("%H:%M").to_string())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn t4_the_grid_counts_from_local_midnight() {
    check_slots(
        &daily("Asia/Kathmandu", 9 * 60 + 10, 12 * 60),
        &session(45, 50, 20),
        "2026-06-01T00:00",
        &["09:30", "10:20", "11:10"],
    );
    // 16:40 is the 20th start of its day; the next day begins anew.
    check_slots(
        &daily("Europe/Berlin", 23 * 60, 60),
        &session(15, 50, 0),
        "2026-01-12T20:00",
        &["23:20", "00:00"],
    );
}

#[test]
fn t4_the_last_quarter_of_the_day_can_be_booked() {
    check_slots(
        &daily("Europe/Berlin", 23 * 60 + 30, 0),
        &session(15, 15, 0),
        "2026-01-12T12:00",
        &["23:30", "23:45"],
    );
}

#[test]
fn t4_starts_in_a_gap_do_not_exist() {
    check_slots(
        &daily("Europe/Berlin", 60, 4 * 60),
        &session(30, 30, 0),
        "2026-03-28T23:00",
        &["01:00", "01:30", "03:00", "03:30"],
    );
    check_slots(
        &daily("Australia/Lord_Howe", 60, 4 * 60),
        &session(15, 15, 0),
        "2026-10-03T13:00",
        &["01:00", "01:15", "01:30", "01:45", "02:30", "02:45", "03:00", "03:15", "03:30", "03:45"],
    );
}

#[test]
fn t4_starts_in_a_fold_are_two() {
    check_slots(
        &daily("America/New_York", 30, 2 * 60 + 30),
        &session(30, 30, 0),
        "2026-11-01T00:00",
        &["00:30", "01:00", "01:30", "01:00", "01:30", "02:00"],
    );
    check_slots(
        &daily("Australia/Lord_Howe", 60, 2 * 60),
        &session(15, 15, 0),
        "2026-04-04T12:00",
        &["01:00", "01:15", "01:30", "01:45", "01:30", "01:45"],
    );
}

#[test]
fn t6_there_is_no_fold_in_vancouver_in_november_2026() {
    check_slots(
        &daily("America/Vancouver", 30, 2 * 60 + 30),
        &session(30, 30, 0),
        "2026-11-01T00:00",
        &["00:30", "01:00", "01:30", "02:00"],
    );
}

#[test]
fn t4_buffers_fit_inside_open_time() {
    let buffered = SessionRules {
        buffer_before: TimeDelta::minutes(15),
        buffer_after: TimeDelta::minutes(30),
        ..session(30, 15, 0)
    };
    check_slots(
        &daily("Europe/Berlin", 540, 660),
        &buffered,
        "2026-01-12T00:00",
        &["09:15", "09:30", "09:45", "10:00"],
    );
}

#[test]
fn every_refusal_tells_its_facts() {
    let now = at("2026-01-12T06:00");
    let mut schedule = daily("Europe/Berlin", 540, 1020);
    schedule.notice = TimeDelta::hours(3);
    schedule.horizon = Horizon::Days(7);
    let session = SessionRules { buffer_after: TimeDelta::minutes(10), ..session(50, 30, 0) };
    let open = schedule.open(span(now, 20 * 24 * 60));
    let taken = |text, reason| crate::Unavailable { span: span(at(text), 60), reason };
    let admission = Admission {
        schedule: &schedule,
        open: &open,
        session: &session,
        busy: &[span(at("2026-01-13T10:00"), 60)],
        sharing: &[],
        load: &Load::default(),
        alias_busy: &[span(at("2026-01-13T13:00"), 60), span(at("2026-01-13T08:00"), 60)],
        unavailable: &[
            taken("2026-01-14T08:00", WorkerRefusal::Sleep),
            taken("2026-01-15T08:00", WorkerRefusal::Shift),
        ],
        now,
    };
    let refusal = |text| admit(&admission, at(text)).unwrap_err();
    assert_eq!(refusal("2026-01-12T08:30"), Refusal::TooSoon { earliest: at("2026-01-12T09:00") });
    let last = "2026-01-19".parse().unwrap();
    assert_eq!(refusal("2026-01-20T09:00"), Refusal::BeyondHorizon { last });
    assert!(admit(&admission, at("2026-01-19T15:00")).is_ok());
    assert_eq!(refusal("2026-01-12T20:00"), Refusal::OutsideHours);
    assert_eq!(refusal("2026-01-12T15:30"), Refusal::OutsideHours);
    assert_eq!(refusal("2026-01-12T09:15"), Refusal::OffGrid);
    let within_a_second = at("2026-01-12T09:30") + TimeDelta::milliseconds(1);
    assert_eq!(admit(&admission, within_a_second), Err(Refusal::OffGrid));
    assert_eq!(refusal("2026-01-13T09:30"), Refusal::Taken);
    assert!(admit(&admission, at("2026-01-13T09:00")).is_ok());
    assert!(admit(&admission, at("2026-01-13T11:00")).is_ok());
    assert_eq!(refusal("2026-01-13T13:30"), Refusal::AliasBusy);
    assert_eq!(refusal("2026-01-13T08:30"), Refusal::AliasBusy);
    assert_eq!(refusal("2026-01-14T08:30"), Refusal::Worker(WorkerRefusal::Sleep));
    assert_eq!(refusal("2026-01-15T08:30"), Refusal::Worker(WorkerRefusal::Shift));
    // The therapist's buffer after the session is no business of the worker's sleep.
    assert!(admit(&admission, at("2026-01-14T09:00")).is_ok());
}

#[test]
fn d5_half_an_hour_lies_between_sessions_of_those_who_share_a_tag() {
    let (schedule, now) = (daily("Etc/UTC", 540, 1020), at("2026-01-12T06:00"));
    let open = schedule.open(span(now, 24 * 60));
    let session = SessionRules { buffer_before: TimeDelta::minutes(20), ..session(50, 5, 0) };
    let sharing = [span(at("2026-01-12T12:00"), 60)];
    let check = |start, expected| {
        let admission = Admission {
            schedule: &schedule,
            open: &open,
            session: &session,
            busy: &[],
            sharing: &sharing,
            load: &Load::default(),
            alias_busy: &[],
            unavailable: &[],
            now,
        };
        let verdict = admit(&admission, at(start)).map(|_| ());
        assert_eq!(verdict, expected, "{start}");
        assert_eq!(verdict.map_err(Refusal::for_worker), expected.map_err(|_| Refusal::Taken), "{start}");
    };
    check("2026-01-12T10:40", Ok(()));
    check("2026-01-12T10:45", Err(Refusal::Adjacent));
    check("2026-01-12T12:00", Err(Refusal::Adjacent));
    check("2026-01-12T13:25", Err(Refusal::Adjacent));
    check("2026-01-12T13:30", Ok(()));
}

#[test]
fn s3_a_check_in_may_be_held_in_a_break() {
    let (schedule, now) = (daily("Europe/Berlin", 540, 1020), at("2026-01-12T06:00"));
    let open = schedule.open(span(now, 24 * 60));
    let taken = |text, minutes, reason| crate::Unavailable { span: span(at(text), minutes), reason };
    let unavailable = [
        taken("2026-01-12T08:00", 60, WorkerRefusal::Shift),
        taken("2026-01-12T09:00", 40, WorkerRefusal::Break),
        taken("2026-01-12T09:40", 60, WorkerRefusal::Shift),
    ];
    let check = |minutes, start, expected: Result<(), WorkerRefusal>| {
        let admission = Admission {
            schedule: &schedule,
            open: &open,
            session: &session(minutes, 5, 0),
            busy: &[],
            sharing: &[],
            load: &Load::default(),
            alias_busy: &[],
            unavailable: &unavailable,
            now,
        };
        assert_eq!(admit(&admission, at(start)).map(|_| ()), expected.map_err(Refusal::Worker));
    };
    check(30, "2026-01-12T09:00", Ok(()));
    check(30, "2026-01-12T09:10", Ok(()));
    check(30, "2026-01-12T09:15", Err(WorkerRefusal::Break));
    check(35, "2026-01-12T09:00", Err(WorkerRefusal::Break));
    check(5, "2026-01-12T09:00", Err(WorkerRefusal::Break));
    check(30, "2026-01-12T08:55", Err(WorkerRefusal::Shift));
    check(30, "2026-01-12T09:40", Err(WorkerRefusal::Shift));
}

/// Three days around a change of some clock, cut into minutes, where everything is decided one by one.
const DAYS: i64 = 3;
const MARGIN: i64 = 4 * 24 * 60;

#[derive(Debug)]
struct Case {
    schedule: Schedule,
    session: SessionRules,
    busy: Vec<Span>,
    sharing: Vec<Span>,
    alias_busy: Vec<Span>,
    roster: Roster,
    range: Span,
    now: DateTime<Utc>,
}

fn cases() -> impl Strategy<Value = Case> {
    let changes = prop::sample::select(vec![
        ("Europe/Berlin", "2026-03-28T00:00"),
        ("Europe/Berlin", "2026-10-24T00:00"),
        ("America/New_York", "2026-03-07T00:00"),
        ("America/New_York", "2026-10-31T00:00"),
        ("Australia/Lord_Howe", "2026-04-03T06:00"),
        ("Australia/Lord_Howe", "2026-10-02T06:00"),
        ("America/Vancouver", "2026-10-31T00:00"),
        ("Pacific/Apia", "2011-12-29T00:00"),
        ("Pacific/Chatham", "2026-04-03T06:00"),
        ("Africa/Cairo", "2026-04-23T00:00"),
        ("Atlantic/Azores", "2026-10-24T00:00"),
        ("Asia/Kathmandu", "2026-06-01T00:00"),
    ]);
    // Round minutes often, so that windows touch and grids meet.
    let minute = || prop_oneof![(0_u32..96).prop_map(|quarter| quarter * 15), 0_u32..1439];
    let day_window = move || (minute(), minute()).prop_map(|(start, end)| hours(start, end));
    let windows = move |most: usize| {
        let window = (0_u8..7, day_window())
            .prop_map(|(day, hours)| Window { weekday: Weekday::try_from(day).unwrap(), hours });
        prop::collection::vec(window, 0..most)
    };
    let overrides = move || {
        prop::collection::vec((0_u64..3, any::<bool>(), prop::collection::vec(day_window(), 0..3)), 0..2)
    };
    let week = (windows(8), overrides(), windows(3), overrides());
    let spans = |most: usize| prop::collection::vec((0..DAYS * 24 * 60, 1_i64..300), 0..most);
    let session = (5_i64..120, 0_i64..30, 0_i64..30, 1_u32..120, 0_u32..600);
    let travel =
        prop::option::of((0_u64..3, 0_u64..2, prop::sample::select(vec!["Asia/Tokyo", "America/New_York"])));
    let reach = (0_i64..2000, 0_u32..5);
    (changes, week, (spans(3), spans(2), spans(4), spans(2), spans(2), spans(2)), session, travel, reach)
        .prop_map(
            |(
                (name, start),
                (windows, overrides, protected, protected_overrides),
                (off, elsewhere, busy, sharing, alias_busy, shifts),
                session,
                travel,
                (notice, days),
            )| {
                let start = at(start);
                let first = start.date_naive();
                let put = |list: Vec<(i64, i64)>| -> Vec<Span> {
                    list.into_iter()
                        .map(|(from, minutes)| span(start + TimeDelta::minutes(from), minutes))
                        .collect()
                };
                let differing = |list: Vec<(u64, bool, Vec<DayWindow>)>| -> Vec<DateOverride> {
                    list.into_iter()
                        .map(|(day, replace, windows)| DateOverride {
                            date: first + Days::new(day),
                            kind: if replace { OverrideKind::Replace } else { OverrideKind::Add },
                            windows,
                        })
                        .collect()
                };
                let schedule = Schedule {
                    windows,
                    overrides: differing(overrides),
                    protected: Protected { windows: protected, overrides: differing(protected_overrides) },
                    time_off: put(off),
                    busy_elsewhere: put(elsewhere).into_iter().collect(),
                    travels: travel
                        .into_iter()
                        .map(|(day, length, name)| Travel {
                            from: first + Days::new(day),
                            until: first + Days::new(day + length),
                            zone: zone(name),
                        })
                        .collect(),
                    notice: TimeDelta::minutes(notice),
                    horizon: Horizon::Days(days),
                    ..daily(name, 0, 0)
                };
                let (duration, before, after, grid_interval_minutes, grid_offset_minutes) = session;
                let session = SessionRules {
                    duration: TimeDelta::minutes(duration),
                    buffer_before: TimeDelta::minutes(before),
                    buffer_after: TimeDelta::minutes(after),
                    grid_interval_minutes,
                    grid_offset_minutes,
                    load_weight: 1,
                };
                let shifts =
                    put(shifts).into_iter().map(|span| Shift { span, kind: ShiftKind::Day }).collect();
                let roster = Roster::new(&schedule.zone, shifts, Some(first + Days::new(2)), start).unwrap();
                let (busy, range) = (union(put(busy)), span(start, DAYS * 24 * 60));
                let (sharing, alias_busy) = (put(sharing), put(alias_busy));
                Case { schedule, session, busy, sharing, alias_busy, roster, range, now: start }
            },
        )
}

/// The minutes around the range, with nothing clever.
struct Minutes {
    all: Vec<DateTime<Utc>>,
}

impl Minutes {
    fn around(range: Span) -> Self {
        let first = range.start() - TimeDelta::minutes(MARGIN);
        Self { all: (0..MARGIN * 2 + DAYS * 24 * 60).map(|i| first + TimeDelta::minutes(i)).collect() }
    }

    fn read(&self, zone: &Zone) -> Vec<NaiveDateTime> {
        self.all.iter().map(|minute| zone.local(*minute)).collect()
    }

    fn within(&self, spans: &[Span]) -> Vec<bool> {
        self.all.iter().map(|minute| spans.iter().any(|span| span.contains_instant(*minute))).collect()
    }
}

/// T3 as one would do it with a finger on the calendar: a window opens at the first minute that reads its
/// start or later, and closes at the last minute that reads its end, or where none does, after the last that
/// reads earlier.
fn model(case: &Case) -> Vec<DateTime<Utc>> {
    let Case { schedule, session, busy, sharing, alias_busy, roster, range, now } = case;
    let minutes = Minutes::around(*range);
    let home = minutes.read(&schedule.zone);
    let laid_out = |weekly: &[Window], overrides: &[DateOverride]| {
        let mut windows: Vec<(usize, usize, Vec<NaiveDateTime>)> = Vec::new();
        let first = range.start().date_naive() - Days::new(3);
        for date in first.iter_days().take(8) {
            let travel = schedule.travels.iter().find(|travel| (travel.from..=travel.until).contains(&date));
            let readings = travel.map_or(home.clone(), |travel| minutes.read(&travel.zone));
            let of_date = || overrides.iter().filter(|day| day.date == date);
            let mut hours: Vec<DayWindow> = of_date().flat_map(|day| day.windows.clone()).collect();
            if of_date().all(|day| day.kind != OverrideKind::Replace) {
                let weekly = weekly.iter().filter(|window| window.weekday == date.weekday());
                hours.extend(weekly.map(|window| window.hours));
            }
            for hours in hours {
                let last = if hours.end() > hours.start() { date } else { date + Days::new(1) };
                let (start, end) = (date.and_time(hours.start()), last.and_time(hours.end()));
                let opens = readings.iter().position(|reading| *reading >= start).unwrap();
                let closes = readings
                    .iter()
                    .rposition(|reading| *reading == end)
                    .unwrap_or_else(|| readings.iter().rposition(|reading| *reading < end).unwrap() + 1);
                windows.push((opens, closes, readings.clone()));
            }
        }
        windows
    };
    let windows = laid_out(&schedule.windows, &schedule.overrides);
    let protected = laid_out(&schedule.protected.windows, &schedule.protected.overrides);
    let around = range.widened(TimeDelta::days(9), TimeDelta::days(9));
    let elsewhere: Vec<Span> = schedule.busy_elsewhere.overlapping(around).collect();
    let (off, elsewhere) = (minutes.within(&schedule.time_off), minutes.within(&elsewhere));
    let covered = |windows: &[(usize, usize, Vec<NaiveDateTime>)], i: usize| {
        windows.iter().any(|(opens, closes, _)| (*opens..*closes).contains(&i))
    };
    let closed = |i: usize| off[i] || elsewhere[i] || covered(&protected, i);
    let open: Vec<bool> = (0..minutes.all.len()).map(|i| covered(&windows, i) && !closed(i)).collect();
    let unavailable = unavailable(roster, &ShiftRules::default(), &schedule.zone, *range, false);
    let away = minutes.within(&unavailable.iter().map(|time| time.span).collect::<Vec<_>>());
    let (busy, alias_busy, sharing) =
        (minutes.within(busy), minutes.within(alias_busy), minutes.within(sharing));
    let Horizon::Days(days) = schedule.horizon else { unreachable!("cases have rolling horizons") };
    let last = schedule.zone.local(*now).date() + Days::new(days.into());

    let steps = |time: TimeDelta| usize::try_from(time.num_minutes()).unwrap();
    let may_start = |i: usize| {
        let whole = i - steps(session.buffer_before)..i + steps(session.duration + session.buffer_after);
        let own = i..i + steps(session.duration);
        let on_grid = windows.iter().any(|(opens, closes, readings)| {
            let minute = readings[i].time().num_seconds_from_midnight() / 60;
            let starts = (session.grid_offset_minutes..1440).step_by(session.grid_interval_minutes as usize);
            (*opens..*closes).contains(&i) && starts.into_iter().any(|start| start == minute)
        });
        minutes.all[i] >= *now + schedule.notice
            && home[i].date() <= last
            && open[whole.clone()].iter().all(|open| *open)
            && on_grid
            && !busy[whole.clone()].iter().any(|busy| *busy)
            && !sharing[own.start - 30..own.end + 30].iter().any(|sharing| *sharing)
            && !alias_busy[whole].iter().any(|busy| *busy)
            && !away[own].iter().any(|away| *away)
    };
    (0..minutes.all.len())
        .filter(|i| range.contains_instant(minutes.all[*i]) && may_start(*i))
        .map(|i| minutes.all[i])
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn t5_slots_admission_and_a_slow_model_agree_on_every_minute(case in cases()) {
        let Case { schedule, session, busy, sharing, alias_busy, roster, range, now } = &case;
        let unavailable = unavailable(roster, &ShiftRules::default(), &schedule.zone, *range, false);
        let open = schedule.open(*range);
        let admission = Admission {
            schedule, open: &open, session, busy, sharing, load: &Load::default(), alias_busy,
            unavailable: &unavailable, now: *now,
        };
        let listed: Vec<Admitted> = slots(&admission, *range).collect();
        let starts: Vec<DateTime<Utc>> = listed.iter().map(|slot| slot.session.start()).collect();
        prop_assert_eq!(&starts, &model(&case), "slots and the model");

        let minutes = (0..DAYS * 24 * 60).map(|i| range.start() + TimeDelta::minutes(i));
        let admitted: Vec<Admitted> = minutes.filter_map(|minute| admit(&admission, minute).ok()).collect();
        prop_assert_eq!(&admitted, &listed, "admission and slots");

        let judged: Vec<_> = candidates(&admission, *range).collect();
        prop_assert!(judged.windows(2).all(|pair| pair[0].0 < pair[1].0), "ascending");
        prop_assert!(judged.iter().all(|(_, verdict)| *verdict != Err(Refusal::OffGrid)));
    }
}
