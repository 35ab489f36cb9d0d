//! B4: a booking moves in one step, or stays where it is.

use api::v1;
use chrono::{DateTime, Utc};
use sea_orm::DatabaseTransaction;
use store::{AliasId, BookingId, Writes, booking, booking::State, booking_event::Actor};

use super::{
    Displaced,
    admission::{self, Wanted},
    advance, is_late, lock_owned, print,
};
use crate::{
    App, Caller,
    error::Error,
    field,
    once::{Once, Turn},
    programme::payment,
    reminders,
    slots::RosterUse,
};

pub(super) async fn reschedule_booking(
    app: &App,
    alias: AliasId,
    request: v1::RescheduleBookingRequest,
    now: DateTime<Utc>,
) -> Result<v1::RescheduleBookingResponse, Error> {
    let v1::RescheduleBookingRequest { request_id, booking_id, start_time, roster_use } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;
    let start = field::instant(field::given(*start_time, "start_time")?, "start_time")?;
    let roster_use = RosterUse::read(app, roster_use.clone(), now)?;

    let caller = Caller::Alias(alias);
    let mut once = match Once::begin(app, caller, "RescheduleBooking", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let tx = &once.tx;
    let (mut booking, listing) = lock_owned(app, tx, booking_id, alias).await?;
    if booking.state != State::Booked || booking.starts_at <= now.into() {
        return Err(Error::WrongState { state: booking.state });
    }
    payment::check_move(app, tx, &booking, start).await?;
    // B4: to move it first is no way around what cancelling late costs.
    booking.late_cancellation |=
        is_late(&booking, now) && !once.safe()?.displaced()?.contains(&Displaced::of(&booking));
    if let Some(hold) = booking::Entity::held_slot(alias, &booking, start, now).one(tx).await? {
        take_over(tx, &mut booking, hold, now).await?;
    } else {
        // Whoever is a client already may move, even if no new ones are accepted or the type was withdrawn.
        if !listing.licensed(now) {
            return Err(Error::NotFound("therapist"));
        }
        let session_type =
            listing.session_type(booking.session_type_id).ok_or(Error::NotFound("session type"))?;
        let wanted = Wanted {
            alias,
            listing: &listing,
            session_type,
            start,
            roster_use: &roster_use,
            moving: Some(booking.id),
        };
        let decided = admission::admit(app, tx, once.safe()?, &wanted, now).await?;
        admission::place(&mut booking, &decided);
    }
    // One that was sent for the old time must not stand in the way of the new one.
    reminders::cancel(tx, booking.id).await?;
    advance(&mut once.writes, &booking, Actor::Alias, true, now);
    reminders::plan(&mut once, &booking, now)?;
    once.commit(v1::RescheduleBookingResponse { booking: Some(print(booking, &listing.therapist)) }).await
}

/// B1, S8: gives the booking the time that is held for it, and ends the hold. That is written first, since the database
/// lets no two have the same time for a moment (B2).
async fn take_over(
    tx: &DatabaseTransaction,
    booking: &mut booking::Model,
    mut hold: booking::Model,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    booking.starts_at = hold.starts_at;
    booking.ends_at = hold.ends_at;
    booking.busy_from = hold.busy_from;
    booking.busy_until = hold.busy_until;
    booking.local_start.clone_from(&hold.local_start);
    booking.time_zone.clone_from(&hold.time_zone);
    hold.state = State::Cancelled;
    hold.occupies = false;
    let mut writes = Writes::default();
    advance(&mut writes, &hold, Actor::Alias, false, now);
    Ok(writes.send(tx).await?)
}
