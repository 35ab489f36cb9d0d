//! Why a command of the hospital's staff did not do what it should.

use std::io;
use std::path::PathBuf;

use chrono::NaiveDate;
use pass::PrivateKeyError;
use thiserror::Error;

use crate::{
    home::Mode,
    period::{PeriodError, PeriodName},
    roster::RosterError,
};

/// Carries facts and never a staff number, a code or what is in a key file.
#[derive(Debug, Error)]
pub enum Error {
    /// A file is missing, closed to this process, or there already.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read what must be secret.
    #[error("{} can be read by others: `chmod 600` it, and ask who did", path.display())]
    OpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// The secret is not the one that this database's hashes were made with.
    #[error("{} is not this database's secret: put the right one back", path.display())]
    OtherSecret {
        /// The file.
        path: PathBuf,
    },
    /// A private key cannot be used.
    #[error("{}: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PrivateKeyError,
    },
    /// A key file has another period's key.
    #[error("the key file of {period} has another key: put the right one back")]
    OtherKey {
        /// Whose key is missing.
        period: PeriodName,
    },
    /// The database was moved on by a newer program.
    #[error("the database is at step {step}, which this program does not know: use the newer one")]
    NewerSchema {
        /// Where it is.
        step: i64,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A row does not say what it must.
    #[error("the table {0} is damaged")]
    Damaged(&'static str),
    /// Names and origins go into every pass.
    #[error("a name and an origin have 1 to 255 letters, digits, dots, hyphens and colons")]
    Name,
    /// Two modes at once would give whoever knows it twice as many passes.
    #[error("this issuer was made for {mode}")]
    Mode {
        /// What it was made for.
        mode: Mode,
    },
    /// Nobody could show to be eligible.
    #[error("this issuer has logins alone: say where with --oidc-issuer and --oidc-client-id")]
    NoProvider,
    /// What ends before it begins is a mistake.
    #[error("{day} is over")]
    Past {
        /// The day.
        day: NaiveDate,
    },
    /// A period cannot be made.
    #[error(transparent)]
    Period(#[from] PeriodError),
    /// A roster is not taken.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// What a file says, and what the identity provider says, would contradict each other.
    #[error("this roster comes by SCIM: `scim off` before a file is imported")]
    ComesByScim,
    /// Users would be mistaken for others.
    #[error("the staff number is another attribute: `scim off` before it changes")]
    OtherStaffNumber,
    /// The process is ending.
    #[error("interrupted")]
    Interrupted,
}
