//! X25519 keys that notes are sealed to.

use std::fmt;

use hpke::{Deserializable, Kem, Serializable, kem::X25519HkdfSha256};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What opens notes: a therapist's device has one, and a worker's follows from the phrase. It is never sent.
pub struct NotesKey {
    pub(crate) private: <X25519HkdfSha256 as Kem>::PrivateKey,
    public: PublicKey,
}

/// What notes are sealed to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl NotesKey {
    /// Draws a new key from the operating system.
    pub fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).expect("the operating system has randomness to give");
        Self::from_seed(&seed)
    }

    /// The key that follows from `seed`: `DeriveKeyPair` of RFC 9180, section 7.1.3.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let (private, public) = X25519HkdfSha256::derive_keypair(seed);
        Self { private, public: PublicKey(public.to_bytes().into()) }
    }

    /// The half that others may have.
    pub fn public(&self) -> PublicKey {
        self.public
    }
}

impl PublicKey {
    /// The key with these bytes; to one with which nothing can be sealed, nothing is.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it is sent.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// What people compare, read aloud or on two screens: 64 bits in four groups.
    ///
    /// Who wants another key with the same one has to try for centuries, and before the session.
    pub fn fingerprint(self) -> String {
        let groups = self.id();
        let groups = groups.as_chunks::<2>().0.iter();
        groups.map(|[a, b]| format!("{a:02x}{b:02x}")).collect::<Vec<_>>().join(" ")
    }

    /// What a sealed note says about whom it is for: the first 8 bytes of the key's SHA-256.
    pub(crate) fn id(self) -> [u8; 8] {
        *Sha256::digest(self.0).first_chunk().expect("32 bytes have a first 8")
    }

    pub(crate) fn to_hpke(self) -> <X25519HkdfSha256 as Kem>::PublicKey {
        Deserializable::from_bytes(&self.0)
            .expect("any 32 bytes are an X25519 public key (RFC 7748, section 5)")
    }
}

impl fmt::Debug for NotesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NotesKey(..)")
    }
}

/// A worker's key is as good as a name to whoever sees it twice.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(..)")
    }
}
