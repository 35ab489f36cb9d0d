//! Whom to call at once, by country.
//!
//! **Invariant:** the table is compiled in, so the answer needs no database, no network and no account, and is never
//! empty: whatever else is down, this works. Each row of `crisis.toml` says where its facts come from and when they
//! were last compared with it; the tests below refuse a row that says less.

use std::sync::LazyLock;

use chrono::NaiveDate;
use serde::Deserialize;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("crisis.toml")).expect("the compiled-in table is read by every test")
});

/// Somebody who answers, and how to reach them.
#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resource {
    /// What it calls itself, and for whom it is where it is not for everybody.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// A `tel:`, `sms:` or `https:` URI; a number is written as it is dialled in its country.
    pub(crate) contact: String,
    /// When somebody answers, such as `24/7`; times are local.
    pub(crate) hours: String,
    /// BCP 47 tags of the languages spoken by right, not by luck.
    pub(crate) languages: Vec<String>,
    /// ISO 3166-1 alpha-2; none if it works everywhere.
    pub(crate) country: Option<String>,
    /// A page that states the number, or that of the service itself.
    pub(crate) source: String,
    /// The day on which the row was last compared with what is published. Nobody called.
    pub(crate) checked: NaiveDate,
}

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Police, fire, ambulance.
    Emergency,
    /// Somebody to talk to.
    CrisisLine,
    /// Somebody to write to by text message.
    Text,
    /// Somebody to write to in a browser, or a directory of lines.
    Chat,
    /// For people who work in healthcare.
    HealthcareWorkers,
}

