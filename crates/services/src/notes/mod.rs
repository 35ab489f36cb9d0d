//! Notes from device to device (G5), carried and not read: what is in them, and whether a key is believed, is judged
//! where they are opened.

mod device_key;
mod note;

use api::v1;
use tonic::{Request, Response, Status};

use crate::{
    App,
    access::Called,
    once::{Once, Turn},
};

#[tonic::async_trait]
impl v1::note_service_server::NoteService for App {
    async fn create_device_key(
        &self,
        request: Request<v1::CreateDeviceKeyRequest>,
    ) -> Result<Response<v1::CreateDeviceKeyResponse>, Status> {
        let now = self.clock.now();
        let (caller, therapist) = (request.caller(), request.therapist()?);
        let request = request.into_inner();
        let claim = device_key::Claim::parse(request.device_key.clone(), now)?;
        let begun = Once::begin(self, caller, "CreateDeviceKey", &request, &request.request_id, now).await?;
        let once = match begun {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        let device_key = Some(device_key::create(&once.tx, therapist, claim, now).await?);
        Ok(Response::new(once.commit(v1::CreateDeviceKeyResponse { device_key }).await?))
    }

    async fn list_device_keys(
        &self,
        request: Request<v1::ListDeviceKeysRequest>,
    ) -> Result<Response<v1::ListDeviceKeysResponse>, Status> {
        let device_keys = device_key::list(self.db.read(), request.therapist()?, self.clock.now()).await?;
        Ok(Response::new(v1::ListDeviceKeysResponse { device_keys }))
    }

    async fn delete_device_key(
        &self,
        request: Request<v1::DeleteDeviceKeyRequest>,
    ) -> Result<Response<v1::DeleteDeviceKeyResponse>, Status> {
        let now = self.clock.now();
        let (caller, therapist) = (request.caller(), request.therapist()?);
        let request = request.into_inner();
        let begun = Once::begin(self, caller, "DeleteDeviceKey", &request, &request.request_id, now).await?;
        let once = match begun {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        device_key::delete(&once.tx, therapist, &request.device_key_id).await?;
        Ok(Response::new(once.commit(v1::DeleteDeviceKeyResponse {}).await?))
    }

    async fn get_device_key(
        &self,
        request: Request<v1::GetDeviceKeyRequest>,
    ) -> Result<Response<v1::GetDeviceKeyResponse>, Status> {
        let alias = request.alias()?;
        let v1::GetDeviceKeyRequest { booking_id } = request.into_inner();
        let device_key = device_key::of_booking(self.db.read(), alias, &booking_id, self.clock.now()).await?;
        Ok(Response::new(v1::GetDeviceKeyResponse { device_key: Some(device_key) }))
    }

    async fn put_intake(
        &self,
        request: Request<v1::PutIntakeRequest>,
    ) -> Result<Response<v1::PutIntakeResponse>, Status> {
        let alias = request.alias()?;
        Ok(Response::new(note::put_intake(self, alias, request.into_inner(), self.clock.now()).await?))
    }

    async fn put_handover(
        &self,
        request: Request<v1::PutHandoverRequest>,
    ) -> Result<Response<v1::PutHandoverResponse>, Status> {
        let therapist = request.therapist()?;
        Ok(Response::new(note::put_handover(self, therapist, request.into_inner(), self.clock.now()).await?))
    }

    async fn get_notes(
        &self,
        request: Request<v1::GetNotesRequest>,
    ) -> Result<Response<v1::GetNotesResponse>, Status> {
        let alias = request.alias()?;
        Ok(Response::new(note::get_notes(self, alias, request.into_inner()).await?))
    }

    async fn list_intakes(
        &self,
        request: Request<v1::ListIntakesRequest>,
    ) -> Result<Response<v1::ListIntakesResponse>, Status> {
        let therapist = request.therapist()?;
        Ok(Response::new(note::list_intakes(self, therapist, request.into_inner(), self.clock.now()).await?))
    }

    async fn delete_notes(
        &self,
        request: Request<v1::DeleteNotesRequest>,
    ) -> Result<Response<v1::DeleteNotesResponse>, Status> {
        let alias = request.alias()?;
        Ok(Response::new(note::delete_notes(self, alias, request.into_inner(), self.clock.now()).await?))
    }
}
