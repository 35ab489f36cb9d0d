//! Client connections before anything is understood of them: how many, of one network too, and how long they may do
//! nothing, or last.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, StreamExt, future, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::bounds::Turns;
use crate::config::Limits;
use crate::networks::{Entered, Networks};
use crate::tls::Tls;

/// Accepts at most `limits.connections` at once, and of those with `tls` the ones that finish the handshake.
///
/// Handshakes go on side by side, and each has its place among the connections: whoever is slow with theirs keeps
/// nobody else waiting.
pub(crate) fn incoming(
    listener: TcpListener,
    limits: &Limits,
    tls: Option<Tls>,
    networks: Option<Arc<Networks>>,
) -> impl Stream<Item = io::Result<Transport>> + use<> {
    let secured = move |connection| {
        let tls = tls.clone();
        async move {
            match tls {
                None => Some(Transport::Plain(connection)),
                // A client that is not let in learns why by an alert; it is nobody that a log should tell of.
                Some(tls) => tls.accept(connection).await.ok().map(Box::new).map(Transport::Tls),
            }
        }
    };
    accepted(listener, limits, networks)
        .map(secured)
        .buffer_unordered(limits.connections.get())
        .filter_map(|transport| future::ready(transport.map(Ok)))
}

/// Accepts at most `limits.connections` at once; further clients wait in the system's queue.
fn accepted(
    listener: TcpListener,
    limits: &Limits,
    networks: Option<Arc<Networks>>,
) -> impl Stream<Item = Connection> + use<> {
    let places = Arc::new(Semaphore::new(limits.connections.get()));
    // A live client answers a sign of life within the interval and its grace.
    let silence = limits.keepalive() * 2;
    let patience =
        Patience { opening: limits.request().min(silence), silence, whole: limits.connection_age() * 3 };
    let limits = limits.clone();
    stream::unfold(
        (listener, places, limits, networks),
        move |(listener, places, limits, networks)| async move {
            let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            let (stream, entered) = accept(&listener, networks.as_ref()).await;
            let turns = Turns::new(&limits, entered.as_ref().map(Entered::spot));
            let connection =
                Connection { _entered: entered, ..Connection::new(stream, place, turns, patience) };
            Some((connection, (listener, places, limits, networks)))
        },
    )
}

/// A client's connection, which ends when the client says nothing or takes nothing for too long, and at an age at which
/// it was asked to leave long ago.
///
/// It does not know the client's address, so nothing behind it can keep or log it; only that its network has one
/// connection more.
pub(crate) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    _entered: Option<Entered>,
    turns: Turns,
    opened_at: Instant,
    heard_bytes: usize,
    heard_at: Instant,
    patience: Patience,
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, turns: Turns, patience: Patience) -> Self {
        let now = Instant::now();
        Self {
            stream,
            _place: place,
            _entered: None,
            turns,
            opened_at: now,
            heard_bytes: 0,
            heard_at: now,
            patience,
            alarm: Box::pin(sleep_until(now + patience.opening.min(patience.whole))),
        }
    }

    /// When the connection ends, if nothing happens until then.
    fn deadline(&self) -> Instant {
        let Patience { opening, silence, whole } = self.patience;
        // Whoever drips what opens a connection gains nothing by it.
        let heard =
            if self.heard_bytes < PREFACE { self.opened_at + opening } else { self.heard_at + silence };
        heard.min(self.opened_at + whole)
    }

    /// Ready when the deadline has passed.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let deadline = self.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(late());
            }
            self.alarm.as_mut().reset(deadline);
        }
    }

    /// What came of an attempt to write, or the end of a client that takes nothing: nobody listens to it meanwhile.
    fn written(
        &mut self,
        outcome: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_pending() { self.poll_deadline(context).map(Err) } else { outcome }
    }
}

impl Connected for Connection {
    type ConnectInfo = Turns;

    fn connect_info(&self) -> Turns {
        self.turns.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                self.heard_bytes = self.heard_bytes.saturating_add(buffer.filled().len() - before);
                self.heard_at = Instant::now();
                // Whoever never pauses would never be asked.
                Poll::Ready(if self.heard_at < self.opened_at + self.patience.whole {
                    outcome
                } else {
                    Err(late())
                })
            }
            Poll::Pending => self.poll_deadline(context).map(Err),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What calls come through, encrypted or not.
pub(crate) enum Transport {
    Plain(Connection),
    Tls(Box<TlsStream<Connection>>),
}

impl Connected for Transport {
    type ConnectInfo = Turns;

