//! From settings to an [`App`] that can answer calls.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Password, Post, SetupError, Smtp};
use oidc::{Provider, ProviderError};
use services::{App, Clock, Rates, Settings, feeds::Feeds, rates::Allowances};
use store::Db;
use thiserror::Error;

use crate::config::{self, Config, DatabaseUrl, Limits, StaffDoor, TlsSettings};
use crate::key::{self, KeyError};
use crate::schema::{self, Schema};
use crate::tls::{Tls, TlsError};
use crate::zones::{self, ZonesError};

/// Why the process cannot start with these settings.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The server's key is not usable.
    #[error("key: {0}")]
    Key(#[from] KeyError),
    /// The configured zone rules are not usable.
    #[error("zones.directory: {0}")]
    Zones(#[from] ZonesError),
    /// A file named by a setting cannot be read.
    #[error("{setting}: {}: {source}", path.display())]
    File {
        /// The setting.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A certificate, a key or an authority does not work.
    #[error("{table}: {source}")]
    Tls {
        /// The settings that name it.
        table: &'static str,
        /// What is wrong with it.
        source: TlsError,
    },
    /// There is no user in the URL to whom the password could belong.
    #[error("database.url names no user for database.password_file")]
    NoUser,
    /// The database does not answer.
    #[error("database: {0}")]
    Database(#[from] store::Error),
    /// The database lacks steps that this program needs.
    #[error("the database lacks {pending} of this program's steps: run `respite migrate up`")]
    Behind {
        /// How many.
        pending: usize,
    },
    /// The database was moved on by a newer program.
    #[error(
        "the database has a step that this program does not know, {step}: use the newer program that made it"
    )]
    Ahead {
        /// The first one.
        step: String,
    },
    /// What is in the database was sealed with another key.
    #[error(
        "key: {} is not the key of this database: it does not open what is sealed for {aliases} of its aliases; put \
         the right one back", path.display()
    )]
    OtherKey {
        /// The key file.
        path: PathBuf,
        /// For how many aliases.
        aliases: u64,
    },
    /// The mail server's settings do not work.
    #[error("{}: {}", config::mail_setting(.0), .0)]
    Mail(#[from] SetupError),
    /// The settings of the identity provider of staff do not work.
    #[error("staff.oidc.{0}")]
    Provider(#[from] ProviderError),
}

/// Opens everything a call needs; the embedded database is brought up to date, a shared one must be.
pub async fn open(config: &Config) -> Result<App, OpenError> {
    let keyring = key::load(config)?;
    let zones = zones::load(config.zones.directory.as_deref())?;
    let post = post(config)?;
    let staff_provider = staff_provider(config)?.map(Arc::new);
    let db = connect(config).await?;
    let mut schema = schema::of(db.read()).await?;
    if config.database.url.sqlite_path().is_some() && matches!(schema, Schema::Behind { .. }) {
        migrations::up(db.read()).await.map_err(store::Error::from)?;
        schema = schema::of(db.read()).await?;
    }
    match schema {
        Schema::Current { .. } => {}
        Schema::Behind { pending } => return Err(OpenError::Behind { pending: pending.len() }),
        Schema::Ahead { unknown } => {
            return Err(OpenError::Ahead { step: unknown.into_iter().next().unwrap_or_default() });
        }
    }
    let aliases = key::cannot_open(&keyring, &db).await?;
    if aliases > 0 {
        return Err(OpenError::OtherKey { path: key::path(config)?, aliases });
    }
    tracing::info!(
        zones.version = zones.in_force.version(),
        zones.source = zones.in_force.source(),
        database = %config.database.url,
        "opened"
    );
    Ok(App {
        db,
        clock: Clock::System,
        rules: zones.in_force,
        keyring: Arc::new(keyring),
        post,
        staff_provider,
        settings: Arc::new(settings(config)),
        listings: Arc::default(),
        mirror: Arc::default(),
        callers: Arc::default(),
        watches: Arc::default(),
        keys: Arc::default(),
        rates: Arc::new(Rates::new(allowances(&config.limits))),
        feeds: Arc::new(Feeds::network()),
    })
}

/// What the settings say about the product's behaviour.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    Settings {
        audience: config.audience.clone(),
        proof_of_work_bits: config.alias.proof_of_work_bits.get(),
        join_template: config.join.link_template.as_str().to_owned(),
        pass_required: config.programmes.pass_required,
    }
}

fn allowances(limits: &Limits) -> Allowances {
    Allowances {
        anonymous: limits.anonymous_calls_per_minute.get(),
        searches: limits.searches_per_minute.get(),
        holds: limits.holds_per_minute.get(),
        imports: limits.imports_per_minute.get(),
    }
}

/// Connects to the database, and makes the file of an embedded one so that nobody else can read it.
pub async fn connect(config: &Config) -> Result<Db, OpenError> {
    let url = match &config.database.password_file {
        Some(path) => {
            let password = read("database.password_file", path)?;
            config.database.url.with_password(password.trim_end()).ok_or(OpenError::NoUser)?
        }
        None => config.database.url.clone(),
    };
    make_private(&url)?;
    Ok(Db::connect(url.as_str(), config.database.max_connections.get()).await?)
}

/// Where letters go under these settings.
pub fn post(config: &Config) -> Result<Post, OpenError> {
    let Some(mail) = &config.mail else { return Ok(Post::Log) };
    let password = match &mail.password_file {
        Some(path) => Some(Password::new(&read("mail.password_file", path)?)),
        None => None,
    };
    Ok(Post::Smtp(Smtp::new(mail, password)?))
}

/// Where staff may sign in under these settings; nothing is connected to.
pub fn staff_provider(config: &Config) -> Result<Option<Provider>, OpenError> {
    Ok(config.staff.oidc.as_ref().map(Provider::new).transpose()?)
}

/// The certificate and key as the server shows them to everybody.
pub fn tls(settings: &TlsSettings) -> Result<Tls, OpenError> {
    let certificate = read("tls.certificate", &settings.certificate)?;
    let key = read("tls.key", &settings.key)?;
    Tls::new(&certificate, &key, None).map_err(|source| OpenError::Tls { table: "tls", source })
}

/// The certificate and key as the server shows them to staff, and whose certificates staff must show.
pub fn staff_tls(settings: &StaffDoor) -> Result<Tls, OpenError> {
    let certificate = read("staff.certificate", &settings.certificate)?;
    let key = read("staff.key", &settings.key)?;
    let client_ca = read("staff.client_ca", &settings.client_ca)?;
    Tls::new(&certificate, &key, Some(&client_ca)).map_err(|source| OpenError::Tls { table: "staff", source })
}

fn read(setting: &'static str, path: &Path) -> Result<String, OpenError> {
    fs::read_to_string(path).map_err(|source| OpenError::File { setting, path: path.to_owned(), source })
}

fn make_private(url: &DatabaseUrl) -> Result<(), OpenError> {
    let Some(path) = url.sqlite_path() else { return Ok(()) };
    match key::write_secret(path, "") {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made.map_err(|source| OpenError::File { setting: "database.url", path: path.to_owned(), source })
        }
    }
}
