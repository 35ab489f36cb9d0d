//! When a therapist works, and what can be booked with them.

pub(crate) mod busy_feed;
mod calendar_feed;
mod date_override;
mod load;
mod preview;
mod published;
mod schedule;
mod session_type;
mod settings;
mod time_off;

use api::v1;
use tonic::{Request, Response, Status};

use self::calendar_feed::Write;
use crate::{
    App,
    access::Called,
    field,
    once::{Once, Turn},
};

pub use published::published;
pub(crate) use schedule::{empty, schedules};

#[tonic::async_trait]
impl v1::availability_service_server::AvailabilityService for App {
    async fn get_schedule(
        &self,
        request: Request<v1::GetScheduleRequest>,
    ) -> Result<Response<v1::GetScheduleResponse>, Status> {
        let own = request.therapist()?;
        let schedule = Some(schedule::get(self.db.read(), own).await?);
        Ok(Response::new(v1::GetScheduleResponse { schedule }))
    }

    async fn update_schedule(
        &self,
        request: Request<v1::UpdateScheduleRequest>,
    ) -> Result<Response<v1::UpdateScheduleResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "UpdateSchedule", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::UpdateScheduleRequest { request_id: _, schedule } = request;
        let schedule =
            Some(schedule::update(self, &once.tx, own, field::given(schedule, "schedule")?, now).await?);
        Ok(Response::new(once.commit(v1::UpdateScheduleResponse { schedule }).await?))
    }

    async fn list_session_types(
        &self,
        request: Request<v1::ListSessionTypesRequest>,
    ) -> Result<Response<v1::ListSessionTypesResponse>, Status> {
        let own = request.therapist()?;
        let session_types = session_type::list(self.db.read(), own).await?;
        Ok(Response::new(v1::ListSessionTypesResponse { session_types }))
    }

    async fn create_session_type(
        &self,
        request: Request<v1::CreateSessionTypeRequest>,
    ) -> Result<Response<v1::CreateSessionTypeResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "CreateSessionType", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::CreateSessionTypeRequest { request_id: _, session_type } = request;
        let session_type = Some(
            session_type::create(self, &once.tx, own, field::given(session_type, "session_type")?, now)
                .await?,
        );
        Ok(Response::new(once.commit(v1::CreateSessionTypeResponse { session_type }).await?))
    }

    async fn update_session_type(
        &self,
        request: Request<v1::UpdateSessionTypeRequest>,
    ) -> Result<Response<v1::UpdateSessionTypeResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "UpdateSessionType", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::UpdateSessionTypeRequest { request_id: _, session_type } = request;
        let session_type = Some(
            session_type::update(self, &once.tx, own, field::given(session_type, "session_type")?, now)
                .await?,
        );
        Ok(Response::new(once.commit(v1::UpdateSessionTypeResponse { session_type }).await?))
    }

    async fn delete_session_type(
        &self,
        request: Request<v1::DeleteSessionTypeRequest>,
    ) -> Result<Response<v1::DeleteSessionTypeResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "DeleteSessionType", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::DeleteSessionTypeRequest { request_id: _, session_type_id } = request;
        session_type::delete(&once.tx, own, field::id(&session_type_id, "session_type_id")?).await?;
        Ok(Response::new(once.commit(v1::DeleteSessionTypeResponse {}).await?))
    }

    async fn list_date_overrides(
        &self,
        request: Request<v1::ListDateOverridesRequest>,
    ) -> Result<Response<v1::ListDateOverridesResponse>, Status> {
        let own = request.therapist()?;
        let date_overrides = date_override::list(self.db.read(), own).await?;
        Ok(Response::new(v1::ListDateOverridesResponse { date_overrides }))
    }

    async fn create_date_override(
        &self,
        request: Request<v1::CreateDateOverrideRequest>,
    ) -> Result<Response<v1::CreateDateOverrideResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "CreateDateOverride", &request, &request.request_id, now)
            .await?
        {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        let v1::CreateDateOverrideRequest { request_id: _, date_override } = request;
        let date_override = Some(
            date_override::create(self, &once.tx, own, field::given(date_override, "date_override")?).await?,
        );
        Ok(Response::new(once.commit(v1::CreateDateOverrideResponse { date_override }).await?))
    }

    async fn delete_date_override(
        &self,
        request: Request<v1::DeleteDateOverrideRequest>,
    ) -> Result<Response<v1::DeleteDateOverrideResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "DeleteDateOverride", &request, &request.request_id, now)
            .await?
        {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        let v1::DeleteDateOverrideRequest { request_id: _, date_override_id } = request;
        date_override::delete(&once.tx, own, field::id(&date_override_id, "date_override_id")?).await?;
        Ok(Response::new(once.commit(v1::DeleteDateOverrideResponse {}).await?))
    }

    async fn list_time_off(
        &self,
        request: Request<v1::ListTimeOffRequest>,
    ) -> Result<Response<v1::ListTimeOffResponse>, Status> {
        let own = request.therapist()?;
        let time_off = time_off::list(self.db.read(), own).await?;
        Ok(Response::new(v1::ListTimeOffResponse { time_off }))
    }

    async fn create_time_off(
        &self,
        request: Request<v1::CreateTimeOffRequest>,
    ) -> Result<Response<v1::CreateTimeOffResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "CreateTimeOff", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::CreateTimeOffRequest { request_id: _, time_off } = request;
        let response = time_off::create(&once.tx, own, field::given(time_off, "time_off")?, now).await?;
        Ok(Response::new(once.commit(response).await?))
    }

    async fn delete_time_off(
        &self,
        request: Request<v1::DeleteTimeOffRequest>,
    ) -> Result<Response<v1::DeleteTimeOffResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "DeleteTimeOff", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::DeleteTimeOffRequest { request_id: _, time_off_id } = request;
        time_off::delete(&once.tx, own, field::id(&time_off_id, "time_off_id")?).await?;
        Ok(Response::new(once.commit(v1::DeleteTimeOffResponse {}).await?))
    }

    async fn list_busy_feeds(
        &self,
        request: Request<v1::ListBusyFeedsRequest>,
    ) -> Result<Response<v1::ListBusyFeedsResponse>, Status> {
        let (now, own) = (self.clock.now(), request.therapist()?);
        let busy_feeds = busy_feed::list(self.db.read(), own, now).await?;
        Ok(Response::new(v1::ListBusyFeedsResponse { busy_feeds }))
    }

    async fn create_busy_feed(
        &self,
        request: Request<v1::CreateBusyFeedRequest>,
    ) -> Result<Response<v1::CreateBusyFeedResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        Ok(Response::new(busy_feed::create(self, caller, own, request.into_inner(), now).await?))
    }

    async fn delete_busy_feed(
        &self,
        request: Request<v1::DeleteBusyFeedRequest>,
    ) -> Result<Response<v1::DeleteBusyFeedResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "DeleteBusyFeed", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::DeleteBusyFeedRequest { request_id: _, busy_feed_id } = request;
        busy_feed::delete(&once.tx, own, field::id(&busy_feed_id, "busy_feed_id")?).await?;
        Ok(Response::new(once.commit(v1::DeleteBusyFeedResponse {}).await?))
    }

    async fn get_load(
        &self,
        request: Request<v1::GetLoadRequest>,
    ) -> Result<Response<v1::GetLoadResponse>, Status> {
        let (now, own) = (self.clock.now(), request.therapist()?);
        Ok(Response::new(load::get_load(self, own, request.into_inner(), now).await?))
    }

    async fn preview_availability(
        &self,
        request: Request<v1::PreviewAvailabilityRequest>,
    ) -> Result<Response<v1::PreviewAvailabilityResponse>, Status> {
        let (now, own) = (self.clock.now(), request.therapist()?);
        Ok(Response::new(preview::preview_availability(self, own, request.into_inner(), now).await?))
    }

    async fn create_calendar_feed(
        &self,
        request: Request<v1::CreateCalendarFeedRequest>,
    ) -> Result<Response<v1::CreateCalendarFeedResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let begun =
            Once::begin(self, caller, "CreateCalendarFeed", &request, &request.request_id, now).await?;
        let calendar_feed = Some(calendar_feed::addresses(self, begun, own, Write::Create).await?);
        Ok(Response::new(v1::CreateCalendarFeedResponse { calendar_feed }))
    }

    async fn rotate_calendar_feed(
        &self,
        request: Request<v1::RotateCalendarFeedRequest>,
    ) -> Result<Response<v1::RotateCalendarFeedResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let begun =
            Once::begin(self, caller, "RotateCalendarFeed", &request, &request.request_id, now).await?;
        let calendar_feed = Some(calendar_feed::addresses(self, begun, own, Write::Rotate).await?);
        Ok(Response::new(v1::RotateCalendarFeedResponse { calendar_feed }))
    }

    async fn delete_calendar_feed(
        &self,
        request: Request<v1::DeleteCalendarFeedRequest>,
    ) -> Result<Response<v1::DeleteCalendarFeedResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "DeleteCalendarFeed", &request, &request.request_id, now)
            .await?
        {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        calendar_feed::delete(&once.tx, own).await?;
        Ok(Response::new(once.commit(v1::DeleteCalendarFeedResponse {}).await?))
    }
}
