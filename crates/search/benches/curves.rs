//! What the engine costs, over therapists, days and bookings: `cargo bench -p search --bench curves`.

#![expect(clippy::print_stdout, reason = "the curves are what this program is for")]

mod measure;

use measure::population::{Density, Population, Question};
use measure::{
    build, bytes_each, bytes_here, bytes_of_calendar, lay_out, quantile, read_once, search_in_vain, searches,
    updates,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["index-bytes", index @ ..] = arguments.as_slice() {
        println!("{}", bytes_here(index));
        return;
    }
    curve("therapists (60 days, half booked)", &[1_000, 3_000, 10_000, 30_000, 100_000], |n| (n, 60, 50));
    curve("days (10,000 therapists, half booked)", &[7, 14, 30, 60, 90], |days| (10_000, days, 50));
    curve("booked, % (10,000 therapists, 60 days)", &[0, 25, 50, 75, 95], |percent| (10_000, 60, percent));
    parts();
}

/// Ten thousand therapists: what nobody qualifies for, what a booking changes, and what building is made of.
fn parts() {
    println!("10,000 therapists, 60 days\n");
    let mut built = build(10_000, Population::new(60, Density::EveryOther));
    let bytes = bytes_each(10_000, 60, 50) * 1e4;
    let mut turns: Vec<_> = (0..31).map(|_| (search_in_vain(&built.index), read_once(bytes))).collect();
    turns.sort_unstable_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let (vain, read) = turns[turns.len() / 2];
    let heaviest = searches(&built.index, 200, Question::heaviest);
    let [median, p99] = [0.5, 0.99].map(|part| quantile(&heaviest, part) * 1e6);
    println!("a hundred criteria, 31 days, 400 shifts: {median:.0} µs, p99 {p99:.0} µs");
    println!("nobody qualifies: {:.0} µs, {:.1} times one reading of the index", vain * 1e6, vain / read);
    let changes = updates(&mut built);
    let [median, p99] = [0.5, 0.99].map(|part| quantile(&changes, part) * 1e6);
    println!("a booking or its release: {median:.1} µs, p99 {p99:.1} µs");
    let [whole, laying_out] = [built.time.as_secs_f64(), lay_out(10_000, 60)].map(|time| time * 1e3);
    println!("building it: {whole:.0} ms, of which laying out schedules takes {laying_out:.0} ms");
    let [ten, twenty] = [10, 20].map(bytes_of_calendar);
    println!("a calendar elsewhere, of two years: {ten:.0} bytes for 10 events a week, {twenty:.0} for 20");
}

/// A row for each value of what varies: the median search as a bar, and what it is compared with.
fn curve(varies: &str, values: &[u32], of: impl Fn(u32) -> (u32, u32, u32)) {
    println!("{varies}\n");
    println!("            median      p99    memory    bytes   build");
    println!("                µs       µs  read, µs     each      ms");
    let rows: Vec<_> = values
        .iter()
        .map(|value| {
            let (therapists, days, percent) = of(*value);
            let built = build(therapists, Population::new(days, Density::Percent(percent.into())));
            let times = searches(&built.index, 2_000, Question::random);
            let bytes = bytes_each(therapists, days, percent);
            let mut reads: Vec<_> = (0..9).map(|_| read_once(bytes * f64::from(therapists))).collect();
            reads.sort_unstable_by(f64::total_cmp);
            let [median, p99, read] =
                [quantile(&times, 0.5), quantile(&times, 0.99), reads[4]].map(|time| time * 1e6);
            (value, median, p99, read, bytes, built.time.as_secs_f64() * 1e3)
        })
        .collect();
    let longest = rows.iter().map(|row| row.1).fold(0.0, f64::max);
    for (value, median, p99, read, bytes, build) in rows {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the length of a bar")]
        let bar = "█".repeat((median / longest * 40.0).ceil() as usize);
        println!("{value:>8} {median:>9.0} {p99:>8.0} {read:>9.0} {bytes:>8.0} {build:>7.0}  {bar}");
    }
    println!();
}
