//! The messages of RFC 9578, section 8.2, in the fixed sizes of token type 2.

use std::fmt;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::key::KeyId;

/// The modulus of a key of token type 2, and whatever is a number modulo it.
pub(crate) const MODULUS_LENGTH: usize = 256;

/// Blind RSA with 2048 bits, the type of every token here.
const TOKEN_TYPE: [u8; 2] = [0, 2];
const INPUT_LENGTH: usize = 98;
const TOKEN_LENGTH: usize = INPUT_LENGTH + MODULUS_LENGTH;

/// Why bytes are not the message that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// Too few bytes, or too many.
    #[error("{found} bytes, not {expected}")]
    Length {
        /// What the message has.
        expected: usize,
        /// What there was.
        found: usize,
    },
    /// It ends before it is complete, goes on after that, or is not UTF-8 where it should be.
    #[error("not of this message's form")]
    Form,
    /// A token of another type, made by another protocol.
    #[error("token type {found:#06x}, not 0x0002")]
    Type {
        /// The type that it names.
        found: u16,
    },
    /// A text that is empty where it may not be, or longer than its length can say.
    #[error("a text of {found} bytes")]
    Text {
        /// How long it is.
        found: usize,
    },
    /// A challenge for one redemption alone, by which a worker could be told from the others.
    #[error("a redemption context, where all tokens have the same challenge")]
    RedemptionContext,
}

/// What a token is for, in the words of RFC 9577: the same for all workers, so that it tells nobody apart.
///
/// Its redemption context is always empty: tokens are fetched long before they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenChallenge {
    issuer_name: String,
    origin_info: String,
}

/// SHA-256 of a [`TokenChallenge`], as tokens carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChallengeDigest([u8; 32]);

impl TokenChallenge {
    /// An issuer has a name; an origin may be anybody.
    pub fn new(issuer_name: impl Into<String>, origin_info: impl Into<String>) -> Result<Self, WireError> {
        let (issuer_name, origin_info) = (issuer_name.into(), origin_info.into());
        if issuer_name.is_empty() || u16::try_from(issuer_name.len()).is_err() {
            return Err(WireError::Text { found: issuer_name.len() });
        }
        if u16::try_from(origin_info.len()).is_err() {
            return Err(WireError::Text { found: origin_info.len() });
        }
        Ok(Self { issuer_name, origin_info })
    }

    /// Who signs.
    pub fn issuer_name(&self) -> &str {
        &self.issuer_name
    }

    /// Who redeems.
    pub fn origin_info(&self) -> &str {
        &self.origin_info
    }

    /// `0x0002 | opaque16 issuer_name | opaque8 redemption_context | opaque16 origin_info`
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = TOKEN_TYPE.to_vec();
        put_opaque16(&mut bytes, self.issuer_name.as_bytes());
        bytes.push(0);
        put_opaque16(&mut bytes, self.origin_info.as_bytes());
        bytes
    }

    /// What every token for this challenge carries.
    pub(crate) fn digest(&self) -> ChallengeDigest {
        ChallengeDigest(Sha256::digest(self.to_bytes()).into())
    }
}

impl TryFrom<&[u8]> for TokenChallenge {
    type Error = WireError;

    fn try_from(mut bytes: &[u8]) -> Result<Self, WireError> {
        expect_type(take(&mut bytes)?)?;
        let issuer_name = take_opaque16(&mut bytes)?;
        let [context_length] = take(&mut bytes)?;
        if context_length != 0 {
            return Err(WireError::RedemptionContext);
        }
        let origin_info = take_opaque16(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(WireError::Form);
        }
        Self::new(text(issuer_name)?, text(origin_info)?)
    }
}

/// The random number that makes a token the one that it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nonce(pub(crate) [u8; 32]);

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(..)")
    }
}

/// What a token's authenticator signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenInput {
    pub(crate) nonce: Nonce,
    pub(crate) challenge_digest: ChallengeDigest,
    pub(crate) key_id: KeyId,
}

