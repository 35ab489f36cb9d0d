//! Calendars over plain HTTP (A4), in front of all that speaks gRPC and of whatever tells of calls: a path is a secret.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use services::App;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::bounds::{Turns, handed_over};
use crate::config::Limits;

/// How many are made at once, whoever asks; calendars are asked for all day long by programs that can wait.
const AT_ONCE: usize = 8;

/// Answers every GET below `/calendars/`, and hands on everything else.
#[derive(Clone)]
pub(crate) struct CalendarsLayer(Arc<Desk>);

struct Desk {
    app: App,
    turns: Semaphore,
    patience: Duration,
}

impl CalendarsLayer {
    pub(crate) fn new(app: &App, limits: &Limits) -> Self {
        Self(Arc::new(Desk { app: app.clone(), turns: Semaphore::new(AT_ONCE), patience: limits.request() }))
    }
}

impl<S> Layer<S> for CalendarsLayer {
    type Service = Calendars<S>;

    fn layer(&self, inner: S) -> Calendars<S> {
        Calendars { inner, desk: Arc::clone(&self.0) }
    }
}

/// The service that [`CalendarsLayer`] makes.
#[derive(Clone)]
pub(crate) struct Calendars<S> {
    inner: S,
    desk: Arc<Desk>,
}

impl<S> Service<Request<Body>> for Calendars<S>
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
        if request.method() != Method::GET || !request.uri().path().starts_with("/calendars/") {
            return Box::pin(self.inner.call(request));
        }
        let Ok((turn, network)) = Turns::take(&request) else {
            return Box::pin(async { Ok(later(StatusCode::TOO_MANY_REQUESTS, 1)) });
        };
        let desk = Arc::clone(&self.desk);
        Box::pin(async move {
            let Desk { app, turns, patience } = &*desk;
            let known = request.headers().get(header::IF_NONE_MATCH);
            let published = services::published(app, request.uri().path(), network, known, turns);
            let answer = timeout(*patience, published).await.ok().flatten();
            Ok(match answer {
                Some(answer) => answer.map(|body| handed_over(Body::new(body), turn, *patience)),
                None => later(StatusCode::SERVICE_UNAVAILABLE, 60),
            })
        })
    }
}

fn later(status: StatusCode, seconds: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}
