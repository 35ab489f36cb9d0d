//! TLS 1.3 and nothing older, with a certificate asked of clients where they are staff.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::connection::Connection;

/// What a server shows, and asks of those who connect.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// Why a certificate, its key, or the authority of clients cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// There is no certificate in the file, or one that is not PEM.
    #[error("it holds no certificate")]
    Certificate,
    /// There is no private key in the file.
    #[error("it holds no private key")]
    Key,
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate and the key do not work: {0}")]
    Pair(#[source] rustls::Error),
    /// The authority of clients vouches for nobody.
    #[error("it holds no certificate that can vouch for clients")]
    Authority,
}

impl Tls {
    /// Shows `certificate`, both PEM. With `client_ca`, nobody is let in without a certificate that it signed.
    pub fn new(certificate: &str, key: &str, client_ca: Option<&str>) -> Result<Self, TlsError> {
        let chain = certificates(certificate).ok_or(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| TlsError::Key)?;
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Pair)?;
        let config = match client_ca {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(authority).ok_or(TlsError::Authority)? {
                    roots.add(certificate).map_err(|_| TlsError::Authority)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                config.with_client_cert_verifier(verifier.map_err(|_| TlsError::Authority)?)
            }
        };
        let mut config = config.with_single_cert(chain, key).map_err(TlsError::Pair)?;
        // Calendars are read by programs that know nothing newer than HTTP/1.1.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake, which a client must finish within a few seconds.
    pub(crate) async fn accept(&self, connection: Connection) -> io::Result<TlsStream<Connection>> {
        timeout(HANDSHAKE, self.0.accept(connection)).await?
    }
}

/// Until a client has finished its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);

fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty())
}
