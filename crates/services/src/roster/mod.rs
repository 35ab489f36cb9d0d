//! Not written yet.

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::roster_service_server::RosterService for App {
    async fn import_roster(
        &self,
        _request: Request<v1::ImportRosterRequest>,
    ) -> Result<Response<v1::ImportRosterResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn get_roster(
        &self,
        _request: Request<v1::GetRosterRequest>,
    ) -> Result<Response<v1::GetRosterResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn delete_roster(
        &self,
        _request: Request<v1::DeleteRosterRequest>,
    ) -> Result<Response<v1::DeleteRosterResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
