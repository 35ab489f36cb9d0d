//! `respite serve`

use std::error::Error;
use std::io;
use std::process::ExitCode;

use server::config::Config;
use server::serve::{Front, serve};
use server::{open, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, sentence};

pub(crate) async fn run(config: &Config) -> Outcome {
    let telemetry = telemetry::start(&config.telemetry)?;
    let served = until_stopped(config).await;
    if let Err(error) = &served {
        // From here on everything is said by the log, in its format.
        tracing::error!(reason = sentence(&**error), "cannot go on");
    }
    telemetry.stop().await;
    Ok(if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn until_stopped(config: &Config) -> Result<(), Box<dyn Error>> {
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
    Ok(())
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
