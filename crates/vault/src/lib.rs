//! Sealing at rest: a data key per alias, wrapped under the server's key.
//!
//! **Invariant:** this is the only room that touches plaintext keys. Nothing
//! here opens a file, a connection or a clock; the only thing taken from
//! outside is randomness.
//!
//! What therapists say in confidence is sealed under a key that follows from the server's.
//!
//! A server has several keys ([`Keyring`]): the first derives, the last wraps, and any between opens what it wrapped until
//! all of it is wrapped anew.
//!
//! Erasing an alias means deleting its wrapped [`DataKey`]: whatever was
//! sealed under it can then be opened by nobody, wherever it was copied.

mod data_key;
mod keyring;
mod padding;
mod sealed;

pub use data_key::DataKey;
pub use keyring::{Keyring, KeyringError, Purpose, RetireError};
pub use padding::Padding;
pub use sealed::{KeyId, OpenError};
