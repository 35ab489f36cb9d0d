//! Whether the server can do its work, told by the gRPC health service of each service and of them all.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use services::{App, SERVICE_NAMES};
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus as Answer;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;

use crate::schema::{self, Schema};
use crate::serve::ZONE_RULES;

/// Why a server does not take work.
#[derive(Debug, Error)]
pub enum Unready {
    /// The database does not answer.
    #[error("database: {0}")]
    Database(#[from] store::Error),
    /// The database takes too long to answer.
    #[error("the database did not answer in time")]
    Slow,
    /// What searches answer from is too old.
    #[error("changes of the directory have not been followed for a while")]
    Stale,
    /// Who is free when is not loaded yet.
    #[error("the directory is still being loaded")]
    Loading,
    /// The database lacks steps, or has some that this program does not know.
    #[error("the database's schema is not this program's")]
    Schema,
}

/// Why a server is not known to be healthy.
#[derive(Debug, Error)]
pub enum HealthError {
    /// Nothing answers there.
    #[error("nothing answers")]
    Unreachable(#[from] tonic::transport::Error),
    /// Something answers, and not as the health service does.
    #[error("the answer was {0:?}")]
    Refused(Code),
    /// It does not take work.
    #[error("not serving")]
    NotServing,
}

/// Asks the server at `endpoint` whether all of it serves, and by which zone rules (T6).
pub async fn ask(endpoint: Endpoint) -> Result<String, HealthError> {
    let endpoint = endpoint.connect_timeout(ANSWER).timeout(ANSWER);
    let channel: Channel = endpoint.connect().await?;
    let question = HealthCheckRequest { service: WHOLE.to_owned() };
    let answer = HealthClient::new(channel).check(question).await;
    let answer = answer.map_err(|refused| HealthError::Refused(refused.code()))?;
    let zone_rules = answer.metadata().get(ZONE_RULES.as_str()).and_then(|version| version.to_str().ok());
    let zone_rules = zone_rules.unwrap_or("unknown").to_owned();
    match answer.into_inner().status() {
        Answer::Serving => Ok(zone_rules),
        _ => Err(HealthError::NotServing),
    }
}

/// Where a client on this machine reaches the server.
#[must_use]
pub fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen {
        SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        named => named.ip(),
    };
    SocketAddr::new(ip, listen.port())
}

/// Tells what is true for as long as it runs.
///
/// Zone rules need no check: an [`App`] does not exist without them.
pub(crate) async fn keep_true(app: App, reporter: HealthReporter) {
    let mut known = None;
    loop {
        let ready = match timeout(ANSWER, check(&app)).await {
            Ok(checked) => checked,
            Err(_) => Err(Unready::Slow),
        };
        if known != Some(ready.is_ok()) {
            match &ready {
                Ok(()) => tracing::info!("serving"),
                Err(reason @ Unready::Loading) => tracing::info!(%reason, "not serving yet"),
                Err(reason) => tracing::warn!(%reason, "not serving"),
            }
            let status = if ready.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
            tell(&reporter, status).await;
            known = Some(ready.is_ok());
        }
        match ready {
            Ok(()) => sleep(CHECK_AGAIN).await,
            Err(Unready::Loading) => app.mirror.until_loaded().await,
            Err(_) => sleep(CHECK_SOON).await,
        }
    }
}

/// Tells `status` of every service and of the whole.
pub(crate) async fn tell(reporter: &HealthReporter, status: ServingStatus) {
    for service in SERVICE_NAMES.into_iter().chain([WHOLE]) {
        reporter.set_service_status(service, status).await;
    }
}

/// Ends the streams of those who watch, who would otherwise hold their connections open.
pub(crate) async fn dismiss_watchers(reporter: &mut HealthReporter) {
    for service in SERVICE_NAMES.into_iter().chain([WHOLE]) {
        reporter.clear_service_status(service).await;
    }
}

/// The health protocol's name for all services together.
const WHOLE: &str = "";
const ANSWER: Duration = Duration::from_secs(2);
/// How old what searches answer from may be; it is looked at every second.
const OLDEST: Duration = Duration::from_secs(30);
const CHECK_AGAIN: Duration = Duration::from_secs(2);
const CHECK_SOON: Duration = Duration::from_millis(500);

async fn check(app: &App) -> Result<(), Unready> {
    match schema::of(app.db.read()).await? {
        Schema::Behind { .. } | Schema::Ahead { .. } => Err(Unready::Schema),
        Schema::Current { .. } if !app.mirror.loaded() => Err(Unready::Loading),
        Schema::Current { .. } if app.mirror.age() > OLDEST => Err(Unready::Stale),
        Schema::Current { .. } => Ok(()),
    }
}
