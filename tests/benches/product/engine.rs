//! The search engine alone: an index in memory, no server, no database.

#[path = "../../../crates/search/benches/measure/mod.rs"]
mod measure;

use measure::population::{Density, Population, Question};
use measure::{
    Built, build, bytes_each, bytes_of_calendar, lay_out, quantile, read_once, search_in_vain, searches,
    updates,
};

pub(crate) use measure::bytes_here;

use crate::{Line, Turns, median, range};

const DAYS: u32 = 60;
const SEARCHES: u32 = 2_000;
const TURNS: usize = 15;

/// Random searches, against reading the index from memory once.
pub(crate) fn search_median(name: &'static str, therapists: u32) -> Line {
    search(name, therapists, 0.5, if therapists > 10_000 { 5.0 } else { 2.5 })
}

/// The slowest of a hundred: within three readings.
pub(crate) fn search_p99(name: &'static str, therapists: u32) -> Line {
    search(name, therapists, 0.99, 0.33)
}

fn search(name: &'static str, therapists: u32, part: f64, goal: f64) -> Line {
    let Built { index, .. } = build(therapists, Population::new(DAYS, Density::Percent(50)));
    let times = searches(&index, SEARCHES, Question::random);
    let value = quantile(&times, part) * 1e6;
    let reads = reads(bytes_each(therapists, DAYS, 50) * f64::from(therapists));
    let limit = median(&reads) * 1e6;
    let micros: Vec<_> = times.iter().map(|time| time * 1e6).collect();
    let note = format!("{} µs, the index is read once in the limit", range(&micros, 0));
    Line { name, value, unit: "us", limit, ratio: limit / value, goal: Some(goal), note }
}

/// The most that can be asked, against the budget of the slowest of a hundred.
pub(crate) fn heaviest() -> Line {
    let Built { index, .. } = build(10_000, Population::new(DAYS, Density::Percent(50)));
    let times = searches(&index, SEARCHES / 10, Question::heaviest);
    let (value, limit) = (quantile(&times, 0.5) * 1e6, 1_000.0);
    let note = format!("p99 {:.0} µs; the limit is what was promised", quantile(&times, 0.99) * 1e6);
    Line { name: "search_heaviest", value, unit: "us", limit, ratio: limit / value, goal: Some(1.0), note }
}

/// A search that nobody qualifies for and that no hour and no term tells, against reading the index once.
pub(crate) fn worst() -> Line {
    let built = build(10_000, Population::new(DAYS, Density::EveryOther));
    let bytes = bytes_each(10_000, DAYS, 50) * 10_000.0;
    let (ours, limits) =
        (0..TURNS).map(|_| (search_in_vain(&built.index) * 1e3, read_once(bytes) * 1e3)).unzip();
    let turns = Turns { ours, limits };
    let (value, limit) = (turns.value(), turns.limit());
    let note = turns.note();
    Line {
        name: "search_worst_over_memread",
        value,
        unit: "ms",
        limit,
        ratio: limit / value,
        goal: Some(0.33),
        note,
    }
}

/// Bytes for each of ten thousand therapists and 90 days.
pub(crate) fn bytes() -> Line {
    let (value, limit) = (bytes_each(10_000, 90, 50), 2_048.0);
    let calendar = bytes_of_calendar(10);
    let note = format!(
        "what the process grows by; the limit is what was promised; a calendar elsewhere with ten events a week takes \
         {calendar:.0} B more"
    );
    Line {
        name: "index_bytes_per_therapist",
        value,
        unit: "B",
        limit,
        ratio: limit / value,
        goal: Some(1.0),
        note,
    }
}

/// Building an index of ten thousand, against laying out their schedules alone.
pub(crate) fn building() -> Line {
    let (ours, limits) = (0..3)
        .map(|_| {
            let built = build(10_000, Population::new(DAYS, Density::Percent(50)));
            (built.time.as_secs_f64() * 1e3, lay_out(10_000, DAYS) * 1e3)
        })
        .unzip();
    let turns = Turns { ours, limits };
    let (value, limit) = (turns.value(), turns.limit());
    let note = turns.note();
    Line { name: "index_build_10k", value, unit: "ms", limit, ratio: limit / value, goal: Some(0.2), note }
}

/// One booking's effect on the index, cold; the limit is what was promised.
pub(crate) fn update() -> Line {
    let times = updates(&mut build(10_000, Population::new(DAYS, Density::Percent(50))));
    let (value, limit) = (quantile(&times, 0.5) * 1e6, 10.0);
    let note = format!("p99 {:.1} µs", quantile(&times, 0.99) * 1e6);
    Line { name: "index_update", value, unit: "us", limit, ratio: limit / value, goal: Some(1.0), note }
}

fn reads(bytes: f64) -> Vec<f64> {
    (0..TURNS).map(|_| read_once(bytes)).collect()
}
