//! Not written yet.

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::reminder_service_server::ReminderService for App {
    async fn set_contact(
        &self,
        _request: Request<v1::SetContactRequest>,
    ) -> Result<Response<v1::SetContactResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn confirm_contact(
        &self,
        _request: Request<v1::ConfirmContactRequest>,
    ) -> Result<Response<v1::ConfirmContactResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn get_contact(
        &self,
        _request: Request<v1::GetContactRequest>,
    ) -> Result<Response<v1::GetContactResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn delete_contact(
        &self,
        _request: Request<v1::DeleteContactRequest>,
    ) -> Result<Response<v1::DeleteContactResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }

    async fn list_reminders(
        &self,
        _request: Request<v1::ListRemindersRequest>,
    ) -> Result<Response<v1::ListRemindersResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
