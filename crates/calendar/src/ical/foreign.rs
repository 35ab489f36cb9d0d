//! What other people's libraries read: `foreign.py`, on the Python packages that `tests/run` installs.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::write::{SessionEvent, open_time, sessions};
use super::*;
use crate::{Rules, Span, union};

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

/// A calendar file as another library reads it.
#[derive(Deserialize)]
struct Expanded {
    file: String,
    data: Vec<u8>,
    #[serde(default)]
    error: Option<String>,
    /// Around its events; anything, if there are none.
    #[serde(default)]
    window: Option<Span>,
    #[serde(default)]
    occurrences: Vec<Occurrence>,
    #[serde(default)]
    free_busy: Vec<(i64, i64)>,
}

#[derive(Deserialize)]
struct Occurrence {
    start: i64,
    end: i64,
    whole_day: bool,
    free: bool,
    cancelled: bool,
}

impl Expanded {
    fn shifts(&self) -> Vec<Span> {
        let is_shift = |occurrence: &&Occurrence| {
            let left_out = occurrence.cancelled || occurrence.whole_day && occurrence.free;
            !left_out && occurrence.end - occurrence.start <= 48 * 60 * 60
        };
        let shifts = self.occurrences.iter().filter(is_shift);
        let mut spans: Vec<Span> = shifts.filter_map(Occurrence::span).collect();
        spans.sort_unstable();
        spans.dedup();
        spans
    }

    fn busy(&self) -> Vec<Span> {
        let events = self.occurrences.iter().filter(|occurrence| !occurrence.cancelled && !occurrence.free);
        let told = self.free_busy.iter().filter_map(|period| Span::try_from(*period).ok());
        union(events.filter_map(Occurrence::span).chain(told).collect())
    }
}

impl Occurrence {
    /// Nothing, if it has no length.
    fn span(&self) -> Option<Span> {
        Span::try_from((self.start, self.end)).ok()
    }
}

/// How this crate and the other library disagree about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disagreement {
    /// It is refused here, and read there.
    Refused,
    /// It is read here, and refused there.
    Read,
    /// Both read it, and find other times.
    Differs,
}

/// Every file the two do not agree about, with the reason.
const DISAGREEMENTS: [(&str, Disagreement, &str); 29] = [
    ("calendars/america_new_york.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/big_bad_calendar.ics", Disagreement::Refused, UNBALANCED),
    ("calendars/broken_ical.ics", Disagreement::Read, "an empty parameter is passed over"),
    ("calendars/fuzz_testcase_0_char_in_component_name.ics", Disagreement::Refused, UNBALANCED),
    (
        "calendars/fuzz_testcase_vtimezone_lone_cr.ics",
        Disagreement::Read,
        "a line without a value is passed over",
    ),
    (
        "calendars/invalid_duration.ics",
        Disagreement::Read,
        "what lasts for millions of years is busy for ever",
    ),
    ("calendars/issue_104_broken_calendar.ics", Disagreement::Read, "a line without a value is passed over"),
    ("calendars/issue_1081_empty_rdate.ics", Disagreement::Refused, "an extra date that is none"),
    (
        "calendars/issue_156_RDATE_with_PERIOD_TZID_khal.ics",
        Disagreement::Refused,
        "a change to all that follow an occurrence",
    ),
    ("calendars/issue_156_RDATE_with_PERIOD_TZID_khal_2.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_1633_freebusy_with_dates.ics", Disagreement::Refused, PERIOD_OF_DATES),
    ("calendars/issue_1633_rdate_with_dates.ics", Disagreement::Refused, PERIOD_OF_DATES),
    ("calendars/issue_1633_rdate_with_dates_and_tzid.ics", Disagreement::Refused, PERIOD_OF_DATES),
    ("calendars/issue_218_bad_tzid.ics", Disagreement::Refused, CUSTOM_ZONE),
    (
        "calendars/issue_237_fail_to_parse_timezone_with_non_ascii_tzid.ics",
        Disagreement::Refused,
        CUSTOM_ZONE,
    ),
    ("calendars/issue_466_respect_unique_timezone.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_526_calendar_with_different_events.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_526_calendar_with_event_subset.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_526_calendar_with_events.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_526_calendar_with_shuffeled_events.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_722_missing_VTIMEZONE_custom.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/issue_722_timezone_transition_ambiguity.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/pacific_fiji.ics", Disagreement::Read, "of two starts the first counts"),
    (
        "calendars/parsing_error_in_UTC_offset.ics",
        Disagreement::Read,
        "offsets in a file are never used, and so never wrong",
    ),
    ("calendars/pr_480_summary_with_colon.ics", Disagreement::Refused, UNBALANCED),
    ("calendars/small_bad_calendar.ics", Disagreement::Refused, UNBALANCED),
    ("calendars/timezone_rdate.ics", Disagreement::Refused, CUSTOM_ZONE),
    ("calendars/timezone_same_start_and_offset.ics", Disagreement::Refused, UNBALANCED),
    (
        "events/event_with_recurrence.ics",
        Disagreement::Differs,
        "a start in no zone is read on the local clock, not in UTC because its exceptions are in UTC",
    ),
];
const CUSTOM_ZONE: &str = "a zone that no tz database knows, whose rules in the file are as old as the file";
const UNBALANCED: &str = "something begins that never ends, or ends that never began";
const PERIOD_OF_DATES: &str = "a period from a date to a date, which RFC 5545 does not know";

