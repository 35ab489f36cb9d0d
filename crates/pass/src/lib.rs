//! Unlinkable passes: Privacy Pass (RFC 9578), token type 2, on blind RSA (RFC 9474).
//!
//! **Invariant:** nothing here opens a file or a connection or asks what time it
//! is, and it names no other crate of the house. The only thing taken from
//! outside is randomness.
//!
//! A hospital's `Issuer` signs what a worker's `Client` blinded, and
//! [`origin::redeem`] accepts what the client made of it. Issuer and origin can
//! put all that they saw together: each request fits each token equally well.
//! What could still tell workers apart, a key or a challenge of one's own, is
//! ruled out by the [`Directory`], the public log of all keys.
//!
//! Who redeems takes no feature and compiles no signing: `Client` comes with
//! the feature `client`, `Issuer` with `issuer`.

#[cfg(feature = "client")]
mod blinding;
#[cfg(feature = "client")]
mod client;
mod directory;
#[cfg(feature = "issuer")]
mod issuer;
mod key;
#[cfg(any(feature = "client", feature = "issuer"))]
mod modulus;
pub mod origin;
#[cfg(feature = "issuer")]
mod signing;
#[cfg(test)]
mod tests;
mod wire;

#[cfg(feature = "client")]
pub use client::{Client, FinalizeError, PendingToken};
pub use directory::{
    Directory, Head, KeyRecord, KeyState, LogError, NotIssuing, Period, ProgrammeId, Schedule,
};
#[cfg(feature = "issuer")]
pub use issuer::{IssueError, Issuer, PrivateKeyError};
pub use key::{KeyError, KeyId, PublicKey};
pub use wire::{BlindSignature, BlindedMessage, Token, TokenChallenge, TokenRequest, WireError};
