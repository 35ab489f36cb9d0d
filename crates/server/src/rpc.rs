//! What is known of every call: which one it was, how it ended, how long it took. Nothing else.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use futures_util::FutureExt;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument, Span, field};

/// The target of the spans made here, the only ones that are exported.
pub(crate) const TARGET: &str = "respite::rpc";
/// Stands for every path that is not a method of the contract, so that a caller's text is never a name.
pub(crate) const OTHER: &str = "other";

/// Every method of the contract, as `respite.v1.BookingService/HoldSlot`.
pub(crate) fn methods() -> impl Iterator<Item = String> {
    let contract = FileDescriptorSet::decode(api::DESCRIPTORS).expect("the descriptors are the build's own");
    contract.file.into_iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let service_name = format!("{package}.{}", service.name());
            service.method.into_iter().map(move |method| format!("{service_name}/{}", method.name()))
        })
    })
}

/// Surrounds every call with a span and a measurement, and turns a panic into `INTERNAL`.
///
/// Each call is the root of a new trace: a `traceparent` that comes in is not looked at, since a trace that
/// began elsewhere would tie the call to whoever made it. Health checks are not counted.
#[derive(Clone)]
pub(crate) struct RpcLayer {
    methods: Arc<HashMap<String, Arc<str>>>,
    duration: Histogram<f64>,
}

impl RpcLayer {
    pub(crate) fn new(meter: &Meter) -> Self {
        let methods = methods().map(|method| (format!("/{method}"), method.into())).collect();
        let duration = meter
            .f64_histogram("rpc.server.duration")
            .with_unit("ms")
            .with_description("From the arrival of a call to the end of its answer")
            .with_boundaries(vec![
                0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0,
                10_000.0,
            ])
            .build();
        Self { methods: Arc::new(methods), duration }
    }

    fn call_on(&self, path: &str) -> Call {
        let method = self.methods.get(path).cloned().unwrap_or_else(|| OTHER.into());
        let span = tracing::info_span!(
            target: TARGET,
            parent: None,
            "rpc",
            otel.name = &*method,
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system = "grpc",
            rpc.method = &*method,
            rpc.grpc.status_code = field::Empty,
        );
        // What is dropped before it was answered was given up by the client, or by the time limit.
        Call { method, started: Instant::now(), code: Code::Cancelled, span, duration: self.duration.clone() }
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = Rpc<S>;

    fn layer(&self, inner: S) -> Rpc<S> {
        Rpc { inner, layer: self.clone() }
    }
}

/// The service that [`RpcLayer`] makes.
#[derive(Clone)]
pub(crate) struct Rpc<S> {
    inner: S,
    layer: RpcLayer,
}

impl<S> Service<Request<Body>> for Rpc<S>
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

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        if request.uri().path().starts_with("/grpc.health.v1.Health/") {
            return Box::pin(inner.call(request));
        }
        let mut call = self.layer.call_on(request.uri().path());
        let span = call.span.clone();
        let answer = async move {
            let handled = AssertUnwindSafe(async { inner.call(request).await }).catch_unwind().await;
            let response = match handled {
                Ok(response) => response?,
                Err(_) => Status::internal("internal error").into_http(),
            };
            call.hear(response.headers());
            Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    if let Some(trailers) = frame.trailers_ref() {
                        call.hear(trailers);
                    }
                    frame
                }))
            }))
        };
        Box::pin(answer.instrument(span))
    }
}

/// One call, measured when it is dropped: after the last byte of its answer, or when it was given up.
struct Call {
    method: Arc<str>,
    started: Instant,
    code: Code,
    span: Span,
    duration: Histogram<f64>,
}

impl Call {
    /// gRPC tells how a call ended in the trailers, or in the headers of an answer without a body.
    fn hear(&mut self, told: &HeaderMap) {
        if let Some(code) = told.get("grpc-status") {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let code = i64::from(self.code as i32);
        self.span.record("rpc.grpc.status_code", code);
        if matches!(self.code, Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss) {
            self.span.record("otel.status_code", "ERROR");
        }
        self.duration.record(
            self.started.elapsed().as_secs_f64() * 1_000.0,
            &[
                KeyValue::new("rpc.method", Arc::clone(&self.method)),
                KeyValue::new("rpc.grpc.status_code", code),
            ],
        );
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{HeaderMap, HeaderValue, Request, Response};
    use http_body_util::BodyExt;
    use opentelemetry::trace::{SpanId, TracerProvider};
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData};
    use tonic::body::Body;
    use tonic::{Code, Status};
    use tower::{Layer, ServiceExt, service_fn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::RpcLayer;
    use crate::telemetry::tests::Sent;

    const METHOD: &str = "respite.v1.BookingService/HoldSlot";

    /// Calls `path`, which ends as `end` says, and gives the one span that tells of it.
    fn span_of(path: &str, end: fn() -> Response<Body>) -> SpanData {
        let sent = Sent::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(sent.clone()).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("respite"));
        let subscriber = tracing_subscriber::registry().with(spans);
        tracing::subscriber::with_default(subscriber, || {
            let meter = opentelemetry::global::meter("test");
            let service =
                RpcLayer::new(&meter).layer(service_fn(move |_| async move { Ok::<_, Infallible>(end()) }));
            let request = Request::builder()
                .uri(format!("http://localhost/{path}"))
                .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
                .body(Body::empty())
                .unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let answer = service.oneshot(request).await.unwrap();
                let _ = answer.into_body().collect().await;
            });
        });
        let mut spans = sent.spans();
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }

    fn code_of(span: &SpanData) -> Option<i64> {
        let told = span.attributes.iter().find(|told| told.key.as_str() == "rpc.grpc.status_code")?;
        match told.value {
            opentelemetry::Value::I64(code) => Some(code),
            _ => None,
        }
    }

    fn ends_with_ok() -> Response<Body> {
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        Response::new(Body::new(Body::empty().with_trailers(async { Some(Ok(trailers)) })))
    }

    fn refuses() -> Response<Body> {
        Status::not_found("nothing").into_http()
    }

    fn panics() -> Response<Body> {
        panic!("canary")
    }

    #[test]
    fn a_span_tells_the_method_and_how_the_call_ended() {
        for (end, code) in [
            (ends_with_ok as fn() -> _, Code::Ok),
            (refuses, Code::NotFound),
            (panics, Code::Internal),
            (|| Response::new(Body::empty()), Code::Cancelled),
        ] {
            let span = span_of(METHOD, end);
            assert_eq!(span.name, METHOD);
            assert_eq!(code_of(&span), Some(i64::from(code as i32)));
            assert!(!format!("{span:?}").contains("canary"));
        }
    }

    #[test]
    fn a_path_that_is_no_method_of_ours_is_not_told() {
        let span = span_of("canary/canary", refuses);
        assert_eq!(span.name, "other");
        assert!(!format!("{span:?}").contains("canary"));
    }

    #[test]
    fn a_trace_that_began_elsewhere_is_not_continued() {
        let span = span_of(METHOD, ends_with_ok);
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        assert_ne!(span.span_context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
    }
}
