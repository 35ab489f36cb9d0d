//! What an identity provider sends: a user, a change of one, and a question (RFC 7644).

#![no_main]

use issuer::scim::{Change, Listing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|sent: &[u8]| {
    // What is refused is answered by its kind, in few words, and with none of what was sent.
    let refused = [Change::from_user(sent).err(), Change::from_patch(sent).err(), Listing::parse(sent).err()];
    for error in refused.into_iter().flatten() {
        let told = error.to_string();
        assert!(told.len() < 200 && told.is_ascii(), "{told}");
    }
});
