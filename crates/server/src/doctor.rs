//! What an operator wants to know before trouble does: one line per thing the server depends on.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use chrono::{DateTime, Datelike, Utc};
use notify::Post;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, PaginatorTrait, QueryFilter,
};
use services::Clock;
use store::{Db, zone_change, zone_check};
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::config::{Config, LinkTemplate};
use crate::schema::{self, Schema};
use crate::zones::{self, Source};
use crate::{key, open};

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server works, and yet somebody should look.
    Warn,
    /// The server does not work like this.
    Fail,
}

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found.
    pub text: String,
}

/// Looks at everything the server depends on, and changes nothing.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let now = Clock::System.now();
    let mut findings = settings(config);
    findings.push(certificate(config));
    findings.push(staff(config));
    findings.extend(provider(config).await);
    findings.push(key_file(config));
    findings.extend(database(config, now).await);
    findings.extend(zone_rules(config.zones.directory.as_deref(), now));
    findings.push(mail(config).await);
    findings.push(collector(config).await);
    findings
}

impl Finding {
    fn ok(subject: &'static str, text: impl Display) -> Self {
        Self { verdict: Verdict::Ok, subject, text: text.to_string() }
    }

    fn warn(subject: &'static str, text: impl Display) -> Self {
        Self { verdict: Verdict::Warn, subject, text: text.to_string() }
    }

    fn fail(subject: &'static str, text: impl Display) -> Self {
        Self { verdict: Verdict::Fail, subject, text: text.to_string() }
    }
}

impl Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, colour) = match self.verdict {
            Verdict::Ok => ("ok", AnsiColor::Green),
            Verdict::Warn => ("warn", AnsiColor::Yellow),
            Verdict::Fail => ("fail", AnsiColor::Red),
        };
        let style = Style::new().fg_color(Some(colour.into())).bold();
        write!(f, "{style}{word:<4}{style:#}  {:<12}{}", self.subject, self.text)
    }
}

/// Longer than any answer on a network that works.
const ANSWER: Duration = Duration::from_secs(5);

fn settings(config: &Config) -> Vec<Finding> {
    const SUBJECT: &str = "settings";
    let mut findings = vec![Finding::ok(SUBJECT, format!("listens on {}", config.listen))];
    if !config.listen.ip().is_loopback() && config.audience == "localhost" {
        findings.push(Finding::warn(SUBJECT, "audience is localhost: set it to the server's public name"));
    }
    if config.join.link_template == LinkTemplate::default() {
        findings.push(Finding::warn(SUBJECT, "join.link_template is an example: sessions have no room yet"));
    }
    findings
}

fn certificate(config: &Config) -> Finding {
    const SUBJECT: &str = "certificate";
    let Some(tls) = &config.tls else {
        return Finding::ok(SUBJECT, "none: plain text, for this machine or a proxy that encrypts");
    };
    match open::tls(tls) {
        Ok(_) => Finding::ok(SUBJECT, tls.certificate.display()),
        Err(error) => Finding::fail(SUBJECT, error),
    }
}

fn staff(config: &Config) -> Finding {
    const SUBJECT: &str = "staff";
    let Some(door) = &config.staff.door else {
        return Finding::ok(SUBJECT, "served where everybody is: who signs in is let in");
    };
    match open::staff_tls(door) {
        Ok(_) => Finding::ok(SUBJECT, format!("served on {} alone, by certificate", door.listen)),
        Err(error) => Finding::fail(SUBJECT, error),
    }
}

/// Where staff sign in, if they do so anywhere else.
async fn provider(config: &Config) -> Option<Finding> {
    const SUBJECT: &str = "provider";
    let provider = match open::staff_provider(config) {
        Ok(provider) => provider?,
        Err(error) => return Some(Finding::fail(SUBJECT, error)),
    };
    let issuer = provider.issuer();
    Some(match provider.greet().await {
        Ok(()) => Finding::ok(SUBJECT, format!("staff may sign in at {issuer}, which tells its keys")),
        Err(error) => Finding::fail(SUBJECT, format!("staff cannot sign in at {issuer}: {error}")),
    })
}

fn key_file(config: &Config) -> Finding {
    const SUBJECT: &str = "key";
    let path = match key::path(config) {
        Ok(path) => path,
        Err(error) => return Finding::fail(SUBJECT, error),
    };
    let database = config.database.url.sqlite_path();
    if !path.exists() && config.provided_key_file().is_none() && database.is_some_and(|path| !path.exists()) {
        return Finding::ok(SUBJECT, format!("{} will be made at the first start", path.display()));
    }
    if let Err(error) = key::load(config) {
        return Finding::fail(SUBJECT, error);
    }
    match key::is_open_to_others(&path) {
        Ok(false) => Finding::ok(SUBJECT, path.display()),
        _ => Finding::warn(SUBJECT, format!("{} can be read by others: chmod 600", path.display())),
    }
}

