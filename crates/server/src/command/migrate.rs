//! `respite migrate`

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, Statement};
use server::config::Config;
use server::schema::{self, Schema};
use server::{key, open};
use store::Db;
use tokio::time::sleep;

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
        /// Also if the database is in use, and what it holds goes with them
        #[arg(long)]
        yes: bool,
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
            up(&db, &before).await?;
            for step in before {
                anstream::println!("made       {step}");
            }
        }
        Direction::Down { steps, yes } => {
            if !yes && in_use(&db).await {
                return Err(
                    "the database is in use, and rows go with the steps that hold them: make a backup, \
                            and say --yes"
                        .into(),
                );
            }
            Migrator::down(db.read(), Some(steps)).await.map_err(store::Error::from)?;
        }
        Direction::Status => {}
    }
    let now = schema::of(db.read()).await?;
    db.close().await?;
    if let Schema::Ahead { unknown } = &now {
        for step in unknown {
            anstream::println!("unknown    {step}");
        }
        return Err("the database was moved on by a newer program".into());
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
        Schema::Current { .. } | Schema::Ahead { .. } => Vec::new(),
    }
}

/// Makes the steps that are missing, and tells a terminal which one is under way.
async fn up(db: &Db, missing: &[String]) -> Result<(), store::Error> {
    let bar = ProgressBar::new(u64::try_from(missing.len()).unwrap_or_default()).with_style(
        ProgressStyle::with_template("{pos}/{len} {elapsed} {msg}").expect("the template is right"),
    );
    let watch = async {
        loop {
            // A step that locks everything cannot be watched: it is told with the next one.
            if let Ok(schema) = schema::of(db.read()).await {
                let left = pending(&schema);
                bar.set_position(u64::try_from(missing.len() - left.len()).unwrap_or_default());
                bar.set_message(left.into_iter().next().unwrap_or_default());
            }
            sleep(LOOK).await;
        }
    };
    let made = tokio::select! {
        made = migrations::up(db.read()) => made,
        () = watch => Ok(()),
    };
    bar.finish_and_clear();
    Ok(made?)
}

/// How often it is looked how far the steps are.
const LOOK: Duration = Duration::from_millis(200);

/// Whether there is somebody in the database; a table that is not there holds nobody.
async fn in_use(db: &Db) -> bool {
    for table in ["therapist", "operator", "alias"] {
        let sql = format!("select 1 from {table} limit 1");
        let row =
            db.read().query_one_raw(Statement::from_string(db.read().get_database_backend(), sql)).await;
        if !matches!(row, Ok(None) | Err(_)) {
            return true;
        }
    }
    false
}
