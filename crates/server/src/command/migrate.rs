//! `respite migrate`

use std::process::ExitCode;

use clap::Subcommand;
use migrations::{Migrator, MigratorTrait};
use server::config::Config;
use server::schema::{self, Schema};
use server::{key, open};

use super::Outcome;

#[derive(Subcommand)]
pub(crate) enum Direction {
    /// Make every step that is missing (the default)
    Up,
    /// Take steps back, and with them what only they can hold
    Down {
        /// How many, from the last
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        steps: u32,
    },
    /// Show every step, and change nothing
    Status,
}

pub(crate) async fn run(config: &Config, direction: Option<Direction>) -> Outcome {
    // A new embedded database comes with its key, or it could not be told from one whose key was lost.
    key::load(config)?;
    let db = open::connect(config).await?;
    match direction.unwrap_or(Direction::Up) {
        Direction::Up => {
            let before = pending(&schema::of(db.read()).await?);
            migrations::up(db.read()).await.map_err(store::Error::from)?;
            for step in before {
                anstream::println!("made       {step}");
            }
        }
        Direction::Down { steps } => {
            Migrator::down(db.read(), Some(steps)).await.map_err(store::Error::from)?;
        }
        Direction::Status => {}
    }
    let now = schema::of(db.read()).await?;
    db.close().await?;
    if now == Schema::Ahead {
        anstream::println!("the database was moved on by a newer program");
        return Ok(ExitCode::SUCCESS);
    }
    let pending = pending(&now);
    for step in Migrator::migrations() {
        let state = if pending.iter().any(|name| name == step.name()) { "missing" } else { "in place" };
        anstream::println!("{state:<10} {}", step.name());
    }
    Ok(ExitCode::SUCCESS)
}

fn pending(schema: &Schema) -> Vec<String> {
    match schema {
        Schema::Behind { pending } => pending.clone(),
        Schema::Current { .. } | Schema::Ahead => Vec::new(),
    }
}
