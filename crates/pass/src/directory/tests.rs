//! The log is what was written, and follows its rules.

use super::*;
use proptest::prelude::*;

const ONE: ProgrammeId = ProgrammeId([1; 16]);
const TWO: ProgrammeId = ProgrammeId([2; 16]);

/// A key for each number, none of which can sign.
fn key(number: u8) -> PublicKey {
    let mut modulus = [0xff; 256];
    modulus[1] = number;
    PublicKey::new(modulus).unwrap()
}

fn schedule(active_from: i64, grace_from: i64, retired_from: i64) -> Schedule {
    Schedule { published: active_from - Schedule::NOTICE, active_from, grace_from, retired_from }
}

fn record(number: u8, programme: ProgrammeId, schedule: Schedule) -> KeyRecord {
    KeyRecord {
        programme,
        period: Period::new(format!("{number}")).unwrap(),
        challenge: TokenChallenge::new("issuer", "origin").unwrap(),
        schedule,
        key: key(number),
    }
}

/// Four entries, and what they make.
fn log() -> (Vec<Vec<u8>>, Directory) {
    let mut directory = Directory::default();
    let log = vec![
        directory.publish(&record(0, ONE, schedule(0, 10, 20))).unwrap(),
        directory.publish(&record(1, TWO, schedule(0, 10, 20))).unwrap(),
        directory.publish(&record(2, ONE, schedule(10, 20, 30))).unwrap(),
        directory.revoke(key(1).id(), 5).unwrap(),
    ];
    (log, directory)
}

fn read(log: &[Vec<u8>], seen: Head) -> Result<Directory, LogError> {
    Directory::read(log.iter().map(Vec::as_slice), seen)
}

#[test]
fn a_log_is_read_as_it_was_written() {
    let (log, directory) = log();
    assert_eq!(read(&log, Head::default()), Ok(directory.clone()));
    assert_eq!(directory.head(), Head { length: 4, hash: Sha256::digest(&log[3]).into() });
    assert_eq!(directory.records().count(), 3);
    assert_eq!(directory.record(key(2).id()), Some(&record(2, ONE, schedule(10, 20, 30))));
    assert_eq!(directory.record(key(3).id()), None);
    for length in 0..=log.len() {
        let seen = read(&log[..length], Head::default()).unwrap().head();
        assert_eq!(read(&log, seen), Ok(directory.clone()), "more than the {length} seen before");
    }
}

/// privacy.md 9: what the log said once, it says for ever.
#[test]
fn a_rewritten_log_is_refused() {
    let (log, directory) = log();
    let seen = directory.head();
    let chain = |position| Err(LogError::Chain { position });
    let forked = Err(LogError::Forked { seen: 4 });
    let pick = |order: &[usize]| order.iter().map(|&at| log[at].clone()).collect::<Vec<_>>();
    assert_eq!(read(&pick(&[1, 0, 2, 3]), Head::default()), chain(0), "reordered");
    assert_eq!(read(&pick(&[0, 2, 1, 3]), Head::default()), chain(1), "reordered");
    assert_eq!(read(&pick(&[1, 2, 3]), Head::default()), chain(0), "the first one dropped");
    assert_eq!(read(&pick(&[0, 2, 3]), Head::default()), chain(1), "one dropped");
    assert_eq!(read(&pick(&[0, 0, 1, 2, 3]), Head::default()), chain(1), "one repeated");
    assert_eq!(read(&pick(&[0, 1, 2]), seen), forked, "the last one dropped");
    assert_eq!(read(&[], seen), forked, "all of it dropped");

    let mut fork = read(&log[..3], Head::default()).unwrap();
    let other = fork.revoke(key(1).id(), 6).unwrap();
    let other = [&log[..3], &[other]].concat();
    assert!(read(&other, Head::default()).is_ok(), "good for who never saw the first");
    assert_eq!(read(&other, seen), forked, "forked");
    let longer = [other, vec![fork.publish(&record(3, TWO, schedule(30, 40, 50))).unwrap()]].concat();
    assert_eq!(read(&longer, seen), forked, "forked, and gone on");
}

