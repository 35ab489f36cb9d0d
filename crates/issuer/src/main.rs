//! The command line of `respite-issuer`.

mod command;

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Args, Parser, Subcommand};
use issuer::{Origin, PeriodName, parse_day};
use uuid::Uuid;

/// The hospital's own part of Respite: says who is eligible, and signs passes that it cannot recognise.
#[derive(Parser)]
#[command(name = "respite-issuer", version, arg_required_else_help = true)]
struct Arguments {
    /// The folder with the issuer's database, secret and keys
    #[arg(long, global = true, value_name = "FOLDER", default_value = "issuer")]
    home: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an issuer, in a folder of its own
    Init(Init),
    /// Take a roster, whole or not at all: who is not in it is not eligible any more
    ///
    /// A CSV file whose first line is `employee_id,active_from,active_until`. Dates are like 2026-12-31 and belong to
    /// it; the last one may be empty. Other columns are not looked at.
    Import {
        /// The file
        file: PathBuf,
        /// Check the file, and say what it would change
        #[arg(long)]
        dry_run: bool,
    },
    /// The roster by SCIM, from the hospital's identity provider
    #[command(subcommand)]
    Scim(Scim),
    /// Make activation codes, and print them: only their hashes are kept
    Codes(Codes),
    /// The keys of periods
    #[command(subcommand)]
    Key(Key),
    /// Sign passes for workers, until interrupted
    Serve(Serve),
    /// What staff did, and whether that log is whole
    Audit {
        /// A hash that an earlier `audit` printed last: it must still be there
        #[arg(long, value_name = "HASH")]
        seen: Option<String>,
    },
}

#[derive(Args)]
struct Init {
    /// The programme whose sessions the passes pay, as the operator of Respite names it
    #[arg(long, value_name = "UUID")]
    programme: Uuid,
    /// What this issuer is called where its keys are shown, such as issuer.hospital.example
    #[arg(long)]
    name: String,
    /// Who redeems the passes, as the operator of Respite says
    #[arg(long)]
    origin: String,
    /// How a worker shows to be eligible; it cannot be changed later
    #[arg(long)]
    mode: Mode,
    /// How many people may sign in, with `--mode logins`: fewer than 50 get no passes
    #[arg(long, value_name = "N", required_if_eq("mode", "logins"), value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    eligible: Option<u32>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    /// By a card drawn from a box: nobody can know who asked
    Cards,
    /// By a code of one's own, from a roster, or by a login of somebody on it
    Roster,
    /// By a login at the hospital's identity provider: whoever may sign in there
    Logins,
}

#[derive(Args)]
struct Codes {
    /// Cards for a box, one code a line
    #[arg(long, value_name = "N", requires = "until", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: Option<u32>,
    /// The last day of the cards, which cannot be taken back from who leaves
    #[arg(long, value_name = "DATE", value_parser = day, requires = "count")]
    until: Option<NaiveDate>,
    /// Codes for those workers of this list who have none, as CSV: employee_id,code
    #[arg(long, value_name = "FILE", conflicts_with = "count", required_unless_present = "count")]
    for_roster: Option<PathBuf>,
    /// For all workers of the list, in place of codes that were lost
    #[arg(long, requires = "for_roster", conflicts_with = "count")]
    replace: bool,
}

#[derive(Subcommand)]
enum Key {
    /// Make the key of a new period, and print what is to be published: three weeks before the first day
    ///
    /// It signs from two weeks before the first day, at midnight in UTC, until two weeks before the end, when the next
    /// one's takes over. 27 to 365 days lie between the first day and the last.
    Make {
        /// Such as 2026-Q4
        #[arg(long, value_name = "NAME")]
        period: PeriodName,
        /// How many each worker gets, all at once
        #[arg(long, value_name = "N")]
        passes: u32,
        /// The first day whose sessions it pays
        #[arg(long, value_name = "DATE", value_parser = day)]
        first: NaiveDate,
        /// The last day whose sessions it pays
        #[arg(long, value_name = "DATE", value_parser = day)]
        last: NaiveDate,
        /// Sign although fewer than 50 workers are eligible, who are then not hidden among many
        #[arg(long)]
        small: bool,
    },
    /// Print the public half of every key that signs, or will
    Show,
    /// Withdraw a key that was stolen or lost: at once it is offered no more, and signs nothing
    ///
    /// Prints which key is to be revoked, and for which days another one is made in its place, under another name. All
    /// workers have as many passes again by that one.
    Withdraw {
        /// Such as 2026-Q4
        #[arg(long, value_name = "NAME")]
        period: PeriodName,
    },
}

#[derive(Subcommand)]
enum Scim {
    /// Make the identity provider's token, and print it: only its hash is kept
    ///
    /// A token that was made before ends. With the first one the roster becomes empty: from then on, it is what the
    /// identity provider says.
    Token {
        /// Which attribute of a user is the staff number, by which codes are made
        #[arg(long, value_name = "ATTRIBUTE")]
        staff_number: StaffNumber,
    },
    /// Take no more from the identity provider: the roster stays as it is until a file is imported
    Off,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum StaffNumber {
    /// The name that a user signs in with
    UserName,
    /// What the identity provider itself calls the user
    ExternalId,
    /// The employeeNumber of the enterprise extension
    EmployeeNumber,
}

#[derive(Args)]
struct Serve {
    /// Where to listen; elsewhere than on this machine alone only with a certificate
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50061")]
    listen: std::net::SocketAddr,
    /// Where to listen for the identity provider, by SCIM; under the same rule
    #[arg(long, value_name = "ADDRESS")]
    scim_listen: Option<std::net::SocketAddr>,
    /// A web page that may ask for passes from a browser, scheme and host; may be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    origins: Vec<Origin>,
    /// The certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// The hospital's identity provider, where workers sign in: those of the roster in place of a code, or whoever may
    #[arg(long, value_name = "ADDRESS", requires = "oidc_client_id")]
    oidc_issuer: Option<String>,
    /// What the provider calls this issuer: a public client for native apps
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// The claim that has the employee_id of the roster
    #[arg(long, value_name = "NAME", requires = "oidc_issuer", default_value = "sub")]
    oidc_claim: String,
    /// The certificates that vouch for the provider instead of the system's, PEM
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    oidc_ca_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { home, command } = Arguments::parse();
    let done = match command {
        Command::Init(init) => command::init(&home, init).await,
        Command::Import { file, dry_run } => command::import(&home, &file, dry_run).await,
        Command::Scim(scim) => command::scim(&home, scim).await,
        Command::Codes(codes) => command::codes(&home, codes).await,
        Command::Key(key) => command::key(&home, key).await,
        Command::Serve(serve) => command::serve(&home, serve).await,
        Command::Audit { seen } => command::audit(&home, seen.as_deref()).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("respite-issuer: {}", command::sentence(&*error));
            ExitCode::FAILURE
        }
    }
}

fn day(text: &str) -> Result<NaiveDate, &'static str> {
    parse_day(text).ok_or("not a date such as 2026-12-31")
}
