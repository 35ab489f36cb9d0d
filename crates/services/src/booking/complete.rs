//! The therapist says how a session went.

use api::v1;
use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use store::{BookingId, TherapistId, booking, booking::State, booking_event::Actor};

use super::advance;
use crate::{
    App, Caller,
    error::Error,
    field,
    once::{Once, Turn},
};

pub(super) async fn complete_booking(
    app: &App,
    therapist: TherapistId,
    request: v1::CompleteBookingRequest,
    now: DateTime<Utc>,
) -> Result<v1::CompleteBookingResponse, Error> {
    let v1::CompleteBookingRequest { request_id, booking_id, outcome } = &request;
    let booking_id: BookingId = field::id(booking_id, "booking_id")?;
    let outcome = match v1::BookingState::try_from(*outcome) {
        Ok(v1::BookingState::Fulfilled) => State::Fulfilled,
        Ok(v1::BookingState::Noshow) => State::NoShow,
        Ok(v1::BookingState::Unspecified) => return Err(field::required("outcome")),
        _ => return Err(field::out_of_range("outcome", "FULFILLED or NOSHOW")),
    };

    // The caller's row is the therapist's: the time is locked.
    let caller = Caller::Therapist(therapist);
    let mut once = match Once::begin(app, caller, "CompleteBooking", &request, request_id, now).await? {
        Turn::Again(response) => return Ok(response),
        Turn::First(once) => once,
    };
    let tx = &once.tx;
    let mut booking = booking::Entity::find_by_id(booking_id)
        .filter(booking::COLUMN.therapist_id.eq(therapist))
        .filter(booking::COLUMN.hold_expires_at.is_null())
        .one(tx)
        .await?
        .ok_or(Error::NotFound("booking"))?;
    match (booking.state, outcome) {
        (State::Booked, _) | (State::Arrived, State::Fulfilled) => {}
        (state, _) => return Err(Error::WrongState { state }),
    }
    if booking.starts_at > now.into() {
        return Err(Error::SessionNotBegun);
    }
    booking.state = outcome;
    advance(&mut once.writes, &booking, Actor::Therapist, false, now);
    // Nothing of the worker goes into a remembered answer: it would outlive an erased alias.
    once.commit(v1::CompleteBookingResponse {}).await
}
