//! The secret behind an alias, and the twelve words a person writes down.

use std::fmt;

use bip39::{Language, Mnemonic};
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

const SALT: &[u8] = b"respite/alias/v1";
const LOGIN: &[u8] = b"login-ed25519";
#[cfg(feature = "notes")]
const NOTES: &[u8] = b"notes-x25519";

/// 128 random bits that never leave the device. Who has them has the alias; who loses them has lost it.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct Secret([u8; 16]);

/// Why words are not a phrase. Tells the word's place and never the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PhraseError {
    /// A phrase has twelve words.
    #[error("a phrase has twelve words, not {count}")]
    Length {
        /// How many there are.
        count: usize,
    },
    /// A word is not in the English list of BIP39.
    #[error("word {place} is not in the list; is it misspelt?")]
    UnknownWord {
        /// Counted from 1.
        place: usize,
    },
    /// Every word is known, and together they are no phrase.
    #[error("the words do not belong together; is one of them wrong, or in another place?")]
    Checksum,
}

impl Secret {
    /// Draws a new secret from the operating system.
    pub fn generate() -> Self {
        let mut secret = Self([0; 16]);
        getrandom::fill(&mut secret.0).expect("the operating system has randomness to give");
        secret
    }

    /// The secret as twelve English words (BIP39), to be written on paper.
    pub fn to_phrase(&self) -> Zeroizing<String> {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &self.0)
            .expect("128 bits are a length that BIP39 allows");
        Zeroizing::new(mnemonic.to_string())
    }

    /// Reads twelve words back, whatever their case and the space between them.
    pub fn parse(phrase: &str) -> Result<Self, PhraseError> {
        let phrase = Zeroizing::new(phrase.to_lowercase());
        let count = phrase.split_whitespace().count();
        if count != 12 {
            return Err(PhraseError::Length { count });
        }
        let mnemonic =
            Mnemonic::parse_in(Language::English, phrase.as_str()).map_err(|error| match error {
                bip39::Error::UnknownWord(index) => PhraseError::UnknownWord { place: index + 1 },
                _ => PhraseError::Checksum,
            })?;
        let entropy = Zeroizing::new(mnemonic.to_entropy());
        let secret = entropy.as_slice().try_into().expect("twelve words are 128 bits");
        Ok(Self(secret))
    }

    /// The key that the alias signs in with; the server knows its public half alone.
    pub fn login_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.seed(LOGIN))
    }

    /// The key that opens what is sealed for the worker, on any device with the phrase.
    #[cfg(feature = "notes")]
    pub fn notes_key(&self) -> notes::NotesKey {
        notes::NotesKey::from_seed(&self.seed(NOTES))
    }

    fn seed(&self, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(Some(SALT), &self.0)
            .expand(purpose, seed.as_mut())
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        seed
    }
}

impl From<[u8; 16]> for Secret {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::{PhraseError, Secret};
    use data_encoding::HEXLOWER;

    /// The 128-bit vectors published with BIP39.
    #[test]
    fn published_phrases_go_both_ways() {
        for (bytes, phrase) in [
            (
                "00000000000000000000000000000000",
                "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
            ),
            (
                "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
                "legal winner thank year wave sausage worth useful legal winner thank yellow",
            ),
            (
                "80808080808080808080808080808080",
                "letter advice cage absurd amount doctor acoustic avoid letter advice cage above",
            ),
            ("ffffffffffffffffffffffffffffffff", "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong"),
            (
                "9e885d952ad362caeb4efe34a8e91bd2",
                "ozone drill grab fiber curtain grace pudding thank cruise elder eight picnic",
            ),
            (
                "c0ba5a8e914111210f2bd131f3d5e08d",
                "scheme spot photo card baby mountain device kick cradle pact join borrow",
            ),
            (
                "23db8160a31d3e0dca3688ed941adbf3",
                "cat swing flag economy stadium alone churn speed unique patch report train",
            ),
            (
                "f30f8c1da665478f49b001d94c5fc452",
                "vessel ladder alter error federal sibling chat ability sun glass valve picture",
            ),
        ] {
            let secret = secret(bytes);
            assert_eq!(*secret.to_phrase(), phrase);
            assert_eq!(Secret::parse(phrase), Ok(secret));
        }
    }

    #[test]
    fn a_phrase_is_read_as_people_type_it() {
        let typed = "  Legal WINNER thank\nyear wave sausage  worth useful legal winner thank yellow ";
        assert_eq!(Secret::parse(typed), Ok(secret("7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f")));
    }

    #[test]
    fn a_wrong_phrase_says_where_and_not_what() {
        let words = "legal winner thank year wave sausage worth useful legal winner thank yellow";
        assert_eq!(Secret::parse("legal winner"), Err(PhraseError::Length { count: 2 }));
        assert_eq!(
            Secret::parse(&format!("{words} {words}")),
            Err(PhraseError::Length { count: 24 }),
            "a phrase of 256 bits is somebody else's"
        );
        assert_eq!(Secret::parse(&words.replace("wave", "wafe")), Err(PhraseError::UnknownWord { place: 5 }));
        assert_eq!(Secret::parse(&words.replace("yellow", "winner")), Err(PhraseError::Checksum));
    }

    /// Computed with HKDF and Ed25519 of Python's `cryptography` 50 from the bytes 00 to 0f.
    #[test]
    fn the_login_key_is_the_one_the_contract_describes() {
        let key = secret("000102030405060708090a0b0c0d0e0f").login_key();
        assert_eq!(
            HEXLOWER.encode(key.as_bytes()),
            "75e9a13394fbf279c98f9972861bbeb04b20dc26a3b0674b4a51433a788f03c9"
        );
        assert_eq!(
            HEXLOWER.encode(key.verifying_key().as_bytes()),
            "3e60254657a57e02ed4d729df167eae885a9f275c82ca963a980ae4a162f584d"
        );
    }

    /// Computed with HMAC of Python's standard library and the ladder of RFC 7748 written out, from the bytes 00 to 0f.
    #[cfg(feature = "notes")]
    #[test]
    fn the_notes_key_is_the_one_the_contract_describes() {
        let key = secret("000102030405060708090a0b0c0d0e0f").notes_key();
        assert_eq!(
            HEXLOWER.encode(&key.public().to_bytes()),
            "b87664b15b2467cbe05d3ba8d241fcc7c90692584f7a9e1bb471666b8f3a3615"
        );
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::generate()), "Secret(..)");
    }

    fn secret(hex: &str) -> Secret {
        let bytes: [u8; 16] = HEXLOWER.decode(hex.as_bytes()).unwrap().try_into().unwrap();
        Secret::from(bytes)
    }
}
