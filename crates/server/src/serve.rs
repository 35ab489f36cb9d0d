//! Listening sockets, of which one may be the staff's alone: TLS, limits, gRPC and gRPC-Web, health, an orderly end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::try_join_all;
use http::{HeaderName, HeaderValue, Method, header};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use services::{App, Door};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::service::{LayerExt, Routes};
use tonic::transport::{self, Server};
use tonic_health::ServingStatus;
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowOrigin, CorsLayer, Vary};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::bounds::BoundsLayer;
use crate::calendars::CalendarsLayer;
use crate::config::{Limits, Origin};
use crate::networks::Networks;
use crate::rpc::RpcLayer;
use crate::tls::Tls;
use crate::{connection, health};

/// What is served, to whom, and how much of it.
pub struct Front {
    /// All that calls work with.
    pub app: App,
    /// The certificate to show; plain text without one.
    pub tls: Option<Tls>,
    /// Where staff are served, and nowhere else; among everybody without it.
    pub staff: Option<StaffSocket>,
    /// Pages that may call from a browser.
    pub origins: Vec<Origin>,
    /// Bounds on connections and requests.
    pub limits: Limits,
    /// Everybody comes by a proxy, which is all that connections tell of their network: nothing is limited by that.
    /// Staff still come by themselves.
    pub behind_proxy: bool,
}

/// A second socket, which is not meant to be reached from the internet.
pub struct StaffSocket {
    /// It listens already.
    pub listener: TcpListener,
    /// The certificate to show, and whose certificates let somebody in.
    pub tls: Tls,
}

/// Why serving ended before it was asked to.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A socket failed.
    #[error("serving failed")]
    Socket(#[from] transport::Error),
}

/// Serves on `listener`, and delivers reminders, until `stop`.
///
/// Then it says that it no longer serves, answers what it has begun, and stops its workers, within half a
/// minute. The caller owns the sockets and the signal.
pub async fn serve(
    front: Front,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let Front { app, tls, staff, origins, limits, behind_proxy } = front;
    let (mut reporter, health) = tonic_health::server::health_reporter();
    health::tell(&reporter, ServingStatus::NotServing).await;

    let health = health.max_decoding_message_size(LARGEST_HEALTH_CHECK);
    // T6: the protocol has no place for a detail, but any answer has headers.
    let zone_rules = HeaderValue::from_str(app.rules.version()).ok();
    let health = SetResponseHeaderLayer::overriding(ZONE_RULES, zone_rules).named_layer(health);
    let watches = app.watches.clone();
    watches.welcome();
    let meter = opentelemetry::global::meter("respite");
    let mirror = app.mirror.clone();
    // Lives as long as the meter.
    let _ = meter
        .f64_observable_gauge("respite.search.staleness")
        .with_unit("s")
        .with_description("How long ago what searches answer from was last known to be current")
        .with_callback(move |gauge| gauge.observe(mirror.age().as_secs_f64(), &[]))
        .build();
    let rates = app.rates.clone();
    let _ = meter
        .u64_observable_counter("respite.refused")
        .with_description("What was refused since too much was asked: connections, and calls by class")
        .with_callback(move |counter| {
            for (class, refused) in rates.refused() {
                counter.observe(refused, &[KeyValue::new("class", class)]);
            }
        })
        .build();
    let (drain, draining) = watch::channel(false);
    let door = if staff.is_some() { Door::Public } else { Door::Every };
    let networks = || Arc::new(Networks::new(limits.connections_per_network, app.rates.clone()));
    let everybody = Socket {
        listener,
        tls,
        networks: (!behind_proxy).then(networks),
        routes: services::routes(&app, door).add_service(health.clone()),
    };
    let staff = staff.map(|StaffSocket { listener, tls }| Socket {
        listener,
        tls: Some(tls),
        networks: Some(networks()),
        routes: services::routes(&app, Door::Staff).add_service(health),
    });
    let serving = try_join_all(
        std::iter::once(everybody)
            .chain(staff)
            .map(|socket| answer(socket, &app, &meter, &origins, &limits, draining.clone())),
    );
    tokio::pin!(serving);

    let (end_work, work_ends) = watch::channel(false);
    let mut workers = JoinSet::new();
    workers.spawn(keep_working("mirror", app.clone(), work_ends.clone(), services::mirror::run));
    workers.spawn(keep_working("reminders", app.clone(), work_ends.clone(), services::reminders::run));
    workers.spawn(keep_working("feeds", app.clone(), work_ends.clone(), services::feeds::run));
    workers.spawn(keep_working("zones", app.clone(), work_ends.clone(), services::zones::run));
    workers.spawn(keep_working("reports", app.clone(), work_ends.clone(), services::reports::run));
    workers.spawn(keep_working("retention", app.clone(), work_ends, services::retention::run));
    let mut observers = JoinSet::new();
    observers.spawn(health::keep_true(app, reporter.clone()));

    tokio::select! {
        failed = &mut serving => return Ok(failed.map(drop)?),
        () = stop => {}
    }

    tracing::info!("stopping");
    observers.shutdown().await;
    watches.dismiss();
    health::tell(&reporter, ServingStatus::NotServing).await;
    health::dismiss_watchers(&mut reporter).await;
    drain.send_replace(true);
    if let Ok(drained) = timeout(DRAIN, serving).await {
        drained?;
    } else {
        tracing::warn!("clients still connected were cut off");
    }
    end_work.send_replace(true);
    if timeout(DRAIN, workers.join_all()).await.is_err() {
        tracing::warn!("workers did not end in time");
    }
    tracing::info!("stopped");
    Ok(())
}

