//! Signing in with a key, and out: the same way for every kind of caller.

use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, sea_query::LockType,
};
use store::{AliasId, Instant, Opaque, access_token, alias, operator, programme, therapist};
use uuid::Uuid;

use super::{
    challenge::{self, Kind},
    signature,
};
use crate::{
    App,
    access::Token,
    accesses::{self, What},
    error::{Error, Unauthenticated},
    field::{self, timestamp},
    sealed::Safe,
};

const SIGNED: &[u8] = b"respite/login/v1\0";
const LASTS: TimeDelta = TimeDelta::minutes(15);
/// How many tokens of one caller hold at a time.
const AT_A_TIME: usize = 5;

/// A challenge for any key, known or not; the database is not asked.
pub(super) fn begin(
    app: &App,
    request: v1::BeginLoginRequest,
    now: DateTime<Utc>,
) -> Result<v1::BeginLoginResponse, Error> {
    let v1::BeginLoginRequest { public_key } = request;
    let key = field::public_key(&public_key, "public_key")?;
    Ok(v1::BeginLoginResponse {
        challenge: challenge::issue(&app.keyring, Kind::Login, &key, now)?,
        audience: app.settings.audience.clone(),
    })
}

/// A token for a signed challenge.
///
/// Whether a key is known shows neither in the answer nor in the work to anybody but its holder: before the
/// signature holds, nobody is looked up. A key that nobody knows leaves nothing behind.
pub(super) async fn finish(
    app: &App,
    request: v1::FinishLoginRequest,
    now: DateTime<Utc>,
) -> Result<v1::FinishLoginResponse, Error> {
    let v1::FinishLoginRequest { public_key, challenge, signature } = request;
    let key = field::public_key(&public_key, "public_key")?;
    if challenge.is_empty() {
        return Err(field::required("challenge"));
    }
    let signature = signature::parse(&signature, "signature")?;

    let message = [SIGNED, app.settings.audience.as_bytes(), b"\0", &challenge].concat();
    let expires_at = challenge::verify(&app.keyring, Kind::Login, &key, &challenge, now);
    let signed = signature::verify(&key, &message, &signature);
    let Some(expires_at) = expires_at.filter(|_| signed) else {
        return Err(Unauthenticated::Login.into());
    };

    let tx = app.db.write().await?;
    let (caller_kind, caller_id) = find(&tx, Opaque(key.to_vec())).await?.ok_or(Unauthenticated::Login)?;
    if !challenge::spend(&tx, &challenge, expires_at).await? {
        return Err(Unauthenticated::Login.into());
    }
    let (token, expires_at) = grant(&tx, (caller_kind, caller_id), now).await?;
    if caller_kind == access_token::CallerKind::Alias {
        let safe = Safe::open(app, &tx, AliasId(caller_id)).await?;
        accesses::record(&tx, &safe, What::SIGN_IN, now).await?;
    }
    tx.commit().await?;
    // For the tokens that made room.
    app.mirror.committed();
    let caller = match caller_kind {
        access_token::CallerKind::Alias => v1::CallerKind::Alias,
        access_token::CallerKind::Therapist => v1::CallerKind::Therapist,
        access_token::CallerKind::Operator => v1::CallerKind::Operator,
        access_token::CallerKind::Manager => v1::CallerKind::Manager,
    };
    Ok(v1::FinishLoginResponse {
        access_token: token.to_text(),
        expire_time: Some(timestamp(expires_at)),
        caller: caller.into(),
    })
}

/// A token for whoever was found, whose row is locked, and when it ends.
pub(super) async fn grant(
    tx: &DatabaseTransaction,
    (caller_kind, caller_id): (access_token::CallerKind, Uuid),
    now: DateTime<Utc>,
) -> Result<(Token, DateTime<Utc>), Error> {
    let live = live(tx, caller_id, now).await?;
    make_room(tx, live).await?;
    let (token, expires_at) = (Token::generate()?, now + LASTS);
    let hash = token.hash();
    let row = access_token::Model { hash, caller_kind, caller_id, expires_at: expires_at.into() };
    row.into_active_model().insert(tx).await?;
    Ok((token, expires_at))
}

/// Ends one token.
pub(super) async fn logout(app: &App, token: Opaque) -> Result<(), Error> {
    let tx = app.db.write().await?;
    access_token::Entity::delete_by_id(token).exec(&tx).await?;
    tx.commit().await?;
    app.mirror.committed();
    Ok(())
}

/// Who signs in with this key. Every table is asked, and the row is locked, so that one caller's logins take
/// turns and none outlives its caller.
async fn find(
    tx: &DatabaseTransaction,
    key: Opaque,
) -> Result<Option<(access_token::CallerKind, Uuid)>, Error> {
    use access_token::CallerKind as K;
    let lock = LockType::NoKeyUpdate;
    let alias = alias::Entity::find_by_public_key(key.clone()).lock(lock).one(tx).await?;
    let therapist = therapist::Entity::find_by_public_key(key.clone()).lock(lock).one(tx).await?;
    let operator = operator::Entity::find_by_public_key(key.clone()).lock(lock).one(tx).await?;
    let manager = programme::Entity::find_by_public_key(key).lock(lock).one(tx).await?;
    Ok(alias
        .map(|row| (K::Alias, row.id.0))
        .or(therapist.map(|row| (K::Therapist, row.id.0)))
        .or(operator.map(|row| (K::Operator, row.id.0)))
        .or(manager.map(|row| (K::Manager, row.id.0))))
}

/// The caller's tokens that are in force, the one that ends last first.
async fn live(
    tx: &DatabaseTransaction,
    caller: Uuid,
    now: DateTime<Utc>,
) -> Result<Vec<access_token::Model>, Error> {
    let tokens = access_token::Entity::find()
        .filter(access_token::COLUMN.caller_id.eq(caller))
        .filter(access_token::COLUMN.expires_at.gt(Instant::from(now)))
        .order_by_desc(access_token::Column::ExpiresAt);
    Ok(tokens.all(tx).await?)
}

/// Ends the tokens that would end first, until there is room for one more.
async fn make_room(tx: &DatabaseTransaction, live: Vec<access_token::Model>) -> Result<(), Error> {
    for token in live.into_iter().skip(AT_A_TIME - 1) {
        access_token::Entity::delete_by_id(token.hash).exec(tx).await?;
    }
    Ok(())
}
