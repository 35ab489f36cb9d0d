//! Licences to practise: added by whoever has them, checked by operators (D1).

use api::v1;
use chrono::NaiveDate;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait,
    PaginatorTrait, QueryFilter, QuerySelect, Set, sea_query::LockType,
};
use store::{CredentialId, List, TherapistId, audit::Action, credential, therapist};

use super::profile::Sight;
use crate::{
    Caller,
    error::{Error, LimitReason},
    field,
};

/// How many a therapist has at most.
pub(crate) const MOST: usize = 20;

/// What a credential says, before anybody has checked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    taxonomy_code: String,
    licence_number: String,
    jurisdictions: Vec<String>,
    expires_on: NaiveDate,
}

impl Claim {
    pub(crate) fn parse(credential: v1::Credential, field: &str) -> Result<Self, Error> {
        let v1::Credential { id: _, taxonomy_code, licence_number, jurisdictions, expire_date, verified: _ } =
            credential;
        let path = |name: &str| format!("{field}.{name}");
        if jurisdictions.is_empty() {
            return Err(field::required(&path("jurisdictions")));
        }
        let expire_date = field::given(expire_date, &path("expire_date"))?;
        Ok(Self {
            taxonomy_code: taxonomy(taxonomy_code, &path("taxonomy_code"))?,
            licence_number: field::line(licence_number, 60, &path("licence_number"))?,
            jurisdictions: field::list(jurisdictions, 60, &path("jurisdictions"), field::jurisdiction)?,
            expires_on: field::date(expire_date, &path("expire_date"))?,
        })
    }

    /// The row, with its id and not verified.
    pub(crate) fn of(self, therapist: TherapistId) -> credential::Model {
        let Self { taxonomy_code, licence_number, jurisdictions, expires_on } = self;
        credential::Model {
            id: CredentialId::random(),
            therapist_id: therapist,
            taxonomy_code,
            licence_number,
            jurisdictions: List(jurisdictions),
            expires_on,
            verified: false,
        }
    }
}

/// Whose credentials a call is about: a therapist's own, or whom the operator names in `therapist_id`.
pub(crate) fn holder(caller: Caller, therapist_id: &str) -> Result<TherapistId, Error> {
    match caller {
        Caller::Therapist(own) if therapist_id.is_empty() => Ok(own),
        Caller::Therapist(own) => {
            let named = field::id(therapist_id, "therapist_id")?;
            if own == named { Ok(own) } else { Err(Error::NotFound("therapist")) }
        }
        Caller::Operator(_) => field::id(therapist_id, "therapist_id"),
        Caller::Anonymous | Caller::Alias(_) | Caller::Manager(_) => Err(Error::CallerNotAllowed),
    }
}

/// Adds a credential, not verified yet.
pub(crate) async fn create(
    tx: &DatabaseTransaction,
    therapist: TherapistId,
    claim: Claim,
) -> Result<v1::Credential, Error> {
    lock(tx, therapist).await?;
    let has =
        credential::Entity::find().filter(credential::COLUMN.therapist_id.eq(therapist)).count(tx).await?;
    if has >= MOST as u64 {
        return Err(Error::Limit { reason: LimitReason::Credentials, most: MOST as u64 });
    }
    Ok(show(claim.of(therapist).into_active_model().insert(tx).await?, Sight::Full))
}

/// Records the outcome of a check against the register.
pub(crate) async fn verify(
    tx: &DatabaseTransaction,
    id: CredentialId,
    verified: bool,
) -> Result<v1::Credential, Error> {
    let mut credential = locked(tx, id).await?.into_active_model();
    credential.verified = Set(verified);
    Ok(show(credential.update(tx).await?, Sight::Full))
}

/// What it is called that a check ended so.
pub(crate) fn verdict(verified: bool) -> Action {
    if verified { Action::VerifyCredential } else { Action::RefuseCredential }
}

/// Removes a credential that the caller may remove.
pub(crate) async fn delete(tx: &DatabaseTransaction, caller: Caller, id: CredentialId) -> Result<(), Error> {
    let credential = locked(tx, id).await?;
    match caller {
        Caller::Operator(_) => {}
        Caller::Therapist(own) if own == credential.therapist_id => {}
        Caller::Therapist(_) => return Err(NOT_FOUND),
        Caller::Anonymous | Caller::Alias(_) | Caller::Manager(_) => return Err(Error::CallerNotAllowed),
    }
    credential.delete(tx).await?;
    Ok(())
}

/// The credential as `sight` may see it.
pub(crate) fn show(credential: credential::Model, sight: Sight) -> v1::Credential {
    let credential::Model {
        id,
        therapist_id: _,
        taxonomy_code,
        licence_number,
        jurisdictions,
        expires_on,
        verified,
    } = credential;
    v1::Credential {
        id: id.to_string(),
        taxonomy_code,
        licence_number: match sight {
            Sight::Public => String::new(),
            Sight::Full => licence_number,
        },
        jurisdictions: jurisdictions.0,
        expire_date: Some(field::to_date(expires_on)),
        verified,
    }
}

const NOT_FOUND: Error = Error::NotFound("credential");

fn taxonomy(code: String, field: &str) -> Result<String, Error> {
    if code.is_empty() {
        return Err(field::required(field));
    }
    let well_formed = code.len() == 10 && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if well_formed { Ok(code) } else { Err(field::malformed(field, "a NUCC code such as 103TC0700X")) }
}

/// Locks the therapist's row, so that nobody books on what a check takes back meanwhile.
async fn lock(tx: &DatabaseTransaction, therapist: TherapistId) -> Result<(), Error> {
    let locked = therapist::Entity::find_by_id(therapist).lock(LockType::NoKeyUpdate).one(tx).await?;
    locked.map(|_| ()).ok_or(Error::NotFound("therapist"))
}

/// The credential as it is once its therapist's row is locked.
async fn locked(tx: &DatabaseTransaction, id: CredentialId) -> Result<credential::Model, Error> {
    let find = || credential::Entity::find_by_id(id).one(tx);
    let seen = find().await?.ok_or(NOT_FOUND)?;
    lock(tx, seen.therapist_id).await?;
    find().await?.ok_or(NOT_FOUND)
}
