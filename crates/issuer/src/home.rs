//! The folder that has everything of one issuer: its database, its secret, its keys.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pass::TokenChallenge;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Clock, Error,
    audit::{self, Action},
    database::Database,
    period::PeriodName,
    secret::Secret,
};

/// An issuer that was opened: what commands and calls work with.
pub struct App {
    pub(crate) db: Database,
    pub(crate) secret: Secret,
    pub(crate) home: Home,
    pub(crate) clock: Clock,
    identity: Identity,
}

/// What an issuer is, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The programme whose sessions its passes pay: one issuer has one.
    pub programme: Uuid,
    /// What it is called in each pass, such as `issuer.hospital.example`: the same for all.
    pub name: String,
    /// Who redeems its passes.
    pub origin: String,
    /// How a worker shows to be eligible.
    pub mode: Mode,
}

/// How a worker shows to be eligible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By a card drawn from a box: nobody knows who has which.
    Cards,
    /// By a code that belongs to an entry of the roster, or by a login that says whose entry it is.
    Roster,
    /// By a login at the hospital's identity provider: whoever may sign in there is eligible.
    Logins {
        /// How many may, as the hospital says.
        eligible: u32,
    },
}

#[derive(Debug)]
pub(crate) struct Home(PathBuf);

impl App {
    /// Makes an issuer in a folder of its own, which must not be there yet.
    pub async fn create(directory: &Path, identity: &Identity, clock: Clock) -> Result<Self, Error> {
        identity.challenge()?;
        let home = Home(directory.to_owned());
        make_directory(directory)?;
        make_directory(&home.keys())?;
        let secret = Secret::generate();
        write_secret(&home.secret(), &secret.to_text())?;
        write_secret(&home.database(), "")?;

        let db = Database::open(&home.database()).await?;
        let mut transaction = db.write().await?;
        sqlx::query(
            "insert into issuer (one, programme, name, origin, mode, eligible, secret_id)
             values (1, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&identity.programme.as_bytes()[..])
        .bind(&identity.name)
        .bind(&identity.origin)
        .bind(identity.mode.to_string())
        .bind(match identity.mode {
            Mode::Cards | Mode::Roster => None,
            Mode::Logins { eligible } => Some(eligible),
        })
        .bind(&secret.id()[..])
        .execute(&mut *transaction)
        .await?;
        audit::append(&mut transaction, clock.now(), &Action::Created { mode: identity.mode }).await?;
        transaction.commit().await?;
        Ok(Self { db, secret, home, clock, identity: identity.clone() })
    }

    /// Opens the issuer in a folder.
    pub async fn open(directory: &Path, clock: Clock) -> Result<Self, Error> {
        let home = Home(directory.to_owned());
        let path = home.secret();
        let secret =
            Secret::parse(&read_secret(&path)?).ok_or_else(|| Error::OtherSecret { path: path.clone() })?;
        // SQLite would make a database that is not there.
        fs::metadata(home.database()).map_err(|source| Error::File { path: home.database(), source })?;
        let db = Database::open(&home.database()).await?;
        let row = sqlx::query_as("select programme, name, origin, mode, eligible, secret_id from issuer")
            .fetch_one(&mut *db.read().await?)
            .await?;
        let (programme, name, origin, mode, eligible, secret_id): (
            Vec<u8>,
            String,
            String,
            String,
            Option<u32>,
            Vec<u8>,
        ) = row;
        if secret.id() != secret_id[..] {
            return Err(Error::OtherSecret { path });
        }
        let programme = Uuid::from_slice(&programme).map_err(|_| Error::Damaged("issuer"))?;
        let mode = Mode::parse(&mode, eligible).ok_or(Error::Damaged("issuer"))?;
        Ok(Self { db, secret, home, clock, identity: Identity { programme, name, origin, mode } })
    }

    /// What it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What day it is.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Closes the database, waiting for what is being written.
    pub async fn close(&self) {
        self.db.close().await;
    }

    pub(crate) fn expect_mode(&self, mode: Mode) -> Result<(), Error> {
        let found = self.identity.mode;
        if found == mode { Ok(()) } else { Err(Error::Mode { mode: found }) }
    }
}

impl Identity {
    /// What all its passes are made for, as the log of keys has it.
    pub fn challenge(&self) -> Result<TokenChallenge, Error> {
        let sound = |name: &str| {
            (1..=255).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':'))
        };
        if !sound(&self.name) || !sound(&self.origin) {
            return Err(Error::Name);
        }
        TokenChallenge::new(&self.name, &self.origin).map_err(|_| Error::Name)
    }
}

impl Mode {
    fn parse(text: &str, eligible: Option<u32>) -> Option<Self> {
        match (text, eligible) {
            ("cards", None) => Some(Self::Cards),
            ("roster", None) => Some(Self::Roster),
            ("logins", Some(eligible)) => Some(Self::Logins { eligible }),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cards => "cards",
            Self::Roster => "roster",
            Self::Logins { .. } => "logins",
        })
    }
}

impl Home {
    /// Writes the private key of a period that is being made. What lies there is of one that was cut off in the middle: its key
    /// has signed nothing, and never will.
    pub(crate) fn write_key(&self, period: &PeriodName, pem: &str) -> Result<(), Error> {
        let path = self.key(period);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File { path, source }),
            _ => write_secret(&path, pem),
        }
    }

    pub(crate) fn read_key(&self, period: &PeriodName) -> Result<pass::Issuer, Error> {
        let path = self.key(period);
        let pem = read_secret(&path)?;
        pass::Issuer::from_pkcs8_pem(&pem).map_err(|source| Error::Key { path, source })
    }

    fn database(&self) -> PathBuf {
        self.0.join("issuer.db")
    }

    fn secret(&self) -> PathBuf {
        self.0.join("issuer.secret")
    }

    fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    fn key(&self, period: &PeriodName) -> PathBuf {
        self.keys().join(format!("{period}.pem"))
    }
}

fn make_directory(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Writes a new file that only this user can read, and has it on disk when it returns.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // What it is called, too, which is the folder's to know.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(Error::OpenToOthers { path: path.to_owned() });
    }
    fs::read_to_string(path).map(Zeroizing::new).map_err(failed)
}
