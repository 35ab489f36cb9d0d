//! Turns what is due into letters. Several servers share the work: each row is claimed for a while by one.

use std::{panic::AssertUnwindSafe, pin::pin, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{FutureExt, StreamExt, stream};
use notify::{DeliveryError, Letter, Level, Message, compose};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter,
};
use store::{Instant, booking, contact, reminder};

use super::contact as contacts;
use crate::{App, error::Error, sealed::Safe};

/// How many letters were handed over, put off after a failure, and given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Taken by the mail server.
    pub sent: u32,
    /// To be tried again.
    pub retried: u32,
    /// Given up.
    pub dead: u32,
}

/// Delivers what falls due until `stop`, and then finishes what it has claimed.
pub async fn run(app: App, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let mut failing = false;
    loop {
        let pause = match batch(&app, app.clock.now()).await {
            Ok(Batch { full, delivered: _ }) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("reminders are claimed again");
                }
                if full { Duration::ZERO } else { PAUSE }
            }
            Err(error) => {
                // An outage is told when it begins, not at every look.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "reminders are not claimed");
                }
                PAUSE
            }
        };
        tokio::select! {
            biased;
            () = &mut stop => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Delivers, once, all that is due.
pub async fn deliver_due(app: &App) -> Result<Delivered, Error> {
    let now = app.clock.now();
    let mut all = Delivered::default();
    loop {
        let Batch { full, delivered: Delivered { sent, retried, dead } } = batch(app, now).await?;
        all.sent += sent;
        all.retried += retried;
        all.dead += dead;
        if !full {
            return Ok(all);
        }
    }
}

/// Between looks at what is due; a code should not keep anybody waiting.
const PAUSE: Duration = Duration::from_secs(2);
/// How many rows are claimed at once, and how many of them are on their way at one time.
const CLAIMED: u64 = 32;
const AT_ONCE: usize = 8;
/// How long a claim holds: longer than a batch takes if every letter times out. Then another server tries.
const LEASE: TimeDelta = TimeDelta::minutes(5);
/// How often a letter is tried.
const ATTEMPTS: i32 = 8;

struct Batch {
    /// As many as are claimed at once; there may be more.
    full: bool,
    delivered: Delivered,
}

async fn batch(app: &App, now: DateTime<Utc>) -> Result<Batch, Error> {
    let claims = claim(app, now).await?;
    let full = claims.len() as u64 == CLAIMED;
    let outcomes: Vec<_> =
        stream::iter(claims).map(|claim| settle(app, claim, now)).buffer_unordered(AT_ONCE).collect().await;
    let count = |wanted| outcomes.iter().filter(|outcome| **outcome == wanted).count();
    let count = |wanted| u32::try_from(count(wanted)).unwrap_or(u32::MAX);
    let delivered = Delivered {
        sent: count(Outcome::Sent),
        retried: count(Outcome::Retried),
        dead: count(Outcome::Dead),
    };
    let Delivered { sent, retried, dead } = delivered;
    if delivered != Delivered::default() {
        tracing::info!(sent, retried, dead, "reminders delivered");
    }
    Ok(Batch { full, delivered })
}

/// Takes what is due, in one short transaction; nothing is sent in it.
async fn claim(app: &App, now: DateTime<Utc>) -> Result<Vec<reminder::Model>, Error> {
    let tx = app.db.write().await?;
    let mut claims = Vec::new();
    for row in reminder::Entity::claimable(now, CLAIMED).all(&tx).await? {
        let attempts = row.attempts + 1;
        let mut row = row.into_active_model();
        row.attempts = Set(attempts);
        row.next_attempt_at = Set((now + LEASE).into());
        claims.push(row.update(&tx).await?);
    }
    tx.commit().await?;
    Ok(claims)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Sent,
    Retried,
    Dead,
    /// It was nothing to send: for nobody's contact, or of a session that will not take place.
    PutAside,
}

/// What becomes of a claimed row.
enum Verdict {
    Sent,
    /// It failed for now.
    Failed,
    Dead,
    /// There is no contact to send it to; it can be pulled until its session begins.
    Wait {
        until: Instant,
    },
    /// It is about nothing any more.
    Gone,
}

async fn settle(app: &App, claim: reminder::Model, now: DateTime<Utc>) -> Outcome {
    // One letter that cannot be written must not keep the others from being sent.
    let verdict = match AssertUnwindSafe(deliver(app, &claim, now)).catch_unwind().await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a reminder could not be written");
            Verdict::Failed
        }
        Err(_) => {
            tracing::error!("writing a reminder panicked");
            Verdict::Failed
        }
    };
    let verdict = match verdict {
        Verdict::Failed if claim.attempts >= ATTEMPTS => Verdict::Dead,
        verdict => verdict,
    };
    match record(app, &claim, &verdict, now).await {
        Ok(()) => {}
        // Its lease ends, and it is tried again under the same Message-ID.
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the end of a delivery was not recorded"
            );
        }
    }
    match verdict {
        Verdict::Sent => Outcome::Sent,
        Verdict::Failed => Outcome::Retried,
        Verdict::Dead => Outcome::Dead,
        Verdict::Wait { .. } | Verdict::Gone => Outcome::PutAside,
    }
}

async fn deliver(app: &App, claim: &reminder::Model, now: DateTime<Utc>) -> Result<Verdict, Error> {
    let letter = match write(app, claim, now).await? {
        Ok(letter) => letter,
        Err(verdict) => return Ok(verdict),
    };
    match app.post.deliver(&letter, now).await {
        Ok(()) => Ok(Verdict::Sent),
        Err(error @ DeliveryError::Permanent { .. }) => {
            tracing::warn!(%error, "a letter was given up");
            Ok(Verdict::Dead)
        }
        Err(error @ DeliveryError::Temporary(_)) => {
            tracing::warn!(%error, "a letter is put off");
            Ok(Verdict::Failed)
        }
    }
}

