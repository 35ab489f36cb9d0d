//! How often somebody may have a calendar fetched: nobody makes the server knock at doors all day.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{EntityTrait, IntoActiveModel, sea_query::OnConflict};
use store::fetch_turn;

use crate::{error::Error, once::Once};

/// Turns that may be taken one after the other.
const IN_A_ROW: i32 = 5;
/// After how long each is given back.
const EVERY: TimeDelta = TimeDelta::minutes(10);

/// Takes one of the caller's turns, and ends the transaction with nothing else done in it: a fetch that fails has taken
/// a turn as well.
pub(crate) async fn take_turn(once: Once, now: DateTime<Utc>) -> Result<(), Error> {
    let caller_id = once.caller_id();
    let row = fetch_turn::Entity::find_by_id(caller_id).one(&once.tx).await?;
    let used_until = used_until(row.map(|row| row.used_until.into()), now)?;
    let row = fetch_turn::Model { caller_id, used_until: used_until.into() };
    let replace = OnConflict::column(fetch_turn::Column::CallerId)
        .update_column(fetch_turn::Column::UsedUntil)
        .to_owned();
    fetch_turn::Entity::insert(row.into_active_model())
        .on_conflict(replace)
        .exec_without_returning(&once.tx)
        .await?;
    once.tx.commit().await?;
    Ok(())
}

/// When the last turn is given back once another is taken.
fn used_until(before: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
    let after = before.map_or(now, |before| before.max(now)) + EVERY;
    let wait = after - (now + EVERY * IN_A_ROW);
    if wait > TimeDelta::zero() { Err(Error::TooManyFetches { wait }) } else { Ok(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The waits of attempts at these minutes; zero for one that has its turn.
    #[track_caller]
    fn check(minutes: &[i64], waits: &[i64]) {
        let mut used = None;
        let found = minutes.iter().map(|minute| {
            match used_until(used, DateTime::UNIX_EPOCH + TimeDelta::minutes(*minute)) {
                Ok(until) => {
                    used = Some(until);
                    0
                }
                Err(Error::TooManyFetches { wait }) => wait.num_minutes(),
                Err(error) => panic!("{error}"),
            }
        });
        assert_eq!(found.collect::<Vec<_>>(), waits);
    }

    #[test]
    fn five_in_a_row_and_then_one_every_ten_minutes() {
        check(&[0, 0, 0, 0, 0, 0, 9, 10, 10], &[0, 0, 0, 0, 0, 10, 1, 0, 10]);
        check(&[0, 0, 30, 30, 30, 30, 30, 30], &[0, 0, 0, 0, 0, 0, 0, 10]);
        check(&[0, 20, 40, 60, 80, 100, 120], &[0; 7]);
    }
}
