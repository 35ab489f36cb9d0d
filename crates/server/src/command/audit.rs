//! `respite audit`

use std::process::ExitCode;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sea_orm::ActiveEnum;
use server::config::Config;
use server::open;
use services::audit;

use super::Outcome;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// List what was done, the oldest first, each with its hash on a line of its own
    List,
    /// Fail if an entry was changed, put in or taken out
    Verify {
        /// The hash of an entry noted earlier, elsewhere: the log still has to hold it
        #[arg(long, value_name = "HASH")]
        seen: Option<Hash>,
    },
}

pub(crate) async fn run(config: &Config, what: Audit) -> Outcome {
    let app = open::open(config).await?;
    let entries = audit::entries(&app).await?;
    app.db.close().await?;
    match what {
        Audit::List => {
            for entry in entries {
                let at = DateTime::<Utc>::from(entry.at).to_rfc3339();
                let (actor, action) = (entry.actor.to_value(), entry.action.to_value());
                let id = entry.actor_id.map(|id| format!(" {id}")).unwrap_or_default();
                anstream::println!("{at}  {actor}{id}  {action} {}", entry.object);
                anstream::println!("    {}", HEXLOWER.encode(&entry.hash.0));
            }
        }
        Audit::Verify { seen } => {
            audit::verify(&entries, seen.map(|Hash(hash)| hash))?;
            let head = entries.last().map(|entry| HEXLOWER.encode(&entry.hash.0));
            anstream::println!("{} entries  {}", entries.len(), head.unwrap_or_default());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The hash of an entry, as it is listed.
#[derive(Clone)]
pub(crate) struct Hash([u8; 32]);

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or("64 hexadecimal digits are expected")
    }
}
