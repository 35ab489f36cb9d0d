//! An alias is made by whoever proves to hold a key, after a moment's work.

use api::v1;
use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, sea_query::OnConflict};
use sha2::{Digest, Sha256};
use store::{AliasId, Opaque, Tags, alias};

use super::{
    challenge::{self, Kind},
    handle,
    settings::{self, AliasSettings},
    signature,
};
use crate::{
    App,
    access::key_in_use,
    error::{Error, Unauthenticated},
    field,
    sealed::Safe,
};

const SIGNED: &[u8] = b"respite/create-alias/v1\0";

pub(super) fn begin(
    app: &App,
    request: v1::BeginCreateAliasRequest,
    now: DateTime<Utc>,
) -> Result<v1::BeginCreateAliasResponse, Error> {
    let v1::BeginCreateAliasRequest { public_key } = request;
    let key = field::public_key(&public_key, "public_key")?;
    Ok(v1::BeginCreateAliasResponse {
        challenge: challenge::issue(&app.keyring, Kind::CreateAlias, &key, now)?,
        proof_of_work_bits: app.settings.proof_of_work_bits.into(),
    })
}

/// The key is the request id: the same key gives the same alias again.
///
/// A challenge makes an alias once. A client that lost the answer may send it again, but it does not bring
/// back an alias that was erased in between.
pub(super) async fn create(
    app: &App,
    request: v1::CreateAliasRequest,
    now: DateTime<Utc>,
) -> Result<v1::Alias, Error> {
    let v1::CreateAliasRequest { public_key, challenge, proof_of_work, signature } = request;
    let key = field::public_key(&public_key, "public_key")?;
    if challenge.is_empty() {
        return Err(field::required("challenge"));
    }
    if !(1..=16).contains(&proof_of_work.len()) {
        return Err(field::malformed("proof_of_work", "1 to 16 bytes"));
    }
    let signature = signature::parse(&signature, "signature")?;

    let expires_at = challenge::verify(&app.keyring, Kind::CreateAlias, &key, &challenge, now)
        .ok_or(Unauthenticated::Challenge)?;
    if zero_bits(&challenge, &proof_of_work) < app.settings.proof_of_work_bits.into() {
        return Err(Unauthenticated::ProofOfWork.into());
    }
    if !signature::verify(&key, &[SIGNED, &challenge, &proof_of_work].concat(), &signature) {
        return Err(Unauthenticated::Signature.into());
    }

    let key = Opaque(key.to_vec());
    let tx = app.db.write().await?;
    let first = challenge::spend(&tx, &challenge, expires_at).await?;
    let found = match alias::Entity::find_by_public_key(key.clone()).one(&tx).await? {
        Some(found) => found,
        None if !first => return Err(Unauthenticated::Challenge.into()),
        None if key_in_use(&tx, &key).await? => return Err(Error::KeyInUse),
        None => insert(app, &tx, key).await?,
    };
    let settings = Safe::open(app, &tx, found.id).await?.settings()?;
    tx.commit().await?;
    Ok(settings::print(found, settings))
}

/// The new alias; or, if another server was faster with the same key, the one it made.
async fn insert(app: &App, tx: &sea_orm::DatabaseTransaction, key: Opaque) -> Result<alias::Model, Error> {
    let id = AliasId::random();
    let (settings, wrapped) = Safe::create(app, id, &AliasSettings::default())?;
    let row = alias::Model {
        id,
        public_key: key.clone(),
        handle: handle::random()?,
        settings,
        exclusion_tags: Tags::default(),
    };
    let inserted = alias::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(alias::Column::PublicKey).do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    if inserted > 0 {
        wrapped.into_active_model().insert(tx).await?;
    }
    alias::Entity::find_by_public_key(key).one(tx).await?.ok_or(Error::NotFound("alias"))
}

/// How many leading bits of SHA-256(challenge || nonce) are zero.
fn zero_bits(challenge: &[u8], nonce: &[u8]) -> u32 {
    let digest = Sha256::new().chain_update(challenge).chain_update(nonce).finalize();
    let whole = digest.iter().take_while(|byte| **byte == 0).count();
    let last = digest.get(whole).map_or(0, |byte| byte.leading_zeros());
    8 * u32::try_from(whole).unwrap_or_default() + last
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hashlib`: the first numbers whose eight bytes after `challenge` give so many zero
    /// bits at least.
    #[test]
    fn a_proof_of_work_is_as_good_as_its_leading_zero_bits() {
        let bits = |nonce: u64| zero_bits(b"challenge", &nonce.to_be_bytes());
        assert!(bits(2_933) >= 12);
        assert!((0..2_933).all(|nonce| bits(nonce) < 12));
        assert_ne!(zero_bits(b"another", &2_933_u64.to_be_bytes()), bits(2_933));
    }
}
