//! T6: zone rules changed, and a booking follows the hour that was agreed.

use calendar::{ADJACENT, Span};
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

use super::{LOCAL_START, admission::sharing, advance, collisions::Duty, lock_owned};
use crate::{App, error::Error, programme::payment, reminders, sealed::Safe};

/// What became of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reanchored {
    /// It is where it belongs, and both sides are told.
    Moved,
    /// Somebody has another session there, it would not suit the worker, or there is no time left to be told.
    InTheWay,
    /// There is nothing to be done any more.
    Settled,
}

/// Nobody is moved who may be on the way already, or would have to be.
const NOTICE: TimeDelta = TimeDelta::hours(2);

/// Moves the booking to the instant that its hour is now, in one transaction (B4). The therapist's hours are not asked:
/// they are on the clock on which the session was agreed. The worker's shifts may be on another.
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
    let paid = match payment::check_move(app, &tx, &booking, belongs).await {
        // The hospital's passes pay until an hour ago, or from an hour later on.
        Err(Error::Pass(_)) => false,
        checked => checked.map(|()| true)?,
    };
    let (old_start, stood) = (booking.starts_at, booking.session());
    shift(&mut booking, belongs);
    if !paid
        || old_start.min(booking.starts_at) < (now + NOTICE).into()
        || !has_room(&tx, &booking, alias, now).await?
        || !suits(app, &tx, &safe, &booking, stood, now).await?
    {
        commit(app, tx, claim, Writes::default(), now).await?;
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
    let mut writes = Writes::default();
    if !told {
        reminder::Entity::delete_many()
            .filter(reminder::COLUMN.booking_id.eq(id))
            .filter(reminder::COLUMN.kind.eq(reminder::Kind::SessionUpdate))
            .exec(&tx)
            .await?;
        tell(app, &mut writes, &safe, &booking, (booking.starts_at, new_start, Outcome::Undecided), now)?;
    }
    commit(app, tx, claim, writes, now).await?;
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

/// Whether it suits the worker there as it did where it `stood`: no colleague is next to it whom they must not meet (D5),
/// and no shift, and no sleep, refuses it that did not before (S2). Whoever moves a session by themselves is asked the
/// same; the therapist sees that it was not moved, and not why.
async fn suits(
    app: &App,
    tx: &DatabaseTransaction,
    safe: &Safe,
    booking: &booking::Model,
    stood: Option<Span>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some((stood, session)) = stood.zip(booking.session()) else { return Ok(false) };
    let around = Span::new(session.start() - ADJACENT, session.end() + ADJACENT).ok_or(Error::Interrupted)?;
    let tags = safe.exclusion_tags();
    let colleagues = sharing(tx, booking.therapist_id, around, safe.alias(), tags, now).await?;
    if calendar::adjacent(session, &colleagues) {
        return Ok(false);
    }
    let Some(roster) = safe.roster()? else { return Ok(true) };
    let duty = Duty::of(app, safe, &roster)?;
    Ok(duty.refuses(session).is_none() || duty.refuses(stood).is_some())
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

/// Ends the booking's turn and renews the claim; writes nothing if another server has it by now.
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
