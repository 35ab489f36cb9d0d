//! E1, privacy.md 9: who has all that both sides keep of a year can tell no better whose sessions they were than who has
//! nothing.
//!
//! A hospital's own program signs eight passes each for thousands of workers, some of whom book sessions over a year.
//! Then an attacker reads both databases, byte by byte and in the order in which rows lie, and the hospital's log. How
//! well they do is printed. The same attacker does well where passes are signed one by one, as sessions are booked.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use api::issuer::v1::{GetOfferRequest, IssuePassesRequest, issuer_service_client::IssuerServiceClient};
use api::v1;
use chrono::{Days, NaiveDate};
use client::request_id;
use data_encoding::{BASE64, HEXLOWER};
use e2e::{
    Engine, World, date,
    hospital::{by_pass, key_log, programme},
};
use hmac::{Hmac, KeyInit, Mac};
use pass::{BlindSignature, Directory, KeyId, ProgrammeId, Token};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use services::Clock;
use sha2::Sha256;
use store::booking;
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

/// As many as a large hospital has, on the engine that it would use; the embedded one is for small ones.
fn workers(engine: Engine) -> usize {
    match engine {
        Engine::Postgres => 5_000,
        Engine::Sqlite => 500,
    }
}
const PASSES: usize = 8;
/// One in so many seeks help in a year.
const SEEKS: usize = 20;
/// At so many devices at a time passes are asked for.
const DEVICES: usize = 4;

#[expect(clippy::print_stdout, reason = "how well the attacker does is what the story tells")]
fn tell(engine: Engine, told: &str) {
    println!("{engine:?}: {told}");
}

