//! Not written yet.

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::alias_service_server::AliasService for App {
    async fn begin_create_alias(
        &self,
        _request: Request<v1::BeginCreateAliasRequest>,
    ) -> Result<Response<v1::BeginCreateAliasResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn create_alias(
        &self,
        _request: Request<v1::CreateAliasRequest>,
    ) -> Result<Response<v1::CreateAliasResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn begin_login(
        &self,
        _request: Request<v1::BeginLoginRequest>,
    ) -> Result<Response<v1::BeginLoginResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn finish_login(
        &self,
        _request: Request<v1::FinishLoginRequest>,
    ) -> Result<Response<v1::FinishLoginResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn logout(
        &self,
        _request: Request<v1::LogoutRequest>,
    ) -> Result<Response<v1::LogoutResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn get_alias(
        &self,
        _request: Request<v1::GetAliasRequest>,
    ) -> Result<Response<v1::GetAliasResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn update_alias(
        &self,
        _request: Request<v1::UpdateAliasRequest>,
    ) -> Result<Response<v1::UpdateAliasResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn erase_alias(
        &self,
        _request: Request<v1::EraseAliasRequest>,
    ) -> Result<Response<v1::EraseAliasResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
