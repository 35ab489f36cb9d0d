//! B1: what is held is booked, and paid for (E2).

use api::v1;
use chrono::{DateTime, Utc};
use store::{BookingId, booking::State, booking_event::Actor};

use super::{
    admission::{self, Wanted},
    advance,
    hold::offered,
    lock_owned, print,
};
use crate::{
    App,
    access::Bearer,
    error::Error,
    field,
    once::{Once, Turn},
    programme::payment::Payment,
    reminders,
    slots::RosterUse,
};

pub(super) async fn confirm_booking(
    app: &App,
    bearer: &Bearer,
    request: v1::ConfirmBookingRequest,
    now: DateTime<Utc>,
) -> Result<v1::ConfirmBookingResponse, Error> {
    let v1::ConfirmBookingRequest { request_id, booking_id, book_if_free, roster_use, payment } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;
    let roster_use = RosterUse::read(app, roster_use.clone(), now)?;
    let payment = Payment::read(app, payment.as_ref(), now).await?;

    let alias = bearer.alias;
    let mut once =
        match Once::begin_by_token(app, bearer, "ConfirmBooking", &request, request_id, now).await? {
            Turn::Again(response) => return Ok(response),
            Turn::First(once) => once,
        };
    let tx = &once.tx;
    let (mut booking, listing) = lock_owned(app, tx, booking_id, alias).await?;
    if booking.state != State::Pending {
        return Err(Error::WrongState { state: booking.state });
    }
    // Somebody whose clock is ahead may have let go of it already: then it has expired for everybody.
    if booking.hold_expired(now) || !booking.occupies {
        if !book_if_free {
            return Err(Error::HoldExpired);
        }
        let session_type = offered(&listing, booking.session_type_id, now)?;
        let wanted = Wanted {
            alias,
            listing: &listing,
            session_type,
            start: booking.starts_at.into(),
            roster_use: &roster_use,
            moving: Some(booking.id),
        };
        let decided = admission::admit(app, tx, once.safe()?, &wanted, now).await?;
        admission::place(&mut booking, &decided);
    }
    booking.state = State::Booked;
    booking.occupies = true;
    booking.hold_expires_at = None;
    payment.spend(app, tx, alias, &mut booking, now).await?;
    advance(&mut once.writes, &booking, Actor::Alias, false, now);
    reminders::plan(&mut once, &booking, now)?;
    once.commit(v1::ConfirmBookingResponse { booking: Some(print(booking, &listing.therapist)) }).await
}
