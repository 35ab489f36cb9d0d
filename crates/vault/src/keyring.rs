use std::fmt;

use data_encoding::HEXLOWER;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    data_key::DataKey,
    sealed::{KeyId, OpenError, Place, SealingKey, random},
};

/// The server's secret, from which it derives a key for each thing it does.
///
/// Its text form, kept in a file that only the server reads, is one line
/// beside any number of empty lines and comments that start with `#`:
///
/// ```text
/// respite-key-1 <id, 8 hexadecimal digits> <secret, 64 hexadecimal digits>
/// ```
///
/// The id follows from the secret, so that a mistyped line is found at start
/// and not when the first contact does not open.
pub struct Keyring {
    secret: Zeroizing<[u8; 32]>,
    id: KeyId,
}

/// Why a text is not a key file. It never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// There is no line but comments.
    #[error("no key in it")]
    Empty,
    /// A line is neither a comment nor a key.
    #[error("line {line} is not `respite-key-1 <id> <secret>`")]
    Malformed {
        /// Counted from one.
        line: usize,
    },
    /// The id and the secret do not belong together.
    #[error("line {line}: the id does not belong to the secret; the line was changed")]
    Mismatch {
        /// Counted from one.
        line: usize,
    },
    /// A second key follows the first.
    #[error("line {line} is a second key")]
    Second {
        /// Counted from one.
        line: usize,
    },
}

/// What a message authentication code is for; codes for one purpose say nothing for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The challenge of a login, which the server does not store.
    Challenge,
    /// The handle under which one therapist knows one alias.
    PairHandle,
    /// The payload that belongs to a request id.
    RequestPayload,
    /// The code that confirms a contact.
    ContactCode,
    /// The list that a page token is for.
    PageToken,
    /// The name of the room in which a session takes place.
    Room,
    /// The secret in the address of a calendar.
    CalendarFeed,
    /// What an alias must not meet.
    ExclusionTag,
}

impl Keyring {
    /// A fresh random secret.
    #[must_use]
    pub fn generate() -> Self {
        Self::new(random())
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keyring = None;
        for (number, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if keyring.is_some() {
                return Err(KeyringError::Second { line: number });
            }
            let (id, secret) = parse_line(content).ok_or(KeyringError::Malformed { line: number })?;
            let parsed = Self::new(secret);
            if parsed.id != id {
                return Err(KeyringError::Mismatch { line: number });
            }
            keyring = Some(parsed);
        }
        keyring.ok_or(KeyringError::Empty)
    }

    /// The text form, ready to be written to a file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(LINE));
        text.push_str(FORMAT);
        text.push(' ');
        HEXLOWER.encode_append(&self.id, &mut text);
        text.push(' ');
        HEXLOWER.encode_append(self.secret.as_ref(), &mut text);
        text.push('\n');
        text
    }

    /// Which key wraps: stored beside each wrapped key, so that an old one can be found.
    #[must_use]
    pub fn kek_id(&self) -> KeyId {
        self.id
    }

    /// Wraps an alias's key for storage, in 77 bytes that unwrap for this alias alone.
    #[must_use]
    pub fn wrap(&self, key: &DataKey, alias: [u8; 16]) -> Vec<u8> {
        let kek = self.derive("respite/key-encryption/v1");
        SealingKey { id: self.id, secret: &kek }.seal(wrapped_of(alias), key.secret())
    }

    /// Undoes [`wrap`](Self::wrap).
    pub fn unwrap(&self, wrapped: &[u8], alias: [u8; 16]) -> Result<DataKey, OpenError> {
        let kek = self.derive("respite/key-encryption/v1");
        let opened = SealingKey { id: self.id, secret: &kek }.open(wrapped_of(alias), wrapped)?;
        let mut secret = Zeroizing::new([0; 32]);
        if opened.len() != secret.len() {
            return Err(OpenError::Shape);
        }
        secret.copy_from_slice(&opened);
        Ok(DataKey::from_secret(secret))
    }

    /// The key for what therapists say in confidence. They have none of their own, so it is not stored but follows from
    /// the secret; rows keep what is sealed under it apart.
    #[must_use]
    pub fn therapists_key(&self) -> DataKey {
        DataKey::from_secret(self.derive("respite/therapists-data/v1"))
    }

    /// A code that only this keyring can make for these parts; it depends on where each part ends.
    #[must_use]
    pub fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        authenticate(self.derive::<32>(purpose.label()).as_ref(), parts)
    }

    /// Whether `tag` is the code of these parts, in time that does not depend on the answer.
    #[must_use]
    pub fn verify_mac(&self, purpose: Purpose, parts: &[&[u8]], tag: &[u8]) -> bool {
        self.mac(purpose, parts).ct_eq(tag).into()
    }

    /// Seals where the next page of a list begins, for a client to bring back: it can neither be read nor changed, and
    /// opens for that list alone.
    #[must_use]
    pub fn seal_page(&self, list: [u8; 16], position: &[u8]) -> Vec<u8> {
        let secret = self.derive("respite/page-position/v1");
        SealingKey { id: self.id, secret: &secret }.seal(page_of(list), position)
    }

    /// Undoes [`seal_page`](Self::seal_page).
    pub fn open_page(&self, list: [u8; 16], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let secret = self.derive("respite/page-position/v1");
        SealingKey { id: self.id, secret: &secret }.open(page_of(list), sealed)
    }

    fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        let id = *derive(&secret, "respite/key-id/v1");
        Self { secret, id }
    }

    fn derive<const N: usize>(&self, label: &str) -> Zeroizing<[u8; N]> {
        derive(&self.secret, label)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring(..)")
    }
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Challenge => "respite/challenge/v1",
            Self::PairHandle => "respite/pair-handle/v1",
            Self::RequestPayload => "respite/request-payload/v1",
            Self::ContactCode => "respite/contact-code/v1",
            Self::PageToken => "respite/page-token/v1",
            Self::Room => "respite/room/v1",
            Self::CalendarFeed => "respite/calendar-feed/v1",
            Self::ExclusionTag => "respite/exclusion-tag/v1",
        }
    }
}