/// privacy.md 1.6: at most two keys are live, and one of them signs.
#[test]
fn a_programme_has_few_keys() {
    let check = |schedules: &[Schedule], expected: Result<(), LogError>| {
        let mut directory = Directory::default();
        let (last, before) = schedules.split_last().unwrap();
        for (number, &schedule) in (0..).zip(before) {
            directory.publish(&record(number, ONE, schedule)).unwrap();
        }
        let head = directory.head();
        let published = directory.publish(&record(99, ONE, *last)).map(|_| ());
        assert_eq!(published, expected, "{schedules:?}");
        assert_eq!(directory.head() != head, expected.is_ok(), "a refused entry leaves the log as it was");
        assert!(directory.publish(&record(99, TWO, *last)).is_ok() != expected.is_ok(), "another's keys");
    };
    let quarter = |number| schedule(number, number + 1, number + 2);
    check(&[quarter(0), quarter(1)], Ok(()));
    check(&[quarter(0), quarter(1), quarter(2), quarter(3)], Ok(()));
    check(&[quarter(2), quarter(0), quarter(1)], Ok(()));
    check(&[quarter(0), quarter(0)], Err(LogError::TwoActive));
    check(&[schedule(0, 9, 9), schedule(8, 9, 9)], Err(LogError::TwoActive));
    check(&[schedule(3, 4, 9), schedule(0, 9, 9)], Err(LogError::TwoActive));
    check(&[schedule(0, 1, 9), schedule(1, 2, 9), schedule(2, 3, 9)], Err(LogError::ThreeLive));
    check(&[schedule(0, 1, 9), schedule(2, 3, 9), schedule(1, 2, 3)], Err(LogError::ThreeLive));
    check(&[schedule(0, 1, 2), schedule(1, 2, 9), schedule(2, 3, 9)], Ok(()));
}

#[test]
fn a_key_is_announced_once_and_in_time() {
    let publish = |record: KeyRecord| log().1.publish(&record).map(|_| ());
    let again = record(0, TWO, schedule(50, 60, 70));
    assert_eq!(publish(again), Err(LogError::Listed { key_id: key(0).id() }));
    let check = |change: &dyn Fn(&mut Schedule), expected| {
        let mut schedule = schedule(50, 60, 70);
        change(&mut schedule);
        assert_eq!(publish(record(3, ONE, schedule)), expected, "{schedule:?}");
    };
    check(&|_| (), Ok(()));
    check(&|schedule| schedule.published += 1, Err(LogError::Schedule));
    check(&|schedule| schedule.published = i64::MAX, Err(LogError::Schedule));
    check(&|schedule| schedule.grace_from = 50, Err(LogError::Schedule));
    check(&|schedule| schedule.retired_from = 59, Err(LogError::Schedule));
    check(&|schedule| schedule.retired_from = 60, Ok(()));
    check(&|schedule| schedule.retired_from = i64::MAX, Ok(()));
}

#[test]
fn a_revoked_key_makes_room() {
    let (_, mut directory) = log();
    let state = |directory: &Directory, now| directory.record(key(1).id()).unwrap().state(now);
    assert_eq!(state(&directory, 4), KeyState::Active);
    assert_eq!(state(&directory, 5), KeyState::Retired);
    let not_live = |number| Err(LogError::NotLive { key_id: key(number).id() });
    assert_eq!(directory.revoke(key(1).id(), 5), not_live(1), "twice");
    assert_eq!(directory.revoke(key(9).id(), 5), not_live(9), "never listed");
    assert!(directory.publish(&record(3, TWO, schedule(5, 10, 20))).is_ok(), "instead of it");
    // Before it was ever used.
    directory.revoke(key(2).id(), 3).unwrap();
    assert_eq!(directory.record(key(2).id()).unwrap().state(2), KeyState::Published);
    assert_eq!(directory.record(key(2).id()).unwrap().state(3), KeyState::Retired);
    let schedule_now = directory.record(key(2).id()).unwrap().schedule;
    assert_eq!(schedule_now, Schedule { published: 10 - Schedule::NOTICE, ..schedule(3, 3, 3) });
    assert!(directory.publish(&record(4, ONE, schedule(10, 20, 30))).is_ok(), "instead of it");
}

