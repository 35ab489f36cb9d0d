//! Not written yet.

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::directory_service_server::DirectoryService for App {
    async fn list_specializations(
        &self,
        _request: Request<v1::ListSpecializationsRequest>,
    ) -> Result<Response<v1::ListSpecializationsResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn search_therapists(
        &self,
        _request: Request<v1::SearchTherapistsRequest>,
    ) -> Result<Response<v1::SearchTherapistsResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn get_therapist(
        &self,
        _request: Request<v1::GetTherapistRequest>,
    ) -> Result<Response<v1::GetTherapistResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_therapists(
        &self,
        _request: Request<v1::ListTherapistsRequest>,
    ) -> Result<Response<v1::ListTherapistsResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn create_therapist(
        &self,
        _request: Request<v1::CreateTherapistRequest>,
    ) -> Result<Response<v1::CreateTherapistResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn update_therapist(
        &self,
        _request: Request<v1::UpdateTherapistRequest>,
    ) -> Result<Response<v1::UpdateTherapistResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn create_credential(
        &self,
        _request: Request<v1::CreateCredentialRequest>,
    ) -> Result<Response<v1::CreateCredentialResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn verify_credential(
        &self,
        _request: Request<v1::VerifyCredentialRequest>,
    ) -> Result<Response<v1::VerifyCredentialResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn delete_credential(
        &self,
        _request: Request<v1::DeleteCredentialRequest>,
    ) -> Result<Response<v1::DeleteCredentialResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_crisis_resources(
        &self,
        _request: Request<v1::ListCrisisResourcesRequest>,
    ) -> Result<Response<v1::ListCrisisResourcesResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
