//! How much is worked on at once, for one connection and of each class, how long a call may take, and how long its answer
//! waits.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use prost::bytes::Bytes;
use services::Rates;
use services::rates::{Class, Spot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, TryAcquireError, mpsc};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer, Service};

use crate::config::Limits;

/// The turns of one connection, and what stands for its network: each call takes a turn until all that it is told at once
/// was taken.
#[derive(Clone)]
pub(crate) struct Turns {
    turns: Arc<Semaphore>,
    network: Option<Spot>,
}

impl Turns {
    pub(crate) fn new(limits: &Limits, network: Option<Spot>) -> Self {
        Self { turns: Arc::new(Semaphore::new(limits.requests_per_connection.get())), network }
    }

    /// Takes a turn for this request, and says what stands for its network. Whatever listens gives every connection its
    /// turns; a service called without a socket has no limit.
    pub(crate) fn take(request: &Request<Body>) -> Result<(Option<Turn>, Option<Spot>), TryAcquireError> {
        let Some(Self { turns, network }) = request.extensions().get() else { return Ok((None, None)) };
        Ok((Some(Arc::clone(turns).try_acquire_owned()?), *network))
    }
}

/// One of a connection's turns, which ends with this.
pub(crate) type Turn = OwnedSemaphorePermit;

/// How many calls of each class are worked on at once, whoever makes them: while one class is flooded, the others have
/// theirs, and what comes beyond is told so instead of waiting for longer than anybody waits for an answer.
struct AtOnce {
    logins: Semaphore,
    identities: Semaphore,
    searches: Semaphore,
    others: Semaphore,
}

impl AtOnce {
    fn new(limits: &Limits) -> Self {
        let [logins, searches, others] =
            [limits.logins_at_once, limits.searches_at_once, limits.calls_at_once]
                .map(|most| Semaphore::new(most.get()));
        Self { logins, identities: Semaphore::new(IDENTITIES), searches, others }
    }

    /// A place for a call of this class, if there is one left.
    fn take(&self, class: Class) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let places = match class {
            Class::Login => &self.logins,
            Class::Identity => &self.identities,
            Class::Search => &self.searches,
            Class::Connection | Class::Hold | Class::Import | Class::Other => &self.others,
        };
        places.try_acquire()
    }
}

/// How many logins may wait for the identity provider at once: while it hangs, they last for seconds, and nothing else is to
/// wait with them. They share what it answers.
const IDENTITIES: usize = 16;

/// Refuses calls for which their connection or their class has no turn left, gives up those that take too long and
/// answers that nobody takes, and says of each what stands for its network.
///
/// Tonic's own limits stand outside of every layer: browsers could not read what they refuse, and nothing would
/// measure it.
#[derive(Clone)]
pub(crate) struct BoundsLayer {
    at_once: Arc<AtOnce>,
    /// What long requests may take of memory before they have a place, in [`KILOBYTE`]s.
    store: Arc<Semaphore>,
    rates: Arc<Rates>,
    patience: Duration,
}

impl BoundsLayer {
    pub(crate) fn new(limits: &Limits, rates: Arc<Rates>) -> Self {
        let (at_once, store) = (Arc::new(AtOnce::new(limits)), Arc::new(Semaphore::new(STORE)));
        Self { at_once, store, rates, patience: limits.request() }
    }
}

impl<S> Layer<S> for BoundsLayer {
    type Service = Bounds<S>;

    fn layer(&self, inner: S) -> Bounds<S> {
        Bounds { inner, layer: self.clone() }
    }
}

/// The service that [`BoundsLayer`] makes.
#[derive(Clone)]
pub(crate) struct Bounds<S> {
    inner: S,
    layer: BoundsLayer,
}

impl<S> Service<Request<Body>> for Bounds<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Ok((turn, network)) = Turns::take(&request) else {
            return Box::pin(async {
                Ok(overloaded("too much is asked at once by this connection").into_http())
            });
        };
        if let Some(network) = network {
            request.extensions_mut().insert(network);
        }
        let class = Class::of(request.uri().path());
        // What is not of the contract, as reflection, may be answered before it is at its end.
        let whole = request.uri().path().starts_with("/respite.v1.");
        let BoundsLayer { at_once, store, rates, patience } = self.layer.clone();
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        let answer = async move {
            if !whole {
                return inner.call(request).await;
            }
            let begun = async {
                let (request, kept) = arrived(request, &store).await?;
                let place = class.map(|class| at_once.take(class)).transpose()?;
                Ok::<_, TryAcquireError>((request, kept, place))
            };
            let Ok((request, _kept, _place)) = begun.await else {
                if let Some(class) = class {
                    rates.refuse(class);
                }
                return Ok(overloaded("too much is asked at the moment").into_http());
            };
            inner.call(request).await
        };
        let answer = timeout(patience, answer);
        Box::pin(async move {
            let Ok(answer) = answer.await else { return Ok(took_too_long().into_http()) };
            Ok(answer?.map(|body| handed_over(body, turn, patience)))
        })
    }
}

