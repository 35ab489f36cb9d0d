//! `respite seed`

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use server::config::Config;
use server::{open, seed};

use super::Outcome;

pub(crate) async fn run(config: &Config, therapists: u32) -> Outcome {
    let app = open::open(config).await?;
    // On standard error, and only if that is a terminal.
    let bar = ProgressBar::new(therapists.into())
        .with_style(ProgressStyle::with_template("therapists {wide_bar} {pos}/{len} {eta}")?);
    let there =
        seed::seed(&app.db, therapists, app.clock.now(), |done| bar.set_position(done.into())).await?;
    bar.finish_and_clear();
    app.db.close().await?;
    anstream::println!("{there} made-up therapists are in the directory");
    Ok(ExitCode::SUCCESS)
}
