//! Ed25519 as strictly as it can be checked: no key of small order, one encoding per signature.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::{error::Error, field};

/// The 64 bytes of a signature.
pub(super) fn parse(bytes: &[u8], field: &str) -> Result<Signature, Error> {
    if bytes.is_empty() {
        return Err(field::required(field));
    }
    Signature::from_slice(bytes).map_err(|_| field::malformed(field, "the 64 bytes of an Ed25519 signature"))
}

/// Whether whoever holds `key` signed `message`.
pub(super) fn verify(key: &[u8; 32], message: &[u8], signature: &Signature) -> bool {
    VerifyingKey::from_bytes(key).is_ok_and(|key| key.verify_strict(message, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    #[test]
    fn a_signature_is_of_one_key_over_one_message() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key().to_bytes();
        let signed = key.sign(b"message");
        assert!(verify(&public, b"message", &signed));
        assert!(!verify(&public, b"massage", &signed));
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
        assert!(!verify(&other, b"message", &signed));
        for byte in 0..64 {
            let mut changed = signed.to_bytes();
            changed[byte] ^= 1;
            assert!(!verify(&public, b"message", &Signature::from_bytes(&changed)), "byte {byte}");
        }
    }

    /// With a key of small order, one signature holds for every message.
    #[test]
    fn a_key_of_small_order_signs_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let signature = Signature::from_bytes(&[&identity[..], &[0; 32]].concat().try_into().unwrap());
        assert!(!verify(&identity, b"message", &signature));
    }

    #[test]
    fn a_signature_has_64_bytes() {
        assert!(parse(&[0; 64], "signature").is_ok());
        for length in [0, 1, 63, 65] {
            assert!(parse(&vec![0; length], "signature").is_err(), "{length}");
        }
    }
}
