//! What an ID token says, once it may be believed.

use std::{collections::HashMap, fmt};

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::Value;
use thiserror::Error;

use crate::{
    http::HttpError,
    jwk::{Algorithm, Keys},
};

/// Tokens with the groups of many years are large, and this is more.
const LONGEST: usize = 8 << 10;
/// How far two clocks may be apart.
const LEEWAY: TimeDelta = TimeDelta::minutes(1);
/// What a provider may call somebody (OpenID Connect Core, section 2).
const LONGEST_SUBJECT: usize = 255;

/// What the provider says of somebody who signed in just now.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    subject: String,
    others: HashMap<String, Value>,
}

/// Why a token is not believed. It never says what is in the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is not a signed token with the claims that each must have.
    #[error("not an ID token")]
    Malformed,
    /// It is signed in a way that is not among ours, or says what must be understood and is not.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// The provider has no such key.
    #[error("the provider has no such key")]
    Key,
    /// The key did not sign this.
    #[error("the signature is wrong")]
    Signature,
    /// Another provider's.
    #[error("another provider's token")]
    Issuer,
    /// For another client.
    #[error("for another client")]
    Audience,
    /// It has ended, or not begun.
    #[error("not in force now")]
    Time,
    /// It was not made for this login.
    #[error("for another login")]
    Nonce,
    /// The provider does not tell its keys.
    #[error("keys: {0}")]
    Unavailable(#[from] HttpError),
}

/// A token whose signature is still to be checked.
pub(crate) struct Unverified<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: String,
    signed: &'a [u8],
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// What a token must say of itself.
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
}

impl Claims {
    /// Who it is, by a name that the provider gives to nobody else.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Another claim, if it is a text that says something; `sub` is the subject.
    pub fn text(&self, name: &str) -> Option<&str> {
        match name {
            "sub" => Some(&self.subject),
            _ => self.others.get(name)?.as_str().filter(|text| !text.is_empty()),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims(..)")
    }
}

#[derive(Deserialize)]
struct Header {
    alg: Value,
    kid: Option<String>,
    /// Extensions that must be understood (RFC 7515, section 4.1.11): we know none.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    nonce: Option<String>,
    #[serde(flatten)]
    others: HashMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refused> {
        if token.len() > LONGEST {
            return Err(Refused::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Refused::Malformed);
        let Header { alg, kid, crit } =
            serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Malformed)?;
        let algorithm = serde_json::from_value(alg).map_err(|_| Refused::Algorithm)?;
        if crit.is_some() {
            return Err(Refused::Algorithm);
        }
        Ok(Self {
            algorithm,
            key_id: kid.ok_or(Refused::Key)?,
            signed: signed.as_bytes(),
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// The claims, read after the signature holds (OpenID Connect Core, section 3.1.3.7).
    pub(crate) fn verify(
        self,
        keys: &Keys,
        expected: &Expected<'_>,
        now: DateTime<Utc>,
    ) -> Result<Claims, Refused> {
        let Self { algorithm, key_id, signed, payload, signature } = self;
        if !keys.verify(&key_id, algorithm, signed, &signature) {
            return Err(Refused::Signature);
        }
        let Payload { iss, sub, aud, azp, exp, iat, nbf, nonce, others } =
            serde_json::from_slice(&payload).map_err(|_| Refused::Malformed)?;
        let Expected { issuer, client_id, nonce: expected_nonce } = *expected;
        if iss != issuer {
            return Err(Refused::Issuer);
        }
        let (named, alone) = match &aud {
            Audience::One(one) => (one == client_id, true),
            Audience::Many(many) => (many.iter().any(|one| one == client_id), many.len() == 1),
        };
        // A token for several must say which of them asked.
        if !named || azp.map_or(!alone, |azp| azp != client_id) {
            return Err(Refused::Audience);
        }
        let instant = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(Refused::Malformed);
        let begun = instant(nbf.map_or(iat, |nbf| nbf.max(iat)))?;
        if begun > now + LEEWAY || instant(exp)? <= now - LEEWAY {
            return Err(Refused::Time);
        }
        if nonce.as_deref() != Some(expected_nonce) {
            return Err(Refused::Nonce);
        }
        if sub.is_empty() || sub.len() > LONGEST_SUBJECT {
            return Err(Refused::Malformed);
        }
        Ok(Claims { subject: sub, others })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jwk::KeySet;

    fn encoded(part: &str) -> String {
        BASE64URL_NOPAD.encode(part.as_bytes())
    }

    proptest! {
        /// Whatever a stranger brings and whatever a provider answers, nothing is believed and nobody falls over.
        #[test]
        fn any_text_is_refused(
            text in "\\PC{0,80}|[A-Za-z0-9_-]{0,40}([.][A-Za-z0-9_-]{0,40}){1,3}",
            header in "[{]\"alg\":\"(RS256|PS256|ES256|EdDSA|none)\",\"kid\":\"[ab]\"[}]|\\PC{0,40}",
            payload in "\\PC{0,40}",
            signature in prop::collection::vec(any::<u8>(), 0..70),
            material in "[A-Za-z0-9_-]{0,90}",
        ) {
            let keys = serde_json::json!({ "keys": [
                { "kty": "RSA", "kid": "a", "n": material, "e": material },
                { "kty": "EC", "crv": "P-256", "kid": "a", "x": material, "y": material },
                { "kty": "OKP", "crv": "Ed25519", "kid": "b", "x": material },
                material,
            ]});
            let keys = Keys::from(serde_json::from_value::<KeySet>(keys).unwrap());
            let expected = Expected { issuer: "i", client_id: "c", nonce: "n" };
            let signature = BASE64URL_NOPAD.encode(&signature);
            for token in [text, format!("{}.{}.{signature}", encoded(&header), encoded(&payload))] {
                if let Ok(unverified) = Unverified::parse(&token) {
                    let refused = unverified.verify(&keys, &expected, DateTime::UNIX_EPOCH).unwrap_err();
                    prop_assert_eq!(refused, Refused::Signature);
                }
            }
        }
    }
}