#[test]
fn an_entry_has_one_form() {
    let (log, _) = log();
    let [.., publish, revoke] = &log[..] else { panic!("four entries") };
    let check = |entry: &[u8], change: &dyn Fn(&mut Vec<u8>), expected: Result<(), LogError>| {
        let position = log.iter().position(|other| other == entry).unwrap();
        let mut before = read(&log[..position], Head::default()).unwrap();
        let mut entry = entry.to_vec();
        change(&mut entry);
        assert_eq!(before.append(&entry), expected, "{entry:?}");
    };
    let form = Err(LogError::Wire(WireError::Form));
    check(revoke, &|_| (), Ok(()));
    check(revoke, &|entry| entry.push(0), form);
    check(revoke, &|entry| entry.truncate(entry.len() - 1), form);
    check(revoke, &|entry| entry[0] = b'R', form);
    check(revoke, &|entry| entry[50] = 2, form);
    check(publish, &|_| (), Ok(()));
    check(publish, &|entry| entry.push(0), Err(LogError::Key(KeyError::Form)));
    let exponent = |entry: &mut Vec<u8>| {
        entry.pop();
        entry.push(3);
    };
    check(publish, &exponent, Err(LogError::Key(KeyError::Exponent)));
    // The period's name, and in the challenge its type.
    check(publish, &|entry| entry[69] = 0xff, form);
    check(publish, &|entry| entry[73] = 1, Err(LogError::Wire(WireError::Type { found: 1 })));
}

#[test]
fn a_period_has_a_name() {
    assert_eq!(Period::new("2026-Q4").unwrap().as_str(), "2026-Q4");
    assert_eq!(Period::new(""), Err(WireError::Text { found: 0 }));
    assert_eq!(Period::new("a".repeat(1 << 16)), Err(WireError::Text { found: 1 << 16 }));
}

proptest! {
    /// Against the rules as they are said, asked of every instant.
    #[test]
    fn the_rules_hold_at_every_instant(schedules in prop::collection::vec((0_i64..12, 1_i64..6, 0_i64..6), 1..6)) {
        let mut directory = Directory::default();
        let mut accepted: Vec<Schedule> = Vec::new();
        for (number, (from, signing, grace)) in (0..).zip(schedules) {
            let schedule = schedule(from, from + signing, from + signing + grace);
            let with = [&accepted[..], &[schedule]].concat();
            let most = |state: &dyn Fn(&Schedule, i64) -> bool| {
                (0..24).map(|now| with.iter().filter(|schedule| state(schedule, now)).count()).max()
            };
            let signing = most(&|schedule, now| (schedule.active_from..schedule.grace_from).contains(&now));
            let live = most(&|schedule, now| (schedule.active_from..schedule.retired_from).contains(&now));
            let published = directory.publish(&record(number, ONE, schedule));
            prop_assert_eq!(published.is_ok(), signing <= Some(1) && live <= Some(2), "{:?}", with);
            if published.is_ok() {
                accepted.push(schedule);
            }
        }
    }

    /// A client that saw the log notices whatever is changed in it.
    #[test]
    fn no_bit_of_the_log_can_change(entry in 0_usize..4, at: prop::sample::Index, flip in 1_u8..=255) {
        let (mut log, directory) = log();
        let at = at.index(log[entry].len());
        log[entry][at] ^= flip;
        prop_assert!(read(&log, directory.head()).is_err());
    }

    /// Whatever is appended, it is refused, or it is the one form of what it says.
    #[test]
    fn any_bytes_are_read_or_refused(
        kind in 0_u8..3,
        entry in prop::collection::vec(any::<u8>(), 0..500),
        template in any::<prop::sample::Index>(),
        framed: bool,
    ) {
        let (log, mut directory) = log();
        let framed_entry = [&directory.entry(kind)[..], &entry].concat();
        let cut = &log[template.index(4)];
        let cut = &cut[..template.index(cut.len())];
        prop_assert!(directory.clone().append(cut).is_err());
        let before = directory.clone();
        if directory.append(if framed { &framed_entry } else { &entry }).is_err() {
            prop_assert_eq!(directory, before);
        }
    }
}
