//! A session held, booked, moved, joined, cancelled.

mod admission;
mod agenda;
mod alternative;
mod cancel;
mod collisions;
mod complete;
mod confirm;
mod hold;
mod join;
mod list;
mod reanchor;
mod release;
mod reschedule;
mod zone_changes;

use std::sync::Arc;

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryTrait,
};
use store::{
    AliasId, BookingId, Writes, booking,
    booking::State,
    booking_event::{self, Actor},
    therapist,
};
use tonic::{Request, Response, Status};

use crate::{App, access::Called, error::Error, field, listing::Listing};

pub(crate) use alternative::hold_alternatives;
pub(crate) use collisions::{Displaced, collisions, displaced};
pub(crate) use list::{next_page, page_filter};
pub(crate) use reanchor::{Reanchored, leave, reanchor};

#[tonic::async_trait]
impl v1::booking_service_server::BookingService for App {
    async fn hold_slot(
        &self,
        request: Request<v1::HoldSlotRequest>,
    ) -> Result<Response<v1::HoldSlotResponse>, Status> {
        let now = self.clock.now();
        let bearer = request.bearer()?;
        Ok(Response::new(hold::hold_slot(self, &bearer, request.into_inner(), now).await?))
    }

    async fn confirm_booking(
        &self,
        request: Request<v1::ConfirmBookingRequest>,
    ) -> Result<Response<v1::ConfirmBookingResponse>, Status> {
        let now = self.clock.now();
        let bearer = request.bearer()?;
        Ok(Response::new(confirm::confirm_booking(self, &bearer, request.into_inner(), now).await?))
    }

    async fn release_hold(
        &self,
        request: Request<v1::ReleaseHoldRequest>,
    ) -> Result<Response<v1::ReleaseHoldResponse>, Status> {
        let now = self.clock.now();
        let alias = request.alias()?;
        Ok(Response::new(release::release_hold(self, alias, request.into_inner(), now).await?))
    }

    async fn reschedule_booking(
        &self,
        request: Request<v1::RescheduleBookingRequest>,
    ) -> Result<Response<v1::RescheduleBookingResponse>, Status> {
        let now = self.clock.now();
        let alias = request.alias()?;
        Ok(Response::new(reschedule::reschedule_booking(self, alias, request.into_inner(), now).await?))
    }

    async fn cancel_booking(
        &self,
        request: Request<v1::CancelBookingRequest>,
    ) -> Result<Response<v1::CancelBookingResponse>, Status> {
        let now = self.clock.now();
        let alias = request.alias()?;
        Ok(Response::new(cancel::cancel_booking(self, alias, request.into_inner(), now).await?))
    }

    async fn get_booking(
        &self,
        request: Request<v1::GetBookingRequest>,
    ) -> Result<Response<v1::GetBookingResponse>, Status> {
        let alias = request.alias()?;
        Ok(Response::new(list::get_booking(self, alias, request.into_inner()).await?))
    }

    async fn list_bookings(
        &self,
        request: Request<v1::ListBookingsRequest>,
    ) -> Result<Response<v1::ListBookingsResponse>, Status> {
        let now = self.clock.now();
        let alias = request.alias()?;
        Ok(Response::new(list::list_bookings(self, alias, request.into_inner(), now).await?))
    }

    async fn list_agenda(
        &self,
        request: Request<v1::ListAgendaRequest>,
    ) -> Result<Response<v1::ListAgendaResponse>, Status> {
        let therapist = request.therapist()?;
        Ok(Response::new(agenda::list_agenda(self, therapist, request.into_inner()).await?))
    }

    async fn join_session(
        &self,
        request: Request<v1::JoinSessionRequest>,
    ) -> Result<Response<v1::JoinSessionResponse>, Status> {
        let now = self.clock.now();
        let caller = request.caller();
        Ok(Response::new(join::join_session(self, caller, request.into_inner(), now).await?))
    }

