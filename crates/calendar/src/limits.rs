//! How much a therapist takes on (A1, A2): limits per local day and week, and breaks between sessions.
//!
//! A session belongs to the local day it starts on, on the therapist's own clock wherever they travel, and a week
//! is that of ISO 8601, from Monday. Every limit holds on its own, so that the strictest wins.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{Schedule, SessionRules, Span};

/// How much a therapist takes on; nothing said is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// In a local day.
    pub day: Caps,
    /// In a local week, from Monday.
    pub week: Caps,
    /// Before there must be a break.
    pub pacing: Option<Pacing>,
}

/// The most that a day or a week may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Caps {
    /// Sessions, of whatever type.
    pub sessions: Option<u32>,
    /// Minutes of sessions, without their buffers.
    pub minutes: Option<u32>,
    /// Load weights of sessions, added up.
    pub load: Option<u32>,
}

impl Caps {
    /// The caps that are set, in the order in which they refuse.
    pub(crate) fn set(self) -> impl Iterator<Item = (Measure, u32)> {
        let Self { sessions, minutes, load } = self;
        [(Measure::Sessions, sessions), (Measure::Minutes, minutes), (Measure::Load, load)]
            .into_iter()
            .filter_map(|(measure, most)| Some((measure, most?)))
    }
}

/// At most so many sessions in a row, and then a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pacing {
    /// Sessions in a row: 1 to 50.
    pub sessions: u32,
    /// The break: 1 minute to 8 hours. Sessions with less than that between the end of one and the start of the
    /// next, whatever their buffers, are in a row.
    pub break_minutes: u32,
}

impl Pacing {
    pub(crate) const MOST_SESSIONS: u32 = 50;
    pub(crate) const LONGEST_BREAK: u32 = 8 * 60;
}

/// A day or a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// A local date.
    Day,
    /// Seven of them, from Monday.
    Week,
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "day",
            Self::Week => "week",
        })
    }
}

/// What is counted against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// How many sessions.
    Sessions,
    /// How many minutes they last.
    Minutes,
    /// How much they weigh.
    Load,
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sessions => "sessions",
            Self::Minutes => "minutes",
            Self::Load => "load",
        })
    }
}

/// Which limit a session would break; of several, the first in this order, and then in that of [`Measure`].
///
/// **Never for a worker's eyes (D4)**: every one of these tells how much a therapist has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LimitReached {
    /// The week could not hold it as well.
    #[error("the week holds no more {measure} until {until}")]
    WeekFull {
        /// Of what there would be too much.
        measure: Measure,
        /// The first instant of the next week.
        until: DateTime<Utc>,
    },
    /// The day could not hold it as well.
    #[error("the day holds no more {measure} until {until}")]
    DayFull {
        /// Of what there would be too much.
        measure: Measure,
        /// The first instant of the next day.
        until: DateTime<Utc>,
    },
    /// With those around it, it would be one too many without a break.
    #[error("more than {most} sessions in a row; the break after them is over at {until}")]
    InARow {
        /// How many there may be.
        most: u32,
        /// When a break after the sessions that are there is over.
        until: DateTime<Utc>,
    },
}

/// A session that a therapist holds, as it counts against limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldSession {
    /// Its time, without buffers.
    pub span: Span,
    /// The weight of its type.
    pub load_weight: u32,
}

/// The sessions of a therapist, counted once for many decisions.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// By start. They do not overlap (B2).
    spans: Vec<Span>,
    days: BTreeMap<NaiveDate, Tally>,
    /// By their Mondays.
    weeks: BTreeMap<NaiveDate, Tally>,
}

impl Schedule {
    /// Counts the sessions that the therapist holds, in any order. One that is being moved is not among them, so
    /// that it makes room for itself (B4).
    ///
    /// Without limits nothing is counted.
    pub fn load(&self, held: impl IntoIterator<Item = HeldSession>) -> Load {
        if self.limits == Limits::default() { Load::default() } else { self.count(held) }
    }

    /// The same, limits or not: what the therapist has to do.
    pub fn count(&self, held: impl IntoIterator<Item = HeldSession>) -> Load {
        let mut load = Load::default();
        for session in held {
            let date = self.zone.local(session.span.start()).date();
            let count = |tally: &mut Tally| *tally = tally.plus(Tally::of(&session));
            count(load.days.entry(date).or_default());
            count(load.weeks.entry(monday(date)).or_default());
            load.spans.push(session.span);
        }
        load.spans.sort_unstable();
        load
    }

