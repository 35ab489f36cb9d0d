//! `respite operator`

use std::process::ExitCode;
use std::str::FromStr;

use clap::Subcommand;
use data_encoding::HEXLOWER_PERMISSIVE;
use server::config::Config;
use server::open;
use services::operators;
use store::OperatorId;

use super::Outcome;

#[derive(Subcommand)]
pub(crate) enum Operator {
    /// Let somebody sign in as an operator
    Create {
        /// What other operators call them
        #[arg(long)]
        label: String,
        /// The public half of their key: 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        public_key: PublicKey,
    },
    /// List the operators
    List,
    /// Take the right away; what they are signed in with ends at once
    Delete {
        /// As `respite operator list` shows it
        operator_id: OperatorId,
    },
}

pub(crate) async fn run(config: &Config, what: Operator) -> Outcome {
    let app = open::open(config).await?;
    match what {
        Operator::Create { label, public_key } => {
            let id = operators::create(&app, &label, &public_key.0).await?;
            anstream::println!("{id}  {label}");
        }
        Operator::List => {
            for operator in operators::list(&app).await? {
                anstream::println!("{}  {}", operator.id, operator.label);
            }
        }
        Operator::Delete { operator_id } => operators::delete(&app, operator_id).await?,
    }
    app.db.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// The public half of a key, as people copy it.
#[derive(Clone)]
pub(crate) struct PublicKey(pub(crate) [u8; 32]);

impl FromStr for PublicKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or("64 hexadecimal digits are expected")
    }
}
