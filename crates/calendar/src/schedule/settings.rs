//! Whether what a therapist says about their time makes sense (A3).

use std::collections::{BTreeSet, HashSet};

use chrono::{Days, NaiveDate, TimeDelta, Weekday};

use super::{
    DateOverride, DayWindow, Horizon, HoursByDate, OverrideKind, Schedule, SessionRules, Travel, Window,
};
use crate::span::first_ending_after;
use crate::{Span, union};

/// Settings that contradict each other or themselves (A3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Nothing could ever be booked: by the time notice is over, the horizon is too.
    #[error("a notice of {} hours reaches beyond the horizon of {days} days", notice.num_hours())]
    NoticeBeyondHorizon {
        /// The notice asked for.
        notice: TimeDelta,
        /// The days of the horizon.
        days: u32,
    },
    /// Negative, or over a year.
    #[error("the notice must be between nothing and a year")]
    NoticeOutOfRange,
    /// Over two years.
    #[error("the horizon must be at most 730 days")]
    HorizonOutOfRange,
    /// Two weekly windows claim the same time.
    #[error("the weekly windows {first} and {second} overlap")]
    WindowsOverlap {
        /// Index of the one that comes first in the week.
        first: usize,
        /// Index of the one that runs into it.
        second: usize,
    },
    /// No session type fits into a weekly window and those that touch it.
    #[error("a window of {weekday} is shorter than the shortest session with its buffers")]
    WindowShorterThanSession {
        /// Index of the window.
        window: usize,
        /// The day it starts on.
        weekday: Weekday,
    },
    /// Two hours of one date override claim the same time.
    #[error("hours of the override for {date} overlap")]
    OverrideHoursOverlap {
        /// Index of the override.
        index: usize,
        /// Index of the hours that run into others.
        window: usize,
        /// The date it is for.
        date: NaiveDate,
    },
    /// No session type fits into hours of a date override and those that touch them.
    #[error("hours of the override for {date} are shorter than the shortest session with its buffers")]
    OverrideShorterThanSession {
        /// Index of the override.
        index: usize,
        /// Index of the hours.
        window: usize,
        /// The date it is for.
        date: NaiveDate,
    },
    /// Two overrides replace the windows of one date.
    #[error("{date} is replaced twice")]
    ReplacedTwice {
        /// Index of the second override.
        index: usize,
        /// The date both are for.
        date: NaiveDate,
    },
    /// A travel ends before it starts.
    #[error("the travel ends before it starts")]
    TravelReversed {
        /// Index of the travel.
        index: usize,
    },
    /// Two travels claim the same date.
    #[error("two travels are on the same date")]
    TravelsOverlap {
        /// Index of the later one.
        index: usize,
    },
    /// Not 5 minutes to 8 hours, or not whole minutes.
    #[error("a session lasts 5 minutes to 8 hours, in whole minutes")]
    DurationOutOfRange {
        /// Index of the session type.
        session: usize,
    },
    /// Not nothing to 4 hours, or not whole minutes.
    #[error("a buffer lasts at most 4 hours, in whole minutes")]
    BufferOutOfRange {
        /// Index of the session type.
        session: usize,
        /// Whether it is the buffer before the session, not the one after.
        before: bool,
    },
    /// An interval of less than 5 minutes or more than a day.
    #[error("the grid interval must be 5 to 1,440 minutes")]
    GridIntervalOutOfRange {
        /// Index of the session type.
        session: usize,
    },
    /// An offset of a day or more.
    #[error("the grid offset must be below 1,440 minutes")]
    GridOffsetOutOfRange {
        /// Index of the session type.
        session: usize,
    },
}

/// A3: whether settings can be saved. A window must fit at least one session type, if there are any.
pub fn check_settings(schedule: &Schedule, sessions: &[SessionRules]) -> Result<(), SettingsError> {
    sessions.iter().enumerate().try_for_each(|(index, session)| check_session(index, session))?;
    check_reach(schedule)?;
    check_travels(&schedule.travels)?;
    check_no_overlap(schedule)?;
    match sessions.iter().map(SessionRules::needs).min() {
        Some(shortest) => check_room(schedule, shortest),
        None => Ok(()),
    }
}

fn check_session(session: usize, rules: &SessionRules) -> Result<(), SettingsError> {
    let whole_minutes = |time: TimeDelta| time == TimeDelta::minutes(time.num_minutes());
    let (shortest, longest) = (TimeDelta::minutes(5), TimeDelta::hours(8));
    if !(shortest..=longest).contains(&rules.duration) || !whole_minutes(rules.duration) {
        return Err(SettingsError::DurationOutOfRange { session });
    }
    for (before, buffer) in [(true, rules.buffer_before), (false, rules.buffer_after)] {
        if !(TimeDelta::zero()..=TimeDelta::hours(4)).contains(&buffer) || !whole_minutes(buffer) {
            return Err(SettingsError::BufferOutOfRange { session, before });
        }
    }
    if !(5..=1440).contains(&rules.grid_interval_minutes) {
        return Err(SettingsError::GridIntervalOutOfRange { session });
    }
    if rules.grid_offset_minutes >= 1440 {
        return Err(SettingsError::GridOffsetOutOfRange { session });
    }
    Ok(())
}

