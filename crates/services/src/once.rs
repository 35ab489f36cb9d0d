//! B3: the same request id and payload give the first answer again.
//!
//! ```text
//! let once = match Once::begin(app, caller, "HoldSlot", &request, &request.request_id, now).await? {
//!     Turn::Again(response) => return Ok(response),
//!     Turn::First(once) => once,
//! };
//! ... work on once.tx ...
//! once.commit(response).await
//! ```
//!
//! The answer is remembered in the transaction that carries the request out, so a refused request, or one
//! that a crash cut off, does not use its id up.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use sea_orm::{DatabaseTransaction, EntityTrait, QuerySelect, sea_query::LockType};
use store::{Opaque, RequestId, Writes, operator, programme, request, therapist};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use vault::Purpose;

use crate::{
    App, Caller, Mirror,
    access::Bearer,
    error::{Error, Unauthenticated},
    field,
    sealed::{Given, Safe},
};

/// How long an answer is remembered; a client that retries later must look first.
const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// Whether a request is new.
#[expect(clippy::large_enum_variant, reason = "made once in a call, and taken apart at once")]
pub(crate) enum Turn<Response> {
    /// It was carried out; this was the answer.
    Again(Response),
    /// It is to be carried out.
    First(Once),
}

/// The transaction of a call that changes something. Its caller's row is locked, so that one caller's
/// requests take turns.
pub(crate) struct Once {
    pub(crate) tx: DatabaseTransaction,
    /// What is written with the answer, in one trip to the database.
    pub(crate) writes: Writes,
    mirror: Arc<Mirror>,
    /// Opens what is sealed for the caller, if the caller is an alias.
    safe: Option<Safe>,
    row: request::Model,
}

impl Once {
    pub(crate) async fn begin<Response: Message + Default>(
        app: &App,
        caller: Caller,
        method: &'static str,
        request: &impl Message,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Turn<Response>, Error> {
        Self::begin_asking(app, (caller, None), method, request, request_id, now).await
    }

    /// The same for an alias whose token was known from memory: whether it holds is asked with all the rest.
    pub(crate) async fn begin_by_token<Response: Message + Default>(
        app: &App,
        bearer: &Bearer,
        method: &'static str,
        request: &impl Message,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Turn<Response>, Error> {
        let caller = (Caller::Alias(bearer.alias), Some(&bearer.token));
        Self::begin_asking(app, caller, method, request, request_id, now).await
    }

    async fn begin_asking<Response: Message + Default>(
        app: &App,
        (caller, token): (Caller, Option<&Opaque>),
        method: &'static str,
        request: &impl Message,
        request_id: &str,
        now: DateTime<Utc>,
    ) -> Result<Turn<Response>, Error> {
        let request_id: RequestId = field::id(request_id, "request_id")?;
        let payload_mac =
            app.keyring.mac(Purpose::RequestPayload, &[method.as_bytes(), &request.encode_to_vec()]);

        let tx = app.db.write().await?;
        let asking = lock(app, &tx, caller, token, request_id).await;
        if let (Err(Error::Unauthenticated(_)), Some(token)) = (&asking, token) {
            app.callers.forget_token(token);
        }
        let Asking { caller_id, safe, before } = asking?;
        if let Some(before) = before {
            if !bool::from(before.payload_mac.0.ct_eq(&payload_mac[..])) {
                return Err(Error::RequestIdReused);
            }
            let response = match &safe {
                Some(safe) => Response::decode(safe.unseal_answer(request_id, &before.response)?.as_slice()),
                None => Response::decode(before.response.0.as_slice()),
            };
            return response.map(Turn::Again).map_err(|_| Error::Sealed("request.response"));
        }
        let row = request::Model {
            caller_id,
            request_id,
            payload_mac: Opaque(payload_mac.to_vec()),
            response: Opaque(Vec::new()),
            expires_at: (now + REMEMBERED).into(),
        };
        Ok(Turn::First(Self { tx, writes: Writes::default(), mirror: app.mirror.clone(), safe, row }))
    }

    /// Who asks, of whatever kind.
    pub(crate) fn caller_id(&self) -> Uuid {
        self.row.caller_id
    }

    /// What is sealed for the alias that calls.
    pub(crate) fn safe(&self) -> Result<&Safe, Error> {
        self.safe.as_ref().ok_or(Error::CallerNotAllowed)
    }

    /// Remembers the answer and commits.
    pub(crate) async fn commit<Response: Message>(self, response: Response) -> Result<Response, Error> {
        let Self { tx, mut writes, mirror, safe, mut row } = self;
        let encoded = response.encode_to_vec();
        row.response = match safe {
            Some(safe) => safe.seal_answer(row.request_id, &encoded),
            None => Opaque(encoded),
        };
        writes.insert(row);
        writes.send(&tx).await?;
        tx.commit().await?;
        mirror.committed();
        Ok(response)
    }
}

/// Whoever asks, with their row locked.
struct Asking {
    caller_id: Uuid,
    /// Of an alias.
    safe: Option<Safe>,
    /// The answer, if the request was carried out already.
    before: Option<Given>,
}

/// Locks the caller's row, and opens what is sealed for an alias; a caller who is gone since the token was looked
/// at may do nothing.
async fn lock(
    app: &App,
    tx: &DatabaseTransaction,
    caller: Caller,
    token: Option<&Opaque>,
    request_id: RequestId,
) -> Result<Asking, Error> {
    let gone = || Error::from(Unauthenticated::Token);
    let caller_id = match caller {
        Caller::Anonymous => return Err(gone()),
        Caller::Alias(id) => {
            let (safe, before) = Safe::lock_for(app, tx, id, request_id, token).await?.ok_or_else(gone)?;
            return Ok(Asking { caller_id: id.0, safe: Some(safe), before });
        }
        Caller::Therapist(id) => {
            therapist::Entity::lock(id).into_tuple::<i64>().one(tx).await?.ok_or_else(gone)?;
            id.0
        }
        Caller::Operator(id) => {
            let row = operator::Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
            row.one(tx).await?.ok_or_else(gone)?;
            id.0
        }
        Caller::Manager(id) => {
            let row = programme::Entity::find_by_id(id).lock(LockType::NoKeyUpdate);
            row.one(tx).await?.ok_or_else(gone)?;
            id.0
        }
    };
    let before = request::Entity::find_by_id((caller_id, request_id)).one(tx).await?;
    let before = before.map(|row| Given { payload_mac: row.payload_mac, response: row.response });
    Ok(Asking { caller_id, safe: None, before })
}