    async fn list_zone_changes(
        &self,
        request: Request<v1::ListZoneChangesRequest>,
    ) -> Result<Response<v1::ListZoneChangesResponse>, Status> {
        let caller = request.caller();
        Ok(Response::new(zone_changes::list_zone_changes(self, caller, request.into_inner()).await?))
    }

    async fn complete_booking(
        &self,
        request: Request<v1::CompleteBookingRequest>,
    ) -> Result<Response<v1::CompleteBookingResponse>, Status> {
        let now = self.clock.now();
        let therapist = request.therapist()?;
        Ok(Response::new(complete::complete_booking(self, therapist, request.into_inner(), now).await?))
    }
}

/// How a start on a local clock is written down.
pub(crate) const LOCAL_START: &str = "%Y-%m-%dT%H:%M";

/// The alias's booking, with its therapist's time locked until the transaction ends, and what can be booked there.
async fn lock_owned(
    app: &App,
    tx: &DatabaseTransaction,
    id: BookingId,
    alias: AliasId,
) -> Result<(booking::Model, Arc<Listing>), Error> {
    let locked = booking::Entity::lock_owned(id, alias).one(tx).await?;
    let booking::Locked { booking, revision } = locked.ok_or(Error::NotFound("booking"))?;
    let listing = app.listings.at(app, tx, booking.therapist_id, revision).await?;
    Ok((booking, listing))
}

/// Writes a booking's new state, and to its history (B8) who made it so.
pub(crate) fn advance(
    writes: &mut Writes,
    booking: &booking::Model,
    actor: Actor,
    rescheduled: bool,
    now: DateTime<Utc>,
) {
    let row = booking.clone().into_active_model().reset_all();
    let update = booking::Entity::update_many().set(row).filter(booking::COLUMN.id.eq(booking.id));
    writes.update(update.into_query());
    record(writes, booking, actor, rescheduled, now);
}

/// Adds to a booking's history (B8).
fn record(
    writes: &mut Writes,
    booking: &booking::Model,
    actor: Actor,
    rescheduled: bool,
    now: DateTime<Utc>,
) {
    let (id, state) = (booking.id, booking.state);
    writes.insert_by(booking_event::Entity::append(id, now.into(), state, actor, rescheduled));
}

/// Whether cancelling now is late: less than 24 hours ahead (B4).
pub(crate) fn is_late(booking: &booking::Model, now: DateTime<Utc>) -> bool {
    booking.starts_at < (now + TimeDelta::hours(24)).into()
}

/// What the worker sees.
fn print(booking: booking::Model, therapist: &therapist::Model) -> v1::Booking {
    let booking::Model {
        id,
        therapist_id,
        alias_id: _,
        session_type_id,
        state,
        occupies: _,
        starts_at,
        ends_at,
        busy_from: _,
        busy_until: _,
        local_start: _,
        time_zone,
        modality,
        hold_expires_at,
        late_cancellation,
        programme_id,
    } = booking;
    v1::Booking {
        id: id.to_string(),
        therapist_id: therapist_id.to_string(),
        therapist_display_name: therapist.profile.display_name.clone(),
        session_type_id: session_type_id.to_string(),
        state: print_state(state).into(),
        session: Some(v1::Span {
            start_time: Some(field::timestamp(starts_at)),
            end_time: Some(field::timestamp(ends_at)),
        }),
        time_zone,
        modality: field::to_modality(modality).into(),
        hold_expire_time: hold_expires_at.filter(|_| state == State::Pending).map(field::timestamp),
        late_cancellation,
        zone_change: None,
        programme_id: programme_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn print_state(state: State) -> v1::BookingState {
    match state {
        State::Pending => v1::BookingState::Pending,
        State::Booked => v1::BookingState::Booked,
        State::Arrived => v1::BookingState::Arrived,
        State::Fulfilled => v1::BookingState::Fulfilled,
        State::Cancelled => v1::BookingState::Cancelled,
        State::NoShow => v1::BookingState::Noshow,
    }
}
