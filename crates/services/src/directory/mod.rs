//! The directory of therapists, its vocabulary, and whom to call at once.

mod credential;
mod filter;
mod labels;
mod profile;
mod search;
mod therapist;

use api::v1;
use sea_orm::prelude::Uuid;
use store::{CredentialId, TherapistId, audit::Action};
use tonic::{Request, Response, Status};

use crate::{
    App, Caller,
    access::Called,
    audit,
    error::{Error, Violation},
    field,
    once::{Once, Turn},
    page,
    vocabulary::{LONGEST_QUERY, Term, Vocabulary},
};

use profile::Sight;

pub(crate) use self::search::{display_language, searchable};
pub(crate) use credential::{verdict, verify};
pub(crate) use filter::{
    Filter, by_therapist, crisis_resources, gender_name, modality_bits, plain_reason, said, today,
};
pub(crate) use therapist::{New, create, list, replace_key, signing_key};

#[tonic::async_trait]
impl v1::directory_service_server::DirectoryService for App {
    async fn list_specializations(
        &self,
        request: Request<v1::ListSpecializationsRequest>,
    ) -> Result<Response<v1::ListSpecializationsResponse>, Status> {
        let v1::ListSpecializationsRequest { language_code, query } = request.into_inner();
        let language = display_language(language_code, "language_code")?;
        if query.chars().count() > LONGEST_QUERY {
            let violation = Violation::TooLong { most: LONGEST_QUERY, unit: "characters" };
            return Err(Error::invalid("query", violation).into());
        }
        let vocabulary = Vocabulary::get();
        let terms: Vec<&Term> = if query.is_empty() {
            vocabulary.specializations().iter().collect()
        } else {
            let found = vocabulary.find(&query);
            found.into_iter().filter_map(|found| vocabulary.specialization(found.slug)).collect()
        };
        let specializations = terms.into_iter().map(|term| v1::Specialization {
            slug: term.slug.clone(),
            label: term.label(&language).to_owned(),
            synonyms: term.synonyms(&language).to_vec(),
            broader: term.broader.clone(),
        });
        Ok(Response::new(v1::ListSpecializationsResponse { specializations: specializations.collect() }))
    }

