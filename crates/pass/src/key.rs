//! The public half of an issuer's key.

use std::fmt;

use data_encoding::HEXLOWER;
use ring::signature::{RSA_PSS_2048_8192_SHA384, RsaPublicKeyComponents};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::wire::MODULUS_LENGTH;

/// SHA-256 of a [`PublicKey`] as [`PublicKey::to_spki`] writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// All of it: whoever compares less confuses keys.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for KeyId {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// An RSA key of 2048 bits and exponent 65537 that signs by RSASSA-PSS with SHA-384 and a salt of 48 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    modulus: [u8; MODULUS_LENGTH],
    id: KeyId,
}

/// Why bytes are not a key that tokens may be signed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Of another algorithm or size, or not in the one form that RFC 9578 gives it.
    #[error("not an RSASSA-PSS key of 2048 bits with SHA-384 and a salt of 48 bytes")]
    Form,
    /// The modulus is even, or has a leading zero.
    #[error("the modulus is not an odd number of 2048 bits")]
    Modulus,
    /// A small exponent makes signing by forgery easier, another than the common one tells issuers apart.
    #[error("the exponent is not 65537")]
    Exponent,
}

/// All of a SubjectPublicKeyInfo in front of the modulus: with one algorithm and one size, nothing in it varies.
const SPKI_PREFIX: [u8; 81] = [
    0x30, 0x82, 0x01, 0x52, // SEQUENCE
    0x30, 0x3d, // SEQUENCE, the algorithm
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, // id-RSASSA-PSS
    0x30, 0x30, // SEQUENCE, its parameters
    0xa0, 0x0d, 0x30, 0x0b, // the hash
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, // id-sha384
    0xa1, 0x1a, 0x30, 0x18, // the mask
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, // id-mgf1
    0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, // id-sha384
    0xa2, 0x03, 0x02, 0x01, 0x30, // a salt of 48 bytes
    0x03, 0x82, 0x01, 0x0f, 0x00, // BIT STRING, the key
    0x30, 0x82, 0x01, 0x0a, // SEQUENCE
    0x02, 0x82, 0x01, 0x01, 0x00, // INTEGER, the modulus
];
const SPKI_EXPONENT: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
const EXPONENT: [u8; 3] = [0x01, 0x00, 0x01];
const SPKI_LENGTH: usize = SPKI_PREFIX.len() + MODULUS_LENGTH + SPKI_EXPONENT.len();

impl PublicKey {
    pub(crate) fn new(modulus: [u8; MODULUS_LENGTH]) -> Result<Self, KeyError> {
        let [first, .., last] = modulus;
        if first >> 7 == 0 || last & 1 == 0 {
            return Err(KeyError::Modulus);
        }
        let mut key = Self { modulus, id: KeyId([0; 32]) };
        key.id = KeyId(Sha256::digest(key.to_spki()).into());
        Ok(key)
    }

    /// Which key it is.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The one form in which it is published, with the object identifier of RSASSA-PSS (RFC 9578, section 8.2.2).
    pub fn to_spki(&self) -> [u8; SPKI_LENGTH] {
        let mut spki = [0; SPKI_LENGTH];
        let (prefix, rest) = spki.split_at_mut(SPKI_PREFIX.len());
        let (modulus, exponent) = rest.split_at_mut(MODULUS_LENGTH);
        prefix.copy_from_slice(&SPKI_PREFIX);
        modulus.copy_from_slice(&self.modulus);
        exponent.copy_from_slice(&SPKI_EXPONENT);
        spki
    }

    #[cfg(any(feature = "client", feature = "issuer"))]
    pub(crate) fn modulus(&self) -> &[u8; MODULUS_LENGTH] {
        &self.modulus
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; MODULUS_LENGTH]) -> bool {
        RsaPublicKeyComponents { n: &self.modulus[..], e: &EXPONENT[..] }
            .verify(&RSA_PSS_2048_8192_SHA384, message, signature)
            .is_ok()
    }
}

impl TryFrom<&[u8]> for PublicKey {
    type Error = KeyError;

    fn try_from(spki: &[u8]) -> Result<Self, KeyError> {
        let key = spki.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::Form)?;
        let (modulus, exponent) = key.split_first_chunk().ok_or(KeyError::Form)?;
        if exponent.len() != SPKI_EXPONENT.len() {
            return Err(KeyError::Form);
        }
        if exponent != SPKI_EXPONENT {
            return Err(KeyError::Exponent);
        }
        Self::new(*modulus)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spki() -> Vec<u8> {
        PublicKey::new([0xff; 256]).unwrap().to_spki().to_vec()
    }

    #[test]
    fn other_keys_are_refused() {
        let check = |change: &dyn Fn(&mut Vec<u8>), expected| {
            let mut bytes = spki();
            change(&mut bytes);
            assert_eq!(PublicKey::try_from(&bytes[..]).map(|_| ()), expected);
        };
        check(&|_| (), Ok(()));
        check(&|spki| spki[81] = 0x7f, Err(KeyError::Modulus));
        check(&|spki| spki[336] = 0xfe, Err(KeyError::Modulus));
        // The exponents 3 (padded), 65536 and 65539.
        check(&|spki| spki[339..].copy_from_slice(&[0, 0, 3]), Err(KeyError::Exponent));
        check(&|spki| spki[341] = 0, Err(KeyError::Exponent));
        check(&|spki| spki[341] = 3, Err(KeyError::Exponent));
        // rsaEncryption, another salt, SHA-256 in place of SHA-384.
        check(&|spki| spki[16] = 1, Err(KeyError::Form));
        check(&|spki| spki[66] = 0x20, Err(KeyError::Form));
        check(&|spki| spki[33] = 1, Err(KeyError::Form));
        check(&|spki| spki.push(0), Err(KeyError::Form));
        check(&|spki| spki.truncate(341), Err(KeyError::Form));
        check(&|spki| spki.truncate(100), Err(KeyError::Form));
        check(&Vec::clear, Err(KeyError::Form));
    }

    proptest! {
        /// One key has one form and so one id: whatever else is read is another key.
        #[test]
        fn a_key_has_one_form(at in 0_usize..342, flip in 1_u8..=255) {
            let mut bytes = spki();
            bytes[at] ^= flip;
            if let Ok(key) = PublicKey::try_from(&bytes[..]) {
                prop_assert_eq!(&key.to_spki()[..], &bytes);
                prop_assert_ne!(key.id(), PublicKey::new([0xff; 256]).unwrap().id());
                prop_assert!((81..337).contains(&at));
            }
        }
    }
}
