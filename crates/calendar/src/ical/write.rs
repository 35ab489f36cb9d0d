//! Calendars for others to read (A4): a therapist's sessions, and their open time.
//!
//! Of a session there is its time, marked as private, and the handle by which the therapist knows the worker. Nothing
//! here asks what time it is: a component says when it was last changed, so that a calendar in which nothing changed
//! is the same text again.

use chrono::{DateTime, Utc};

use crate::Span;

/// Octets of a line without its end (RFC 5545, 3.1).
const LONGEST_LINE: usize = 75;

/// A session in its therapist's calendar.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionEvent<'a> {
    /// The same for the session wherever it moves.
    pub uid: &'a str,
    /// Higher with every change.
    pub sequence: u32,
    /// When it was last changed.
    pub changed: DateTime<Utc>,
    /// Its time, without buffers.
    pub span: Span,
    /// What the therapist calls the worker, and all that is told of the worker.
    pub handle: &'a str,
}

/// A calendar with an event for each session. What is cancelled is left out, so that it goes where it is shown.
pub fn sessions(sessions: &[SessionEvent<'_>]) -> String {
    calendar(|lines| {
        for SessionEvent { uid, sequence, changed, span, handle } in sessions {
            lines.put("BEGIN:VEVENT");
            lines.put(&format!("UID:{}", text(uid)));
            lines.put(&format!("DTSTAMP:{}", time(*changed)));
            lines.put(&format!("SEQUENCE:{sequence}"));
            lines.put(&format!("DTSTART:{}", time(span.start())));
            lines.put(&format!("DTEND:{}", time(span.end())));
            lines.put(&format!("SUMMARY:{}", text(handle)));
            lines.put("CLASS:PRIVATE");
            lines.put("END:VEVENT");
        }
    })
}

/// A calendar that says which parts of `range` are open, and of the rest nothing.
pub fn open_time(uid: &str, changed: DateTime<Utc>, range: Span, open: &[Span]) -> String {
    calendar(|lines| {
        lines.put("BEGIN:VFREEBUSY");
        lines.put(&format!("UID:{}", text(uid)));
        lines.put(&format!("DTSTAMP:{}", time(changed)));
        lines.put(&format!("DTSTART:{}", time(range.start())));
        lines.put(&format!("DTEND:{}", time(range.end())));
        for span in open.iter().filter_map(|span| span.intersection(range)) {
            lines.put(&format!("FREEBUSY;FBTYPE=FREE:{}/{}", time(span.start()), time(span.end())));
        }
        lines.put("END:VFREEBUSY");
    })
}

fn calendar(components: impl FnOnce(&mut Lines)) -> String {
    let mut lines = Lines::default();
    lines.put("BEGIN:VCALENDAR");
    lines.put("VERSION:2.0");
    lines.put("PRODID:-//Respite//Respite//EN");
    components(&mut lines);
    lines.put("END:VCALENDAR");
    lines.0
}

/// Content lines, folded.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// Breaks between characters, never inside one.
    fn put(&mut self, content: &str) {
        let mut octets = 0;
        for character in content.chars() {
            if octets + character.len_utf8() > LONGEST_LINE {
                self.0.push_str("\r\n ");
                octets = 1;
            }
            self.0.push(character);
            octets += character.len_utf8();
        }
        self.0.push_str("\r\n");
    }
}