/// The same request when it is here, or much of it, with what it takes of the store: one that only drips in takes a turn of
/// its connection, and no place of others. Nothing if the store is empty, which a short one does not need.
async fn arrived(
    request: Request<Body>,
    store: &Semaphore,
) -> Result<(Request<Body>, SemaphorePermit<'_>), TryAcquireError> {
    let (head, mut body) = request.into_parts();
    let (mut begin, mut kept) = (Vec::new(), store.try_acquire_many(0)?);
    while begin.len() < BEGIN
        && let Some(Ok(frame)) = body.frame().await
    {
        let data: &[u8] = frame.data_ref().map_or(&[], |data| data);
        let beyond = (begin.len() + data.len()).saturating_sub(SHORT).div_ceil(KILOBYTE);
        let more = u32::try_from(beyond - kept.num_permits()).unwrap_or(u32::MAX);
        kept.merge(store.try_acquire_many(more)?);
        begin.extend_from_slice(data);
    }
    let begin = Full::new(Bytes::from(begin)).map_err(|never| match never {});
    let whole = BodyStream::new(begin).chain(BodyStream::new(body));
    Ok((Request::from_parts(head, Body::new(StreamBody::new(whole))), kept))
}

/// What all requests but rosters fit into.
const BEGIN: usize = 64 * KILOBYTE;
const KILOBYTE: usize = 1024;
/// 16 megabytes for all connections together: in `requests_per_connection` of each there could be a gigabyte.
const STORE: usize = 16 * 1024;

/// A part of an answer, or nothing at its end; an answer that stops without that was given up.
type Part = Option<Result<Frame<Bytes>, Status>>;

