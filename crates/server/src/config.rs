//! Every setting of the process: one struct, read once from one file, and refused with the line when wrong.

mod limits;

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use http::{HeaderValue, Uri};
use notify::{Password, SetupError, Smtp, SmtpSettings};
use oidc::{Provider, ProviderError, ProviderSettings};
use serde::Deserialize;
use thiserror::Error;

pub use limits::Limits;

/// Where settings are read from when no file is named, if it exists.
pub const SYSTEM_FILE: &str = "/etc/respite/respite.toml";

/// Every setting, with the default that makes a first run work. `deploy/respite.toml` explains them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the gRPC server listens.
    pub listen: SocketAddr,
    /// Allows plain text on other addresses than this machine's own, since something in front encrypts.
    pub behind_tls_proxy: bool,
    /// Who clients sign in to; it is part of what they sign.
    pub audience: String,
    /// The server's key, under which contacts and rosters are sealed.
    pub key_file: Option<PathBuf>,
    /// Where everything is kept.
    pub database: DatabaseSettings,
    /// The certificate the server shows.
    pub tls: Option<TlsSettings>,
    /// How therapists, operators and managers come in, besides as everybody does.
    pub staff: StaffSettings,
    /// Clients in browsers.
    pub web: WebSettings,
    /// Where zone rules may come from besides the program and the system (T6).
    pub zones: ZoneSettings,
    /// The mail server that reminders go through; without it they are logged and go nowhere.
    pub mail: Option<SmtpSettings>,
    /// Where sessions are held.
    pub join: JoinSettings,
    /// What making an alias costs.
    pub alias: AliasSettings,
    /// What hospitals pay for.
    pub programmes: ProgrammeSettings,
    /// How much one client may ask for.
    pub limits: Limits,
    /// What the process tells about itself.
    pub telemetry: TelemetrySettings,
}

/// A database and how many connections to it are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// The embedded SQLite or a PostgreSQL.
    pub url: DatabaseUrl,
    /// The password for PostgreSQL, where the URL has none.
    pub password_file: Option<PathBuf>,
    /// Of this process alone.
    pub max_connections: NonZeroU32,
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate, with those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How therapists, operators and managers come in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "StaffTable")]
pub struct StaffSettings {
    /// Where they call, if not where everybody does.
    pub door: Option<StaffDoor>,
    /// Where they may sign in, besides with their keys.
    pub oidc: Option<ProviderSettings>,
}

/// A socket for staff alone, who show a certificate besides signing in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaffDoor {
    /// Where it listens, on a network that the internet does not reach.
    pub listen: SocketAddr,
    /// The certificate shown to staff, with those that vouch for it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs the certificates of staff.
    pub client_ca: PathBuf,
}

/// The same as it is written.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StaffTable {
    listen: Option<SocketAddr>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    oidc: Option<ProviderSettings>,
}

/// Which pages may call the server from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSettings {
    /// None by default.
    pub allowed_origins: Vec<Origin>,
}

/// Additional zone rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ZoneSettings {
    /// A compiled tz database with its version, such as a fresher copy of `/usr/share/zoneinfo`.
    pub directory: Option<PathBuf>,
}

/// How a session is joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinSettings {
    /// Where the room of a session is.
    pub link_template: LinkTemplate,
}

/// Making an alias.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AliasSettings {
    /// Leading zero bits a client must find; each one doubles its work.
    pub proof_of_work_bits: ProofOfWorkBits,
}

/// What hospitals pay for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProgrammeSettings {
    /// Nobody books without a pass or a credit.
    pub pass_required: bool,
}

/// Logs, traces and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetrySettings {
    /// The OpenTelemetry collector, by OTLP over gRPC.
    pub otlp_endpoint: Option<Collector>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is worth a log line.
    pub log_level: LogLevel,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text, with colours on a terminal.
    #[default]
    Auto,
    /// Text without colours.
    Text,
    /// One JSON object per line.
    Json,
}

