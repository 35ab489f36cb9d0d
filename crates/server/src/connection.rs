//! Client connections before anything is understood of them: how many, and how long they may say nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tonic::transport::server::Connected;

use crate::config::Limits;

/// Accepts at most `limits.connections` at once; further clients wait in the system's queue.
pub(crate) fn incoming(
    listener: TcpListener,
    limits: &Limits,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let places = Arc::new(Semaphore::new(limits.connections.get()));
    // A live client answers a sign of life within the interval and its grace.
    let silence = limits.keepalive() * 2;
    stream::unfold((listener, places), move |(listener, places)| async move {
        let place = Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
        let stream = accept(&listener).await;
        Some((Ok(Connection::new(stream, place, silence)), (listener, places)))
    })
}

/// A client's connection, which ends when the client says nothing for too long.
///
/// It does not know the client's address, so nothing behind it can keep or log it.
pub(crate) struct Connection {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
    heard_bytes: usize,
    heard_at: Instant,
    silence: Duration,
    alarm: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit, silence: Duration) -> Self {
        let now = Instant::now();
        Self {
            stream,
            _place: place,
            heard_bytes: 0,
            heard_at: now,
            silence,
            alarm: Box::pin(sleep_until(now + OPENING)),
        }
    }

    /// Ready when the client has been silent for too long.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.alarm.as_mut().poll(context));
            let deadline = self.heard_at + self.silence;
            if self.heard_bytes < PREFACE || deadline <= Instant::now() {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(deadline);
        }
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
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(outcome) => {
                self.heard_bytes = self.heard_bytes.saturating_add(buffer.filled().len() - before);
                self.heard_at = Instant::now();
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                ready!(self.poll_silence(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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

/// A client that opens a connection says within this time which protocol it speaks.
const OPENING: Duration = Duration::from_secs(10);
/// What it says at least: the 24 bytes that open HTTP/2, which are fewer than any HTTP/1 call takes.
const PREFACE: usize = 24;
/// After a refusal by the system, mostly for want of file descriptors, which only time gives back.
const RETRY: Duration = Duration::from_millis(100);

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // An answer is one small write: waiting for more would only delay it.
                if stream.set_nodelay(true).is_ok() {
                    return stream;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                sleep(RETRY).await;
            }
        }
    }
}
