//! The secret beside the database, under which everything that could name a worker is hashed.
//!
//! Staff numbers are short: a plain hash of them could be undone by trying all. The
//! hospital knows them anyway; what is kept here is so that a stolen database does not
//! list who was invited, and who came.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::code::Code;

/// HMAC-SHA256 under the secret.
pub(crate) type Hash = [u8; 32];

pub(crate) struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    pub(crate) fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).expect("the operating system has randomness to give");
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(HEXLOWER.decode(text.trim_end().as_bytes()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    pub(crate) fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(HEXLOWER.encode(self.0.as_ref()) + "\n")
    }

    /// Tells secrets apart.
    pub(crate) fn id(&self) -> Hash {
        self.hash(b"respite-issuer/secret/v1", b"")
    }

    pub(crate) fn worker(&self, employee_id: &str) -> Hash {
        self.hash(b"respite-issuer/worker/v1", employee_id.as_bytes())
    }

    pub(crate) fn code(&self, code: &Code) -> Hash {
        self.hash(b"respite-issuer/code/v1", code.symbols())
    }

    pub(crate) fn nonce(&self, bytes: &[u8]) -> Hash {
        self.hash(b"respite-issuer/nonce/v1", bytes)
    }

    /// Whether `code` was made here for these bytes, in time that does not depend on the answer.
    pub(crate) fn made_nonce(&self, bytes: &[u8], code: &[u8]) -> bool {
        self.mac(b"respite-issuer/nonce/v1", bytes).verify_slice(code).is_ok()
    }

    /// In small letters, since RFC 7643 has names that differ in nothing else be the same.
    pub(crate) fn user_name(&self, name: &str) -> Hash {
        self.hash(b"respite-issuer/scim-user-name/v1", name.to_lowercase().as_bytes())
    }

    pub(crate) fn external_id(&self, id: &str) -> Hash {
        self.hash(b"respite-issuer/scim-external-id/v1", id.as_bytes())
    }

    pub(crate) fn scim_token(&self, token: &str) -> Hash {
        self.hash(b"respite-issuer/scim-token/v1", token.as_bytes())
    }

    /// No context begins another, so that no two of them hash the same.
    fn hash(&self, context: &[u8], bytes: &[u8]) -> Hash {
        self.mac(context, bytes).finalize().into_bytes().into()
    }

    fn mac(&self, context: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_ref()).expect("a key may have any length");
        mac.chain_update(context).chain_update(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;
    use crate::code::Code;

    #[test]
    fn a_hash_depends_on_the_secret_and_on_what_it_is_of() {
        let [one, other] = [Secret::generate(), Secret::generate()];
        let code = Code::generate();
        let symbols = str::from_utf8(code.symbols()).unwrap();
        assert_eq!(one.worker(symbols), one.worker(symbols));
        assert_ne!(one.worker(symbols), other.worker(symbols));
        assert_ne!(one.worker(symbols), one.code(&code));
        assert_ne!(one.worker(""), one.id());
    }

    #[test]
    fn what_is_written_is_read() {
        let secret = Secret::generate();
        assert_eq!(Secret::parse(&secret.to_text()).unwrap().id(), secret.id());
        let text = secret.to_text();
        for wrong in ["", &text[1..], &text[2..], &format!("{}00", text.trim_end()), &text.replace('\n', "x")]
        {
            assert!(Secret::parse(wrong).is_none());
        }
    }
}
