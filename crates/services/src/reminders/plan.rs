//! When sessions are reminded of, written in the transaction that books or moves them (R1).

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, Condition, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};
use store::{AliasId, BookingId, Instant, ReminderId, booking, reminder};

use super::contact::DEFAULT_LEAD;
use crate::{error::Error, once::Once, sealed::Safe};

/// How far a reminder leaves from its hour at most, so that a mail relay's log does not show when sessions are.
/// The shortest lead time is 15 minutes, so none leaves in the last 5.
const JITTER: TimeDelta = TimeDelta::minutes(10);

/// Plans the reminder of a session that was just booked, or moved and then rid of those it had.
pub(crate) fn plan(once: &mut Once, booking: &booking::Model, now: DateTime<Utc>) -> Result<(), Error> {
    if let Some(row) = planned(once.safe()?, booking, now)? {
        once.writes.insert(row);
    }
    Ok(())
}

/// The reminder of a session, as the contact that the alias set wants it.
pub(crate) fn planned(
    safe: &Safe,
    booking: &booking::Model,
    now: DateTime<Utc>,
) -> Result<Option<reminder::Model>, Error> {
    let lead = safe.contact()?.map_or(DEFAULT_LEAD, |contact| contact.lead());
    booking.alias_id.map(|alias| row(alias, booking, lead, now)).transpose()
}

/// Word, at once, that something about a session changed without the worker, if there is anywhere to write to.
pub(crate) fn update(
    safe: &Safe,
    booking: &booking::Model,
    now: DateTime<Utc>,
) -> Result<Option<reminder::Model>, Error> {
    let Some(alias_id) = safe.contact()?.and(booking.alias_id) else { return Ok(None) };
    Ok(Some(reminder::Model {
        id: ReminderId::random(),
        alias_id,
        booking_id: Some(booking.id),
        kind: reminder::Kind::SessionUpdate,
        lead_minutes: 0,
        due_at: now.into(),
        state: reminder::State::Planned,
        attempts: 0,
        next_attempt_at: now.into(),
    }))
}

/// Takes back the reminders of a session that will not take place.
pub(crate) async fn cancel(tx: &DatabaseTransaction, booking: BookingId) -> Result<(), Error> {
    reminder::Entity::delete_many().filter(reminder::COLUMN.booking_id.eq(booking)).exec(tx).await?;
    Ok(())
}

/// Plans the reminders of the alias's sessions to come anew, `lead` ahead; what was sent stays sent.
pub(super) async fn replan(
    tx: &DatabaseTransaction,
    alias: AliasId,
    lead: TimeDelta,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let sessions = booking::Entity::find()
        .filter(booking::COLUMN.alias_id.eq(alias))
        .filter(booking::COLUMN.state.eq(booking::State::Booked))
        .filter(booking::COLUMN.starts_at.gt(Instant::from(now)))
        .all(tx)
        .await?;
    let of_sessions = Condition::all()
        .add(reminder::COLUMN.alias_id.eq(alias))
        .add(reminder::COLUMN.kind.eq(reminder::Kind::Session))
        .add(reminder::Column::BookingId.is_in(sessions.iter().map(|session| session.id)));
    reminder::Entity::delete_many()
        .filter(of_sessions.clone())
        .filter(reminder::COLUMN.state.ne(reminder::State::Sent))
        .exec(tx)
        .await?;
    let sent = reminder::Entity::find().filter(of_sessions).all(tx).await?;
    let sent: HashSet<_> = sent.into_iter().filter_map(|reminder| reminder.booking_id).collect();
    for session in sessions.iter().filter(|session| !sent.contains(&session.id)) {
        let row = row(alias, session, lead, now)?;
        reminder::Entity::insert(row.into_active_model()).exec_without_returning(tx).await?;
    }
    Ok(())
}

fn row(
    alias: AliasId,
    booking: &booking::Model,
    lead: TimeDelta,
    now: DateTime<Utc>,
) -> Result<reminder::Model, Error> {
    let (due_at, state) = due(booking.starts_at.into(), lead, jitter()?, now);
    Ok(reminder::Model {
        id: ReminderId::random(),
        alias_id: alias,
        booking_id: Some(booking.id),
        kind: reminder::Kind::Session,
        lead_minutes: i32::try_from(lead.num_minutes()).unwrap_or(i32::MAX),
        due_at: due_at.into(),
        state,
        attempts: 0,
        next_attempt_at: due_at.into(),
    })
}

/// R1: what would have been due already is skipped, whichever way its hour was moved.
fn due(
    start: DateTime<Utc>,
    lead: TimeDelta,
    jitter: TimeDelta,
    now: DateTime<Utc>,
) -> (DateTime<Utc>, reminder::State) {
    let hour = start - lead;
    let state = if hour <= now { reminder::State::Skipped } else { reminder::State::Planned };
    (hour + jitter, state)
}

fn jitter() -> Result<TimeDelta, Error> {
    let random = getrandom::u32().map_err(|_| Error::Randomness)?;
    Ok(spread(random))
}

/// A time in [-10 min, 10 min], each second as likely as any other.
fn spread(random: u32) -> TimeDelta {
    let seconds = JITTER.num_seconds();
    TimeDelta::seconds(i64::from(random) % (2 * seconds + 1) - seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-{text}:00Z").parse().unwrap()
    }

    #[track_caller]
    fn check(start: &str, lead: TimeDelta, jitter: i64, now: &str, expected: (&str, reminder::State)) {
        let due = due(at(start), lead, TimeDelta::minutes(jitter), at(now));
        assert_eq!(due, (at(expected.0), expected.1));
    }

    #[test]
    fn r1_past_due_when_booked_is_skipped_whatever_the_jitter() {
        use reminder::State::{Planned, Skipped};
        let day = TimeDelta::days(1);
        check("30T10:00", day, 0, "28T09:00", ("29T10:00", Planned));
        check("30T10:00", day, -10, "29T09:55", ("29T09:50", Planned));
        check("30T10:00", day, 10, "29T10:00", ("29T10:10", Skipped));
        check("30T10:00", day, 0, "29T22:00", ("29T10:00", Skipped));
        check("30T10:00", TimeDelta::minutes(15), 10, "29T22:00", ("30T09:55", Planned));
    }

    #[test]
    fn jitter_reaches_both_ends_and_no_further() {
        assert_eq!(spread(0), -JITTER);
        assert_eq!(spread(1_200), JITTER);
        assert_eq!(spread(1_201), -JITTER);
        assert!((0..5_000).map(spread).all(|jitter| jitter.abs() <= JITTER));
        assert!(spread(u32::MAX).abs() <= JITTER);
    }
}
