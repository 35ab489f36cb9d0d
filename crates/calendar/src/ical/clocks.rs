//! Which clock a time in a file was read on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::str::FromStr;

use calcard::common::PartialDateTime;
use calcard::common::timezone::Tz;
use calcard::icalendar::{ICalendar, ICalendarEntry};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::IcalError;
use crate::{Rules, Zone};

/// The clocks a file may name.
pub(super) struct Clocks<'a> {
    pub(super) floating: &'a Zone,
    pub(super) rules: &'a Rules,
    /// Names that the file itself explains, with the IANA name it means.
    pub(super) explained: HashMap<String, String>,
}

impl Clocks<'_> {
    /// Takes from each VTIMEZONE what its name means; the rules it spells out are never used, because those
    /// are as old as the program that wrote them.
    pub(super) fn learn(&mut self, calendar: &ICalendar) {
        for (name, clock) in calendar.timezones().filter_map(|component| component.timezone()) {
            if let Some(meant) = meant(clock) {
                self.explained.insert(name.to_owned(), meant);
            }
        }
    }

    /// The clock that the times of `entry` are read on where they say no other.
    pub(super) fn clock(&self, entry: &ICalendarEntry, event: usize) -> Result<Zone, IcalError> {
        match entry.tz_id() {
            Some(name) => self.zone(name).ok_or(IcalError::UnknownZone { event }),
            None => Ok(self.floating.clone()),
        }
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        self.rules
            .zone(name)
            .or_else(|| self.rules.zone(self.explained.get(name)?))
            .or_else(|| self.within_path(name))
            .or_else(|| self.rules.zone(&meant(Tz::from_str(name).ok()?)?))
    }

    /// `/vendor.example/Tzfile/Europe/Berlin` ends in the IANA name, which has at most three parts.
    fn within_path(&self, name: &str) -> Option<Zone> {
        let path = name.strip_prefix('/')?;
        path.rmatch_indices('/').take(3).find_map(|(at, _)| self.rules.zone(&path[at + 1..]))
    }
}

/// The IANA name of a clock that was recognized. A mere offset in a title says nothing about summer time, so
/// what is guessed from it does not count.
fn meant(clock: Tz) -> Option<String> {
    clock.name().filter(|name| !name.starts_with("Etc/GMT")).map(Cow::into_owned)
}

/// A local time together with the clock it was read on.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) local: NaiveDateTime,
    pub(super) zone: Zone,
    /// A whole day; its time is midnight.
    pub(super) date_only: bool,
}

impl Reading {
    /// The time that `value` is, on `zone` unless it says UTC itself.
    pub(super) fn of(value: &PartialDateTime, zone: &Zone, event: usize) -> Result<Self, IcalError> {
        let time = value.to_date_time().ok_or(IcalError::MalformedTime { event })?;
        let date_only = value.hour.is_none();
        Ok(match time.offset {
            Some(offset) => {
                let local = time.date_time - TimeDelta::seconds(offset.local_minus_utc().into());
                Self { local, zone: Zone::utc(), date_only }
            }
            None => Self { local: time.date_time, zone: zone.clone(), date_only },
        })
    }

    pub(super) fn instant(&self) -> DateTime<Utc> {
        self.zone.resolve_start(self.local)
    }

    /// What the clock of `zone` reads at that moment; a whole day is the same day on every clock.
    pub(super) fn on(&self, zone: &Zone) -> NaiveDateTime {
        if self.date_only || self.zone == *zone { self.local } else { zone.local(self.instant()) }
    }
}
