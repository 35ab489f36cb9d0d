//! `respite identity`

use std::process::ExitCode;

use clap::{Args, Subcommand};
use server::config::Config;
use server::open;
use services::{Staff, operators};
use store::{OperatorId, ProgrammeId, TherapistId};

use super::Outcome;

#[derive(Subcommand)]
pub(crate) enum Identity {
    /// Let the identity provider's word sign somebody in, by this name alone; what they are signed in with ends at once
    Link {
        #[command(flatten)]
        who: Who,
        /// What the provider calls them: the claim `sub` of its ID tokens
        #[arg(long)]
        subject: String,
    },
    /// Let their key alone sign them in; what they are signed in with ends at once
    Unlink {
        #[command(flatten)]
        who: Who,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Who {
    /// As `respite therapist list` shows it
    #[arg(long, value_name = "ID")]
    therapist: Option<TherapistId>,
    /// As `respite operator list` shows it
    #[arg(long, value_name = "ID")]
    operator: Option<OperatorId>,
    /// The manager of this programme, as `respite programme list` shows it
    #[arg(long, value_name = "ID")]
    programme: Option<ProgrammeId>,
}

pub(crate) async fn run(config: &Config, what: Identity) -> Outcome {
    let app = open::open(config).await?;
    let (who, subject) = match what {
        Identity::Link { who, subject } => {
            if subject.is_empty() {
                return Err("--subject is empty: `respite identity unlink` takes a name away".into());
            }
            (who, subject)
        }
        Identity::Unlink { who } => (who, String::new()),
    };
    let Who { therapist, operator, programme } = who;
    let staff = therapist.map(Staff::Therapist);
    let staff = staff.or(operator.map(Staff::Operator)).or(programme.map(Staff::Manager));
    operators::link_identity(&app, staff.ok_or("nobody is named")?, &subject).await?;
    app.db.close().await?;
    Ok(ExitCode::SUCCESS)
}