e2e::stories! {
    async fn a_year_of_both_sides_tells_no_better_than_chance(engine: Engine) {
        let workers = workers(engine);
        // The hospital's program has the time of the machine.
        let today = Clock::System.now().date_naive();
        // The key is published well before it signs.
        let published = today - Days::new(30);
        let world = World::at(engine, &format!("{published}T09:00:00Z")).await;
        let hospital = world.hospital(v1::Programme { sessions_per_period: 8, ..programme() }).await;
        let issuer = Issuer::start(&hospital.id, workers, today);
        let request = v1::CreateProgrammeKeyRequest {
            request_id: request_id(),
            public_key: issuer.public_key.clone(),
            first_date: Some(date(&today.to_string())),
            last_date: Some(date(&(today + Days::new(364)).to_string())),
        };
        hospital.manager.programmes().create_programme_key(request).await.unwrap();
        let now = |day: NaiveDate| format!("{day}T08:00:00Z");
        world.set_clock(&now(today));
        let log = Arc::new(key_log(&world.anybody().await).await);

        // Everybody fetches when the period begins, in whatever order, and wants nothing yet.
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        let mut everybody: Vec<usize> = (0..workers).collect();
        chance.shuffle(&mut everybody);
        let passes = issuer.everybody_fetches(&log, &hospital.id, &everybody).await;
        assert_eq!(passes.len(), workers);

        // Some book, over the year, each as somebody that nobody has met.
        chance.shuffle(&mut everybody);
        let therapist = world.therapist("Ada", "Etc/UTC").await
            .works("Mon 09:00-21:00, Tue 09:00-21:00, Wed 09:00-21:00, Thu 09:00-21:00, Fri 09:00-21:00, Sat 09:00-21:00, Sun 09:00-21:00").await;
        let mut wanted: Vec<(u64, usize)> = Vec::new();
        for worker in &everybody[..workers / SEEKS] {
            for _ in 0..=chance.below(PASSES) {
                wanted.push((chance.below(340) as u64, *worker));
            }
        }
        wanted.sort_unstable();
        let mut people: HashMap<usize, (e2e::Worker, Vec<Token>)> = HashMap::new();
        let mut truth = HashMap::new();
        let mut taken: HashMap<u64, usize> = HashMap::new();
        for (day, worker) in wanted {
            // Six sessions a day, two hours apart, are all that this therapist has; who comes too late goes without.
            let place = taken.entry(day).or_default();
            if *place == 6 {
                continue;
            }
            let date = today + Days::new(day);
            let hour = 9 + 2 * *place;
            *place += 1;
            world.set_clock(&now(date));
            let (alias, left) = match people.entry(worker) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let alias = world.worker().await;
                    truth.insert(alias.id.clone(), worker);
                    new.insert((alias, passes[&worker].clone()))
                }
            };
            let start = format!("{}T{hour:02}:00:00Z", date + Days::new(1));
            let held = alias.holds(&therapist, &start).await.unwrap();
            alias.pays(&held, by_pass(&left.pop().unwrap())).await.unwrap();
        }

        // What a thief of both has; who runs the hospital's program can tell which of its rows is about whom.
        let spent = paid_in_order(&world).await;
        assert_eq!(i64::try_from(spent.len()).unwrap(), world.count("select count(*) from spent_pass").await);
        let Stolen { file, rows, hashes, said } = issuer.stolen();
        assert_eq!(rows.iter().collect::<HashSet<_>>().len(), workers);
        nothing_in_common(&world, &file, &hashes).await;
        assert!(said.lines().count() < 5, "the hospital's log is of starting and stopping: {said}");
        let truth = |alias: &str| truth[alias];
        let (right, rank) = attack(&rows, &spent, truth);
        let sought = spent.iter().collect::<HashSet<_>>().len();
        let told = format!(
            "of {sought} aliases among {workers} workers {right} named; advantage over chance {:+.4}; their workers rank {rank:.3} of 1 (0.5 is chance)",
            f64::from(right) / count(sought) - 1.0 / count(workers)
        );
        tell(engine, &told);
        // By chance alone nearly never more: Poisson of 0.05, and a mean of uniform ranks within five deviations.
        assert!(right <= 3, "{right} of {sought} named");
        assert!((rank - 0.5).abs() < 5.0 / (12.0 * count(sought)).sqrt(), "mean rank {rank}");

        // Had each pass been signed as its session was booked, give or take a few others:
        let mut one_by_one: Vec<(usize, usize)> = spent.iter().enumerate().map(|(at, alias)| (at + chance.below(3), truth(alias))).collect();
        one_by_one.sort_by_key(|(at, _)| *at);
        let one_by_one: Vec<usize> = one_by_one.into_iter().map(|(_, worker)| worker).collect();
        let (right, _) = attack(&one_by_one, &spent, truth);
        tell(engine, &format!("signed one by one, {right} of {sought} named"));
        assert!(f64::from(right) > 0.5 * count(sought), "the attack does not work: {right} of {sought}");
    }
}

