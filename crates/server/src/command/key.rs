//! `respite key`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use client::SigningKey;
use data_encoding::HEXLOWER;
use server::key;

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
}

pub(crate) fn run(which: Key) -> Outcome {
    match which {
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
