//! How much is worked on at once for one connection, and how long a call may take.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use crate::config::Limits;

/// The turns of one connection: each call takes one until its answer begins.
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

/// Refuses calls for which their connection has no turn left, and gives up those that take too long.
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
        let answer = timeout(self.patience, self.inner.call(request));
        Box::pin(async move {
            let _turn = turn;
            answer.await.unwrap_or_else(|_| Ok(took_too_long().into_http()))
        })
    }
}

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
