//! `respite programme`

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use api::v1;
use clap::Subcommand;
use prost_types::Duration;
use serde::Deserialize;
use server::config::Config;
use server::open;
use services::operators;
use store::{Modality, ProgrammeId};

use super::Outcome;
use super::operator::PublicKey;

#[derive(Subcommand)]
pub(crate) enum Programme {
    /// Add a hospital's programme; what its passes are worth cannot be changed afterwards
    #[command(after_long_help = EXAMPLE)]
    Create {
        /// What it pays for, as TOML
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The public half of the key its manager signs in with: 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        public_key: PublicKey,
    },
    /// List the programmes
    List,
    /// Show what a programme pays for
    Show {
        /// As `respite programme list` shows it
        programme_id: ProgrammeId,
    },
    /// Let another key manage a programme; what the old one is signed in with ends at once
    ReplaceKey {
        /// As `respite programme list` shows it
        programme_id: ProgrammeId,
        /// The public half of the new key: 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        public_key: PublicKey,
    },
    /// Show the head of the log of keys, to be published where workers see it
    ///
    /// Every worker's phone shows the head of the log that it was shown. Two that are the same stand for the same log,
    /// in which nobody has a key of their own to be known by.
    LogHead {
        /// As it was when the log had so many entries; without it, as it is now
        #[arg(long, value_name = "N")]
        entries: Option<usize>,
    },
}

const EXAMPLE: &str = r#"A programme:

  display_name = "St. Agnes Hospital"    # for those who work there
  sessions_per_period = 6                # 1 to 100
  minutes = [50, 20]                     # how long a session may be; left out: any length
  modalities = ["video", "audio"]        # video, audio or chat; left out: any
  late_cancellation_costs = false
  eligible_workers = 1200                # by the contract; below 50 nothing is reported
"#;

pub(crate) async fn run(config: &Config, what: Programme) -> Outcome {
    let app = open::open(config).await?;
    match what {
        Programme::Create { file, public_key } => {
            let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            let terms: Terms =
                toml::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            print(&operators::create_programme(&app, terms.into(), &public_key.0).await?);
        }
        Programme::List => operators::list_programmes(&app).await?.iter().for_each(print),
        Programme::Show { programme_id } => {
            let programme = operators::get_programme(&app, programme_id).await?;
            print(&programme);
            print_terms(&programme);
        }
        Programme::ReplaceKey { programme_id, public_key } => {
            print(&operators::replace_manager_key(&app, programme_id, &public_key.0).await?);
        }
        Programme::LogHead { entries } => {
            anstream::println!("{}", operators::log_head(&app, entries).await?);
        }
    }
    app.db.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// A programme as an operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Terms {
    display_name: String,
    sessions_per_period: i32,
    #[serde(default)]
    minutes: Vec<u16>,
    #[serde(default)]
    modalities: Vec<Modality>,
    #[serde(default)]
    late_cancellation_costs: bool,
    #[serde(default)]
    eligible_workers: i32,
}

impl From<Terms> for v1::Programme {
    fn from(terms: Terms) -> Self {
        let Terms {
            display_name,
            sessions_per_period,
            minutes,
            modalities,
            late_cancellation_costs,
            eligible_workers,
        } = terms;
        let duration = |minutes| Duration { seconds: i64::from(minutes) * 60, nanos: 0 };
        let modality = |modality| match modality {
            Modality::Video => v1::Modality::Video,
            Modality::Audio => v1::Modality::Audio,
            Modality::Chat => v1::Modality::Chat,
        };
        Self {
            // The server's to give.
            id: String::new(),
            display_name,
            sessions_per_period,
            durations: minutes.into_iter().map(duration).collect(),
            modalities: modalities.into_iter().map(|one| modality(one).into()).collect(),
            late_cancellation_costs,
            eligible_workers,
        }
    }
}

fn print(programme: &v1::Programme) {
    anstream::println!("{}  {}", programme.id, programme.display_name);
}

fn print_terms(programme: &v1::Programme) {
    let any = |names: Vec<String>| if names.is_empty() { "any".to_owned() } else { names.join(", ") };
    let minutes = programme.durations.iter().map(|length| (length.seconds / 60).to_string()).collect();
    let modalities = programme.modalities().map(|modality| match modality {
        v1::Modality::Unspecified => String::new(),
        v1::Modality::Video => "video".to_owned(),
        v1::Modality::Audio => "audio".to_owned(),
        v1::Modality::Chat => "chat".to_owned(),
    });
    let late = if programme.late_cancellation_costs { "costs the session" } else { "costs nothing" };
    anstream::println!("  sessions for a period: {}", programme.sessions_per_period);
    anstream::println!("  minutes: {}", any(minutes));
    anstream::println!("  modalities: {}", any(modalities.collect()));
    anstream::println!("  a late cancellation {late}");
    match programme.eligible_workers {
        0 => anstream::println!("  for nobody knows how many people: nothing is reported"),
        people => anstream::println!("  for {people} people, by the contract"),
    }
}
