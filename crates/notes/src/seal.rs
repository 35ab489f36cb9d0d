//! Sealed notes.
//!
//! ```text
//! sealed    = version 01 | suite(6) 0020 0001 0003 | key id(8) | enc(32) | ct      47 + 1024 n + 16 bytes, n 1 to 16
//! plaintext = length(4) | contents, then zeros up to a multiple of 1024
//! contents  = intake: the worker's X25519 public key(32) | text      copy, handover: text
//! info      = "respite/intake/v1", "respite/copy/v1" or "respite/handover/v1"
//! aad       = booking id(16) | key id(8)
//! ```
//!
//! So what is put to another booking, or given out as another kind of note, does not open.

use hpke::{
    Deserializable, Kem, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, single_shot_open, single_shot_seal,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{DeviceKey, NotesKey, PublicKey};

/// How many bytes of UTF-8 a note has at most: 16 KiB with the length and the worker's key.
pub const MAX_TEXT: usize = 16 * BLOCK - LENGTH - KEY;

/// What a worker wrote to a therapist.
pub struct Intake {
    /// In the worker's own words; empty if all they want is an answer.
    pub text: Zeroizing<String>,
    /// What a handover is sealed to. The server does not see it, and cannot put another in its place without losing
    /// the text, too.
    pub reply_key: PublicKey,
}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// The text is too long.
    #[error("a note has at most {MAX_TEXT} bytes")]
    TooLong,
    /// The key is none that anything can be sealed to.
    #[error("nothing can be sealed to this key")]
    Key,
}

/// Why a note does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It is not of the form of a sealed note.
    #[error("not a sealed note")]
    Form,
    /// It was sealed to another key.
    #[error("sealed to another key")]
    OtherKey,
    /// It was changed, or belongs to another booking, or is another kind of note.
    #[error("not a note of this kind of this booking")]
    Changed,
}

const HEADER: &[u8; 7] = &[1, 0, 0x20, 0, 1, 0, 3];
const BLOCK: usize = 1024;
const LENGTH: usize = 4;
const KEY: usize = 32;
const TAG: usize = 16;

const INTAKE: &[u8] = b"respite/intake/v1";
const COPY: &[u8] = b"respite/copy/v1";
const HANDOVER: &[u8] = b"respite/handover/v1";

impl DeviceKey {
    /// What the worker tells the therapist of a booking, with the key that an answer is sealed to.
    pub fn seal_intake(
        &self,
        booking: [u8; 16],
        text: &str,
        reply_key: &PublicKey,
    ) -> Result<Vec<u8>, SealError> {
        seal(INTAKE, booking, self.public(), &reply_key.to_bytes(), text)
    }
}

impl PublicKey {
    /// What a therapist tells the worker of a booking, for the next therapist.
    pub fn seal_handover(&self, booking: [u8; 16], text: &str) -> Result<Vec<u8>, SealError> {
        seal(HANDOVER, booking, *self, &[], text)
    }
}

impl NotesKey {
    /// What the worker keeps of an intake.
    pub fn seal_copy(&self, booking: [u8; 16], text: &str) -> Result<Vec<u8>, SealError> {
        seal(COPY, booking, self.public(), &[], text)
    }

    /// Opens what was sealed for a therapist's device.
    pub fn open_intake(&self, booking: [u8; 16], sealed: &[u8]) -> Result<Intake, OpenError> {
        let contents = open(INTAKE, booking, self, sealed)?;
        let (reply_key, text) = contents.split_first_chunk().ok_or(OpenError::Form)?;
        Ok(Intake { text: read(text)?, reply_key: PublicKey::from_bytes(*reply_key) })
    }

    /// Opens what the worker kept.
    pub fn open_copy(&self, booking: [u8; 16], sealed: &[u8]) -> Result<Zeroizing<String>, OpenError> {
        read(&open(COPY, booking, self, sealed)?)
    }

    /// Opens what a therapist sealed for the worker.
    pub fn open_handover(&self, booking: [u8; 16], sealed: &[u8]) -> Result<Zeroizing<String>, OpenError> {
        read(&open(HANDOVER, booking, self, sealed)?)
    }
}

