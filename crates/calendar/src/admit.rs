//! T5: the one decision whether a session may be held. Listing slots and booking one both use it.

use chrono::{DateTime, NaiveDate, TimeDelta, Timelike, Utc};

use crate::span::first_ending_after;
use crate::{
    HeldSession, LimitReached, Load, Open, Schedule, SessionRules, Span, Unavailable, WorkerRefusal, refuses,
};

/// D5: sessions with less than this between the end of one and the start of the other, buffers not counted, are
/// adjacent. In that time one who leaves may still meet one who comes.
pub const ADJACENT: TimeDelta = TimeDelta::minutes(30);

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// What the therapist says about their time.
    pub schedule: &'a Schedule,
    /// The open time of that schedule around the starts in question.
    pub open: &'a Open,
    /// What is to be held.
    pub session: &'a SessionRules,
    /// What keeps the therapist busy, buffers included: sorted and disjoint, as [`union`](crate::union) gives.
    pub busy: &'a [Span],
    /// Those sessions of the therapist, without buffers, whose aliases share a tag with the one who asks (D5), in any
    /// order. The asker's own are not among them.
    pub sharing: &'a [Span],
    /// What the therapist holds around the starts in question, counted against the limits of the schedule by
    /// [`Schedule::load`].
    pub load: &'a Load,
    /// What keeps the alias busy, buffers included, in any order.
    pub alias_busy: &'a [Span],
    /// What the worker's shifts take away, as [`unavailable`](crate::unavailable) or
    /// [`in_breaks`](crate::in_breaks) gives.
    pub unavailable: &'a [Unavailable],
    /// The instant of the question.
    pub now: DateTime<Utc>,
}

/// A session that may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Admitted {
    /// The session itself.
    pub session: Span,
    /// The session with its buffers, which nothing else may overlap (B2).
    pub busy: Span,
}

