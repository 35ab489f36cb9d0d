//! A page token that is not as it was given out: whatever was done to it, it opens as what it was or not at all.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vault::Keyring;

static KEYRING: LazyLock<Keyring> = LazyLock::new(Keyring::generate);

fuzz_target!(|input: (&[u8], &[u8], usize, [u8; 16])| {
    let (position, put_in, at, list) = input;
    let sealed = KEYRING.seal_page(list, position);
    assert_eq!(KEYRING.open_page(list, &sealed).expect("it was sealed so")[..], *position);

    let mut changed = sealed.clone();
    let at = at % (sealed.len() + 1);
    let until = (at + put_in.len()).min(sealed.len());
    changed.splice(at..until, put_in.iter().copied());
    assert_eq!(KEYRING.open_page(list, &changed).is_ok(), changed == sealed);
    assert!(KEYRING.open_page(list, &sealed[..at]).is_err() || at == sealed.len());
    assert!(KEYRING.open_page(list, put_in).is_err());
    assert!(KEYRING.unwrap(put_in, list).is_err() && KEYRING.unwrap(&sealed, list).is_err());

    let mut other = list;
    other[0] ^= 1;
    assert!(KEYRING.open_page(other, &sealed).is_err());
});
