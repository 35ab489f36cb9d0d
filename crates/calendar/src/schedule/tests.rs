use super::*;
use crate::Rules;

pub(super) fn hours(text: &str) -> DayWindow {
    let (start, end) = text.split_once('-').unwrap();
    serde_json::from_value(serde_json::json!({ "start": start, "end": end })).unwrap()
}

pub(super) fn weekly(text: &str) -> Window {
    let (weekday, text) = text.split_once(' ').unwrap();
    Window { weekday: weekday.parse().unwrap(), hours: hours(text) }
}

pub(super) fn schedule(zone: &str, windows: &[&str]) -> Schedule {
    Schedule {
        zone: Rules::compiled_in().zone(zone).unwrap(),
        windows: windows.iter().map(|text| weekly(text)).collect(),
        overrides: Vec::new(),
        time_off: Vec::new(),
        busy_elsewhere: Busy::default(),
        protected: Protected::default(),
        travels: Vec::new(),
        notice: TimeDelta::zero(),
        horizon: Horizon::Days(60),
        limits: Limits::default(),
    }
}

pub(super) fn date(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn span(text: &str) -> Span {
    let (start, end) = text.split_once(' ').unwrap();
    let at = |text: &str| format!("{text}:00Z").parse().unwrap();
    Span::new(at(start), at(end)).unwrap()
}

/// Open time that touches the UTC day of `day`.
#[track_caller]
fn check_open(schedule: &Schedule, day: &str, expected: &[&str]) {
    let whole_day = span(&format!("{day}T00:00 {day}T23:59"));
    let open: Vec<Span> =
        schedule.open(whole_day).spans().iter().copied().filter(|open| open.overlaps(whole_day)).collect();
    assert_eq!(open, expected.iter().map(|text| span(text)).collect::<Vec<_>>());
}

#[track_caller]
fn check_hours(start: &str, end: &str, expected: Result<i64, WindowError>) {
    let made = Hours { start: start.into(), end: end.into() };
    assert_eq!(DayWindow::try_from(made).map(DayWindow::minutes), expected);
}

#[test]
fn t2_an_end_that_is_not_after_the_start_is_on_the_next_day() {
    check_hours("09:00", "17:00", Ok(480));
    check_hours("22:00", "02:00", Ok(240));
    check_hours("22:00", "00:00", Ok(120));
    check_hours("00:00", "00:00", Ok(1440));
    check_hours("09:00", "09:00", Ok(1440));
    check_hours("23:59", "00:00", Ok(1));
}

#[test]
fn t2_tricks_are_refused() {
    check_hours("09:00", "23:59", Err(WindowError::EndsBeforeMidnight));
    check_hours("09:00", "24:00", Err(WindowError::NotATimeOfDay));
    check_hours("09:00", "17:00:30", Err(WindowError::NotATimeOfDay));
    check_hours("", "17:00", Err(WindowError::NotATimeOfDay));
    let second = NaiveTime::from_hms_opt(9, 0, 1).unwrap();
    assert_eq!(DayWindow::new(second, NaiveTime::MIN), Err(WindowError::NotWholeMinutes));
}

#[test]
fn hours_as_data_are_two_times_of_day() {
    let text = r#"{"weekday":"Tue","hours":{"start":"22:00","end":"02:00"}}"#;
    assert_eq!(serde_json::to_string(&weekly("Tue 22:00-02:00")).unwrap(), text);
    assert_eq!(serde_json::from_str::<Window>(text).unwrap(), weekly("Tue 22:00-02:00"));
}

#[test]
fn t2_a_night_window_belongs_to_the_day_it_starts() {
    let mut nights = schedule("Europe/Berlin", &["Tue 22:00-02:00"]);
    check_open(&nights, "2026-01-13", &["2026-01-13T21:00 2026-01-14T01:00"]);
    let closed = |text| DateOverride { date: date(text), kind: OverrideKind::Replace, windows: vec![] };
    nights.overrides = vec![closed("2026-01-14")];
    check_open(&nights, "2026-01-13", &["2026-01-13T21:00 2026-01-14T01:00"]);
    nights.overrides = vec![closed("2026-01-13")];
    check_open(&nights, "2026-01-13", &[]);
}

#[test]
fn t2_midnight_joins_the_windows_on_both_sides() {
    let two_days = schedule("Europe/Berlin", &["Mon 20:00-00:00", "Tue 00:00-03:00"]);
    check_open(&two_days, "2026-01-12", &["2026-01-12T19:00 2026-01-13T02:00"]);
}

#[test]
fn t3_windows_at_the_spring_change() {
    check_open(
        &schedule("Europe/Berlin", &["Sun 01:00-02:30"]),
        "2026-03-29",
        &["2026-03-29T00:00 2026-03-29T01:00"],
    );
    check_open(&schedule("Europe/Berlin", &["Sun 02:00-03:00"]), "2026-03-29", &[]);
    check_open(
        &schedule("Europe/Berlin", &["Sat 22:00-06:00"]),
        "2026-03-29",
        &["2026-03-28T21:00 2026-03-29T04:00"],
    );
    check_open(
        &schedule("Australia/Lord_Howe", &["Sun 02:15-04:00"]),
        "2026-10-03",
        &["2026-10-03T15:30 2026-10-03T17:00"],
    );
}

#[test]
fn t3_windows_at_the_autumn_change() {
    check_open(
        &schedule("Europe/Berlin", &["Sun 01:00-02:30"]),
        "2026-10-25",
        &["2026-10-24T23:00 2026-10-25T01:30"],
    );
    check_open(
        &schedule("Europe/Berlin", &["Sun 02:30-04:00"]),
        "2026-10-25",
        &["2026-10-25T00:30 2026-10-25T03:00"],
    );
    check_open(
        &schedule("America/New_York", &["Sat 22:00-06:00"]),
        "2026-11-01",
        &["2026-11-01T02:00 2026-11-01T11:00"],
    );
    check_open(
        &schedule("America/Vancouver", &["Sun 09:00-17:00"]),
        "2026-11-08",
        &["2026-11-08T16:00 2026-11-09T00:00"],
    );
}

#[test]
fn t3_a_day_that_does_not_exist_has_no_windows() {
    check_open(&schedule("Pacific/Apia", &["Fri 09:00-17:00"]), "2011-12-30", &[]);
}

#[test]
fn a1_overrides_add_or_replace_and_what_is_away_cuts() {
    let mut week = schedule("Europe/Berlin", &["Mon 09:00-12:00"]);
    let on_monday = |kind, windows| DateOverride { date: date("2026-01-12"), kind, windows };
    week.overrides = vec![on_monday(OverrideKind::Add, vec![hours("14:00-16:00")])];
    let both = ["2026-01-12T08:00 2026-01-12T11:00", "2026-01-12T13:00 2026-01-12T15:00"];
    check_open(&week, "2026-01-12", &both);
    week.overrides = vec![on_monday(OverrideKind::Replace, vec![hours("14:00-16:00")])];
    check_open(&week, "2026-01-12", &both[1..]);
    week.time_off = vec![span("2026-01-12T13:30 2026-01-12T14:00")];
    check_open(
        &week,
        "2026-01-12",
        &["2026-01-12T13:00 2026-01-12T13:30", "2026-01-12T14:00 2026-01-12T15:00"],
    );
    week.busy_elsewhere = [span("2026-01-12T13:50 2026-01-12T14:20")].into_iter().collect();
    check_open(
        &week,
        "2026-01-12",
        &["2026-01-12T13:00 2026-01-12T13:30", "2026-01-12T14:20 2026-01-12T15:00"],
    );
}

#[test]
fn a2_protected_time_is_cut_out_on_the_clock_of_its_date() {
    let protect = |windows: &[&str], overrides| Protected {
        windows: windows.iter().map(|text| weekly(text)).collect(),
        overrides,
    };
    let mut week = schedule("Europe/Berlin", &["Mon 09:00-12:00", "Tue 09:00-12:00"]);
    week.protected = protect(&["Mon 10:00-10:30"], Vec::new());
    let halves = ["2026-01-12T08:00 2026-01-12T09:00", "2026-01-12T09:30 2026-01-12T11:00"];
    check_open(&week, "2026-01-12", &halves);
    check_open(&week, "2026-01-13", &["2026-01-13T08:00 2026-01-13T11:00"]);
    // A supervision that moves for one week, and one that falls away.
    let on_monday =
        |windows| vec![DateOverride { date: date("2026-01-12"), kind: OverrideKind::Replace, windows }];
    week.protected.overrides = on_monday(vec![hours("09:00-10:00")]);
    check_open(&week, "2026-01-12", &["2026-01-12T09:00 2026-01-12T11:00"]);
    week.protected.overrides = on_monday(vec![]);
    check_open(&week, "2026-01-12", &["2026-01-12T08:00 2026-01-12T11:00"]);
    // It runs over midnight from the day before, and travels.
    week.protected = protect(&["Sun 23:00-09:30"], Vec::new());
    check_open(&week, "2026-01-12", &["2026-01-12T08:30 2026-01-12T11:00"]);
    let zone = Rules::compiled_in().zone("America/New_York").unwrap();
    week.travels = vec![Travel { from: date("2026-01-12"), until: date("2026-01-12"), zone }];
    week.protected = protect(&["Mon 10:00-10:30"], Vec::new());
    let halves = ["2026-01-12T14:00 2026-01-12T15:00", "2026-01-12T15:30 2026-01-12T17:00"];
    check_open(&week, "2026-01-12", &halves);
}

#[test]
fn t3_protected_time_at_the_clock_changes() {
    let protected = |windows: &[&str]| Protected {
        windows: windows.iter().map(|text| weekly(text)).collect(),
        overrides: Vec::new(),
    };
    let mut night = schedule("Europe/Berlin", &["Sun 00:00-06:00"]);
    night.protected = protected(&["Sun 02:30-04:00"]);
    check_open(
        &night,
        "2026-03-29",
        &["2026-03-28T23:00 2026-03-29T01:00", "2026-03-29T02:00 2026-03-29T04:00"],
    );
    night.protected = protected(&["Sun 02:15-02:30"]);
    check_open(&night, "2026-03-29", &["2026-03-28T23:00 2026-03-29T04:00"]);
    // From the first time the clock reads 02:15 to the second time it reads 02:30.
    check_open(
        &night,
        "2026-10-25",
        &["2026-10-24T22:00 2026-10-25T00:15", "2026-10-25T01:30 2026-10-25T05:00"],
    );
}

#[test]
fn a1_a_travel_moves_the_clock_for_its_dates() {
    let mut week = schedule("Europe/Berlin", &["Mon 09:00-12:00", "Tue 09:00-12:00"]);
    let zone = Rules::compiled_in().zone("America/New_York").unwrap();
    week.travels = vec![Travel { from: date("2026-01-12"), until: date("2026-01-12"), zone }];
    check_open(&week, "2026-01-12", &["2026-01-12T14:00 2026-01-12T17:00"]);
    check_open(&week, "2026-01-13", &["2026-01-13T08:00 2026-01-13T11:00"]);
}
