//! What a hospital may be told, so that nobody is told of (E4).
//!
//! **Invariant:** whatever is told is of eleven aliases at least, and what is not told follows from nothing that is. It is
//! decided here alone, from counts, and says of too few the same as of nobody.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use store::AliasId;

/// Fewer people are nobody.
const FEWEST: usize = 11;
/// A programme for fewer is told nothing.
const FEWEST_ELIGIBLE: i32 = 50;
/// Nobody has more than one session of so many.
const SHARE: u64 = 4;
/// What is told is a multiple of it, and no more than there was.
const STEP: u64 = 5;

/// Sessions, by who had them.
#[derive(Clone, Default)]
pub(super) struct Cell {
    known: BTreeMap<AliasId, u64>,
    /// Of aliases that are erased. They may have been one person, or somebody who is counted already.
    erased: u64,
}

impl Cell {
    pub(super) fn add(&mut self, alias: Option<AliasId>, sessions: u64) {
        let whose = alias.map_or(&mut self.erased, |alias| self.known.entry(alias).or_default());
        *whose = whose.saturating_add(sessions);
    }

    /// The number, rounded down, if it may be told.
    fn told(&self) -> Option<i32> {
        let sessions = self.known.values().sum::<u64>() + self.erased;
        let most = self.known.values().copied().max().unwrap_or_default().max(self.erased);
        let enough = self.known.len() >= FEWEST && most * SHARE <= sessions;
        i32::try_from(sessions - sessions % STEP).ok().filter(|_| enough)
    }
}

/// What is told of a quarter.
pub(super) fn quarter(sessions: &Cell, eligible: i32) -> Option<i32> {
    sessions.told().filter(|_| eligible >= FEWEST_ELIGIBLE)
}

/// What is told of a year's parts: all of them or none. Beside a quarter that is not told they would tell of it, by what
/// is left of the year.
pub(super) fn year(parts: &[Cell], quarters: [Option<i32>; 4]) -> Option<Vec<i32>> {
    let told = quarters.iter().all(Option::is_some) && parts.len() > 1;
    told.then(|| parts.iter().map(Cell::told).collect()).flatten()
}

/// Three months, in UTC as the periods of passes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quarter {
    pub(super) year: i32,
    /// 1 to 4.
    pub(super) number: i32,
}

impl Quarter {
    pub(super) const LAST: i32 = 4;

    pub(super) fn of(date: NaiveDate) -> Self {
        Self { year: date.year(), number: date.month0().cast_signed() / 3 + 1 }
    }

    pub(super) fn next(self) -> Self {
        match self.number {
            Self::LAST => Self { year: self.year + 1, number: 1 },
            number => Self { number: number + 1, ..self },
        }
    }

    /// Its first instant; none beyond the calendar's end.
    pub(super) fn start(self) -> Option<DateTime<Utc>> {
        let month = (self.number - 1).cast_unsigned() * 3 + 1;
        let first = NaiveDate::from_ymd_opt(self.year, month, 1)?;
        Some(first.and_time(NaiveTime::MIN).and_utc())
    }
}

#[cfg(test)]
mod tests;
