//! The hospital: makes a key, and signs what it can't read.

use std::fmt;

use crypto_bigint::{U1024, U2048, Uint};
use crypto_primes::{Flavor, random_prime};
use getrandom::{SysRng, rand_core::UnwrapErr};
use pkcs1::{RsaPrivateKeyRef, UintRef};
use pkcs8::{
    PrivateKeyInfoRef, SecretDocument,
    der::{
        Decode,
        asn1::OctetStringRef,
        pem::{LineEnding, PemLabel},
    },
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    key::{KeyId, PublicKey},
    modulus::to_be_bytes,
    signing::PrivateKey,
    wire::{BlindSignature, MODULUS_LENGTH, TokenRequest},
};

const EXPONENT: [u8; 3] = [1, 0, 1];

/// Signs tokens with one key: there is one for each programme and period.
pub struct Issuer {
    pub(crate) key: PrivateKey<{ U1024::LIMBS }, { U2048::LIMBS }>,
    public: PublicKey,
}

/// Why a text is not an issuer's key. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PrivateKeyError {
    /// Not PEM, not PKCS#8, or not of an RSA key.
    #[error("not an RSA key in PKCS#8 and PEM")]
    Form,
    /// Of another size or exponent, or of numbers that do not belong together.
    #[error("not a key of 2048 bits with the exponent 65537, or damaged")]
    Key,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IssueError {
    /// It asks for another key.
    #[error("asked for key {asked:?}")]
    OtherKey {
        /// The key that it names.
        asked: KeyId,
    },
    /// No client blinds to a number above the key.
    #[error("not a number below the key")]
    OutOfRange,
    /// The machine miscalculated. The answer was thrown away, since it could give the key away.
    #[error("the signature came out wrong")]
    Fault,
}

impl Issuer {
    /// A fresh key.
    pub fn generate() -> Self {
        loop {
            let mut random = UnwrapErr(SysRng);
            let [p, q] =
                [(); 2].map(|()| Zeroizing::new(random_prime(&mut random, Flavor::Any, U1024::BITS)));
            if let Some(key) = PrivateKey::new(&p, &q) {
                return Self::new(key);
            }
        }
    }

    /// Reads PKCS#8 in PEM, as OpenSSL writes it: the modulus and its primes, from which all else follows.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, PrivateKeyError> {
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| PrivateKeyError::Form)?;
        PrivateKeyInfoRef::validate_pem_label(label).map_err(|_| PrivateKeyError::Form)?;
        let info: PrivateKeyInfoRef<'_> = document.decode_msg().map_err(|_| PrivateKeyError::Form)?;
        if info.algorithm != pkcs1::ALGORITHM_ID {
            return Err(PrivateKeyError::Form);
        }
        let file =
            RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).map_err(|_| PrivateKeyError::Form)?;
        let half = |number: UintRef<'_>| {
            (number.as_bytes().len() == U1024::BYTES)
                .then(|| Zeroizing::new(U1024::from_be_slice(number.as_bytes())))
        };
        let (p, q) = half(file.prime1).zip(half(file.prime2)).ok_or(PrivateKeyError::Key)?;
        let issuer = PrivateKey::new(&p, &q).map(Self::new).ok_or(PrivateKeyError::Key)?;
        let belongs =
            file.modulus.as_bytes() == issuer.modulus() && file.public_exponent.as_bytes() == EXPONENT;
        if belongs { Ok(issuer) } else { Err(PrivateKeyError::Key) }
    }

    /// Writes it, ready for a file that only the issuer reads.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        let PrivateKey { p, q, coefficient, .. } = &self.key;
        let order = |prime: &U1024| prime.wrapping_sub(&U1024::ONE);
        let orders: Zeroizing<U2048> =
            Zeroizing::new(order(p.number()).concatenating_mul(&order(q.number())));
        let private_exponent = U2048::from_u32(65537)
            .invert_mod(&orders.to_nz().expect_copied("no prime is one"))
            .expect_copied("each prime's order has an inverse");
        let private_exponent = be_bytes(&private_exponent);
        let [prime1, prime2, exponent1, exponent2, coefficient] =
            [*p.number(), *q.number(), p.exponent, q.exponent, coefficient.retrieve()].map(|n| be_bytes(&n));
        let file = RsaPrivateKeyRef {
            modulus: integer(self.modulus()),
            public_exponent: integer(&EXPONENT),
            private_exponent: integer(&private_exponent),
            prime1: integer(&prime1),
            prime2: integer(&prime2),
            exponent1: integer(&exponent1),
            exponent2: integer(&exponent2),
            coefficient: integer(&coefficient),
            other_prime_infos: None,
        };
        let file = SecretDocument::encode_msg(&file).expect("nine short integers are a message");
        let octets = OctetStringRef::new(file.as_bytes()).expect("a short string");
        SecretDocument::encode_msg(&PrivateKeyInfoRef::new(pkcs1::ALGORITHM_ID, octets))
            .and_then(|document| document.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF))
            .expect("a short message is text")
    }

    /// What is published.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs, whatever it is: who may ask, and how often, is decided before.
    pub fn issue(&self, request: &TokenRequest) -> Result<BlindSignature, IssueError> {
        if request.key_id != self.public.id() {
            return Err(IssueError::OtherKey { asked: request.key_id });
        }
        let message = self.key.modulus.residue(request.blinded_message.as_bytes());
        let signature =
            self.key.sign(&message.ok_or(IssueError::OutOfRange)?).map_err(|_| IssueError::Fault)?;
        Ok(BlindSignature(to_be_bytes(&signature)))
    }

    fn new(key: PrivateKey<{ U1024::LIMBS }, { U2048::LIMBS }>) -> Self {
        let public = PublicKey::new(key.modulus.to_be_bytes());
        Self { key, public: public.expect("a product of two odd numbers, and of 2048 bits") }
    }

    fn modulus(&self) -> &[u8; MODULUS_LENGTH] {
        self.public.modulus()
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("public_key", &self.public).finish_non_exhaustive()
    }
}

fn be_bytes<const LIMBS: usize>(number: &Uint<LIMBS>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Zeroizing::new(number.to_be_bytes()).as_slice().to_vec())
}

fn integer(bytes: &[u8]) -> UintRef<'_> {
    UintRef::new(bytes).expect("a short number")
}
