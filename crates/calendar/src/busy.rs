//! What calendars elsewhere take, kept small: there may be thousands of events, years ahead, for many therapists.

use std::fmt;
use std::sync::Arc;

use chrono::DateTime;

use crate::{Span, union};

/// Time that is not open, in whole minutes: whatever touches a minute takes all of it. Sessions start and last whole
/// minutes (T1, A3), so that none is in the way of another one than before. A clone shares what is kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Busy(Option<Arc<[Minutes]>>);

/// From one minute to another, counted from the Unix epoch. In a list both ascend.
type Minutes = (u32, u32);

impl Busy {
    /// Whether nothing is taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What overlaps `range`, ascending, found without reading all the rest.
    pub fn overlapping(&self, range: Span) -> impl Iterator<Item = Span> {
        let all = self.0.as_deref().unwrap_or_default();
        let first = all.partition_point(|(_, end)| second(*end) <= range.start().timestamp());
        let near = all[first..].iter().take_while(move |(start, _)| second(*start) < range.end().timestamp());
        near.filter_map(|(start, end)| {
            let [start, end] = [start, end].map(|minute| DateTime::from_timestamp(second(*minute), 0));
            Span::new(start?, end?)
        })
    }
}

/// In any order, and they may overlap. What is before the epoch, or thousands of years after it, is left out.
impl FromIterator<Span> for Busy {
    fn from_iter<T: IntoIterator<Item = Span>>(spans: T) -> Self {
        let minutes = union(spans.into_iter().collect()).into_iter().filter_map(|span| {
            let (start, end) = <(i64, i64)>::from(span);
            let minute = |minute: i64| u32::try_from(minute.max(0)).unwrap_or(u32::MAX);
            let (start, end) = (minute(start.div_euclid(60)), minute(-(-end).div_euclid(60)));
            (start < end).then_some((start, end))
        });
        let minutes: Vec<Minutes> = minutes.collect();
        // Most have none, and those take no memory.
        Self((!minutes.is_empty()).then(|| minutes.into()))
    }
}

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Busy({})", self.0.as_deref().unwrap_or_default().len())
    }
}

fn second(minute: u32) -> i64 {
    i64::from(minute) * 60
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use proptest::prelude::*;

    use super::*;

    fn span(start: i64, length: i64) -> Span {
        Span::try_from((start, start + length)).unwrap()
    }

    fn spans() -> impl Strategy<Value = Vec<Span>> {
        let length = prop_oneof![1_i64..90, 1_i64..900];
        prop::collection::vec((-300_i64..1_800, length).prop_map(|(start, length)| span(start, length)), 0..9)
    }

    proptest! {
        #[test]
        fn a1_what_touches_a_minute_takes_it_and_nothing_else_does(
            spans in spans(),
            start in -300_i64..1_800,
            length in 1_i64..900,
        ) {
            let (busy, range) = (spans.iter().copied().collect::<Busy>(), span(start, length));
            let found: Vec<Span> = busy.overlapping(range).collect();
            prop_assert!(found.iter().all(|span| span.overlaps(range)));
            prop_assert!(found.is_sorted());
            for minute in (0..60).map(|minute| span(minute * 60, 60)).filter(|minute| minute.overlaps(range)) {
                let expected = spans.iter().any(|span| span.overlaps(minute));
                prop_assert_eq!(found.iter().any(|found| found.contains(minute)), expected);
                prop_assert_eq!(found.iter().any(|found| found.overlaps(minute)), expected);
            }
            prop_assert_eq!(busy.is_empty(), spans.iter().all(|span| span.end().timestamp() <= 0));
        }
    }

    #[test]
    fn what_lasts_for_ever_is_busy_as_far_as_anybody_plans() {
        let all = Span::new(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC).unwrap();
        let busy: Busy = [all].into_iter().collect();
        let tomorrow = span(1_800_000_000, 86_400);
        assert!(busy.overlapping(tomorrow).all(|found| found.contains(tomorrow)));
        assert_eq!(busy.overlapping(tomorrow).count(), 1);
        let [before, after] =
            [(-90_000_000, 60), (300_000_000_000, 60)].map(|(start, length)| span(start, length));
        assert!([before, after].into_iter().collect::<Busy>().is_empty());
    }
}
