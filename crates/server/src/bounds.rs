//! How much is worked on at once for one connection, how long a call may take, and how long its answer waits.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt, stream};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use prost::bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use crate::config::Limits;

/// The turns of one connection: each call takes one until all that it is told at once was taken.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self(Arc::new(Semaphore::new(limits.requests_per_connection.get())))
    }

    fn take(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.0).try_acquire_owned()
    }
}

/// Refuses calls for which their connection has no turn left, and gives up those that take too long, and answers that
/// nobody takes.
///
/// Tonic's own limits stand outside of every layer: browsers could not read what they refuse, and nothing would
/// measure it.
#[derive(Clone, Copy)]
pub(crate) struct BoundsLayer {
    patience: Duration,
}

impl BoundsLayer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { patience: limits.request() }
    }
}

impl<S> Layer<S> for BoundsLayer {
    type Service = Bounds<S>;

    fn layer(&self, inner: S) -> Bounds<S> {
        Bounds { inner, patience: self.patience }
    }
}

/// The service that [`BoundsLayer`] makes.
#[derive(Clone)]
pub(crate) struct Bounds<S> {
    inner: S,
    patience: Duration,
}

impl<S> Service<Request<Body>> for Bounds<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // Whatever listens gives every connection its turns; a service called without a socket has no limit.
        let Ok(turn) = request.extensions().get().map(Turns::take).transpose() else {
            return Box::pin(async { Ok(overloaded().into_http()) });
        };
        let patience = self.patience;
        let answer = timeout(patience, self.inner.call(request));
        Box::pin(async move {
            let Ok(answer) = answer.await else { return Ok(took_too_long().into_http()) };
            Ok(answer?
                .map(|body| if body.is_end_stream() { body } else { handed_over(body, turn, patience) }))
        })
    }
}

/// A part of an answer, or nothing at its end; an answer that stops without that was given up.
type Part = Option<Result<Frame<Bytes>, Status>>;

/// The same body, which is given up when nothing of it is taken for too long.
///
/// A client decides by its flow control when it takes an answer, and until then nobody asks the body for more: so that
/// somebody notices, what is to come is held by a task of its own. What was given out already stays with the transport,
/// therefore it is handed out in pieces.
fn handed_over(body: Body, turn: Option<OwnedSemaphorePermit>, patience: Duration) -> Body {
    let (parts, taken) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            () = hand_over(body, turn, patience, &parts) => {}
            () = parts.closed() => {}
        }
    });
    Body::new(StreamBody::new(stream::unfold(Some(taken), async |taken| {
        let mut taken = taken?;
        match taken.recv().await {
            Some(None) => None,
            Some(Some(part)) => Some((part, Some(taken))),
            None => Some((Err(took_too_long()), None)),
        }
    })))
}

async fn hand_over(
    mut body: Body,
    mut turn: Option<OwnedSemaphorePermit>,
    patience: Duration,
    parts: &mpsc::Sender<Part>,
) {
    loop {
        let next = if let Some(next) = body.frame().now_or_never() {
            next
        } else {
            // Whoever watches waits for news, and keeps nobody from working.
            drop(turn.take());
            body.frame().await
        };
        let Some(frame) = next else {
            let _ = parts.send(None).await;
            return;
        };
        let mut rest = Some(frame);
        while let Some(frame) = rest.take() {
            let part = match frame.map(Frame::into_data) {
                Ok(Ok(mut data)) => {
                    let piece = data.split_to(data.len().min(PIECE));
                    rest = (!data.is_empty()).then(|| Ok(Frame::data(data)));
                    Ok(Frame::data(piece))
                }
                Ok(Err(other)) => Ok(other),
                Err(error) => Err(error),
            };
            if parts.send(Some(part)).await.is_err() {
                return;
            }
            // It has place for the next one when this one was taken.
            if !matches!(timeout(patience, parts.reserve()).await, Ok(Ok(_))) {
                return;
            }
        }
    }
}

/// As large as a frame of HTTP/2 unless both sides agree on more.
const PIECE: usize = 16 * 1024;

/// As in every refusal of the services.
const DOMAIN: &str = "respite";
/// What a client that asked too much is told to wait.
const RETRY: Duration = Duration::from_secs(1);

fn overloaded() -> Status {
    let mut details = reason("OVERLOADED");
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(
        Code::ResourceExhausted,
        "too much is asked at once by this connection",
        details,
    )
}

fn took_too_long() -> Status {
    Status::with_error_details(Code::DeadlineExceeded, "no answer in time", reason("TIMEOUT"))
}

fn reason(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, [])
}