    async fn search_therapists(
        &self,
        request: Request<v1::SearchTherapistsRequest>,
    ) -> Result<Response<v1::SearchTherapistsResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        Ok(Response::new(search::search(self, caller, request.into_inner(), now).await?))
    }

    async fn get_therapist(
        &self,
        request: Request<v1::GetTherapistRequest>,
    ) -> Result<Response<v1::GetTherapistResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let v1::GetTherapistRequest { therapist_id } = request.into_inner();
        let id: TherapistId = field::id(&therapist_id, "therapist_id")?;
        let sight = match caller {
            Caller::Operator(_) => Sight::Full,
            Caller::Therapist(own) if own == id => Sight::Full,
            Caller::Therapist(_) | Caller::Alias(_) | Caller::Manager(_) | Caller::Anonymous => Sight::Public,
        };
        let therapist = therapist::get(self, id, sight, today(now)).await?;
        Ok(Response::new(v1::GetTherapistResponse { therapist: Some(therapist) }))
    }

    async fn list_therapists(
        &self,
        request: Request<v1::ListTherapistsRequest>,
    ) -> Result<Response<v1::ListTherapistsResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let v1::ListTherapistsRequest { page_size, page_token } = request.into_inner();
        let pages = page::List::new(self, caller, "ListTherapists", &v1::ListTherapistsRequest::default());
        let size = page::size(page_size)?;
        let after = pages.position::<Uuid>(&page_token)?.map(TherapistId);
        let one_more = size as u64 + 1;
        let mut therapists = list(self, after, one_more, today(now)).await?;
        let mut next_page_token = String::new();
        if therapists.len() > size {
            therapists.truncate(size);
            next_page_token = match therapists.last() {
                Some(last) => pages.token(&last.id)?,
                None => String::new(),
            };
        }
        Ok(Response::new(v1::ListTherapistsResponse { therapists, next_page_token }))
    }

    async fn create_therapist(
        &self,
        request: Request<v1::CreateTherapistRequest>,
    ) -> Result<Response<v1::CreateTherapistResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "CreateTherapist", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::CreateTherapistRequest { request_id: _, therapist, public_key } = request;
        let new = New::parse(self, therapist, &public_key)?;
        let id = new.therapist.id;
        let therapist = Some(create(&once.tx, new, today(now)).await?);
        audit::append(&once.tx, now, caller, Action::CreateTherapist, id).await?;
        Ok(Response::new(once.commit(v1::CreateTherapistResponse { therapist }).await?))
    }

    async fn update_therapist(
        &self,
        request: Request<v1::UpdateTherapistRequest>,
    ) -> Result<Response<v1::UpdateTherapistResponse>, Status> {
        let (now, caller, own) = (self.clock.now(), request.caller(), request.therapist()?);
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "UpdateTherapist", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::UpdateTherapistRequest { request_id: _, therapist, update_mask } = request;
        let new = field::given(therapist, "therapist")?;
        let mask = update_mask.unwrap_or_default();
        let therapist = Some(therapist::update(self, &once.tx, own, &new, &mask, today(now)).await?);
        Ok(Response::new(once.commit(v1::UpdateTherapistResponse { therapist }).await?))
    }

    async fn create_credential(
        &self,
        request: Request<v1::CreateCredentialRequest>,
    ) -> Result<Response<v1::CreateCredentialResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "CreateCredential", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::CreateCredentialRequest { request_id: _, therapist_id, credential } = request;
        let holder = credential::holder(caller, &therapist_id)?;
        let claim = credential::Claim::parse(field::given(credential, "credential")?, "credential")?;
        let credential = credential::create(&once.tx, holder, claim).await?;
        audit::append(&once.tx, now, caller, Action::CreateCredential, &credential.id).await?;
        let credential = Some(credential);
        Ok(Response::new(once.commit(v1::CreateCredentialResponse { credential }).await?))
    }

    async fn verify_credential(
        &self,
        request: Request<v1::VerifyCredentialRequest>,
    ) -> Result<Response<v1::VerifyCredentialResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "VerifyCredential", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::VerifyCredentialRequest { request_id: _, credential_id, verified } = request;
        let id: CredentialId = field::id(&credential_id, "credential_id")?;
        let credential = Some(verify(&once.tx, id, verified).await?);
        audit::append(&once.tx, now, caller, verdict(verified), id).await?;
        Ok(Response::new(once.commit(v1::VerifyCredentialResponse { credential }).await?))
    }

    async fn delete_credential(
        &self,
        request: Request<v1::DeleteCredentialRequest>,
    ) -> Result<Response<v1::DeleteCredentialResponse>, Status> {
        let (now, caller) = (self.clock.now(), request.caller());
        let request = request.into_inner();
        let once =
            match Once::begin(self, caller, "DeleteCredential", &request, &request.request_id, now).await? {
                Turn::Again(response) => return Ok(Response::new(response)),
                Turn::First(once) => once,
            };
        let v1::DeleteCredentialRequest { request_id: _, credential_id } = request;
        let id: CredentialId = field::id(&credential_id, "credential_id")?;
        credential::delete(&once.tx, caller, id).await?;
        audit::append(&once.tx, now, caller, Action::DeleteCredential, id).await?;
        Ok(Response::new(once.commit(v1::DeleteCredentialResponse {}).await?))
    }

    async fn list_crisis_resources(
        &self,
        request: Request<v1::ListCrisisResourcesRequest>,
    ) -> Result<Response<v1::ListCrisisResourcesResponse>, Status> {
        let v1::ListCrisisResourcesRequest { country_code } = request.into_inner();
        // Any text is answered: whoever is in need is not told about a typing error.
        let crisis_resources = crisis_resources(Some(&country_code));
        Ok(Response::new(v1::ListCrisisResourcesResponse { crisis_resources }))
    }
}
