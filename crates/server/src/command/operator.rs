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
        #[arg(long, value_name = "HEX", required_unless_present = "oidc_subject")]
        public_key: Option<PublicKey>,
        /// What the identity provider of staff calls them (the claim `sub`); without a key they sign in there alone
        #[arg(long, value_name = "SUBJECT")]
        oidc_subject: Option<String>,
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
        Operator::Create { label, public_key, oidc_subject } => {
            let key = public_key.as_ref().map(|key| &key.0[..]);
            let id = match oidc_subject {
                Some(subject) => operators::create_linked(&app, &label, key, &subject).await?,
                None => operators::create(&app, &label, key.unwrap_or_default()).await?,
            };
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
