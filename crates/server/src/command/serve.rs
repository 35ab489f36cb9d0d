//! `respite serve`

use std::io;
use std::process::ExitCode;

use server::config::Config;
use server::serve::{Front, serve};
use server::{open, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;

pub(crate) async fn run(config: &Config) -> Outcome {
    let telemetry = telemetry::start(&config.telemetry)?;
    let app = open::open(config).await?;
    let tls = config.tls.as_ref().map(open::identity).transpose()?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    tracing::info!(address = %listener.local_addr()?, encrypted = tls.is_some(), "listening");
    let db = app.db.clone();
    let front =
        Front { app, tls, origins: config.web.allowed_origins.clone(), limits: config.limits.clone() };
    serve(front, listener, asked_to_stop()?).await?;
    db.close().await?;
    telemetry.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Ends with the first SIGTERM or SIGINT.
pub(crate) fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
