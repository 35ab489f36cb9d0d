//! What whoever runs the server does at its terminal, by the same rules as over the wire.

use api::v1;
use ed25519_dalek::SigningKey;
use sea_orm::{ActiveModelTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait, QueryOrder};
use store::{CredentialId, Opaque, OperatorId, ProgrammeId, TherapistId, audit::Action, operator};

use crate::{
    App,
    access::key_in_use,
    alias::id_token::{self, Staff, Subject},
    audit,
    directory::{self, New, today},
    error::Error,
    field,
    programme::{log, terms},
};

/// How many therapists, or programmes, are read at a time.
const BATCH: u64 = 200;

/// Lets somebody sign in as an operator.
pub async fn create(app: &App, label: &str, public_key: &[u8]) -> Result<OperatorId, Error> {
    let public_key = directory::signing_key(public_key, "public_key")?;
    let tx = app.db.write().await?;
    let id = insert(app, &tx, label, public_key).await?;
    tx.commit().await?;
    Ok(id)
}

/// The same for whoever the identity provider calls `subject`, with a key besides or without one.
pub async fn create_linked(
    app: &App,
    label: &str,
    public_key: Option<&[u8]>,
    subject: &str,
) -> Result<OperatorId, Error> {
    let subject = Subject::parse(subject.to_owned())?.ok_or_else(|| field::required("subject"))?;
    let public_key = match public_key {
        Some(key) => directory::signing_key(key, "public_key")?,
        None => key_of_nobody()?,
    };
    let tx = app.db.write().await?;
    let id = insert(app, &tx, label, public_key).await?;
    let action = id_token::link(app, &tx, Staff::Operator(id), Some(subject)).await?;
    audit::append_at_terminal(&tx, app.clock.now(), action, id).await?;
    tx.commit().await?;
    Ok(id)
}

/// Lets the identity provider's word for `subject` alone sign somebody in, or for nobody, as `LinkIdentity` does.
pub async fn link_identity(app: &App, staff: Staff, subject: &str) -> Result<(), Error> {
    let subject = Subject::parse(subject.to_owned())?;
    let tx = app.db.write().await?;
    let action = id_token::link(app, &tx, staff, subject).await?;
    audit::append_at_terminal(&tx, app.clock.now(), action, staff.id()).await?;
    Ok(tx.commit().await?)
}

/// Every operator, by label.
pub async fn list(app: &App) -> Result<Vec<operator::Model>, Error> {
    let by_label = operator::Entity::find().order_by_asc(operator::Column::Label);
    Ok(by_label.order_by_asc(operator::Column::Id).all(app.db.read()).await?)
}

/// Takes an operator's right away, and every token they are signed in with.
pub async fn delete(app: &App, id: OperatorId) -> Result<(), Error> {
    let tx = app.db.write().await?;
    let operator = operator::Entity::find_by_id(id).one(&tx).await?.ok_or(Error::NotFound("operator"))?;
    operator.delete(&tx).await?;
    id_token::sign_out(&tx, id.0).await?;
    audit::append_at_terminal(&tx, app.clock.now(), Action::DeleteOperator, id).await?;
    Ok(tx.commit().await?)
}

/// Adds a therapist with credentials that nobody has verified yet, as `CreateTherapist` does.
pub async fn create_therapist(
    app: &App,
    therapist: v1::Therapist,
    public_key: &[u8],
) -> Result<v1::Therapist, Error> {
    let now = app.clock.now();
    let new = New::parse(app, Some(therapist), public_key)?;
    let tx = app.db.write().await?;
    let created = directory::create(&tx, new, today(now)).await?;
    audit::append_at_terminal(&tx, now, Action::CreateTherapist, &created.id).await?;
    tx.commit().await?;
    Ok(created)
}

/// Lets a therapist sign in with this key, and with nothing else until they are linked anew, since the old one was lost.
pub async fn replace_therapist_key(app: &App, id: TherapistId, public_key: &[u8]) -> Result<(), Error> {
    let public_key = directory::signing_key(public_key, "public_key")?;
    let tx = app.db.write().await?;
    directory::replace_key(&tx, id, public_key).await?;
    audit::append_at_terminal(&tx, app.clock.now(), Action::ReplaceTherapistKey, id).await?;
    Ok(tx.commit().await?)
}

