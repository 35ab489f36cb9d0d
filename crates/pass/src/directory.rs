//! The public log of all keys, and what may be done with each of them.
//!
//! An issuer that gave every worker a key of their own would know whose each
//! token is. So every key stands in a log that all can read and nobody can
//! rewrite unseen: each entry holds the hash of the one before. A client keeps
//! the [`Head`] of what it read, and refuses a log that does not go on from
//! there; people compare heads by any way they trust. The rules of the log keep
//! a programme's workers together: one key that signs, and two that are good.
//!
//! An entry is, with numbers big-endian and times in Unix seconds:
//!
//! ```text
//! entry   = "respite/key-log/v1" | previous[32] | (publish / revoke)
//! publish = 0x00 | programme[16] | opaque16 period | opaque16 TokenChallenge
//!                | i64 published | i64 active_from | i64 grace_from | i64 retired_from | SubjectPublicKeyInfo[342]
//! revoke  = 0x01 | key_id[32] | i64 from
//! previous = SHA-256(the entry before), or zeros in front of the first
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeInclusive};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    key::{KeyError, KeyId, PublicKey},
    wire::{TokenChallenge, WireError, put_opaque16, take, take_opaque16, text},
};

/// A programme, by its id elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProgrammeId(pub [u8; 16]);

/// A programme's period, such as `2026-Q4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period(String);

/// From when on a key is what, in Unix seconds. Each begins no later than the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When it was written into the log.
    pub published: i64,
    /// Signs, and is redeemed.
    pub active_from: i64,
    /// Is redeemed, but signs no more.
    pub grace_from: i64,
    /// Is good for nothing any more.
    pub retired_from: i64,
}

/// A key and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Whose sessions it pays.
    pub programme: ProgrammeId,
    /// In which period.
    pub period: Period,
    /// What all its tokens are made for.
    pub challenge: TokenChallenge,
    /// When.
    pub schedule: Schedule,
    /// The key.
    pub key: PublicKey,
}

/// What may be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Nothing yet: so that everybody has the same key before anybody uses it.
    Published,
    /// Signing and redeeming.
    Active,
    /// Redeeming.
    Grace,
    /// Nothing any more.
    Retired,
}

/// How far a log was read. Two logs with the same head are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// How many entries there are.
    pub length: u64,
    /// SHA-256 of the last one, or zeros.
    pub hash: [u8; 32],
}

/// All keys, as a log lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    records: BTreeMap<KeyId, KeyRecord>,
    head: Head,
}

/// Why a log is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum LogError {
    /// An entry is not of its form.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An entry's key is not one that tokens may be signed by.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An entry does not follow the one before: something was taken out, put in, moved or changed.
    #[error("entry {position} does not follow the one before")]
    Chain {
        /// Counted from zero.
        position: u64,
    },
    /// It is not what was seen before and more, but another log, or less.
    #[error("not what was seen before, {seen} entries, and more")]
    Forked {
        /// How many entries were seen before.
        seen: u64,
    },
    /// A key's states do not follow each other, or it is used within [`Schedule::NOTICE`] of its publication.
    #[error("a key's times do not follow each other, or leave too little notice")]
    Schedule,
    /// The key is in the log already.
    #[error("key {key_id:?} is listed already")]
    Listed {
        /// The key.
        key_id: KeyId,
    },
    /// Another key of the programme would sign at the same time.
    #[error("two keys of a programme would sign at a time")]
    TwoActive,
    /// Two other keys of the programme would be good at the same time.
    #[error("three keys of a programme would be good at a time")]
    ThreeLive,
    /// There is no such key to revoke, or it is retired by then.
    #[error("key {key_id:?} is not there to be revoked")]
    NotLive {
        /// The key.
        key_id: KeyId,
    },
}

/// Why nothing is asked of an issuer under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotIssuing {
    /// The log does not list it: it might be this worker's alone.
    #[error("key {key_id:?} is not listed")]
    Unlisted {
        /// The key.
        key_id: KeyId,
    },
    /// It is another programme's.
    #[error("key {key_id:?} is another programme's")]
    Programme {
        /// The key.
        key_id: KeyId,
    },
    /// It does not sign now.
    #[error("key {key_id:?} is {state:?}")]
    State {
        /// The key.
        key_id: KeyId,
        /// What it is now.
        state: KeyState,
    },
}

const CONTEXT: [u8; 18] = *b"respite/key-log/v1";
const PUBLISH: u8 = 0;
const REVOKE: u8 = 1;