/// TEXT (RFC 5545, 3.3.11): escaped, and without the control characters that it may not have.
fn text(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' | ';' | ',' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            '\t' => escaped.push('\t'),
            _ if character.is_ascii_control() => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

fn time(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().unwrap()
    }

    fn span(text: &str) -> Span {
        let (start, end) = text.split_once(' ').unwrap();
        Span::new(at(start), at(end)).unwrap()
    }

    fn session<'a>(uid: &'a str, handle: &'a str) -> SessionEvent<'a> {
        let span = span("2026-01-12T09:00 2026-01-12T09:50");
        SessionEvent { uid, sequence: 3, changed: at("2026-01-01T08:30"), span, handle }
    }

    #[test]
    fn a4_a_session_is_its_time_and_a_handle_and_private() {
        let expected = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Respite//Respite//EN\n\
                        BEGIN:VEVENT\nUID:1@example.org\nDTSTAMP:20260101T083000Z\nSEQUENCE:3\n\
                        DTSTART:20260112T090000Z\nDTEND:20260112T095000Z\nSUMMARY:Quiet heron\n\
                        CLASS:PRIVATE\nEND:VEVENT\nEND:VCALENDAR\n";
        assert_eq!(sessions(&[session("1@example.org", "Quiet heron")]), expected.replace('\n', "\r\n"));
    }

    #[test]
    fn a4_open_time_is_free_time_inside_the_range() {
        let open = [
            span("2026-01-11T09:00 2026-01-11T12:00"),
            span("2026-01-11T23:00 2026-01-12T02:00"),
            span("2026-01-12T09:00 2026-01-12T12:00"),
        ];
        let range = span("2026-01-12T00:00 2026-01-13T00:00");
        let expected = "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Respite//Respite//EN\n\
                        BEGIN:VFREEBUSY\nUID:open\nDTSTAMP:20260101T083000Z\n\
                        DTSTART:20260112T000000Z\nDTEND:20260113T000000Z\n\
                        FREEBUSY;FBTYPE=FREE:20260112T000000Z/20260112T020000Z\n\
                        FREEBUSY;FBTYPE=FREE:20260112T090000Z/20260112T120000Z\n\
                        END:VFREEBUSY\nEND:VCALENDAR\n";
        assert_eq!(open_time("open", at("2026-01-01T08:30"), range, &open), expected.replace('\n', "\r\n"));
    }

    #[track_caller]
    fn check_summary(handle: &str, line: &str) {
        let calendar = sessions(&[session("1", handle)]);
        assert!(calendar.contains(&format!("\r\nSUMMARY:{line}\r\nCLASS:")), "{calendar}");
    }

    #[test]
    fn a4_a_handle_cannot_say_anything_else() {
        check_summary("a, b; c\\d: \"e\"", "a\\, b\\; c\\\\d: \"e\"");
        check_summary("two\r\nDESCRIPTION:lines", "two\\nDESCRIPTION:lines");
        check_summary("bell\u{7} nul\0", "bell nul");
    }

    #[test]
    fn a4_lines_are_folded_at_75_octets_between_characters() {
        let ascii = "x".repeat(67);
        check_summary(&ascii, &ascii);
        check_summary(&"x".repeat(68), &format!("{ascii}\r\n x"));
        check_summary(&"x".repeat(142), &format!("{ascii}\r\n {}\r\n x", "x".repeat(74)));
        check_summary(&format!("{}é", "x".repeat(66)), &format!("{}\r\n é", "x".repeat(66)));
    }

    proptest! {
        /// What a reader that unfolds and unescapes gets is what was written.
        #[test]
        fn a4_whatever_the_handle_lines_keep_their_form(handle in "(\\PC|[\\\\;,\n é€𝄞]){0,90}") {
            let calendar = sessions(&[session("1", &handle)]);
            for line in calendar.strip_suffix("\r\n").unwrap().split("\r\n") {
                prop_assert!(line.len() <= 75 && !line.contains(['\r', '\n']), "{line:?}");
            }
            let unfolded = calendar.replace("\r\n ", "");
            let summary = unfolded.split("\r\n").find_map(|line| line.strip_prefix("SUMMARY:")).unwrap();
            let mut characters = summary.chars();
            let mut read = String::new();
            while let Some(character) = characters.next() {
                read.extend(match character {
                    '\\' => characters.next().map(|escaped| if escaped == 'n' { '\n' } else { escaped }),
                    _ => Some(character),
                });
            }
            prop_assert_eq!(read, handle);
        }
    }
}