    /// The time of which [`load`](Self::load) must be given every session to judge starts in `range`: the local
    /// weeks it touches, and as much on both sides of them as a row of sessions can be long.
    pub fn load_range(&self, range: Span) -> Span {
        if self.limits == Limits::default() {
            return range;
        }
        let first = monday(self.zone.local(range.start()).date());
        let last = monday(self.zone.local(range.end()).date());
        let end = self.zone.resolve_end(after(last, 7).and_time(NaiveTime::MIN));
        let weeks = Span::new(self.midnight(first), end).unwrap_or(range);
        let row = self.limits.pacing.map_or(TimeDelta::zero(), |Pacing { sessions, break_minutes }| {
            let one = SessionRules::LONGEST + TimeDelta::minutes(break_minutes.into());
            one * i32::try_from(sessions.min(Pacing::MOST_SESSIONS)).unwrap_or_default()
        });
        weeks.widened(row, row)
    }

    /// Whether `wanted`, which starts on that local date, keeps every limit beside what is held already.
    pub(crate) fn check_limits(
        &self,
        load: &Load,
        wanted: &HeldSession,
        date: NaiveDate,
    ) -> Result<(), LimitReached> {
        if self.limits == Limits::default() {
            return Ok(());
        }
        let Limits { day, week, pacing } = self.limits;
        let too_much = |caps: Caps, held: Tally| {
            let total = held.plus(Tally::of(wanted));
            caps.set().find(|(measure, most)| total.get(*measure) > u64::from(*most))
        };
        if let Some((measure, _)) = too_much(week, load.week(date)) {
            return Err(LimitReached::WeekFull { measure, until: self.midnight(after(monday(date), 7)) });
        }
        if let Some((measure, _)) = too_much(day, load.day(date)) {
            return Err(LimitReached::DayFull { measure, until: self.midnight(after(date, 1)) });
        }
        pacing.map_or(Ok(()), |pacing| load.leaves_breaks(pacing, wanted.span))
    }

    fn midnight(&self, date: NaiveDate) -> DateTime<Utc> {
        self.zone.resolve_start(date.and_time(NaiveTime::MIN))
    }
}

impl Load {
    /// What starts on that local date.
    pub fn day(&self, date: NaiveDate) -> Tally {
        self.days.get(&date).copied().unwrap_or_default()
    }

    /// What starts in the local week that has that date.
    pub fn week(&self, date: NaiveDate) -> Tally {
        self.weeks.get(&monday(date)).copied().unwrap_or_default()
    }

    /// Follows the row that `wanted` would be part of to both sides: joining two rows makes one of both.
    fn leaves_breaks(&self, pacing: Pacing, wanted: Span) -> Result<(), LimitReached> {
        let (before, after) = self.spans.split_at(self.spans.partition_point(|span| *span < wanted));
        let pause = TimeDelta::minutes(pacing.break_minutes.into());
        let (mut in_a_row, mut from, mut to) = (1, wanted.start(), wanted.end());
        let mut last = before.last().map_or(wanted.start(), |span| span.end());
        for span in before.iter().rev() {
            if from - span.end() >= pause {
                break;
            }
            from = span.start();
            in_a_row += 1;
        }
        for span in after {
            if span.start() - to >= pause {
                break;
            }
            to = span.end();
            last = to;
            in_a_row += 1;
        }
        if in_a_row <= pacing.sessions {
            return Ok(());
        }
        let until = last.checked_add_signed(pause).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Err(LimitReached::InARow { most: pacing.sessions, until })
    }
}

/// What is counted of one session or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many.
    pub sessions: u64,
    /// How long they last, without their buffers.
    pub minutes: u64,
    /// Their weights, added up.
    pub load: u64,
}

impl Tally {
    fn of(session: &HeldSession) -> Self {
        let minutes = session.span.duration().num_minutes();
        Self { sessions: 1, minutes: minutes.unsigned_abs(), load: session.load_weight.into() }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            sessions: self.sessions + other.sessions,
            minutes: self.minutes + other.minutes,
            load: self.load + other.load,
        }
    }

    fn get(self, measure: Measure) -> u64 {
        match measure {
            Measure::Sessions => self.sessions,
            Measure::Minutes => self.minutes,
            Measure::Load => self.load,
        }
    }
}

fn monday(date: NaiveDate) -> NaiveDate {
    let since = Days::new(date.weekday().num_days_from_monday().into());
    date.checked_sub_days(since).unwrap_or(NaiveDate::MIN)
}

fn after(date: NaiveDate, days: u64) -> NaiveDate {
    date.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests;
