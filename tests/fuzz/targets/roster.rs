//! The list of who is eligible, as a hospital's personnel system writes it (E3).

#![no_main]

use issuer::roster::{Roster, RosterError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| match Roster::parse(file) {
    // What is said about a file fits a screen, and is said without a word of it.
    Err(error @ RosterError::Rows(_)) =>
        assert!(error.to_string().len() < 10_000 && error.to_string().is_ascii()),
    Ok(_) | Err(_) => {}
});
