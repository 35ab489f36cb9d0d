//! B1: a hold is given back.

use api::v1;
use chrono::{DateTime, Utc};
use store::{AliasId, BookingId, booking::State, booking_event::Actor};

use super::{advance, lock_owned, print};
use crate::{
    App, Caller,
    error::Error,
    field,
    once::{Once, Turn},
};

pub(super) async fn release_hold(
    app: &App,
    alias: AliasId,
    request: v1::ReleaseHoldRequest,
    now: DateTime<Utc>,
) -> Result<v1::ReleaseHoldResponse, Error> {
    let v1::ReleaseHoldRequest { request_id, booking_id } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;

    let caller = Caller::Alias(alias);
    let mut once = match Once::begin(app, caller, "ReleaseHold", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let tx = &once.tx;
    let (mut booking, listing) = lock_owned(app, tx, booking_id, alias).await?;
    if booking.state != State::Pending {
        return Err(Error::WrongState { state: booking.state });
    }
    // `hold_expires_at` stays: it tells what was never booked.
    booking.state = State::Cancelled;
    booking.occupies = false;
    advance(&mut once.writes, &booking, Actor::Alias, false, now);
    once.commit(v1::ReleaseHoldResponse { booking: Some(print(booking, &listing.therapist)) }).await
}
