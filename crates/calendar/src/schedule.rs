//! What a therapist says about their time (T2, A1), whether it makes sense (A3), and the open time it means.

use std::collections::{BTreeSet, HashSet};

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc, Weekday,
};
use serde::{Deserialize, Serialize};

use crate::span::first_ending_after;
use crate::{Span, Zone, subtract, union};

/// T2: local times of day between which time is open; an end that is not after the start is on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Hours", into = "Hours")]
pub struct DayWindow {
    start: NaiveTime,
    end: NaiveTime,
}

impl DayWindow {
    /// Refuses what is not whole minutes, and 23:59 as an end: whoever means midnight says 00:00.
    pub fn new(start: NaiveTime, end: NaiveTime) -> Result<Self, WindowError> {
        let whole = |time: NaiveTime| time.second() == 0 && time.nanosecond() == 0;
        if !whole(start) || !whole(end) {
            return Err(WindowError::NotWholeMinutes);
        }
        if (end.hour(), end.minute()) == (23, 59) {
            return Err(WindowError::EndsBeforeMidnight);
        }
        Ok(Self { start, end })
    }

    /// When it opens, on the local date it belongs to.
    pub fn start(self) -> NaiveTime {
        self.start
    }

    /// When it closes, on that date or the next.
    pub fn end(self) -> NaiveTime {
        self.end
    }

    /// The length on a day without a clock change: 1 to 1,440.
    pub fn minutes(self) -> i64 {
        let minutes = (self.end - self.start).num_minutes().rem_euclid(24 * 60);
        if minutes == 0 { 24 * 60 } else { minutes }
    }

    /// The local readings at which the window of `date` opens and closes, unless the calendar ends before.
    fn on(self, date: NaiveDate) -> Option<(NaiveDateTime, NaiveDateTime)> {
        let last = if self.end > self.start { date } else { date.succ_opt()? };
        Some((date.and_time(self.start), last.and_time(self.end)))
    }
}

/// A [`DayWindow`] as data.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hours {
    start: String,
    end: String,
}

impl TryFrom<Hours> for DayWindow {
    type Error = WindowError;

    fn try_from(Hours { start, end }: Hours) -> Result<Self, WindowError> {
        let time =
            |text: &str| NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| WindowError::NotATimeOfDay);
        Self::new(time(&start)?, time(&end)?)
    }
}

impl From<DayWindow> for Hours {
    fn from(window: DayWindow) -> Self {
        let text = |time: NaiveTime| time.format("%H:%M").to_string();
        Self { start: text(window.start), end: text(window.end) }
    }
}

/// Why two times of day are no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not `HH:MM` between 00:00 and 23:59.
    #[error("a time of day is written HH:MM, from 00:00 to 23:59")]
    NotATimeOfDay,
    /// Seconds or fractions of them.
    #[error("a window starts and ends at whole minutes")]
    NotWholeMinutes,
    /// An end of 23:59, which would lose the last minute of the day.
    #[error("a window that ends at midnight ends at 00:00, not at 23:59")]
    EndsBeforeMidnight,
}

/// Hours that repeat every week, belonging to the day they start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The local day the hours start on.
    pub weekday: Weekday,
    /// When, on that day.
    pub hours: DayWindow,
}

/// What an override does to the weekly windows of its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideKind {
    /// The weekly windows do not apply.
    Replace,
    /// The weekly windows apply as well.
    Add,
}

/// Other hours on one local date; a replacement without hours closes the day.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DateOverride {
    /// The local date whose windows change; what started the day before runs on.
    pub date: NaiveDate,
    /// Whether the weekly windows still apply.
    pub kind: OverrideKind,
    /// The hours of that date.
    pub windows: Vec<DayWindow>,
}

/// A stay elsewhere: the windows of these dates are read on that place's clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Travel {
    /// The first date.
    pub from: NaiveDate,
    /// The last date, inclusive.
    pub until: NaiveDate,
    /// The clock there.
    pub zone: Zone,
}

/// How far ahead sessions may be held, in local dates of the therapist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Horizon {
    /// Today and this many days after it.
    Days(u32),
    /// Up to and including this date.
    Until(NaiveDate),
}

/// Everything a therapist says about when they work (A1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The clock the windows are read on, unless a travel says otherwise.
    pub zone: Zone,
    /// The hours of an ordinary week.
    pub windows: Vec<Window>,
    /// Dates that differ from it.
    pub overrides: Vec<DateOverride>,
    /// Time that is not open, whatever else is said.
    pub time_off: Vec<Span>,
    /// Dates whose hours are read on another clock.
    pub travels: Vec<Travel>,
    /// The least time between now and the start of a session.
    pub notice: TimeDelta,
    /// How far ahead sessions may be held.
    pub horizon: Horizon,
}

