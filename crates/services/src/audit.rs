//! What staff did, for whoever has to answer for it: a log to which is only added.
//!
//! An entry is written in the transaction of what it tells of, so that neither is there without the other. Each
//! entry's hash covers all entries before it: the last one, the head, stands for the whole log, and whoever notes it
//! elsewhere will see whether anything up to there was changed, or is gone.
//!
//! Times are to the second. Those who are named work here and are known by name, so that what an inquiry needs,
//! the order of what several people did, weighs more; no worker, and nothing that is a worker's, is in here.

use std::fmt::Display;

use api::v1;
use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveEnum, ActiveModelTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryOrder, QuerySelect,
};
use sha2::{Digest, Sha256};
use store::{
    Instant, Opaque,
    audit::{self, Action, Actor},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{App, Caller, access::Called, error::Error, field, page};

/// Why the log is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// This entry, or one before it, was changed, put in or taken out.
    #[error("entry {position} does not follow from those before it")]
    Broken {
        /// Where it should be, from 1 on.
        position: i32,
    },
    /// What was seen before is not part of it.
    #[error("no entry has the hash that was seen before: the log was cut off or written anew")]
    Forked,
}

/// Every entry, the oldest first.
pub async fn entries(app: &App) -> Result<Vec<audit::Model>, Error> {
    Ok(audit::Entity::find().order_by_asc(audit::Column::Position).all(app.db.read()).await?)
}

/// Whether each entry follows from those before it, and one of them has the hash that was `seen` earlier.
pub fn verify(entries: &[audit::Model], seen: Option<[u8; 32]>) -> Result<(), AuditError> {
    let mut previous = NOTHING;
    for (position, entry) in (1..).zip(entries) {
        let expected = hash(&previous, entry);
        if entry.position != position || entry.hash.0 != expected {
            return Err(AuditError::Broken { position });
        }
        previous = expected;
    }
    match seen {
        Some(seen) if entries.iter().all(|entry| entry.hash.0 != seen) => Err(AuditError::Forked),
        _ => Ok(()),
    }
}

/// Writes down what the caller of a call did.
pub(crate) async fn append(
    tx: &DatabaseTransaction,
    now: DateTime<Utc>,
    caller: Caller,
    action: Action,
    object: impl Display,
) -> Result<(), Error> {
    let (actor, id) = match caller {
        Caller::Therapist(id) => (Actor::Therapist, id.0),
        Caller::Operator(id) => (Actor::Operator, id.0),
        Caller::Manager(id) => (Actor::Manager, id.0),
        Caller::Anonymous | Caller::Alias(_) => return Err(Error::CallerNotAllowed),
    };
    write(tx, now, (actor, Some(id)), action, object).await
}

/// Writes down what was done at the server's terminal.
pub(crate) async fn append_at_terminal(
    tx: &DatabaseTransaction,
    now: DateTime<Utc>,
    action: Action,
    object: impl Display,
) -> Result<(), Error> {
    write(tx, now, (Actor::Terminal, None), action, object).await
}

#[tonic::async_trait]
impl v1::audit_service_server::AuditService for App {
    async fn list_audit_entries(
        &self,
        request: Request<v1::ListAuditEntriesRequest>,
    ) -> Result<Response<v1::ListAuditEntriesResponse>, Status> {
        let caller = request.caller();
        let v1::ListAuditEntriesRequest { page_size, page_token } = request.into_inner();
        let question = v1::ListAuditEntriesRequest::default();
        let pages = page::List::new(self, caller, "ListAuditEntries", &question);
        let size = page::size(page_size)?;
        let read = pages.position::<i32>(&page_token)?.unwrap_or(0);
        let rows = audit::Entity::after(read).limit(size as u64 + 1).all(self.db.read()).await;
        let mut rows = rows.map_err(Error::from)?;
        let mut next_page_token = String::new();
        if rows.len() > size {
            rows.truncate(size);
            if let Some(last) = rows.last() {
                next_page_token = pages.token(&last.position)?;
            }
        }
        let entries = rows.into_iter().map(show).collect();
        Ok(Response::new(v1::ListAuditEntriesResponse { entries, next_page_token }))
    }
}

/// Before the first entry.
const NOTHING: [u8; 32] = [0; 32];

