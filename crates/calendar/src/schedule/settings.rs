//! Whether what a therapist says about their time makes sense (A3).

use std::collections::{BTreeSet, HashSet};

use chrono::{Days, NaiveDate, TimeDelta, Weekday};

use super::{
    DateOverride, DayWindow, Horizon, HoursByDate, OverrideKind, Schedule, SessionRules, Travel, Window,
};
use crate::span::first_ending_after;
use crate::{Limits, Measure, Pacing, Period, Span, subtract, union};

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
    /// A load weight of nothing, or over 100.
    #[error("a load weight must be 1 to 100")]
    LoadWeightOutOfRange {
        /// Index of the session type.
        session: usize,
    },
    /// No session in a row, or over 50.
    #[error("1 to 50 sessions may be in a row")]
    InARowOutOfRange,
    /// A break of nothing, or over 8 hours.
    #[error("a break must be 1 minute to 8 hours")]
    BreakOutOfRange,
    /// A limit that the least of the session types breaks on its own. Zero is one, whatever the session types.
    #[error("a {period} of at most {most} {measure} holds no session: the least takes {least}")]
    LimitBelowEverySession {
        /// Whose limit.
        period: Period,
        /// Of what.
        measure: Measure,
        /// The limit.
        most: u32,
        /// The least that a session takes of it.
        least: u32,
    },
    /// Every session type breaks some limit on its own, though none breaks all.
    #[error("every session type is over one limit or another")]
    LimitsExcludeEverySession,
    /// Protected time leaves no room for a session in an ordinary week.
    #[error("protected time leaves no room for a session in any window")]
    ProtectedCoversEveryWindow,
}

/// A3: whether settings can be saved. A window must fit at least one session type, if there are any.
pub fn check_settings(schedule: &Schedule, sessions: &[SessionRules]) -> Result<(), SettingsError> {
    sessions.iter().enumerate().try_for_each(|(index, session)| check_session(index, session))?;
    check_reach(schedule)?;
    check_travels(&schedule.travels)?;
    check_no_overlap(schedule)?;
    check_limits(&schedule.limits, sessions)?;
    let shortest = sessions.iter().map(SessionRules::needs).min();
    if let Some(shortest) = shortest {
        check_room(schedule, shortest)?;
    }
    check_protected(schedule, shortest.unwrap_or(TimeDelta::minutes(1)))
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
    if !(1..=100).contains(&rules.load_weight) {
        return Err(SettingsError::LoadWeightOutOfRange { session });
    }
    Ok(())
}

/// A limit of the day above that of the week contradicts nothing: the strictest wins.
fn check_limits(limits: &Limits, sessions: &[SessionRules]) -> Result<(), SettingsError> {
    let Limits { day, week, pacing } = *limits;
    if let Some(Pacing { sessions, break_minutes }) = pacing {
        if !(1..=Pacing::MOST_SESSIONS).contains(&sessions) {
            return Err(SettingsError::InARowOutOfRange);
        }
        if !(1..=Pacing::LONGEST_BREAK).contains(&break_minutes) {
            return Err(SettingsError::BreakOutOfRange);
        }
    }
    let takes = |session: &SessionRules, measure| match measure {
        Measure::Sessions => 1,
        Measure::Minutes => u32::try_from(session.duration.num_minutes()).unwrap_or(u32::MAX),
        Measure::Load => session.load_weight,
    };
    let caps = || {
        [(Period::Day, day), (Period::Week, week)]
            .into_iter()
            .flat_map(|(period, caps)| caps.set().map(move |(measure, most)| (period, measure, most)))
    };
    for (period, measure, most) in caps() {
        let least = sessions.iter().map(|session| takes(session, measure)).min().unwrap_or(1);
        if most < least {
            return Err(SettingsError::LimitBelowEverySession { period, measure, most, least });
        }
    }
    let within_all = |session| caps().all(|(_, measure, most)| takes(session, measure) <= most);
    if sessions.is_empty() || sessions.iter().any(within_all) {
        Ok(())
    } else {
        Err(SettingsError::LimitsExcludeEverySession)
    }
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

/// Protected time may fill some windows, but not all. Two weeks are laid out, so that the end of one meets the
/// start of the next.
fn check_protected(schedule: &Schedule, needed: TimeDelta) -> Result<(), SettingsError> {
    let laid_out = |windows: &[Window], first: NaiveDate, days: usize| {
        let hours = HoursByDate::new(windows, &[]);
        let dates = first.iter_days().take(days);
        union(dates.flat_map(|date| hours.on(date).filter_map(move |hours| nominal(hours, date))).collect())
    };
    let monday = nominal_date(Weekday::Mon, 1);
    let open = laid_out(&schedule.windows, monday, 14);
    // What starts on the Sunday before may run into that Monday.
    let protected = laid_out(&schedule.protected.windows, nominal_date(Weekday::Sun, 0), 15);
    let left = subtract(&open, &protected);
    if open.is_empty() || left.iter().any(|span| span.duration() >= needed) {
        Ok(())
    } else {
        Err(SettingsError::ProtectedCoversEveryWindow)
    }
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
mod tests;