/// Every therapist, by id, verified or not, as `ListTherapists` tells them.
pub async fn list_therapists(app: &App) -> Result<Vec<v1::Therapist>, Error> {
    let now = app.clock.now();
    let mut therapists: Vec<v1::Therapist> = Vec::new();
    loop {
        let after: Option<TherapistId> = therapists.last().and_then(|last| last.id.parse().ok());
        let batch = directory::list(app, after, BATCH, today(now)).await?;
        if batch.is_empty() {
            return Ok(therapists);
        }
        therapists.extend(batch);
    }
}

/// Records that a credential was checked against its register, or that it no longer holds, as
/// `VerifyCredential` does.
pub async fn verify_credential(app: &App, id: CredentialId, verified: bool) -> Result<v1::Credential, Error> {
    let tx = app.db.write().await?;
    let credential = directory::verify(&tx, id, verified).await?;
    audit::append_at_terminal(&tx, app.clock.now(), directory::verdict(verified), id).await?;
    tx.commit().await?;
    Ok(credential)
}

/// Adds a programme, as `CreateProgramme` does.
pub async fn create_programme(
    app: &App,
    programme: v1::Programme,
    public_key: &[u8],
) -> Result<v1::Programme, Error> {
    let programme = terms::parse(Some(programme), public_key)?;
    let tx = app.db.write().await?;
    let created = terms::create(&tx, programme).await?;
    audit::append_at_terminal(&tx, app.clock.now(), Action::CreateProgramme, &created.id).await?;
    tx.commit().await?;
    Ok(created)
}

/// Every programme, by id.
pub async fn list_programmes(app: &App) -> Result<Vec<v1::Programme>, Error> {
    let mut programmes: Vec<v1::Programme> = Vec::new();
    loop {
        let after: Option<ProgrammeId> = programmes.last().and_then(|last| last.id.parse().ok());
        let batch = terms::list(app, after, BATCH).await?;
        if batch.is_empty() {
            return Ok(programmes);
        }
        programmes.extend(batch);
    }
}

/// A programme.
pub async fn get_programme(app: &App, id: ProgrammeId) -> Result<v1::Programme, Error> {
    terms::get(app, id).await
}

/// Lets another key manage a programme, as `UpdateProgrammeManager` does.
pub async fn replace_manager_key(
    app: &App,
    id: ProgrammeId,
    public_key: &[u8],
) -> Result<v1::Programme, Error> {
    let public_key = directory::signing_key(public_key, "public_key")?;
    let tx = app.db.write().await?;
    let programme = terms::replace_key(&tx, id, public_key).await?;
    audit::append_at_terminal(&tx, app.clock.now(), Action::UpdateProgrammeManager, id).await?;
    tx.commit().await?;
    Ok(programme)
}

/// What the log of keys comes to, or came to when it had so many `entries`: to be published where workers see it, so
/// that they can tell whether they are shown the same log as everybody.
pub async fn log_head(app: &App, entries: Option<usize>) -> Result<pass::Head, Error> {
    log::head(app, entries).await
}

async fn insert(
    app: &App,
    tx: &DatabaseTransaction,
    label: &str,
    public_key: Opaque,
) -> Result<OperatorId, Error> {
    let label = field::line(label.to_owned(), 60, "label")?;
    if key_in_use(tx, &public_key).await? {
        return Err(Error::KeyInUse);
    }
    let operator = operator::Model { id: OperatorId::random(), public_key, label };
    let id = operator.into_active_model().insert(tx).await?.id;
    audit::append_at_terminal(tx, app.clock.now(), Action::CreateOperator, id).await?;
    Ok(id)
}

/// A public key whose private half is forgotten at once: nobody signs in with it.
fn key_of_nobody() -> Result<Opaque, Error> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| Error::Randomness)?;
    Ok(Opaque(SigningKey::from_bytes(&secret).verifying_key().to_bytes().to_vec()))
}
