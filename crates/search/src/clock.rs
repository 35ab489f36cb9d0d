//! Instants as whole minutes, and what local clocks read, without asking the zone rules each time.

use std::collections::HashMap;

use calendar::{SessionRules, Span, Zone};
use chrono::{DateTime, TimeDelta, Utc};

/// A minute since the Unix epoch; what is before it is its first minute.
pub(crate) type Minute = u32;

pub(crate) const HOUR: Minute = 60;
pub(crate) const DAY: Minute = 24 * HOUR;

/// The minute that `at` is in.
pub(crate) fn floor(at: DateTime<Utc>) -> Minute {
    saturate(at.timestamp().div_euclid(60))
}

/// The first minute that starts at `at` or later.
pub(crate) fn ceil(at: DateTime<Utc>) -> Minute {
    let seconds = at.timestamp() + i64::from(at.timestamp_subsec_nanos() > 0);
    saturate((seconds + 59).div_euclid(60))
}

/// The minutes that touch a span.
pub(crate) fn outward(span: Span) -> (Minute, Minute) {
    (floor(span.start()), ceil(span.end()))
}

/// The first instant of a minute.
pub(crate) fn instant(minute: Minute) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minute.into())
}

/// The span of two minutes, if it is not empty.
pub(crate) fn span((from, to): (Minute, Minute)) -> Option<Span> {
    Span::new(instant(from), instant(to))
}

/// The least number of minutes that is not shorter.
pub(crate) fn minutes(time: TimeDelta) -> u32 {
    saturate((time.num_seconds() + 59).div_euclid(60))
}

fn saturate(minutes: i64) -> u32 {
    u32::try_from(minutes.max(0)).unwrap_or(u32::MAX)
}

/// The local day, counted from the epoch, and the minute of it.
pub(crate) fn local(minute: Minute, offset: i32) -> (i32, u32) {
    let local = i64::from(minute) + i64::from(offset);
    let day = local.div_euclid(DAY.into());
    (i32::try_from(day).unwrap_or(i32::MAX), u32::try_from(local.rem_euclid(DAY.into())).unwrap_or_default())
}

/// The clocks of all schedules, each laid out once.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    numbers: HashMap<Zone, u16>,
    clocks: Vec<Clock>,
}

/// What one zone's clock reads from the first minute laid out to the last.
#[derive(Debug)]
pub(crate) struct Clock {
    pub(crate) zone: Zone,
    /// From when on the clock is how many minutes ahead of UTC.
    changes: Vec<(Minute, i32)>,
}

impl Clocks {
    /// The number of the clock of `zone`, laid out for `range` if it is new.
    pub(crate) fn number(&mut self, zone: &Zone, range: Span) -> u16 {
        if let Some(number) = self.numbers.get(zone) {
            return *number;
        }
        // A tz database has some six hundred names.
        let number = u16::try_from(self.clocks.len()).unwrap_or(u16::MAX);
        let mut clock = Clock { zone: zone.clone(), changes: Vec::new() };
        clock.lay_out(range);
        self.clocks.push(clock);
        self.numbers.insert(zone.clone(), number);
        number
    }

    /// Lays all of them out anew.
    pub(crate) fn lay_out(&mut self, range: Span) {
        self.clocks.iter_mut().for_each(|clock| clock.lay_out(range));
    }

    pub(crate) fn get(&self, number: u16) -> &Clock {
        &self.clocks[usize::from(number)]
    }
}

impl Clock {
    fn lay_out(&mut self, range: Span) {
        let offset = |offset: TimeDelta| i32::try_from(offset.num_minutes()).unwrap_or_default();
        self.changes =
            self.zone.even_pieces(range).map(|(piece, ahead)| (ceil(piece.start()), offset(ahead))).collect();
        if let Some(first) = self.changes.first_mut() {
            first.0 = 0;
        }
    }

    /// How many minutes the clock is ahead of UTC.
    pub(crate) fn offset(&self, at: Minute) -> i32 {
        let after = self.changes.partition_point(|(from, _)| *from <= at);
        self.changes.get(after.saturating_sub(1)).map_or(0, |(_, offset)| *offset)
    }

    /// `[from, to)` in pieces in which the clock runs evenly, each with its offset.
    pub(crate) fn pieces(
        &self,
        from: Minute,
        to: Minute,
    ) -> impl Iterator<Item = (Minute, Minute, i32)> + '_ {
        let first = self.changes.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        self.changes[first..].iter().enumerate().map_while(move |(index, (at, offset))| {
            let end = self.changes.get(first + index + 1).map_or(to, |(next, _)| to.min(*next));
            let start = from.max(*at);
            (start < to).then_some((start, end, *offset))
        })
    }

    /// The minute from which on the clock reads later days than `day`, counted from the epoch.
    pub(crate) fn end_of(&self, day: i32) -> Minute {
        let Ok(day) = Minute::try_from(day) else { return 0 };
        let midnight = day.saturating_add(1).saturating_mul(DAY);
        // No clock is a day from UTC.
        let around = (midnight.saturating_sub(DAY), midnight.saturating_add(DAY));
        let ends = self.pieces(around.0, around.1).filter_map(|(start, end, offset)| {
            let read = end.min(midnight.saturating_add_signed(-offset));
            (start < read).then_some(read)
        });
        ends.max().unwrap_or(around.1)
    }

    /// The minutes of the hour at which a grid whose local minutes of the hour are `grid` has starts in UTC.
    pub(crate) fn minutes_of_hour(&self, grid: u64) -> u64 {
        self.changes.iter().fold(0, |known, (_, offset)| known | rotated(grid, offset.rem_euclid(60)))
    }
}

