//! The booking side: accepts tokens, with public keys alone.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::{
    directory::{Directory, KeyRecord, KeyState},
    key::KeyId,
    wire::{Token, TokenInput, WireError},
};

/// What is kept of a spent token, so that it is spent once: it tells neither the token nor, without it, its nonce.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nullifier([u8; 32]);

/// A token that is good. It is spent when its nullifier is written where none like it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redemption<'a> {
    /// The key that signed it, and so its programme and period.
    pub key: &'a KeyRecord,
    /// What to write.
    pub nullifier: Nullifier,
}

/// Why a token is not accepted, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RedeemError {
    /// It is not a token.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It names a key that the log does not list.
    #[error("key {key_id:?} is not listed")]
    UnknownKey {
        /// The key.
        key_id: KeyId,
    },
    /// It comes before its key is used, or after.
    #[error("its key is {state:?}")]
    KeyState {
        /// What the key is now.
        state: KeyState,
    },
    /// It was made for another challenge: for somebody else, or to tell workers apart.
    #[error("made for another challenge")]
    Challenge,
    /// Its key did not sign it.
    #[error("not signed by its key")]
    Signature,
}

/// Whether a token is good at `now`.
pub fn redeem<'a>(directory: &'a Directory, token: &[u8], now: i64) -> Result<Redemption<'a>, RedeemError> {
    let Token { input, authenticator } = Token::try_from(token)?;
    let TokenInput { nonce, challenge_digest, key_id } = input;
    let record = directory.record(key_id).ok_or(RedeemError::UnknownKey { key_id })?;
    let state = record.state(now);
    if !matches!(state, KeyState::Active | KeyState::Grace) {
        return Err(RedeemError::KeyState { state });
    }
    if challenge_digest != record.challenge.digest() {
        return Err(RedeemError::Challenge);
    }
    if !record.key.verifies(&input.to_bytes(), &authenticator) {
        return Err(RedeemError::Signature);
    }
    let hash = Sha256::new()
        .chain_update(b"respite/nullifier/v1")
        .chain_update(key_id.as_bytes())
        .chain_update(nonce.0);
    Ok(Redemption { key: record, nullifier: Nullifier(hash.finalize().into()) })
}

impl Nullifier {
    /// As it is written.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Nullifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nullifier(..)")
    }
}
