use std::{
    error::Error as _,
    fmt, fs, io, iter,
    net::IpAddr,
    num::NonZero,
    path::PathBuf,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use lettre::{
    message::{
        Mailbox, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        self,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder},
        extension::ClientId,
    },
};
use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;
use tokio::time::timeout;

use crate::{
    catalogue::telling_word,
    letter::{Address, AddressError, Letter, is_domain},
};

/// Where letters go.
#[derive(Clone, Debug)]
pub enum Post {
    /// Nowhere; the log says what kind of letter would have been sent.
    Log,
    /// A list that tests and the demo read.
    Outbox(Outbox),
    /// A mail server.
    Smtp(Smtp),
}

impl Post {
    /// Hands a letter over, dated `now`.
    ///
    /// A letter whose delivery failed may still have arrived: an attempt to
    /// send it again carries the same Message-ID.
    pub async fn deliver(&self, letter: &Letter, now: DateTime<Utc>) -> Result<(), DeliveryError> {
        match self {
            Self::Log => {
                tracing::info!(letter.kind = letter.kind(), "letter not sent, since no mail server is set");
                Ok(())
            }
            Self::Outbox(outbox) => {
                outbox.lock().push(letter.clone());
                Ok(())
            }
            Self::Smtp(smtp) => smtp.deliver(letter, now).await,
        }
    }
}

/// Why a letter was not handed over. It holds neither the address nor what the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DeliveryError {
    /// The server will never take this letter.
    #[error("refused for good with code {code}")]
    Permanent {
        /// The SMTP reply code, 500 or above.
        code: u16,
    },
    /// It may go better later.
    #[error("not delivered for now: {0}")]
    Temporary(Fault),
}

/// What stood in the way of a letter that may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The server said so, or refused us before it saw the letter.
    #[error("the server answered with code {code}")]
    Code {
        /// The SMTP reply code.
        code: u16,
    },
    /// The server did not answer in time.
    #[error("the server did not answer in time")]
    Timeout,
    /// The connection was refused or broke.
    #[error("the connection failed")]
    Connection,
    /// The server's certificate is not trusted, or encryption failed otherwise.
    #[error("encryption failed")]
    Encryption,
    /// The server lacks STARTTLS or a way to log in, or does not speak SMTP.
    #[error("the server does not offer what is required of it")]
    Unsuitable,
}

/// Letters that went nowhere else; a clone shows the same list.
#[derive(Clone, Debug, Default)]
pub struct Outbox(Arc<Mutex<Vec<Letter>>>);

impl Outbox {
    /// Every letter so far, the oldest first.
    #[must_use]
    pub fn letters(&self) -> Vec<Letter> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How to reach a mail server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// Its name or IP address.
    pub host: String,
    /// Its port: 465, 587 or 25 as [`Tls`] says, unless given.
    pub port: Option<u16>,
    /// How the connection is encrypted.
    #[serde(default)]
    pub tls: Tls,
    /// The certificates, in PEM, that vouch for the server instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The account to log in to, if the server wants that.
    pub username: Option<String>,
    /// Where the account's password is; whoever reads the settings reads it for [`Smtp::new`].
    pub password_file: Option<PathBuf>,
    /// Whom letters come from.
    pub sender: Sender,
    /// How we greet the server: the sender's domain unless given, and never this machine's name.
    pub hello_name: Option<String>,
    /// How long a delivery may take, from connecting to the server's word that it has the letter: at
    /// most 60, so that a whole batch of slow deliveries ends before another worker may take it over.
    #[serde(default = "half_a_minute", deserialize_with = "up_to_a_minute")]
    pub timeout_seconds: NonZero<u16>,
}

/// How a connection to a mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// From the first byte.
    #[default]
    Wrapper,
    /// By STARTTLS; a server that does not offer it gets nothing.
    Required,
    /// Not at all, which only a server on this machine may ask for.
    None,
}

