//! `respite key`

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Subcommand;
use client::SigningKey;
use data_encoding::HEXLOWER;
use server::config::{Config, ConfigError};
use server::key::{self, KeyError};
use server::open;
use services::rewrap::{self, Wrapped};
use vault::Keyring;

use super::Outcome;

#[derive(Subcommand)]
pub(crate) enum Key {
    /// Make the key that the servers of one database share
    ///
    /// Keep it apart from backups of the database: whoever has both can read what is sealed.
    Server {
        /// A new file, which only this user can read
        file: PathBuf,
    },
    /// Make the key with which a therapist or an operator signs in, and print its public half
    ///
    /// Best made on their own device; the server needs the public half alone.
    Staff {
        /// A new file, which only this user can read: 64 hexadecimal digits, an Ed25519 seed
        file: PathBuf,
    },
    /// Add a key that opens and does not wrap yet, to the server's key file
    ///
    /// Give the file to every server of the database and restart them, so that all of them can open what one of them
    /// wraps after `rotate`. A single server needs no such step.
    Next,
    /// Let the next key wrap, or a fresh one, from the next start of a server on
    Rotate,
    /// List the keys in the server's key file, and what each still wraps
    Status,
    /// Wrap anew what older keys still wrap; servers may go on meanwhile
    Rewrap,
    /// Take a key that wraps nothing out of the server's key file
    Retire {
        /// As `respite key status` shows it
        id: KekId,
    },
}

impl Key {
    /// Whether it is about a file of its own, and not about the one that the settings name.
    pub(crate) fn reads_no_settings(&self) -> bool {
        matches!(self, Self::Server { .. } | Self::Staff { .. })
    }
}

/// What a key is called.
#[derive(Clone, Copy)]
pub(crate) struct KekId(vault::KeyId);

impl FromStr for KekId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or("8 hexadecimal digits are expected")
    }
}

pub(crate) async fn run(config: impl FnOnce() -> Result<Config, ConfigError>, which: Key) -> Outcome {
    match which {
        Key::Next => {
            let (path, mut keyring) = load(&config()?)?;
            let id = keyring.prepare();
            key::replace(&path, &keyring)?;
            anstream::println!(
                "{}  next: give the file to every server, and restart them",
                HEXLOWER.encode(&id)
            );
        }
        Key::Rotate => {
            let (path, mut keyring) = load(&config()?)?;
            let id = keyring.rotate();
            key::replace(&path, &keyring)?;
            anstream::println!(
                "{}  wraps: restart every server, then `respite key rewrap`",
                HEXLOWER.encode(&id)
            );
        }
        Key::Status => {
            let app = open::open(&config()?).await?;
            for wrapped in rewrap::wrapped(&app.keyring, &app.db).await? {
                anstream::println!("{}", told(&app.keyring, &wrapped));
            }
            app.db.close().await?;
        }
        Key::Rewrap => {
            let app = open::open(&config()?).await?;
            let wrapped = rewrap::rewrap(&app.keyring, &app.db).await?;
            anstream::println!("{wrapped} wrapped anew");
            app.db.close().await?;
        }
        Key::Retire { id: KekId(id) } => {
            let config = config()?;
            let app = open::open(&config).await?;
            let wrapped = rewrap::wrapped(&app.keyring, &app.db).await?;
            app.db.close().await?;
            let still = wrapped.iter().find(|wrapped| wrapped.kek_id == id);
            if still.is_some_and(|still| still.aliases + still.feeds > 0) {
                return Err(
                    "it still wraps something: `respite key rewrap` first, and see `respite key status`"
                        .into(),
                );
            }
            let (path, mut keyring) = load(&config)?;
            keyring.retire(id)?;
            key::replace(&path, &keyring)?;
        }
        Key::Server { file } => key::make(&file)?,
        Key::Staff { file } => {
            let mut seed = zeroize::Zeroizing::new([0; 32]);
            getrandom::fill(seed.as_mut())?;
            let text = zeroize::Zeroizing::new(HEXLOWER.encode(seed.as_ref()) + "\n");
            key::write_secret(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
            anstream::println!(
                "{}",
                HEXLOWER.encode(SigningKey::from_bytes(&seed).verifying_key().as_bytes())
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn load(config: &Config) -> Result<(PathBuf, Keyring), KeyError> {
    Ok((key::path(config)?, key::load(config)?))
}

fn told(keyring: &Keyring, wrapped: &Wrapped) -> String {
    let Wrapped { kek_id, aliases, feeds } = wrapped;
    let role = if *kek_id == keyring.kek_id() { "wraps" } else { "opens" };
    format!("{}  {role}  {aliases} aliases  {feeds} calendars of therapists", HEXLOWER.encode(kek_id))
}
