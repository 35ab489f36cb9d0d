//! Challenges that the server does not keep: what it needs to know them again is in them.
//!
//! ```text
//! challenge(56) = nonce(16) | expiry(8, seconds since 1970) | code(32) over kind, holder, nonce and expiry
//! ```

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, EntityTrait, IntoActiveModel, sea_query::OnConflict};
use sha2::{Digest, Sha256};
use store::{Opaque, used_challenge};
use vault::{Keyring, Purpose};

use crate::error::Error;

/// What is answered with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    CreateAlias,
    Login,
    IdTokenLogin,
}

impl Kind {
    fn label(self) -> &'static [u8] {
        match self {
            Self::CreateAlias => b"create-alias",
            Self::Login => b"login",
            Self::IdTokenLogin => b"id-token-login",
        }
    }

    fn lasts(self) -> TimeDelta {
        match self {
            Self::Login => TimeDelta::minutes(2),
            // For work on a slow phone, and for a browser with a second factor and a password that was forgotten.
            Self::CreateAlias | Self::IdTokenLogin => TimeDelta::minutes(10),
        }
    }
}

const NONCE: usize = 16;
const EXPIRY: usize = 8;

/// A challenge for whoever has the `holder`'s key; any key gets one. Of who signs in elsewhere, nothing is known yet.
pub(super) fn issue(
    keyring: &Keyring,
    kind: Kind,
    holder: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(|_| Error::Randomness)?;
    let expiry = (now + kind.lasts()).timestamp().to_be_bytes();
    let code = keyring.mac(Purpose::Challenge, &[kind.label(), holder, &nonce, &expiry]);
    Ok([&nonce[..], &expiry, &code].concat())
}

/// When the challenge ends, if it is one of ours for the `holder` and has not ended yet.
pub(super) fn verify(
    keyring: &Keyring,
    kind: Kind,
    holder: &[u8],
    challenge: &[u8],
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let (nonce, rest) = challenge.split_first_chunk::<NONCE>()?;
    let (expiry, code) = rest.split_first_chunk::<EXPIRY>()?;
    let ours = keyring.verify_mac(Purpose::Challenge, &[kind.label(), holder, nonce, expiry], code);
    let expires_at = DateTime::from_timestamp(i64::from_be_bytes(*expiry), 0)?;
    (ours && now < expires_at).then_some(expires_at)
}

/// Whether this is the first time the challenge is answered; it is remembered until it ends.
pub(super) async fn spend(
    tx: &impl ConnectionTrait,
    challenge: &[u8],
    expires_at: DateTime<Utc>,
) -> Result<bool, Error> {
    let hash = Opaque(Sha256::digest(challenge).to_vec());
    let row = used_challenge::Model { hash, expires_at: expires_at.into() };
    let inserted = used_challenge::Entity::insert(row.into_active_model())
        .on_conflict(OnConflict::column(used_challenge::Column::Hash).do_nothing().to_owned())
        .exec_without_returning(tx)
        .await?;
    Ok(inserted > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_challenge_holds_for_its_key_its_kind_its_server_and_its_time() {
        let keyring = Keyring::generate();
        let key = [7; 32];
        let kinds = [(Kind::CreateAlias, 600), (Kind::Login, 120), (Kind::IdTokenLogin, 600)];
        for (kind, lasts) in kinds {
            let challenge = issue(&keyring, kind, &key, at(0)).unwrap();
            let holds = |kind, key, now| verify(&keyring, kind, key, &challenge, now);
            assert_eq!(holds(kind, &key, at(0)), Some(at(lasts)));
            assert_eq!(holds(kind, &key, at(lasts - 1)), Some(at(lasts)));
            assert_eq!(holds(kind, &key, at(lasts)), None);
            assert_eq!(holds(kind, &[8; 32], at(0)), None);
            for (other, _) in kinds.into_iter().filter(|(other, _)| *other != kind) {
                assert_eq!(holds(other, &key, at(0)), None);
            }
            assert_eq!(verify(&keyring, kind, &[], &challenge, at(0)), None);
            assert_eq!(verify(&Keyring::generate(), kind, &key, &challenge, at(0)), None);
        }
    }

    #[test]
    fn a_forged_challenge_does_not_hold() {
        let keyring = Keyring::generate();
        let key = [7; 32];
        let challenge = issue(&keyring, Kind::Login, &key, at(0)).unwrap();
        assert_eq!(challenge.len(), 56);
        for byte in 0..challenge.len() {
            let mut forged = challenge.clone();
            forged[byte] ^= 1;
            assert_eq!(verify(&keyring, Kind::Login, &key, &forged, at(0)), None, "byte {byte}");
        }
        for length in 0..challenge.len() {
            assert_eq!(verify(&keyring, Kind::Login, &key, &challenge[..length], at(0)), None);
        }
        let longer = [&challenge[..], &[0]].concat();
        assert_eq!(verify(&keyring, Kind::Login, &key, &longer, at(0)), None);
    }

    #[test]
    fn no_two_challenges_are_alike() {
        let keyring = Keyring::generate();
        let issued = || issue(&keyring, Kind::Login, &[7; 32], at(0)).unwrap();
        assert_ne!(issued(), issued());
    }
}