const FORMAT: &str = "respite-key-1";
const LINE: usize = FORMAT.len() + 1 + 8 + 1 + 64 + 1;

fn parse_line(line: &str) -> Option<(KeyId, Zeroizing<[u8; 32]>)> {
    let mut words = line.split_ascii_whitespace();
    let (format, id, secret) = (words.next()?, words.next()?, words.next()?);
    if format != FORMAT || words.next().is_some() {
        return None;
    }
    Some((*parse_hex(id)?, parse_hex(secret)?))
}

fn parse_hex<const N: usize>(text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    if HEXLOWER.decode_len(text.len()) != Ok(N) {
        return None;
    }
    HEXLOWER.decode_mut(text.as_bytes(), bytes.as_mut()).ok()?;
    Some(bytes)
}

fn wrapped_of(alias: [u8; 16]) -> Place {
    Place { column: "alias_key.wrapped_dek", row: alias }
}

fn page_of(list: [u8; 16]) -> Place {
    Place { column: "page_token", row: list }
}

/// HKDF-SHA256 with one salt for the whole house and the label as info.
pub(crate) fn derive<const N: usize>(secret: &[u8; 32], label: &str) -> Zeroizing<[u8; N]> {
    let mut derived = Zeroizing::new([0; N]);
    expand(b"respite/vault/v1", secret, label.as_bytes(), derived.as_mut());
    derived
}

fn expand(salt: &[u8], secret: &[u8], info: &[u8], out: &mut [u8]) {
    Hkdf::<Sha256>::new(Some(salt), secret)
        .expand(info, out)
        .expect("no key here is longer than the 8160 bytes HKDF can give");
}

