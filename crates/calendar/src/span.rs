//! Half-open spans of time (T1) and sets of them.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// A half-open span `[start, end)` of whole seconds, never empty; as data, a pair of Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(i64, i64)", into = "(i64, i64)")]
pub struct Span {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Span {
    /// Drops fractions of seconds; `None` unless `start` is then before `end`.
    pub fn new(start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Self> {
        let (start, end) = (start.trunc_subsecs(0), end.trunc_subsecs(0));
        (start < end).then_some(Self { start, end })
    }

    /// The first instant inside.
    pub fn start(self) -> DateTime<Utc> {
        self.start
    }

    /// The first instant after.
    pub fn end(self) -> DateTime<Utc> {
        self.end
    }

    /// Elapsed time, which a clock change makes differ from the difference of local readings.
    pub fn duration(self) -> TimeDelta {
        self.end - self.start
    }

    /// Whether some instant is in both; spans that only touch do not overlap.
    pub fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Whether every instant of `other` is inside.
    pub fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether `at` is inside; the end is not.
    pub fn contains_instant(self, at: DateTime<Utc>) -> bool {
        self.start <= at && at < self.end
    }

    /// The instants in both, if there are any.
    pub fn intersection(self, other: Span) -> Option<Span> {
        Span::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Extended at both sides; stops at the edges of representable time, and never shrinks.
    pub(crate) fn widened(self, before: TimeDelta, after: TimeDelta) -> Span {
        let start = self.start.checked_sub_signed(before).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let end = self.end.checked_add_signed(after).unwrap_or(DateTime::<Utc>::MAX_UTC);
        Span { start: start.min(self.start), end: end.max(self.end) }
    }
}

/// Why a pair of numbers is no [`Span`].
#[derive(Debug, thiserror::Error)]
#[error("not a span: the start must be before the end, both in Unix seconds")]
pub struct NotASpan;

impl TryFrom<(i64, i64)> for Span {
    type Error = NotASpan;

    fn try_from((start, end): (i64, i64)) -> Result<Self, NotASpan> {
        DateTime::from_timestamp(start, 0)
            .zip(DateTime::from_timestamp(end, 0))
            .and_then(|(start, end)| Span::new(start, end))
            .ok_or(NotASpan)
    }
}

impl From<Span> for (i64, i64) {
    fn from(span: Span) -> Self {
        (span.start.timestamp(), span.end.timestamp())
    }
}

/// The same instants as sorted, disjoint spans; those that touch become one.
pub fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// The instants of `spans` that are not in `minus`, as sorted, disjoint spans.
pub fn subtract(spans: &[Span], minus: &[Span]) -> Vec<Span> {
    let minus = union(minus.to_vec());
    let mut left = Vec::new();
    for span in union(spans.to_vec()) {
        let mut start = span.start;
        let first = minus.partition_point(|taken| taken.end <= span.start);
        for taken in minus[first..].iter().take_while(|taken| taken.start < span.end) {
            left.extend(Span::new(start, taken.start));
            start = taken.end;
        }
        left.extend(Span::new(start, span.end));
    }
    left
}

/// The first of sorted, disjoint spans that ends after `at`.
pub(crate) fn first_ending_after<T>(
    sorted: &[T],
    at: DateTime<Utc>,
    span: impl Fn(&T) -> Span,
) -> Option<&T> {
    sorted.get(sorted.partition_point(|item| span(item).end <= at))
}
