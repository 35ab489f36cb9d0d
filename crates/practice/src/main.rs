//! The command line of `respite-practice`.
//!
//! It runs where the practice's key is, which is a machine that is never online, and knows no server.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chrono::{Days, NaiveDate, NaiveTime, Utc};
use clap::{Parser, Subcommand};
use data_encoding::{BASE64, HEXLOWER};
use notes::{Certificate, PracticeKey, PublicKey};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

/// What the practice says of its therapists' devices, signed with a key that no server has.
///
/// Workers' devices seal notes to a key that was signed here, and to no other: whoever runs the servers cannot read along by
/// a key of their own.
#[derive(Parser)]
#[command(name = "respite-practice", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the practice's key, and print the public half, which goes into the app
    ///
    /// Whoever has the key can pass for any therapist's device. Keep a copy in a safe: without it no device can be added
    /// until every worker has another app.
    Make {
        /// A new file, which only this user can read: 64 hexadecimal digits, an Ed25519 seed
        file: PathBuf,
    },
    /// Sign the key of a therapist's device, once they have read out its fingerprint
    ///
    /// The key itself may come by any way. The fingerprint may not: it comes from the therapist in person, or by a call in
    /// which you know the voice, since it is all that tells their device from somebody else's. What is printed is a
    /// `DeviceKey` of the contract, in JSON, which the therapist's app hands in.
    Sign {
        /// The practice's key
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Whose device it is, as the directory calls them
        #[arg(long, value_name = "ID")]
        therapist: Uuid,
        /// Of the device: X25519, 32 bytes in base64
        #[arg(long, value_name = "BASE64", value_parser = public_key)]
        public_key: PublicKey,
        /// Four groups of four digits, as the therapist reads them from the device
        #[arg(long, value_name = "DIGITS")]
        fingerprint: String,
        /// The last day on which anything is sealed to it, at most 365 days from now; better 90, since a device may be lost
        #[arg(long, value_name = "DATE")]
        until: NaiveDate,
    },
}

/// Why nothing was made or signed. It never repeats what is in a file.
#[derive(Debug, Error)]
enum Refused {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not a key: 64 hexadecimal digits are expected", .0.display())]
    NoKey(PathBuf),
    // Which one it has is not said: whoever is told might type that.
    #[error("this key has another fingerprint: it is not the one that was read out to you")]
    OtherFingerprint,
    #[error("the last day is to come, and at most {MOST_DAYS} days from now")]
    Until,
    #[error("this machine has no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// The contract allows 366 days, and the last one is a whole day.
const MOST_DAYS: u64 = 365;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Make { file } => make(&file),
        Command::Sign { key, therapist, public_key, fingerprint, until } => {
            read(&key).and_then(|key| sign(&key, therapist, public_key, &fingerprint, until))
        }
    };
    match done {
        Ok(told) => {
            anstream::println!("{told}");
            ExitCode::SUCCESS
        }
        Err(refused) => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            anstream::eprintln!("{red}respite-practice:{red:#} {refused}");
            ExitCode::FAILURE
        }
    }
}

fn make(file: &Path) -> Result<String, Refused> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut())?;
    let text = Zeroizing::new(HEXLOWER.encode(seed.as_ref()) + "\n");
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        // What it is called, too, which is the folder's to know.
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| Refused::File { path: file.to_owned(), source })?;
    Ok(HEXLOWER.encode(PracticeKey::from_bytes(&seed).verifying_key().as_bytes()))
}

fn read(file: &Path) -> Result<PracticeKey, Refused> {
    let text = fs::read(file).map(Zeroizing::new);
    let text = text.map_err(|source| Refused::File { path: file.to_owned(), source })?;
    let seed = HEXLOWER.decode(text.trim_ascii()).map(Zeroizing::new).ok();
    let seed = seed.and_then(|seed| seed.as_slice().try_into().map(Zeroizing::new).ok());
    Ok(PracticeKey::from_bytes(&*seed.ok_or_else(|| Refused::NoKey(file.to_owned()))?))
}

#[expect(clippy::disallowed_methods, reason = "a command of one moment, which reads the clock once")]
fn sign(
    practice: &PracticeKey,
    therapist: Uuid,
    device: PublicKey,
    read_out: &str,
    until: NaiveDate,
) -> Result<String, Refused> {
    let digits = |text: &str| -> String { text.split_whitespace().collect::<String>().to_lowercase() };
    if digits(read_out) != digits(&device.fingerprint()) {
        return Err(Refused::OtherFingerprint);
    }
    let today = Utc::now().date_naive();
    let ends = until.checked_add_days(Days::new(1)).ok_or(Refused::Until)?;
    if until < today || until > today + Days::new(MOST_DAYS) {
        return Err(Refused::Until);
    }
    let ends = ends.and_time(NaiveTime::MIN).and_utc();
    let signed = Certificate::sign(practice, therapist.into_bytes(), &device, ends.timestamp());
    Ok(format!(
        r#"{{"publicKey":"{}","expireTime":"{}","signature":"{}"}}"#,
        BASE64.encode(&signed.public_key),
        ends.format("%Y-%m-%dT%H:%M:%SZ"),
        BASE64.encode(&signed.signature),
    ))
}

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    let bytes = BASE64.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(PublicKey::from_bytes).ok_or("32 bytes in base64 are expected")
}
