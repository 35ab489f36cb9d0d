//! Staff sign in at an identity provider (OpenID Connect), besides with their key.
//!
//! **Invariant:** no alias does. Whoever may be signed in is [`Staff`], in the contract, here and in the database, and
//! none of them knows the kind.

use api::v1::{self, link_identity_request as linked};
use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use oidc::{Provider, Refused};
use sea_orm::{
    DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect, sea_query::LockType,
};
use sha2::{Digest, Sha256};
use store::{
    Opaque, OperatorId, ProgrammeId, TherapistId, access_token,
    audit::Action,
    operator, programme,
    staff_identity::{self, StaffKind},
    therapist,
};
use uuid::Uuid;
use vault::Purpose;

use super::{
    challenge::{self, Kind},
    login,
};
use crate::{
    App,
    error::{Error, Unauthenticated},
    field::{self, timestamp},
};

/// Before the provider says who it is, a challenge is nobody's in particular.
const NOBODY: &[u8] = &[];
/// What a provider may call somebody (OpenID Connect Core, section 2).
const LONGEST_SUBJECT: usize = 255;

/// Whoever a provider's word may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staff {
    /// A therapist.
    Therapist(TherapistId),
    /// Somebody who runs the service.
    Operator(OperatorId),
    /// Who manages a hospital's programme.
    Manager(ProgrammeId),
}

impl Staff {
    /// Whom a request names: no operator, since one who links another to a name of their own would act as two.
    pub(super) fn parse(staff: Option<linked::Staff>) -> Result<Self, Error> {
        Ok(match field::given(staff, "staff")? {
            linked::Staff::TherapistId(id) => Self::Therapist(field::id(&id, "therapist_id")?),
            linked::Staff::ProgrammeId(id) => Self::Manager(field::id(&id, "programme_id")?),
        })
    }

    fn of(identity: &staff_identity::Model) -> Self {
        let id = identity.staff_id;
        match identity.staff_kind {
            StaffKind::Therapist => Self::Therapist(TherapistId(id)),
            StaffKind::Operator => Self::Operator(OperatorId(id)),
            StaffKind::Manager => Self::Manager(ProgrammeId(id)),
        }
    }

    fn kind(self) -> StaffKind {
        match self {
            Self::Therapist(_) => StaffKind::Therapist,
            Self::Operator(_) => StaffKind::Operator,
            Self::Manager(_) => StaffKind::Manager,
        }
    }

    /// As the caller that they are.
    pub(crate) fn id(self) -> Uuid {
        match self {
            Self::Therapist(id) => id.0,
            Self::Operator(id) => id.0,
            Self::Manager(id) => id.0,
        }
    }

    /// Whether they are there, and stay so until the transaction ends.
    async fn is_there(self, tx: &DatabaseTransaction, lock: LockType) -> Result<bool, Error> {
        Ok(match self {
            Self::Therapist(id) => therapist::Entity::find_by_id(id).lock(lock).one(tx).await?.is_some(),
            Self::Operator(id) => operator::Entity::find_by_id(id).lock(lock).one(tx).await?.is_some(),
            Self::Manager(id) => programme::Entity::find_by_id(id).lock(lock).one(tx).await?.is_some(),
        })
    }
}

/// What a provider calls somebody, if that is said well.
pub(crate) struct Subject(String);

impl Subject {
    /// Nobody's, if it is empty.
    pub(crate) fn parse(subject: String) -> Result<Option<Self>, Error> {
        if subject.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self(field::line(subject, LONGEST_SUBJECT, "subject")?)))
    }
}

/// Where to sign in, and a challenge for whoever asks; the database is not asked.
pub(super) fn begin(app: &App, now: DateTime<Utc>) -> Result<v1::BeginIdTokenLoginResponse, Error> {
    let provider = provider(app)?;
    let challenge = challenge::issue(&app.keyring, Kind::IdTokenLogin, NOBODY, now)?;
    Ok(v1::BeginIdTokenLoginResponse {
        nonce: nonce(&challenge),
        challenge,
        provider_uri: provider.issuer().to_owned(),
        client_id: provider.client_id().to_owned(),
    })
}

