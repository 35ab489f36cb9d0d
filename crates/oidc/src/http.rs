//! The one way to the provider: bounded in time and size, without redirects, proxies, cookies and compression.

use std::{path::Path, sync::Arc, time::Duration};

use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use url::{Host, Url};

use crate::provider::ProviderError;

/// How long a request may take in all.
const DEADLINE: Duration = Duration::from_secs(5);
/// How large an answer may be; the largest sets of keys in use have some ten kilobytes.
const MAX_BODY: usize = 128 << 10;
/// How large the head of an answer may be.
const MAX_HEAD: usize = 32 << 10;

/// Why a provider did not answer as it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// Nobody took the connection.
    #[error("the provider cannot be reached")]
    Connection,
    /// The other side is not whom the name says, or does not encrypt.
    #[error("the provider's certificate is not trusted")]
    Encryption,
    /// It took too long.
    #[error("the provider did not answer in time")]
    Timeout,
    /// The answer is not HTTP, or broke off, or is too large.
    #[error("the provider's answer breaks off or is too large")]
    Protocol,
    /// The answer is not 200.
    #[error("the provider answers {0}")]
    Status(u16),
    /// The answer is not the JSON that it must be.
    #[error("the provider's answer has another form than OpenID Connect says")]
    Form,
}

pub(crate) struct Http {
    tls: TlsConnector,
}

impl Http {
    /// Trusts whom the system trusts, or whom the file names instead.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, ProviderError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(path) => {
                let refused = || ProviderError::CaFile { path: path.to_owned() };
                for certificate in CertificateDer::pem_file_iter(path).map_err(|_| refused())? {
                    roots.add(certificate.map_err(|_| refused())?).map_err(|_| refused())?;
                }
                if roots.is_empty() {
                    return Err(refused());
                }
            }
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(tls)) })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, url: &Url) -> Result<T, HttpError> {
        self.send(url, Method::GET, Bytes::new()).await
    }

    /// Sends a form.
    #[cfg(feature = "device")]
    pub(crate) async fn post<T: DeserializeOwned>(&self, url: &Url, form: String) -> Result<T, HttpError> {
        self.send(url, Method::POST, form.into()).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        url: &Url,
        method: Method,
        body: Bytes,
    ) -> Result<T, HttpError> {
        let answer = timeout(DEADLINE, self.exchange(url, method, body)).await;
        let bytes = answer.unwrap_or(Err(HttpError::Timeout))?;
        serde_json::from_slice(&bytes).map_err(|_| HttpError::Form)
    }

    async fn exchange(&self, url: &Url, method: Method, body: Bytes) -> Result<Bytes, HttpError> {
        let host = url.host().ok_or(HttpError::Connection)?;
        let port = url.port_or_known_default().ok_or(HttpError::Connection)?;
        let connected = match &host {
            Host::Domain(name) => TcpStream::connect((*name, port)).await,
            Host::Ipv4(address) => TcpStream::connect((*address, port)).await,
            Host::Ipv6(address) => TcpStream::connect((*address, port)).await,
        };
        let stream = connected.map_err(|_| HttpError::Connection)?;
        let request = request(url, method, body)?;
        if url.scheme() == "http" {
            return talk(stream, request).await;
        }
        let name = match host {
            Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| HttpError::Encryption)?,
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(address)),
        };
        talk(self.tls.connect(name, stream).await.map_err(|_| HttpError::Encryption)?, request).await
    }
}

/// Whether an address may be talked to: encrypted, or on this machine alone.
pub(crate) fn is_safe(url: &Url) -> bool {
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return false,
    };
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && here))
}

fn request(url: &Url, method: Method, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
    let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = target.parse().map_err(|_| HttpError::Protocol)?;
    let headers = request.headers_mut();
    headers.insert(HOST, host.parse().map_err(|_| HttpError::Protocol)?);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    if method == Method::POST {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    }
    *request.method_mut() = method;
    Ok(request)
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, HttpError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| HttpError::Protocol)?;
    // Dropped with this future, and the connection with it.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let answer = sender.send_request(request).await.map_err(|_| HttpError::Protocol)?;
    if answer.status() != StatusCode::OK {
        return Err(HttpError::Status(answer.status().as_u16()));
    }
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    Ok(body.map_err(|_| HttpError::Protocol)?.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_talked_to_in_the_clear() {
        let check = |url: &str, expected| assert_eq!(is_safe(&url.parse().unwrap()), expected, "{url}");
        check("https://login.hospital.example/realms/staff", true);
        check("https://login.hospital.example:8443", true);
        check("http://localhost:4000", true);
        check("http://127.0.0.1:4000/", true);
        check("http://[::1]:4000/", true);
        check("http://login.hospital.example", false);
        check("http://localhost.hospital.example", false);
        check("http://10.0.0.1", false);
        check("https://user@login.hospital.example", false);
        check("https://:secret@login.hospital.example", false);
        check("https://login.hospital.example#part", false);
        check("ftp://localhost", false);
        check("file:///etc/passwd", false);
    }
}
