//! The one format of everything sealed: `01 | kid(4) | nonce(24) | ciphertext and tag(16)`,
//! XChaCha20-Poly1305, with `01 | kid | column "|" | row` as associated data.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Tells keys apart without telling anything about them.
pub type KeyId = [u8; 4];

/// Why sealed bytes do not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// Too few bytes to be sealed at all.
    #[error("{length} bytes are too few to be sealed")]
    TooShort {
        /// How many there are.
        length: usize,
    },
    /// Sealed in a format that this version does not know.
    #[error("sealed in format {found}, which is not known")]
    Version {
        /// The format's number.
        found: u8,
    },
    /// Sealed under another key.
    #[error("sealed under key {found:02x?}, not {expected:02x?}")]
    WrongKey {
        /// The key at hand.
        expected: KeyId,
        /// The key that the bytes name.
        found: KeyId,
    },
    /// Changed since, or sealed for another column or row.
    #[error("changed, or sealed for another place")]
    Forged,
    /// Authentic, but not of the shape that belongs here.
    #[error("opened to something of another shape")]
    Shape,
}

const VERSION: u8 = 1;
const KEY_ID: usize = size_of::<KeyId>();
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + KEY_ID + NONCE;

/// A key with the id that its ciphertexts carry.
pub(crate) struct SealingKey<'a> {
    pub(crate) id: KeyId,
    pub(crate) secret: &'a [u8; 32],
}

/// Where a ciphertext belongs; it opens nowhere else.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) column: &'static str,
    pub(crate) row: [u8; 16],
}

impl SealingKey<'_> {
    pub(crate) fn seal(&self, place: Place, plaintext: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE>();
        let mut sealed = Vec::with_capacity(HEADER + plaintext.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&self.id);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend(encrypt(self.secret, &nonce, &self.associated(place), plaintext));
        sealed
    }

    pub(crate) fn open(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let length = sealed.len();
        if length < HEADER + TAG {
            return Err(OpenError::TooShort { length });
        }
        let too_short = OpenError::TooShort { length };
        let (&found, rest) = sealed.split_first().ok_or(too_short)?;
        if found != VERSION {
            return Err(OpenError::Version { found });
        }
        let (&found, rest) = rest.split_first_chunk::<KEY_ID>().ok_or(too_short)?;
        if found != self.id {
            return Err(OpenError::WrongKey { expected: self.id, found });
        }
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>().ok_or(too_short)?;
        decrypt(self.secret, nonce, &self.associated(place), ciphertext).ok_or(OpenError::Forged)
    }

    fn associated(&self, Place { column, row }: Place) -> Vec<u8> {
        [&[VERSION], &self.id[..], column.as_bytes(), b"|", &row].concat()
    }
}

/// The key that sealed bytes name, if they are long enough to name one.
pub(crate) fn key_id(sealed: &[u8]) -> Option<KeyId> {
    sealed.get(1..)?.first_chunk().copied()
}

/// Fresh randomness from the operating system, overwritten when dropped.
pub(crate) fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).expect("the operating system has randomness to give");
    bytes
}

fn encrypt(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(*nonce), Payload { msg, aad })
        .expect("memory holds less than the 256 GiB that one nonce covers")
}

fn decrypt(key: &[u8; 32], nonce: &[u8; NONCE], aad: &[u8], msg: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), Payload { msg, aad })
        .ok()
        .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::{decrypt, encrypt};
    use data_encoding::HEXLOWER;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    /// draft-irtf-cfrg-xchacha-03, A.3.1.
    #[test]
    fn the_published_vector_holds() {
        let key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
        let nonce = hex("404142434445464748494a4b4c4d4e4f5051525354555657");
        let aad: [u8; 12] = hex("50515253c0c1c2c3c4c5c6c7");
        let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let sealed = encrypt(&key, &nonce, &aad, plaintext);
        assert_eq!(
            HEXLOWER.encode(&sealed),
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
             731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
             2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
             21f9664c97637da9768812f615c68b13b52e\
             c0875924c1c7987947deafd8780acf49"
        );
        assert_eq!(&decrypt(&key, &nonce, &aad, &sealed).unwrap()[..], plaintext);
    }
}