/// The least important lines that are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What somebody must look at.
    Error,
    /// What may become an error.
    Warn,
    /// What the process does.
    #[default]
    Info,
}

/// `sqlite://PATH` or `postgres://...`; shown without what stands before the host.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DatabaseUrl(String);

/// A page's origin, such as `https://app.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(HeaderValue);

/// An address with `{room}` in it, which stands for a random name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LinkTemplate(String);

/// At most 26: a phone finds that many in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u8")]
pub struct ProofOfWorkBits(u8);

/// Where a collector listens: `http://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Collector(String);

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file is missing or closed to this process.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file does not say what a settings file can say.
    #[error("{file}:{line}: {reason}")]
    Wrong {
        /// The file, as it was named.
        file: String,
        /// Counted from one.
        line: usize,
        /// What is wrong with that line.
        reason: String,
    },
    /// Two settings do not go together.
    #[error("{at}: {reason}")]
    Refused {
        /// The file and line of the setting, or its name if it is a default.
        at: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Config {
    /// Reads `file`, or without one [`SYSTEM_FILE`] if there is one; every default otherwise.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let system = Path::new(SYSTEM_FILE);
        let Some(path) = file.or_else(|| system.exists().then_some(system)) else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// Reads the text of a settings file that errors call `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Wrong {
            file: file.to_owned(),
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        config.check().map_err(|(setting, reason)| ConfigError::Refused {
            at: match line_of(text, setting) {
                Some(line) => format!("{file}:{line}"),
                None => format!("{file}: {setting}"),
            },
            reason,
        })?;
        Ok(config)
    }

    /// What no single setting can tell: the path of the one to change, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if !self.listen.ip().is_loopback() && self.tls.is_none() && !self.behind_tls_proxy {
            let reason = format!(
                "{} can be reached from elsewhere, and nothing encrypts: set [tls], or behind_tls_proxy = true \
                 if something in front does",
                self.listen
            );
            return Err(("listen", reason));
        }
        if self.staff.door.as_ref().is_some_and(|door| door.listen == self.listen) {
            return Err(("staff.listen", "staff and everybody else cannot share an address".to_owned()));
        }
        if let Some(provider) = &self.staff.oidc {
            // What it says without a look at the file that it names.
            Provider::new(&ProviderSettings { ca_file: None, ..provider.clone() })
                .map_err(|error| (provider_setting(&error), error.to_string()))?;
        }
        if self.audience.is_empty() || !self.audience.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(("audience", "a host name such as respite.example.org is expected".to_owned()));
        }
        if self.database.url.sqlite_path().is_none() && self.key_file.is_none() && credential().is_none() {
            let reason = "servers that share a PostgreSQL share one key: set key_file (`respite key server` \
                          makes one)";
            return Err(("database.url", reason.to_owned()));
        }
        if self.database.url.sqlite_path().is_some() && self.database.password_file.is_some() {
            return Err(("database.password_file", "SQLite has no password".to_owned()));
        }
        let connections = u64::from(self.database.max_connections.get());
        let bounds =
            self.limits.bounds().into_iter().chain([("database.max_connections", connections, 1..=1_000)]);
        for (setting, value, bounds) in bounds {
            if !bounds.contains(&value) {
                let reason = format!("{value} is not from {} to {}", bounds.start(), bounds.end());
                return Err((setting, reason));
            }
        }
        if let Some(mail) = &self.mail {
            check_mail(mail).map_err(|error| (mail_setting(&error), error.to_string()))?;
        }
        Ok(())
    }

    /// The key file that somebody else provides: the setting, or the credential given by systemd.
    #[must_use]
    pub fn provided_key_file(&self) -> Option<PathBuf> {
        self.key_file.clone().or_else(credential)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 50051)),
            behind_tls_proxy: false,
            audience: "localhost".to_owned(),
            key_file: None,
            database: DatabaseSettings::default(),
            tls: None,
            staff: StaffSettings::default(),
            web: WebSettings::default(),
            zones: ZoneSettings::default(),
            mail: None,
            join: JoinSettings::default(),
            alias: AliasSettings::default(),
            programmes: ProgrammeSettings::default(),
            limits: Limits::default(),
            telemetry: TelemetrySettings::default(),
        }
    }
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: DatabaseUrl("sqlite://respite.db".to_owned()),
            password_file: None,
            max_connections: NonZeroU32::new(16).expect("16 is not zero"),
        }
    }
}

