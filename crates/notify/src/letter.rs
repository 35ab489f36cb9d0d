use std::{fmt, str::FromStr};

use lettre::message::{Body, header::ContentTransferEncoding};
use thiserror::Error;

use crate::catalogue::{Language, Message, subject};

/// An e-mail address that is safe to put into an envelope and a header.
///
/// It has a plain local part and a domain name in ASCII: no quotes, comments,
/// display names or address literals, and none of the characters that a mail
/// server has ever taken for a command, a file, a pipe or a route. Nothing
/// shows it but [`as_str`](Self::as_str).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(lettre::Address);

/// Why a text is not an [`Address`]. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Longer than any mailbox can be.
    #[error("{length} bytes are more than the 254 of an address")]
    TooLong {
        /// In bytes.
        length: usize,
    },
    /// There is no `@`.
    #[error("there is no @")]
    NoAt,
    /// What stands before the `@` is not a plain local part.
    #[error("the part before the @ is not plain letters, digits and inner dots")]
    LocalPart,
    /// What stands after the `@` is not a domain name.
    #[error("the part after the @ is not a domain name in ASCII")]
    Domain,
}

/// A text from the catalogue on its way to one address.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    to: Address,
    subject: &'static str,
    body: String,
    message_id: String,
    kind: &'static str,
}

/// Writes a letter.
///
/// `message_id` tells a provider that two deliveries are the same letter. It
/// is visible to every mail server on the way, so it is random and the id of
/// nothing else.
///
/// Every body is encoded in the same number of bytes, whatever it says.
#[must_use]
pub fn compose(to: Address, language: Language, message: Message, message_id: [u8; 16]) -> Letter {
    Letter {
        to,
        subject: subject(language),
        body: even_out(message.text(language)),
        message_id: format!("{:032x}", u128::from_be_bytes(message_id)),
        kind: message.kind(),
    }
}

impl Address {
    /// The address itself, for sealing and for the envelope; never for a log.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    pub(crate) fn domain(&self) -> &str {
        self.0.domain()
    }

    pub(crate) fn for_lettre(&self) -> lettre::Address {
        self.0.clone()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.len() > 254 {
            return Err(AddressError::TooLong { length: text.len() });
        }
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if !is_local_part(local) {
            return Err(AddressError::LocalPart);
        }
        if !is_domain(domain) {
            return Err(AddressError::Domain);
        }
        lettre::Address::new(local, domain).map(Self).map_err(|_| AddressError::Domain)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(..)")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(address)")
    }
}

impl Letter {
    /// Whom it reaches.
    #[must_use]
    pub fn to(&self) -> &Address {
        &self.to
    }

    /// One word per language, whatever the letter says.
    #[must_use]
    pub fn subject(&self) -> &'static str {
        self.subject
    }

    /// The text, followed by the white space that evens out its length.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// The part of the Message-ID before the `@`, which is the same at every attempt.
    #[must_use]
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// Which entry of the catalogue it is.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn encoded_body(&self) -> Body {
        encode(self.body.clone())
    }
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// A host name: at least two labels of letters, digits and inner hyphens, the last not a number.
pub(crate) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        matches!(label.len(), 1..=63)
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').all(is_label) && text.rsplit_once('.').is_some_and(|(_, last)| !numeric(last))
}

fn is_local_part(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"#$&'*+-=?^_{}~".contains(&byte))
    };
    text.len() <= 64 && !text.starts_with('-') && text.split('.').all(is_word)
}

/// What every encoded body measures, in bytes.
const LENGTH: usize = 320;

/// Adds lines of spaces, which no reader sees, until the encoded text measures [`LENGTH`].
fn even_out(text: String) -> String {
    /// What a line costs beside its spaces: the last of them becomes `=20`, and CR LF ends it.
    const LINE: usize = 4;
    const LONGEST: usize = 70;

    let mut text = text + "\n";
    let mut missing = LENGTH.saturating_sub(encode(text.clone()).len());
    for lines in (1..=missing.div_ceil(LONGEST)).rev() {
        let line = missing / lines;
        text.extend(std::iter::repeat_n(' ', line.saturating_sub(LINE)));
        text.push('\n');
        missing -= line;
    }
    text
}

fn encode(text: String) -> Body {
    Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
        .expect("quoted-printable encodes any text")
}