#[test]
fn s1_a1_files_of_the_world_are_read_as_another_library_reads_them() {
    let (zone, rules) = (Rules::compiled_in().zone("Europe/Berlin").unwrap(), Rules::compiled_in());
    let files: Vec<Expanded> = ask("corpus", "");
    let (mut disagreements, mut agreed) = (Vec::new(), 0);
    for file in &files {
        let window = file.window.unwrap_or_else(|| span(-40 * 366 * 24, 4 * 366 * 24));
        let spans = |shifts: Vec<Shift>| shifts.into_iter().map(|shift| shift.span).collect();
        let found = [
            shifts(&file.data, &zone, &rules, window, Options::default()).map(spans),
            busy(&file.data, &zone, &rules, window, &BTreeSet::new()),
        ];
        for (found, expected) in found.into_iter().zip([file.shifts(), file.busy()]) {
            match (found, &file.error) {
                (Ok(found), None) if found == expected => agreed += expected.len(),
                (Ok(_), None) => disagreements.push((file.file.as_str(), Disagreement::Differs)),
                (Ok(_), Some(_)) => disagreements.push((&file.file, Disagreement::Read)),
                (Err(_), None) => disagreements.push((&file.file, Disagreement::Refused)),
                (Err(_), Some(_)) => {}
            }
        }
    }
    disagreements.dedup();
    assert_eq!(disagreements, DISAGREEMENTS.map(|(file, disagreement, _)| (file, disagreement)));
    assert!(agreed > 800, "{} files with {agreed} spans", files.len());
}

/// Bounded by counting: a file of an ordinary week or year makes few days be looked at.
#[test]
fn files_of_the_world_are_read_with_little_work() {
    let (zone, rules) = (Rules::compiled_in().zone("Europe/Berlin").unwrap(), Rules::compiled_in());
    let files: Vec<Expanded> = ask("corpus", "");
    let own = BTreeSet::new();
    let both = [Sought::Shifts, Sought::Busy { own: &own }];
    let work = files.iter().flat_map(|file| both.map(|sought| (file, sought))).map(|(file, sought)| {
        let window = file.window.unwrap_or_else(|| span(-40 * 366 * 24, 4 * 366 * 24));
        let (mut budget, begun) = (Budget(MAX_DAYS_EXAMINED), Instant::now());
        let _ = occurrences(&file.data, &zone, &rules, sought, window, &mut budget);
        (MAX_DAYS_EXAMINED - budget.0, begun.elapsed(), &file.file)
    });
    let work: Vec<_> = work.collect();
    let most = work.iter().max().unwrap();
    let slowest = work.iter().max_by_key(|(_, time, _)| *time).unwrap();
    println!("most days: {most:?}; slowest: {slowest:?}");
    assert!(most.0 < 2_000, "{most:?}");
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