impl Default for AliasSettings {
    fn default() -> Self {
        Self { proof_of_work_bits: ProofOfWorkBits(18) }
    }
}

impl TryFrom<StaffTable> for StaffSettings {
    type Error = &'static str;

    fn try_from(table: StaffTable) -> Result<Self, Self::Error> {
        let StaffTable { listen, certificate, key, client_ca, oidc } = table;
        let door = match (listen, certificate, key, client_ca) {
            (None, None, None, None) => None,
            (Some(listen), Some(certificate), Some(key), Some(client_ca)) => {
                Some(StaffDoor { listen, certificate, key, client_ca })
            }
            _ => return Err("listen, certificate, key and client_ca go together"),
        };
        Ok(Self { door, oidc })
    }
}

impl DatabaseUrl {
    /// The whole URL, password included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file, if it is the embedded database.
    #[must_use]
    pub fn sqlite_path(&self) -> Option<&Path> {
        let path = self.0.strip_prefix("sqlite://")?;
        Some(Path::new(path.split_once('?').map_or(path, |(path, _)| path)))
    }

    /// The same URL with `password` for its user.
    #[must_use]
    pub fn with_password(&self, password: &str) -> Option<Self> {
        let (scheme, rest) = self.0.split_once("://")?;
        let (user, host) = rest.split_once('@')?;
        let user = user.split(':').next()?;
        let mut encoded = String::with_capacity(password.len());
        for byte in password.bytes() {
            if byte.is_ascii_alphanumeric() {
                encoded.push(char::from(byte));
            } else {
                write!(encoded, "%{byte:02X}").ok()?;
            }
        }
        Some(Self(format!("{scheme}://{user}:{encoded}@{host}")))
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = &'static str;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        let known = ["sqlite://", "postgres://", "postgresql://"];
        match known.iter().find_map(|scheme| url.strip_prefix(scheme)) {
            None => Err("expected `sqlite://PATH` or `postgres://USER@HOST/NAME`"),
            Some(rest) if rest.is_empty() || rest.starts_with('?') => Err("the URL names no database"),
            Some(_) => Ok(Self(url)),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        // A parameter can be a password too.
        let place = place.split_once('?').map_or(place, |(place, _)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl Origin {
    /// As a browser sends it.
    #[must_use]
    pub fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "expected an origin such as `https://app.example.org`, without a path or a `/` at the end";
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return Err(EXPECTED) };
        if format!("{scheme}://{}", uri.authority().map_or("", http::uri::Authority::as_str)) != text
            || text.contains('@')
            || text.bytes().any(|byte| byte.is_ascii_uppercase())
        {
            return Err(EXPECTED);
        }
        if scheme != "https" && !(scheme == "http" && is_this_machine(host)) {
            return Err("an origin is https, or http on this machine");
        }
        HeaderValue::try_from(text).map(Self).map_err(|_| EXPECTED)
    }
}

impl LinkTemplate {
    /// With `{room}` in it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LinkTemplate {
    fn default() -> Self {
        Self("https://meet.example.org/{room}".to_owned())
    }
}

impl TryFrom<String> for LinkTemplate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "expected an https address with one `{room}` in it";
        let uri: Uri = text.replacen("{room}", "room", 1).parse().map_err(|_| EXPECTED)?;
        let secure = match (uri.scheme_str(), uri.host()) {
            (Some("https"), Some(_)) => true,
            (Some("http"), Some(host)) => is_this_machine(host),
            _ => false,
        };
        if secure && text.matches("{room}").count() == 1 { Ok(Self(text)) } else { Err(EXPECTED) }
    }
}

