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
    sealed::{KeyId, OpenError, Place, SealingKey, key_id, random},
};

/// The server's keys. From the first it derives a key for each thing it does; the last wraps the keys of aliases.
///
/// Their text form, kept in a file that only the server reads, is a line for each beside any number of empty lines and
/// comments that start with `#`:
///
/// ```text
/// respite-key-1 <id, 8 hexadecimal digits> <secret, 64 hexadecimal digits>
/// respite-next-1 <id> <secret>
/// ```
///
/// The id follows from the secret, so that a mistyped line is found at start
/// and not when the first contact does not open.
///
/// **The first line stays for good**: handles, rooms, codes and the addresses of calendars follow from it, and would be
/// others under another. A new file has two lines, so that the key that wraps can be replaced and, once it wraps nothing,
/// be taken out. Every line opens what it wrapped. `respite-next-1`, at most one and below all others, opens and does
/// not wrap yet: for as long as not every server of a database has it.
pub struct Keyring {
    root: Key,
    /// In the order in which they were added.
    later: Vec<Key>,
    next: Option<Key>,
}

struct Key {
    id: KeyId,
    secret: Zeroizing<[u8; 32]>,
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
    /// A key that stands above.
    #[error("line {line} repeats a key")]
    Repeated {
        /// Counted from one.
        line: usize,
    },
    /// A line stands below the next key, or the next key above all others.
    #[error("line {line}: `respite-next-1` is the last line, below a `respite-key-1`")]
    Order {
        /// Counted from one.
        line: usize,
    },
}

/// Why a key stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RetireError {
    /// It is not there.
    #[error("there is no such key")]
    Unknown,
    /// It is the first.
    #[error("handles, rooms and codes follow from the first key: it stays")]
    Root,
    /// It is the one that wraps.
    #[error("it is the key that wraps: make another one first")]
    Current,
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
    /// What an identity provider calls somebody who works here.
    StaffIdentity,
}

