//! Which clock a time in a file was read on.

use std::borrow::Cow;
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
    pub(super) explained: Vec<(String, String)>,
}

impl Clocks<'_> {
    /// Takes from each VTIMEZONE what its name means; the rules it spells out are never used, because those
    /// are as old as the program that wrote them.
    pub(super) fn learn(&mut self, calendar: &ICalendar) {
        for (name, clock) in calendar.timezones().filter_map(|component| component.timezone()) {
            if let (false, Some(meant)) =
                (self.explained.iter().any(|(known, _)| known == name), meant(clock))
            {
                self.explained.push((name.to_owned(), meant));
            }
        }
    }

    /// The reading that `value` of `entry` is, with its clock.
    pub(super) fn reading(
        &self,
        entry: &ICalendarEntry,
        value: &PartialDateTime,
        event: usize,
    ) -> Result<Reading, IcalError> {
        let time = value.to_date_time().ok_or(IcalError::MalformedTime { event })?;
        let date_only = value.hour.is_none();
        if let Some(offset) = time.offset {
            let local = time.date_time - TimeDelta::seconds(offset.local_minus_utc().into());
            return Ok(Reading { local, zone: Zone::utc(), date_only });
        }
        let zone = match entry.tz_id().filter(|_| !date_only) {
            Some(name) => self.zone(name).ok_or(IcalError::UnknownZone { event })?,
            None => self.floating.clone(),
        };
        Ok(Reading { local: time.date_time, zone, date_only })
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        let explained = || self.explained.iter().find(|(known, _)| known == name);
        self.rules
            .zone(name)
            .or_else(|| self.rules.zone(&explained()?.1))
            .or_else(|| self.within_path(name))
            .or_else(|| self.vendors(name))
            .or_else(|| {
                self.rules
                    .names()
                    .find(|known| known.eq_ignore_ascii_case(name))
                    .and_then(|known| self.rules.zone(known))
            })
    }

    /// `/vendor.example/Tzfile/Europe/Berlin` ends in the IANA name.
    fn within_path(&self, name: &str) -> Option<Zone> {
        let path = name.strip_prefix('/')?;
        path.match_indices('/').find_map(|(at, _)| self.rules.zone(&path[at + 1..]))
    }

    /// The names that Windows and others use.
    fn vendors(&self, name: &str) -> Option<Zone> {
        self.rules.zone(&meant(Tz::from_str(name).ok()?)?)
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
    pub(super) fn instant(&self) -> DateTime<Utc> {
        self.zone.resolve_start(self.local)
    }

    /// What the clock of `zone` reads at that moment; a whole day is the same day on every clock.
    pub(super) fn on(&self, zone: &Zone) -> NaiveDateTime {
        if self.date_only || self.zone == *zone { self.local } else { zone.local(self.instant()) }
    }
}
