//! `respite serve`

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use server::config::Config;
use server::serve::{Front, StaffSocket, serve};
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
    let tls = config.tls.as_ref().map(open::tls).transpose()?;
    let listener = bind(config.listen).await?;
    tracing::info!(address = %listener.local_addr()?, encrypted = tls.is_some(), "listening");
    let staff = match &config.staff.door {
        Some(settings) => {
            let tls = open::staff_tls(settings)?;
            let listener = bind(settings.listen).await?;
            tracing::info!(address = %listener.local_addr()?, "listening for staff");
            Some(StaffSocket { listener, tls })
        }
        None => None,
    };
    let db = app.db.clone();
    let origins = config.web.allowed_origins.clone();
    let (limits, behind_proxy) = (config.limits.clone(), config.behind_tls_proxy);
    let front = Front { app, tls, staff, origins, limits, behind_proxy };
    serve(front, listener, asked_to_stop()?).await?;
    db.close().await?;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("cannot listen on {address}: {error}"))
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