fn check_reach(schedule: &Schedule) -> Result<(), SettingsError> {
    let notice = schedule.notice;
    if !(TimeDelta::zero()..=TimeDelta::days(366)).contains(&notice) {
        return Err(SettingsError::NoticeOutOfRange);
    }
    if let Horizon::Days(days) = schedule.horizon {
        if days > 730 {
            return Err(SettingsError::HorizonOutOfRange);
        }
        // The last day counts in full, so that the horizon is up to a day further away.
        if notice >= TimeDelta::days(i64::from(days) + 1) {
            return Err(SettingsError::NoticeBeyondHorizon { notice, days });
        }
    }
    Ok(())
}

fn check_travels(travels: &[Travel]) -> Result<(), SettingsError> {
    if let Some(index) = travels.iter().position(|travel| travel.until < travel.from) {
        return Err(SettingsError::TravelReversed { index });
    }
    let mut ascending: Vec<(usize, &Travel)> = travels.iter().enumerate().collect();
    ascending.sort_by_key(|(_, travel)| travel.from);
    match ascending.windows(2).find(|pair| pair[1].1.from <= pair[0].1.until) {
        Some(pair) => Err(SettingsError::TravelsOverlap { index: pair[1].0 }),
        None => Ok(()),
    }
}

/// Two weeks of the weekly windows are laid out, so that the end of one week meets the start of the next.
fn check_no_overlap(schedule: &Schedule) -> Result<(), SettingsError> {
    let fortnight = (0..2).flat_map(|week| {
        let laid_out = move |(index, window): (usize, &Window)| {
            Some((nominal(window.hours, nominal_date(window.weekday, week))?, index))
        };
        schedule.windows.iter().enumerate().filter_map(laid_out)
    });
    if let Some((first, second)) = first_overlap(fortnight.collect()) {
        return Err(SettingsError::WindowsOverlap { first, second });
    }
    let mut replaced = HashSet::new();
    for (index, day) in schedule.overrides.iter().enumerate() {
        let DateOverride { date, kind, ref windows } = *day;
        if kind == OverrideKind::Replace && !replaced.insert(date) {
            return Err(SettingsError::ReplacedTwice { index, date });
        }
        let hours = windows.iter().enumerate().filter_map(|(i, hours)| Some((nominal(*hours, date)?, i)));
        if let Some((_, window)) = first_overlap(hours.collect()) {
            return Err(SettingsError::OverrideHoursOverlap { index, window, date });
        }
    }
    Ok(())
}

/// Windows that touch count as one, as they do when sessions are offered.
fn check_room(schedule: &Schedule, needed: TimeDelta) -> Result<(), SettingsError> {
    let has_room = |open: &[Span], hours: DayWindow, date: NaiveDate| {
        nominal(hours, date).is_none_or(|window| {
            first_ending_after(open, window.start(), |span| *span)
                .is_some_and(|span| span.contains(window) && span.duration() >= needed)
        })
    };
    let Schedule { windows, overrides, .. } = schedule;
    let week = windows.iter().map(|window| nominal_date(window.weekday, 0));
    let open = nominal_open(&HoursByDate::new(windows, &[]), week);
    for (window, Window { weekday, hours }) in windows.iter().enumerate() {
        if !has_room(&open, *hours, nominal_date(*weekday, 0)) {
            return Err(SettingsError::WindowShorterThanSession { window, weekday: *weekday });
        }
    }
    let open = nominal_open(&HoursByDate::new(windows, overrides), overrides.iter().map(|day| day.date));
    for (index, day) in overrides.iter().enumerate() {
        let short = day.windows.iter().position(|hours| !has_room(&open, *hours, day.date));
        if let Some(window) = short {
            return Err(SettingsError::OverrideShorterThanSession { index, window, date: day.date });
        }
    }
    Ok(())
}

/// The open time of `dates` and of those whose windows may touch theirs, on a clock that never changes.
///
/// A window of two days before can end where one of the day before starts, and that one at midnight.
/// What is further away adds nothing to the 16 hours that a session takes at most.
fn nominal_open(hours: &HoursByDate<'_>, dates: impl Iterator<Item = NaiveDate>) -> Vec<Span> {
    let near = |date: NaiveDate| (-2..=2).filter_map(move |n| date.checked_add_signed(TimeDelta::days(n)));
    let dates: BTreeSet<NaiveDate> = dates.flat_map(near).collect();
    let windows = |date| hours.on(date).filter_map(move |hours| nominal(hours, date));
    union(dates.into_iter().flat_map(windows).collect())
}

/// A date of that weekday, in some week and in the weeks after it.
fn nominal_date(weekday: Weekday, week: u64) -> NaiveDate {
    // 5 January 1970 was a Monday.
    NaiveDate::default() + Days::new(4 + u64::from(weekday.num_days_from_monday()) + 7 * week)
}

/// The window on a clock that never changes.
fn nominal(hours: DayWindow, date: NaiveDate) -> Option<Span> {
    let (start, end) = hours.on(date)?;
    Span::new(start.and_utc(), end.and_utc())
}

fn first_overlap(mut windows: Vec<(Span, usize)>) -> Option<(usize, usize)> {
    windows.sort_unstable();
    windows.windows(2).find(|pair| pair[0].0.overlaps(pair[1].0)).map(|pair| (pair[0].1, pair[1].1))
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveTime};
    use proptest::prelude::*;

    use super::SettingsError as E;
    use super::*;
    use crate::Zone;
    use crate::schedule::tests::{date, hours, schedule};

    fn session(minutes: i64) -> SessionRules {
        SessionRules {
            duration: TimeDelta::minutes(minutes),
            buffer_before: TimeDelta::zero(),
            buffer_after: TimeDelta::zero(),
            grid_interval_minutes: 15,
            grid_offset_minutes: 0,
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
}