/// HMAC-SHA256 over the parts, each behind its length.
fn authenticate(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::{Keyring, KeyringError, Purpose, expand, keyed};
    use crate::{DataKey, OpenError, Padding};
    use data_encoding::HEXLOWER;
    use hmac::Mac;

    const ALIAS: [u8; 16] = [7; 16];
    const PURPOSES: [Purpose; 8] = [
        Purpose::Challenge,
        Purpose::PairHandle,
        Purpose::RequestPayload,
        Purpose::ContactCode,
        Purpose::PageToken,
        Purpose::Room,
        Purpose::CalendarFeed,
        Purpose::ExclusionTag,
    ];

    #[test]
    fn a_wrapped_key_is_77_bytes_and_opens_what_it_sealed() {
        let keyring = Keyring::generate();
        let key = DataKey::generate();
        let sealed = key.seal("contact.email", ALIAS, b"heron@example.com", Padding::to(128));
        let wrapped = keyring.wrap(&key, ALIAS);
        assert_eq!(wrapped.len(), 77);

        let restarted = Keyring::parse(&keyring.to_text()).unwrap();
        let key = restarted.unwrap(&wrapped, ALIAS).unwrap();
        let opened = key.open("contact.email", ALIAS, &sealed).unwrap();
        assert_eq!(&opened[..], b"heron@example.com");
    }

    #[test]
    fn a_wrapped_key_of_another_alias_is_refused() {
        let keyring = Keyring::generate();
        let wrapped = keyring.wrap(&DataKey::generate(), ALIAS);
        assert_eq!(keyring.unwrap(&wrapped, [8; 16]).unwrap_err(), OpenError::Forged);
    }

    #[test]
    fn every_flipped_byte_of_a_wrapped_key_is_refused() {
        let keyring = Keyring::generate();
        let wrapped = keyring.wrap(&DataKey::generate(), ALIAS);
        for byte in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[byte] ^= 0xff;
            assert!(keyring.unwrap(&changed, ALIAS).is_err(), "{byte}");
        }
    }

    #[test]
    fn what_therapists_say_opens_after_a_restart_and_for_no_other_server() {
        let keyring = Keyring::generate();
        let sealed = keyring.therapists_key().seal("feed.sealed", ALIAS, b"heron", Padding::to(128));
        let restarted = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(&restarted.therapists_key().open("feed.sealed", ALIAS, &sealed).unwrap()[..], b"heron");
        let refused = Keyring::generate().therapists_key().open("feed.sealed", ALIAS, &sealed).unwrap_err();
        assert!(matches!(refused, OpenError::WrongKey { .. }));
    }

    #[test]
    fn a_key_wrapped_by_another_server_names_both_keys() {
        let (ours, theirs) = (Keyring::generate(), Keyring::generate());
        let wrapped = theirs.wrap(&DataKey::generate(), ALIAS);
        assert_eq!(
            ours.unwrap(&wrapped, ALIAS).unwrap_err(),
            OpenError::WrongKey { expected: ours.kek_id(), found: theirs.kek_id() }
        );
    }

    #[test]
    fn a_page_opens_for_its_list_alone_and_cannot_be_read() {
        let keyring = Keyring::generate();
        let sealed = keyring.seal_page([1; 16], b"after the load class 3");
        assert_eq!(&keyring.open_page([1; 16], &sealed).unwrap()[..], b"after the load class 3");
        assert!(!sealed.windows(4).any(|window| window == b"load"));
        assert_eq!(keyring.open_page([2; 16], &sealed), Err(OpenError::Forged));
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(keyring.open_page([1; 16], &changed).is_err(), "{byte}");
        }
    }

    #[track_caller]
    fn check_parse(text: &str, expected: Result<(), KeyringError>) {
        assert_eq!(Keyring::parse(text).map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn key_files() {
        let line = Keyring::generate().to_text();
        let line = line.trim_end();
        let (head, secret) = line.rsplit_once(' ').unwrap();
        check_parse(line, Ok(()));
        check_parse(&format!("# made for a test\n\n  {line}  \r\n"), Ok(()));
        check_parse("", Err(KeyringError::Empty));
        check_parse("# only a comment\n", Err(KeyringError::Empty));
        check_parse(&format!("{line}\n{line}"), Err(KeyringError::Second { line: 2 }));
        check_parse(&format!("\n{line} x"), Err(KeyringError::Malformed { line: 2 }));
        check_parse(head, Err(KeyringError::Malformed { line: 1 }));
        check_parse(&line[..line.len() - 1], Err(KeyringError::Malformed { line: 1 }));
        check_parse(&format!("{line}0"), Err(KeyringError::Malformed { line: 1 }));
        check_parse(
            &line.replace("respite-key-1", "respite-key-2"),
            Err(KeyringError::Malformed { line: 1 }),
        );
        check_parse(&format!("{head} {}", "é".repeat(32)), Err(KeyringError::Malformed { line: 1 }));
        let swapped: String = secret.chars().rev().collect();
        check_parse(&format!("{head} {swapped}"), Err(KeyringError::Mismatch { line: 1 }));
    }

    #[test]
    fn debug_shows_no_byte_of_the_secret() {
        assert_eq!(format!("{:?}", Keyring::generate()), "Keyring(..)");
    }

    #[test]
    fn a_code_holds_for_one_purpose_and_one_division_into_parts() {
        let keyring = Keyring::generate();
        let parts: [&[u8]; 2] = [b"ab", b"c"];
        for made_for in PURPOSES {
            let tag = keyring.mac(made_for, &parts);
            for asked_for in PURPOSES {
                assert_eq!(
                    keyring.verify_mac(asked_for, &parts, &tag),
                    made_for == asked_for,
                    "{made_for:?} {asked_for:?}"
                );
            }
            assert!(!keyring.verify_mac(made_for, &[b"a", b"bc"], &tag));
            assert!(!keyring.verify_mac(made_for, &[b"abc"], &tag));
            assert!(!keyring.verify_mac(made_for, &[b"ab", b"c", b""], &tag));
            assert!(!keyring.verify_mac(made_for, &parts, &tag[..31]));
            assert!(!keyring.verify_mac(made_for, &parts, b""));
            assert!(!Keyring::generate().verify_mac(made_for, &parts, &tag));
        }
    }

    /// RFC 5869, A.1.
    #[test]
    fn derivation_follows_the_published_vector() {
        let salt: Vec<u8> = (0x00..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let mut okm = [0; 42];
        expand(&salt, &[0x0b; 22], &info, &mut okm);
        assert_eq!(
            HEXLOWER.encode(&okm),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }

    /// RFC 4231, case 2.
    #[test]
    fn authentication_follows_the_published_vector() {
        let mut mac = keyed(b"Jefe");
        mac.update(b"what do ya want for nothing?");
        assert_eq!(
            HEXLOWER.encode(&mac.finalize().into_bytes()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
