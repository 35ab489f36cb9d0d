//! Somebody who knows the rules, and everything that was told, works out what was not.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Each of them by somebody of their own: whoever has more makes the attack no easier.
fn of(people: u64) -> Cell {
    let mut cell = Cell::default();
    (0..people).for_each(|_| cell.add(Some(AliasId::random()), 1));
    cell
}

fn cell(sessions: &[u64], erased: u64) -> Cell {
    let mut cell = Cell { erased, ..Cell::default() };
    for sessions in sessions {
        cell.add(Some(AliasId::random()), *sessions);
    }
    cell
}

#[test]
fn e4_eleven_people_are_enough_and_ten_are_nobody() {
    let check = |sessions: &[u64], erased, told| {
        assert_eq!(cell(sessions, erased).told(), told, "{sessions:?} {erased}");
    };
    check(&[], 0, None);
    check(&[1; 10], 0, None);
    check(&[1; 11], 0, Some(10));
    check(&[1; 14], 0, Some(10));
    check(&[1; 15], 0, Some(15));
    check(&[9; 10], 0, None);
    // One of them had a quarter of all sessions, and then more.
    check(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3], 0, Some(10));
    check(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4], 0, None);
    // Those who are gone make nobody more, and may have been one.
    check(&[1; 10], 1, None);
    check(&[1; 11], 3, Some(10));
    check(&[1; 11], 4, None);
    assert_eq!((quarter(&of(40), 50), quarter(&of(40), 49), quarter(&of(40), 0)), (Some(40), None, None));
}

#[test]
fn e4_a_year_is_told_whole_or_not_at_all() {
    let told = [Some(30); 4];
    let check = |parts: &[u64], quarters, expected: Option<&[i32]>| {
        let parts: Vec<Cell> = parts.iter().copied().map(of).collect();
        assert_eq!(year(&parts, quarters).as_deref(), expected);
    };
    check(&[90, 18, 12], told, Some(&[90, 15, 10]));
    check(&[90, 20, 10], told, None);
    check(&[110, 10, 0], told, None);
    check(&[90, 18, 12], [Some(30), None, Some(30), Some(30)], None);
    // Of one part it would be the quarters once more, less rounded.
    check(&[120], told, None);
}

proptest! {
    /// Nothing is told that the rules as they are written down do not allow, and nothing more is hidden.
    #[test]
    fn e4_what_is_told_is_what_the_rules_say(sessions in prop::collection::vec(1..9_u64, 0..30), erased in 0..20_u64) {
        let total = sessions.iter().sum::<u64>() + erased;
        let fair = sessions.iter().chain([&erased]).all(|one| total.checked_div(*one).is_none_or(|shares| shares >= 4));
        let expected = (sessions.len() > 10 && fair).then_some(total / 5 * 5);
        prop_assert_eq!(cell(&sessions, erased).told(), expected.map(|told| i32::try_from(told).unwrap()));
    }

    /// Whoever is erased before a report takes from what is told, and never adds to it.
    #[test]
    fn e4_erasing_somebody_tells_no_more(sessions in prop::collection::vec(1..5_u64, 1..20)) {
        let before = cell(&sessions, 0).told();
        let after = cell(&sessions[1..], sessions[0]).told();
        prop_assert!(after.is_none() || after == before);
    }
}

#[test]
fn quarters_follow_each_other() {
    let mut quarter = Quarter::of("2025-10-01".parse().unwrap());
    for (year, number, start) in
        [(2025, 4, "2025-10-01"), (2026, 1, "2026-01-01"), (2026, 2, "2026-04-01"), (2026, 3, "2026-07-01")]
    {
        assert_eq!(quarter, Quarter { year, number });
        assert_eq!(quarter.start().unwrap().date_naive().to_string(), start);
        quarter = quarter.next();
    }
    for (date, number) in [("2026-03-31", 1), ("2026-04-01", 2), ("2026-09-30", 3), ("2026-12-31", 4)] {
        assert_eq!(Quarter::of(date.parse().unwrap()).number, number, "{date}");
    }
}

/// As many as a part or a quarter has in the tables that are looked at.
const MOST: usize = 20;
/// What a hidden number may have been, a bit each.
type Possible = u128;
/// What is told of four quarters.
type OfQuarters = [Option<i32>; 4];
/// What is told of a year's parts.
type OfYear = Option<Vec<i32>>;

/// What somebody finds out of the reports of a year.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Quarters that are not told, of which more is known than that there was not enough activity.
    narrowed: usize,
    /// Parts of a year that are not told, and of which it is known how many they were,
    exact: usize,
    /// or that they were too few.
    few: usize,
    /// What was looked at.
    hidden: usize,
}

/// How the parts of a year are told beside its quarters.
type Rule = fn(&[Cell], OfQuarters) -> OfYear;