fn seal(
    info: &[u8],
    booking: [u8; 16],
    to: PublicKey,
    head: &[u8],
    text: &str,
) -> Result<Vec<u8>, SealError> {
    if text.len() > MAX_TEXT {
        return Err(SealError::TooLong);
    }
    let length = head.len() + text.len();
    let size = (LENGTH + length).next_multiple_of(BLOCK);
    let mut padded = Zeroizing::new(Vec::with_capacity(size));
    padded.extend_from_slice(&u32::try_from(length).map_err(|_| SealError::TooLong)?.to_be_bytes());
    padded.extend_from_slice(head);
    padded.extend_from_slice(text.as_bytes());
    padded.resize(size, 0);

    let aad = aad(booking, to);
    let (enc, ct) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &to.to_hpke(),
        info,
        &padded,
        &aad,
    )
    .map_err(|_| SealError::Key)?;
    Ok([&HEADER[..], &to.id(), &enc.to_bytes(), &ct].concat())
}

fn open(
    info: &[u8],
    booking: [u8; 16],
    key: &NotesKey,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let rest = sealed.strip_prefix(HEADER).ok_or(OpenError::Form)?;
    let (key_id, rest) = rest.split_first_chunk::<8>().ok_or(OpenError::Form)?;
    let (enc, ct) = rest.split_first_chunk::<KEY>().ok_or(OpenError::Form)?;
    let padded = ct.len().checked_sub(TAG).ok_or(OpenError::Form)?;
    if !padded.is_multiple_of(BLOCK) || !(BLOCK..=16 * BLOCK).contains(&padded) {
        return Err(OpenError::Form);
    }
    if *key_id != key.public().id() {
        return Err(OpenError::OtherKey);
    }
    let padded = unwrap(info, &aad(booking, key.public()), key, enc, ct)?;
    let (length, rest) = padded.split_first_chunk().ok_or(OpenError::Form)?;
    let (contents, padding) = usize::try_from(u32::from_be_bytes(*length))
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(OpenError::Form)?;
    // One text has one plaintext.
    if padding.len() >= BLOCK || padding.iter().any(|byte| *byte != 0) {
        return Err(OpenError::Form);
    }
    Ok(Zeroizing::new(contents.to_vec()))
}

fn unwrap(
    info: &[u8],
    aad: &[u8],
    key: &NotesKey,
    enc: &[u8],
    ct: &[u8],
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(enc).map_err(|_| OpenError::Form)?;
    single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key.private,
        &enc,
        info,
        ct,
        aad,
    )
    .map(Zeroizing::new)
    .map_err(|_| OpenError::Changed)
}

fn aad(booking: [u8; 16], key: PublicKey) -> Vec<u8> {
    [&booking[..], &key.id()].concat()
}

