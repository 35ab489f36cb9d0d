//! What is free, between the worker's shifts.

mod search;
mod watch;
mod worker;

use api::v1;
use tonic::{Request, Response, Status};

use crate::{
    App,
    access::{Called, TokenHash},
    error::{Error, Unauthenticated},
};

pub use watch::Watches;
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

    type WatchSlotsStream = watch::Watching;

    async fn watch_slots(
        &self,
        request: Request<v1::WatchSlotsRequest>,
    ) -> Result<Response<watch::Watching>, Status> {
        let alias = request.alias()?;
        let token = request.extensions().get::<TokenHash>().cloned();
        let token = token.ok_or(Error::from(Unauthenticated::Token))?;
        Ok(Response::new(watch::watch_slots(self, alias, token, request.into_inner())?))
    }
}
