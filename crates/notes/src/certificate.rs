//! Whose device a key is: the practice says so, with a key that no server has.
//!
//! ```text
//! signature = Ed25519 over "respite/device-key/v1" || 0x00 || therapist id (16) || public key (32) || expiry (8)
//! ```

use ed25519_dalek::{Signature, Signer};
use thiserror::Error;

use crate::PublicKey;

/// What the practice signs with by `respite-practice`; it is kept offline, and used when a therapist has a new device or a
/// year is over.
pub use ed25519_dalek::SigningKey as PracticeKey;
/// What devices know the practice by; it comes with the app, and never from the server.
pub use ed25519_dalek::VerifyingKey as PracticePublicKey;

/// A device's key and what the practice says of it, as the server carries it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Of the device.
    pub public_key: [u8; 32],
    /// When the practice's word ends, in Unix seconds.
    pub expires_at: i64,
    /// The practice's.
    pub signature: [u8; 64],
}

/// The key of a therapist's device, as the practice has signed it; there is no other way to have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceKey(PublicKey);

/// Why a key is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// No practice that this device knows has signed this key for this therapist.
    #[error("the practice has not signed this key for this therapist")]
    Signature,
    /// The practice's word has ended.
    #[error("the key has expired")]
    Expired,
}

impl Certificate {
    /// What the practice does when it has seen the therapist with their device, and compared the fingerprint.
    pub fn sign(practice: &PracticeKey, therapist: [u8; 16], key: &PublicKey, expires_at: i64) -> Self {
        let public_key = key.to_bytes();
        let signature = practice.sign(&statement(therapist, public_key, expires_at)).to_bytes();
        Self { public_key, expires_at, signature }
    }

    /// The key, if one of the `practices` that are known has signed it for this therapist, and it is before the end.
    pub fn verify(
        &self,
        practices: &[PracticePublicKey],
        therapist: [u8; 16],
        now: i64,
    ) -> Result<DeviceKey, CertificateError> {
        let statement = statement(therapist, self.public_key, self.expires_at);
        let signature = Signature::from_bytes(&self.signature);
        if !practices.iter().any(|practice| practice.verify_strict(&statement, &signature).is_ok()) {
            return Err(CertificateError::Signature);
        }
        if now >= self.expires_at {
            return Err(CertificateError::Expired);
        }
        Ok(DeviceKey(PublicKey::from_bytes(self.public_key)))
    }
}

impl DeviceKey {
    /// What was signed; its fingerprint is the therapist's to confirm.
    pub fn public(self) -> PublicKey {
        self.0
    }
}

fn statement(therapist: [u8; 16], public_key: [u8; 32], expires_at: i64) -> Vec<u8> {
    [&b"respite/device-key/v1\0"[..], &therapist, &public_key, &expires_at.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: [u8; 16] = [1; 16];
    const EXPIRY: i64 = 1_800_000_000;

    fn check(
        change: impl FnOnce(&mut Certificate),
        therapist: [u8; 16],
        now: i64,
    ) -> Result<(), CertificateError> {
        let practice = PracticeKey::from_bytes(&[7; 32]);
        let mut certificate = Certificate::sign(&practice, ADA, &PublicKey::from_bytes([9; 32]), EXPIRY);
        change(&mut certificate);
        let known = [PracticeKey::from_bytes(&[6; 32]).verifying_key(), practice.verifying_key()];
        certificate.verify(&known, therapist, now).map(|_| ())
    }

    #[test]
    fn a_key_is_believed_as_it_was_signed_and_no_other() {
        use CertificateError as E;
        assert_eq!(check(|_| {}, ADA, EXPIRY - 1), Ok(()));
        assert_eq!(check(|_| {}, ADA, EXPIRY), Err(E::Expired));
        assert_eq!(check(|_| {}, [2; 16], 0), Err(E::Signature));
        assert_eq!(check(|c| c.public_key[31] ^= 1, ADA, 0), Err(E::Signature));
        assert_eq!(check(|c| c.expires_at += 1, ADA, 0), Err(E::Signature));
        for byte in 0..64 {
            assert_eq!(check(|c| c.signature[byte] ^= 1, ADA, 0), Err(E::Signature), "byte {byte}");
        }
        assert_eq!(check(|c| c.signature = [0; 64], ADA, 0), Err(E::Signature));
    }

    #[test]
    fn who_knows_no_practice_believes_nobody() {
        let practice = PracticeKey::from_bytes(&[7; 32]);
        let certificate = Certificate::sign(&practice, ADA, &PublicKey::from_bytes([9; 32]), EXPIRY);
        let stranger = PracticeKey::from_bytes(&[8; 32]).verifying_key();
        for known in [&[][..], &[stranger]] {
            assert_eq!(certificate.verify(known, ADA, 0), Err(CertificateError::Signature));
        }
    }
}