async fn database(config: &Config, now: DateTime<Utc>) -> Vec<Finding> {
    const SUBJECT: &str = "database";
    let url = &config.database.url;
    if url.sqlite_path().is_some_and(|path| !path.exists()) {
        return vec![Finding::ok(SUBJECT, format!("{url} will be made at the first start"))];
    }
    let db = match open::connect(config).await {
        Ok(db) => db,
        Err(error) => return vec![Finding::fail(SUBJECT, format!("{url}: {error}"))],
    };
    let embedded = url.sqlite_path().is_some();
    let schema = schema::of(db.read()).await;
    let current = matches!(schema, Ok(Schema::Current { .. }));
    let schema = match schema {
        Ok(Schema::Current { last }) => Finding::ok(SUBJECT, format!("{url}, schema {last}")),
        Ok(Schema::Ahead { unknown }) => Finding::fail(
            SUBJECT,
            format!("{url} was moved on by a newer program: {} is not known to this one", unknown.join(", ")),
        ),
        Ok(Schema::Behind { pending }) if embedded => {
            Finding::ok(SUBJECT, format!("{url}, steps to be made at the next start: {}", pending.len()))
        }
        Ok(Schema::Behind { pending }) => Finding::fail(
            SUBJECT,
            format!("{url} lacks {} of this program's steps: run `respite migrate up`", pending.len()),
        ),
        Err(error) => Finding::fail(SUBJECT, format!("{url}: {error}")),
    };
    let mut findings = vec![schema, clock(db.read(), now).await];
    if current {
        findings.extend(sealed(config, &db).await);
        findings.push(bookings(config, &db).await);
        findings.extend(unknown_zones(config, &db, now).await);
    }
    findings
}

/// T6: what became of the bookings whose hour new rules made another instant.
async fn bookings(config: &Config, db: &Db) -> Finding {
    const SUBJECT: &str = "bookings";
    let (last, undecided) = match standing(db).await {
        Ok(found) => found,
        Err(error) => return Finding::fail(SUBJECT, error),
    };
    let in_force = zones::load(config.zones.directory.as_deref()).map(|zones| zones.in_force);
    match in_force {
        Ok(rules) if last.as_str() > rules.version() => Finding::warn(
            SUBJECT,
            format!("they were moved by zone rules {last}, and this server has older ones: update them"),
        ),
        _ if undecided > 0 => Finding::warn(
            SUBJECT,
            format!("to be decided after a change of zone rules: {undecided}; see `respite zones changes`"),
        ),
        _ if last.is_empty() => Finding::ok(SUBJECT, "to be checked against zone rules at the next start"),
        _ => Finding::ok(SUBJECT, format!("they stand where zone rules {last} have their hours")),
    }
}

