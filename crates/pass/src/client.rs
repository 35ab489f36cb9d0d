//! The worker's device: asks for tokens in a form that tells nothing, and makes tokens of the answers.

use std::fmt;

use crypto_bigint::U2048;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    blinding::{Blinded, blind, encode_pss, unblind},
    directory::{Directory, NotIssuing, ProgrammeId},
    key::{KeyId, PublicKey},
    modulus::{Modulus, Residue, to_be_bytes},
    wire::{
        BlindSignature, BlindedMessage, ChallengeDigest, MODULUS_LENGTH, Nonce, Token, TokenInput,
        TokenRequest, WireError, take,
    },
};

const LIMBS: usize = U2048::LIMBS;
const SALT_LENGTH: usize = 48;
const PENDING_LENGTH: usize = 98 + 2 * MODULUS_LENGTH;

/// Asks for tokens under one key, which a public log lists.
pub struct Client {
    key: PublicKey,
    pub(crate) modulus: Modulus<LIMBS>,
    pub(crate) challenge_digest: ChallengeDigest,
}

/// A token that an issuer has yet to sign. Whoever has it can link the request with the token.
pub struct PendingToken {
    input: TokenInput,
    blinded_message: BlindedMessage,
    inverse: Zeroizing<[u8; MODULUS_LENGTH]>,
}

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FinalizeError {
    /// What is pending was asked for under another key.
    #[error("pending under key {pending:?}")]
    OtherKey {
        /// The key it was asked for under.
        pending: KeyId,
    },
    /// The answer is no signature of what was asked for: the issuer failed, or tries to tell workers apart.
    #[error("not a signature of what was asked for")]
    Signature,
}

impl Client {
    /// For the key that an issuer says it signs with. A key that the log does not list, or lists for another
    /// programme or time, is refused before anything is blinded: it might be this worker's alone.
    pub fn new(
        directory: &Directory,
        programme: ProgrammeId,
        key_id: KeyId,
        now: i64,
    ) -> Result<Self, NotIssuing> {
        let record = directory.issuing(programme, key_id, now)?;
        let modulus = Modulus::new(&U2048::from_be_slice(record.key.modulus()))
            .expect("the modulus of a public key is odd");
        Ok(Self { key: record.key.clone(), modulus, challenge_digest: record.challenge.digest() })
    }

    /// One more token, from fresh randomness.
    pub fn blind(&self) -> PendingToken {
        // Under an honest key, the first is as good as certain to do. Under any other, those are left out that would
        // show through.
        loop {
            let (nonce, salt) = (random(), random());
            if let Some(pending) = self.blind_with(Nonce(*nonce), &salt, &self.modulus.random()) {
                return pending;
            }
        }
    }

    /// Makes the token, and shows that it is one. What is pending stays so: a bad answer may be followed by a good one.
    pub fn finalize(
        &self,
        pending: &PendingToken,
        blind_signature: &BlindSignature,
    ) -> Result<Token, FinalizeError> {
        let PendingToken { input, inverse, .. } = pending;
        if input.key_id != self.key.id() {
            return Err(FinalizeError::OtherKey { pending: input.key_id });
        }
        let inverse =
            self.modulus.residue(&inverse[..]).map(Zeroizing::new).ok_or(FinalizeError::Signature)?;
        let signature = unblind(&self.modulus, blind_signature.as_bytes(), &inverse);
        let authenticator = to_be_bytes(&signature.ok_or(FinalizeError::Signature)?);
        if !self.key.verifies(&input.to_bytes(), &authenticator) {
            return Err(FinalizeError::Signature);
        }
        Ok(Token { input: *input, authenticator })
    }

    pub(crate) fn blind_with(
        &self,
        nonce: Nonce,
        salt: &[u8; SALT_LENGTH],
        factor: &Residue<LIMBS>,
    ) -> Option<PendingToken> {
        let input = TokenInput { nonce, challenge_digest: self.challenge_digest, key_id: self.key.id() };
        let encoded = encode_pss(&input.to_bytes(), salt, MODULUS_LENGTH);
        let Blinded { message, inverse } = blind(&self.modulus, &encoded, factor)?;
        Some(PendingToken {
            input,
            blinded_message: BlindedMessage(to_be_bytes(&message)),
            inverse: Zeroizing::new(to_be_bytes(&inverse)),
        })
    }
}

impl PendingToken {
    /// What goes to the issuer: the same whenever it is sent again.
    pub fn request(&self) -> TokenRequest {
        TokenRequest { key_id: self.input.key_id, blinded_message: self.blinded_message.clone() }
    }

    /// `TokenInput[98] | blinded_message[256] | inverse[256]`, to be kept on the device until the answer is there.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(PENDING_LENGTH));
        bytes.extend_from_slice(&self.input.to_bytes());
        bytes.extend_from_slice(self.blinded_message.as_bytes());
        bytes.extend_from_slice(&self.inverse[..]);
        bytes
    }
}

impl TryFrom<&[u8]> for PendingToken {
    type Error = WireError;

    fn try_from(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.len() != PENDING_LENGTH {
            return Err(WireError::Length { expected: PENDING_LENGTH, found: bytes.len() });
        }
        let (input, mut rest) = bytes.split_at(PENDING_LENGTH - 2 * MODULUS_LENGTH);
        Ok(Self {
            input: input.try_into()?,
            blinded_message: BlindedMessage(take(&mut rest)?),
            inverse: Zeroizing::new(take(&mut rest)?),
        })
    }
}

impl fmt::Debug for PendingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingToken").field("key_id", &self.input.key_id).finish_non_exhaustive()
    }
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).expect("the operating system has randomness to give");
    bytes
}
