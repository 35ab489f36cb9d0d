//! A hospital that pays and does not learn for whom: its own program signs passes for sixty, and one of them books.

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use api::v1::{self, confirm_booking_request::Payment};
use chrono::{DateTime, Days, TimeDelta, Utc};
use client::{Client, Secret, Wallet, request_id};
use data_encoding::BASE64;
use services::{Clock, operators};
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::booking::{as_therapist, refusal};
use super::finding::{Nurse, Slot, TYPED, date, timestamp};
use super::screen::BOLD;
use super::{Broken, Stage, there};

/// How many work there.
pub(super) const WORKERS: usize = 60;
/// How many sessions the programme pays for each of them in a period.
const PASSES: usize = 8;
/// How long each of them is.
const MINUTES: i64 = 50;
/// What the programme is called, and where its keys are.
pub(super) const NAME: &str = "Northbank Hospital";
const ISSUER: &str = "issuer.northbank.example";

/// What the hospital has of its own: another process, which shares nothing with the server but the contract.
pub(super) struct Hospital {
    program: PathBuf,
    /// Where the program runs, and writes.
    pub(super) folder: PathBuf,
    pub(super) programme: v1::Programme,
    /// As the cards say.
    pub(super) codes: Vec<String>,
}

/// What came of one pass.
pub(super) struct Visit {
    pub(super) nurse: Nurse,
    pub(super) booking: v1::Booking,
    /// As it went over the wire.
    pub(super) pass: Vec<u8>,
    /// The hospital's database, before she booked and after.
    pub(super) issuer_before: Vec<u8>,
    pub(super) issuer_after: Vec<u8>,
}

/// The hospital's program, if it lies beside this one.
pub(super) fn program() -> io::Result<Option<PathBuf>> {
    let beside = std::env::current_exe()?.with_file_name("respite-issuer");
    Ok(beside.exists().then_some(beside))
}

pub(super) async fn found(stage: &mut Stage, program: PathBuf) -> Result<Hospital, Broken> {
    stage.screen.step("A hospital that pays");
    stage.screen.say(&format!(
        "{NAME} pays eight sessions a quarter for each of the {WORKERS} who work there. Respite's operator makes a \
         programme of it; the hospital runs a program of its own, which signs passes and cannot see them:"
    ));
    let manager = Secret::generate().login_key();
    let request = v1::CreateProgrammeRequest {
        request_id: request_id(),
        programme: Some(v1::Programme {
            display_name: NAME.to_owned(),
            sessions_per_period: i32::try_from(PASSES).unwrap_or(i32::MAX),
            durations: vec![prost_types::Duration { seconds: MINUTES * 60, nanos: 0 }],
            modalities: vec![v1::Modality::Video.into()],
            eligible_workers: i32::try_from(WORKERS).unwrap_or(i32::MAX),
            ..v1::Programme::default()
        }),
        public_key: manager.verifying_key().to_bytes().to_vec(),
    };
    let created = operator(stage).await?.programmes().create_programme(request).await?.into_inner();
    let programme = there(created.programme, "programme")?;

    let folder = stage.folder.join("hospital");
    std::fs::create_dir(&folder)?;
    let mut hospital = Hospital { program, folder, programme, codes: Vec::new() };
    let (id, audience) = (hospital.programme.id.clone(), stage.app.settings.audience.clone());
    // The hospital's program goes by the machine's clock, which nobody moves.
    let today = Clock::System.now().date_naive();
    let (begin, end, year) =
        (today.to_string(), (today + Days::new(90)).to_string(), (today + Days::new(365)).to_string());
    let (number, passes) = (WORKERS.to_string(), PASSES.to_string());
    hospital
        .told(
            stage,
            &["init", "--programme", &id, "--name", ISSUER, "--origin", &audience, "--mode", "cards"],
        )
        .await?;
    let cards = hospital.told(stage, &["codes", "--count", &number, "--until", &year]).await?;
    let key = ["key", "make", "--period", "first", "--passes", &passes, "--first", &begin, "--last", &end];
    let made = hospital.told(stage, &key).await?;
    hospital.codes = cards.lines().map(str::to_owned).collect();
    stage
        .screen
        .row("a card", &format!("{}, one of {}, drawn from a box", hospital.codes[0], hospital.codes.len()));

    let public_key = made.lines().find_map(|line| line.strip_prefix("public key"));
    let public_key = public_key.and_then(|key| BASE64.decode(key.trim().as_bytes()).ok());
    let from = stage.home().local(stage.app.clock.now()).date();
    let publish = v1::CreateProgrammeKeyRequest {
        request_id: request_id(),
        public_key: there(public_key, "public key in what the issuer shows")?,
        first_date: Some(date(from)),
        last_date: Some(date(from + Days::new(90))),
    };
    let manager = stage.device().await?.login(manager).await?;
    let published = manager.programmes().create_programme_key(publish).await?.into_inner().key;
    let active = published.as_ref().and_then(|key| super::finding::instant(key.active_time.as_ref()));
    let active = there(active, "day on which the key begins to sign")?;
    stage.screen.say(
        "The hospital's manager publishes the key in a log that everybody reads, so that nobody can be given a key of \
         their own to be known by.",
    );
    let notice = (active - stage.app.clock.now()).num_days();
    stage.screen.same("it signs nothing for a week, so that everybody can look at it", &7, &notice);
    stage.move_clock(active, "the key signs");
    Ok(hospital)
}