impl TokenInput {
    /// `0x0002 | nonce[32] | challenge_digest[32] | token_key_id[32]`
    pub(crate) fn to_bytes(self) -> [u8; INPUT_LENGTH] {
        let mut bytes = [0; INPUT_LENGTH];
        bytes[..2].copy_from_slice(&TOKEN_TYPE);
        bytes[2..34].copy_from_slice(&self.nonce.0);
        bytes[34..66].copy_from_slice(&self.challenge_digest.0);
        bytes[66..].copy_from_slice(self.key_id.as_bytes());
        bytes
    }
}

impl TryFrom<&[u8]> for TokenInput {
    type Error = WireError;

    fn try_from(mut bytes: &[u8]) -> Result<Self, WireError> {
        expect_length(bytes, INPUT_LENGTH)?;
        expect_type(take(&mut bytes)?)?;
        Ok(Self {
            nonce: Nonce(take(&mut bytes)?),
            challenge_digest: ChallengeDigest(take(&mut bytes)?),
            key_id: KeyId::from(take(&mut bytes)?),
        })
    }
}

/// One right to a session: whoever has these bytes can spend them, once.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub(crate) input: TokenInput,
    pub(crate) authenticator: [u8; MODULUS_LENGTH],
}

impl Token {
    /// The key that is said to have signed it.
    pub fn key_id(&self) -> KeyId {
        self.input.key_id
    }

    /// `TokenInput[98] | authenticator[256]`
    pub fn to_bytes(&self) -> [u8; TOKEN_LENGTH] {
        let mut bytes = [0; TOKEN_LENGTH];
        bytes[..INPUT_LENGTH].copy_from_slice(&self.input.to_bytes());
        bytes[INPUT_LENGTH..].copy_from_slice(&self.authenticator);
        bytes
    }
}

impl TryFrom<&[u8]> for Token {
    type Error = WireError;

    fn try_from(bytes: &[u8]) -> Result<Self, WireError> {
        expect_length(bytes, TOKEN_LENGTH)?;
        let (input, mut authenticator) = bytes.split_at(INPUT_LENGTH);
        Ok(Self { input: input.try_into()?, authenticator: take(&mut authenticator)? })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("key_id", &self.input.key_id).finish_non_exhaustive()
    }
}

/// What a client asks an issuer to sign, which says nothing about the token that comes of it.
#[derive(Clone, PartialEq, Eq)]
pub struct BlindedMessage(pub(crate) [u8; MODULUS_LENGTH]);

/// An issuer's answer to a [`BlindedMessage`].
#[derive(Clone, PartialEq, Eq)]
pub struct BlindSignature(pub(crate) [u8; MODULUS_LENGTH]);

/// A client's request. The RFC names the key by the last byte of its id, which twenty keys are enough to share;
/// here it is the whole id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The key that shall sign.
    pub key_id: KeyId,
    /// What it shall sign.
    pub blinded_message: BlindedMessage,
}