/// The 60 bits of `grid`, each moved `by` minutes earlier around the hour.
fn rotated(grid: u64, by: i32) -> u64 {
    const ALL: u64 = (1 << HOUR) - 1;
    ((grid >> by) | (grid << (60 - by))) & ALL
}

/// T4: where sessions of one kind may start on a local clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub(crate) interval: u16,
    pub(crate) offset: u16,
}

impl Grid {
    pub(crate) fn of(rules: &SessionRules) -> Self {
        let narrow = |minutes: u32| u16::try_from(minutes).unwrap_or(u16::MAX);
        Self {
            interval: narrow(rules.grid_interval_minutes.max(1)),
            offset: narrow(rules.grid_offset_minutes),
        }
    }

    /// The local minutes of the hour with a start in some hour of the day.
    pub(crate) fn minutes_of_hour(self) -> u64 {
        (u32::from(self.offset)..DAY)
            .step_by(self.interval.into())
            .fold(0, |known, minute| known | 1 << (minute % HOUR))
    }

    /// The starts in `[from, to)`, during which the clock is `offset` ahead; ascending.
    pub(crate) fn starts(self, from: Minute, to: Minute, offset: i32) -> impl Iterator<Item = Minute> {
        let (interval, first) = (u32::from(self.interval), u32::from(self.offset));
        let mut next = from;
        std::iter::from_fn(move || {
            loop {
                if next >= to {
                    return None;
                }
                let (_, minute) = local(next, offset);
                let wanted = if minute <= first {
                    first
                } else {
                    first + (minute - first).div_ceil(interval) * interval
                };
                if wanted == minute {
                    let found = next;
                    next += 1;
                    return Some(found);
                }
                // The next start, or the next midnight, from where the grid counts anew.
                next += wanted.min(DAY) - minute;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use calendar::Rules;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn t1_minutes_are_rounded_down_and_up() {
        assert_eq!((floor(at("1970-01-01T00:02:00Z")), ceil(at("1970-01-01T00:02:00Z"))), (2, 2));
        assert_eq!((floor(at("1970-01-01T00:02:01Z")), ceil(at("1970-01-01T00:02:01Z"))), (2, 3));
        assert_eq!((floor(at("1970-01-01T00:02:59Z")), ceil(at("1970-01-01T00:02:59Z"))), (2, 3));
        assert_eq!((floor(at("1970-01-01T00:02:00.5Z")), ceil(at("1970-01-01T00:02:00.5Z"))), (2, 3));
        assert_eq!((floor(at("1969-12-31T23:59:59Z")), ceil(DateTime::<Utc>::MAX_UTC)), (0, u32::MAX));
    }

    #[test]
    fn t3_a_clock_laid_out_reads_what_its_zone_does() {
        let range = Span::new(at("2026-01-01T00:00:00Z"), at("2028-01-01T00:00:00Z")).unwrap();
        let mut clocks = Clocks::default();
        for name in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"] {
            let zone = Rules::compiled_in().zone(name).unwrap();
            let number = clocks.number(&zone, range);
            for minute in (floor(range.start())..floor(range.end())).step_by(7) {
                let read = zone.local(instant(minute)).and_utc();
                let (day, of_day) = local(minute, clocks.get(number).offset(minute));
                assert_eq!(i64::from(day) * 1440 + i64::from(of_day), read.timestamp() / 60, "{name}");
            }
        }
    }

    #[track_caller]
    fn check_starts(interval: u16, first: u16, offset: i32, range: (u32, u32), expected: &[u32]) {
        let grid = Grid { interval, offset: first };
        let found: Vec<_> = grid.starts(range.0, range.1, offset).collect();
        assert_eq!(found, expected);
        let hour = rotated(grid.minutes_of_hour(), offset.rem_euclid(60));
        assert!(found.iter().all(|start| hour >> (start % 60) & 1 == 1));
    }

    #[test]
    fn t4_starts_count_from_local_midnight() {
        check_starts(15, 0, 0, (1, 46), &[15, 30, 45]);
        check_starts(50, 20, 345, (0, 200), &[25, 75, 125, 175]);
        check_starts(50, 0, 0, (1380, 1500), &[1400, 1440, 1490]);
        check_starts(1440, 600, -60, (0, 3000), &[660, 2100]);
        check_starts(15, 0, 0, (46, 60), &[]);
    }
}