/// Every phone asks by itself, whether its owner wants a session or not. The hospital goes on serving.
pub(super) async fn fetch(stage: &mut Stage, hospital: &Hospital) -> Result<(Vec<Wallet>, Serving), Broken> {
    stage.screen.step("Sixty phones fetch what one of them will spend");
    let (serving, channel) = hospital.serve().await?;
    let now = stage.app.clock.now();
    let mut wallets = Vec::with_capacity(WORKERS);
    for code in &hospital.codes {
        // Nobody signs in: who reads the log of keys and asks the hospital is not to be seen together with an alias.
        let mut wallet = Wallet::new(&stage.device().await?, hospital.id()?, now).await?;
        wallet.fetch(channel.clone(), code.as_str(), now, |_| Ok(())).await?;
        wallets.push(wallet);
    }
    let rested = now + TimeDelta::days(1);
    let mut passes = Vec::with_capacity(WORKERS * PASSES);
    for wallet in &wallets {
        passes.append(&mut passes_in(stage, wallet, rested).await?);
    }
    stage.screen.say(&format!(
        "Each phone blinds eight messages and sends them with the code of its card; the hospital signs all eight or \
         none. So {} phones have {} passes, and the hospital has seen none of these.",
        wallets.len(),
        passes.len(),
    ));
    stage.screen.same("everybody has all of theirs", &(WORKERS * PASSES), &passes.len());
    let head = operators::log_head(&stage.app, None).await?.to_string();
    stage
        .screen
        .say("The head of the log stands for all that is in it. `respite programme log-head` prints:");
    stage.screen.detail(&head);
    let equal = wallets.iter().filter(|wallet| wallet.head().to_string() == head).count();
    stage.screen.same("every phone shows the same: nobody was shown a key of their own", &WORKERS, &equal);
    let resting = wallets
        .iter()
        .filter(|wallet| wallet.pass_for(&session(rested), v1::Modality::Video, now).is_none())
        .count();
    stage.screen.same(
        "none is spent for an hour at least: who books right after fetching is known by it",
        &WORKERS,
        &resting,
    );
    // Two bytes say of what kind it is, and 32 are its nonce; then come challenge and key, and the signature.
    let alike: BTreeSet<_> = passes.iter().map(|pass| &pass[34..98]).collect();
    stage.screen.same("but for nonces and signatures, all passes are the same bytes", &1, &alike.len());
    stage.move_clock(rested, "the passes have rested");
    Ok((wallets, serving))
}

