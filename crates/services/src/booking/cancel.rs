//! B4: a booking is cancelled, and its time free at once.

use api::v1;
use chrono::{DateTime, Utc};
use store::{AliasId, BookingId, booking::State, booking_event::Actor};

use super::{Displaced, advance, is_late, lock_owned, print};
use crate::{
    App, Caller,
    error::Error,
    field,
    once::{Once, Turn},
    programme::payment,
    reminders,
};

pub(super) async fn cancel_booking(
    app: &App,
    alias: AliasId,
    request: v1::CancelBookingRequest,
    now: DateTime<Utc>,
) -> Result<v1::CancelBookingResponse, Error> {
    let v1::CancelBookingRequest { request_id, booking_id } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;

    let caller = Caller::Alias(alias);
    let mut once = match Once::begin(app, caller, "CancelBooking", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let tx = &once.tx;
    let (mut booking, listing) = lock_owned(app, tx, booking_id, alias).await?;
    if booking.state != State::Booked || booking.starts_at <= now.into() {
        return Err(Error::WrongState { state: booking.state });
    }
    booking.state = State::Cancelled;
    booking.occupies = false;
    // Whoever moved it late has not given notice by then either.
    booking.late_cancellation |= is_late(&booking, now);
    reminders::cancel(tx, booking.id).await?;
    let excused = booking.late_cancellation && once.safe()?.displaced()?.contains(&Displaced::of(&booking));
    payment::refund(app, tx, &mut once.writes, alias, &booking, excused).await?;
    advance(&mut once.writes, &booking, Actor::Alias, false, now);
    once.commit(v1::CancelBookingResponse { booking: Some(print(booking, &listing.therapist)) }).await
}
