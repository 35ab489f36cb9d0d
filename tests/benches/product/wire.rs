//! What a call costs before it does anything: the server with all its layers, and one that has none.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, transport::Server};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};

use crate::{
    Bench, Failed, Line, Turns, median,
    process::{Home, Process},
};

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 4;
/// Calls under way on each of them.
const CALLS: usize = 8;

/// Health checks per second.
pub(crate) async fn empty(bench: &Bench) -> Result<Line, Failed> {
    let home = Home::embedded(bench)?;
    let (ours, bare) = (home.serve().await?, Process::bare().await?);
    for warm_up in [&ours, &bare] {
        checks_per_second(warm_up, ROUND / 2).await?;
    }
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    let mut cpu = Turns { ours: Vec::new(), limits: Vec::new() };
    for round in 0..2 * ROUNDS {
        // Each goes first as often as second.
        let (process, rates, times) = if (round + round / 2).is_multiple_of(2) {
            (&ours, &mut turns.ours, &mut cpu.ours)
        } else {
            (&bare, &mut turns.limits, &mut cpu.limits)
        };
        let (rate, cpu_each) = checks_per_second(process, ROUND).await?;
        rates.push(rate);
        times.push(cpu_each * 1e6);
    }
    Ok(Line {
        name: "grpc_empty",
        value: turns.value(),
        unit: "calls/s",
        limit: turns.limit(),
        ratio: median(&turns.quotients()),
        goal: Some(0.9),
        note: format!(
            "{}; server's processor time {:.1} µs a call, limit {:.1}",
            turns.note(),
            cpu.value(),
            cpu.limit()
        ),
    })
}

/// The rate, and the server's processor seconds for each.
async fn checks_per_second(process: &Process, while_: Duration) -> Result<(f64, f64), Failed> {
    static DONE: AtomicU64 = AtomicU64::new(0);
    DONE.store(0, Ordering::Relaxed);
    let cpu = process.cpu()?;
    let started = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let client = HealthClient::new(process.connect().await?);
        for _ in 0..CALLS {
            let mut client = client.clone();
            callers.spawn(async move {
                while started.elapsed() < while_ {
                    client.check(HealthCheckRequest::default()).await?;
                    DONE.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Status>(())
            });
        }
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of seconds' work")]
    let done = DONE.load(Ordering::Relaxed) as f64;
    Ok((done / started.elapsed().as_secs_f64(), (process.cpu()? - cpu) / done))
}

/// Serves the limit until it is killed.
pub(crate) async fn serve_bare(address: SocketAddr) -> Result<(), Failed> {
    Ok(Server::builder().add_service(HealthServer::new(Bare)).serve(address).await?)
}

struct Bare;

#[tonic::async_trait]
impl Health for Bare {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(SERVING))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::once(Ok(SERVING)))))
    }
}

const SERVING: HealthCheckResponse =
    HealthCheckResponse { status: tonic_health::ServingStatus::Serving as i32 };