impl Keyring {
    /// Fresh random secrets: one from which all else follows, and one that wraps.
    #[must_use]
    pub fn generate() -> Self {
        Self { root: Key::generate(), later: vec![Key::generate()], next: None }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keyring: Option<Self> = None;
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let (format, id, secret) = parse_line(content).ok_or(KeyringError::Malformed { line })?;
            let key = Key::new(secret);
            if key.id != id {
                return Err(KeyringError::Mismatch { line });
            }
            if keyring.as_ref().is_some_and(|keyring| keyring.kek_ids().any(|known| known == id)) {
                return Err(KeyringError::Repeated { line });
            }
            match (&mut keyring, format) {
                (None, Format::Key) => keyring = Some(Self { root: key, later: Vec::new(), next: None }),
                (Some(keyring), Format::Key) if keyring.next.is_none() => keyring.later.push(key),
                (Some(keyring), Format::Next) if keyring.next.is_none() => keyring.next = Some(key),
                _ => return Err(KeyringError::Order { line }),
            }
        }
        keyring.ok_or(KeyringError::Empty)
    }

    /// The text form, ready to be written to a file.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(LINE * self.kek_ids().count()));
        let keys = [&self.root].into_iter().chain(&self.later).map(|key| (Format::Key, key));
        for (format, key) in keys.chain(self.next.iter().map(|key| (Format::Next, key))) {
            text.push_str(format.word());
            text.push(' ');
            HEXLOWER.encode_append(&key.id, &mut text);
            text.push(' ');
            HEXLOWER.encode_append(key.secret.as_ref(), &mut text);
            text.push('\n');
        }
        text
    }

    /// Which key wraps: stored beside each wrapped key, so that an old one can be found.
    #[must_use]
    pub fn kek_id(&self) -> KeyId {
        self.current().id
    }

    /// Every key that opens.
    pub fn kek_ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys().map(|key| key.id)
    }

    /// Adds a fresh key that opens and does not wrap yet, and says which; the one that is there, if there is one.
    pub fn prepare(&mut self) -> KeyId {
        self.next.get_or_insert_with(Key::generate).id
    }

    /// Lets the next key wrap, or a fresh one if none was prepared, and says which.
    pub fn rotate(&mut self) -> KeyId {
        self.later.push(self.next.take().unwrap_or_else(Key::generate));
        self.kek_id()
    }

    /// Takes a key out. What it still wraps can never be opened again.
    pub fn retire(&mut self, id: KeyId) -> Result<(), RetireError> {
        if id == self.kek_id() {
            return Err(RetireError::Current);
        }
        if id == self.root.id {
            return Err(RetireError::Root);
        }
        if self.next.take_if(|next| next.id == id).is_some() {
            return Ok(());
        }
        let place = self.later.iter().position(|key| key.id == id).ok_or(RetireError::Unknown)?;
        self.later.remove(place);
        Ok(())
    }

    /// Wraps an alias's key for storage, in 77 bytes that unwrap for this alias alone.
    #[must_use]
    pub fn wrap(&self, key: &DataKey, alias: [u8; 16]) -> Vec<u8> {
        let current = self.current();
        SealingKey { id: current.id, secret: &current.kek() }.seal(wrapped_of(alias), key.secret())
    }

    /// Undoes [`wrap`](Self::wrap), by whichever key it was done.
    pub fn unwrap(&self, wrapped: &[u8], alias: [u8; 16]) -> Result<DataKey, OpenError> {
        let named = key_id(wrapped).and_then(|id| self.keys().find(|key| key.id == id));
        let key = named.unwrap_or(self.current());
        let opened = SealingKey { id: key.id, secret: &key.kek() }.open(wrapped_of(alias), wrapped)?;
        let mut secret = Zeroizing::new([0; 32]);
        if opened.len() != secret.len() {
            return Err(OpenError::Shape);
        }
        secret.copy_from_slice(&opened);
        Ok(DataKey::from_secret(secret))
    }

    /// The key for what therapists say in confidence. They have none of their own, so it is not stored but follows from
    /// the key that wraps; rows keep what is sealed under it apart.
    #[must_use]
    pub fn therapists_key(&self) -> DataKey {
        self.current().therapists()
    }

    /// The same as it was when `sealed` was sealed, and which key it follows from; nothing if that key is not here.
    #[must_use]
    pub fn therapists_key_of(&self, sealed: &[u8]) -> Option<(KeyId, DataKey)> {
        let id = key_id(sealed)?;
        self.keys().map(|key| (key.id, key.therapists())).find(|(_, key)| key.id() == id)
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
        SealingKey { id: self.root.id, secret: &secret }.seal(page_of(list), position)
    }

    /// Undoes [`seal_page`](Self::seal_page).
    pub fn open_page(&self, list: [u8; 16], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let secret = self.derive("respite/page-position/v1");
        SealingKey { id: self.root.id, secret: &secret }.open(page_of(list), sealed)
    }

    /// The last one is the likeliest to be asked for.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.later.iter().rev().chain([&self.root]).chain(&self.next)
    }

    fn current(&self) -> &Key {
        self.later.last().unwrap_or(&self.root)
    }

    fn derive<const N: usize>(&self, label: &str) -> Zeroizing<[u8; N]> {
        derive(&self.root.secret, label)
    }
}

impl Key {
    fn generate() -> Self {
        Self::new(random())
    }

    fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        let id = *derive(&secret, "respite/key-id/v1");
        Self { id, secret }
    }

    fn kek(&self) -> Zeroizing<[u8; 32]> {
        derive(&self.secret, "respite/key-encryption/v1")
    }

    fn therapists(&self) -> DataKey {
        DataKey::from_secret(derive(&self.secret, "respite/therapists-data/v1"))
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
            Self::StaffIdentity => "respite/staff-identity/v1",
        }
    }
}

/// What a line is.
#[derive(Clone, Copy)]
enum Format {
    Key,
    Next,
}

impl Format {
    const fn word(self) -> &'static str {
        match self {
            Self::Key => "respite-key-1",
            Self::Next => "respite-next-1",
        }
    }
}

/// As long as any.
const LINE: usize = Format::Next.word().len() + 1 + 8 + 1 + 64 + 1;

