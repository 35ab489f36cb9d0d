//! One connection that signs in anew and tries again by itself.
//!
//! Every call is one request and one answer, so the request is kept until the answer is there. A second
//! attempt sends the same bytes, and with them the same `request_id`: whatever the first attempt did, it is
//! done once (B3). A call that is refused since too much was asked, as by everybody of a ward at once, waits the moment that
//! the server names; whoever is to wait longer than a moment is told.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ed25519_dalek::SigningKey;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use tokio::sync::Mutex;
use tonic::{
    Code, Status,
    body::Body,
    codegen::{BoxFuture, Bytes},
    transport::{self, Channel},
};
use tonic_types::StatusExt;
use tower::{Service, ServiceExt};

use crate::sign_in;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a call that got no answer is made again.
const REPEATS: u32 = 4;
/// As long as somebody looks at a screen on which nothing happens; who is to wait longer is told so.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How often a call is made again because too much was asked before.
const WAITS: u32 = 2;

/// What the generated service clients send their calls through.
#[derive(Clone)]
pub struct Session {
    channel: Channel,
    caller: Option<Arc<Caller>>,
    /// How often a call that got no answer is made again.
    repeats: u32,
}

struct Caller {
    key: SigningKey,
    authorization: Mutex<HeaderValue>,
}

impl Session {
    pub(crate) fn anonymous(channel: Channel) -> Self {
        Self { channel, caller: None, repeats: REPEATS }
    }

    /// A session over the same connection for the holder of `key`.
    pub(crate) async fn signed_in(&self, key: SigningKey) -> Result<Self, Status> {
        let channel = self.channel.clone();
        let authorization = Mutex::new(sign_in(&channel, &key).await?);
        Ok(Self { channel, caller: Some(Arc::new(Caller { key, authorization })), repeats: REPEATS })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Status> {
        let mut renewed = false;
        let mut patience = Patience { repeats: self.repeats, waits: WAITS };
        loop {
            let authorization = self.authorization().await;
            let answer = self.attempt(request.clone(), authorization.as_ref()).await;
            let Some(refusal) = refusal(&answer) else { return answer };
            match (refusal.code(), &self.caller, authorization) {
                (Code::Unauthenticated, Some(caller), Some(ended)) if !renewed => {
                    renewed = true;
                    caller.renew(&self.channel, &ended).await?;
                }
                _ => match patience.repeat(&refusal).or_else(|| patience.wait(&refusal)) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return answer,
                },
            }
        }
    }

    async fn attempt(
        &self,
        request: Request<Bytes>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Body>, Status> {
        let mut request = request.map(|bytes| Body::new(Full::new(bytes)));
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.channel.clone().oneshot(request).await.map_err(unreachable)
    }

    async fn authorization(&self) -> Option<HeaderValue> {
        match &self.caller {
            Some(caller) => Some(caller.authorization.lock().await.clone()),
            None => None,
        }
    }
}

impl Caller {
    /// Signs in again, unless another call has done so since `ended` was sent.
    async fn renew(&self, channel: &Channel, ended: &HeaderValue) -> Result<(), Status> {
        let mut authorization = self.authorization.lock().await;
        if *authorization == *ended {
            *authorization = sign_in(channel, &self.key).await?;
        }
        Ok(())
    }
}

impl Service<Request<Body>> for Session {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<Response<Body>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let session = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect().await?.to_bytes();
            session.send(Request::from_parts(head, bytes)).await
        })
    }
}

/// Signs in, patient with an unavailable server, with a new challenge for each attempt. A step that was one too many waits
/// by itself: no service has seen it, and to begin anew would take of the share what the step waits for.
async fn sign_in(channel: &Channel, key: &SigningKey) -> Result<HeaderValue, Status> {
    let mut patience = Patience { repeats: REPEATS, waits: 0 };
    loop {
        let step = Session { channel: channel.clone(), caller: None, repeats: 0 };
        let answer = sign_in::login(step, key).await;
        match answer.as_ref().err().and_then(|refusal| patience.repeat(refusal)) {
            Some(pause) => tokio::time::sleep(pause).await,
            None => return answer,
        }
    }
}

/// What a connection that fails says in the words of a server, so that the call is tried again.
#[expect(clippy::needless_pass_by_value, reason = "the errors of a service are mapped by value")]
fn unreachable(error: transport::Error) -> Status {
    Status::unavailable(error.to_string())
}

/// The status of an answer that is nothing but a status: the server puts it into the headers then.
fn refusal(answer: &Result<Response<Body>, Status>) -> Option<Status> {
    match answer {
        Ok(response) => {
            Status::from_header_map(response.headers()).filter(|status| status.code() != Code::Ok)
        }
        Err(status) => Some(status.clone()),
    }
}

/// What a call still puts up with.
struct Patience {
    repeats: u32,
    waits: u32,
}

impl Patience {
    /// How long to pause before a call that got no answer is made again: as the server says, or doubling.
    fn repeat(&mut self, refusal: &Status) -> Option<Duration> {
        if refusal.code() != Code::Unavailable {
            return None;
        }
        self.repeats = self.repeats.checked_sub(1)?;
        let doubling = FIRST_PAUSE * 2_u32.pow(REPEATS - 1 - self.repeats);
        Some(retry_delay(refusal).unwrap_or(doubling).min(LONGEST_PAUSE).mul_f64(1.0 - some_of_a_quarter()))
    }

    /// How long to wait before a call that was one too many is made again: never less than the server says.
    fn wait(&mut self, refusal: &Status) -> Option<Duration> {
        let wait = retry_delay(refusal).filter(|wait| is_rate_limit(refusal) && *wait <= LONGEST_WAIT)?;
        self.waits = self.waits.checked_sub(1)?;
        Some(wait.mul_f64(1.0 + some_of_a_quarter()))
    }
}

fn retry_delay(refusal: &Status) -> Option<Duration> {
    refusal.get_details_retry_info().and_then(|info| info.retry_delay)
}

fn is_rate_limit(refusal: &Status) -> bool {
    refusal.get_details_error_info().is_some_and(|info| info.reason == "RATE_LIMITED")
}

/// By chance, so that devices do not come back together.
fn some_of_a_quarter() -> f64 {
    let mut chance = [0];
    getrandom::fill(&mut chance).expect("the operating system has randomness to give");
    f64::from(chance[0]) / 1024.0
}