impl ProofOfWorkBits {
    /// How many.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for ProofOfWorkBits {
    type Error = &'static str;

    fn try_from(bits: u8) -> Result<Self, Self::Error> {
        if bits <= 26 { Ok(Self(bits)) } else { Err("more than 26 bits keep a phone busy for minutes") }
    }
}

impl Collector {
    /// The address to connect to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Collector {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str =
            "expected `http://HOST:PORT` of a collector on this machine or a private network";
        let uri: Uri = text.parse().map_err(|_| EXPECTED)?;
        let complete = uri.scheme_str() == Some("http") && uri.host().is_some() && uri.port().is_some();
        if complete { Ok(Self(text)) } else { Err(EXPECTED) }
    }
}

fn is_this_machine(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// What settings of mail say without a look at the files they name.
fn check_mail(mail: &SmtpSettings) -> Result<(), SetupError> {
    let password = mail.password_file.as_ref().map(|_| Password::new(""));
    match Smtp::new(&SmtpSettings { ca_file: None, ..mail.clone() }, password) {
        // The system's own certificates are a matter of the machine.
        Ok(_) | Err(SetupError::Encryption(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Which setting to change when the mail server's do not go together.
pub(crate) fn mail_setting(error: &SetupError) -> &'static str {
    match error {
        SetupError::Unencrypted { .. } => "mail.tls",
        SetupError::HelloName | SetupError::TellingHelloName { .. } => "mail.hello_name",
        SetupError::HalfOfALogin => "mail.username",
        SetupError::Authorities { .. } | SetupError::NoAuthorities { .. } => "mail.ca_file",
        SetupError::Encryption(_) => "mail.host",
    }
}

/// Which setting to change when a provider cannot be used.
fn provider_setting(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Issuer => "staff.oidc.issuer",
        ProviderError::ClientId => "staff.oidc.client_id",
        ProviderError::CaFile { .. } => "staff.oidc.ca_file",
    }
}

/// The key that a systemd unit hands over by `LoadCredential=respite.key:...`.
fn credential() -> Option<PathBuf> {
    let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    let path = Path::new(&directory).join("respite.key");
    path.exists().then_some(path)
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// Where a setting named by its path was given.
fn line_of(text: &str, setting: &str) -> Option<usize> {
    let document = toml::de::DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut names = setting.split('.').peekable();
    while let Some(name) = names.next() {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
        if names.peek().is_none() {
            return Some(line_at(text, key.span().start));
        }
        table = value.get_ref().as_table()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Config, DatabaseUrl};

    const EXPLAINED: &str = include_str!("../../../deploy/respite.toml");

    #[track_caller]
    fn check_refused(text: &str, message: &str) {
        assert_eq!(Config::parse("respite.toml", text).unwrap_err().to_string(), message);
    }

    #[test]
    fn an_empty_file_is_every_default() {
        let config = Config::parse("respite.toml", "").unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn a_typo_fails_with_its_line() {
        let error = Config::parse("respite.toml", "\n# where\nlisen = \"127.0.0.1:1\"\n").unwrap_err();
        let message = error.to_string();
        assert!(
            message.starts_with("respite.toml:3: unknown field `lisen`, expected one of `listen`, "),
            "{message}"
        );
        let error =
            Config::parse("respite.toml", "[limits]\nconnections = 4\nrequest_second = 3\n").unwrap_err();
        assert!(error.to_string().starts_with("respite.toml:3: unknown field `request_second`"), "{error}");
    }

    #[test]
    fn values_are_refused_with_their_line() {
        check_refused("listen = \"localhost\"", "respite.toml:1: invalid socket address syntax");
        check_refused(
            "[limits]\n\nconnections = 0",
            "respite.toml:3: invalid value: integer `0`, expected a nonzero usize",
        );
        check_refused(
            "[database]\nurl = \"mysql://localhost/respite\"",
            "respite.toml:2: expected `sqlite://PATH` or `postgres://USER@HOST/NAME`",
        );
        check_refused("[database]\nurl = \"sqlite://\"", "respite.toml:2: the URL names no database");
        check_refused(
            "[web]\nallowed_origins = [\n  \"https://app.example.org\",\n  \"http://app.example.org\",\n]",
            "respite.toml:2: an origin is https, or http on this machine",
        );
        check_refused(
            "[web]\nallowed_origins = [\"https://app.example.org/\"]",
            "respite.toml:2: expected an origin such as `https://app.example.org`, without a path or a `/` at the end",
        );
        check_refused(
            "[join]\nlink_template = \"https://meet.example.org/\"",
            "respite.toml:2: expected an https address with one `{room}` in it",
        );
        check_refused(
            "[alias]\nproof_of_work_bits = 27",
            "respite.toml:2: more than 26 bits keep a phone busy for minutes",
        );
        check_refused(
            "[telemetry]\notlp_endpoint = \"collector:4317\"",
            "respite.toml:2: expected `http://HOST:PORT` of a collector on this machine or a private network",
        );
    }

    #[test]
    fn what_is_no_limit_any_more_is_refused() {
        for (setting, value, bounds) in [
            ("connections", "9223372036854775807", "1 to 100000"),
            ("connections_per_network", "100001", "1 to 100000"),
            ("logins_at_once", "100001", "1 to 100000"),
            ("searches_at_once", "100001", "1 to 100000"),
            ("calls_at_once", "100001", "1 to 100000"),
            ("anonymous_calls_per_minute", "1000001", "1 to 1000000"),
            ("searches_per_minute", "1000001", "1 to 1000000"),
            ("holds_per_minute", "1000001", "1 to 1000000"),
            ("imports_per_minute", "1000001", "1 to 1000000"),
            ("requests_per_connection", "9223372036854775807", "1 to 10000"),
            ("streams_per_connection", "4294967295", "1 to 10000"),
            ("request_seconds", "9223372036854775807", "1 to 600"),
            ("connection_age_seconds", "9223372036854775807", "1 to 86400"),
            ("keepalive_seconds", "9223372036854775807", "1 to 3600"),
            ("header_bytes", "1", "1024 to 1048576"),
        ] {
            check_refused(
                &format!("[limits]\n{setting} = {value}"),
                &format!("respite.toml:2: {value} is not from {bounds}"),
            );
        }
        check_refused(
            "[database]\nmax_connections = 4294967295",
            "respite.toml:2: 4294967295 is not from 1 to 1000",
        );
    }

    #[test]
    fn mail_that_cannot_be_sent_is_refused_with_its_line() {
        let mail = "[mail]\nhost = \"smtp.example.org\"\nsender = \"no-reply@example.org\"\n";
        check_refused(
            &format!("{mail}tls = \"none\""),
            "respite.toml:4: tls = \"none\" is for a mail server on this machine, and smtp.example.org is not",
        );
        check_refused(
            &format!("{mail}username = \"calendar\""),
            "respite.toml:4: username and password_file go together",
        );
        check_refused(
            &format!("{mail}password_file = \"password\""),
            "respite.toml: mail.username: username and password_file go together",
        );
        check_refused(
            &format!("{mail}hello_name = \"-\""),
            "respite.toml:4: hello_name is not a domain name",
        );
        Config::parse("respite.toml", &format!("{mail}ca_file = \"missing\"")).unwrap();
    }

    #[test]
    fn staff_have_a_whole_door_and_a_provider_that_may_be_trusted_or_none() {
        let door =
            "listen = \"127.0.0.1:1\"\ncertificate = \"a.pem\"\nkey = \"b.pem\"\nclient_ca = \"c.pem\"\n";
        let provider = "[staff.oidc]\nissuer = \"https://login.practice.example\"\nclient_id = \"respite\"\n";
        let check = |text: &str, expected| {
            let staff = Config::parse("respite.toml", text).unwrap().staff;
            assert_eq!((staff.door.is_some(), staff.oidc.is_some()), expected, "{text}");
        };
        check("", (false, false));
        check(provider, (false, true));
        check(&format!("[staff]\n{door}"), (true, false));
        check(&format!("[staff]\n{door}{provider}ca_file = \"missing\""), (true, true));
        check_refused(
            "# no certificate\n[staff]\nlisten = \"127.0.0.1:1\"",
            "respite.toml:2: listen, certificate, key and client_ca go together",
        );
        check_refused(
            &provider.replace("https", "http"),
            "respite.toml:2: issuer: an https address without user, query and fragment is expected",
        );
        check_refused(
            &provider.replace("\"respite\"", "\"\""),
            "respite.toml:3: client_id: must not be empty",
        );
    }

    #[test]
    fn plain_text_stays_on_this_machine() {
        check_refused(
            "# open to all\nlisten = \"0.0.0.0:50051\"",
            "respite.toml:2: 0.0.0.0:50051 can be reached from elsewhere, and nothing encrypts: set [tls], or \
             behind_tls_proxy = true if something in front does",
        );
        Config::parse("respite.toml", "listen = \"0.0.0.0:1\"\nbehind_tls_proxy = true").unwrap();
        Config::parse("respite.toml", "listen = \"[::1]:1\"").unwrap();
        let encrypted = "listen = \"0.0.0.0:1\"\n[tls]\ncertificate = \"a.pem\"\nkey = \"b.pem\"";
        Config::parse("respite.toml", encrypted).unwrap();
    }

    #[test]
    fn servers_that_share_a_database_share_a_key() {
        check_refused(
            "[database]\nurl = \"postgres://respite@db/respite\"",
            "respite.toml:2: servers that share a PostgreSQL share one key: set key_file (`respite key server` \
             makes one)",
        );
        let shared = "key_file = \"respite.key\"\n[database]\nurl = \"postgres://respite@db/respite\"";
        Config::parse("respite.toml", shared).unwrap();
    }

    #[test]
    fn a_database_is_shown_without_its_password() {
        let url =
            DatabaseUrl::try_from("postgres://respite:s3cret@db:5432/respite?password=s3cret".to_owned());
        let url = url.unwrap();
        assert_eq!(url.to_string(), "postgres://db:5432/respite");
        assert!(!format!("{url:?}").contains("s3cret"));
        let url = DatabaseUrl::try_from("postgres://respite@db/respite".to_owned()).unwrap();
        assert_eq!(url.with_password("a@b/c").unwrap().as_str(), "postgres://respite:a%40b%2Fc@db/respite");
    }

    #[test]
    fn the_settings_of_the_compose_file_can_be_used() {
        Config::parse("compose.toml", include_str!("../../../deploy/compose.toml")).unwrap();
    }

    /// Every setting by its path, asked of the parser itself: it lists what it would have taken.
    fn settings(table: &str) -> Option<Vec<String>> {
        let header = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
        let error = toml::from_str::<Config>(&format!("{header}zz = 0")).unwrap_err();
        let names = error.message().strip_prefix("unknown field `zz`, expected ")?;
        Some(names.split('`').skip(1).step_by(2).map(str::to_owned).collect())
    }

    #[test]
    fn the_explained_file_holds_every_setting_and_its_default() {
        let explained = Config::parse("respite.toml", EXPLAINED).unwrap();
        assert_eq!(format!("{explained:?}"), format!("{:?}", Config::default()));

        // What has no default is commented out as `#name = value`; prose begins with `# `.
        let complete: String = EXPLAINED
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => format!("{setting}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        toml::from_str::<Config>(&complete).unwrap();
        let complete = toml::Value::Table(complete.parse().unwrap());
        let mut tables = vec![String::new()];
        while let Some(table) = tables.pop() {
            for name in settings(&table).into_iter().flatten() {
                let path = if table.is_empty() { name } else { format!("{table}.{name}") };
                let value = path.split('.').try_fold(&complete, |value, name| value.get(name));
                let value = value.unwrap_or_else(|| panic!("{path} is not explained"));
                tables.extend(value.is_table().then_some(path));
            }
        }
    }
}
