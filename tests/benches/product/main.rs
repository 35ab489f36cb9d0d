//! How fast the product is, each figure beside its limit of the same run. `tests/bench` builds and calls this.

#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

mod booking;
mod engine;
mod load;
mod passes;
mod process;
mod search;
mod start;
mod wire;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

/// Whatever ends a measurement.
type Failed = Box<dyn std::error::Error + Send + Sync>;

/// What a measurement works with.
struct Bench {
    /// The program `respite`.
    respite: PathBuf,
    /// The measurement of what a pass costs, which has the bare arithmetic.
    pass: PathBuf,
    /// A PostgreSQL that waits for its disk, and whose databases may be filled.
    postgres: String,
}

/// One line of the table.
struct Line {
    name: &'static str,
    value: f64,
    unit: &'static str,
    /// What was possible in the same run.
    limit: f64,
    /// How near the value comes to its limit; higher is better, whatever the unit.
    ratio: f64,
    goal: Option<f64>,
    /// How far the figures moved, and what stands beside them.
    note: String,
}

const NAMES: [&str; 21] = [
    "hold_confirm_sqlite",
    "hold_confirm_postgres",
    "hold_confirm_postgres_asked",
    "redeem_added_to_confirm",
    "policy_added_to_booking",
    "pass_issue",
    "pass_redeem",
    "grpc_empty",
    "search_1k_naive",
    "grpc_search_over_empty",
    "replica_lag_median",
    "search_10k_median",
    "search_10k_p99",
    "search_100k_median",
    "search_heaviest",
    "search_worst_over_memread",
    "index_bytes_per_therapist",
    "index_build_10k",
    "index_update",
    "cold_start",
    "rss_idle",
];

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["bare", address] => wire::serve_bare(address.parse()?).await,
        ["index-bytes", index @ ..] => {
            println!("{}", engine::bytes_here(index));
            Ok(())
        }
        [respite, pass, postgres, into, names @ ..] => {
            let bench =
                Bench { respite: respite.into(), pass: pass.into(), postgres: (*postgres).to_owned() };
            let names = if names.is_empty() { &NAMES } else { names };
            measure_all(&bench, names, Path::new(into)).await
        }
        _ => Err("this is called by tests/bench".into()),
    }
}

async fn measure_all(bench: &Bench, names: &[&str], into: &Path) -> Result<(), Failed> {
    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
        return Err(format!("there is no {unknown}; there are {}", NAMES.join(", ")).into());
    }
    let mut lines = std::fs::File::create(into)?;
    println!("{:<28} {:>10} {:<10} {:>10} {:>6} {:>5}", "name", "value", "unit", "limit", "ratio", "goal");
    for name in names {
        let Line { name, value, unit, limit, ratio, goal, note } = match *name {
            "hold_confirm_sqlite" => booking::sqlite(bench).await?,
            "hold_confirm_postgres" => booking::postgres(bench).await?,
            "hold_confirm_postgres_asked" => booking::postgres_asked(bench).await?,
            "redeem_added_to_confirm" => booking::paid(bench).await?,
            "policy_added_to_booking" => booking::guarded(bench).await?,
            "pass_issue" => passes::step(bench, "pass_issue")?,
            "pass_redeem" => passes::step(bench, "pass_redeem")?,
            "grpc_empty" => wire::empty(bench).await?,
            "search_1k_naive" => search::search(bench).await?,
            "grpc_search_over_empty" => load::search(bench).await?,
            "replica_lag_median" => load::replica_lag(bench).await?,
            "search_10k_median" => engine::search_median("search_10k_median", 10_000),
            "search_10k_p99" => engine::search_p99("search_10k_p99", 10_000),
            "search_100k_median" => engine::search_median("search_100k_median", 100_000),
            "search_heaviest" => engine::heaviest(),
            "search_worst_over_memread" => engine::worst(),
            "index_bytes_per_therapist" => engine::bytes(),
            "index_build_10k" => engine::building(),
            "index_update" => engine::update(),
            "cold_start" => start::cold(bench).await?,
            _ => start::resident(bench).await?,
        };
        let shown = goal.map_or_else(|| "-".to_owned(), |goal| format!("{goal:.1}"));
        println!("{name:<28} {value:>10.1} {unit:<10} {limit:>10.1} {ratio:>6.2} {shown:>5}   {note}");
        let line = serde_json::json!({
            "name": name, "value": value, "unit": unit, "limit": limit, "ratio": ratio, "goal": goal,
        });
        writeln!(lines, "{line}")?;
    }
    Ok(())
}

/// Ours and the limit by turns, so that what else the machine does meets both.
struct Turns {
    ours: Vec<f64>,
    limits: Vec<f64>,
}

impl Turns {
    fn value(&self) -> f64 {
        median(&self.ours)
    }

    fn limit(&self) -> f64 {
        median(&self.limits)
    }

    /// Each of ours over the limit next to it.
    fn quotients(&self) -> Vec<f64> {
        self.ours.iter().zip(&self.limits).map(|(ours, limit)| ours / limit).collect()
    }

    fn note(&self) -> String {
        let quotients = self.quotients();
        format!(
            "{}, limit {}, quotient {}",
            range(&self.ours, 1),
            range(&self.limits, 1),
            range(&quotients, 2)
        )
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn range(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{least:.digits$} to {most:.digits$}")
}
