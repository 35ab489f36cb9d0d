//! What the engine costs, each figure with what it is compared with, of the same run.

pub(crate) mod population;

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use search::{Booked, Criterion, Index, TherapistId};

use population::{Density, Population, Question};

/// How many answers a page holds.
pub(crate) const PAGE: usize = 20;

/// An index of made-up therapists, and what making it cost.
pub(crate) struct Built {
    /// The index.
    pub(crate) index: Index,
    /// What the process grew by meanwhile.
    pub(crate) bytes: f64,
    /// Without making them up.
    pub(crate) time: Duration,
    /// Sessions that could still be booked.
    pub(crate) free: Vec<(TherapistId, Booked)>,
}

/// Builds an index of the first therapists of a population.
pub(crate) fn build(therapists: u32, population: Population) -> Built {
    // Zone rules are read once, whoever asks.
    black_box(population.therapist(0));
    let mut index = Index::new(population::now());
    let (before, mut time, mut free) = (resident(), Duration::ZERO, Vec::new());
    for first in (0..therapists).step_by(16) {
        let batch: Vec<_> =
            (first..therapists.min(first + 16)).map(|number| population.therapist(number)).collect();
        let started = Instant::now();
        for (therapist, still_free) in batch {
            // A few of each are enough to book.
            free.extend(still_free.into_iter().take(2).map(|session| (therapist.id, session)));
            index.upsert(therapist);
        }
        time += started.elapsed();
    }
    #[expect(clippy::cast_precision_loss, reason = "a size of memory")]
    let beside = (free.capacity() * size_of::<(TherapistId, Booked)>()) as f64;
    Built { index, bytes: resident() - before - beside, time, free }
}

/// Bytes that an index takes for each therapist, measured in a process of its own: memory that others gave back
/// would hide what it takes. Its `main` prints what [`bytes_here`] makes of what follows `index-bytes`.
pub(crate) fn bytes_each(therapists: u32, days: u32, percent: u32) -> f64 {
    bytes_there([therapists, days, percent, 0])
}

/// Bytes that so many events a week in a calendar elsewhere take, of whoever has one.
pub(crate) fn bytes_of_calendar(events: u32) -> f64 {
    let each = |events| bytes_there([10_000, 90, 50, events]);
    // Every tenth has one.
    (each(events) - each(0)) * 10.0
}

fn bytes_there(numbers: [u32; 4]) -> f64 {
    let program = std::env::current_exe().expect("this program is a file");
    let numbers = numbers.map(|number| number.to_string());
    let told = Command::new(program).arg("index-bytes").args(numbers).output();
    let told = told.expect("it can be started again");
    String::from_utf8_lossy(&told.stdout).trim().parse().expect("it tells a number")
}

/// The other side of [`bytes_each`].
pub(crate) fn bytes_here(arguments: &[&str]) -> f64 {
    let number = |index: usize| arguments[index].parse::<u32>().expect("a number");
    let (therapists, density) = (number(0), Density::Percent(number(2).into()));
    let built = build(therapists, Population { days: number(1), density, elsewhere: number(3) });
    built.bytes / f64::from(therapists)
}

/// Seconds that laying out the open time of so many schedules takes, which is the least that building can take.
pub(crate) fn lay_out(therapists: u32, days: u32) -> f64 {
    let population = Population::new(days, Density::Percent(0));
    let schedules: Vec<_> = (0..therapists).map(|number| population.therapist(number).0.schedule).collect();
    let window = population::window(0, days.into());
    let started = Instant::now();
    for schedule in &schedules {
        black_box(schedule.open(window));
    }
    started.elapsed().as_secs_f64()
}

/// Seconds that each of so many searches takes; sorted.
pub(crate) fn searches(index: &Index, count: u32, question: fn(&Index, u32) -> Question) -> Vec<f64> {
    let mut times: Vec<f64> = (0..count)
        .map(|number| {
            let question = question(index, number);
            let started = Instant::now();
            black_box(question.ask(index, PAGE));
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times
}

/// Seconds of a search of 31 days that nobody qualifies for and no hour and no term tells: a session of 90 minutes,
/// between bookings that leave an hour. To be asked of an index of [`Density::EveryOther`].
pub(crate) fn search_in_vain(index: &Index) -> f64 {
    let question = Question {
        criteria: vec![Criterion::Duration(TimeDelta::minutes(90))],
        unavailable: Vec::new(),
        window: population::window(2, 31),
    };
    let started = Instant::now();
    let page = question.ask(index, PAGE);
    let time = started.elapsed().as_secs_f64();
    assert!(page.hits.is_empty() && page.removed == [0], "nobody qualifies, but everybody might");
    time
}

/// Seconds of reading so many bytes once.
pub(crate) fn read_once(bytes: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a size of memory is neither"
    )]
    let words = vec![1_u64; (bytes / 8.0) as usize];
    let started = Instant::now();
    black_box(words.iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)));
    started.elapsed().as_secs_f64()
}

/// Seconds that each booking takes, and each release; sorted.
pub(crate) fn updates(built: &mut Built) -> Vec<f64> {
    let Built { index, free, .. } = built;
    let mut times = Vec::new();
    // Far apart, so that each finds its record cold.
    let stride = free.len() / 7 + 1;
    let order = (0..stride).flat_map(|first| (first..free.len()).step_by(stride)).take(10_000);
    for (therapist, session) in order.map(|index| &free[index]) {
        let started = Instant::now();
        index.book(*therapist, session);
        let booked = Instant::now();
        index.release(*therapist, session.time.busy);
        times.extend([booked - started, booked.elapsed()].map(|time| time.as_secs_f64()));
    }
    times.sort_unstable_by(f64::total_cmp);
    times
}

/// The value so far up in sorted ones.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = (sorted.len() as f64 * part) as usize;
    sorted[index.min(sorted.len() - 1)]
}

/// Bytes of memory this process has.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("how much is resident");
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kilobytes * 1024.0
}
