//! T6: zone rules changed, and a booking follows the hour that was agreed.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect, sea_query::LockType};
use store::{
    AliasId, BookingId, Instant, Writes, alias,
    booking::{self, Occupied, State},
    booking_event::Actor,
    reminder, zone_change,
    zone_change::Outcome,
    zone_check,
};
use uuid::Uuid;

use super::{LOCAL_START, advance, lock_owned};
use crate::{App, error::Error, reminders, sealed::Safe};

/// What became of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reanchored {
    /// It is where it belongs, and both sides are told.
    Moved,
    /// Somebody has another session there, or there is no time left to be told.
    InTheWay,
    /// There is nothing to be done any more.
    Settled,
}

/// Nobody is moved who may be on the way already, or would have to be.
const NOTICE: TimeDelta = TimeDelta::hours(2);

/// Moves the booking to the instant that its hour is now, in one transaction (B4). Neither the worker's shifts nor the
/// therapist's hours are asked: both were agreed on clocks, as the session was.
pub(crate) async fn reanchor(
    app: &App,
    claim: Uuid,
    id: BookingId,
    now: DateTime<Utc>,
) -> Result<Reanchored, Error> {
    let tx = app.db.write().await?;
    let Some(Displaced { mut booking, alias, safe, belongs }) = lock(app, &tx, id, now).await? else {
        return Ok(Reanchored::Settled);
    };
    let old_start = booking.starts_at;
    shift(&mut booking, belongs);
    if old_start.min(booking.starts_at) < (now + NOTICE).into()
        || !has_room(&tx, &booking, alias, now).await?
    {
        return Ok(Reanchored::InTheWay);
    }
    // One that was sent for the old time must not stand in the way of the new one.
    reminders::cancel(&tx, id).await?;
    let mut writes = Writes::default();
    advance(&mut writes, &booking, Actor::System, true, now);
    if let Some(row) = reminders::planned(&safe, &booking, now)? {
        writes.insert(row);
    }
    tell(app, &mut writes, &safe, &booking, (old_start, belongs.into(), Outcome::Moved), now)?;
    commit(app, tx, claim, writes, now).await?;
    Ok(Reanchored::Moved)
}

/// Leaves the booking where it stands, and tells both sides, once; whether it is there to be decided.
pub(crate) async fn leave(app: &App, claim: Uuid, id: BookingId, now: DateTime<Utc>) -> Result<bool, Error> {
    let tx = app.db.write().await?;
    let Some(Displaced { booking, alias: _, safe, belongs }) = lock(app, &tx, id, now).await? else {
        return Ok(false);
    };
    let new_start = Instant::from(belongs);
    let known = zone_change::Entity::find_by_id(id).one(&tx).await?;
    let told = known.is_some_and(|known| {
        (known.old_start, known.new_start, known.outcome)
            == (booking.starts_at, new_start, Outcome::Undecided)
    });
    if !told {
        reminder::Entity::delete_many()
            .filter(reminder::COLUMN.booking_id.eq(id))
            .filter(reminder::COLUMN.kind.eq(reminder::Kind::SessionUpdate))
            .exec(&tx)
            .await?;
        let mut writes = Writes::default();
        tell(app, &mut writes, &safe, &booking, (booking.starts_at, new_start, Outcome::Undecided), now)?;
        commit(app, tx, claim, writes, now).await?;
    }
    Ok(true)
}

/// A booking that is not where its hour is, with all that could move it locked.
struct Displaced {
    booking: booking::Model,
    alias: AliasId,
    safe: Safe,
    /// Where its hour is.
    belongs: DateTime<Utc>,
}

/// Locks the alias and then the therapist, and looks again: whoever had them before may have moved or cancelled it.
async fn lock(
    app: &App,
    tx: &DatabaseTransaction,
    id: BookingId,
    now: DateTime<Utc>,
) -> Result<Option<Displaced>, Error> {
    let found = booking::Entity::find_by_id(id).one(tx).await?;
    let Some(alias) = found.and_then(|booking| booking.alias_id) else { return Ok(None) };
    let row = alias::Entity::find_by_id(alias).select_only().column(alias::Column::Id);
    let row = row.lock(LockType::NoKeyUpdate).into_tuple::<AliasId>().one(tx).await?;
    if row.is_none() {
        return Ok(None);
    }
    let (booking, _) = match lock_owned(app, tx, id, alias).await {
        Err(Error::NotFound(_)) => return Ok(None),
        locked => locked?,
    };
    if booking.state != State::Booked || booking.starts_at <= now.into() {
        return Ok(None);
    }
    let Some(zone) = app.rules.zone(&booking.time_zone) else { return Ok(None) };
    let Ok(local) = NaiveDateTime::parse_from_str(&booking.local_start, LOCAL_START) else { return Ok(None) };
    let Some(belongs) = zone.reanchored(booking.starts_at.into(), local) else { return Ok(None) };
    Ok(Some(Displaced { booking, alias, safe: Safe::open(app, tx, alias).await?, belongs }))
}

/// The whole session with its buffers. What was agreed stays as it was written down.
fn shift(booking: &mut booking::Model, start: DateTime<Utc>) {
    let by = start - DateTime::<Utc>::from(booking.starts_at);
    for at in [&mut booking.starts_at, &mut booking.ends_at, &mut booking.busy_from, &mut booking.busy_until]
    {
        *at = (DateTime::<Utc>::from(*at) + by).into();
    }
}

/// B2: whether nobody has another session there. Expired holds are let go of.
async fn has_room(
    tx: &DatabaseTransaction,
    booking: &booking::Model,
    alias: AliasId,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(busy) = booking.busy() else { return Ok(false) };
    let others = Occupied::bearing_on(tx, booking.therapist_id, alias, booking.starts_at.into()).await?;
    let in_the_way = others
        .iter()
        .filter(|other| other.id != booking.id && !other.hold_expired(now))
        .any(|other| other.busy().is_some_and(|other| other.overlaps(busy)));
    if !in_the_way {
        booking::Entity::let_go_of_expired(tx, booking.therapist_id, alias, busy, now).await?;
    }
    Ok(!in_the_way)
}

/// Writes down what became of the booking, where both sides see it, and word for the worker.
fn tell(
    app: &App,
    writes: &mut Writes,
    safe: &Safe,
    booking: &booking::Model,
    (old_start, new_start, outcome): (Instant, Instant, Outcome),
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let version = app.rules.version().to_owned();
    let (booking_id, time_zone) = (booking.id, booking.time_zone.clone());
    let row = zone_change::Model { booking_id, version, time_zone, old_start, new_start, outcome };
    writes.insert_by(zone_change::Entity::replace(row));
    if let Some(row) = reminders::update(safe, booking, now)? {
        writes.insert(row);
    }
    Ok(())
}

/// Writes nothing if another server has the claim by now.
async fn commit(
    app: &App,
    tx: DatabaseTransaction,
    claim: Uuid,
    writes: Writes,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if !zone_check::Entity::renew(&tx, claim, now).await? {
        return Err(Error::Interrupted);
    }
    writes.send(&tx).await?;
    tx.commit().await?;
    app.mirror.committed();
    Ok(())
}