impl Schedule {
    /// The open time around `range`, whole for every session that starts in it and lasts, buffers included,
    /// at most a day in either direction.
    pub fn open(&self, range: Span) -> Open {
        let around = range.widened(TimeDelta::days(1), TimeDelta::days(1));
        // A window starts at most a day before an instant it covers, and clocks differ by at most 26 hours.
        let days = around.widened(TimeDelta::days(3), TimeDelta::days(2));
        let last = days.end().date_naive();
        let hours = HoursByDate::new(&self.windows, &self.overrides);

        let mut windows: Vec<(Zone, Vec<Span>)> = vec![(self.zone.clone(), Vec::new())];
        for date in days.start().date_naive().iter_days().take_while(|date| *date <= last) {
            let zone = self.zone_on(date);
            let spans = hours
                .on(date)
                .filter_map(|hours| hours.on(date))
                .filter_map(|(start, end)| Span::new(zone.resolve_start(start), zone.resolve_end(end)))
                .filter(|window| window.overlaps(around));
            match windows.iter_mut().find(|(known, _)| known == zone) {
                Some((_, known)) => known.extend(spans),
                None => windows.push((zone.clone(), spans.collect())),
            }
        }
        Open::new(windows, &self.time_off)
    }

    /// The last local date on which a session may start.
    pub(crate) fn last_date(&self, now: DateTime<Utc>) -> NaiveDate {
        match self.horizon {
            Horizon::Days(days) => {
                let today = self.zone.local(now).date();
                today.checked_add_days(Days::new(days.into())).unwrap_or(NaiveDate::MAX)
            }
            Horizon::Until(date) => date,
        }
    }

    fn zone_on(&self, date: NaiveDate) -> &Zone {
        self.travels
            .iter()
            .find(|travel| travel.from <= date && date <= travel.until)
            .map_or(&self.zone, |travel| &travel.zone)
    }
}

/// The hours of any date, found without reading the overrides of all the others.
struct HoursByDate<'a> {
    weekly: &'a [Window],
    overrides: Vec<&'a DateOverride>,
}

impl<'a> HoursByDate<'a> {
    fn new(weekly: &'a [Window], overrides: &'a [DateOverride]) -> Self {
        let mut overrides: Vec<&DateOverride> = overrides.iter().collect();
        overrides.sort_by_key(|day| day.date);
        Self { weekly, overrides }
    }

    fn on(&self, date: NaiveDate) -> impl Iterator<Item = DayWindow> {
        let first = self.overrides.partition_point(|day| day.date < date);
        let overrides = || self.overrides[first..].iter().take_while(move |day| day.date == date);
        let weekly = overrides().all(|day| day.kind == OverrideKind::Add);
        let weekday = date.weekday();
        self.weekly
            .iter()
            .filter(move |window| weekly && window.weekday == weekday)
            .map(|window| window.hours)
            .chain(overrides().flat_map(|day| day.windows.iter().copied()))
    }

    /// The open time of `dates` and of those whose windows may touch theirs, on a clock that never changes.
    ///
    /// A window of two days before can end where one of the day before starts, and that one at midnight.
    /// What is further away adds nothing to the 16 hours that a session takes at most.
    fn nominal_open(&self, dates: impl Iterator<Item = NaiveDate>) -> Vec<Span> {
        let near =
            |date: NaiveDate| (-2..=2).filter_map(move |n| date.checked_add_signed(TimeDelta::days(n)));
        let dates: BTreeSet<NaiveDate> = dates.flat_map(near).collect();
        let windows = |date| self.on(date).filter_map(move |hours| nominal(hours, date));
        union(dates.into_iter().flat_map(windows).collect())
    }
}

/// Open time, computed once for many decisions.
#[derive(Clone, Debug)]
pub struct Open {
    spans: Vec<Span>,
    /// Disjoint, ascending stretches of windows, time off not subtracted: the grid is read on their clocks.
    stretches: Vec<Stretch>,
}

/// A stretch of windows that overlap or touch.
#[derive(Clone, Debug)]
pub(crate) struct Stretch {
    pub(crate) span: Span,
    /// More than one where a travel begins or ends within the stretch.
    pub(crate) windows: Vec<(Span, Zone)>,
}

impl Open {
    /// The open time as sorted, disjoint spans: touching windows are one, time off is left out.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Open time that is known already, such as [`Schedule::open`] gave it: windows with the clock they are read
    /// on, and what is not open whatever they say.
    pub fn new(windows: Vec<(Zone, Vec<Span>)>, time_off: &[Span]) -> Self {
        let windows: Vec<(Span, Zone)> = windows
            .into_iter()
            .flat_map(|(zone, spans)| union(spans).into_iter().map(move |span| (span, zone.clone())))
            .collect();
        let whole = union(windows.iter().map(|(span, _)| *span).collect());
        let spans = subtract(&whole, time_off);
        let mut stretches: Vec<Stretch> =
            whole.into_iter().map(|span| Stretch { span, windows: Vec::new() }).collect();
        for (window, zone) in windows {
            let index = stretches.partition_point(|stretch| stretch.span.end() <= window.start());
            stretches[index].windows.push((window, zone));
        }
        Self { spans, stretches }
    }

