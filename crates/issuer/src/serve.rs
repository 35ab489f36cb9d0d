//! One listening socket, with bounds on everything that a stranger can ask for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::issuer::v1::issuer_service_server::IssuerServiceServer;
use futures_util::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep, timeout};
use tonic::transport::{Error, Server, ServerTlsConfig, server::Connected};

use crate::Desk;

/// At a time; further clients wait in the system's queue.
const CONNECTIONS: usize = 1000;
/// A worker makes two calls, and again what was lost: a connection that is older is cut, whether it talks or not.
const CONNECTION_AGE: Duration = Duration::from_mins(1);
/// Until a client has finished its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Of one connection, at a time.
const CALLS: u32 = 4;
/// Waiting for a turn, and signing.
const CALL_AGE: Duration = Duration::from_secs(20);
const LARGEST_HEADER: u32 = 8 << 10;
/// Fifty blinded messages are 13 KiB, and the longest ID token is 8 KiB.
const LARGEST_MESSAGE: usize = 22 << 10;
/// For answers that have begun when it is asked to stop.
const DRAIN: Duration = Duration::from_secs(15);
/// After a refusal by the system, mostly for want of file descriptors, which only time gives back.
const RETRY: Duration = Duration::from_millis(100);

/// Answers workers until `stop`; then finishes what has begun. The caller owns the socket and the signal.
pub async fn serve(
    desk: Arc<Desk>,
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut server = Server::builder()
        .max_concurrent_streams(CALLS)
        .timeout(CALL_AGE)
        .http2_max_header_list_size(LARGEST_HEADER);
    if let Some(tls) = tls {
        server = server.tls_config(tls.timeout(HANDSHAKE))?;
    }
    let service = IssuerServiceServer::from_arc(Arc::clone(&desk)).max_decoding_message_size(LARGEST_MESSAGE);
    let (stopped, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving =
        server.add_service(service).serve_with_incoming_shutdown(incoming(listener, CONNECTIONS), async {
            let _ = stopping.await;
        });
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => ended?,
        () = stop => {
            let _ = stopped.send(());
            if let Ok(drained) = timeout(DRAIN, serving).await {
                drained?;
            }
        }
    }
    desk.close().await;
    Ok(())
}

fn incoming(listener: TcpListener, most: usize) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(most));
    stream::unfold((listener, places), |(listener, places)| async move {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let stream = accept(&listener).await;
        Some((Ok(Connection::new(stream, place)), (listener, places)))
    })
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
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    end: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Self {
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
        let mut connection = Box::pin(incoming(listener, 1)).next().await.unwrap().unwrap();
        let heard = timeout(2 * CONNECTION_AGE, connection.read_u8()).await.unwrap();
        assert_eq!(heard.unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_beyond_the_cap_waits_until_another_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut incoming = Box::pin(incoming(listener, 1));
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