#[cfg(test)]
mod tests {
    use super::{Address, AddressError, LENGTH, compose};
    use crate::catalogue::{Code, Language, Level, Message};
    use chrono::{Days, NaiveDate, NaiveDateTime};
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), AddressError>) {
        let parsed = text.parse::<Address>();
        if let Ok(address) = &parsed {
            assert_eq!(address.as_str(), text);
        }
        assert_eq!(parsed.map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn addresses_that_reach_somebody() {
        check("heron@example.com", Ok(()));
        check("quiet.heron+box@mail.example.co.uk", Ok(()));
        check("o'heron_4821@xn--bcher-kva.example", Ok(()));
        check("a@b.cc", Ok(()));
        check(&format!("{}@example.com", "a".repeat(64)), Ok(()));
    }

    #[test]
    fn addresses_that_could_do_harm() {
        use AddressError::{Domain, LocalPart, NoAt, TooLong};
        check("", Err(NoAt));
        check("heron", Err(NoAt));
        check("@", Err(LocalPart));
        check("@example.com", Err(LocalPart));
        check("heron@", Err(Domain));
        check("heron@example.com\r\nBcc: all@example.com", Err(LocalPart));
        check("heron\r\n@example.com", Err(LocalPart));
        check("heron@example.com\n", Err(Domain));
        check("heron@exam\rple.com", Err(Domain));
        check("heron@example.com\0", Err(Domain));
        check("-oQ/tmp", Err(NoAt));
        check("-oQ/tmp@example.com", Err(LocalPart));
        check("-oQtmp@example.com", Err(LocalPart));
        check("|/bin/sh@example.com", Err(LocalPart));
        check("/etc/passwd@example.com", Err(LocalPart));
        check("heron%example.org@example.com", Err(LocalPart));
        check("example.org!heron@example.com", Err(LocalPart));
        check("Heron <heron@example.com>", Err(LocalPart));
        check("<heron@example.com>", Err(LocalPart));
        check("\"quiet heron\"@example.com", Err(LocalPart));
        check("heron(quiet)@example.com", Err(LocalPart));
        check("heron@example.com,egret@example.com", Err(LocalPart));
        check("heron@egret@example.com", Err(LocalPart));
        check(" heron@example.com", Err(LocalPart));
        check("heron@example.com ", Err(Domain));
        check(".heron@example.com", Err(LocalPart));
        check("he..ron@example.com", Err(LocalPart));
        check("heron.@example.com", Err(LocalPart));
        check("reiher@bücher.example", Err(Domain));
        check("größe@example.com", Err(LocalPart));
        check("heron@example.com\u{202e}", Err(Domain));
        check("heron@localhost", Err(Domain));
        check("heron@127.0.0.1", Err(Domain));
        check("heron@[127.0.0.1]", Err(Domain));
        check("heron@-example.com", Err(Domain));
        check("heron@example-.com", Err(Domain));
        check("heron@example..com", Err(Domain));
        check("heron@example.com.", Err(Domain));
        check(&format!("heron@{}.com", "a".repeat(64)), Err(Domain));
        check(&format!("{}@example.com", "a".repeat(65)), Err(LocalPart));
        check(&format!("heron@{}info", "a.".repeat(122)), Ok(()));
        check(&format!("heron@{}infos", "a.".repeat(122)), Err(TooLong { length: 255 }));
        check(&"a@b.cc".repeat(1_700), Err(TooLong { length: 10_200 }));
    }

    #[test]
    fn an_address_is_shown_by_nothing() {
        let address: Address = "heron@example.com".parse().unwrap();
        let code = Code::new(123_456).unwrap();
        let letter = compose(address.clone(), Language::En, Message::ConfirmContact { code }, [7; 16]);
        assert_eq!(
            format!("{address} {address:?} {letter:?}"),
            "(address) Address(..) Letter { kind: \"confirmation\", .. }"
        );
    }

    fn check_length(language: Language, message: Message) {
        let letter = compose("heron@example.com".parse().unwrap(), language, message, [0; 16]);
        assert_eq!(letter.encoded_body().len(), LENGTH, "{}", letter.body());
        assert_eq!(letter.body().trim_end(), message.text(language));
    }

    /// R3: constant length class, over every entry and whatever is the longest and the shortest in it.
    #[test]
    fn r3_every_body_is_as_long_as_every_other() {
        let year = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        let year = (0..365).map(|day| (year + Days::new(day)).and_hms_opt(23, 59, 59).unwrap());
        for language in Language::ALL {
            for code in [0, 9, 999_999] {
                let code = Code::new(code).unwrap();
                check_length(language, Message::ConfirmContact { code });
            }
            for local in year.clone().chain([NaiveDateTime::MIN, NaiveDateTime::MAX]) {
                check_length(language, Message::Reminder { level: Level::Update, local });
                check_length(language, Message::Reminder { level: Level::Time, local });
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_is_not(text: String) {
            let _ = text.parse::<Address>();
        }

        #[test]
        fn what_is_accepted_has_no_byte_that_could_end_a_line(text in "[-a-z.@\r\n\t <>\"\\\\|/é]{1,20}@[-a-z.\r\n \u{0}]{1,9}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert!(address.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!address.as_str().starts_with('-'));
            }
        }
    }
}
