//! One connection that signs in anew and tries again by itself.
//!
//! Every call is one request and one answer, so the request is kept until the answer is there. A second
//! attempt sends the same bytes, and with them the same `request_id`: whatever the first attempt did, it is
//! done once (B3).

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
const ATTEMPTS: u32 = 5;

/// What the generated service clients send their calls through.
#[derive(Clone)]
pub struct Session {
    channel: Channel,
    caller: Option<Arc<Caller>>,
}

struct Caller {
    key: SigningKey,
    authorization: Mutex<HeaderValue>,
}

impl Session {
    pub(crate) fn anonymous(channel: Channel) -> Self {
        Self { channel, caller: None }
    }

    /// A session over the same connection for the holder of `key`.
    pub(crate) async fn signed_in(&self, key: SigningKey) -> Result<Self, Status> {
        let channel = self.channel.clone();
        let authorization = Mutex::new(sign_in(&channel, &key).await?);
        Ok(Self { channel, caller: Some(Arc::new(Caller { key, authorization })) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Body>, Status> {
        let mut renewed = false;
        let mut attempt = 1;
        loop {
            let authorization = self.authorization().await;
            let answer = self.attempt(request.clone(), authorization.as_ref()).await;
            let Some(refusal) = refusal(&answer) else { return answer };
            match (refusal.code(), &self.caller, authorization) {
                (Code::Unauthenticated, Some(caller), Some(ended)) if !renewed => {
                    renewed = true;
                    caller.renew(&self.channel, &ended).await?;
                }
                (Code::Unavailable, _, _) if attempt < ATTEMPTS => {
                    tokio::time::sleep(pause(attempt, &refusal)).await;
                    attempt += 1;
                }
                _ => return answer,
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

/// Signs in, patient with an unavailable server, with a new challenge for each attempt.
async fn sign_in(channel: &Channel, key: &SigningKey) -> Result<HeaderValue, Status> {
    let mut attempt = 1;
    loop {
        match sign_in::login(channel.clone(), key).await {
            Err(refusal) if refusal.code() == Code::Unavailable && attempt < ATTEMPTS => {
                tokio::time::sleep(pause(attempt, &refusal)).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// What a connection that fails says in the words of a server, so that the call is tried again.
#[expect(clippy::needless_pass_by_value, reason = "the errors of a service are mapped by value")]
pub(crate) fn unreachable(error: transport::Error) -> Status {
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

/// As long as the server says, or doubling; a random quarter less, so that devices do not come back together.
fn pause(attempt: u32, refusal: &Status) -> Duration {
    let asked = refusal.get_details_retry_info().and_then(|info| info.retry_delay);
    let pause = asked.unwrap_or(FIRST_PAUSE * 2_u32.pow(attempt - 1)).min(LONGEST_PAUSE);
    let mut chance = [0];
    getrandom::fill(&mut chance).expect("the operating system has randomness to give");
    pause.mul_f64(1.0 - f64::from(chance[0]) / 1024.0)
}