/// The letter, or what becomes of the row without one.
async fn write(
    app: &App,
    claim: &reminder::Model,
    now: DateTime<Utc>,
) -> Result<Result<Letter, Verdict>, Error> {
    let db = app.db.read();
    let alias = claim.alias_id;
    let contact = contact::Entity::find_by_id(alias).one(db).await?;
    let session = match (claim.kind, claim.booking_id) {
        (reminder::Kind::Session | reminder::Kind::SessionUpdate, Some(booking)) => {
            let session = booking::Entity::owned(booking, alias).one(db).await?;
            match session.filter(|session| session.state == booking::State::Booked) {
                Some(session) => Some(session),
                None => return Ok(Err(Verdict::Gone)),
            }
        }
        (reminder::Kind::Session | reminder::Kind::SessionUpdate, None) => return Ok(Err(Verdict::Gone)),
        (reminder::Kind::ContactCode, _) => None,
    };
    let begun = session.as_ref().is_some_and(|session| session.starts_at <= now.into());
    let unsettled = contact.and_then(|row| Some((row.sealed.clone()?, row)));
    let (sealed, row) = match (unsettled, &session) {
        (Some((sealed, row)), Some(_)) if row.confirmed => (sealed, row),
        (Some((sealed, row)), None) if !row.confirmed => (sealed, row),
        (_, Some(session)) if !begun => return Ok(Err(Verdict::Wait { until: session.starts_at })),
        _ => return Ok(Err(Verdict::Gone)),
    };
    let late = match session {
        Some(_) => begun,
        None => row.code_expires_at <= now.into(),
    };
    // A crash in the middle of the last attempt leaves one more.
    if late || claim.attempts > ATTEMPTS {
        return Ok(Err(Verdict::Dead));
    }
    let safe = Safe::open(app, db, alias).await?;
    let contact = safe.unseal_contact(&sealed)?;
    let message = match session {
        None => Message::ConfirmContact { code: contacts::code(&app.keyring, alias, row.code_id) },
        Some(session) => {
            let start: DateTime<Utc> = session.starts_at.into();
            let zone = app.rules.zone(&safe.settings()?.time_zone);
            match zone.filter(|_| claim.kind == reminder::Kind::Session) {
                Some(zone) => Message::Reminder { level: contact.level(), local: zone.local(start) },
                // Rather no hour than a wrong one; and what changed is not for a lock screen.
                None => Message::Reminder { level: Level::Update, local: start.naive_utc() },
            }
        }
    };
    let id = claim.id.0.into_bytes();
    Ok(Ok(compose(contact.address()?, contact.language(), message, id)))
}

/// Writes down what became of a row, if it is still ours.
async fn record(
    app: &App,
    claim: &reminder::Model,
    verdict: &Verdict,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    use reminder::Column as C;
    let ours = Condition::all()
        .add(reminder::COLUMN.id.eq(claim.id))
        .add(reminder::COLUMN.state.eq(reminder::State::Planned))
        .add(reminder::COLUMN.attempts.eq(claim.attempts));
    let update = reminder::Entity::update_many().filter(ours.clone());
    let tx = app.db.write().await?;
    match verdict {
        Verdict::Gone => {
            reminder::Entity::delete_many().filter(ours).exec(&tx).await?;
        }
        Verdict::Sent => {
            update.col_expr(C::State, reminder::State::Sent.into()).exec(&tx).await?;
        }
        Verdict::Dead => {
            update.col_expr(C::State, reminder::State::Dead.into()).exec(&tx).await?;
        }
        Verdict::Failed => {
            let next = Instant::from(now + backoff(claim.attempts)?);
            update.col_expr(C::NextAttemptAt, next.into()).exec(&tx).await?;
        }
        // Waiting is no attempt. A contact confirmed meanwhile has taken the lease away, and is not overruled.
        Verdict::Wait { until } => {
            update
                .filter(reminder::COLUMN.next_attempt_at.eq(claim.next_attempt_at))
                .col_expr(C::NextAttemptAt, (*until).into())
                .col_expr(C::Attempts, (claim.attempts - 1).into())
                .exec(&tx)
                .await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// How long to wait after the `attempts`th failure.
fn backoff(attempts: i32) -> Result<TimeDelta, Error> {
    let random = getrandom::u32().map_err(|_| Error::Randomness)?;
    Ok(delay(attempts, random))
}

/// From 1 minute to 1 hour: it doubles, and up to as much again is added, so that letters that failed together
/// do not come back together.
fn delay(attempts: i32, random: u32) -> TimeDelta {
    let doublings = attempts.saturating_sub(1).clamp(0, 5).unsigned_abs();
    let least = (60_i64 << doublings).min(30 * 60);
    TimeDelta::seconds(least + i64::from(random) % (least + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_pauses_double_up_to_an_hour() {
        let minutes = |attempts, random| delay(attempts, random).num_minutes();
        let shortest: Vec<_> = (1..=ATTEMPTS).map(|attempts| minutes(attempts, 0)).collect();
        assert_eq!(shortest, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(minutes(1, 60), 2);
        assert_eq!(minutes(7, 1_800), 60);
    }

    proptest! {
        #[test]
        fn no_pause_is_shorter_than_a_minute_or_longer_than_an_hour(attempts: i32, random: u32) {
            let delay = delay(attempts, random);
            prop_assert!((TimeDelta::minutes(1)..=TimeDelta::hours(1)).contains(&delay));
        }
    }
}