/// A number modulo a key, big-endian, as bytes on the wire.
macro_rules! number {
    ($name:ident) => {
        impl $name {
            /// Big-endian.
            pub fn as_bytes(&self) -> &[u8; MODULUS_LENGTH] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = WireError;

            fn try_from(mut bytes: &[u8]) -> Result<Self, WireError> {
                expect_length(bytes, MODULUS_LENGTH)?;
                Ok(Self(take(&mut bytes)?))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

number!(BlindedMessage);
number!(BlindSignature);

/// Takes the first `N` bytes away.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(WireError::Form)?;
    *bytes = rest;
    Ok(*taken)
}

/// Takes away a text's length, in two bytes, and the text.
pub(crate) fn take_opaque16<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], WireError> {
    let length = u16::from_be_bytes(take(bytes)?);
    let (taken, rest) = bytes.split_at_checked(length.into()).ok_or(WireError::Form)?;
    *bytes = rest;
    Ok(taken)
}

pub(crate) fn put_opaque16(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u16::try_from(text.len()).expect("no text is made that is longer than two bytes can say");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text);
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, WireError> {
    str::from_utf8(bytes).map_err(|_| WireError::Form)
}

fn expect_length(bytes: &[u8], expected: usize) -> Result<(), WireError> {
    let found = bytes.len();
    if found == expected { Ok(()) } else { Err(WireError::Length { expected, found }) }
}

fn expect_type(found: [u8; 2]) -> Result<(), WireError> {
    if found == TOKEN_TYPE { Ok(()) } else { Err(WireError::Type { found: u16::from_be_bytes(found) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_challenge_is_read_in_one_form_alone() {
        let check = |bytes: &[u8], expected: Result<(&str, &str), WireError>| {
            let read = TokenChallenge::try_from(bytes);
            let read = read.as_ref().map(|read| (read.issuer_name(), read.origin_info())).map_err(|e| *e);
            assert_eq!(read, expected, "{bytes:?}");
        };
        check(b"\0\x02\0\x01i\0\0\x01o", Ok(("i", "o")));
        check(b"\0\x02\0\x01i\0\0\0", Ok(("i", "")));
        check(b"\0\x02\0\0\0\0\x01o", Err(WireError::Text { found: 0 }));
        check(b"\0\x01\0\x01i\0\0\x01o", Err(WireError::Type { found: 1 }));
        check(b"\0\x02\0\x01i\x01c\0\x01o", Err(WireError::RedemptionContext));
        check(b"\0\x02\0\x01i\0\0\x01o!", Err(WireError::Form));
        check(b"\0\x02\0\x01i\0\0\x02o", Err(WireError::Form));
        check(b"\0\x02\0\x01\xff\0\0\x01o", Err(WireError::Form));
        check(b"\0\x02\0\x01i\0\0", Err(WireError::Form));
        check(b"\0\x02\0\x01i", Err(WireError::Form));
        check(b"\0", Err(WireError::Form));
        check(b"", Err(WireError::Form));
    }

    #[test]
    fn a_text_is_no_longer_than_its_length_can_say() {
        let long = "a".repeat(1 << 16);
        let refused = Err(WireError::Text { found: 1 << 16 });
        assert_eq!(TokenChallenge::new(&long, ""), refused);
        assert_eq!(TokenChallenge::new("i", &long), refused);
        assert!(TokenChallenge::new(&long[1..], &long[1..]).is_ok());
    }

    /// privacy.md 10: whatever is logged, no token is in it.
    #[test]
    fn what_is_secret_is_not_shown() {
        let token = Token::try_from(&[&[0, 2], &[0xab; 352][..]].concat()[..]).unwrap();
        let shown = format!(
            "{token:?} {:?} {:?} {:?}",
            token.input,
            BlindedMessage([0xcd; 256]),
            BlindSignature([0xef; 256])
        );
        let shown = shown
            .replace(&format!("{:?}", token.key_id()), "")
            .replace(&format!("{:?}", token.input.challenge_digest), "");
        for secret in ["abab", "171, 171", "cdcd", "205", "efef", "239"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn a_challenge_is_what_its_bytes_say(issuer in "\\PC{1,40}", origin in "\\PC{0,40}") {
            let challenge = TokenChallenge::new(issuer, origin).unwrap();
            prop_assert_eq!(TokenChallenge::try_from(&challenge.to_bytes()[..]), Ok(challenge));
        }

        /// Whatever comes, it is refused or read, and what is read is written the same.
        #[test]
        fn bytes_have_one_meaning_at_most(mut bytes in prop::collection::vec(any::<u8>(), 0..360), typed: bool) {
            if let (true, Some(start)) = (typed, bytes.first_chunk_mut()) {
                *start = TOKEN_TYPE;
            }
            if let Ok(challenge) = TokenChallenge::try_from(&bytes[..]) {
                prop_assert_eq!(&challenge.to_bytes(), &bytes);
            }
            prop_assert_eq!(TokenInput::try_from(&bytes[..]).is_ok(), typed && bytes.len() == 98);
            prop_assert_eq!(BlindedMessage::try_from(&bytes[..]).is_ok(), bytes.len() == 256);
            prop_assert_eq!(BlindSignature::try_from(&bytes[..]).is_ok(), bytes.len() == 256);
        }

        #[test]
        fn tokens_have_one_length(length in prop_oneof![Just(354_usize), 0_usize..800]) {
            let mut bytes = vec![7; length];
            bytes.iter_mut().zip(TOKEN_TYPE).for_each(|(byte, of_type)| *byte = of_type);
            match Token::try_from(&bytes[..]) {
                Ok(token) => prop_assert_eq!(&token.to_bytes()[..], &bytes),
                Err(refused) => prop_assert_eq!(refused, WireError::Length { expected: 354, found: length }),
            }
        }
    }
}
