//! Not written yet.

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::booking_service_server::BookingService for App {
    async fn hold_slot(
        &self,
        _request: Request<v1::HoldSlotRequest>,
    ) -> Result<Response<v1::HoldSlotResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn confirm_booking(
        &self,
        _request: Request<v1::ConfirmBookingRequest>,
    ) -> Result<Response<v1::ConfirmBookingResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn release_hold(
        &self,
        _request: Request<v1::ReleaseHoldRequest>,
    ) -> Result<Response<v1::ReleaseHoldResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn reschedule_booking(
        &self,
        _request: Request<v1::RescheduleBookingRequest>,
    ) -> Result<Response<v1::RescheduleBookingResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn cancel_booking(
        &self,
        _request: Request<v1::CancelBookingRequest>,
    ) -> Result<Response<v1::CancelBookingResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn get_booking(
        &self,
        _request: Request<v1::GetBookingRequest>,
    ) -> Result<Response<v1::GetBookingResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_bookings(
        &self,
        _request: Request<v1::ListBookingsRequest>,
    ) -> Result<Response<v1::ListBookingsResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_agenda(
        &self,
        _request: Request<v1::ListAgendaRequest>,
    ) -> Result<Response<v1::ListAgendaResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn join_session(
        &self,
        _request: Request<v1::JoinSessionRequest>,
    ) -> Result<Response<v1::JoinSessionResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn complete_booking(
        &self,
        _request: Request<v1::CompleteBookingRequest>,
    ) -> Result<Response<v1::CompleteBookingResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
