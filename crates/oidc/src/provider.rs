//! A provider, and the keys that it signs with at present.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use thiserror::Error;
use url::Url;

use crate::{
    http::{Http, HttpError, is_safe},
    jwk::{Algorithm, KeySet, Keys},
    token::{Claims, Expected, Refused, Unverified},
};

/// How long keys are believed; what a provider takes back ends by then.
const KEPT: TimeDelta = TimeDelta::hours(1);
/// Between two questions for keys, whatever the answer: nobody makes a provider busy with names of keys.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// Where people sign in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// The provider's address, as it calls itself: its tokens say the same, letter for letter.
    pub issuer: String,
    /// What the provider calls us.
    pub client_id: String,
    /// The certificates that vouch for the provider instead of the system's; PEM.
    pub ca_file: Option<PathBuf>,
}

/// Why a provider cannot be used with these settings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// Not an address that may be trusted.
    #[error("issuer: an https address without user, query and fragment is expected")]
    Issuer,
    /// It says nothing.
    #[error("client_id: must not be empty")]
    ClientId,
    /// Nobody is vouched for.
    #[error("ca_file: {}: no certificates in PEM can be read", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
    },
}

/// A provider that was named in the settings.
pub struct Provider {
    issuer: String,
    client_id: String,
    configuration: Url,
    pub(crate) http: Http,
    kept: Mutex<Option<Kept>>,
    /// When it was last asked for keys: only who holds this asks.
    asked: tokio::sync::Mutex<Option<DateTime<Utc>>>,
}

struct Kept {
    keys: Keys,
    since: DateTime<Utc>,
}

/// What is needed of a provider's metadata (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    jwks_uri: Url,
    #[cfg(feature = "device")]
    pub(crate) authorization_endpoint: Url,
    #[cfg(feature = "device")]
    pub(crate) token_endpoint: Url,
}

impl Provider {
    /// Reads files, and connects nowhere yet: a provider that is away keeps no server from starting.
    pub fn new(settings: &ProviderSettings) -> Result<Self, ProviderError> {
        let ProviderSettings { issuer, client_id, ca_file } = settings;
        let url: Url = issuer.parse().map_err(|_| ProviderError::Issuer)?;
        if !is_safe(&url) || url.query().is_some() {
            return Err(ProviderError::Issuer);
        }
        if client_id.is_empty() {
            return Err(ProviderError::ClientId);
        }
        let configuration = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        Ok(Self {
            issuer: issuer.clone(),
            client_id: client_id.clone(),
            configuration: configuration.parse().map_err(|_| ProviderError::Issuer)?,
            http: Http::new(ca_file.as_deref())?,
            kept: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        })
    }

    /// Its address, as it calls itself.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What it calls us.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What the provider says in an ID token that was made for the login with this nonce. Whether the nonce is one of
    /// ours, and new, the caller must know.
    pub async fn verify(&self, token: &str, nonce: &str, now: DateTime<Utc>) -> Result<Claims, Refused> {
        let token = Unverified::parse(token)?;
        let keys = self.keys(&token.key_id, token.algorithm, now).await?;
        let expected = Expected { issuer: &self.issuer, client_id: &self.client_id, nonce };
        token.verify(&keys, &expected, now)
    }

    /// Whether the provider says of itself what it must, and tells its keys, at present.
    pub async fn greet(&self) -> Result<(), HttpError> {
        self.fetch().await.map(drop)
    }

    /// What the provider says of itself, if it is the one that was named.
    pub(crate) async fn metadata(&self) -> Result<Metadata, HttpError> {
        let metadata: Metadata = self.http.get(&self.configuration).await?;
        if metadata.issuer == self.issuer { Ok(metadata) } else { Err(HttpError::Form) }
    }

    /// Keys with this one among them. Those that are kept, or else those that the provider has now: it may have a new
    /// one.
    async fn keys(&self, id: &str, algorithm: Algorithm, now: DateTime<Utc>) -> Result<Keys, Refused> {
        if let Some(keys) = self.kept(now).filter(|keys| keys.has(id, algorithm)) {
            return Ok(keys);
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have asked meanwhile.
        let kept = self.kept(now);
        if let Some(keys) = kept.as_ref().filter(|keys| keys.has(id, algorithm)) {
            return Ok(keys.clone());
        }
        if asked.is_some_and(|at| (now - at).abs() < PAUSE) {
            let away = Refused::Unavailable(HttpError::Connection);
            return Err(if kept.is_some() { Refused::Key } else { away });
        }
        *asked = Some(now);
        let keys = self.fetch().await?;
        let kept = Kept { keys: keys.clone(), since: now };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        if keys.has(id, algorithm) { Ok(keys) } else { Err(Refused::Key) }
    }

    async fn fetch(&self) -> Result<Keys, HttpError> {
        let jwks_uri = self.metadata().await?.jwks_uri;
        if !is_safe(&jwks_uri) {
            return Err(HttpError::Form);
        }
        Ok(Keys::from(self.http.get::<KeySet>(&jwks_uri).await?))
    }

    fn kept(&self, now: DateTime<Utc>) -> Option<Keys> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| (now - kept.since).abs() < KEPT).map(|kept| kept.keys.clone())
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