/// Why a session may not be held; of several reasons, the first in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Less than the therapist's notice from now.
    #[error("the earliest start is {earliest}")]
    TooSoon {
        /// The end of the notice.
        earliest: DateTime<Utc>,
    },
    /// After the last date the therapist plans for.
    #[error("sessions start on {last} at the latest")]
    BeyondHorizon {
        /// That date, in the therapist's zone.
        last: NaiveDate,
    },
    /// Not wholly inside open time, buffers included.
    #[error("the therapist is not working then")]
    OutsideHours,
    /// The local clock does not read one of the session type's starts.
    #[error("sessions of this type do not start at that minute")]
    OffGrid,
    /// Another session of the therapist is too close.
    #[error("the time is taken")]
    Taken,
    /// D5: somebody whom the alias must not meet would leave shortly before, or come shortly after.
    #[error("an adjacent session is of an alias that shares a tag")]
    Adjacent,
    /// The therapist has enough to do already.
    #[error(transparent)]
    Limit(#[from] LimitReached),
    /// Another session of the alias is too close.
    #[error("the alias has another session then")]
    AliasBusy,
    /// The worker's roster does not leave the time free.
    #[error(transparent)]
    Worker(#[from] WorkerRefusal),
}

impl Refusal {
    /// The same for the eyes of a worker, who never learns how much a therapist has to do (D4), nor that a colleague
    /// is there (D5). What a limit refuses, or a neighbour, is taken, like any other time that somebody else has.
    #[must_use]
    pub fn for_worker(self) -> Refusal {
        match self {
            Refusal::Limit(_) | Refusal::Adjacent => Refusal::Taken,
            told => told,
        }
    }
}

/// Whether a session may start at `start`.
///
/// The open time must have been computed for a range that holds `start`.
pub fn admit(admission: &Admission<'_>, start: DateTime<Utc>) -> Result<Admitted, Refusal> {
    let Admission { schedule, open, session: rules, busy, sharing, load, alias_busy, unavailable, now } =
        *admission;

    let earliest = now.checked_add_signed(schedule.notice).unwrap_or(DateTime::<Utc>::MAX_UTC);
    if start < earliest {
        return Err(Refusal::TooSoon { earliest });
    }
    let last = schedule.last_date(now);
    let date = schedule.zone.local(start).date();
    if date > last {
        return Err(Refusal::BeyondHorizon { last });
    }
    let stretch = open.stretch_at(start).ok_or(Refusal::OutsideHours)?;
    let admitted = with_buffers(rules, start).ok_or(Refusal::OutsideHours)?;
    if !open.covers(admitted.busy) {
        return Err(Refusal::OutsideHours);
    }
    // Whole seconds are checked on the instant: a reading of the clock has none of its fractions.
    let on_grid = start.nanosecond() == 0
        && stretch
            .windows
            .iter()
            .any(|(window, zone)| window.contains_instant(start) && rules.on_grid(zone.local(start)));
    if !on_grid {
        return Err(Refusal::OffGrid);
    }
    if first_ending_after(busy, admitted.busy.start(), |taken| *taken)
        .is_some_and(|taken| taken.overlaps(admitted.busy))
    {
        return Err(Refusal::Taken);
    }
    if adjacent(admitted.session, sharing) {
        return Err(Refusal::Adjacent);
    }
    let wanted = HeldSession { span: admitted.session, load_weight: rules.load_weight };
    schedule.check_limits(load, &wanted, date)?;
    if alias_busy.iter().any(|taken| taken.overlaps(admitted.busy)) {
        return Err(Refusal::AliasBusy);
    }
    match refuses(unavailable, admitted.session) {
        Some(refusal) => Err(refusal.into()),
        None => Ok(admitted),
    }
}

/// D5: whether too little time lies between `session` and one of `others`.
#[must_use]
pub fn adjacent(session: Span, others: &[Span]) -> bool {
    let around = session.widened(ADJACENT, ADJACENT);
    others.iter().any(|other| other.overlaps(around))
}

/// Every session that may start in `range`, in ascending order: exactly the starts that [`admit`] accepts.
///
/// The open time must have been computed for `range` or more.
pub fn slots(admission: &Admission<'_>, range: Span) -> impl Iterator<Item = Admitted> {
    candidates(admission, range).filter_map(|(_, verdict)| verdict.ok())
}

/// Every start in `range` that the therapist's windows and the grid of the session type know, in ascending
/// order, each with its verdict; time off and busy time show in the verdict.
pub fn candidates(
    admission: &Admission<'_>,
    range: Span,
) -> impl Iterator<Item = (DateTime<Utc>, Result<Admitted, Refusal>)> {
    let stretches = admission.open.stretches();
    let first = stretches.partition_point(|stretch| stretch.span.end() <= range.start());
    stretches[first..]
        .iter()
        .take_while(move |stretch| stretch.span.start() < range.end())
        .flat_map(move |stretch| {
            let mut starts: Vec<DateTime<Utc>> = stretch
                .windows
                .iter()
                .filter_map(|(window, zone)| Some((window.intersection(range)?, zone)))
                .flat_map(|(window, zone)| zone.even_pieces(window))
                .flat_map(|(piece, offset)| grid_starts(admission.session, piece, offset))
                .collect();
            if stretch.windows.len() > 1 {
                starts.sort_unstable();
                starts.dedup();
            }
            starts
        })
        .map(|start| (start, admit(admission, start)))
}

fn with_buffers(rules: &SessionRules, start: DateTime<Utc>) -> Option<Admitted> {
    let end = start.checked_add_signed(rules.duration)?;
    let busy = Span::new(
        start.checked_sub_signed(rules.buffer_before)?,
        end.checked_add_signed(rules.buffer_after)?,
    )?;
    Some(Admitted { session: Span::new(start, end)?, busy })
}

/// The instants of `piece` at which a clock that is `offset` ahead of UTC reads one of the grid's starts.
fn grid_starts(
    rules: &SessionRules,
    piece: Span,
    offset: TimeDelta,
) -> impl Iterator<Item = DateTime<Utc>> + use<> {
    const DAY: i64 = 24 * 60 * 60;
    let (first, interval) =
        (i64::from(rules.grid_offset_minutes) * 60, i64::from(rules.grid_interval_minutes.max(1)) * 60);
    let (start, end) =
        (piece.start().timestamp() + offset.num_seconds(), piece.end().timestamp() + offset.num_seconds());
    let midnights = (start.div_euclid(DAY)..=(end - 1).div_euclid(DAY)).map(|day| day * DAY);
    midnights
        .flat_map(move |midnight| {
            let skipped = (start - midnight - first).max(0);
            // Rounded up to the next start of the grid.
            let from = midnight + first + (skipped + interval - 1) / interval * interval;
            let step = usize::try_from(interval).unwrap_or(usize::MAX);
            (from..end.min(midnight + DAY)).step_by(step)
        })
        .filter_map(move |reading| DateTime::from_timestamp(reading - offset.num_seconds(), 0))
}

#[cfg(test)]
mod tests;
