//! Looks for things that occur nowhere else, in every spelling that a program might write them in.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};

/// Something that is said in confidence.
pub(super) struct Canary {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// All that came out in one place.
pub(super) struct Sink {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// A place where a canary has to be.
pub(super) struct Allowed {
    pub(super) canary: &'static str,
    pub(super) sink: &'static str,
    pub(super) why: &'static str,
}

/// Finds all canaries in all spellings in one pass.
pub(super) struct Scanner {
    automaton: AhoCorasick,
    needles: Vec<(&'static str, &'static str, Vec<u8>)>,
}

impl Scanner {
    pub(super) fn new(canaries: &[Canary]) -> Self {
        let needles: Vec<_> = canaries
            .iter()
            .flat_map(|canary| {
                assert!(canary.bytes.len() >= 9, "{} is so short that it may be anywhere", canary.name);
                let spelled = spellings(&canary.bytes).into_iter();
                spelled.map(|(spelling, needle)| (canary.name, spelling, needle))
            })
            .collect();
        // Folded to lower case, or in capital hexadecimal digits, it is still the same.
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build(needles.iter().map(|(_, _, needle)| needle))
            .unwrap();
        Self { automaton, needles }
    }

    /// Which canary is there, and how it is spelled.
    pub(super) fn find(&self, bytes: &[u8]) -> BTreeSet<(&'static str, &'static str)> {
        self.automaton
            .find_overlapping_iter(bytes)
            .map(|found| {
                let (canary, spelling, _) = &self.needles[found.pattern().as_usize()];
                (*canary, *spelling)
            })
            .collect()
    }

    /// What is somewhere without being allowed there, and what is allowed without being there; and a place of which
    /// nothing is known to be there, since then nothing shows that what is there is found.
    pub(super) fn check(&self, sinks: &[Sink], allowed: &[&Allowed]) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut used = BTreeSet::new();
        for sink in sinks {
            for (canary, spelling) in self.find(&sink.bytes) {
                if allowed.iter().any(|row| (row.canary, row.sink) == (canary, sink.name)) {
                    used.insert((canary, sink.name));
                } else {
                    wrong.push(format!("{canary} ({spelling}) in {}", sink.name));
                }
            }
        }
        for Sink { name, .. } in sinks {
            if !allowed.iter().any(|row| row.sink == *name) {
                wrong.push(format!("nothing is known to be in {name}"));
            }
        }
        for Allowed { canary, sink, why } in allowed.iter().copied() {
            if !used.contains(&(*canary, *sink)) {
                wrong.push(format!("{canary} is not in {sink}, where it should be: {why}"));
            }
        }
        wrong
    }

    /// Asserts that every canary would have been found in this sink, among what is there, in every spelling.
    pub(super) fn prove_in(&self, sink: &Sink) {
        let step = sink.bytes.len() / (self.needles.len() + 1);
        let mut bytes = Vec::new();
        for (place, (_, _, needle)) in self.needles.iter().enumerate() {
            bytes.extend_from_slice(&sink.bytes[place * step..(place + 1) * step]);
            bytes.extend_from_slice(needle);
        }
        bytes.extend_from_slice(&sink.bytes[self.needles.len() * step..]);
        let found = self.find(&bytes);
        for (canary, spelling, _) in &self.needles {
            assert!(
                found.contains(&(*canary, *spelling)),
                "{canary} ({spelling}) is overlooked in {}",
                sink.name
            );
        }
    }
}

/// Whether this number is there by itself: its few digits are anywhere within longer ones, fractions and other words.
pub(super) fn says_number(bytes: &[u8], number: &str) -> bool {
    let joins = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'.';
    let finder = AhoCorasick::new([number]).unwrap();
    finder.find_iter(bytes).any(|found| {
        let (before, after) = (bytes[..found.start()].last(), bytes[found.end()..].first());
        // A sentence may end with it.
        !before.is_some_and(joins) && !after.is_some_and(u8::is_ascii_alphanumeric)
    })
}

fn spellings(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let percent = |plain: fn(u8) -> bool| -> Vec<u8> {
        let spell = |byte: &u8| if plain(*byte) { vec![*byte] } else { format!("%{byte:02X}").into_bytes() };
        bytes.iter().flat_map(spell).collect()
    };
    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
    let mut spelled = vec![
        ("as it is", bytes.to_vec()),
        ("hexadecimal", HEXLOWER.encode(bytes).into_bytes()),
        ("a list of numbers", numbers.join(", ").into_bytes()),
        ("escaped", bytes.escape_ascii().to_string().into_bytes()),
        ("percent-encoded", percent(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))),
        (
            "percent-encoded in a path",
            percent(|byte| byte.is_ascii_alphanumeric() || b"-._~/:@".contains(&byte)),
        ),
        ("percent-encoded throughout", percent(|_| false)),
    ];
    if let Ok(text) = str::from_utf8(bytes) {
        spelled.push(("UTF-16, low byte first", text.encode_utf16().flat_map(u16::to_le_bytes).collect()));
        spelled.push(("UTF-16, high byte first", text.encode_utf16().flat_map(u16::to_be_bytes).collect()));
    }
    // What stands before decides how base64 cuts it; digits shared with neighbours say nothing.
    for before in 0..3 {
        let shifted = [&vec![0; before], bytes].concat();
        let own = (before * 8).div_ceil(6)..shifted.len() * 8 / 6;
        spelled.push(("base64", BASE64_NOPAD.encode(&shifted).as_bytes()[own.clone()].to_vec()));
        spelled.push(("base64url", BASE64URL_NOPAD.encode(&shifted).as_bytes()[own].to_vec()));
    }
    spelled
}

#[test]
fn a_number_is_found_by_itself() {
    for (text, there) in [
        ("code=004217", true),
        ("004217", true),
        ("Your code is 004217.\n", true),
        ("\"004217\"", true),
        ("12:34:56.004217Z", false),
        ("1004217", false),
        ("0042170", false),
        ("ab004217cd", false),
    ] {
        assert_eq!(says_number(text.as_bytes(), "004217"), there, "{text}");
    }
}

#[test]
fn an_allowance_that_is_not_used_is_stale_and_a_finding_without_one_is_a_leak() {
    let canaries = [("one", "canary-one"), ("two", "canary-two")];
    let canaries = canaries.map(|(name, text)| Canary { name, bytes: text.into() });
    let scanner = Scanner::new(&canaries);
    let sinks = [Sink { name: "log", bytes: b"CANARY-ONE and Y2FuYXJ5LXR3bw==".to_vec() }];
    let allow = |canary, sink| Allowed { canary, sink, why: "so" };
    let (one, two, mail) = (allow("one", "log"), allow("two", "log"), allow("one", "mail"));
    assert_eq!(scanner.check(&sinks, &[&one]), ["two (base64) in log", "two (base64url) in log"]);
    assert!(scanner.check(&sinks, &[&one, &two]).is_empty());
    assert!(scanner.check(&sinks, &[&mail]).contains(&"nothing is known to be in log".to_owned()));
    assert_eq!(scanner.check(&sinks, &[&one, &two, &mail]), ["one is not in mail, where it should be: so"]);
}