async fn write(
    tx: &DatabaseTransaction,
    now: DateTime<Utc>,
    (actor, actor_id): (Actor, Option<Uuid>),
    action: Action,
    object: impl Display,
) -> Result<(), Error> {
    let last = audit::Entity::last(tx).await?;
    let (position, previous) = match last {
        Some(last) => (last.position + 1, last.hash.0.try_into().map_err(|_| Error::Sealed("audit.hash"))?),
        None => (1, NOTHING),
    };
    let (at, object) = (Instant::from(now), object.to_string());
    let mut entry = audit::Model { position, at, actor, actor_id, action, object, hash: Opaque(Vec::new()) };
    entry.hash = Opaque(hash(&previous, &entry).to_vec());
    entry.into_active_model().insert(tx).await?;
    Ok(())
}

/// Of everything in the entry, after the hash of the one before it. What has no fixed length comes last.
fn hash(previous: &[u8; 32], entry: &audit::Model) -> [u8; 32] {
    let audit::Model { position, at, actor, actor_id, action, object, hash: _ } = entry;
    let text = |text: String| [text.as_bytes(), b"\0"].concat();
    Sha256::new()
        .chain_update(b"respite/audit/v1\0")
        .chain_update(previous)
        .chain_update(position.to_be_bytes())
        .chain_update(DateTime::<Utc>::from(*at).timestamp().to_be_bytes())
        // No actor that has an id has this one.
        .chain_update(actor_id.unwrap_or(Uuid::nil()).as_bytes())
        .chain_update(text(actor.to_value()))
        .chain_update(text(action.to_value()))
        .chain_update(object)
        .finalize()
        .into()
}

fn show(entry: audit::Model) -> v1::AuditEntry {
    let audit::Model { position, at, actor, actor_id, action, object, hash } = entry;
    v1::AuditEntry {
        position,
        create_time: Some(field::timestamp(at)),
        actor_kind: actor.to_value(),
        actor_id: actor_id.map(|id| id.to_string()).unwrap_or_default(),
        action: action.to_value(),
        object,
        hash: hash.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<audit::Model> {
        let mut previous = NOTHING;
        let mut entry = |position, seconds, action, object: &str| {
            let mut entry = audit::Model {
                position,
                at: DateTime::from_timestamp(seconds, 0).unwrap().into(),
                actor: Actor::Operator,
                actor_id: Some(Uuid::from_u128(7)),
                action,
                object: object.to_owned(),
                hash: Opaque(Vec::new()),
            };
            previous = hash(&previous, &entry);
            entry.hash = Opaque(previous.to_vec());
            entry
        };
        vec![
            entry(1, 10, Action::CreateTherapist, "a"),
            entry(2, 11, Action::VerifyCredential, "b"),
            entry(3, 11, Action::VerifyCredential, "b"),
            entry(4, 12, Action::DeleteCredential, "b"),
        ]
    }

    #[test]
    fn a_log_that_was_tampered_with_is_not_believed() {
        let check = |tamper: &dyn Fn(&mut Vec<audit::Model>), seen, expected| {
            let mut entries = log();
            tamper(&mut entries);
            assert_eq!(verify(&entries, seen), expected);
        };
        let broken = |position| Err(AuditError::Broken { position });
        let head: Option<[u8; 32]> = Some(log()[3].hash.0.clone().try_into().unwrap());
        let other_time = Instant::from(DateTime::from_timestamp(13, 0).unwrap());
        check(&|_| (), None, Ok(()));
        check(&|_| (), head, Ok(()));
        check(&|log| log[1].at = other_time, None, broken(2));
        check(&|log| log[1].actor = Actor::Manager, None, broken(2));
        check(&|log| log[1].actor_id = None, None, broken(2));
        check(&|log| log[1].action = Action::RefuseCredential, None, broken(2));
        check(&|log| log[1].object.push('c'), None, broken(2));
        check(&|log| log[3].hash.0[31] ^= 1, None, broken(4));
        check(&|log| drop(log.remove(0)), None, broken(1));
        check(&|log| drop(log.remove(1)), None, broken(2));
        check(&|log| log.swap(1, 3), None, broken(2));
        check(&|log| log.insert(1, log[0].clone()), None, broken(2));
        // What only somebody who noted the head can see.
        check(&|log| log.truncate(3), None, Ok(()));
        check(&|log| log.truncate(3), head, Err(AuditError::Forked));
        check(&Vec::clear, head, Err(AuditError::Forked));
    }
}