    /// The windows the open time is made of, each with the clock its grid is read on; time off is not subtracted.
    pub fn windows(&self) -> impl Iterator<Item = (Span, &Zone)> {
        self.stretches.iter().flat_map(|stretch| stretch.windows.iter().map(|(window, zone)| (*window, zone)))
    }

    pub(crate) fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    pub(crate) fn stretch_at(&self, at: DateTime<Utc>) -> Option<&Stretch> {
        first_ending_after(&self.stretches, at, |stretch| stretch.span)
            .filter(|stretch| stretch.span.contains_instant(at))
    }

    pub(crate) fn covers(&self, wanted: Span) -> bool {
        first_ending_after(&self.spans, wanted.start(), |span| *span)
            .is_some_and(|span| span.contains(wanted))
    }
}

/// T4: how long a session lasts, what is kept free around it, and where it may start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionRules {
    /// Of the session itself: 5 minutes to 8 hours.
    pub duration: TimeDelta,
    /// Kept free before it, at most 4 hours.
    pub buffer_before: TimeDelta,
    /// Kept free after it, at most 4 hours.
    pub buffer_after: TimeDelta,
    /// Minutes between starts, counted from the offset anew every local midnight: 5 to 1,440.
    pub grid_interval_minutes: u32,
    /// The minute of the local day of its first start: 0 to 1,439.
    pub grid_offset_minutes: u32,
}

impl SessionRules {
    fn needs(&self) -> TimeDelta {
        self.buffer_before + self.duration + self.buffer_after
    }

    pub(crate) fn on_grid(&self, local: NaiveDateTime) -> bool {
        let second = local.num_seconds_from_midnight();
        let (minute, offset) = (second / 60, self.grid_offset_minutes);
        second.is_multiple_of(60)
            && minute >= offset
            && (minute - offset).is_multiple_of(self.grid_interval_minutes.max(1))
    }
}

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
    let open = HoursByDate::new(windows, &[]).nominal_open(week);
    for (window, Window { weekday, hours }) in windows.iter().enumerate() {
        if !has_room(&open, *hours, nominal_date(*weekday, 0)) {
            return Err(SettingsError::WindowShorterThanSession { window, weekday: *weekday });
        }
    }
    let open = HoursByDate::new(windows, overrides).nominal_open(overrides.iter().map(|day| day.date));
    for (index, day) in overrides.iter().enumerate() {
        let short = day.windows.iter().position(|hours| !has_room(&open, *hours, day.date));
        if let Some(window) = short {
            return Err(SettingsError::OverrideShorterThanSession { index, window, date: day.date });
        }
    }
    Ok(())
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
    use proptest::prelude::*;

    use super::SettingsError as E;
    use super::*;
    use crate::Rules;

    fn hours(text: &str) -> DayWindow {
        let (start, end) = text.split_once('-').unwrap();
        serde_json::from_value(serde_json::json!({ "start": start, "end": end })).unwrap()
    }

    fn weekly(text: &str) -> Window {
        let (weekday, text) = text.split_once(' ').unwrap();
        Window { weekday: weekday.parse().unwrap(), hours: hours(text) }
    }

    fn schedule(zone: &str, windows: &[&str]) -> Schedule {
        Schedule {
            zone: Rules::compiled_in().zone(zone).unwrap(),
            windows: windows.iter().map(|text| weekly(text)).collect(),
            overrides: Vec::new(),
            time_off: Vec::new(),
            travels: Vec::new(),
            notice: TimeDelta::zero(),
            horizon: Horizon::Days(60),
        }
    }

    fn date(text: &str) -> NaiveDate {
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
        let open: Vec<Span> = schedule
            .open(whole_day)
            .spans()
            .iter()
            .copied()
            .filter(|open| open.overlaps(whole_day))
            .collect();
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
    fn a1_overrides_add_or_replace_and_time_off_cuts() {
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
    }

    #[test]
    fn a1_a_travel_moves_the_clock_for_its_dates() {
        let mut week = schedule("Europe/Berlin", &["Mon 09:00-12:00", "Tue 09:00-12:00"]);
        let zone = Rules::compiled_in().zone("America/New_York").unwrap();
        week.travels = vec![Travel { from: date("2026-01-12"), until: date("2026-01-12"), zone }];
        check_open(&week, "2026-01-12", &["2026-01-12T14:00 2026-01-12T17:00"]);
        check_open(&week, "2026-01-13", &["2026-01-13T08:00 2026-01-13T11:00"]);
    }

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