/// The same body, which is given up when nothing of it is taken for too long.
///
/// A client decides by its flow control when it takes an answer, and until then nobody asks the body for more: so that
/// somebody notices, what is to come is held by a task of its own. What was given out already stays with the transport,
/// therefore it is handed out in pieces.
///
/// What is short and all here, as most answers are, costs no task: so much may lie at every stream of a connection until
/// that ends, with the turn that it took.
pub(crate) fn handed_over(mut body: Body, turn: Option<Turn>, patience: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let (mut here, mut length) = (Vec::new(), 0);
    while length <= SHORT
        && let Some(next) = body.frame().now_or_never()
    {
        let Some(frame) = next else {
            let here = (here.into_iter(), turn);
            return Body::new(StreamBody::new(stream::unfold(here, async |(mut here, turn)| {
                here.next().map(|frame| (frame, (here, turn)))
            })));
        };
        length += frame.as_ref().map_or(0, |frame| frame.data_ref().map_or(0, Bytes::len));
        here.push(frame);
    }
    let body = Body::new(StreamBody::new(stream::iter(here).chain(BodyStream::new(body))));
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

async fn hand_over(mut body: Body, mut turn: Option<Turn>, patience: Duration, parts: &mpsc::Sender<Part>) {
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

/// What may lie at every stream of a connection, of a request as of an answer.
const SHORT: usize = 4 * KILOBYTE;
/// As large as a frame of HTTP/2 unless both sides agree on more.
const PIECE: usize = 16 * 1024;

/// As in every refusal of the services.
const DOMAIN: &str = "respite";
/// What a client that asked too much is told to wait.
const RETRY: Duration = Duration::from_secs(1);

fn overloaded(message: &str) -> Status {
    let mut details = reason("OVERLOADED");
    details.set_retry_info(Some(RETRY));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

fn took_too_long() -> Status {
    Status::with_error_details(Code::DeadlineExceeded, "no answer in time", reason("TIMEOUT"))
}

fn reason(reason: &str) -> ErrorDetails {
    ErrorDetails::with_error_info(reason, DOMAIN, [])
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures_util::{FutureExt, StreamExt, stream};
    use http::{Request, Response};
    use http_body_util::{BodyStream, Full, StreamBody};
    use services::Rates;
    use services::rates::Allowances;
    use tokio::sync::Semaphore;
    use tonic::body::Body;
    use tonic::codegen::Bytes;
    use tonic::{Code, Status};
    use tonic_types::StatusExt;
    use tower::{Layer, Service, service_fn};

    use super::{BEGIN, BoundsLayer, SHORT};
    use crate::config::Limits;

    const SEARCH: &str = "/respite.v1.SlotService/SearchSlots";
    const LOGIN: &str = "/respite.v1.AliasService/BeginLogin";
    const HOLD: &str = "/respite.v1.BookingService/HoldSlot";
    const IMPORT: &str = "/respite.v1.RosterService/ImportRoster";
    const CRISIS: &str = "/respite.v1.DirectoryService/ListCrisisResources";
    const HEALTH: &str = "/grpc.health.v1.Health/Check";

    #[tokio::test]
    async fn while_one_class_is_flooded_the_others_have_their_turns() {
        let limits = Limits {
            searches_at_once: 2.try_into().unwrap(),
            logins_at_once: 1.try_into().unwrap(),
            calls_at_once: 1.try_into().unwrap(),
            ..Limits::default()
        };
        let allowances = Allowances { anonymous: 1, searches: 1, holds: 1, imports: 1 };
        let rates = Arc::new(Rates::new(allowances));
        let answers = Arc::new(Semaphore::new(0));
        let waiting = Arc::clone(&answers);
        let mut service = BoundsLayer::new(&limits, Arc::clone(&rates)).layer(service_fn(move |_| {
            let answers = Arc::clone(&waiting);
            async move {
                answers.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        }));
        let mut send = |path: &str, body: Body| {
            let request = Request::builder().uri(format!("http://localhost{path}")).body(body);
            let mut answer = service.call(request.unwrap());
            // What is refused is so at once; what is worked on waits for the test to allow an answer.
            let refused = (&mut answer).now_or_never().map(Result::unwrap);
            (answer, refused.map(|answer| Status::from_header_map(answer.headers()).unwrap()))
        };
        // What only drips in takes no place.
        let _dripping = [SEARCH, SEARCH, SEARCH, LOGIN, HOLD].map(|path| {
            let (answer, refused) = send(path, drips(1));
            assert!(refused.is_none(), "{path} {refused:?}");
            answer
        });
        let mut call = |path| send(path, Body::empty());
        let mut begins = |path| {
            let (answer, refused) = call(path);
            assert!(refused.is_none(), "{path} {refused:?}");
            answer
        };
        let first = begins(SEARCH);
        let _others = [SEARCH, LOGIN, HOLD, CRISIS, CRISIS, HEALTH, HEALTH].map(&mut begins);
        for path in [SEARCH, LOGIN, HOLD, IMPORT] {
            let refused = call(path).1.unwrap_or_else(|| panic!("{path}"));
            assert_eq!(refused.code(), Code::ResourceExhausted);
            let details = refused.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
            assert!(details.retry_info().is_some());
        }
        let refused: Vec<_> = rates.refused().map(|(_, count)| count).collect();
        assert_eq!(refused, [0, 1, 0, 1, 1, 1, 0]);
        // Whoever is answered makes room.
        answers.add_permits(1);
        first.await.unwrap();
        assert!(call(SEARCH).1.is_none());
    }

    /// So many bytes, and then nothing for ever.
    fn drips(bytes: usize) -> Body {
        let first = BodyStream::new(Full::new(Bytes::from(vec![0; bytes])));
        Body::new(StreamBody::new(first.chain(stream::pending())))
    }

    #[tokio::test]
    async fn long_requests_that_drip_leave_memory_to_others() {
        let allowances = Allowances { anonymous: 1, searches: 1, holds: 1, imports: 1 };
        let rates = Arc::new(Rates::new(allowances));
        let mut service = BoundsLayer::new(&Limits::default(), Arc::clone(&rates))
            .layer(service_fn(|_| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
        let mut call = |path: &str, body: Body| {
            let request = Request::builder().uri(format!("http://localhost{path}")).body(body);
            service.call(request.unwrap())
        };
        let reason = |answer: Response<Body>| {
            let refused = Status::from_header_map(answer.headers())?;
            Some(refused.get_error_details().error_info().unwrap().reason.clone())
        };
        let whole = |bytes| Body::new(Full::new(Bytes::from(vec![0; bytes])));
        let (mut dripping, paths) = (Vec::new(), [IMPORT, LOGIN, SEARCH, CRISIS]);
        let refused = loop {
            assert!(dripping.len() < 1_000, "nothing is refused");
            let mut answer = call(paths[dripping.len() % paths.len()], drips(BEGIN - 1));
            match (&mut answer).now_or_never() {
                None => dripping.push(answer),
                Some(answer) => break reason(answer.unwrap()),
            }
        };
        assert_eq!(refused.as_deref(), Some("OVERLOADED"));
        // 60 kilobytes of each are more than is free, and 4 are left.
        assert_eq!(dripping.len(), 16 * 1024 / 60);
        for path in paths {
            assert_eq!(reason(call(path, whole(SHORT)).await.unwrap()), None);
            assert_eq!(reason(call(path, whole(2 * SHORT)).await.unwrap()), None);
            let refused = reason(call(path, whole(BEGIN)).await.unwrap());
            assert_eq!(refused.as_deref(), Some("OVERLOADED"));
        }
        // Of the four calls, the one that may save a life is counted nowhere; and the first was for a login.
        let refused: Vec<_> = rates.refused().map(|(_, count)| count).collect();
        assert_eq!(refused, [0, 2, 0, 1, 0, 1, 0]);
        drop(dripping);
        for path in paths {
            assert_eq!(reason(call(path, whole(BEGIN)).await.unwrap()), None);
        }
    }
}