/// For each alias, the worker whose rows lie where the alias's lie, as far as order tells: how many are named, and where
/// on average the right worker stands among all, from 0 to 1.
fn attack(issued: &[usize], spent: &[String], truth: impl Fn(&str) -> usize) -> (u32, f64) {
    let scale = count(issued.len()) / count(spent.len());
    let mut of_alias: HashMap<&str, Vec<f64>> = HashMap::new();
    for (at, alias) in spent.iter().enumerate() {
        of_alias.entry(alias).or_default().push((count(at) + 0.5) * scale);
    }
    let (mut right, mut ranks) = (0, Vec::new());
    for (alias, places) in of_alias {
        let mut scores: HashMap<usize, f64> = HashMap::new();
        for (at, worker) in issued.iter().enumerate() {
            let near: f64 = places.iter().map(|place| 1.0 / (1.0 + (count(at) + 0.5 - place).powi(2))).sum();
            *scores.entry(*worker).or_default() += near;
        }
        let own = scores[&truth(alias)];
        let better = scores.values().filter(|score| **score > own).count();
        right += u32::from(better == 0);
        ranks.push(count(better) / count(scores.len()));
    }
    (right, ranks.iter().sum::<f64>() / count(ranks.len()))
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn count(number: usize) -> f64 {
    number as f64
}

/// Whose each paid session was, in the order in which they were paid: the rows of spent passes lie in the same.
async fn paid_in_order(world: &World) -> Vec<String> {
    let paid = booking::Entity::find()
        .filter(booking::Column::ProgrammeId.is_not_null())
        .order_by_asc(booking::Column::StartsAt)
        .all(world.app.db.read())
        .await
        .unwrap();
    paid.into_iter().map(|row| row.alias_id.unwrap().to_string()).collect()
}

/// No eight bytes that are about one worker at the hospital are anywhere on the booking side, and none that are about one
/// alias or pass are at the hospital.
async fn nothing_in_common(world: &World, file: &[u8], hashes: &[[u8; 32]]) {
    let theirs: HashSet<&[u8]> = file.windows(8).collect();
    let db = world.app.db.read();
    let spent = store::spent_pass::Entity::find().all(db).await.unwrap();
    let booked = booking::Entity::find().all(db).await.unwrap();
    let aliases = store::alias::Entity::find().all(db).await.unwrap();
    let mut ours: Vec<Vec<u8>> = spent.into_iter().map(|row| row.nullifier.0).collect();
    ours.extend(booked.iter().map(|row| row.id.0.into_bytes().to_vec()));
    ours.extend(aliases.iter().map(|row| row.id.0.into_bytes().to_vec()));
    ours.extend(aliases.into_iter().map(|row| row.public_key.0));
    let ours: HashSet<&[u8]> = ours.iter().flat_map(|bytes| bytes.windows(8)).collect();
    assert!(ours.len() > 1_000);
    assert!(ours.is_disjoint(&theirs), "the hospital has bytes of the booking side");
    let hashes: HashSet<&[u8]> = hashes.iter().flat_map(|hash| hash.windows(8)).collect();
    assert!(hashes.is_subset(&theirs), "these are not the hospital's");
}

/// `respite-issuer`, as a hospital runs it.
struct Issuer {
    process: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    public_key: Vec<u8>,
    /// By worker.
    codes: Vec<String>,
}

/// All that a hospital has in the end.
struct Stolen {
    /// The database.
    file: Vec<u8>,
    /// Whom its rows are about, in the order in which they lie in it.
    rows: Vec<usize>,
    /// How it names workers.
    hashes: Vec<[u8; 32]>,
    /// Its log.
    said: String,
}

impl Issuer {
    /// With a roster of so many, a code for each, and a key that signs from today on for a year.
    fn start(programme: &str, workers: usize, today: NaiveDate) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let roster: Vec<_> = (0..workers).map(|worker| format!("N-{worker},2026-01-01,\n")).collect();
        let list = folder.path().join("roster.csv");
        fs::write(&list, format!("employee_id,active_from,active_until\n{}", roster.concat())).unwrap();
        let list = list.to_str().unwrap();
        let home = folder.path().join("issuer");
        let run = |arguments: &[&str]| {
            let done = Command::new(binary()).arg("--home").arg(&home).args(arguments).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        run(&[
            "init",
            "--programme",
            programme,
            "--name",
            "hospital.example",
            "--origin",
            "respite-test",
            "--mode",
            "roster",
        ]);
        run(&["import", list]);
        let codes = run(&["codes", "--for-roster", list]);
        let mut by_worker = vec![String::new(); workers];
        for line in codes.lines().skip(1) {
            let (worker, code) = line.strip_prefix("N-").and_then(|line| line.split_once(',')).unwrap();
            code.clone_into(&mut by_worker[worker.parse::<usize>().unwrap()]);
        }
        let [from, until] = [today, today + Days::new(350)].map(|day| day.to_string());
        let shown = run(&[
            "key",
            "make",
            "--period",
            "year",
            "--passes",
            &PASSES.to_string(),
            "--first",
            &from,
            "--last",
            &until,
        ]);
        let public_key = shown.lines().find_map(|line| line.strip_prefix("public key")).unwrap();
        let public_key = BASE64.decode(public_key.trim().as_bytes()).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(binary())
            .arg("--home")
            .arg(&home)
            .args(["serve", "--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { process, folder, address, public_key, codes: by_worker }
    }

    async fn connect(&self) -> IssuerServiceClient<Channel> {
        for _ in 0..600 {
            if let Ok(client) = IssuerServiceClient::connect(format!("http://{}", self.address)).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the issuer does not listen");
    }

    /// All passes of everybody, asked for in this order.
    async fn everybody_fetches(
        &self,
        log: &Arc<Directory>,
        programme: &str,
        order: &[usize],
    ) -> HashMap<usize, Vec<Token>> {
        let mut client = self.connect().await;
        let offer = client.get_offer(GetOfferRequest {}).await.unwrap().into_inner();
        assert_eq!((offer.programme_id.as_str(), offer.passes), (programme, 8));
        let key_id: [u8; 32] = offer.key_id[..].try_into().unwrap();
        let programme: uuid::Uuid = programme.parse().unwrap();
        let device = |log: &Directory| {
            pass::Client::new(
                log,
                ProgrammeId(programme.into_bytes()),
                KeyId::from(key_id),
                Clock::System.now().timestamp(),
            )
            .unwrap()
        };
        let mut devices = JoinSet::new();
        let share = order.len().div_ceil(DEVICES);
        for own in order.chunks(share) {
            let own: Vec<_> = own.iter().map(|worker| (*worker, self.codes[*worker].clone())).collect();
            let (device, mut client) = (device(log), client.clone());
            devices.spawn(async move {
                let mut fetched = Vec::new();
                for (worker, activation_code) in own {
                    let pending: Vec<_> = (0..PASSES).map(|_| device.blind()).collect();
                    let blinded_messages = pending
                        .iter()
                        .map(|pending| pending.request().blinded_message.as_bytes().to_vec())
                        .collect();
                    let key_id = key_id.to_vec();
                    let request =
                        IssuePassesRequest { activation_code, key_id, blinded_messages, login: None };
                    let signed = ask(&mut client, request).await;
                    let signed =
                        signed.iter().map(|signature| BlindSignature::try_from(&signature[..]).unwrap());
                    let passes = pending
                        .iter()
                        .zip(signed)
                        .map(|(pending, signed)| device.finalize(pending, &signed).unwrap());
                    fetched.push((worker, passes.collect()));
                }
                fetched
            });
        }
        devices.join_all().await.into_iter().flatten().collect()
    }

    fn stolen(mut self) -> Stolen {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let home = self.folder.path().join("issuer");
        let file = fs::read(home.join("issuer.db")).unwrap();
        let secret = fs::read_to_string(home.join("issuer.secret")).unwrap();
        let secret = HEXLOWER.decode(secret.trim().as_bytes()).unwrap();
        let hashes: Vec<[u8; 32]> = (0..self.codes.len())
            .map(|worker| {
                let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
                mac.chain_update("respite-issuer/worker/v1")
                    .chain_update(format!("N-{worker}"))
                    .finalize()
                    .into_bytes()
                    .into()
            })
            .collect();
        let of_hash: HashMap<&[u8], usize> =
            hashes.iter().enumerate().map(|(worker, hash)| (&hash[..], worker)).collect();
        let rows = file.windows(32).filter_map(|window| of_hash.get(window).copied()).collect();
        let said = fs::read_to_string(self.folder.path().join("log")).unwrap();
        Stolen { file, rows, hashes, said }
    }
}

/// The hospital's program ends every connection after a while, in the middle of a call, too: the same is asked again.
async fn ask(client: &mut IssuerServiceClient<Channel>, request: IssuePassesRequest) -> Vec<Vec<u8>> {
    for _ in 0..5 {
        match client.issue_passes(request.clone()).await {
            Ok(signed) => return signed.into_inner().blind_signatures,
            Err(refused) => assert!(
                matches!(refused.code(), Code::Unknown | Code::Unavailable | Code::Cancelled),
                "{refused:?}"
            ),
        }
    }
    panic!("no answer");
}

impl Drop for Issuer {
    /// However the story ends.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("respite-issuer");
    assert!(binary.exists(), "{} is missing: cargo build --package issuer", binary.display());
    binary
}

/// Made-up chance, the same in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
