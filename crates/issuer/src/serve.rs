//! One listening socket, with bounds on everything that a stranger can ask for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::issuer::v1::issuer_service_server::IssuerServiceServer;
use futures_util::{Stream, StreamExt, stream};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    version::TLS13,
};
use tonic::transport::{self, Server, server::Connected};
use tonic_web::GrpcWebLayer;

use crate::{Desk, Origin, pace::Pace, scim, web::cors};

/// At a time; further clients wait in the system's queue.
const CONNECTIONS: usize = 1000;
/// Of an identity provider, which is one.
const SCIM_CONNECTIONS: usize = 100;
/// A worker makes two calls, and again what was lost: a connection that is older is cut, whether it talks or not.
const CONNECTION_AGE: Duration = Duration::from_mins(1);
/// Until a client has finished its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Of one connection, at a time.
const CALLS: u32 = 4;
/// Waiting for a turn, and signing.
const CALL_AGE: Duration = Duration::from_secs(20);
const LARGEST_HEADER: u32 = 8 << 10;
/// As many blinded messages as there may be, each of 256 bytes in a field of three more; the longest ID token, which has
/// 8 KiB; and what else is asked with.
const LARGEST_MESSAGE: usize = pass::Period::MOST_PASSES as usize * (256 + 3) + (9 << 10);
/// For answers that have begun when it is asked to stop.
const DRAIN: Duration = Duration::from_secs(15);
/// After a refusal by the system, mostly for want of file descriptors, which only time gives back.
const RETRY: Duration = Duration::from_millis(100);

/// Where to listen, and for whom.
pub struct Front {
    /// For workers' devices.
    pub workers: TcpListener,
    /// For the hospital's identity provider, by SCIM.
    pub scim: Option<TcpListener>,
    /// Web pages that may ask for passes from a browser.
    pub origins: Vec<Origin>,
    /// What to show to both; plain text without it.
    pub tls: Option<Tls>,
}

/// A certificate and its key, as PEM. Nothing older than TLS 1.3 is spoken under them.
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

/// Why serving ended before it was asked to.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A file of PEM holds no certificate, or no key.
    #[error("the certificate or its key cannot be read")]
    Pem(#[from] pem::Error),
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate and its key do not work")]
    Tls(#[from] rustls::Error),
    /// A socket failed.
    #[error("serving failed")]
    Socket(#[from] transport::Error),
}

/// Answers workers, and the identity provider if it is listened to, until `stop`; then finishes what has begun. The
/// caller owns the sockets and the signal.
pub async fn serve(desk: Arc<Desk>, front: Front, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let Front { workers, scim, origins, tls } = front;
    let tls = tls.map(acceptor).transpose()?;
    let (stopped, stopping) = watch::channel(false);
    let until = |mut stopping: watch::Receiver<bool>| async move {
        // An error means that nobody is left to say it, which says it too.
        let _ = stopping.wait_for(|stopped| *stopped).await;
    };
    let service = IssuerServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(LARGEST_MESSAGE);
    let answering = bounded()
        .layer(cors(origins))
        .layer(GrpcWebLayer::new())
        .add_service(service)
        .serve_with_incoming_shutdown(incoming(workers, tls.clone(), CONNECTIONS), until(stopping.clone()));
    let provisioning = async {
        let Some(listener) = scim else { return Ok(()) };
        let routes = scim::routes(scim::Front { desk: Arc::clone(&desk), pace: Pace::new() });
        bounded()
            .add_routes(routes.into())
            .serve_with_incoming_shutdown(incoming(listener, tls, SCIM_CONNECTIONS), until(stopping))
            .await
    };
    let mut serving = Box::pin(async { tokio::try_join!(answering, provisioning) });
    tokio::select! {
        ended = &mut serving => drop(ended?),
        () = stop => {
            stopped.send_replace(true);
            if let Ok(drained) = timeout(DRAIN, serving).await {
                drained?;
            }
        }
    }
    desk.close().await;
    Ok(())
}

/// HTTP/1.1, too: browsers without TLS and many identity providers speak nothing else.
fn bounded() -> Server {
    Server::builder()
        .max_concurrent_streams(CALLS)
        .timeout(CALL_AGE)
        .http2_max_header_list_size(LARGEST_HEADER)
        .accept_http1(true)
}

fn acceptor(tls: Tls) -> Result<TlsAcceptor, ServeError> {
    let Tls { certificate, key } = tls;
    let chain = CertificateDer::pem_slice_iter(&certificate).collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Connections, each with its place among `most`. Handshakes go on beside each other: who is slow holds up nobody.
fn incoming(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    most: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(most));
    let accepted = stream::unfold((listener, places), |(listener, places)| async move {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let stream = accept(&listener).await;
        Some(((stream, place), (listener, places)))
    });
    let secured = accepted.map(move |(stream, place)| {
        let tls = tls.clone();
        async move { Some(Ok(Connection::new(secure(stream, tls).await?, place))) }
    });
    secured.buffer_unordered(most).filter_map(std::future::ready)
}

/// Nothing, if the client does not agree on a cipher in time.
async fn secure(stream: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Socket>> {
    match tls {
        Some(tls) => Some(Box::new(timeout(HANDSHAKE, tls.accept(stream)).await.ok()?.ok()?)),
        None => Some(Box::new(stream)),
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(RETRY).await;
            }
        }
    }
}

/// A connection that ends. It does not know the client's address, so nothing behind it can keep or log it.
struct Connection {
    stream: Box<dyn Socket>,
    _place: OwnedSemaphorePermit,
    end: Pin<Box<Sleep>>,
}

/// Plain or encrypted.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Connection {
    fn new(stream: Box<dyn Socket>, place: OwnedSemaphorePermit) -> Self {
        Self { stream, _place: place, end: Box::pin(sleep(CONNECTION_AGE)) }
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use futures_util::{FutureExt, StreamExt};
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::{CONNECTION_AGE, incoming};

    /// Time moves on by itself when nobody has anything to do.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut connection = Box::pin(incoming(listener, None, 1)).next().await.unwrap().unwrap();
        let heard = timeout(2 * CONNECTION_AGE, connection.read_u8()).await.unwrap();
        assert_eq!(heard.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_beyond_the_cap_waits_until_another_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(listener, None, 1));
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = incoming.next().await.unwrap().unwrap();
        // Both are connected as far as they can see: only the cap keeps the second one waiting.
        for _ in 0..10 {
            assert!(incoming.next().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(first);
        incoming.next().await.unwrap().unwrap();
    }
}