/// What says in every answer of the health service which zone rules are in force.
pub(crate) const ZONE_RULES: HeaderName = HeaderName::from_static("respite-zone-rules");
/// A service's name and what is around it.
const LARGEST_HEALTH_CHECK: usize = 1024;
/// For answers that have begun, and again for letters on their way.
const DRAIN: Duration = Duration::from_secs(15);
/// After a worker's panic.
const RECOVER: Duration = Duration::from_secs(1);
/// A preflight request's answer holds for two hours, the longest browsers believe.
const PREFLIGHT: Duration = Duration::from_hours(2);

/// Where to answer, and what.
struct Socket {
    listener: TcpListener,
    tls: Option<Tls>,
    /// Who calls from where, if that can be seen.
    networks: Option<Arc<Networks>>,
    routes: Routes,
}

/// Answers on one socket until it is `drained`.
fn answer(
    Socket { listener, tls, networks, routes }: Socket,
    app: &App,
    meter: &Meter,
    origins: &[Origin],
    limits: &Limits,
    mut drained: watch::Receiver<bool>,
) -> impl Future<Output = Result<(), transport::Error>> + use<> {
    #[cfg(feature = "reflection")]
    let routes = routes.add_service(
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(api::DESCRIPTORS)
            .build_v1()
            .expect("the descriptors are the build's own"),
    );
    Server::builder()
        .max_concurrent_streams(limits.streams_per_connection.get())
        // Without a grace period: with one, tonic cuts calls off instead of asking the client to leave.
        .max_connection_age(limits.connection_age())
        .http2_keepalive_interval(Some(limits.keepalive()))
        .http2_keepalive_timeout(Some(limits.keepalive() / 2))
        .http2_max_header_list_size(limits.header_bytes.get())
        // Browsers without TLS speak HTTP/1.1; what is not gRPC-Web is refused there.
        .accept_http1(true)
        .layer(cors(origins))
        .layer(CalendarsLayer::new(app, limits))
        .layer(GrpcWebLayer::new())
        .layer(RpcLayer::new(meter))
        .layer(BoundsLayer::new(limits, app.rates.clone()))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connection::incoming(listener, limits, tls, networks), async move {
            // An error means that nobody is left to drain it, which drains it too.
            let _ = drained.wait_for(|drained| *drained).await;
        })
}

/// gRPC-Web from the pages named, and from no other.
fn cors(origins: &[Origin]) -> CorsLayer {
    let requested = ["x-grpc-web", "x-user-agent", "grpc-timeout"].map(HeaderName::from_static);
    let told = ["grpc-status", "grpc-message", "grpc-status-details-bin"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().map(|origin| origin.header().clone())))
        .allow_methods([Method::POST])
        .allow_headers(
            requested.into_iter().chain([header::AUTHORIZATION, header::CONTENT_TYPE]).collect::<Vec<_>>(),
        )
        .expose_headers(told)
        .max_age(PREFLIGHT)
        // No cache keeps the answer to a POST.
        .vary(Vary::list([]))
}

/// Runs a worker, and runs it again if it panics: reminders must not end with one bad row.
async fn keep_working<Work, Running>(
    name: &'static str,
    app: App,
    mut ends: watch::Receiver<bool>,
    work: Work,
) where
    Work: Fn(App, std::pin::Pin<Box<dyn Future<Output = ()> + Send>>) -> Running,
    Running: Future<Output = ()>,
{
    loop {
        let mut until = ends.clone();
        let until = Box::pin(async move {
            // An error means that nobody is left to end it, which ends it too.
            let _ = until.wait_for(|ended| *ended).await;
        });
        let ended = AssertUnwindSafe(work(app.clone(), until)).catch_unwind().await;
        if ended.is_ok() && *ends.borrow() {
            return;
        }
        tracing::error!(worker = name, "worker ended by itself, and is started again");
        tokio::select! {
            () = sleep(RECOVER) => {}
            _ = ends.wait_for(|ended| *ended) => return,
        }
    }
}
