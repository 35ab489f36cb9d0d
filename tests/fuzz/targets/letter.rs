//! Where letters go and whom they come from, as people type it, up to the bytes that a mail server is handed.

#![no_main]

use std::sync::LazyLock;

use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use notify::{Address, Code, Language, Level, Message, Sender, compose, written};

/// What a letter is headed by: these, each once.
const HEADERS: [&str; 9] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
];

static CALENDAR: LazyLock<Sender> =
    LazyLock::new(|| "Calendar <no-reply@example.org>".parse().expect("a mailbox"));

fuzz_target!(|input: (i64, i64, u32, [u8; 16], &str)| {
    let (now, local, code, message_id, text) = input;
    // A recipient, and behind a NUL a sender.
    let (to, from) = text.split_once('\0').unwrap_or((text, text));
    let sender = from.parse::<Sender>();
    let Ok(address) = to.parse::<Address>() else { return };
    assert_eq!(address.as_str(), to);
    assert!(to.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]|`!%/".contains(&byte)));
    assert!(!to.starts_with('-') && to.matches('@').count() == 1);

    let sender = sender.as_ref().unwrap_or(&CALENDAR);
    let now = DateTime::from_timestamp(now, 0).unwrap_or_default();
    let local = DateTime::from_timestamp(local, 0).unwrap_or_default().naive_utc();
    let code = Code::new(code % 1_000_000).expect("six digits");
    let messages = [
        Message::ConfirmContact { code },
        Message::Reminder { level: Level::Update, local },
        Message::Reminder { level: Level::Time, local },
    ];
    for message in messages {
        for language in Language::ALL {
            let letter = compose(address.clone(), language, message, message_id);
            assert_eq!(letter.to(), &address);
            assert!(!letter.body().contains(to) && !format!("{letter:?}").contains(to));

            let mail = written(sender, &letter, now);
            let [recipient] = mail.envelope().to() else { panic!("more than one recipient, or none") };
            assert_eq!(recipient.to_string(), to);
            let bytes = mail.formatted();
            let mail = str::from_utf8(&bytes).expect("a letter is ASCII");
            check(mail, to);
        }
    }
});

/// A head of these headers and no others, and a body that is as long as every other.
fn check(mail: &str, to: &str) {
    let broken = |line: &str| !line.is_ascii() || line.contains(['\r', '\n', '\0']) || line.len() > 998;
    assert!(!mail.split("\r\n").any(broken), "{mail:?}");
    let (head, body) = mail.split_once("\r\n\r\n").expect("a head, and a body");
    // A line that begins with a space goes on with the one before.
    let head = head.replace("\r\n ", " ");
    let headers: Vec<_> = head.split("\r\n").filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(head.split("\r\n").count(), headers.len());
    assert!(headers.iter().map(|(name, _)| *name).eq(HEADERS), "{head}");
    assert_eq!(headers[1], ("To", to));
    // With the end of the last line.
    assert_eq!(body.len(), 322, "{body}");
}