/// What the country has, in the order of its table (the emergency number first), then what works everywhere.
///
/// The country is an ISO 3166-1 alpha-2 code in either case; one without a table gives what works everywhere.
#[must_use]
pub(crate) fn resources(country: Option<&str>) -> Vec<&'static Resource> {
    let is_local = |resource: &&Resource| {
        country.zip(resource.country.as_deref()).is_some_and(|(asked, here)| asked.eq_ignore_ascii_case(here))
    };
    let local = TABLE.resources.iter().filter(is_local);
    let everywhere = TABLE.resources.iter().filter(|resource| resource.country.is_none());
    local.chain(everywhere).collect()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    resources: Vec<Resource>,
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    fn countries() -> BTreeSet<&'static str> {
        TABLE.resources.iter().filter_map(|resource| resource.country.as_deref()).collect()
    }

    #[track_caller]
    fn check(country: &str, kind: Kind, contact: &str) {
        let found = resources(Some(country));
        let is_there = found.iter().any(|resource| resource.kind == kind && resource.contact == contact);
        assert!(is_there, "{country} lacks {contact}");
    }

    #[test]
    fn b9_the_well_known_numbers_are_there() {
        for (country, contact) in [
            ("US", "tel:988"),
            ("CA", "tel:988"),
            ("GB", "tel:116-123"),
            ("IE", "tel:116-123"),
            ("DE", "tel:0800-111-0-111"),
            ("DE", "tel:0800-111-0-222"),
            ("DE", "tel:116-123"),
            ("AT", "tel:142"),
            ("CH", "tel:143"),
            ("FR", "tel:3114"),
            ("ES", "tel:024"),
            ("IT", "tel:02-2327-2327"),
            ("NL", "tel:113"),
            ("BE", "tel:0800-32-123"),
            ("BE", "tel:1813"),
            ("SE", "tel:90101"),
            ("DK", "tel:70-201-201"),
            ("NO", "tel:116-123"),
            ("FI", "tel:09-2525-0111"),
            ("PL", "tel:116-123"),
            ("PT", "tel:1411"),
            ("CZ", "tel:116-123"),
            ("HU", "tel:116-123"),
            ("GR", "tel:1018"),
            ("AU", "tel:13-11-14"),
            ("NZ", "tel:1737"),
            ("IN", "tel:14416"),
            ("JP", "tel:0120-279-338"),
            ("BR", "tel:188"),
            ("MX", "tel:800-911-2000"),
            ("AR", "tel:0800-999-0091"),
            ("ZA", "tel:0800-567-567"),
            ("IL", "tel:1201"),
            ("KR", "tel:109"),
        ] {
            check(country, Kind::CrisisLine, contact);
        }
        check("US", Kind::HealthcareWorkers, "tel:1-888-409-0141");
        check("AU", Kind::HealthcareWorkers, "tel:1300-374-377");
        check("GB", Kind::Text, "sms:85258?body=SHOUT");
        check("us", Kind::Emergency, "tel:911");
    }

    #[test]
    fn b9_every_country_has_an_emergency_number_first_and_somebody_to_talk_to() {
        for country in countries() {
            let found = resources(Some(country));
            let local: Vec<_> = found.iter().filter(|resource| resource.country.is_some()).collect();
            assert!(local.iter().all(|resource| resource.country.as_deref() == Some(country)));
            assert_eq!(local[0].kind, Kind::Emergency, "{country}");
            assert!(local.iter().any(|resource| resource.kind == Kind::CrisisLine), "{country}");
            assert!(local.is_sorted_by_key(|resource| resource.kind), "{country} is out of order");
        }
    }

    #[test]
    fn b9_what_works_everywhere_comes_last_and_is_never_missing() {
        let everywhere = resources(None);
        assert!(everywhere.len() >= 3);
        assert!(everywhere.iter().all(|resource| resource.country.is_none()));
        for unknown in ["", "XX", "DEU", "Germany", "\u{1f691}"] {
            assert_eq!(resources(Some(unknown)), everywhere, "{unknown:?}");
        }
        let german = resources(Some("DE"));
        assert!(german.ends_with(&everywhere));
        assert!(german.len() > everywhere.len());
    }

    #[test]
    fn every_row_is_complete() {
        for resource in &TABLE.resources {
            let Resource { name, kind: _, contact, hours, languages, country, source, checked } = resource;
            for text in [name, contact, hours, source] {
                assert!(!text.is_empty() && text.trim() == text, "{resource:?}");
            }
            assert!(!languages.is_empty(), "{resource:?}");
            for tag in languages {
                assert!(
                    (2..=3).contains(&tag.len()) && tag.chars().all(|letter| letter.is_ascii_lowercase())
                );
            }
            if let Some(country) = country {
                assert!(country.len() == 2 && country.chars().all(|letter| letter.is_ascii_uppercase()));
            }
            assert!(is_https(source), "{source}");
            assert!(
                *checked >= NaiveDate::from_ymd_opt(2026, 1, 1).unwrap(),
                "{resource:?} was checked long ago"
            );
        }
    }

    #[test]
    fn every_contact_can_be_dialled_or_opened() {
        for resource in &TABLE.resources {
            let contact = &resource.contact;
            let fits = match resource.kind {
                Kind::Emergency => {
                    contact.strip_prefix("tel:").is_some_and(|number| number.len() == 3 && is_number(number))
                }
                Kind::CrisisLine => contact.strip_prefix("tel:").is_some_and(is_number),
                Kind::Text => contact.strip_prefix("sms:").is_some_and(is_text_number),
                Kind::Chat => is_https(contact),
                Kind::HealthcareWorkers => {
                    contact.strip_prefix("tel:").map_or_else(|| is_https(contact), is_number)
                }
            };
            assert!(fits, "{resource:?}");
        }
    }

    #[test]
    fn nothing_stands_twice() {
        let mut seen = HashSet::new();
        for resource in &TABLE.resources {
            assert!(seen.insert((&resource.country, &resource.contact)), "{resource:?}");
        }
    }

    /// Groups of digits with one hyphen between them, 3 to 15 digits as E.164 allows.
    fn is_number(number: &str) -> bool {
        let digits = number.chars().filter(char::is_ascii_digit).count();
        (3..=15).contains(&digits)
            && number
                .split('-')
                .all(|group| !group.is_empty() && group.chars().all(|digit| digit.is_ascii_digit()))
    }

    /// A number, and the word to send if one is asked for.
    fn is_text_number(text: &str) -> bool {
        match text.split_once("?body=") {
            Some((number, word)) => {
                is_number(number)
                    && !word.is_empty()
                    && word.chars().all(|letter| letter.is_ascii_uppercase())
            }
            None => is_number(text),
        }
    }

    fn is_https(uri: &str) -> bool {
        let host = uri.strip_prefix("https://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
        host.contains('.') && uri.chars().all(|letter| letter.is_ascii_graphic())
    }
}
