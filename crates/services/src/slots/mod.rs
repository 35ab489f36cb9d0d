//! What is free, between the worker's shifts.

mod search;
mod worker;

use api::v1;
use tonic::{Request, Response, Status};

use crate::{App, access::Called};

pub(crate) use search::earliest;
pub(crate) use worker::{Asked, RosterUse, Worker};

#[tonic::async_trait]
impl v1::slot_service_server::SlotService for App {
    async fn search_slots(
        &self,
        request: Request<v1::SearchSlotsRequest>,
    ) -> Result<Response<v1::SearchSlotsResponse>, Status> {
        let now = self.clock.now();
        let alias = request.alias()?;
        Ok(Response::new(search::search_slots(self, alias, request.into_inner(), now).await?))
    }
}
