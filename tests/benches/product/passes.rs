//! What a pass costs whoever signs it and whoever takes it, against the arithmetic that neither can do without.

use std::process::Command;

use crate::{Bench, Failed, Line};

/// One step, in calls per second; `cargo bench -p pass` has the arithmetic, and measures by turns.
pub(crate) fn step(bench: &Bench, name: &'static str) -> Result<Line, Failed> {
    let told = Command::new(&bench.pass).arg(name).output()?;
    let told = String::from_utf8(told.stdout)?;
    let row = told.lines().find_map(|line| line.strip_prefix(name)).ok_or("the measurement says nothing")?;
    let figures: Vec<f64> = row.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [ours, bare, ratio] = figures[..] else { return Err("the measurement says something else".into()) };
    Ok(Line {
        name,
        value: 1e6 / ours,
        unit: "calls/s",
        limit: 1e6 / bare,
        ratio,
        goal: Some(0.8),
        note: format!("{ours:.0} us, the bare arithmetic {bare:.0} us, on one core"),
    })
}
