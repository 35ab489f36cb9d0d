//! What a hospital pays for, without knowing whose session it is (E1, E2).

mod key;
pub(crate) mod log;
pub(crate) mod payment;
mod period;
pub mod reports;
mod table;
pub(crate) mod terms;

use api::v1;
use data_encoding::HEXLOWER;
use sea_orm::QuerySelect;
use store::{ProgrammeId, audit::Action, credit, key_log};
use tonic::{Request, Response, Status};
use uuid::Uuid;

pub use self::log::KeyLog;
use crate::{
    App,
    access::Called,
    audit,
    directory::signing_key,
    error::Error,
    field,
    once::{Once, Turn},
    page,
};

#[tonic::async_trait]
impl v1::programme_service_server::ProgrammeService for App {
    async fn create_programme(
        &self,
        request: Request<v1::CreateProgrammeRequest>,
    ) -> Result<Response<v1::CreateProgrammeResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "CreateProgramme", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::CreateProgrammeRequest { request_id: _, programme, public_key } = request;
        let programme = terms::parse(programme, &public_key)?;
        let id = programme.id;
        let programme = Some(terms::create(&once.tx, programme).await?);
        audit::append(&once.tx, now, caller, Action::CreateProgramme, id).await?;
        Ok(Response::new(once.commit(v1::CreateProgrammeResponse { programme }).await?))
    }

    async fn get_programme(
        &self,
        request: Request<v1::GetProgrammeRequest>,
    ) -> Result<Response<v1::GetProgrammeResponse>, Status> {
        let v1::GetProgrammeRequest { programme_id } = request.into_inner();
        let id: ProgrammeId = field::id(&programme_id, "programme_id")?;
        Ok(Response::new(v1::GetProgrammeResponse { programme: Some(terms::get(self, id).await?) }))
    }

    async fn list_programmes(
        &self,
        request: Request<v1::ListProgrammesRequest>,
    ) -> Result<Response<v1::ListProgrammesResponse>, Status> {
        let caller = request.caller();
        let v1::ListProgrammesRequest { page_size, page_token } = request.into_inner();
        let pages = page::List::new(self, caller, "ListProgrammes", &v1::ListProgrammesRequest::default());
        let size = page::size(page_size)?;
        let after = pages.position::<Uuid>(&page_token)?.map(ProgrammeId);
        let mut programmes = terms::list(self, after, size as u64 + 1).await?;
        let mut next_page_token = String::new();
        if programmes.len() > size {
            programmes.truncate(size);
            if let Some(last) = programmes.last() {
                next_page_token = pages.token(&last.id)?;
            }
        }
        Ok(Response::new(v1::ListProgrammesResponse { programmes, next_page_token }))
    }

    async fn update_programme_manager(
        &self,
        request: Request<v1::UpdateProgrammeManagerRequest>,
    ) -> Result<Response<v1::UpdateProgrammeManagerResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let v1::UpdateProgrammeManagerRequest { request_id, programme_id, public_key } = &request;
        let id: ProgrammeId = field::id(programme_id, "programme_id")?;
        let public_key = signing_key(public_key, "public_key")?;
        let once =
            match Once::begin(self, caller, "UpdateProgrammeManager", &request, request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let programme = Some(terms::replace_key(&once.tx, id, public_key).await?);
        audit::append(&once.tx, now, caller, Action::UpdateProgrammeManager, id).await?;
        Ok(Response::new(once.commit(v1::UpdateProgrammeManagerResponse { programme }).await?))
    }

    async fn list_reports(
        &self,
        request: Request<v1::ListReportsRequest>,
    ) -> Result<Response<v1::ListReportsResponse>, Status> {
        Ok(Response::new(reports::list(self, request.manager()?).await?))
    }

    async fn create_programme_key(
        &self,
        request: Request<v1::CreateProgrammeKeyRequest>,
    ) -> Result<Response<v1::CreateProgrammeKeyResponse>, Status> {
        let (now, caller, programme) = (self.clock.now(), request.caller(), request.manager()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "CreateProgrammeKey", &request, &request.request_id, now)
            .await?
        {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        let wanted = key::Wanted::parse(&request)?;
        let key = key::publish(self, &once.tx, programme, wanted, now).await?;
        let id = HEXLOWER.encode(&key.key_id);
        audit::append(&once.tx, now, caller, Action::CreateProgrammeKey, id).await?;
        let key = Some(key);
        Ok(Response::new(once.commit(v1::CreateProgrammeKeyResponse { key }).await?))
    }

    async fn revoke_programme_key(
        &self,
        request: Request<v1::RevokeProgrammeKeyRequest>,
    ) -> Result<Response<v1::RevokeProgrammeKeyResponse>, Status> {
        let (now, caller, programme) = (self.clock.now(), request.caller(), request.manager()?);
        let request = request.into_inner();
        let once = match Once::begin(self, caller, "RevokeProgrammeKey", &request, &request.request_id, now)
            .await?
        {
            Turn::Again(response) => return Ok(Response::new(response)),
            Turn::First(once) => once,
        };
        key::revoke(self, &once.tx, programme, &request.key_id, now).await?;
        let id = HEXLOWER.encode(&request.key_id);
        audit::append(&once.tx, now, caller, Action::RevokeProgrammeKey, id).await?;
        Ok(Response::new(once.commit(v1::RevokeProgrammeKeyResponse {}).await?))
    }

    async fn list_key_log(
        &self,
        request: Request<v1::ListKeyLogRequest>,
    ) -> Result<Response<v1::ListKeyLogResponse>, Status> {
        let caller = request.caller();
        let v1::ListKeyLogRequest { page_size, page_token } = request.into_inner();
        let pages = page::List::new(self, caller, "ListKeyLog", &v1::ListKeyLogRequest::default());
        let size = page::size(page_size)?;
        let first = pages.position::<i32>(&page_token)?.unwrap_or(0);
        let rows = key_log::Entity::after(first).limit(size as u64 + 1).all(self.db.read()).await;
        let mut rows = rows.map_err(Error::from)?;
        let mut next_page_token = String::new();
        if let Some(next) = rows.get(size) {
            next_page_token = pages.token(&next.position)?;
            rows.truncate(size);
        }
        let entries = rows.into_iter().map(|row| row.entry.0).collect();
        Ok(Response::new(v1::ListKeyLogResponse { entries, next_page_token }))
    }

    async fn list_credits(
        &self,
        request: Request<v1::ListCreditsRequest>,
    ) -> Result<Response<v1::ListCreditsResponse>, Status> {
        let (now, alias) = (self.clock.now(), request.alias()?);
        let rows = credit::Entity::of_alias(alias, now.date_naive()).all(self.db.read()).await;
        let rows = rows.map_err(Error::from)?;
        let kinds = rows.chunk_by(are_listed_as_one);
        let credits = kinds.filter_map(|kind| kind.first().map(|credit| show_credit(credit, kind.len())));
        Ok(Response::new(v1::ListCreditsResponse { credits: credits.collect() }))
    }
}

fn are_listed_as_one(one: &credit::Model, next: &credit::Model) -> bool {
    let kind = |credit: &credit::Model| (credit.programme_id, credit.first_date, credit.last_date);
    kind(one) == kind(next)
}

fn show_credit(credit: &credit::Model, sessions: usize) -> v1::Credit {
    let credit::Model { id: _, alias_id: _, programme_id, first_date, last_date } = credit;
    v1::Credit {
        programme_id: programme_id.to_string(),
        first_date: Some(field::to_date(*first_date)),
        last_date: Some(field::to_date(*last_date)),
        sessions: field::count(sessions),
    }
}
