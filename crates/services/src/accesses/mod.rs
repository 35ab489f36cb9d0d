//! What is opened of what is a worker's: by whom, with whose consent, and how the worker sees it.

mod emergency;
mod log;

use api::v1;
use tonic::{Request, Response, Status};

pub(crate) use self::log::{Access, What, forget_bookings, read, record, record_first};
use crate::{App, access::Called, sealed::Safe};

#[tonic::async_trait]
impl v1::access_service_server::AccessService for App {
    async fn list_accesses(
        &self,
        request: Request<v1::ListAccessesRequest>,
    ) -> Result<Response<v1::ListAccessesResponse>, Status> {
        let (now, alias, db) = (self.clock.now(), request.alias()?, self.db.read());
        let safe = Safe::open(self, db, alias).await?;
        let accesses = log::read(db, &safe, now).await?.iter().rev().map(Access::print).collect();
        Ok(Response::new(v1::ListAccessesResponse { accesses }))
    }

    async fn request_emergency_access(
        &self,
        request: Request<v1::RequestEmergencyAccessRequest>,
    ) -> Result<Response<v1::RequestEmergencyAccessResponse>, Status> {
        let operator = request.operator()?;
        Ok(Response::new(emergency::request(self, operator, request.into_inner(), self.clock.now()).await?))
    }

    async fn list_emergency_accesses(
        &self,
        request: Request<v1::ListEmergencyAccessesRequest>,
    ) -> Result<Response<v1::ListEmergencyAccessesResponse>, Status> {
        let operator = request.operator()?;
        Ok(Response::new(emergency::list(self, operator, request.into_inner(), self.clock.now()).await?))
    }

    async fn approve_emergency_access(
        &self,
        request: Request<v1::ApproveEmergencyAccessRequest>,
    ) -> Result<Response<v1::ApproveEmergencyAccessResponse>, Status> {
        let operator = request.operator()?;
        Ok(Response::new(emergency::approve(self, operator, request.into_inner(), self.clock.now()).await?))
    }

    async fn read_emergency_contact(
        &self,
        request: Request<v1::ReadEmergencyContactRequest>,
    ) -> Result<Response<v1::ReadEmergencyContactResponse>, Status> {
        let operator = request.operator()?;
        Ok(Response::new(emergency::read(self, operator, request.into_inner(), self.clock.now()).await?))
    }
}