/// A mailbox that says nothing about what its letters are about: `Calendar <no-reply@example.org>`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Sender {
    name: Option<String>,
    address: Address,
}

/// Why a text is not a [`Sender`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SenderError {
    /// The mailbox itself is unusable.
    #[error("not an e-mail address: {0}")]
    Address(#[from] AddressError),
    /// The name has something other than letters, digits and single spaces.
    #[error("a sender's name is letters, digits and single spaces")]
    Name,
    /// Whoever sees a letter on a screen would guess what it is about.
    #[error("'{word}' in a sender tells what letters are about")]
    Telling {
        /// The part that does.
        word: &'static str,
    },
}

/// The password of an account on a mail server.
#[derive(Clone)]
pub struct Password(String);

/// A mail server, connected to anew for each letter; a clone is the same one.
#[derive(Clone)]
pub struct Smtp(Arc<Server>);

struct Server {
    host: String,
    port: u16,
    encryption: Encryption,
    hello: ClientId,
    login: Option<Credentials>,
    sender: Sender,
    timeout: Duration,
}

enum Encryption {
    Wrapper(TlsParameters),
    Required(TlsParameters),
    None,
}

/// Why settings do not make a usable [`Smtp`].
#[derive(Debug, Error)]
pub enum SetupError {
    /// Addresses and codes would cross a network in the clear.
    #[error("tls = \"none\" is for a mail server on this machine, and {host} is not")]
    Unencrypted {
        /// The host that is elsewhere.
        host: String,
    },
    /// The greeting is not a domain name.
    #[error("hello_name is not a domain name")]
    HelloName,
    /// The greeting, which mail servers write into each letter, tells what letters are about.
    #[error("'{word}' in hello_name tells what letters are about")]
    TellingHelloName {
        /// The part that does.
        word: &'static str,
    },
    /// There is a user name without a password, or the other way round.
    #[error("username and password_file go together")]
    HalfOfALogin,
    /// The certificates could not be read.
    #[error("{} cannot be read", path.display())]
    Authorities {
        /// Where they should be.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no certificate in PEM, so that no server would be trusted.
    #[error("{} holds no certificate", path.display())]
    NoAuthorities {
        /// Where one should be.
        path: PathBuf,
    },
    /// A certificate, or the host's name, does not serve for encryption.
    #[error("encryption cannot be set up")]
    Encryption(#[from] smtp::Error),
}

impl Smtp {
    /// Prepares for deliveries, without connecting.
    pub fn new(settings: &SmtpSettings, password: Option<Password>) -> Result<Self, SetupError> {
        let SmtpSettings {
            host,
            port,
            tls,
            ca_file,
            username,
            password_file: _,
            sender,
            hello_name,
            timeout_seconds,
        } = settings;

        let hello_name = hello_name.as_deref().unwrap_or(sender.address.domain());
        if !is_domain(hello_name) {
            return Err(SetupError::HelloName);
        }
        if let Some(word) = telling_word(hello_name) {
            return Err(SetupError::TellingHelloName { word });
        }
        let encryption = match tls {
            Tls::Wrapper => Encryption::Wrapper(parameters(host, ca_file.as_ref())?),
            Tls::Required => Encryption::Required(parameters(host, ca_file.as_ref())?),
            Tls::None if is_this_machine(host) => Encryption::None,
            Tls::None => return Err(SetupError::Unencrypted { host: host.clone() }),
        };
        let login = match (username, password) {
            (Some(username), Some(Password(password))) => Some(Credentials::new(username.clone(), password)),
            (None, None) => None,
            _ => return Err(SetupError::HalfOfALogin),
        };
        Ok(Self(Arc::new(Server {
            host: host.clone(),
            port: port.unwrap_or(tls.port()),
            encryption,
            hello: ClientId::Domain(hello_name.to_owned()),
            login,
            sender: sender.clone(),
            timeout: Duration::from_secs(timeout_seconds.get().into()),
        })))
    }

    /// Connects, encrypts and logs in as for a letter, and says goodbye: whether the settings work.
    pub async fn greet(&self) -> Result<(), Fault> {
        let server = &*self.0;
        let mut connection =
            timeout(server.timeout, server.connect()).await.map_err(|_| Fault::Timeout)??;
        let _ = timeout(FAREWELL, connection.abort()).await;
        Ok(())
    }

    async fn deliver(&self, letter: &Letter, now: DateTime<Utc>) -> Result<(), DeliveryError> {
        let server = &*self.0;
        let message = written(&server.sender, letter, now);
        let mut connection = timeout(server.timeout, server.hand_over(&message))
            .await
            .map_err(|_| DeliveryError::Temporary(Fault::Timeout))??;
        // The server has the letter: whether it hears the farewell changes nothing.
        let _ = timeout(FAREWELL, connection.abort()).await;
        Ok(())
    }
}

/// How long a server is given to hear the farewell.
const FAREWELL: Duration = Duration::from_secs(1);

impl Server {
    async fn hand_over(&self, message: &lettre::Message) -> Result<AsyncSmtpConnection, DeliveryError> {
        let mut connection = self.connect().await.map_err(Fault::from)?;
        connection.send(message.envelope(), &message.formatted()).await?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, smtp::Error> {
        let Self { host, port, encryption, hello, login, sender: _, timeout } = self;
        let wrapper = match encryption {
            Encryption::Wrapper(parameters) => Some(parameters.clone()),
            Encryption::Required(_) | Encryption::None => None,
        };
        // A host may have several addresses, of which the first may swallow everything.
        let patience = Some(*timeout / 4);
        let address = (host.as_str(), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, patience, hello, wrapper, None).await?;
        if let Encryption::Required(parameters) = encryption {
            connection.starttls(parameters.clone(), hello).await?;
        }
        if let Some(login) = login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("sender", &self.0.sender).finish_non_exhaustive()
    }
}

impl From<smtp::Error> for DeliveryError {
    fn from(error: smtp::Error) -> Self {
        match Fault::from(error) {
            Fault::Code { code } if code >= 500 && code != LOGIN_REQUIRED => Self::Permanent { code },
            fault => Self::Temporary(fault),
        }
    }
}

impl From<Fault> for DeliveryError {
    fn from(fault: Fault) -> Self {
        Self::Temporary(fault)
    }
}

impl From<smtp::Error> for Fault {
    fn from(error: smtp::Error) -> Self {
        if let Some(code) = error.status() {
            Self::Code { code: code.into() }
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_tls() || is_about_encryption(&error) {
            Self::Encryption
        } else if error.is_client() || error.is_response() {
            Self::Unsuitable
        } else {
            Self::Connection
        }
    }
}

impl Tls {
    const fn port(self) -> u16 {
        match self {
            Self::Wrapper => 465,
            Self::Required => 587,
            Self::None => 25,
        }
    }
}

impl FromStr for Sender {
    type Err = SenderError;

    fn from_str(text: &str) -> Result<Self, SenderError> {
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once(" <")) {
            Some((name, address)) => (Some(name), address),
            None => (None, text),
        };
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !name.is_none_or(|name| name.len() <= 64 && name.split(' ').all(is_word)) {
            return Err(SenderError::Name);
        }
        let address = address.parse()?;
        match telling_word(text) {
            Some(word) => Err(SenderError::Telling { word }),
            None => Ok(Self { name: name.map(str::to_owned), address }),
        }
    }
}

impl TryFrom<String> for Sender {
    type Error = SenderError;

    fn try_from(text: String) -> Result<Self, SenderError> {
        text.parse()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.address.as_str()),
            None => f.write_str(self.address.as_str()),
        }
    }
}

impl Password {
    /// Takes a password as a file has it, without the line ending that editors add.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// The letter as RFC 5322 wants it, with these headers and no others: what a mail server is handed.
#[must_use]
pub fn written(sender: &Sender, letter: &Letter, now: DateTime<Utc>) -> lettre::Message {
    let generated = HeaderName::new_from_ascii_str("Auto-Submitted");
    lettre::Message::builder()
        .from(Mailbox::new(sender.name.clone(), sender.address.for_lettre()))
        .to(Mailbox::new(None, letter.to().for_lettre()))
        .subject(letter.subject())
        .date(writable(now))
        .message_id(Some(format!("<{}@{}>", letter.message_id(), sender.address.domain())))
        .raw_header(HeaderValue::new(generated, "auto-generated".to_owned()))
        .singlepart(SinglePart::builder().header(ContentType::TEXT_PLAIN).body(letter.encoded_body()))
        .expect("there is one sender and one recipient")
}

/// The Date header panics on years that have not four digits or come before 1970.
fn writable(now: DateTime<Utc>) -> SystemTime {
    const LAST: i64 = 253_402_300_799;
    let seconds = u64::try_from(now.timestamp().clamp(0, LAST)).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn parameters(host: &str, ca_file: Option<&PathBuf>) -> Result<TlsParameters, SetupError> {
    const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

    let mut parameters = TlsParametersBuilder::new(host.to_owned());
    if let Some(path) = ca_file {
        let pem = fs::read(path).map_err(|source| SetupError::Authorities { path: path.clone(), source })?;
        if !pem.windows(PEM.len()).any(|window| window == PEM) {
            return Err(SetupError::NoAuthorities { path: path.clone() });
        }
        parameters = parameters
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(&pem)?);
    }
    Ok(parameters.build_rustls()?)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A failed handshake comes as an I/O error about invalid data.
fn is_about_encryption(error: &smtp::Error) -> bool {
    iter::successors(error.source(), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// What a server answers to a letter when the settings should have had a login.
const LOGIN_REQUIRED: u16 = 530;

const fn half_a_minute() -> NonZero<u16> {
    NonZero::new(30).expect("thirty is not zero")
}

fn up_to_a_minute<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZero<u16>, D::Error> {
    let seconds = u16::deserialize(deserializer)?;
    NonZero::new(seconds)
        .filter(|seconds| seconds.get() <= 60)
        .ok_or_else(|| D::Error::custom(format_args!("timeout_seconds is 1 to 60, not {seconds}")))
}

#[cfg(test)]
mod tests {
    use super::{Outbox, Password, Post, Sender, SenderError, SetupError, Smtp, SmtpSettings, Tls, written};
    use crate::{
        catalogue::{Code, Language, Level, Message},
        letter::{Address, Letter, compose},
    };
    use chrono::{DateTime, NaiveDate, Utc};
    use proptest::prelude::*;

    fn letter(to: &str) -> Letter {
        let local = NaiveDate::from_ymd_opt(2026, 3, 30).unwrap().and_hms_opt(10, 0, 0).unwrap();
        let message = Message::Reminder { level: Level::Time, local };
        compose(to.parse().unwrap(), Language::De, message, [0xab; 16])
    }

    fn sender() -> Sender {
        "Calendar <no-reply@example.org>".parse().unwrap()
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_774_602_000, 0).unwrap()
    }

    #[test]
    fn r3_a_letter_as_mail_servers_see_it() {
        let raw = written(&sender(), &letter("heron@example.com"), now()).formatted();
        insta::assert_snapshot!(String::from_utf8(raw).unwrap().replace('\r', ""));
    }

    #[test]
    fn the_envelope_names_one_sender_and_one_recipient() {
        let message = written(&sender(), &letter("heron@example.com"), now());
        let envelope = message.envelope();
        assert_eq!(envelope.from().unwrap().to_string(), "no-reply@example.org");
        assert_eq!(envelope.to().len(), 1);
        assert_eq!(envelope.to()[0].to_string(), "heron@example.com");
    }

    #[test]
    fn no_date_is_too_far_for_a_letter() {
        for (now, year) in [(DateTime::<Utc>::MIN_UTC, "1970"), (DateTime::<Utc>::MAX_UTC, "9999")] {
            let raw = written(&sender(), &letter("heron@example.com"), now).formatted();
            let raw = String::from_utf8(raw).unwrap();
            let date = raw.lines().find(|line| line.starts_with("Date: ")).unwrap();
            assert!(date.contains(year), "{date}");
        }
    }

    #[track_caller]
    fn check_sender(text: &str, expected: Result<(), SenderError>) {
        assert_eq!(text.parse::<Sender>().map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn r3_a_sender_is_neutral() {
        use crate::AddressError::{Domain, LocalPart, NoAt};
        check_sender("Calendar <no-reply@example.org>", Ok(()));
        check_sender("My Calendar 2 <no-reply@example.org>", Ok(()));
        check_sender("no-reply@example.org", Ok(()));
        check_sender("Calendar\r\nBcc: x <no-reply@example.org>", Err(SenderError::Name));
        check_sender(" <no-reply@example.org>", Err(SenderError::Name));
        check_sender("Calendar <no-reply>", Err(SenderError::Address(NoAt)));
        check_sender("<no-reply@example.org>", Err(SenderError::Address(LocalPart)));
        check_sender("Calendar <no-reply@localhost>", Err(SenderError::Address(Domain)));
        check_sender("Clinic <no-reply@example.org>", Err(SenderError::Telling { word: "clinic" }));
        check_sender("Calendar <Therapy@example.org>", Err(SenderError::Telling { word: "therap" }));
        check_sender("no-reply@respite.example", Err(SenderError::Telling { word: "respite" }));
    }

    fn settings(toml: &str) -> SmtpSettings {
        toml::from_str(&format!("sender = \"Calendar <no-reply@example.org>\"\n{toml}")).unwrap()
    }

    #[track_caller]
    fn check_setup(toml: &str, password: Option<&str>, expected: &str) {
        let shown = match Smtp::new(&settings(toml), password.map(Password::new)) {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{toml}");
    }

    #[test]
    fn settings_that_would_betray_a_letter_are_refused() {
        let elsewhere = "tls = \"none\" is for a mail server on this machine, and ";
        check_setup("host = 'mail.example.org'", None, "ok");
        check_setup("host = 'localhost'\ntls = 'none'", None, "ok");
        check_setup("host = '127.0.0.53'\ntls = 'none'", None, "ok");
        check_setup("host = '::1'\ntls = 'none'", None, "ok");
        for host in ["mail.example.org", "192.0.2.1", "localhost.example.org", "::2", "127.1.example"] {
            let toml = format!("host = '{host}'\ntls = 'none'");
            check_setup(&toml, None, &format!("{elsewhere}{host} is not"));
        }
        let half = "username and password_file go together";
        check_setup("host = 'mail.example.org'\nusername = 'us'", None, half);
        check_setup("host = 'mail.example.org'", Some("secret"), half);
        check_setup("host = 'mail.example.org'\nusername = 'us'", Some("secret"), "ok");
        let not_a_name = "hello_name is not a domain name";
        check_setup("host = 'mail.example.org'\nhello_name = 'ward7'", None, not_a_name);
        check_setup("host = 'mail.example.org'\nhello_name = \"a.b\\r\\nRCPT\"", None, not_a_name);
        check_setup(
            "host = 'mail.example.org'\nhello_name = 'mail.clinic.example'",
            None,
            "'clinic' in hello_name tells what letters are about",
        );
        check_setup(
            "host = 'mail.example.org'\nca_file = '/nonexistent/ca.pem'",
            None,
            "/nonexistent/ca.pem cannot be read",
        );
    }

    #[test]
    fn a_file_without_certificates_vouches_for_nobody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = settings(&format!("host = 'mail.example.org'\nca_file = {:?}", file.path()));
        for content in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            std::fs::write(file.path(), content).unwrap();
            let built = Smtp::new(&settings, None);
            assert!(matches!(built, Err(SetupError::NoAuthorities { .. })), "{content:?}: {built:?}");
        }
        std::fs::write(file.path(), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(matches!(Smtp::new(&settings, None), Err(SetupError::Encryption(_))));
    }

    #[test]
    fn settings_default_to_encryption_and_refuse_typing_errors() {
        let settings = settings("host = 'mail.example.org'");
        assert_eq!(settings.tls, Tls::Wrapper);
        assert_eq!(settings.timeout_seconds.get(), 30);
        for toml in ["hots = 'x'", "tls = 'opportunistic'", "timeout_seconds = 0", "password = 'secret'"] {
            let toml = format!("host = 'h'\nsender = 'no-reply@example.org'\n{toml}");
            assert!(toml::from_str::<SmtpSettings>(&toml).is_err(), "{toml}");
        }
    }

    #[test]
    fn a_delivery_takes_a_second_to_a_minute() {
        let read = |seconds: i64| {
            toml::from_str::<SmtpSettings>(&format!(
                "host = 'h'\nsender = 'no-reply@example.org'\ntimeout_seconds = {seconds}"
            ))
        };
        for seconds in [1, 60] {
            assert_eq!(i64::from(read(seconds).unwrap().timeout_seconds.get()), seconds);
        }
        for seconds in [0, 61, 65_535] {
            let refused = read(seconds).unwrap_err();
            assert_eq!(refused.message(), format!("timeout_seconds is 1 to 60, not {seconds}"));
        }
    }

    #[test]
    fn a_password_is_taken_as_a_file_has_it_and_shown_by_nothing() {
        assert_eq!(Password::new(" a b \r\n").0, " a b ");
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(..)");
        let settings = settings("host = 'mail.example.org'\nusername = 'us'");
        let post = Post::Smtp(Smtp::new(&settings, Some(Password::new("secret"))).unwrap());
        assert!(!format!("{post:?} {settings:?}").contains("secret"));
    }

    #[tokio::test]
    async fn an_outbox_keeps_letters_in_order() {
        let outbox = Outbox::default();
        let post = Post::Outbox(outbox.clone());
        for to in ["heron@example.com", "egret@example.com"] {
            post.deliver(&letter(to), now()).await.unwrap();
        }
        let to: Vec<_> = outbox.letters().iter().map(|letter| letter.to().as_str().to_owned()).collect();
        assert_eq!(to, ["heron@example.com", "egret@example.com"]);
    }

    /// R3: what the log says of a letter is its kind.
    #[tokio::test]
    async fn r3_the_log_tells_neither_contact_nor_text() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .without_time()
            .with_ansi(false)
            .with_writer(log.reopen().unwrap())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        Post::Log.deliver(&letter("heron@example.com"), now()).await.unwrap();
        drop(guard);
        assert_eq!(
            std::fs::read_to_string(log.path()).unwrap(),
            " INFO notify::post: letter not sent, since no mail server is set letter.kind=\"time\"\n"
        );
    }

    proptest! {
        #[test]
        fn every_accepted_address_makes_a_letter_with_the_same_headers(
            text in "[a-z#$&'*+=?^_{}~-]{1,64}@([a-z0-9-]{1,63}\\.){1,4}[a-z]{2,9}",
            code in 0_u32..1_000_000,
            seconds: i64,
        ) {
            let Ok(to) = text.parse::<Address>() else { return Ok(()) };
            let message = Message::ConfirmContact { code: Code::new(code).unwrap() };
            let letter = compose(to, Language::Fr, message, [1; 16]);
            let now = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
            let raw = String::from_utf8(written(&sender(), &letter, now).formatted()).unwrap();
            let (head, _) = raw.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = head
                .split("\r\n")
                .filter(|line| !line.starts_with(' '))
                .map(|line| line.split_once(':').unwrap().0)
                .collect();
            prop_assert_eq!(names, [
                "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted",
                "MIME-Version", "Content-Type", "Content-Transfer-Encoding",
            ]);
        }
    }
}
