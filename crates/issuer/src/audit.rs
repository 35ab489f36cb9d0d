//! What the hospital's staff did with the issuer: how much, never for whom.
//!
//! Each entry's hash covers all entries before it, so that the last one, the head,
//! stands for the whole log. Whoever notes the head elsewhere will see whether
//! anything up to there was changed, or is gone.

use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use pass::KeyId;
use sha2::{Digest, Sha256};
use sqlx::SqliteConnection;
use thiserror::Error;

use crate::{App, Error, Mode, PeriodName, scim::StaffNumber, secret::Hash};

/// What somebody did.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Created { mode: Mode },
    Imported { workers: usize, added: usize, removed: usize },
    ScimTokenMade { staff_number: StaffNumber },
    ScimTurnedOff,
    Provisioned { day: NaiveDate, added: u32, removed: u32 },
    CardsMade { count: u32, last_day: NaiveDate },
    CodesMade { count: usize, replaced: usize },
    KeyMade { period: PeriodName, key_id: KeyId, passes: u32, small: bool },
    KeyWithdrawn { period: PeriodName, key_id: KeyId },
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, in Unix seconds.
    pub at: i64,
    /// What, as a sentence.
    pub action: String,
    /// SHA-256 over the hash of the entry before, or zeros, and this entry.
    pub hash: [u8; 32],
}

/// Why a log is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuditError {
    /// This entry, or one before it, was changed, put in or taken out.
    #[error("entry {position} does not follow from those before it")]
    Broken {
        /// Counted from one.
        position: usize,
    },
    /// What was seen before is not part of it: it was cut off or written anew.
    #[error("no entry has the hash that was seen before: the log was cut off or written anew")]
    Forked,
}

/// All entries, the oldest first.
pub async fn entries(app: &App) -> Result<Vec<Entry>, Error> {
    let mut connection = app.db.read().await?;
    let rows: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("select at, action, hash from audit order by position")
            .fetch_all(&mut *connection)
            .await?;
    let entry = |(at, action, hash): (i64, String, Vec<u8>)| {
        let hash = hash.try_into().map_err(|_| Error::Damaged("audit"))?;
        Ok(Entry { at, action, hash })
    };
    rows.into_iter().map(entry).collect()
}

/// Whether each entry follows from those before it, and one of them has the hash that was `seen` earlier.
pub fn verify(entries: &[Entry], seen: Option<[u8; 32]>) -> Result<(), AuditError> {
    let mut previous = [0; 32];
    for (index, Entry { at, action, hash: found }) in entries.iter().enumerate() {
        if *found != hash(&previous, *at, action) {
            return Err(AuditError::Broken { position: index + 1 });
        }
        previous = *found;
    }
    match seen {
        Some(seen) if entries.iter().all(|entry| entry.hash != seen) => Err(AuditError::Forked),
        _ => Ok(()),
    }
}

/// Writes an entry, in the transaction of what it tells of.
pub(crate) async fn append(
    transaction: &mut SqliteConnection,
    now: DateTime<Utc>,
    action: &Action,
) -> Result<(), Error> {
    let last: Option<Vec<u8>> = sqlx::query_scalar("select hash from audit order by position desc limit 1")
        .fetch_optional(&mut *transaction)
        .await?;
    let previous = match last {
        Some(hash) => hash.try_into().map_err(|_| Error::Damaged("audit"))?,
        None => [0; 32],
    };
    let (at, action) = (now.timestamp(), action.to_string());
    sqlx::query("insert into audit (at, action, hash) values (?, ?, ?)")
        .bind(at)
        .bind(&action)
        .bind(&hash(&previous, at, &action)[..])
        .execute(transaction)
        .await?;
    Ok(())
}

fn hash(previous: &Hash, at: i64, action: &str) -> Hash {
    Sha256::new()
        .chain_update(b"respite-issuer/audit/v1")
        .chain_update(previous)
        .chain_update(at.to_be_bytes())
        .chain_update(action)
        .finalize()
        .into()
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created { mode } => write!(f, "created for {mode}"),
            Self::Imported { workers, added, removed } => {
                write!(f, "roster imported: {workers} workers, {added} of them new, {removed} gone")
            }
            Self::ScimTokenMade { staff_number } => {
                write!(f, "token made for SCIM, with {staff_number} as the staff number")
            }
            Self::ScimTurnedOff => f.write_str("SCIM turned off"),
            Self::Provisioned { day, added, removed } => {
                write!(f, "by SCIM, on {day}: {added} added, {removed} removed")
            }
            Self::CardsMade { count, last_day } => write!(f, "cards made: {count}, good until {last_day}"),
            Self::CodesMade { count, replaced } => {
                write!(f, "codes made for the roster: {count}, of them in place of older ones: {replaced}")
            }
            Self::KeyMade { period, key_id, passes, small } => {
                let although = if *small { ", although fewer than 50 may be eligible" } else { "" };
                write!(f, "key {key_id:?} made for {period}, {passes} passes for each worker{although}")
            }
            Self::KeyWithdrawn { period, key_id } => write!(f, "key {key_id:?} of {period} withdrawn"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AuditError, Entry, hash, verify};

    fn log() -> Vec<Entry> {
        let mut previous = [0; 32];
        let entry = |(at, action): (i64, &str)| {
            previous = hash(&previous, at, action);
            Entry { at, action: action.to_owned(), hash: previous }
        };
        [(1, "created"), (2, "imported"), (2, "imported"), (9, "made")].map(entry).to_vec()
    }

    #[test]
    fn a_log_that_was_tampered_with_is_not_believed() {
        let check = |tamper: &dyn Fn(&mut Vec<Entry>), seen, expected| {
            let mut entries = log();
            tamper(&mut entries);
            assert_eq!(verify(&entries, seen), expected);
        };
        let broken = |position| Err(AuditError::Broken { position });
        let head = Some(log()[3].hash);
        check(&|_| (), None, Ok(()));
        check(&|_| (), head, Ok(()));
        check(&|log| log[1].at = 3, None, broken(2));
        check(&|log| log[1].action.push('!'), None, broken(2));
        check(&|log| log[3].hash[31] ^= 1, None, broken(4));
        check(&|log| drop(log.remove(0)), None, broken(1));
        check(&|log| drop(log.remove(1)), None, broken(2));
        check(&|log| log.swap(1, 3), None, broken(2));
        check(&|log| log.insert(1, log[0].clone()), None, broken(2));
        // What only somebody who noted the head can see.
        check(&|log| log.truncate(3), None, Ok(()));
        check(&|log| log.truncate(3), head, Err(AuditError::Forked));
        check(&Vec::clear, head, Err(AuditError::Forked));
        check(&|_| (), Some(log()[1].hash), Ok(()));
    }
}
