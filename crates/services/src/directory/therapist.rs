//! Therapists made, changed and read.

use api::v1;
use chrono::NaiveDate;
use ed25519_dalek::VerifyingKey;
use prost_types::FieldMask;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};
use store::{Opaque, TherapistId, credential, session_type, therapist};

use super::{
    credential::{Claim, MOST},
    filter::by_therapist,
    profile::{self, CHANGEABLE, Sight},
};
use crate::{
    App,
    access::{key_in_use, key_taken},
    alias::id_token,
    error::Error,
    field,
};

/// The rows of a therapist to be.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) therapist: therapist::Model,
    /// Not verified.
    pub(crate) credentials: Vec<credential::Model>,
}

impl New {
    pub(crate) fn parse(
        app: &App,
        therapist: Option<v1::Therapist>,
        public_key: &[u8],
    ) -> Result<Self, Error> {
        let message = field::given(therapist, "therapist")?;
        let public_key = signing_key(public_key, "public_key")?;
        let id = TherapistId::random();
        let mut therapist = therapist::Model {
            id,
            public_key,
            accepts_new_clients: false,
            profile: profile::blank(),
            revision: 1,
        };
        for path in CHANGEABLE {
            profile::set(app, path, &message, &mut therapist)?;
        }
        let claims = field::list(message.credentials, MOST, "therapist.credentials", Claim::parse)?;
        let credentials = claims.into_iter().map(|claim| claim.of(id)).collect();
        Ok(Self { therapist, credentials })
    }
}

/// Adds a therapist; the answer has their credentials in the order given.
pub(crate) async fn create(
    tx: &DatabaseTransaction,
    new: New,
    today: NaiveDate,
) -> Result<v1::Therapist, Error> {
    let New { therapist, credentials } = new;
    if key_in_use(tx, &therapist.public_key).await? {
        return Err(Error::KeyInUse);
    }
    therapist::Entity::insert(therapist.clone().into_active_model())
        .exec_without_returning(tx)
        .await
        .map_err(key_taken)?;
    let rows = credentials.iter().cloned().map(IntoActiveModel::into_active_model);
    if !credentials.is_empty() {
        credential::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    Ok(profile::show(therapist, credentials, &[], Sight::Full, today))
}

/// From now on this key signs the therapist in. The old one does not, neither anew nor still, and neither does a name at the
/// identity provider.
pub(crate) async fn replace_key(
    tx: &DatabaseTransaction,
    id: TherapistId,
    public_key: Opaque,
) -> Result<(), Error> {
    // Locked as for a login: of one that is under way, the token is there to be deleted or is never made.
    let there = therapist::Entity::lock(id).into_tuple::<i64>().one(tx).await?;
    there.ok_or(Error::NotFound("therapist"))?;
    if key_in_use(tx, &public_key).await? {
        return Err(Error::KeyInUse);
    }
    therapist::Entity::update_many()
        .col_expr(therapist::Column::PublicKey, Expr::value(public_key))
        .filter(therapist::COLUMN.id.eq(id))
        .exec(tx)
        .await
        .map_err(key_taken)?;
    id_token::sign_out(tx, id.0).await
}

/// Changes what the mask names (AIP-134) of the row, which the caller has locked.
pub(crate) async fn update(
    app: &App,
    tx: &DatabaseTransaction,
    id: TherapistId,
    new: &v1::Therapist,
    mask: &FieldMask,
    today: NaiveDate,
) -> Result<v1::Therapist, Error> {
    let mut therapist = therapist::Entity::find_by_id(id).one(tx).await?.ok_or(NOT_FOUND)?;
    let paths = match field::mask(&mask.paths)?.as_slice() {
        [] => profile::paths_set(new),
        ["*"] => CHANGEABLE.to_vec(),
        paths => paths.to_vec(),
    };
    for path in paths {
        profile::set(app, path, new, &mut therapist)?;
    }
    therapist.clone().into_active_model().reset_all().update(tx).await?;
    let shown = complete(tx, vec![therapist], Sight::Full, today).await?;
    shown.into_iter().next().ok_or(NOT_FOUND)
}

/// One profile. Who may see all of it finds it in any case, everybody else while a credential holds.
pub(crate) async fn get(
    app: &App,
    id: TherapistId,
    sight: Sight,
    today: NaiveDate,
) -> Result<v1::Therapist, Error> {
    let row = therapist::Entity::find_by_id(id).one(app.db.read()).await?.ok_or(NOT_FOUND)?;
    let shown = complete(app.db.read(), vec![row], sight, today).await?;
    let findable = |therapist: &v1::Therapist| sight == Sight::Full || !therapist.credentials.is_empty();
    shown.into_iter().next().filter(findable).ok_or(NOT_FOUND)
}

/// Up to `limit` therapists by id, from the one after `after` on.
pub(crate) async fn list(
    app: &App,
    after: Option<TherapistId>,
    limit: u64,
    today: NaiveDate,
) -> Result<Vec<v1::Therapist>, Error> {
    let mut query = therapist::Entity::find().order_by_asc(therapist::Column::Id).limit(limit);
    if let Some(after) = after {
        query = query.filter(therapist::COLUMN.id.gt(after));
    }
    let rows = query.all(app.db.read()).await?;
    complete(app.db.read(), rows, Sight::Full, today).await
}

/// The profiles with credentials and modalities, in the order given; two statements for up to some hundreds.
pub(crate) async fn complete(
    db: &impl ConnectionTrait,
    therapists: Vec<therapist::Model>,
    sight: Sight,
    today: NaiveDate,
) -> Result<Vec<v1::Therapist>, Error> {
    let ids: Vec<_> = therapists.iter().map(|therapist| therapist.id).collect();
    let credentials = credential::Entity::find()
        .filter(credential::COLUMN.therapist_id.is_in(ids.iter().copied()))
        .order_by_asc(credential::Column::Id)
        .all(db)
        .await?;
    let offered = session_type::Entity::find()
        .filter(session_type::COLUMN.therapist_id.is_in(ids))
        .filter(session_type::COLUMN.withdrawn.eq(false))
        .all(db)
        .await?;
    let mut credentials = by_therapist(credentials, |credential| credential.therapist_id);
    let mut offered = by_therapist(offered, |offered| offered.therapist_id);
    let show = |therapist: therapist::Model| {
        let credentials = credentials.remove(&therapist.id).unwrap_or_default();
        let offered = offered.remove(&therapist.id).unwrap_or_default();
        profile::show(therapist, credentials, &offered, sight, today)
    };
    Ok(therapists.into_iter().map(show).collect())
}

/// A key that staff can sign in with: a point of the curve whose signatures mean something.
pub(crate) fn signing_key(bytes: &[u8], field: &str) -> Result<Opaque, Error> {
    let bytes = field::public_key(bytes, field)?;
    match VerifyingKey::from_bytes(&bytes) {
        Ok(key) if !key.is_weak() => Ok(Opaque(bytes.to_vec())),
        _ => Err(field::malformed(field, "the 32 bytes of an Ed25519 public key")),
    }
}

const NOT_FOUND: Error = Error::NotFound("therapist");
