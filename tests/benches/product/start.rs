//! What it takes to have a server at all.

use std::time::Duration;

use crate::{
    Bench, Failed, Line, Turns, median,
    process::{Home, Process},
};

const STARTS: usize = 15;
/// Enough for what begins with the process to be over.
const SETTLED: Duration = Duration::from_secs(2);

/// From the start of the process until it serves, on an embedded database that is there.
pub(crate) async fn cold(bench: &Bench) -> Result<Line, Failed> {
    let home = Home::embedded(bench)?;
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    for _ in 0..STARTS {
        turns.ours.push(home.serve().await?.ready_after.as_secs_f64() * 1e3);
        turns.limits.push(Process::bare().await?.ready_after.as_secs_f64() * 1e3);
    }
    Ok(Line {
        name: "cold_start",
        value: turns.value(),
        unit: "ms",
        limit: turns.limit(),
        ratio: 1.0 / median(&turns.quotients()),
        goal: None,
        note: turns.note(),
    })
}

/// Memory of a server that has served and waits.
pub(crate) async fn resident(bench: &Bench) -> Result<Line, Failed> {
    let home = Home::embedded(bench)?;
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    for _ in 0..3 {
        let (ours, bare) = (home.serve().await?, Process::bare().await?);
        tokio::time::sleep(SETTLED).await;
        turns.ours.push(ours.resident()?);
        turns.limits.push(bare.resident()?);
    }
    Ok(Line {
        name: "rss_idle",
        value: turns.value(),
        unit: "MiB",
        limit: turns.limit(),
        ratio: 1.0 / median(&turns.quotients()),
        goal: None,
        note: turns.note(),
    })
}
