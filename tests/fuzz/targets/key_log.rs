//! A log of keys that somebody else wrote: entries, each after its length in two bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pass::{Directory, Head};

fuzz_target!(|log: &[u8]| {
    let entries = entries(log);
    let Ok(directory) = Directory::read(entries.iter().copied(), Head::default()) else { return };
    assert_eq!(directory.head().length, entries.len() as u64);
    for record in directory.records() {
        assert_eq!(directory.record(record.key.id()), Some(record));
    }

    // It goes on from each place that somebody may have seen, and from no other.
    let mut grown = Directory::default();
    for entry in &entries {
        assert!(Directory::read(entries.iter().copied(), grown.head()).is_ok());
        grown.append(entry).expect("it was appended before");
    }
    assert_eq!(grown, directory);
    let mut elsewhere = directory.head();
    elsewhere.hash[0] ^= 1;
    assert!(entries.is_empty() || Directory::read(entries.iter().copied(), elsewhere).is_err());
});

fn entries(mut log: &[u8]) -> Vec<&[u8]> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = log.split_first_chunk() {
        let (entry, rest) = rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()));
        entries.push(entry);
        log = rest;
    }
    entries
}