/// An access token for an ID token.
///
/// Whether somebody is linked shows neither in the answer nor in the work to anybody but themselves: before the provider
/// has said who it is, nobody is looked up. Whoever is not linked leaves nothing behind.
pub(super) async fn finish(
    app: &App,
    request: v1::FinishIdTokenLoginRequest,
    now: DateTime<Utc>,
) -> Result<v1::FinishIdTokenLoginResponse, Error> {
    let v1::FinishIdTokenLoginRequest { challenge, id_token } = request;
    if challenge.is_empty() {
        return Err(field::required("challenge"));
    }
    if id_token.is_empty() {
        return Err(field::required("id_token"));
    }
    let provider = provider(app)?;
    // Before the provider is asked anything.
    let expires_at = challenge::verify(&app.keyring, Kind::IdTokenLogin, NOBODY, &challenge, now);
    let expires_at = expires_at.ok_or(Unauthenticated::Login)?;
    let claims = provider.verify(&id_token, &nonce(&challenge), now).await;
    let claims = claims.map_err(|refused| match refused {
        Refused::Unavailable(error) => Error::Provider(error),
        _ => Unauthenticated::Login.into(),
    })?;

    let hash = hash(app, provider, claims.subject());
    let tx = app.db.write().await?;
    let staff = find(&tx, &hash).await?.ok_or(Unauthenticated::Login)?;
    if !challenge::spend(&tx, &challenge, expires_at).await? {
        return Err(Unauthenticated::Login.into());
    }
    let (token, expires_at) = login::grant(&tx, (staff.kind().into(), staff.id()), now).await?;
    tx.commit().await?;
    // For the tokens that made room.
    app.mirror.committed();
    let caller = match staff {
        Staff::Therapist(_) => v1::CallerKind::Therapist,
        Staff::Operator(_) => v1::CallerKind::Operator,
        Staff::Manager(_) => v1::CallerKind::Manager,
    };
    Ok(v1::FinishIdTokenLoginResponse {
        access_token: token.to_text(),
        expire_time: Some(timestamp(expires_at)),
        caller: caller.into(),
    })
}

/// Lets the provider's word for this subject alone sign `staff` in from now on, or for none; what they were signed in with
/// ends. It says what to write down.
pub(crate) async fn link(
    app: &App,
    tx: &DatabaseTransaction,
    staff: Staff,
    subject: Option<Subject>,
) -> Result<Action, Error> {
    let hash = match subject {
        Some(Subject(subject)) => Some(hash(app, provider(app)?, &subject)),
        None => None,
    };
    // Only against being deleted meanwhile: who is in the middle of a call, with their own row locked, is not waited for.
    if !staff.is_there(tx, LockType::KeyShare).await? {
        return Err(Error::NotFound(match staff {
            Staff::Therapist(_) => "therapist",
            Staff::Operator(_) => "operator",
            Staff::Manager(_) => "programme",
        }));
    }
    sign_out(tx, staff.id()).await?;
    let Some(hash) = hash else { return Ok(Action::UnlinkIdentity) };
    let row = staff_identity::Model { hash, staff_kind: staff.kind(), staff_id: staff.id() };
    let linked = staff_identity::Entity::insert(row.into_active_model()).exec_without_returning(tx).await;
    linked.map(|_| Action::LinkIdentity).map_err(|error| match store::Error::from(error) {
        // Theirs or, if another operator links the same member of staff at this moment, that one's.
        store::Error::Duplicate => Error::IdentityInUse,
        other => other.into(),
    })
}

/// Ends whatever this member of staff is signed in with, and lets no identity sign them in any more.
pub(crate) async fn sign_out(tx: &DatabaseTransaction, caller: Uuid) -> Result<(), Error> {
    let identities = staff_identity::Entity::delete_many();
    identities.filter(staff_identity::COLUMN.staff_id.eq(caller)).exec(tx).await?;
    let tokens = access_token::Entity::delete_many();
    tokens.filter(access_token::COLUMN.caller_id.eq(caller)).exec(tx).await?;
    Ok(())
}

fn provider(app: &App) -> Result<&Provider, Error> {
    app.staff_provider.as_deref().ok_or(Error::LoginsNotAccepted)
}

/// What the provider is told of a challenge: who reads it there, or in the token, cannot answer the challenge.
fn nonce(challenge: &[u8]) -> String {
    let hash = Sha256::new().chain_update(b"respite/id-token-login/v1\0").chain_update(challenge);
    BASE64URL_NOPAD.encode(&hash.finalize())
}

/// Who somebody is at this provider, as it is kept.
fn hash(app: &App, provider: &Provider, subject: &str) -> Opaque {
    let parts = [provider.issuer().as_bytes(), subject.as_bytes()];
    Opaque(app.keyring.mac(Purpose::StaffIdentity, &parts).to_vec())
}

/// Whom the identity signs in. Their row is locked, so that one caller's logins take turns and none outlives its caller,
/// and then the identity's, so that none outlives the link.
async fn find(tx: &DatabaseTransaction, hash: &Opaque) -> Result<Option<Staff>, Error> {
    let identity = || staff_identity::Entity::find_by_id(hash.clone());
    let Some(before) = identity().one(tx).await? else { return Ok(None) };
    let staff = Staff::of(&before);
    if !staff.is_there(tx, LockType::NoKeyUpdate).await? {
        return Ok(None);
    }
    let now = identity().lock(LockType::NoKeyUpdate).one(tx).await?;
    Ok((now.as_ref() == Some(&before)).then_some(staff))
}
