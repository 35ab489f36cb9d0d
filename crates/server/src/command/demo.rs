//! `respite demo`

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use server::config::{LogLevel, TelemetrySettings};
use server::{demo, telemetry};

use super::{Outcome, serve};

pub(crate) async fn run(exit: bool) -> Outcome {
    let quiet = TelemetrySettings { log_level: LogLevel::Warn, ..TelemetrySettings::default() };
    let telemetry = telemetry::start(&quiet)?;
    // On standard error, and only if that is a terminal.
    let bar = ProgressBar::new(demo::THERAPISTS.into())
        .with_style(ProgressStyle::with_template("therapists {wide_bar} {pos}/{len}")?);
    let seeded = |done: u32| {
        bar.set_position(done.into());
        if done == demo::THERAPISTS {
            bar.finish_and_clear();
        }
    };
    let held = demo::run(exit, serve::asked_to_stop()?, seeded).await?;
    telemetry.stop().await;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
