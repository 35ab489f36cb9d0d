use std::{fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    io::{AsyncReadExt, join},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring, pki_types::ServerName},
};

use crate::{feed_url::FeedUrl, network::Network, validator::Validator};

/// How long a fetch may take in all, from the lookup to the last byte.
const DEADLINE: Duration = Duration::from_secs(10);

/// How large a calendar may be.
const MAX_CALENDAR: usize = 1 << 20;

/// In how many pieces a calendar may come. A server that sends line by line stays below; one that sends letter by
/// letter wants work.
const MAX_PIECES: usize = 1 << 15;

/// How much is read from the socket in all: a calendar, and certificates, headers, records and answers before the
/// answer. It bounds the work that the other side can ask for outside of the calendar.
const MAX_WIRE: u64 = 5 << 18;

/// How large the head of an answer may be.
const MAX_HEAD: usize = 16 << 10;

/// How many headers an answer may have.
const MAX_HEADERS: usize = 64;

/// As calendars are published: nginx and object stores call a file whose name says nothing to them by the second or
/// the third. A page that asks for a password is none of them.
const CALENDAR_TYPES: [&str; 3] = ["text/calendar", "text/plain", "application/octet-stream"];

/// Gets calendars. It keeps whom to trust, and nothing of any fetch.
pub struct Fetcher {
    network: Network,
    tls: TlsConnector,
}

impl Fetcher {
    /// Trusts whom the system trusts. It reads files.
    pub fn new() -> Result<Self, NoTrust> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(NoTrust);
        }
        Ok(Self::through(Network::internet(), roots))
    }

    fn through(network: Network, roots: RootCertStore) -> Self {
        let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        // A ticket to resume a session would be a cookie.
        tls.resumption = Resumption::disabled();
        Self { network, tls: TlsConnector::from(Arc::new(tls)) }
    }

    /// Asks for a calendar; with a validator, for one in another state than that.
    pub async fn get(&self, url: &FeedUrl, validator: Option<&Validator>) -> Result<Fetched, FetchError> {
        timeout(DEADLINE, self.exchange(url, validator))
            .await
            .unwrap_or(Err(Cause::Timeout))
            .map_err(|cause| FetchError { cause })
    }

    async fn exchange(&self, url: &FeedUrl, validator: Option<&Validator>) -> Result<Fetched, Cause> {
        let name = ServerName::try_from(url.host().to_owned()).map_err(|_| Cause::Name)?;
        let (reader, writer) = self.network.reach(url.host()).await?.into_split();
        let wire = join(reader.take(MAX_WIRE), writer);
        let stream = self.tls.connect(name, wire).await.map_err(|_| Cause::Encryption)?;

        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Cause::Protocol)?;
        // Dropped with this future, and the connection with it.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let answer = sender.send_request(request(url, validator)?).await.map_err(|_| Cause::Protocol)?;

        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if validator.is_some() => return Ok(Fetched::Unchanged),
            status if status.is_redirection() => return Err(Cause::Redirect),
            _ => return Err(Cause::Status),
        }
        let (head, body) = answer.into_parts();
        if !holds_a_calendar(&head.headers) {
            return Err(Cause::Content);
        }
        Ok(Fetched::Calendar { bytes: read(body).await?, validator: Validator::of(&head.headers) })
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

/// The system names nobody to trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the system has no trusted certificates")]
pub struct NoTrust;

/// What a fetch brought.
#[derive(Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The calendar is in the state that the validator names.
    Unchanged,
    /// The whole of an answer that calls itself a calendar.
    Calendar {
        /// At most one mebibyte; it may still be anything.
        bytes: Vec<u8>,
        /// To be given with the next fetch.
        validator: Option<Validator>,
    },
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "Unchanged",
            Self::Calendar { .. } => "Calendar(..)",
        })
    }
}

/// A fetch that failed. Its text is the same whatever happened, and is all that whoever gave the address may learn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the calendar could not be fetched")]
pub struct FetchError {
    /// For whoever runs the server, to be counted.
    pub cause: Cause,
}

/// Where a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The name was not found.
    Name,
    /// The name leads to an address that is not public.
    Inward,
    /// No address took the connection.
    Connection,
    /// The other side is not whom the name says, or did not encrypt.
    Encryption,
    /// It took too long.
    Timeout,
    /// The answer is not HTTP, has too large a head, or broke off.
    Protocol,
    /// The answer points elsewhere.
    Redirect,
    /// The answer is that there is none.
    Status,
    /// The answer does not call itself a calendar, or is compressed.
    Content,
    /// The answer is too large, or comes in too many pieces.
    TooLarge,
}

impl Cause {
    /// The label under which it is counted.
    pub fn label(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Inward => "inward",
            Self::Connection => "connection",
            Self::Encryption => "encryption",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::Content => "content",
            Self::TooLarge => "too_large",
        }
    }
}

/// A request that says no more than it must: it names neither this product nor anybody.
fn request(url: &FeedUrl, validator: Option<&Validator>) -> Result<Request<Empty<Bytes>>, Cause> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = url.target().clone().into();
    let headers = request.headers_mut();
    headers.insert(HOST, url.host().parse().map_err(|_| Cause::Name)?);
    headers.insert(ACCEPT, HeaderValue::from_static("text/calendar, */*;q=0.1"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(USER_AGENT, HeaderValue::from_static("calendar"));
    headers.extend(validator.map(Validator::condition));
    Ok(request)
}

/// Nothing here decompresses, so nothing small becomes large. Whoever is asked for `identity` must send it.
fn holds_a_calendar(headers: &HeaderMap) -> bool {
    let is_plain = headers.get_all(CONTENT_ENCODING).iter().all(|encoding| encoding == "identity");
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    is_plain && CALENDAR_TYPES.iter().any(|known| essence.eq_ignore_ascii_case(known))
}

/// Copies as it reads: the pieces of a body keep alive the buffers they came in.
async fn read(mut body: Incoming) -> Result<Vec<u8>, Cause> {
    let mut bytes = Vec::new();
    for _ in 0..MAX_PIECES {
        let Some(frame) = body.frame().await else { return Ok(bytes) };
        // What is not data is a trailer, and says nothing.
        let Ok(data) = frame.map_err(|_| Cause::Protocol)?.into_data() else { continue };
        if bytes.len() + data.len() > MAX_CALENDAR {
            return Err(Cause::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Err(Cause::TooLarge)
}

#[cfg(test)]
mod tests;
