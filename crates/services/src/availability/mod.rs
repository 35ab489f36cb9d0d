//! When a therapist works, and what can be booked with them.

mod schedule;

pub(crate) use schedule::{schedule, schedules};

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::availability_service_server::AvailabilityService for App {
    async fn get_schedule(
        &self,
        _request: Request<v1::GetScheduleRequest>,
    ) -> Result<Response<v1::GetScheduleResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn update_schedule(
        &self,
        _request: Request<v1::UpdateScheduleRequest>,
    ) -> Result<Response<v1::UpdateScheduleResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_session_types(
        &self,
        _request: Request<v1::ListSessionTypesRequest>,
    ) -> Result<Response<v1::ListSessionTypesResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn create_session_type(
        &self,
        _request: Request<v1::CreateSessionTypeRequest>,
    ) -> Result<Response<v1::CreateSessionTypeResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn update_session_type(
        &self,
        _request: Request<v1::UpdateSessionTypeRequest>,
    ) -> Result<Response<v1::UpdateSessionTypeResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn delete_session_type(
        &self,
        _request: Request<v1::DeleteSessionTypeRequest>,
    ) -> Result<Response<v1::DeleteSessionTypeResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_date_overrides(
        &self,
        _request: Request<v1::ListDateOverridesRequest>,
    ) -> Result<Response<v1::ListDateOverridesResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn create_date_override(
        &self,
        _request: Request<v1::CreateDateOverrideRequest>,
    ) -> Result<Response<v1::CreateDateOverrideResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn delete_date_override(
        &self,
        _request: Request<v1::DeleteDateOverrideRequest>,
    ) -> Result<Response<v1::DeleteDateOverrideResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_time_off(
        &self,
        _request: Request<v1::ListTimeOffRequest>,
    ) -> Result<Response<v1::ListTimeOffResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn create_time_off(
        &self,
        _request: Request<v1::CreateTimeOffRequest>,
    ) -> Result<Response<v1::CreateTimeOffResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn delete_time_off(
        &self,
        _request: Request<v1::DeleteTimeOffRequest>,
    ) -> Result<Response<v1::DeleteTimeOffResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