pub(super) async fn book(
    stage: &mut Stage,
    hospital: &Hospital,
    (mut wallets, serving): (Vec<Wallet>, Serving),
) -> Result<Visit, Broken> {
    stage.screen.step("One of them books");
    let database = hospital.folder.join("issuer/issuer.db");
    let issuer_before = std::fs::read(&database)?;
    let now = stage.app.clock.now();
    let secret = Secret::generate();
    let anybody = stage.device().await?;
    let created = anybody.create_alias(&secret.login_key()).await?;
    let client = anybody.login(secret.login_key()).await?;
    let nurse = Nurse { secret, id: created.id, handle: created.handle, client };
    let first = search(stage, &nurse, now + TimeDelta::days(3)).await?;
    let second = search(stage, &nurse, first.start() + TimeDelta::days(1)).await?;

    // Which one is hers, only the story knows.
    let wallet = there(wallets.get_mut(WORKERS / 3), "wallet")?;
    covered(stage, wallet, first.start(), now)?;
    let pass = wallet.pass_for(&session(first.start()), v1::Modality::Video, now).cloned();
    let pass = there(pass, "pass for that day")?;
    let bytes = pass.to_bytes().to_vec();
    let confirmed = pay(&nurse, &first, &bytes).await?;
    let booking = there(confirmed.into_inner().booking, "booking")?;
    stage.screen.row("booked", &first.in_words(&stage.home()));
    stage.screen.row("paid by", &format!("a pass of {} bytes", bytes.len()));
    stage.screen.same(
        "the pass pays",
        &v1::BookingState::Booked.as_str_name(),
        &booking.state().as_str_name(),
    );
    let again = refusal(pay(&nurse, &second, &bytes).await);
    stage.screen.same("and it pays once", &"PASS_SPENT", &again.as_str());
    wallet.remove(&pass);
    let left = passes_in(stage, wallet, now).await?.len();
    stage.screen.same("her phone forgets it, and has the others", &(PASSES - 1), &left);
    let issuer_after = std::fs::read(&database)?;
    serving.stop().await?;
    Ok(Visit { nurse, booking, pass: bytes, issuer_before, issuer_after })
}

/// What the therapist's agenda says about the visit.
pub(super) async fn agenda(stage: &Stage, visit: &Visit) -> Result<v1::AgendaEntry, Broken> {
    let therapist = as_therapist(stage, &visit.booking.therapist_id).await?;
    let entry = super::booking::agenda_entry(stage, &therapist, &visit.booking).await?;
    there(entry, "entry in the agenda")
}

impl Hospital {
    pub(super) fn id(&self) -> Result<Uuid, Broken> {
        there(self.programme.id.parse().ok(), "id of the programme")
    }

