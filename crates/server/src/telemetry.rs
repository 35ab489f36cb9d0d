//! Logs, traces and metrics of the process.
//!
//! **Invariant:** whatever a span holds, what leaves the process is on the list below.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use opentelemetry::Key;
use opentelemetry::trace::{Status, TracerProvider};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanEvents, SpanExporter, SpanLinks};
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{FilterFn, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry};

use crate::config::{Collector, LogFormat, LogLevel, TelemetrySettings};
use crate::rpc;

/// What an exported span may say besides its name and times.
const ALLOWED: [&str; 3] = ["rpc.system", "rpc.method", "rpc.grpc.status_code"];

/// The telemetry of this process, running until it is stopped.
#[must_use = "what was not sent yet is lost unless telemetry is stopped"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// Why telemetry did not start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The exporter refuses its settings.
    #[error("the OTLP exporter cannot be built")]
    Exporter(#[from] ExporterBuildError),
    /// It was started before.
    #[error("logs are already set up")]
    Twice(#[from] TryInitError),
}

/// Sets up logs on standard error, and traces and metrics if there is a collector; inside a tokio runtime.
pub fn start(settings: &TelemetrySettings) -> Result<Telemetry, TelemetryError> {
    let (traces, metrics) = match &settings.otlp_endpoint {
        Some(collector) => (Some(traces_to(collector)?), Some(metrics_to(collector)?)),
        None => (None, None),
    };
    if let Some(metrics) = &metrics {
        opentelemetry::global::set_meter_provider(metrics.clone());
    }
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer("respite"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(|told| told.is_span() && told.target() == rpc::TARGET))
    });
    tracing_subscriber::registry().with(logs(settings)).with(spans).try_init()?;
    log_panics();
    Ok(Telemetry { traces, metrics })
}

impl Telemetry {
    /// Sends what was not sent yet, and gives up after a few seconds.
    pub async fn stop(self) {
        let flushed = tokio::task::spawn_blocking(move || {
            if let Some(traces) = self.traces {
                report(&traces.shutdown_with_timeout(FLUSH));
            }
            if let Some(metrics) = self.metrics {
                report(&metrics.shutdown_with_timeout(FLUSH));
            }
        });
        if flushed.await.is_err() {
            tracing::warn!("the last telemetry was not sent");
        }
    }
}

const FLUSH: Duration = Duration::from_secs(3);

fn report(flushed: &OTelSdkResult) {
    if flushed.is_err() {
        tracing::warn!("the last telemetry was not sent");
    }
}

fn logs(settings: &TelemetrySettings) -> impl Layer<Registry> {
    let level = match settings.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
    };
    // Ours at the level asked for; others' warnings; of the database's statements and values, nothing.
    let ours = ["respite", "server", "services", "store", "notify", "migrations"];
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(ours.map(|target| (target, level)))
        .with_targets(["sqlx", "sea_orm", "sea_orm_migration"].map(|target| (target, LevelFilter::OFF)));
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let layer = match settings.log_format {
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::Text => layer.with_ansi(false).boxed(),
        LogFormat::Auto => {
            let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
            layer.with_ansi(colours).boxed()
        }
    };
    layer.with_filter(filter)
}

/// A panic's message may hold what was being worked on: the log has the place alone.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}

fn resource() -> Resource {
    // Built from nothing: what is found in the environment could name a machine or a person.
    Resource::builder_empty().with_service_name("respite").build()
}

fn traces_to(collector: &Collector) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(collector.as_str()).build()?;
    Ok(SdkTracerProvider::builder()
        .with_resource(resource())
        .with_batch_exporter(AllowList::new(exporter))
        .build())
}

fn metrics_to(collector: &Collector) -> Result<SdkMeterProvider, ExporterBuildError> {
    let exporter = MetricExporter::builder().with_tonic().with_endpoint(collector.as_str()).build()?;
    Ok(SdkMeterProvider::builder().with_resource(resource()).with_periodic_exporter(exporter).build())
}

/// Strips spans of everything that is not on the list before `inner` sends them.
#[derive(Debug)]
struct AllowList<E> {
    inner: E,
    names: HashSet<String>,
}

impl<E> AllowList<E> {
    fn new(inner: E) -> Self {
        Self { inner, names: rpc::methods().collect() }
    }

    fn strip(&self, mut span: SpanData) -> SpanData {
        if !self.names.contains(&*span.name) {
            span.name = rpc::OTHER.into();
        }
        span.attributes.retain(|attribute| ALLOWED.map(Key::from_static_str).contains(&attribute.key));
        span.dropped_attributes_count = 0;
        span.events = SpanEvents::default();
        span.links = SpanLinks::default();
        if let Status::Error { description } = &mut span.status {
            *description = "".into();
        }
        span
    }
}