/// Looks at every year of four quarters with 0 to 20 sessions each, divided in whatever way into three parts: whatever is
/// possible behind each set of reports is what the attacker knows.
fn attack(rule: Rule) -> Found {
    let quarters: Vec<Option<i32>> = (0..=MOST).map(|people| quarter(&of(people as u64), 1_000)).collect();
    // By whether all quarters are told and how many sessions there are: what is told of the parts, and what they may be.
    let mut parts: BTreeMap<(bool, usize), BTreeMap<OfYear, [Possible; 3]>> = BTreeMap::new();
    let cells: Vec<Cell> = (0..=4 * MOST).map(|people| of(people as u64)).collect();
    for (a, b) in (0..=4 * MOST).flat_map(|a| (0..=4 * MOST - a).map(move |b| (a, b))) {
        for c in 0..=4 * MOST - a - b {
            let of_year = [a, b, c].map(|part| cells[part].clone());
            for all in [false, true] {
                let told =
                    rule(&of_year, if all { [Some(10); 4] } else { [None, Some(10), Some(10), Some(10)] });
                let seen = parts.entry((all, a + b + c)).or_default().entry(told).or_default();
                for (seen, value) in seen.iter_mut().zip([a, b, c]) {
                    *seen |= 1 << value;
                }
            }
        }
    }
    let mut worlds: BTreeMap<(OfQuarters, usize), [Possible; 4]> = BTreeMap::new();
    for index in 0..(MOST + 1).pow(4) {
        let counts = [1, 21, 441, 9261].map(|step| index / step % (MOST + 1));
        let seen = worlds.entry((counts.map(|count| quarters[count]), counts.iter().sum())).or_default();
        for (seen, count) in seen.iter_mut().zip(counts) {
            *seen |= 1 << count;
        }
    }
    let mut known: BTreeMap<(OfQuarters, OfYear), ([Possible; 4], [Possible; 3])> = BTreeMap::new();
    for ((told, sessions), of_quarters) in worlds {
        let all = told.iter().all(Option::is_some);
        for (of_year, of_parts) in &parts[&(all, sessions)] {
            let (quarters, parts) = known.entry((told, of_year.clone())).or_default();
            quarters.iter_mut().zip(of_quarters).for_each(|(known, more)| *known |= more);
            parts.iter_mut().zip(of_parts).for_each(|(known, more)| *known |= more);
        }
    }
    let silent =
        (0..=MOST).filter(|count| quarters[*count].is_none()).fold(0, |mask, count| mask | 1 << count);
    let mut found = Found::default();
    for ((told, of_year), (quarters, parts)) in known {
        let hidden = quarters.iter().zip(told).filter(|(_, told)| told.is_none());
        found.narrowed += hidden.filter(|(known, _)| **known != silent).count();
        for possible in parts.iter().filter(|_| of_year.is_none()) {
            found.hidden += 1;
            found.exact += usize::from(possible.is_power_of_two());
            found.few += usize::from(*possible >> FEWEST == 0);
        }
    }
    found
}

#[test]
fn e4_nothing_that_is_hidden_follows_from_all_that_is_told() {
    let found = attack(year);
    assert!(found.hidden > 500, "{found:?}");
    assert_eq!((found.narrowed, found.exact, found.few), (0, 0, 0), "{found:?}");
    // The same attack on a year that is told beside a quarter that is not: it finds that quarter.
    let beside = attack(|parts, _| year(parts, [Some(10); 4]));
    assert!(beside.narrowed > 100, "{beside:?}");
}

/// As statistics are often published: what is below five is left out, and one cell more so that it is not the difference
/// from the total, which is told.
fn naive(cells: [u32; 3]) -> ([Option<u32>; 3], u32) {
    let mut told = cells.map(|cell| Some(cell).filter(|cell| *cell >= 5));
    if told.iter().filter(|cell| cell.is_none()).count() == 1 {
        let smallest = told.iter_mut().filter(|cell| cell.is_some()).min();
        *smallest.unwrap() = None;
    }
    (told, cells.iter().sum())
}

/// The control: the attacker that finds nothing above finds what the usual way hides.
#[test]
fn e4_the_usual_way_is_broken_by_the_same_attack() {
    let tables = |most: u32| {
        (0..(most + 1).pow(3)).map(move |index| {
            [index / (most + 1).pow(2), index / (most + 1) % (most + 1), index % (most + 1)]
        })
    };
    let mut known: BTreeMap<_, [Possible; 3]> = BTreeMap::new();
    // Larger ones than those that are judged, so that nobody gains from where the tables end.
    for table in tables(60) {
        let seen = known.entry(naive(table)).or_default();
        seen.iter_mut().zip(table).for_each(|(seen, cell)| *seen |= 1 << cell);
    }
    let judged: BTreeSet<_> = tables(20).map(naive).collect();
    let (mut exact, mut few, mut hidden) = (0, 0, 0);
    for published in judged {
        for (possible, told) in known[&published].iter().zip(published.0) {
            hidden += usize::from(told.is_none());
            exact += usize::from(told.is_none() && possible.is_power_of_two());
            few += usize::from(told.is_none() && *possible >> 5 == 0);
        }
    }
    println!("of {hidden} hidden cells {exact} are known exactly, {few} to be too few");
    assert!(exact >= 26 && few >= 24, "{hidden} {exact} {few}");
    // Found by hand: of 14, with 5 told in the middle, the others are 5 and 4.
    assert_eq!(known[&([None, Some(5), None], 14)], [1 << 5, 0b100_000, 1 << 4]);
}
