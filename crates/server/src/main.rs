//! The command line of `respite`.

mod command;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use server::config::Config;

/// Scheduling for counseling of people who work in healthcare: sessions that fit around their shifts, booked
/// under an alias that nothing ties to a person.
#[derive(Parser)]
#[command(name = "respite", version, arg_required_else_help = true)]
struct Arguments {
    /// The settings file; without it /etc/respite/respite.toml if there is one, or every default
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until interrupted
    ///
    /// Without settings: on 127.0.0.1:50051, with an embedded database `respite.db` and its key `respite.key`
    /// in the working directory, both made at the first start.
    Serve,
    /// Show all of it in a temporary folder: a directory, and a nurse who finds somebody to talk to
    ///
    /// Every step is checked. Afterwards it keeps serving, until interrupted, for whoever wants to play on.
    Demo {
        /// End after the story, with status 1 if a step did not hold
        #[arg(long)]
        exit: bool,
    },
    /// Move the database's schema, or show where it is
    ///
    /// The embedded database is moved up at every start; a PostgreSQL only by this command. Running it from
    /// several machines at once is safe.
    Migrate {
        #[command(subcommand)]
        direction: Option<command::migrate::Direction>,
    },
    /// Say what is wrong in the settings, and in which line
    CheckConfig,
    /// Look at everything the server depends on: one line each, failing if one of them does not work
    Doctor,
    /// Ask a running server whether it serves, for container and load balancer checks
    Health {
        /// Where it listens, such as `http://127.0.0.1:50051`; without it, as the settings say
        #[arg(long, value_name = "URI")]
        address: Option<String>,
    },
    /// Fill an empty directory with made-up therapists, to try things out
    ///
    /// The same ones on every machine. Anybody can sign in as one of them, so a directory with real
    /// therapists is refused.
    Seed {
        /// How many there shall be
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        therapists: u32,
    },
    /// Make keys, and replace the one that wraps
    #[command(subcommand)]
    Key(command::key::Key),
    /// What staff did: a log to which is only added
    #[command(subcommand)]
    Audit(command::audit::Audit),
    /// Those who run the service
    #[command(subcommand)]
    Operator(command::operator::Operator),
    /// Who signs in by the word of the identity provider of staff (`[staff.oidc]`)
    #[command(subcommand)]
    Identity(command::identity::Identity),
    /// Those who are found and booked
    #[command(subcommand)]
    Therapist(command::therapist::Therapist),
    /// What hospitals pay for, and who manages it for them
    #[command(subcommand)]
    Programme(command::programme::Programme),
    /// Time zone rules, and the bookings whose hour they change
    #[command(subcommand)]
    Zones(command::zones::Zones),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { config, command } = Arguments::parse();
    let alone = match &command {
        Command::Demo { .. } => true,
        Command::Key(which) => which.reads_no_settings(),
        _ => false,
    };
    if config.is_some() && alone {
        let told = "this command reads no settings: leave --config out";
        Arguments::command().error(ErrorKind::ArgumentConflict, told).exit();
    }
    match run(config.as_deref(), command).await {
        Ok(code) => code,
        Err(error) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}respite:{red:#} {}", command::sentence(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run(file: Option<&Path>, command: Command) -> command::Outcome {
    let config = || Config::load(file);
    match command {
        Command::Serve => command::serve::run(&config()?).await,
        Command::Demo { exit } => command::demo::run(exit).await,
        Command::Migrate { direction } => command::migrate::run(&config()?, direction).await,
        Command::CheckConfig => command::check::settings(&config()?),
        Command::Doctor => command::check::doctor(&config()?).await,
        Command::Health { address } => command::check::health(&config()?, address).await,
        Command::Seed { therapists } => command::seed::run(&config()?, therapists).await,
        Command::Key(which) => command::key::run(config, which).await,
        Command::Audit(what) => command::audit::run(&config()?, what).await,
        Command::Operator(what) => command::operator::run(&config()?, what).await,
        Command::Identity(what) => command::identity::run(&config()?, what).await,
        Command::Therapist(what) => command::therapist::run(&config()?, what).await,
        Command::Programme(what) => command::programme::run(&config()?, what).await,
        Command::Zones(what) => command::zones::run(&config()?, what).await,
    }
}
