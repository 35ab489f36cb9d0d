use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// How long to wait before a feed is fetched again, after so many failures in a row.
///
/// A feed that answers is asked about hourly; every failure doubles the wait, up to a day. `random` takes up to a
/// quarter away, so that feeds which began together come apart, and none waits longer than a day.
pub fn refresh_after(failures: u32, random: u32) -> Duration {
    let longest = HOUR.saturating_mul(2_u32.saturating_pow(failures)).min(DAY);
    longest.mul_f64(1.0 - 0.25 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_day() {
        for (failures, longest, shortest) in [
            (0, HOUR, HOUR * 3 / 4),
            (1, HOUR * 2, HOUR * 3 / 2),
            (2, HOUR * 4, HOUR * 3),
            (4, HOUR * 16, HOUR * 12),
            (5, DAY, HOUR * 18),
            (32, DAY, HOUR * 18),
            (u32::MAX, DAY, HOUR * 18),
        ] {
            assert_eq!(refresh_after(failures, 0), longest, "{failures}");
            assert_eq!(refresh_after(failures, u32::MAX), shortest, "{failures}");
        }
    }

    proptest! {
        #[test]
        fn more_failures_never_mean_an_earlier_try(failures: u32, random: u32) {
            let wait = refresh_after(failures, random);
            prop_assert!((HOUR * 3 / 4..=DAY).contains(&wait));
            prop_assert!(refresh_after(failures.saturating_add(1), random) >= wait);
        }
    }
}
