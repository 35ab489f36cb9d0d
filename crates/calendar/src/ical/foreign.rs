//! What other people's libraries read: `foreign.py`, on the Python packages that `tests/run` installs.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::write::{SessionEvent, open_time, sessions};
use crate::Span;

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/venv/bin/python");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ical/foreign.py");

/// The lines that the script prints.
fn ask<T: DeserializeOwned>(question: &str, input: &str) -> Vec<T> {
    assert!(Path::new(PYTHON).exists(), "{PYTHON} is missing: `tests/run tools` makes it");
    let mut process = Command::new(PYTHON)
        .args(["-W", "ignore", SCRIPT, question])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "the script says why");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A component as another library reads it.
#[derive(Debug, Deserialize)]
struct Component {
    name: String,
    errors: Vec<String>,
    properties: serde_json::Value,
    free: Vec<(i64, i64, String)>,
}

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_768_208_400, 0).unwrap() + TimeDelta::hours(hours)
}

fn span(start: i64, end: i64) -> Span {
    Span::new(at(start), at(end)).unwrap()
}

#[test]
fn a4_another_library_reads_the_sessions() {
    let handles = ["Quiet heron", "a, b; c\\n: \"e\"\nSTATUS:CANCELLED", &"Größe 𝄞 ".repeat(40), ""];
    let (uids, changed) = (["1@example.org", "2", "3", "4"], at(-99));
    let events: Vec<SessionEvent<'_>> = (0..4)
        .map(|n: u32| {
            let (index, hour) = (n as usize, i64::from(n));
            let (uid, handle, span) = (uids[index], handles[index], span(hour, hour + 1));
            SessionEvent { uid, sequence: n, changed, span, handle }
        })
        .collect();
    let components: Vec<Component> = ask("read", &sessions(&events));
    assert_eq!(components.len(), 5, "{components:?}");
    assert!(components.iter().all(|component| component.errors.is_empty()), "{components:?}");
    let calendar = serde_json::json!({ "VERSION": "2.0", "PRODID": "-//Respite//Respite//EN" });
    assert_eq!((components[0].name.as_str(), &components[0].properties), ("VCALENDAR", &calendar));
    for (component, event) in components[1..].iter().zip(&events) {
        let expected = serde_json::json!({
            "UID": event.uid,
            "DTSTAMP": event.changed.timestamp(),
            "SEQUENCE": event.sequence.to_string(),
            "DTSTART": event.span.start().timestamp(),
            "DTEND": event.span.end().timestamp(),
            "SUMMARY": event.handle,
            "CLASS": "PRIVATE",
        });
        assert_eq!((component.name.as_str(), &component.properties), ("VEVENT", &expected));
    }
}

#[test]
fn a4_another_library_reads_the_open_time() {
    for open in [vec![], vec![span(1, 3)], vec![span(1, 3), span(5, 6), span(9, 14)]] {
        let components: Vec<Component> = ask("read", &open_time("open", at(-99), span(0, 24), &open));
        let [_, freebusy] = &components[..] else { panic!("{components:?}") };
        assert!(components.iter().all(|component| component.errors.is_empty()), "{components:?}");
        let expected = serde_json::json!({
            "UID": "open",
            "DTSTAMP": at(-99).timestamp(),
            "DTSTART": at(0).timestamp(),
            "DTEND": at(24).timestamp(),
        });
        assert_eq!((freebusy.name.as_str(), &freebusy.properties), ("VFREEBUSY", &expected));
        let free = open.iter().map(|span| (span.start().timestamp(), span.end().timestamp(), "FREE".into()));
        assert_eq!(freebusy.free, free.collect::<Vec<_>>());
    }
}
