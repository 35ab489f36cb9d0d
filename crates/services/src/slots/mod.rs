//! Not written yet.

use api::v1;
use tonic::{Request, Response, Status};

use crate::App;

#[tonic::async_trait]
impl v1::slot_service_server::SlotService for App {
    async fn search_slots(
        &self,
        _request: Request<v1::SearchSlotsRequest>,
    ) -> Result<Response<v1::SearchSlotsResponse>, Status> {
        Err(Status::unimplemented("not written yet"))
    }
}