fn read(text: &[u8]) -> Result<Zeroizing<String>, OpenError> {
    std::str::from_utf8(text).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| OpenError::Form)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;
    use crate::{Certificate, PracticeKey};

    const HERE: [u8; 16] = [1; 16];
    const ELSEWHERE: [u8; 16] = [2; 16];

    fn worker() -> NotesKey {
        NotesKey::from_seed(&[5; 32])
    }

    fn device() -> (NotesKey, DeviceKey) {
        let (key, practice) = (NotesKey::from_seed(&[6; 32]), PracticeKey::from_bytes(&[7; 32]));
        let certificate = Certificate::sign(&practice, [8; 16], &key.public(), 1);
        let public = certificate.verify(&[practice.verifying_key()], [8; 16], 0).unwrap();
        (key, public)
    }

    /// RFC 9180, appendix A.2.1: base mode with X25519, HKDF-SHA256 and ChaCha20Poly1305, the first message.
    #[test]
    fn the_published_vector_opens() {
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        let seed = hex("1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df");
        let key = NotesKey::from_seed(&seed.try_into().unwrap());
        let public = hex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        assert_eq!(key.public().to_bytes()[..], public);
        let opened = unwrap(
            b"Ode on a Grecian Urn",
            b"Count-0",
            &key,
            &hex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"),
            &hex(
                "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
            ),
        );
        assert_eq!(opened.unwrap().as_slice(), b"Beauty is truth, truth beauty");
    }

    #[test]
    fn a_note_opens_where_it_belongs_and_nowhere_else() {
        let (key, to) = device();
        let intake = to.seal_intake(HERE, "text", &worker().public()).unwrap();
        let opened = key.open_intake(HERE, &intake).unwrap();
        assert_eq!((opened.text.as_str(), opened.reply_key), ("text", worker().public()));

        assert_eq!(key.open_intake(ELSEWHERE, &intake).err(), Some(OpenError::Changed));
        assert_eq!(worker().open_intake(HERE, &intake).err(), Some(OpenError::OtherKey));
        // As another kind of note.
        assert_eq!(key.open_copy(HERE, &intake), Err(OpenError::Changed));
        assert_eq!(key.open_handover(HERE, &intake), Err(OpenError::Changed));
        let copy = worker().seal_copy(HERE, "text").unwrap();
        assert_eq!(worker().open_copy(HERE, &copy).unwrap().as_str(), "text");
        assert_eq!(worker().open_handover(HERE, &copy), Err(OpenError::Changed));
        let handover = worker().public().seal_handover(HERE, "text").unwrap();
        assert_eq!(worker().open_handover(HERE, &handover).unwrap().as_str(), "text");
        assert_eq!(worker().open_copy(HERE, &handover), Err(OpenError::Changed));
        assert_eq!(worker().open_handover(ELSEWHERE, &handover), Err(OpenError::Changed));
    }

    /// Under the id of a key that did not seal it, so that only the seal itself refuses.
    #[test]
    fn a_relabelled_note_does_not_open() {
        let (key, to) = device();
        let mut intake = to.seal_intake(HERE, "text", &worker().public()).unwrap();
        intake[7..15].copy_from_slice(&worker().public().id());
        assert_eq!(worker().open_intake(HERE, &intake).err(), Some(OpenError::Changed));
        assert_eq!(key.open_intake(HERE, &intake).err(), Some(OpenError::OtherKey));
    }

    #[test]
    fn every_byte_counts_and_so_does_the_length() {
        let sealed = worker().seal_copy(HERE, "text").unwrap();
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(worker().open_copy(HERE, &changed).is_err(), "byte {byte}");
        }
        for length in [0, 6, 7, 14, 15, 46, 47, 62, 63, sealed.len() - 1] {
            assert_eq!(worker().open_copy(HERE, &sealed[..length]), Err(OpenError::Form), "{length} bytes");
        }
    }

    #[test]
    fn what_is_not_padded_as_it_must_be_does_not_open() {
        let seal_raw = |padded: &[u8]| {
            let to = worker().public();
            let (enc, ct) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
                &OpModeS::Base,
                &to.to_hpke(),
                COPY,
                padded,
                &aad(HERE, to),
            )
            .unwrap();
            [&HEADER[..], &to.id(), &enc.to_bytes(), &ct].concat()
        };
        let block = |length: u32, size: usize| {
            let mut block = vec![0; size];
            block[..4].copy_from_slice(&length.to_be_bytes());
            block
        };
        assert!(worker().open_copy(HERE, &seal_raw(&block(1020, 1024))).is_ok());
        for (length, size) in
            [(1021, 1024), (u32::MAX, 1024), (4, 8), (4, 2048), (1020, 2048), (4, 17 * 1024)]
        {
            let opened = worker().open_copy(HERE, &seal_raw(&block(length, size)));
            assert_eq!(opened, Err(OpenError::Form), "{length} in {size}");
        }
        let mut dirty = block(4, 1024);
        dirty[1023] = 1;
        assert_eq!(worker().open_copy(HERE, &seal_raw(&dirty)), Err(OpenError::Form));
        let mut broken = block(1, 1024);
        broken[4] = 0xff;
        assert_eq!(worker().open_copy(HERE, &seal_raw(&broken)), Err(OpenError::Form));
    }

    #[test]
    fn a_note_has_an_end() {
        let (key, to) = device();
        let longest = "x".repeat(MAX_TEXT);
        let sealed = to.seal_intake(HERE, &longest, &worker().public()).unwrap();
        assert_eq!(sealed.len(), 47 + 16 * 1024 + 16);
        assert_eq!(*key.open_intake(HERE, &sealed).unwrap().text, longest);
        let longer = longest + "x";
        assert_eq!(to.seal_intake(HERE, &longer, &worker().public()), Err(SealError::TooLong));
        assert_eq!(worker().seal_copy(HERE, &longer), Err(SealError::TooLong));
        assert_eq!(worker().public().seal_handover(HERE, &longer), Err(SealError::TooLong));
    }

    /// What was sealed to such a key, everybody could open.
    #[test]
    fn nothing_is_sealed_to_a_key_of_small_order() {
        for first in [0, 1] {
            let mut bytes = [0; 32];
            bytes[0] = first;
            assert_eq!(PublicKey::from_bytes(bytes).seal_handover(HERE, "text"), Err(SealError::Key));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_and_only_its_kibibytes_show(text in "\\PC{0,3000}") {
            let sealed = worker().seal_copy(HERE, &text).unwrap();
            prop_assert_eq!(sealed.len(), 63 + (4 + text.len()).next_multiple_of(1024));
            prop_assert_eq!(&*worker().open_copy(HERE, &sealed).unwrap(), &text);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(worker().open_copy(HERE, &bytes).is_err());
            prop_assert!(worker().open_intake(HERE, &[&HEADER[..], &bytes].concat()).is_err());
        }
    }
}