    /// Runs the program and returns what it prints.
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<String, Broken> {
        let output = Command::new(&self.program)
            .current_dir(&self.folder)
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(Broken::Issuer(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
        }
    }

    /// The same, shown as it is typed.
    async fn told(&self, stage: &mut Stage, arguments: &[&str]) -> Result<String, Broken> {
        let mut line = "respite-issuer".to_owned();
        for argument in arguments {
            let whole = line.chars().count() + argument.chars().count();
            if whole > TYPED_WIDTH && argument.starts_with("--") {
                stage.screen.line(format_args!("{BOLD}{line} \\{BOLD:#}"));
                " ".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(argument);
        }
        stage.screen.line(format_args!("{BOLD}{line}{BOLD:#}"));
        self.run(arguments).await
    }

    /// The program as it signs, and a connection to it; what it logs is in `issuer.log`.
    async fn serve(&self) -> Result<(Serving, Channel), Broken> {
        let log = self.folder.join("issuer.log");
        let process = Command::new(&self.program)
            .current_dir(&self.folder)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let mut serving = Serving { process };
        for _ in 0..STARTING {
            let told = std::fs::read_to_string(&log)?;
            let address = told
                .split_once("address=")
                .and_then(|(_, rest)| rest.split_once(char::is_whitespace))
                .map(|(address, _)| format!("http://{address}"));
            if let Some(address) = address {
                let endpoint = Endpoint::from_shared(address).map_err(client::Error::from)?;
                return Ok((serving, endpoint.connect().await.map_err(client::Error::from)?));
            }
            if serving.process.try_wait()?.is_some() {
                return Err(Broken::Issuer(told));
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Broken::Issuer("it does not listen".to_owned()))
    }
}

/// The program, until it is stopped or the story ends.
pub(super) struct Serving {
    process: Child,
}

impl Serving {
    async fn stop(mut self) -> io::Result<()> {
        self.process.kill().await
    }
}

/// How often it is looked whether the program listens, and for how long.
const LOOK: Duration = Duration::from_millis(20);
const STARTING: usize = 500;
/// Where a command goes on in the next line.
const TYPED_WIDTH: usize = 72;

/// The first operator is let in at the server's terminal.
async fn operator(stage: &Stage) -> Result<Client, Broken> {
    let key = Secret::generate().login_key();
    operators::create(&stage.app, "operator", &key.verifying_key().to_bytes()).await?;
    Ok(stage.device().await?.login(key).await?)
}

/// The passes in a wallet that can be spent at `now`, as a copy of it tells.
async fn passes_in(stage: &Stage, wallet: &Wallet, now: DateTime<Utc>) -> Result<Vec<Vec<u8>>, Broken> {
    let mut copy = Wallet::open(&stage.device().await?, &wallet.to_bytes(), now).await?;
    let mut passes = Vec::new();
    while let Some(pass) = copy.pass_for(&session(now), v1::Modality::Video, now).cloned() {
        passes.push(pass.to_bytes().to_vec());
        copy.remove(&pass);
    }
    Ok(passes)
}

/// A session as the programme pays for.
fn session(start: DateTime<Utc>) -> Range<DateTime<Utc>> {
    start..start + TimeDelta::minutes(MINUTES)
}

/// What the phone says of its passes before one is spent.
fn covered(
    stage: &mut Stage,
    wallet: &Wallet,
    start: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<(), Broken> {
    let terms = wallet.programme();
    let lengths: Vec<_> = terms.durations.iter().map(|length| (length.seconds / 60).to_string()).collect();
    let way = |modality: v1::Modality| modality.as_str_name().trim_start_matches("MODALITY_").to_lowercase();
    let ways: Vec<_> = terms.modalities().map(way).collect();
    let left = wallet.days_left(now);
    let last = there(left.first().map(|days| days.end().format("%-d %B")), "pass that is left")?;
    stage.screen.row(
        "her passes",
        &format!(
            "{} sessions of {} minutes by {}, until {last}",
            left.len(),
            lengths.join(" or "),
            ways.join(" or ")
        ),
    );
    let refused = [
        (start..start + TimeDelta::minutes(20), v1::Modality::Video),
        (session(start), v1::Modality::Audio),
        (session(start + TimeDelta::days(180)), v1::Modality::Video),
    ];
    let offered =
        refused.iter().filter(|(session, modality)| wallet.pass_for(session, *modality, now).is_some());
    stage.screen.same(
        "before it shows one, her phone knows what none of them pays for: another length, way or quarter",
        &0,
        &offered.count(),
    );
    Ok(())
}

/// The first slot after `from`.
async fn search(stage: &Stage, nurse: &Nurse, from: DateTime<Utc>) -> Result<Slot, Broken> {
    let request = v1::SearchSlotsRequest {
        filter: Some(v1::TherapistFilter {
            specializations: vec![TYPED.to_owned()],
            modalities: vec![v1::Modality::Video.into()],
            ..v1::TherapistFilter::default()
        }),
        window: Some(v1::Span {
            start_time: Some(timestamp(from)),
            end_time: Some(timestamp(from + TimeDelta::days(4))),
        }),
        duration: Some(prost_types::Duration { seconds: MINUTES * 60, nanos: 0 }),
        page_size: 1,
        language_code: "en".to_owned(),
        ..v1::SearchSlotsRequest::default()
    };
    let hits = nurse.client.slots().search_slots(request).await?.into_inner().hits;
    let slot = hits.into_iter().next().and_then(|hit| Slot::read(hit, &stage.app.rules));
    there(slot, "slot that a pass could pay")
}

/// Holds the slot and confirms it with a pass.
async fn pay(
    nurse: &Nurse,
    slot: &Slot,
    pass: &[u8],
) -> Result<tonic::Response<v1::ConfirmBookingResponse>, tonic::Status> {
    let held = nurse.client.bookings().hold_slot(slot.hold_request()).await?.into_inner().booking;
    let request = v1::ConfirmBookingRequest {
        request_id: request_id(),
        booking_id: held.map(|booking| booking.id).unwrap_or_default(),
        book_if_free: false,
        roster_use: None,
        payment: Some(Payment::Pass(pass.to_vec())),
    };
    nurse.client.bookings().confirm_booking(request).await
}
