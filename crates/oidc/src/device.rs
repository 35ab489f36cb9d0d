//! What an app does on somebody's device (RFC 8252): the browser goes to the provider and comes back with a code, which
//! is traded for an ID token. There is no client secret, since an app can keep none, but a proof that who trades the code
//! is who asked for it (RFC 7636).

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use url::{Url, form_urlencoded};

use crate::{
    http::{HttpError, is_safe},
    provider::Provider,
};

/// A login that has begun in a browser.
pub struct Authorization {
    /// Where the browser goes.
    pub url: Url,
    redirect_uri: String,
    token_endpoint: Url,
    state: String,
    verifier: String,
}

/// Why a login in the browser ends without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// The operating system has no randomness to give.
    #[error("no randomness")]
    Randomness,
    /// The browser came back from elsewhere, or with another login's answer.
    #[error("the browser came back with another login's answer")]
    OtherLogin,
    /// The person, or the provider, said no.
    #[error("the login was refused")]
    Refused,
    /// The provider did not answer as it must.
    #[error(transparent)]
    Provider(#[from] HttpError),
}

impl Authorization {
    /// Begins a login whose token will say `nonce`; the browser comes back to `redirect_uri`.
    pub async fn begin(provider: &Provider, redirect_uri: &str, nonce: &str) -> Result<Self, DeviceError> {
        let metadata = provider.metadata().await?;
        if !is_safe(&metadata.authorization_endpoint) || !is_safe(&metadata.token_endpoint) {
            return Err(HttpError::Form.into());
        }
        let [state, verifier] = [random()?, random()?];
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(&verifier));
        let mut url = metadata.authorization_endpoint;
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", provider.client_id()),
            ("redirect_uri", redirect_uri),
            ("scope", "openid"),
            ("state", &state),
            ("nonce", nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        let token_endpoint = metadata.token_endpoint;
        Ok(Self { url, redirect_uri: redirect_uri.to_owned(), token_endpoint, state, verifier })
    }

    /// The ID token for what the browser came back with. A provider that says who it is must be this one (RFC 9207).
    pub async fn finish(self, provider: &Provider, returned: &Url) -> Result<String, DeviceError> {
        let answer = |name: &str| {
            let mut pairs = returned.query_pairs();
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let from_elsewhere = answer("iss").is_some_and(|iss| iss != provider.issuer());
        if answer("state").as_ref() != Some(&self.state) || from_elsewhere {
            return Err(DeviceError::OtherLogin);
        }
        let code = answer("code").ok_or(DeviceError::Refused)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", &self.redirect_uri),
                ("client_id", provider.client_id()),
                ("code_verifier", &self.verifier),
            ])
            .finish();
        let Tokens { id_token } = provider.http.post(&self.token_endpoint, form).await?;
        Ok(id_token)
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorization(..)")
    }
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
}

/// 256 bits, as a text of 43 characters.
fn random() -> Result<String, DeviceError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|_| DeviceError::Randomness)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}
