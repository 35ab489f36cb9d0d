//! How the story looks, and whether it holds.

use std::fmt::Display;
use std::io::Write;
use std::time::Instant;

use anstyle::{AnsiColor, Style};
use calendar::Zone;
use chrono::{DateTime, Utc};
use notify::Letter;

/// Standard output, with colours on a terminal alone. A reader that has gone does not stop the story.
pub(super) struct Screen {
    out: anstream::Stdout,
    begun: Instant,
    steps: u32,
    held: u32,
    broken: u32,
}

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
const STEP: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const CLOCK: Style = AnsiColor::Yellow.on_default();

/// What the narrowest terminal shows without breaking lines by itself.
const WIDTH: usize = 80;
const INDENT: &str = "   ";

impl Default for Screen {
    fn default() -> Self {
        Self { out: anstream::stdout(), begun: Instant::now(), steps: 0, held: 0, broken: 0 }
    }
}

impl Screen {
    /// The headline.
    pub(super) fn title(&mut self, text: &str) {
        self.put(format_args!("{BOLD}{text}{BOLD:#}"));
    }

    /// The next numbered step.
    pub(super) fn step(&mut self, text: &str) {
        self.steps += 1;
        let number = self.steps;
        self.put("");
        self.put(format_args!("{STEP}{number}. {text}{STEP:#}"));
    }

    /// A part without a number.
    pub(super) fn part(&mut self, text: &str) {
        self.put("");
        self.put(format_args!("{STEP}{text}{STEP:#}"));
    }

    /// A sentence or more, broken into lines.
    pub(super) fn say(&mut self, text: &str) {
        for line in wrapped(text, WIDTH - INDENT.len()) {
            self.line(line);
        }
    }

    /// One line as it is.
    pub(super) fn line(&mut self, text: impl Display) {
        self.put(format_args!("{INDENT}{text}"));
    }

    /// A name and what stands for it, broken into lines beside the name.
    pub(super) fn row(&mut self, name: &str, value: &str) {
        const NAME: usize = 24;
        let mut name = name;
        for line in wrapped(value, WIDTH - INDENT.len() - NAME) {
            self.line(format_args!("{DIM}{name:<NAME$}{DIM:#}{line}"));
            name = "";
        }
    }

    /// What belongs to the line before, broken into lines.
    pub(super) fn detail(&mut self, text: &str) {
        for line in wrapped(text, WIDTH - 2 * INDENT.len()) {
            self.line(format_args!("{INDENT}{DIM}{line}{DIM:#}"));
        }
    }

    /// A text of somebody else's, such as a letter.
    pub(super) fn quote(&mut self, text: &str) {
        for line in text.trim_end().lines() {
            self.line(format_args!("{DIM}|{DIM:#} {line}"));
        }
    }

    /// A letter as it arrives.
    pub(super) fn letter(&mut self, letter: &Letter) {
        let (to, subject, body) = (letter.to().as_str(), letter.subject(), letter.body());
        self.quote(&format!("To: {to}\nSubject: {subject}\n\n{body}"));
    }

    /// Time passes.
    pub(super) fn clock(&mut self, text: &str) {
        for line in wrapped(text, WIDTH - INDENT.len()) {
            self.line(format_args!("{CLOCK}{line}{CLOCK:#}"));
        }
    }

    /// What must be so; otherwise the story goes on, and fails.
    pub(super) fn holds(&mut self, claim: &str, holds: bool, found: impl Display) {
        if holds {
            self.held += 1;
            let mut sign = format!("{GOOD}✓{GOOD:#}");
            for line in wrapped(claim, WIDTH - INDENT.len() - 2) {
                self.line(format_args!("{sign} {line}"));
                " ".clone_into(&mut sign);
            }
        } else {
            self.broken += 1;
            self.line(format_args!("{BAD}✗ expected: {claim}{BAD:#}"));
            self.line(format_args!("{BAD}     found: {found}{BAD:#}"));
        }
    }

    /// The same for what must be equal.
    pub(super) fn same<T: PartialEq + Display>(&mut self, claim: &str, expected: &T, found: &T) {
        self.holds(claim, expected == found, format_args!("{found} instead of {expected}"));
    }

    /// The story cannot go on.
    pub(super) fn broken(&mut self, why: &dyn Display) {
        let steps = self.steps;
        self.put(format_args!("{BAD}✗ step {steps} could not be finished: {why}{BAD:#}"));
    }

    /// The last line of the story: whether all of it held.
    pub(super) fn verdict(&mut self) -> bool {
        let (held, broken, seconds) = (self.held, self.broken, self.begun.elapsed().as_secs_f32());
        self.put("");
        if broken == 0 {
            self.put(format_args!("{GOOD}All {held} checks of the story held, in {seconds:.1} s.{GOOD:#}"));
        } else {
            self.put(format_args!("{BAD}{broken} of {} checks did not hold.{BAD:#}", held + broken));
        }
        broken == 0
    }

    fn put(&mut self, text: impl Display) {
        let _ = writeln!(self.out, "{text}");
    }
}

/// `Tue 1 Dec 16:00 London`.
pub(super) fn time(zone: &Zone, at: DateTime<Utc>) -> String {
    format!("{} {}", zone.local(at).format("%a %-d %b %H:%M"), city(zone))
}

/// The same for two people: `Tue 1 Dec 16:00 London (17:00 Berlin)`.
pub(super) fn both_times(here: &Zone, there: &Zone, at: DateTime<Utc>) -> String {
    if here == there {
        return time(here, at);
    }
    let (local, theirs) = (here.local(at), there.local(at));
    let theirs = theirs.format(if local.date() == theirs.date() { "%H:%M" } else { "%a %H:%M" });
    format!("{} ({theirs} {})", time(here, at), city(there))
}

/// What people call a zone.
pub(super) fn city(zone: &Zone) -> String {
    zone.name().rsplit('/').next().unwrap_or_default().replace('_', " ")
}

/// `1 night`, `3 nights`.
pub(super) fn count(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or_default();
    format!("{number} {}", if number == 1 { one } else { many })
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("there is always a line");
        if !last.is_empty() && last.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.to_owned());
        } else {
            last.extend((!last.is_empty()).then_some(' '));
            last.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use calendar::Rules;

    use super::{both_times, wrapped};

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert_eq!(wrapped("", 3), [""]);
    }

    #[test]
    fn two_people_read_two_clocks() {
        let zone = |name| Rules::compiled_in().zone(name).unwrap();
        let at = "2026-12-01T23:30:00Z".parse().unwrap();
        let london = zone("Europe/London");
        assert_eq!(both_times(&london, &london, at), "Tue 1 Dec 23:30 London");
        assert_eq!(
            both_times(&london, &zone("America/New_York"), at),
            "Tue 1 Dec 23:30 London (18:30 New York)"
        );
        assert_eq!(
            both_times(&london, &zone("Europe/Berlin"), at),
            "Tue 1 Dec 23:30 London (Wed 00:30 Berlin)"
        );
    }
}