fn parse_line(line: &str) -> Option<(Format, KeyId, Zeroizing<[u8; 32]>)> {
    let mut words = line.split_ascii_whitespace();
    let (format, id, secret) = (words.next()?, words.next()?, words.next()?);
    let format = [Format::Key, Format::Next].into_iter().find(|known| known.word() == format)?;
    if words.next().is_some() {
        return None;
    }
    Some((format, *parse_hex(id)?, parse_hex(secret)?))
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
    use super::{Keyring, KeyringError, Purpose, RetireError, expand, keyed};
    use crate::{DataKey, OpenError, Padding};
    use data_encoding::HEXLOWER;
    use hmac::Mac;

    const ALIAS: [u8; 16] = [7; 16];
    const PURPOSES: [Purpose; 9] = [
        Purpose::Challenge,
        Purpose::PairHandle,
        Purpose::RequestPayload,
        Purpose::ContactCode,
        Purpose::PageToken,
        Purpose::Room,
        Purpose::CalendarFeed,
        Purpose::ExclusionTag,
        Purpose::StaffIdentity,
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

    /// What follows from the first line is the same under every file that begins with it; what was wrapped opens as long
    /// as its line is there.
    #[test]
    fn keys_come_and_go_below_the_first() {
        let mut keyring = Keyring::generate();
        let [first, second] = [1, 0].map(|place| keyring.kek_ids().nth(place).unwrap());
        let before = Keyring::parse(&keyring.to_text()).unwrap();
        let (key, tag) = (DataKey::generate(), keyring.mac(Purpose::PairHandle, &[b"a"]));
        let page = keyring.seal_page([1; 16], b"here");
        let old = keyring.wrap(&key, ALIAS);
        let said = keyring.therapists_key().seal("feed.sealed", ALIAS, b"heron", Padding::to(128));

        let third = keyring.prepare();
        assert_eq!(keyring.prepare(), third, "it is there already");
        assert_eq!(keyring.kek_id(), second, "and does not wrap yet");
        let prepared = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(keyring.rotate(), third);
        let mut keyring = Keyring::parse(&keyring.to_text()).unwrap();
        assert_eq!(keyring.kek_id(), third);
        let new = keyring.wrap(&key, ALIAS);
        for (keyring, wrapped, opens) in
            [(&keyring, &old, true), (&keyring, &new, true), (&prepared, &new, true), (&before, &new, false)]
        {
            assert_eq!(keyring.unwrap(wrapped, ALIAS).is_ok(), opens);
        }
        assert_eq!(keyring.mac(Purpose::PairHandle, &[b"a"]), tag);
        assert!(keyring.open_page([1; 16], &page).is_ok());
        let (under, opens) = keyring.therapists_key_of(&said).unwrap();
        assert_eq!((under, &opens.open("feed.sealed", ALIAS, &said).unwrap()[..]), (second, &b"heron"[..]));

        assert_eq!(keyring.retire(first), Err(RetireError::Root));
        assert_eq!(keyring.retire(third), Err(RetireError::Current));
        assert_eq!(keyring.retire([0; 4]), Err(RetireError::Unknown));
        assert_eq!(keyring.retire(second), Ok(()));
        assert_eq!(keyring.kek_ids().collect::<Vec<_>>(), [third, first]);
        assert!(
            matches!(keyring.unwrap(&old, ALIAS), Err(OpenError::WrongKey { found, .. }) if found == second)
        );
        assert!(keyring.therapists_key_of(&said).is_none());
        let fourth = keyring.prepare();
        assert_eq!(keyring.retire(fourth), Ok(()), "before anybody used it");
        assert_ne!(keyring.rotate(), fourth);
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
        let text = Keyring::generate().to_text();
        let (line, other) = text.trim_end().split_once('\n').unwrap();
        let next = other.replace("respite-key-1", "respite-next-1");
        let (head, secret) = line.rsplit_once(' ').unwrap();
        check_parse(line, Ok(()));
        check_parse(&format!("# made for a test\n\n  {line}  \r\n"), Ok(()));
        check_parse("", Err(KeyringError::Empty));
        check_parse("# only a comment\n", Err(KeyringError::Empty));
        check_parse(&text, Ok(()));
        check_parse(&format!("{line}\n\n{next}"), Ok(()));
        check_parse(&format!("{line}\n{line}"), Err(KeyringError::Repeated { line: 2 }));
        check_parse(&format!("{}{next}", *text), Err(KeyringError::Repeated { line: 3 }));
        check_parse(&next, Err(KeyringError::Order { line: 1 }));
        check_parse(&format!("{next}\n{line}"), Err(KeyringError::Order { line: 1 }));
        let third = Keyring::generate().to_text();
        check_parse(&format!("{line}\n{next}\n{}", *third), Err(KeyringError::Order { line: 3 }));
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
