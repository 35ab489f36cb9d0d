//! What a therapist says about their time (T2, A1), and the open time it means.

mod settings;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc, Weekday,
};
use serde::{Deserialize, Serialize};

pub use self::settings::{SettingsError, check_settings};
use crate::span::first_ending_after;
use crate::{Busy, Limits, Span, Zone, subtract, union};

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
    pub(crate) fn on(self, date: NaiveDate) -> Option<(NaiveDateTime, NaiveDateTime)> {
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
    /// What calendars elsewhere say the therapist is busy with; it is not open either.
    pub busy_elsewhere: Busy,
    /// A2: hours of supervision and notes, in which nothing is open either.
    pub protected: Protected,
    /// Dates whose hours are read on another clock.
    pub travels: Vec<Travel>,
    /// The least time between now and the start of a session.
    pub notice: TimeDelta,
    /// How far ahead sessions may be held.
    pub horizon: Horizon,
    /// How much the therapist takes on.
    pub limits: Limits,
}

/// A2: hours that are kept from being booked. They are read like those that are open: on the clock of their date,
/// into the next day if they end before they start, and with dates that differ from the ordinary week.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protected {
    /// The hours of an ordinary week.
    pub windows: Vec<Window>,
    /// Dates with more of them, or with others, or with none.
    pub overrides: Vec<DateOverride>,
}

impl Schedule {
    /// The open time around `range`, whole for every session that starts in it and lasts, buffers included,
    /// at most a day in either direction.
    pub fn open(&self, range: Span) -> Open {
        let around = range.widened(TimeDelta::days(1), TimeDelta::days(1));
        // A window starts at most a day before an instant it covers, and clocks differ by at most 26 hours.
        let days = around.widened(TimeDelta::days(3), TimeDelta::days(2));
        let last = days.end().date_naive();
        let dates = || days.start().date_naive().iter_days().take_while(move |date| *date <= last);

        let mut windows: Vec<(Zone, Vec<Span>)> = vec![(self.zone.clone(), Vec::new())];
        let open = HoursByDate::new(&self.windows, &self.overrides);
        for date in dates() {
            let zone = self.zone_on(date);
            let spans = open.spans(date, zone).filter(|window| window.overlaps(around));
            match windows.iter_mut().find(|(known, _)| known == zone) {
                Some((_, known)) => known.extend(spans),
                None => windows.push((zone.clone(), spans.collect())),
            }
        }
        let protected = HoursByDate::new(&self.protected.windows, &self.protected.overrides);
        let protected = dates().flat_map(|date| protected.spans(date, self.zone_on(date)));
        let all = || windows.iter().flat_map(|(_, spans)| spans);
        let (opens, closes) = (all().map(|span| span.start()).min(), all().map(|span| span.end()).max());
        let range = opens.zip(closes).and_then(|(opens, closes)| Span::new(opens, closes));
        let away = range.into_iter().flat_map(|range| {
            let off = self.time_off.iter().copied().filter(move |off| off.overlaps(range));
            off.chain(self.busy_elsewhere.overlapping(range))
        });
        let taken: Vec<_> = protected.chain(away).collect();
        Open::new(windows, &taken)
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

    /// T3: the same as time, on the clock of `zone`.
    fn spans(&self, date: NaiveDate, zone: &Zone) -> impl Iterator<Item = Span> {
        self.on(date)
            .filter_map(move |hours| hours.on(date))
            .filter_map(|(start, end)| Span::new(zone.resolve_start(start), zone.resolve_end(end)))
    }
}

/// Open time, computed once for many decisions.
#[derive(Clone, Debug)]
pub struct Open {
    spans: Vec<Span>,
    /// Disjoint, ascending stretches of windows, nothing subtracted: the grid is read on their clocks.
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
    /// The open time as sorted, disjoint spans: touching windows are one, and what closes them is left out: time off,
    /// busy time elsewhere and protected time.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Open time that is known already, such as [`Schedule::open`] gave it: windows with the clock they are read
    /// on, and what is not open whatever they say.
    pub fn new(windows: Vec<(Zone, Vec<Span>)>, closed: &[Span]) -> Self {
        let windows: Vec<(Span, Zone)> = windows
            .into_iter()
            .flat_map(|(zone, spans)| union(spans).into_iter().map(move |span| (span, zone.clone())))
            .collect();
        let whole = union(windows.iter().map(|(span, _)| *span).collect());
        let spans = subtract(&whole, closed);
        let mut stretches: Vec<Stretch> =
            whole.into_iter().map(|span| Stretch { span, windows: Vec::new() }).collect();
        for (window, zone) in windows {
            let index = stretches.partition_point(|stretch| stretch.span.end() <= window.start());
            stretches[index].windows.push((window, zone));
        }
        Self { spans, stretches }
    }

    /// The windows the open time is made of, each with the clock its grid is read on; nothing is subtracted.
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
    /// A2: how much of a therapist's load it is: 1 for an ordinary session, up to 100.
    pub load_weight: u32,
}

impl SessionRules {
    pub(crate) const LONGEST: TimeDelta = TimeDelta::hours(8);

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

#[cfg(test)]
mod tests;
