//! A search through gRPC at full load, and how soon another server knows of a change.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use api::v1;
use client::{Client, Secret};
use prost::Message;

use crate::{
    Bench, Failed, Line, Turns,
    booking::own_database,
    median,
    process::{Home, Process},
    range,
    search::{Directory, request},
};

const THERAPISTS: u32 = 1_000;
const ROUNDS: usize = 7;
const SECONDS: usize = 2;
const CHANGES: usize = 60;

/// Searches a second, against empty calls to the same server.
pub(crate) async fn search(bench: &Bench) -> Result<Line, Failed> {
    let now = services::Clock::System.now();
    let directory = Directory::of(bench, THERAPISTS, now).await?;
    let question = request(now);
    // h2load looks at the HTTP status alone, which is the same for an answer and for a refusal.
    let found = directory.worker.slots().search_slots(question.clone()).await?.into_inner();
    if found.hits.len() != 20 {
        return Err("the search did not fill its page".into());
    }
    let folder = directory.home.path();
    let search = framed(folder, "search", &question.encode_to_vec())?;
    let empty = framed(folder, "empty", &[])?;
    let channel = directory.process.connect().await?;
    let token = format!("authorization: Bearer {}", e2e::sign_in(&channel, &directory.key).await);
    let address = directory.process.address;
    let mut turns = Turns { ours: Vec::new(), limits: Vec::new() };
    for _ in 0..ROUNDS {
        turns.ours.push(load(address, "respite.v1.SlotService/SearchSlots", &search, &token)?);
        turns.limits.push(load(address, "grpc.health.v1.Health/Check", &empty, &token)?);
    }
    Ok(Line {
        name: "grpc_search_over_empty",
        value: turns.value(),
        unit: "searches/s",
        limit: turns.limit(),
        ratio: median(&turns.quotients()),
        goal: Some(0.5),
        note: turns.note(),
    })
}

/// A message as gRPC sends it, in a file.
fn framed(folder: &Path, name: &str, message: &[u8]) -> Result<std::path::PathBuf, Failed> {
    let path = folder.join(name);
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&[0])?;
    file.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
    file.write_all(message)?;
    Ok(path)
}

/// Calls a second, by a client that costs little.
fn load(address: SocketAddr, call: &str, body: &Path, token: &str) -> Result<f64, Failed> {
    let output = Command::new("h2load")
        .args(["-c", "4", "-m", "8", "-t", "1", "-D", &SECONDS.to_string()])
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-H", token])
        .arg("-d")
        .arg(body)
        .arg(format!("http://{address}/{call}"))
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.split("finished in ").nth(1).and_then(|rest| rest.split(", ").nth(1));
    let rate = rate.and_then(|rate| rate.strip_suffix(" req/s")).ok_or("h2load said nothing")?;
    Ok(rate.parse()?)
}

/// Milliseconds from the answer to a change at one server until another on the same PostgreSQL offers what it left.
pub(crate) async fn replica_lag(bench: &Bench) -> Result<Line, Failed> {
    let url = own_database(bench).await?;
    let home = Home::shared(bench, &url)?;
    home.run(&["seed", "--therapists", "50"])?;
    let (here, there) = (home.serve().await?, home.serve().await?);
    // Two workers: one's own booking would keep time from being offered at once.
    let (near, far) = (worker(&here).await?, worker(&there).await?);
    let now = services::Clock::System.now();
    let mut times = Vec::new();
    for _ in 0..CHANGES {
        let question = v1::SearchSlotsRequest { page_size: 1, ..request(now) };
        let first = near.slots().search_slots(question.clone()).await?.into_inner();
        let slot = first.hits.into_iter().next().and_then(|hit| hit.slot).ok_or("nothing is free")?;
        let wanted = v1::HoldSlotRequest {
            request_id: client::request_id(),
            therapist_id: slot.therapist_id.clone(),
            session_type_id: slot.session_type_id.clone(),
            start_time: slot.session.and_then(|session| session.start_time),
            modality: v1::Modality::Video.into(),
            roster_use: None,
        };
        let held = near.bookings().hold_slot(wanted).await?.into_inner().booking.ok_or("no booking")?;
        let told = Instant::now();
        while offers(&far, &question, &slot).await? {
            if told.elapsed() > Duration::from_secs(10) {
                return Err("the other server never knew".into());
            }
        }
        times.push(told.elapsed().as_secs_f64() * 1e3);
        let release = v1::ReleaseHoldRequest { request_id: client::request_id(), booking_id: held.id };
        near.bookings().release_hold(release).await?;
        // Until both know it again.
        while !offers(&far, &question, &slot).await? {}
    }
    let value = median(&times);
    Ok(Line {
        name: "replica_lag_median",
        value,
        unit: "ms",
        limit: 100.0,
        ratio: 100.0 / value,
        goal: Some(1.0),
        note: format!("promised is 100 ms; {}", range(&times, 1)),
    })
}

async fn worker(process: &Process) -> Result<Client, Failed> {
    let anybody = Client::connect(format!("http://{}", process.address)).await?;
    let key = Secret::generate().login_key();
    anybody.create_alias(&key).await?;
    Ok(anybody.login(key).await?)
}

async fn offers(worker: &Client, question: &v1::SearchSlotsRequest, slot: &v1::Slot) -> Result<bool, Failed> {
    let found = worker.slots().search_slots(question.clone()).await?.into_inner();
    Ok(found.hits.iter().any(|hit| hit.slot.as_ref() == Some(slot)))
}
