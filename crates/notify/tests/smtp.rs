//! Letters through a real mail server: `sink.py`, on the aiosmtpd that `tests/run` installs.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::{
    io::{BufRead, BufReader, Lines},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use chrono::{DateTime, NaiveDate};
use notify::{
    Code, DeliveryError, Fault, Language, Letter, Level, Message, Password, Post, Smtp, SmtpSettings, compose,
};
use serde_json::Value;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/venv/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sink.py");

struct Sink {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
    port: u16,
}

impl Sink {
    fn start(mode: &str) -> Self {
        assert!(
            Path::new(PYTHON).exists(),
            "{PYTHON} is missing: `tests/run` makes it, with aiosmtpd and cryptography in it"
        );
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(PYTHON)
            .arg(SCRIPT)
            .arg(mode)
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut sink = Self { process, lines, folder, port: 0 };
        sink.port = sink.next()["port"].as_u64().unwrap().try_into().unwrap();
        sink
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("the sink runs").unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn next_letter(&mut self) -> Value {
        assert_eq!(self.next()["event"], "mail");
        let letter = self.next();
        assert_eq!(letter["event"], "letter");
        letter
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn post(port: u16, toml: &str) -> Post {
    let defaults = "sender = 'Calendar <no-reply@example.org>'\nhost = 'localhost'";
    let settings: SmtpSettings = toml::from_str(&format!("{defaults}\nport = {port}\n{toml}")).unwrap();
    let password = settings.password_file.as_ref().map(|path| Password::new(path.to_str().unwrap()));
    Post::Smtp(Smtp::new(&settings, password).unwrap())
}

fn encrypted(sink: &Sink, tls: &str, toml: &str) -> Post {
    post(sink.port, &format!("tls = '{tls}'\nca_file = '{}'\n{toml}", sink.authority().display()))
}

fn letter(to: &str) -> Letter {
    let local = NaiveDate::from_ymd_opt(2026, 3, 30).unwrap().and_hms_opt(10, 0, 0).unwrap();
    let message = Message::Reminder { level: Level::Time, local };
    compose(to.parse().unwrap(), Language::Fr, message, [0xab; 16])
}

async fn deliver(post: &Post, letter: &Letter) -> Result<(), DeliveryError> {
    let delivered = post.deliver(letter, DateTime::from_timestamp(1_774_602_000, 0).unwrap()).await;
    if let Err(error) = delivered {
        let shown = format!("{error} {error:?}");
        for part in letter.to().as_str().split('@') {
            assert!(!shown.contains(part), "{shown}");
        }
    }
    delivered
}

async fn check(post: &Post, to: &str, expected: Result<(), DeliveryError>) {
    assert_eq!(deliver(post, &letter(to)).await, expected, "{to}");
}

fn fault(fault: Fault) -> Result<(), DeliveryError> {
    Err(DeliveryError::Temporary(fault))
}

/// R3: neither this machine's name nor anything else is added on the way.
#[tokio::test]
async fn r3_a_server_sees_one_recipient_and_these_headers() {
    let mut sink = Sink::start("plain");
    check(&post(sink.port, "tls = 'none'"), "heron@example.com", Ok(())).await;
    let letter = sink.next_letter();
    assert_eq!(letter["sender"], "no-reply@example.org");
    assert_eq!(letter["recipients"], serde_json::json!(["heron@example.com"]));
    assert_eq!(letter["hello"], "example.org");
    insta::assert_snapshot!(letter["content"].as_str().unwrap());
}

/// R3: constant length class, of everything that crosses the wire.
#[tokio::test]
async fn r3_a_confirmation_measures_what_a_reminder_does() {
    let mut sink = Sink::start("plain");
    let post = post(sink.port, "tls = 'none'\nhello_name = 'calendar.example.net'");
    let reminder = letter("heron@example.com");
    let message = Message::ConfirmContact { code: Code::new(123_456).unwrap() };
    let confirmation = compose("egret@example.com".parse().unwrap(), Language::Fr, message, [1; 16]);
    let mut seen = Vec::new();
    for letter in [&reminder, &confirmation] {
        deliver(&post, letter).await.unwrap();
        seen.push(sink.next_letter());
    }
    let length = |letter: &Value| letter["content"].as_str().unwrap().len();
    assert_eq!(length(&seen[0]), length(&seen[1]));
    assert_ne!(seen[0]["content"], seen[1]["content"]);
    assert_eq!(seen[1]["hello"], "calendar.example.net");
}

#[tokio::test]
async fn a_server_without_encryption_gets_nothing() {
    let mut sink = Sink::start("plain");
    check(&post(sink.port, "tls = 'required'"), "heron@example.com", fault(Fault::Unsuitable)).await;
    check(&post(sink.port, "tls = 'wrapper'"), "heron@example.com", fault(Fault::Encryption)).await;

    check(&post(sink.port, "tls = 'none'"), "egret@example.com", Ok(())).await;
    assert_eq!(sink.next_letter()["recipients"], serde_json::json!(["egret@example.com"]));
}

#[tokio::test]
async fn both_ways_of_encryption_carry_letters() {
    for (mode, tls) in [("starttls", "required"), ("wrapper", "wrapper")] {
        let mut sink = Sink::start(mode);
        check(&encrypted(&sink, tls, ""), "heron@example.com", Ok(())).await;
        assert_eq!(sink.next_letter()["encrypted"], true);
    }
}

#[tokio::test]
async fn a_greeting_tells_whether_letters_would_get_through() {
    async fn greet(post: &Post) -> Result<(), Fault> {
        let Post::Smtp(smtp) = post else { panic!("there is a mail server") };
        smtp.greet().await
    }

    let sink = Sink::start("starttls");
    assert_eq!(greet(&encrypted(&sink, "required", "")).await, Ok(()));
    assert_eq!(greet(&post(sink.port, "tls = 'required'")).await, Err(Fault::Encryption));
    let plain = Sink::start("plain");
    assert_eq!(greet(&post(plain.port, "tls = 'required'")).await, Err(Fault::Unsuitable));
    assert_eq!(greet(&post(1, "tls = 'none'")).await, Err(Fault::Connection));
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let other = Sink::start("starttls");
    for (mode, tls) in [("starttls", "required"), ("wrapper", "wrapper")] {
        let mut sink = Sink::start(mode);
        let untrusted = post(sink.port, &format!("tls = '{tls}'"));
        let of_another = format!("tls = '{tls}'\nca_file = '{}'", other.authority().display());
        let of_another = post(sink.port, &of_another);
        for post in [untrusted, of_another] {
            check(&post, "heron@example.com", fault(Fault::Encryption)).await;
        }
        check(&encrypted(&sink, tls, ""), "egret@example.com", Ok(())).await;
        assert_eq!(sink.next_letter()["recipients"], serde_json::json!(["egret@example.com"]));
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let sink = Sink::start("starttls");
    let settings: SmtpSettings = toml::from_str(&format!(
        "sender = 'no-reply@example.org'\nhost = '127.0.0.1'\nport = {}\ntls = 'required'\nca_file = '{}'",
        sink.port,
        sink.authority().display()
    ))
    .unwrap();
    let post = Post::Smtp(Smtp::new(&settings, None).unwrap());
    check(&post, "heron@example.com", fault(Fault::Encryption)).await;
}

#[tokio::test]
async fn a_login_that_fails_is_not_the_letters_fault() {
    let mut sink = Sink::start("auth");
    let login = |password| format!("username = 'calendar'\npassword_file = '{password}'");
    let post = encrypted(&sink, "required", &login("a pass word"));
    check(&post, "heron@example.com", Ok(())).await;
    assert_eq!(sink.next_letter()["login"], "calendar");

    let post = encrypted(&sink, "required", &login("another"));
    check(&post, "heron@example.com", fault(Fault::Code { code: 535 })).await;
    let post = encrypted(&sink, "required", "");
    check(&post, "heron@example.com", fault(Fault::Code { code: 530 })).await;
}

#[tokio::test]
async fn the_server_says_whether_to_try_again() {
    let mut sink = Sink::start("plain");
    let post = post(sink.port, "tls = 'none'\ntimeout_seconds = 1");
    check(&post, "gone@example.com", Err(DeliveryError::Permanent { code: 550 })).await;
    check(&post, "slow@example.com", fault(Fault::Timeout)).await;
    check(&post, "busy@example.com", fault(Fault::Code { code: 451 })).await;
    check(&post, "busy@example.com", Ok(())).await;

    for _ in ["gone", "slow", "busy"] {
        assert_eq!(sink.next()["event"], "mail");
    }
    assert_eq!(sink.next_letter()["recipients"], serde_json::json!(["busy@example.com"]));
}

/// R1: a letter that the server took is not sent again because the server says no goodbye.
#[tokio::test]
async fn r1_a_letter_taken_is_a_letter_delivered() {
    let mut sink = Sink::start("plain");
    check(&post(sink.port, "tls = 'none'"), "mute@example.com", Ok(())).await;
    assert_eq!(sink.next_letter()["recipients"], serde_json::json!(["mute@example.com"]));
}

#[tokio::test]
async fn a_server_that_is_away_may_come_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    check(&post(port, "tls = 'none'"), "heron@example.com", fault(Fault::Connection)).await;
}
