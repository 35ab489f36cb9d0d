//! A pass from a stranger: one alone is good, the one that was signed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pass::{Directory, Head, PendingToken, Token, TokenChallenge, origin};

/// A log with one key, whose private half is lost, and the only pass that it ever signed.
const LOG: &[u8] = include_bytes!("../seeds/key_log/one-key");
const SIGNED: &[u8] = include_bytes!("../seeds/pass/signed");
/// When that key signs.
const NOW: i64 = 1_800_000_000;

static DIRECTORY: LazyLock<Directory> = LazyLock::new(|| {
    // Behind the length in two bytes.
    let directory = Directory::read([&LOG[2..]], Head::default()).expect("the log is one");
    origin::redeem(&directory, SIGNED, NOW).expect("the pass is good");
    directory
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(token) = Token::try_from(bytes) {
        assert_eq!(token.to_bytes()[..], *bytes);
    }
    assert_eq!(origin::redeem(&DIRECTORY, bytes, NOW).is_ok(), bytes == SIGNED);
    if let Ok(pending) = PendingToken::try_from(bytes) {
        assert_eq!(pending.to_bytes()[..], *bytes);
    }
    if let Ok(challenge) = TokenChallenge::try_from(bytes) {
        assert_eq!(challenge.to_bytes()[..], *bytes);
    }
});
