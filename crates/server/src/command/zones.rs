//! `respite zones`

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use server::config::Config;
use server::{open, zones};
use store::zone_change::{self, Outcome};

use super::Outcome as Ended;

#[derive(Subcommand)]
pub(crate) enum Zones {
    /// List the bookings to come that rules would move, and change nothing
    ///
    /// By where they stand and where their hour would be, in UTC. A server that is started with these rules moves
    /// them, unless somebody has another session there or it does not suit the worker. Bookings in zones that the
    /// rules do not know come last: they stay where they stand.
    Preview {
        /// A compiled tz database that may become `zones.directory`; without it the rules that are in force
        #[arg(long, value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
    /// List the bookings that rules have moved, and those that are to be decided by people
    Changes,
}

pub(crate) async fn run(config: &Config, what: Zones) -> Ended {
    let app = open::open(config).await?;
    match what {
        Zones::Preview { directory } => {
            let rules = match directory {
                Some(directory) => zones::load(Some(&directory))?.in_force,
                None => app.rules.clone(),
            };
            let found = services::zones::preview(app.db.read(), &rules, app.clock.now()).await?;
            for one in found.displaced {
                let services::zones::Displaced { booking_id, time_zone, old_start, new_start } = one;
                line(
                    &booking_id.to_string(),
                    old_start,
                    new_start,
                    &time_zone,
                    rules.version(),
                    "would move",
                );
            }
            for services::zones::Unknown { booking_id, time_zone, start } in found.unknown {
                let (version, start) = (rules.version(), start.format(MINUTE));
                anstream::println!("{booking_id}  {start}  {time_zone}  {version}  unknown zone");
            }
        }
        Zones::Changes => {
            let mut after = None;
            loop {
                let page = zone_change::Entity::after(after, PAGE).all(app.db.read()).await;
                let page = page.map_err(store::Error::from)?;
                after = page.last().map(|last| (last.old_start, last.booking_id));
                for change in &page {
                    let outcome = match change.outcome {
                        Outcome::Moved => "moved",
                        Outcome::Undecided => "to be decided",
                    };
                    let (old, new) = (change.old_start.into(), change.new_start.into());
                    line(
                        &change.booking_id.to_string(),
                        old,
                        new,
                        &change.time_zone,
                        &change.version,
                        outcome,
                    );
                }
                if page.is_empty() {
                    break;
                }
            }
        }
    }
    app.db.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// How many changes are read at once.
const PAGE: u64 = 1_000;
/// How an instant is printed.
const MINUTE: &str = "%Y-%m-%dT%H:%MZ";

fn line(booking: &str, old: DateTime<Utc>, new: DateTime<Utc>, zone: &str, version: &str, outcome: &str) {
    let (old, new) = (old.format(MINUTE), new.format(MINUTE));
    anstream::println!("{booking}  {old} -> {new}  {zone}  {version}  {outcome}");
}