impl Period {
    /// No worker gets more passes in one period: what is agreed, signed and asked for goes by this.
    pub const MOST_PASSES: u32 = 100;

    /// Its name, which is not empty.
    pub fn new(name: impl Into<String>) -> Result<Self, WireError> {
        let name = name.into();
        if name.is_empty() || u16::try_from(name.len()).is_err() {
            return Err(WireError::Text { found: name.len() });
        }
        Ok(Self(name))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Schedule {
    /// A week passes between a key's publication and its use, in which whoever looks can see it, in seconds.
    pub const NOTICE: i64 = 7 * 24 * 60 * 60;
    /// How many days lie between the first day that a key pays and the last one. Fewer, and few workers would share it;
    /// more, and one that was stolen would be good for too long.
    pub const LENGTH: RangeInclusive<i64> = 27..=365;
    /// How long before its period a key begins to sign, in seconds.
    const AHEAD: i64 = 14 * 24 * 60 * 60;

    /// When the key signs that pays the sessions of `paid`: from two weeks before the first one until two weeks before
    /// the end, so that a session of the next period can be booked ahead, and never two keys of a programme sign. Who
    /// signs goes by this, as the log does: they name the same key on each day.
    pub fn signing(paid: Range<i64>) -> Range<i64> {
        paid.start.saturating_sub(Self::AHEAD)..paid.end.saturating_sub(Self::AHEAD)
    }

    /// What the key that pays the sessions of `paid` does when: if it was `published` too late to sign from the first
    /// moment on, it begins as soon as it was to be seen for long enough.
    pub fn paying(paid: Range<i64>, published: i64) -> Self {
        let retired_from = paid.end;
        let signing = Self::signing(paid);
        Self {
            published,
            active_from: signing.start.max(published.saturating_add(Self::NOTICE)),
            grace_from: signing.end,
            retired_from,
        }
    }

    fn is_in_order(self) -> bool {
        let Self { published, active_from, grace_from, retired_from } = self;
        published.saturating_add(Self::NOTICE) <= active_from
            && active_from < grace_from
            && grace_from <= retired_from
    }

    fn signs_beside(self, other: Self) -> bool {
        self.active_from.max(other.active_from) < self.grace_from.min(other.grace_from)
    }

    fn is_live(self, now: i64) -> bool {
        self.active_from <= now && now < self.retired_from
    }
}

impl KeyRecord {
    /// What may be done with it at `now`.
    pub fn state(&self, now: i64) -> KeyState {
        match self.schedule {
            Schedule { retired_from, .. } if now >= retired_from => KeyState::Retired,
            Schedule { grace_from, .. } if now >= grace_from => KeyState::Grace,
            Schedule { active_from, .. } if now >= active_from => KeyState::Active,
            _ => KeyState::Published,
        }
    }
}

impl Directory {
    /// Reads a whole log, which must go on from what was `seen` of it before: the default, if nothing was.
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a [u8]>, seen: Head) -> Result<Self, LogError> {
        let mut directory = Self::default();
        let mut found = directory.head == seen;
        for entry in entries {
            directory.append(entry)?;
            found |= directory.head == seen;
        }
        if found { Ok(directory) } else { Err(LogError::Forked { seen: seen.length }) }
    }

    /// Adds one entry that somebody wrote.
    pub fn append(&mut self, entry: &[u8]) -> Result<(), LogError> {
        let mut rest = entry;
        if take(&mut rest)? != CONTEXT {
            return Err(WireError::Form.into());
        }
        if take(&mut rest)? != self.head.hash {
            return Err(LogError::Chain { position: self.head.length });
        }
        match take(&mut rest)? {
            [PUBLISH] => self.admit(read_publish(rest)?)?,
            [REVOKE] => self.retire(read_revoke(rest)?)?,
            _ => return Err(WireError::Form.into()),
        }
        self.head = Head { length: self.head.length + 1, hash: Sha256::digest(entry).into() };
        Ok(())
    }

    /// Adds a key, and gives the entry to publish.
    pub fn publish(&mut self, record: &KeyRecord) -> Result<Vec<u8>, LogError> {
        let KeyRecord { programme, period, challenge, schedule, key } = record;
        let Schedule { published, active_from, grace_from, retired_from } = schedule;
        let mut entry = self.entry(PUBLISH);
        entry.extend_from_slice(&programme.0);
        put_opaque16(&mut entry, period.0.as_bytes());
        put_opaque16(&mut entry, &challenge.to_bytes());
        for time in [published, active_from, grace_from, retired_from] {
            entry.extend_from_slice(&time.to_be_bytes());
        }
        entry.extend_from_slice(&key.to_spki());
        self.append(&entry)?;
        Ok(entry)
    }

    /// Retires a key early, since it was stolen, say, and gives the entry to publish.
    pub fn revoke(&mut self, key_id: KeyId, from: i64) -> Result<Vec<u8>, LogError> {
        let mut entry = self.entry(REVOKE);
        entry.extend_from_slice(key_id.as_bytes());
        entry.extend_from_slice(&from.to_be_bytes());
        self.append(&entry)?;
        Ok(entry)
    }

    /// How far it goes: to be kept, shown, and compared.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Every key there is or was.
    pub fn records(&self) -> impl Iterator<Item = &KeyRecord> {
        self.records.values()
    }

    /// The key of this id.
    pub fn record(&self, key_id: KeyId) -> Option<&KeyRecord> {
        self.records.get(&key_id)
    }

    /// The key, if it is the one that signs for this programme at `now`.
    pub fn issuing(&self, programme: ProgrammeId, key_id: KeyId, now: i64) -> Result<&KeyRecord, NotIssuing> {
        let record = self.record(key_id).ok_or(NotIssuing::Unlisted { key_id })?;
        if record.programme != programme {
            return Err(NotIssuing::Programme { key_id });
        }
        match record.state(now) {
            KeyState::Active => Ok(record),
            state => Err(NotIssuing::State { key_id, state }),
        }
    }

    fn entry(&self, kind: u8) -> Vec<u8> {
        [&CONTEXT[..], &self.head.hash, &[kind]].concat()
    }

    fn admit(&mut self, new: KeyRecord) -> Result<(), LogError> {
        let key_id = new.key.id();
        if !new.schedule.is_in_order() {
            return Err(LogError::Schedule);
        }
        if self.records.contains_key(&key_id) {
            return Err(LogError::Listed { key_id });
        }
        let of_programme = self.records().filter(|record| record.programme == new.programme);
        let others: Vec<Schedule> = of_programme.map(|record| record.schedule).collect();
        if others.iter().any(|other| other.signs_beside(new.schedule)) {
            return Err(LogError::TwoActive);
        }
        // Where most are live, one of them has just begun to be.
        let begins = others.iter().map(|other| other.active_from).chain([new.schedule.active_from]);
        for begin in begins.filter(|&begin| new.schedule.is_live(begin)) {
            if others.iter().filter(|other| other.is_live(begin)).count() > 1 {
                return Err(LogError::ThreeLive);
            }
        }
        self.records.insert(key_id, new);
        Ok(())
    }

    fn retire(&mut self, (key_id, from): (KeyId, i64)) -> Result<(), LogError> {
        let record = self.records.get_mut(&key_id).ok_or(LogError::NotLive { key_id })?;
        let Schedule { active_from, grace_from, retired_from, .. } = &mut record.schedule;
        if from >= *retired_from {
            return Err(LogError::NotLive { key_id });
        }
        *active_from = from.min(*active_from);
        *grace_from = from.min(*grace_from);
        *retired_from = from;
        Ok(())
    }
}

/// As people compare it: `2:` and 64 hexadecimal digits, if there are two entries. Fewer digits would do for an
/// accident, and not against whoever looks for two logs that end alike.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.length, HEXLOWER.encode(&self.hash))
    }
}

fn read_publish(mut bytes: &[u8]) -> Result<KeyRecord, LogError> {
    Ok(KeyRecord {
        programme: ProgrammeId(take(&mut bytes)?),
        period: Period::new(text(take_opaque16(&mut bytes)?)?)?,
        challenge: take_opaque16(&mut bytes)?.try_into()?,
        schedule: Schedule {
            published: i64::from_be_bytes(take(&mut bytes)?),
            active_from: i64::from_be_bytes(take(&mut bytes)?),
            grace_from: i64::from_be_bytes(take(&mut bytes)?),
            retired_from: i64::from_be_bytes(take(&mut bytes)?),
        },
        key: bytes.try_into()?,
    })
}

fn read_revoke(mut bytes: &[u8]) -> Result<(KeyId, i64), WireError> {
    let key_id = KeyId::from(take(&mut bytes)?);
    let from = i64::from_be_bytes(take(&mut bytes)?);
    if bytes.is_empty() { Ok((key_id, from)) } else { Err(WireError::Form) }
}

#[cfg(test)]
mod tests;
