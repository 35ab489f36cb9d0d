//! A schedule, kept small: most are nothing but an ordinary week.

use std::borrow::Cow;

use calendar::{Busy, DayWindow, Horizon, Limits, Protected, Schedule, Window, Zone};
use chrono::{NaiveTime, TimeDelta, Timelike, Weekday};

/// A schedule without its zone, which its record's clock has.
#[derive(Debug)]
pub(crate) enum Kept {
    /// A week that is the same all year, with no limits.
    Ordinary {
        /// The hours.
        week: Box<[Hours]>,
        /// See [`Schedule::notice`].
        notice: TimeDelta,
        /// See [`Schedule::horizon`].
        horizon: Horizon,
    },
    /// Anything else.
    Whole(Box<Schedule>),
}

/// A window of the week in 4 bytes: 8 bits for the day, and 12 for the minute of each end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hours(u32);

impl Hours {
    fn of(window: Window) -> Self {
        let minute = |time: NaiveTime| time.num_seconds_from_midnight() / 60;
        let (start, end) = (minute(window.hours.start()), minute(window.hours.end()));
        Self(window.weekday.num_days_from_monday() << 24 | start << 12 | end)
    }

    /// Every window that has been packed gives itself.
    fn window(self) -> Option<Window> {
        let time = |minute: u32| NaiveTime::from_num_seconds_from_midnight_opt((minute & 0xfff) * 60, 0);
        let weekday = Weekday::try_from(u8::try_from(self.0 >> 24).ok()?).ok()?;
        Some(Window { weekday, hours: DayWindow::new(time(self.0 >> 12)?, time(self.0)?).ok()? })
    }
}

impl Kept {
    pub(crate) fn new(schedule: Schedule) -> Self {
        let Schedule {
            zone: _,
            windows,
            overrides,
            time_off,
            busy_elsewhere,
            protected,
            travels,
            notice,
            horizon,
            limits,
        } = &schedule;
        let ordinary = overrides.is_empty()
            && time_off.is_empty()
            && busy_elsewhere.is_empty()
            && travels.is_empty()
            && *protected == Protected::default()
            && *limits == Limits::default();
        if ordinary {
            let week = windows.iter().copied().map(Hours::of).collect();
            Self::Ordinary { week, notice: *notice, horizon: *horizon }
        } else {
            Self::Whole(Box::new(schedule))
        }
    }

    /// All of it.
    pub(crate) fn schedule(&self, zone: &Zone) -> Cow<'_, Schedule> {
        let mut schedule = self.laid_out(zone);
        if let Self::Ordinary { week, .. } = self {
            schedule.to_mut().windows = week.iter().filter_map(|hours| hours.window()).collect();
        }
        schedule
    }

    /// As much of it as [`calendar::admit`] reads where open time is laid out.
    pub(crate) fn laid_out(&self, zone: &Zone) -> Cow<'_, Schedule> {
        match self {
            Self::Ordinary { week: _, notice, horizon } => Cow::Owned(Schedule {
                zone: zone.clone(),
                windows: Vec::new(),
                overrides: Vec::new(),
                time_off: Vec::new(),
                busy_elsewhere: Busy::default(),
                protected: Protected::default(),
                travels: Vec::new(),
                notice: *notice,
                horizon: *horizon,
                limits: Limits::default(),
            }),
            Self::Whole(schedule) => Cow::Borrowed(schedule),
        }
    }

    pub(crate) fn notice(&self) -> TimeDelta {
        match self {
            Self::Ordinary { notice, .. } => *notice,
            Self::Whole(schedule) => schedule.notice,
        }
    }

    pub(crate) fn horizon(&self) -> Horizon {
        match self {
            Self::Ordinary { horizon, .. } => *horizon,
            Self::Whole(schedule) => schedule.horizon,
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        match self {
            Self::Ordinary { .. } => Limits::default(),
            Self::Whole(schedule) => schedule.limits,
        }
    }
}

#[cfg(test)]
mod tests {
    use calendar::{Caps, DateOverride, OverrideKind, Rules, Span, Travel};
    use chrono::{DateTime, NaiveDate};

    use super::*;

    fn week() -> Schedule {
        let time = |hour| NaiveTime::from_hms_opt(hour, 30, 0).unwrap();
        let window = |weekday| Window { weekday, hours: DayWindow::new(time(22), time(2)).unwrap() };
        Schedule {
            zone: Rules::compiled_in().zone("Europe/Berlin").unwrap(),
            windows: vec![window(Weekday::Mon), window(Weekday::Sun)],
            overrides: Vec::new(),
            time_off: Vec::new(),
            busy_elsewhere: Busy::default(),
            protected: Protected::default(),
            travels: Vec::new(),
            notice: TimeDelta::minutes(90),
            horizon: Horizon::Days(60),
            limits: Limits::default(),
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Schedule)) {
        let mut schedule = week();
        change(&mut schedule);
        let kept = Kept::new(schedule.clone());
        assert_eq!(*kept.schedule(&schedule.zone), schedule);
    }

    #[test]
    fn whatever_is_said_is_kept() {
        let date = NaiveDate::from_ymd_opt(2026, 1, 12).unwrap();
        let span = Span::new(DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::hours(1)).unwrap();
        check(|_| {});
        check(|week| {
            week.overrides = vec![DateOverride { date, kind: OverrideKind::Replace, windows: Vec::new() }];
        });
        check(|week| week.time_off = vec![span]);
        check(|week| week.busy_elsewhere = [span].into_iter().collect());
        check(|week| week.protected.windows = week.windows.clone());
        check(|week| week.travels = vec![Travel { from: date, until: date, zone: Zone::utc() }]);
        check(|week| week.limits.day = Caps { sessions: Some(3), ..Caps::default() });
    }
}