/// T6: a zone that went with its rules, or never was in a folder that somebody put together.
async fn unknown_zones(config: &Config, db: &Db, now: DateTime<Utc>) -> Option<Finding> {
    const SUBJECT: &str = "bookings";
    // That there are no rules is said of them.
    let rules = zones::load(config.zones.directory.as_deref()).ok()?.in_force;
    let unknown = match services::zones::preview(db.read(), &rules, now).await {
        Ok(found) => found.unknown,
        Err(error) => return Some(Finding::fail(SUBJECT, error)),
    };
    let names: BTreeSet<&str> = unknown.iter().map(|one| one.time_zone.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    let (version, count) = (rules.version(), unknown.len());
    (count > 0).then(|| {
        Finding::warn(
            SUBJECT,
            format!(
                "in zones that zone rules {version} do not know: {count}, which are not checked ({names})"
            ),
        )
    })
}

/// The rules of the last check, and how many bookings it left to be decided.
async fn standing(db: &Db) -> Result<(String, u64), store::Error> {
    let last = zone_check::Entity::last(db.read()).await?;
    let undecided = zone_change::Entity::find()
        .filter(zone_change::COLUMN.outcome.eq(zone_change::Outcome::Undecided))
        .count(db.read())
        .await?;
    Ok((last.version, undecided))
}

/// A key that was put back may be another database's.
async fn sealed(config: &Config, db: &Db) -> Option<Finding> {
    const SUBJECT: &str = "key";
    // That there is none was said before.
    let keyring = key::load(config).ok()?;
    match key::cannot_open(&keyring, db).await {
        Ok(0) => None,
        Ok(aliases) => Some(Finding::fail(
            SUBJECT,
            format!("it is not the key of this database: what is sealed for {aliases} aliases stays closed"),
        )),
        Err(error) => Some(Finding::fail(SUBJECT, error)),
    }
}

/// Servers that disagree about the time disagree about which holds have expired.
async fn clock(db: &DatabaseConnection, now: DateTime<Utc>) -> Finding {
    const SUBJECT: &str = "clock";
    if db.get_database_backend() != DbBackend::Postgres {
        return Finding::ok(SUBJECT, format!("{now:?}, shared with the database"));
    }
    let asked = db.query_one_raw(sea_orm::Statement::from_string(
        DbBackend::Postgres,
        "select extract(epoch from clock_timestamp())::bigint",
    ));
    let Ok(Some(Ok(theirs))) = asked.await.map(|row| row.map(|row| row.try_get_by_index::<i64>(0))) else {
        return Finding::fail(SUBJECT, "the database does not tell its time");
    };
    match (theirs - now.timestamp()).abs() {
        0..=2 => Finding::ok(SUBJECT, format!("{now:?}, as the database's")),
        apart @ 3..=60 => Finding::warn(SUBJECT, format!("{apart} s from the database's")),
        apart => Finding::fail(SUBJECT, format!("{apart} s from the database's: one of them is wrong")),
    }
}

fn zone_rules(directory: Option<&Path>, now: DateTime<Utc>) -> Vec<Finding> {
    const SUBJECT: &str = "zone rules";
    let zones = match zones::load(directory) {
        Ok(zones) => zones,
        Err(error) => return vec![Finding::fail(SUBJECT, error)],
    };
    let (version, source) = (zones.in_force.version(), zones.in_force.source());
    let in_force = format!("{version}, {source}");
    let mut findings = vec![if are_stale(version, now) {
        Finding::warn(SUBJECT, format!("{in_force}: update tzdata, or set zones.directory to a fresh copy"))
    } else {
        Finding::ok(SUBJECT, in_force)
    }];
    findings.extend(zones.sources.iter().map(|Source { name, version }| match version {
        Ok(version) => Finding::ok(SUBJECT, format!("  {name} has {version}")),
        Err(error) => Finding::ok(SUBJECT, format!("  {name} has none ({error})")),
    }));
    findings
}

/// The tz database changes every year: rules from before last July have missed something.
fn are_stale(version: &str, now: DateTime<Utc>) -> bool {
    let Some(year) = version.get(..4).and_then(|year| year.parse::<i32>().ok()) else { return true };
    let months = (now.year() - year) * 12 + i32::try_from(now.month0()).unwrap_or_default();
    months >= 18
}

async fn mail(config: &Config) -> Finding {
    const SUBJECT: &str = "mail";
    let smtp = match open::post(config) {
        Ok(Post::Smtp(smtp)) => smtp,
        Ok(Post::Log | Post::Outbox(_)) => {
            return Finding::warn(SUBJECT, "no mail server: reminders are logged and go nowhere");
        }
        Err(error) => return Finding::fail(SUBJECT, error),
    };
    match timeout(ANSWER, smtp.greet()).await {
        Ok(Ok(())) => Finding::ok(SUBJECT, "the mail server takes letters under these settings"),
        Ok(Err(fault)) => Finding::fail(SUBJECT, format!("the mail server: {fault}")),
        Err(_) => Finding::fail(SUBJECT, "the mail server does not answer"),
    }
}

async fn collector(config: &Config) -> Finding {
    const SUBJECT: &str = "telemetry";
    let Some(collector) = &config.telemetry.otlp_endpoint else {
        return Finding::ok(SUBJECT, "no collector: logs alone");
    };
    let reached = match Endpoint::from_shared(collector.as_str().to_owned()) {
        Ok(endpoint) => endpoint.connect_timeout(ANSWER).connect().await,
        Err(error) => Err(error),
    };
    match reached {
        Ok(_) => Finding::ok(SUBJECT, format!("{} answers", collector.as_str())),
        Err(_) => Finding::fail(SUBJECT, format!("{} does not answer", collector.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, Verdict, are_stale, examine};

    #[test]
    fn t6_rules_grow_old_in_the_july_of_the_next_year() {
        for (version, now, stale) in [
            ("2026e", "2026-11-23T00:00:00Z", false),
            ("2026a", "2027-06-30T23:59:59Z", false),
            ("2026e", "2027-07-01T00:00:00Z", true),
            ("2025b", "2026-11-23T00:00:00Z", true),
            ("unknown", "2026-11-23T00:00:00Z", true),
        ] {
            assert_eq!(are_stale(version, now.parse().unwrap()), stale, "{version} {now}");
        }
    }

    fn subject_of<'a>(findings: &'a [super::Finding], subject: &str) -> &'a super::Finding {
        findings.iter().find(|finding| finding.subject == subject).unwrap()
    }

    #[tokio::test]
    async fn nothing_is_made_by_looking() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("respite.db");
        let settings = format!("[database]\nurl = \"sqlite://{}\"", database.display());
        let findings = examine(&Config::parse("test", &settings).unwrap()).await;
        assert!(findings.iter().all(|finding| finding.verdict != Verdict::Fail), "{findings:?}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_does_not_answer_fails() {
        let directory = tempfile::tempdir().unwrap();
        let key = directory.path().join("missing.key");
        let settings = format!(
            "key_file = \"{}\"\n[database]\nurl = \"postgres://nobody@127.0.0.1:1/respite\"\n\
             [telemetry]\notlp_endpoint = \"http://127.0.0.1:1\"\n\
             [mail]\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\nsender = \"no-reply@example.org\"\n\
             [staff.oidc]\nissuer = \"http://127.0.0.1:1\"\nclient_id = \"respite\"",
            key.display()
        );
        let findings = examine(&Config::parse("test", &settings).unwrap()).await;
        for subject in ["key", "database", "provider", "mail", "telemetry"] {
            assert_eq!(subject_of(&findings, subject).verdict, Verdict::Fail, "{findings:?}");
        }
    }
}