impl<E: SpanExporter> SpanExporter for AllowList<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.inner.export(batch.into_iter().map(|span| self.strip(span)).collect())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::convert::Infallible;
    use std::panic::panic_any;
    use std::process::Command;
    use std::sync::{Arc, Mutex};

    use futures_util::stream;
    use http::{Request, Response};
    use http_body::Frame;
    use http_body_util::{BodyExt, StreamBody};
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
    use prost::bytes::Bytes;
    use services::Rates;
    use services::rates::Allowances;
    use tonic::Status;
    use tonic::body::Body;
    use tower::{Layer, ServiceExt, service_fn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::{AllowList, start};
    use crate::bounds::BoundsLayer;
    use crate::config::{Limits, LogFormat, TelemetrySettings};
    use crate::rpc::RpcLayer;

    /// Spans as a collector would get them.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Sent(Arc<Mutex<Vec<SpanData>>>);

    impl Sent {
        pub(crate) fn spans(&self) -> Vec<SpanData> {
            self.0.lock().unwrap().clone()
        }
    }

    impl SpanExporter for Sent {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }

    #[test]
    fn what_is_not_on_the_list_does_not_leave_the_process() {
        let sent = Sent::default();
        let provider =
            SdkTracerProvider::builder().with_simple_exporter(AllowList::new(sent.clone())).build();
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("respite"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(spans), || {
            let method = "respite.v1.BookingService/ListBookings";
            tracing::info_span!("rpc", otel.name = method, rpc.method = method, alias = "canary")
                .in_scope(|| tracing::error!(contact = "canary", "canary"));
            tracing::info_span!("canary", rpc.grpc.status_code = 3_i64, otel.status_description = "canary");
        });

        let sent = sent.spans();
        assert_eq!(sent.len(), 2);
        assert!(!format!("{sent:?}").contains("canary"), "{sent:?}");
        assert_eq!(sent[0].name, "respite.v1.BookingService/ListBookings");
        assert_eq!(sent[0].attributes.len(), 1);
        assert_eq!(sent[1].name, "other");
        assert_eq!(sent[1].attributes.len(), 1);
    }

    fn says(what: &str) -> Result<Frame<Bytes>, Status> {
        panic!("{what}")
    }

    /// With the telemetry of the program and behind the layers that stand before each of its calls.
    #[tokio::test]
    #[ignore = "the next one runs it in a process of its own, whose output it reads"]
    async fn panics() {
        let telemetry =
            start(&TelemetrySettings { log_format: LogFormat::Text, ..Default::default() }).unwrap();
        let rates = Arc::new(Rates::new(Allowances { anonymous: 1, searches: 1, holds: 1, imports: 1 }));
        let bounds = BoundsLayer::new(&Limits::default(), rates);
        let calls = RpcLayer::new(&opentelemetry::global::meter("test"));
        let ask = async |answer: fn(String) -> Response<Body>| {
            let service = service_fn(move |request: Request<Body>| async move {
                let said = request.into_body().collect().await.unwrap().to_bytes();
                Ok::<_, Infallible>(answer(String::from_utf8(said.to_vec()).unwrap()))
            });
            let request = Request::builder().uri("http://localhost/respite.v1.BookingService/HoldSlot");
            let request = request.header("authorization", "canary").body(Body::new("canary".to_owned()));
            calls.layer(bounds.layer(service)).oneshot(request.unwrap()).await.unwrap()
        };
        let answers: [fn(String) -> _; 2] = [|said| panic!("{said}"), |said| panic_any(said)];
        for answer in answers {
            let told = ask(answer).await;
            assert_eq!(told.headers()["grpc-status"], "13");
            assert!(!format!("{told:?}").contains("canary"));
        }
        // One whose answer has begun.
        let begun = ask(|said| {
            let parts = stream::once(async move {
                tokio::task::yield_now().await;
                says(&said)
            });
            Response::new(Body::new(StreamBody::new(parts)))
        });
        let cut_off = begun.await.into_body().collect().await.unwrap_err();
        assert!(!format!("{cut_off:?}").contains("canary"));
        telemetry.stop().await;
    }

    #[test]
    fn a_panic_tells_its_place_alone() {
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", "telemetry::tests::panics", "--ignored", "--nocapture"]);
        let output = again.output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.matches("panicked place=\"crates/server/src/telemetry.rs:").count(), 3, "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}
