//! B4: a booking moves in one step, or stays where it is.

use api::v1;
use chrono::{DateTime, Utc};
use store::{AliasId, BookingId, booking::State, booking_event::Actor};

use super::{
    admission::{self, Wanted},
    advance, lock_owned, print,
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
    payment::check_move(app, tx, &booking, start).await?;
    admission::place(&mut booking, &decided);
    // One that was sent for the old time must not stand in the way of the new one.
    reminders::cancel(tx, booking.id).await?;
    advance(&mut once.writes, &booking, Actor::Alias, true, now);
    reminders::plan(&mut once, &booking, now)?;
    once.commit(v1::RescheduleBookingResponse { booking: Some(print(booking, &listing.therapist)) }).await
}
