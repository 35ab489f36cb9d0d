//! What RFC 9474 has the client do: encode, blind, unblind.

use sha2::{Digest, Sha384};
use zeroize::{Zeroize, Zeroizing};

use crate::modulus::{Modulus, Residue, encrypt};

const HASH_LENGTH: usize = 48;

/// A message as it goes to the issuer, and what undoes the blinding.
pub(crate) struct Blinded<const LIMBS: usize> {
    pub(crate) message: Residue<LIMBS>,
    pub(crate) inverse: Zeroizing<Residue<LIMBS>>,
}

/// EMSA-PSS (RFC 8017, section 9.1.1) with SHA-384, for a modulus of `length` full bytes.
pub(crate) fn encode_pss(message: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let hash = Sha384::new()
        .chain_update([0; 8])
        .chain_update(Sha384::digest(message))
        .chain_update(salt)
        .finalize();
    let mut encoded = Zeroizing::new(vec![0; length]);
    let (data, trailer) = encoded.split_at_mut(length - HASH_LENGTH - 1);
    let (hash_part, end) = trailer.split_at_mut(HASH_LENGTH);
    let salt_at = data.len() - salt.len();
    data[salt_at - 1] = 1;
    data[salt_at..].copy_from_slice(salt);
    for (block, counter) in data.chunks_mut(HASH_LENGTH).zip(0_u32..) {
        let mask = Sha384::new().chain_update(hash).chain_update(counter.to_be_bytes()).finalize();
        block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    // One bit less than the modulus has, so that it is below it.
    data[0] &= 0x7f;
    hash_part.copy_from_slice(&hash);
    end[0] = 0xbc;
    encoded
}

/// Blinds an encoded message by `blind`.
///
/// Nothing if either has a factor in common with the modulus. No honest key lets that happen; under a key made of
/// small primes it would happen often, and which of them divide a message would be seen through its blinding.
pub(crate) fn blind<const LIMBS: usize>(
    modulus: &Modulus<LIMBS>,
    encoded: &[u8],
    blind: &Residue<LIMBS>,
) -> Option<Blinded<LIMBS>> {
    let message = Zeroizing::new(modulus.residue(encoded)?);
    // One inversion for both: of the blind alone it would not show a factor of the message.
    let inverse = Zeroizing::new(Zeroizing::new(message.mul(blind)).invert().into_option()?);
    Some(Blinded {
        message: message.mul(&*Zeroizing::new(encrypt(blind))),
        inverse: Zeroizing::new(inverse.mul(&message)),
    })
}

/// Makes a signature of what a blind signature was asked for. Nothing if it is not below the modulus.
pub(crate) fn unblind<const LIMBS: usize>(
    modulus: &Modulus<LIMBS>,
    blind_signature: &[u8],
    inverse: &Residue<LIMBS>,
) -> Option<Residue<LIMBS>> {
    let mut blind_signature = modulus.residue(blind_signature)?;
    let signature = blind_signature.mul(inverse);
    blind_signature.zeroize();
    Some(signature)
}