    fn connect_info(&self) -> Turns {
        match self {
            Self::Plain(connection) => connection.connect_info(),
            Self::Tls(stream) => stream.get_ref().0.connect_info(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(connection) => connection.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(connection) => Pin::new(connection).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// How long a client is waited for.
#[derive(Clone, Copy)]
struct Patience {
    /// Until it has said which protocol it speaks; no longer than what follows, since the alarm is only ever put off.
    opening: Duration,
    /// From then on, while nothing is heard of it: it says nothing, or takes nothing of what it has to be told first.
    silence: Duration,
    /// Whatever it does: who drips headers, or takes answers byte by byte, seems alive. Three times the age at which it
    /// is asked to leave, which by default is more than the longest answer, a watch of a quarter of an hour.
    whole: Duration,
}

/// What says it: the 24 bytes that open HTTP/2, which are fewer than any HTTP/1 call takes.
const PREFACE: usize = 24;
/// After a refusal by the system, mostly for want of file descriptors, which only time gives back.
const RETRY: Duration = Duration::from_millis(100);

fn late() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

/// Accepts a connection of a network that has not enough of them, which is the last that is known of its address.
async fn accept(listener: &TcpListener, networks: Option<&Arc<Networks>>) -> (TcpStream, Option<Entered>) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let entered = networks.map(|networks| networks.enter(client.ip()));
                if let Some(None) = entered {
                    continue;
                }
                // An answer is one small write: waiting for more would only delay it.
                if stream.set_nodelay(true).is_ok() {
                    return (stream, entered.flatten());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use futures_util::{FutureExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    use super::{Connection, Limits, PREFACE, Patience, Turns, incoming};

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    const PATIENT: Patience = Patience {
        opening: Duration::from_hours(1),
        silence: Duration::from_hours(1),
        whole: Duration::from_hours(1),
    };

    async fn connect(patience: Patience) -> (TcpStream, Connection) {
        let (listener, address) = listen().await;
        let client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
        (client, Connection::new(stream, place, Turns::new(&Limits::default(), None), patience))
    }

    /// A client that sends `bytes` and then nothing is cut off when `waited` is over, and not before.
    async fn check_cut_off(bytes: usize, patience: Patience, waited: Duration) {
        let start = Instant::now();
        let (mut client, mut connection) = connect(patience).await;
        client.write_all(&vec![0; bytes]).await.unwrap();
        connection.read_exact(&mut vec![0; bytes]).await.unwrap();
        assert_eq!(connection.read_u8().await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= waited);
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_drips_is_cut_off() {
        let opening = Duration::from_millis(50);
        let patience = Patience { opening, ..PATIENT };
        check_cut_off(0, patience, opening).await;
        check_cut_off(PREFACE - 1, patience, opening).await;
    }

    #[tokio::test]
    async fn a_client_that_spoke_may_think_for_longer() {
        let silence = Duration::from_millis(300);
        let patience = Patience { opening: Duration::from_millis(50), silence, ..PATIENT };
        check_cut_off(PREFACE, patience, silence).await;
    }

    #[tokio::test]
    async fn a_client_that_always_speaks_is_cut_off_at_last() {
        let patience = Patience { whole: Duration::from_millis(50), ..PATIENT };
        let (mut client, mut connection) = connect(patience).await;
        let speaks = tokio::spawn(async move { while client.write_all(&[0; 1024]).await.is_ok() {} });
        let mut heard = [0; 1024];
        let ended = loop {
            if let Err(ended) = connection.read(&mut heard).await {
                break ended;
            }
        };
        assert_eq!(ended.kind(), ErrorKind::TimedOut);
        drop(connection);
        speaks.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_cut_off() {
        let soon = Duration::from_millis(50);
        let patience = Patience { opening: soon, silence: soon, ..PATIENT };
        let (mut client, mut connection) = connect(patience).await;
        client.write_all(&[0; PREFACE]).await.unwrap();
        connection.read_exact(&mut [0; PREFACE]).await.unwrap();
        let ended = loop {
            if let Err(ended) = connection.write_all(&[0; 1024]).await {
                break ended;
            }
        };
        assert_eq!(ended.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_beyond_the_cap_waits_until_another_leaves() {
        let (listener, address) = listen().await;
        let limits = Limits { connections: 1.try_into().unwrap(), ..Limits::default() };
        let mut incoming = Box::pin(incoming(listener, &limits, None, None));
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
