//! How fast codes can be tried, by all callers together.
//!
//! Everybody waits for a turn, right codes and wrong ones alike: a count of wrong ones that
//! closes the door would let a stranger close it for the whole hospital. At this pace,
//! guessing one of ten thousand codes of 100 bits takes some 10^16 years.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Between two turns: a hundred a second.
const TURN: Duration = Duration::from_millis(10);
/// Whoever would wait for longer is told to come back.
const LONGEST: Duration = Duration::from_secs(5);

/// Hands out turns, one after another.
#[derive(Debug)]
pub(crate) struct Pace {
    next: Mutex<Instant>,
}

/// Too many are waiting.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Pace {
    pub(crate) fn new() -> Self {
        Self { next: Mutex::new(Instant::now()) }
    }

    /// Ends when it is the caller's turn.
    pub(crate) async fn turn(&self) -> Result<(), TooMany> {
        sleep_until(self.reserve(Instant::now())?).await;
        Ok(())
    }

    /// When the caller's turn is.
    pub(crate) fn reserve(&self, now: Instant) -> Result<Instant, TooMany> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = now.max(*next);
        if turn - now > LONGEST {
            return Err(TooMany);
        }
        *next = turn + TURN;
        Ok(turn)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::{LONGEST, Pace, TURN};

    #[test]
    fn turns_follow_each_other_and_nobody_waits_for_longer_than_the_longest() {
        let (pace, now) = (Pace::new(), Instant::now() + LONGEST);
        let most = LONGEST.as_millis() / TURN.as_millis() + 1;
        let turns: Vec<_> = (0..most).map(|_| pace.reserve(now).unwrap()).collect();
        assert_eq!(turns[0], now);
        assert!(turns.windows(2).all(|pair| pair[1] - pair[0] == TURN));
        assert!(pace.reserve(now).is_err());
        // A turn that was refused is not lost to those who come later, and idle time is not saved up.
        assert_eq!(pace.reserve(now + TURN).unwrap(), now + LONGEST + TURN);
        assert_eq!(pace.reserve(now + 9 * LONGEST).unwrap(), now + 9 * LONGEST);
        assert_eq!(pace.reserve(now + 9 * LONGEST).unwrap(), now + 9 * LONGEST + TURN);
    }
}
