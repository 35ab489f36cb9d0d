//! Who calls, without anybody knowing who that is: aliases, and how every kind of caller signs in.
//!
//! **Invariant:** no log line here names an alias, a handle or a key.

mod challenge;
mod create;
mod erase;
mod export;
pub(crate) mod handle;
pub(crate) mod id_token;
mod login;
mod settings;
mod signature;

use api::v1;
use sea_orm::EntityTrait;
use store::alias;
use tonic::{Request, Response, Status};

pub use self::id_token::Staff;
use self::id_token::Subject;
pub(crate) use self::settings::AliasSettings;
use crate::{
    App,
    access::{Called, TokenHash},
    audit,
    error::{Error, Unauthenticated},
    exclusions,
    once::{Once, Turn},
    sealed::Safe,
};

#[tonic::async_trait]
impl v1::alias_service_server::AliasService for App {
    async fn begin_create_alias(
        &self,
        request: Request<v1::BeginCreateAliasRequest>,
    ) -> Result<Response<v1::BeginCreateAliasResponse>, Status> {
        Ok(Response::new(create::begin(self, request.into_inner(), self.clock.now())?))
    }

    async fn create_alias(
        &self,
        request: Request<v1::CreateAliasRequest>,
    ) -> Result<Response<v1::CreateAliasResponse>, Status> {
        let alias = create::create(self, request.into_inner(), self.clock.now()).await?;
        Ok(Response::new(v1::CreateAliasResponse { alias: Some(alias) }))
    }

    async fn begin_login(
        &self,
        request: Request<v1::BeginLoginRequest>,
    ) -> Result<Response<v1::BeginLoginResponse>, Status> {
        Ok(Response::new(login::begin(self, request.into_inner(), self.clock.now())?))
    }

    async fn finish_login(
        &self,
        request: Request<v1::FinishLoginRequest>,
    ) -> Result<Response<v1::FinishLoginResponse>, Status> {
        Ok(Response::new(login::finish(self, request.into_inner(), self.clock.now()).await?))
    }

    async fn begin_id_token_login(
        &self,
        _: Request<v1::BeginIdTokenLoginRequest>,
    ) -> Result<Response<v1::BeginIdTokenLoginResponse>, Status> {
        Ok(Response::new(id_token::begin(self, self.clock.now())?))
    }

    async fn finish_id_token_login(
        &self,
        request: Request<v1::FinishIdTokenLoginRequest>,
    ) -> Result<Response<v1::FinishIdTokenLoginResponse>, Status> {
        Ok(Response::new(id_token::finish(self, request.into_inner(), self.clock.now()).await?))
    }

    async fn link_identity(
        &self,
        request: Request<v1::LinkIdentityRequest>,
    ) -> Result<Response<v1::LinkIdentityResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let v1::LinkIdentityRequest { request_id, staff, subject } = &request;
        let staff = Staff::parse(staff.clone())?;
        let subject = Subject::parse(subject.clone())?;
        let once = match Once::begin(self, caller, "LinkIdentity", &request, request_id, now).await? {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        let action = id_token::link(self, &once.tx, staff, subject).await?;
        audit::append(&once.tx, now, caller, action, staff.id()).await?;
        Ok(Response::new(once.commit(v1::LinkIdentityResponse {}).await?))
    }

    async fn logout(
        &self,
        request: Request<v1::LogoutRequest>,
    ) -> Result<Response<v1::LogoutResponse>, Status> {
        let token = request.extensions().get::<TokenHash>().cloned();
        let TokenHash(hash) = token.ok_or(Error::from(Unauthenticated::Token))?;
        login::logout(self, hash).await?;
        Ok(Response::new(v1::LogoutResponse {}))
    }

    async fn get_alias(
        &self,
        request: Request<v1::GetAliasRequest>,
    ) -> Result<Response<v1::GetAliasResponse>, Status> {
        let (db, id) = (self.db.read(), request.alias()?);
        let row = alias::Entity::find_by_id(id).one(db).await.map_err(Error::from)?;
        let row = row.ok_or(Error::NotFound("alias"))?;
        let settings = Safe::open(self, db, id).await?.settings()?;
        Ok(Response::new(v1::GetAliasResponse { alias: Some(settings::print(row, settings)) }))
    }

    async fn update_alias(
        &self,
        request: Request<v1::UpdateAliasRequest>,
    ) -> Result<Response<v1::UpdateAliasResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "UpdateAlias", &request, &request.request_id, now).await? {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        let v1::UpdateAliasRequest { request_id: _, settings, update_mask } = request;
        let alias = settings::update(self, &once, alias, settings, update_mask).await?;
        Ok(Response::new(once.commit(v1::UpdateAliasResponse { alias: Some(alias) }).await?))
    }

    async fn set_exclusion_tags(
        &self,
        request: Request<v1::SetExclusionTagsRequest>,
    ) -> Result<Response<v1::SetExclusionTagsResponse>, Status> {
        let now = self.clock.now();
        let (caller, alias) = (request.caller(), request.alias()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "SetExclusionTags", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::SetExclusionTagsRequest { request_id: _, exclusion_tags } = request;
        let set = exclusions::set(self, &once, alias, exclusion_tags).await?;
        Ok(Response::new(once.commit(set).await?))
    }

    async fn erase_alias(
        &self,
        request: Request<v1::EraseAliasRequest>,
    ) -> Result<Response<v1::EraseAliasResponse>, Status> {
        let alias = request.alias()?;
        let cancelled_bookings = erase::erase(self, alias, self.clock.now()).await?;
        Ok(Response::new(v1::EraseAliasResponse { cancelled_bookings }))
    }

    type ExportAliasStream = export::Chunks;

    async fn export_alias(
        &self,
        request: Request<v1::ExportAliasRequest>,
    ) -> Result<Response<export::Chunks>, Status> {
        let alias = request.alias()?;
        Ok(Response::new(export::export(self, alias, self.clock.now()).await?))
    }
}
