//! The provider's keys (RFC 7517), and what they signed (RFC 7518, RFC 8037).
//!
//! An algorithm belongs to a kind of key: `none` and the symmetric ones are not in the list, so that nobody can sign with
//! what everybody may read.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;

/// More keys than these are not looked at.
const MOST: usize = 64;

/// How an ID token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "PS256")]
    Ps256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA", alias = "Ed25519")]
    EdDsa,
}

/// The keys that may sign; others that the provider has are left out.
#[derive(Clone, Default)]
pub(crate) struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    /// What it says of itself: then for nothing else.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A set of keys as the provider publishes it.
#[derive(Deserialize)]
pub(crate) struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<serde_json::Value>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl From<KeySet> for Keys {
    /// A key of an unknown kind does not make the others useless.
    fn from(KeySet { keys }: KeySet) -> Self {
        let known = |key| serde_json::from_value::<Jwk>(key).ok().and_then(Key::read);
        Self(keys.into_iter().take(MOST).filter_map(known).collect())
    }
}

impl Keys {
    /// Whether one of them has this name and may sign in this way.
    pub(crate) fn has(&self, id: &str, algorithm: Algorithm) -> bool {
        self.named(id, algorithm).next().is_some()
    }

    /// Whether the one of that name signed `message`.
    pub(crate) fn verify(&self, id: &str, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.named(id, algorithm).any(|key| key.material.signed(algorithm, message, signature))
    }

    fn named<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| key.id == id && key.fits(algorithm))
    }
}

impl Key {
    fn read(jwk: Jwk) -> Option<Self> {
        let Jwk { kty, kid, purpose, alg, crv, n, e, x, y } = jwk;
        if purpose.is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        // One for an algorithm that is not ours is not for ours.
        let algorithm = alg.map(serde_json::from_value).transpose().ok()?;
        let bytes = |text: Option<String>| BASE64URL_NOPAD.decode(text?.as_bytes()).ok();
        let material = match (kty.as_str(), crv.as_deref()) {
            ("RSA", _) => Material::Rsa { n: bytes(n)?, e: bytes(e)? },
            ("EC", Some("P-256")) => Material::P256([vec![4], bytes(x)?, bytes(y)?].concat()),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(x)?),
            _ => return None,
        };
        Some(Self { id: kid?, algorithm, material })
    }

    fn fits(&self, wanted: Algorithm) -> bool {
        let kind = matches!(
            (&self.material, wanted),
            (Material::Rsa { .. }, Algorithm::Rs256 | Algorithm::Ps256)
                | (Material::P256(_), Algorithm::Es256)
                | (Material::Ed25519(_), Algorithm::EdDsa)
        );
        kind && self.algorithm.is_none_or(|own| own == wanted)
    }
}

impl Material {
    /// A modulus of fewer than 2048 bits signs nothing.
    fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self {
            Self::Rsa { n, e } => {
                let parameters: &RsaParameters = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            Self::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}
