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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn span(start: i64, end: i64) -> Span {
        Span::new(at(start), at(end)).unwrap()
    }

    #[test]
    fn t1_a_span_is_half_open_whole_seconds_and_never_empty() {
        assert_eq!(Span::new(at(5), at(5)), None);
        assert_eq!(Span::new(at(5), at(4)), None);
        assert_eq!(Span::new(at(5), at(5) + TimeDelta::milliseconds(900)), None);
        assert!(span(0, 5).contains_instant(at(0)));
        assert!(!span(0, 5).contains_instant(at(5)));
        assert!(!span(0, 5).overlaps(span(5, 9)));
        assert_eq!(span(0, 5).intersection(span(5, 9)), None);
        assert_eq!(span(0, 6).intersection(span(5, 9)), Some(span(5, 6)));
    }

    #[test]
    fn a_span_as_data_is_two_seconds_and_is_checked_when_read() {
        assert_eq!(serde_json::to_string(&span(3, 7)).unwrap(), "[3,7]");
        assert_eq!(serde_json::from_str::<Span>("[3,7]").unwrap(), span(3, 7));
        assert!(serde_json::from_str::<Span>("[7,3]").is_err());
        assert!(serde_json::from_str::<Span>("[0,9223372036854775807]").is_err());
    }

    #[test]
    fn widening_stops_at_the_edges_of_time() {
        let all = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC).unwrap();
        assert!(all.widened(TimeDelta::days(1), TimeDelta::days(1)).contains(all));
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        prop::collection::vec(
            (0_i64..60, 1_i64..12).prop_map(|(start, length)| span(start, start + length)),
            0..12,
        )
    }

    fn seconds(spans: &[Span]) -> Vec<bool> {
        (0..80).map(|second| spans.iter().any(|span| span.contains_instant(at(second)))).collect()
    }

    fn sorted_and_apart(spans: &[Span]) -> bool {
        spans.windows(2).all(|pair| pair[0].end() < pair[1].start())
    }

    proptest! {
        #[test]
        fn union_keeps_every_second_and_no_other(spans in spans()) {
            let merged = union(spans.clone());
            prop_assert_eq!(seconds(&merged), seconds(&spans));
            prop_assert!(sorted_and_apart(&merged));
        }

        #[test]
        fn subtract_removes_what_is_in_the_other_and_nothing_else(spans in spans(), minus in spans()) {
            let left = subtract(&spans, &minus);
            let expected: Vec<bool> =
                seconds(&spans).into_iter().zip(seconds(&minus)).map(|(kept, cut)| kept && !cut).collect();
            prop_assert_eq!(seconds(&left), expected);
            prop_assert!(sorted_and_apart(&left));
        }
    }
}
