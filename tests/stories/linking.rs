//! E1, privacy.md 9: who has all that both sides keep of a year can tell no better whose sessions they were than who has
//! nothing.
//!
//! A hospital's own program signs eight passes each for thousands of workers. Some of them book sessions over a year: half
//! of these fetched their passes as everybody else did, when the year began, and half when they wanted to book, an hour to
//! a day before, so that a time, or an order, of fetching would tell who they are.
//!
//! Then an attacker who knows that, and how many came late, reads both sides' databases, every table and column of them,
//! with the rows in the order in which they lie; all files of the hospital's, and where in which page of its database
//! something lies; and what its program said. The hospital's secret is theirs, too: they know which row is about whom.
//!
//! Not read are copies of earlier days, what a disk still has of files that are gone, and PostgreSQL's log of writing. The
//! booking side's log and file have an order, but a time of each booking is in its tables anyway; what its program says is
//! the business of `canary`.
//!
//! How well the attacker does is printed. The same attacker does well where a hospital keeps a time or the order of
//! fetching, and where passes are signed one by one, as sessions are booked.

mod thief;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use api::issuer::v1::{GetOfferRequest, IssuePassesRequest, issuer_service_client::IssuerServiceClient};
use api::v1;
use chrono::{DateTime, Days, NaiveDate, SecondsFormat, TimeDelta, Utc};
use client::request_id;
use data_encoding::{BASE64, HEXLOWER};
use e2e::{
    Engine, World, date,
    hospital::{by_pass, key_log, programme},
};
use hmac::{Hmac, KeyInit, Mac};
use pass::{BlindSignature, Directory, KeyId, ProgrammeId, Token};
use sea_orm::{ColumnTrait, ConnectionTrait, Database, EntityTrait, QueryFilter, QueryOrder};
use services::Clock;
use sha2::{Digest, Sha256};
use store::{booking, booking_event};
use thief::{Found, Side, Table, Value, attack};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

/// How many work at the hospital, and how many of them seek help. The embedded engine is for small hospitals; there, more
/// of them do than would, since too few tell nothing about chance.
fn workers_and_seekers(engine: Engine) -> (usize, usize) {
    match engine {
        Engine::Postgres => (5_000, 200),
        Engine::Sqlite => (500, 100),
    }
}
const PASSES: usize = 8;
/// Nobody has more sessions.
const SESSIONS: usize = 4;
/// The days on which somebody books.
const DAYS: usize = 340;
/// At so many devices at a time passes are asked for.
const DEVICES: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Fetches,
    Books,
}

e2e::stories! {
    async fn a_year_of_both_sides_tells_no_better_than_chance(engine: Engine) {
        let (workers, seekers) = workers_and_seekers(engine);
        // The hospital's program has the time of the machine.
        let today = Clock::System.now().date_naive();
        // The key is published well before it signs.
        let published = today - Days::new(30);
        let world = World::at(engine, &format!("{published}T09:00:00Z")).await;
        let hospital = world.hospital(v1::Programme { sessions_per_period: 8, ..programme() }).await;
        let mut issuer = Issuer::start(&hospital.id, workers, today);
        let request = v1::CreateProgrammeKeyRequest {
            request_id: request_id(),
            public_key: issuer.public_key.clone(),
            first_date: Some(date(&today.to_string())),
            last_date: Some(date(&(today + Days::new(364)).to_string())),
        };
        hospital.manager.programmes().create_programme_key(request).await.unwrap();
        let begin = today.and_hms_opt(8, 0, 0).unwrap().and_utc();
        world.set_clock(&at(begin));
        let log = key_log(&world.anybody().await).await;

        // Most fetch when the period begins, in whatever order; of those who will want something, half.
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        let mut everybody: Vec<usize> = (0..workers).collect();
        chance.shuffle(&mut everybody);
        let seeking = everybody[..seekers].to_vec();
        let late = seekers / 2;
        let mut early = everybody.split_off(late);
        chance.shuffle(&mut early);
        let mut passes = issuer.all_fetch(&log, &hospital.id, &early, &seeking).await;
        let mut fetched: Vec<(usize, DateTime<Utc>)> =
            early.iter().zip(0..).map(|(worker, second)| (*worker, begin + TimeDelta::seconds(second))).collect();

        let steps = plan(&mut chance, &seeking, late, begin);

        // Each books as somebody that nobody has met.
        let therapist = world.therapist("Ada", "Etc/UTC").await
            .works("Mon 09:00-21:00, Tue 09:00-21:00, Wed 09:00-21:00, Thu 09:00-21:00, Fri 09:00-21:00, Sat 09:00-21:00, Sun 09:00-21:00").await;
        let mut phone = issuer.phone(&log, &hospital.id).await;
        let mut aliases: HashMap<usize, e2e::Worker> = HashMap::new();
        let mut booked: Vec<(usize, DateTime<Utc>)> = Vec::new();
        for (time, step, worker) in steps {
            if step == Step::Fetches {
                passes.insert(worker, phone.fetches(&issuer.codes[worker]).await);
                fetched.push((worker, time));
                continue;
            }
            world.set_clock(&at(time));
            let alias = match aliases.entry(worker) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(world.worker().await),
            };
            let held = alias.holds(&therapist, &at(time + TimeDelta::hours(25))).await.unwrap();
            alias.pays(&held, by_pass(&passes.get_mut(&worker).unwrap().pop().unwrap())).await.unwrap();
            booked.push((worker, time));
        }

        // What a thief of both has, and how each side names people. An alias has its worker's number, to judge by.
        issuer.stop();
        let database = issuer.home().join("issuer.db");
        let hashes = issuer.hashes();
        let late: Vec<usize> = fetched[early.len()..].iter().map(|(worker, _)| *worker).collect();
        let year = begin.timestamp()..(begin + Days::new(DAYS as u64)).timestamp();
        let who = hashes.iter().enumerate().map(|(worker, hash)| (hash.to_vec(), worker)).collect();
        let at_hospital = Side { who, year: year.clone(), spread: Some(late.len()) };
        let tables = thief::tables(world.app.db.read()).await;
        let whose = aliases.iter().map(|(worker, alias)| (alias.id.as_str(), *worker)).collect();
        let who = whose_rows_are(&world, &tables, &whose).await;
        assert_eq!(who.len(), aliases.len() + 2 * booked.len(), "aliases, bookings and passes");
        let booked_at = Side { who, year, spread: None }.of_tables(&tables);
        nothing_in_common(&tables, &issuer, &hashes, &hospital.id);

        let pairs = |workers: &mut dyn Iterator<Item = usize>| -> Vec<_> { workers.map(|worker| (worker, worker)).collect() };
        let all = pairs(&mut aliases.keys().copied());
        let wanting = pairs(&mut late.iter().copied());
        let told = thief::of_hospital(&database, &at_hospital).await;
        for (of, sought) in [("all", &all), ("who fetched late", &wanting)] {
            let found = attack(&told, &booked_at, sought);
            assert!(found.len() > 20, "there is more to try than {}", found.len());
            tell(engine, &format!("what is kept, of {of}"), &found, sought.len(), workers);
            for found in &found {
                assert!(by_chance(found, sought.len()), "{}: {} named, rank {}", found.by, found.named, found.rank);
            }
        }

        // Had the hospital's program kept a time of each batch, or signed one by one, as sessions are booked, or numbered its
        // rows. An order has no times: it tells whom not to look at.
        for (careless, sql, sought, named, rank) in [
            ("a time of each batch, of who fetched late", timed(&fetched, &hashes), &wanting, 0.5, 0.05),
            ("passes signed one by one, of all", timed(&booked, &hashes), &all, 0.5, 0.05),
            ("numbered rows, of who fetched late", numbered(&fetched, &hashes), &wanting, 0.0, 0.3),
        ] {
            let told = thief::of_hospital(&issuer.careless(&sql).await, &at_hospital).await;
            let found = attack(&told, &booked_at, sought);
            tell(engine, careless, &found, sought.len(), workers);
            let best = found.iter().map(|found| found.rank).fold(1.0, f64::min);
            assert!(best < rank, "{careless}: the attack does not work, rank {best}");
            assert!(found[0].named >= named * count(sought.len()), "{careless}: {} named", found[0].named);
            assert!(!found.iter().all(|found| by_chance(found, sought.len())), "{careless}: taken for chance");
        }
    }
}

/// When who seeks help does what; the first of them, `late` many, fetch when they want to book.
fn plan(
    chance: &mut Chance,
    seeking: &[usize],
    late: usize,
    begin: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, Step, usize)> {
    let (mut steps, mut taken) = (Vec::new(), HashMap::new());
    for (number, worker) in seeking.iter().enumerate() {
        let mut books = Vec::new();
        for _ in 0..=chance.below(SESSIONS) {
            let day = 2 + chance.below(DAYS);
            let place: &mut i64 = taken.entry(day).or_default();
            // Six sessions a day, two hours apart, are all that a therapist has; who comes too late goes without.
            if *place < 6 {
                books.push(begin + Days::new(day as u64) + TimeDelta::hours(2 * *place));
                *place += 1;
            }
        }
        if let (Some(first), true) = (books.iter().min(), number < late) {
            let before = TimeDelta::minutes(60 + i64::try_from(chance.below(23 * 60)).unwrap());
            steps.push((*first - before, Step::Fetches, *worker));
        }
        steps.extend(books.into_iter().map(|time| (time, Step::Books, *worker)));
    }
    steps.sort_unstable();
    steps
}

/// A time beside each issuance.
fn timed(done: &[(usize, DateTime<Utc>)], hashes: &[[u8; 32]]) -> String {
    let row = |(worker, time): &(usize, DateTime<Utc>)| {
        format!(
            "insert into issued_at values (x'{}', {});",
            HEXLOWER.encode(&hashes[*worker]),
            time.timestamp()
        )
    };
    let rows: String = done.iter().map(row).collect();
    format!("create table issued_at (holder blob not null, at integer not null) strict; {rows}")
}

/// A number for each issuance, as tables have of themselves.
fn numbered(done: &[(usize, DateTime<Utc>)], hashes: &[[u8; 32]]) -> String {
    let row = |(worker, _): &(usize, DateTime<Utc>)| {
        let holder = HEXLOWER.encode(&hashes[*worker]);
        format!("insert into issuance select * from kept where (period, holder) = ('year', x'{holder}');")
    };
    let rows: String = done.iter().map(row).collect();
    format!(
        "alter table issuance rename to kept;
         create table issuance (period text, holder blob, batch blob, primary key (period, holder)) strict;
         {rows}
         drop table kept;"
    )
}

/// By chance alone nearly always: what is named is Poisson of 0.2 at most, and a mean of uniform ranks is within five
/// deviations.
fn by_chance(found: &Found, sought: usize) -> bool {
    found.named < 6.0 && (found.rank - 0.5).abs() < 5.0 / (12.0 * count(sought)).sqrt()
}

#[expect(clippy::print_stdout, reason = "how well the attacker does is what the story tells")]
fn tell(engine: Engine, kept: &str, found: &[Found], sought: usize, workers: usize) {
    let most = &found[0];
    let least = found.iter().min_by(|one, other| one.rank.total_cmp(&other.rank)).unwrap();
    println!(
        "{engine:?}, {kept}: of {sought} aliases among {workers} workers {:.1} named by {}, advantage over chance {:+.4}; \
         their workers rank {:.3} of 1 (0.5 is chance) by {}; {} pairs tried",
        most.named,
        most.by,
        most.named / count(sought) - 1.0 / count(workers),
        least.rank,
        least.by,
        found.len(),
    );
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
fn count(number: usize) -> f64 {
    number as f64
}

fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Whom ids on the booking side are about. The rows of spent passes are taken to lie in the order in which sessions were
/// paid.
async fn whose_rows_are(
    world: &World,
    tables: &[Table],
    whose: &HashMap<&str, usize>,
) -> HashMap<Vec<u8>, usize> {
    let db = world.app.db.read();
    let mut who = HashMap::new();
    let mut of_booking = HashMap::new();
    for booking in booking::Entity::find().all(db).await.unwrap() {
        let alias = booking.alias_id.unwrap();
        let worker = whose[alias.to_string().as_str()];
        of_booking.insert(booking.id, worker);
        who.insert(booking.id.0.into_bytes().to_vec(), worker);
        who.insert(alias.0.into_bytes().to_vec(), worker);
    }
    let paid = booking_event::Entity::find()
        .filter(booking_event::Column::State.eq(booking::State::Booked))
        .order_by_asc(booking_event::Column::At)
        .all(db)
        .await
        .unwrap();
    let spent = tables.iter().find(|table| table.name == "spent_pass").unwrap();
    assert_eq!(spent.rows.len(), paid.len());
    for (row, paid) in spent.rows.iter().zip(paid) {
        let Some(Value::Bytes(nullifier)) = &row[0] else { panic!("a nullifier: {row:?}") };
        who.insert(nullifier.clone(), of_booking[&paid.booking_id]);
    }
    who
}

/// Of what each side alone has, no eight bytes are on the other: both know the programme and its key.
fn nothing_in_common(tables: &[Table], issuer: &Issuer, hashes: &[[u8; 32]], programme: &str) {
    let files = issuer.files();
    let at_hospital: HashSet<&[u8]> = files.iter().flat_map(|(_, file)| file.windows(8)).collect();
    let programme: uuid::Uuid = programme.parse().unwrap();
    let public: [&[u8]; 3] = [&issuer.key_id(), programme.as_bytes(), &[0; 8]];
    let public: HashSet<&[u8]> = public.iter().flat_map(|bytes| bytes.windows(8)).collect();
    // Which programmes and keys there are, anybody may read.
    for table in tables.iter().filter(|table| !["programme", "key_log"].contains(&table.name.as_str())) {
        for value in table.rows.iter().flatten().flatten() {
            let Value::Bytes(bytes) = value else { continue };
            let both = bytes.windows(8).find(|part| at_hospital.contains(part) && !public.contains(part));
            assert_eq!(both, None, "the hospital has this of a row of {}", table.name);
        }
    }
    let hashes: HashSet<&[u8]> = hashes.iter().flat_map(|hash| hash.windows(8)).collect();
    for (name, file) in &files {
        let here: HashSet<&[u8]> = file.windows(8).collect();
        let all = name == "issuer.db";
        assert!(
            if all { hashes.is_subset(&here) } else { hashes.is_disjoint(&here) },
            "{name} is about workers"
        );
    }
    assert!(issuer.said().lines().count() < 5, "of starting and stopping: {}", issuer.said());
}

/// `respite-issuer`, as a hospital runs it.
struct Issuer {
    program: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    public_key: Vec<u8>,
    /// By worker.
    codes: Vec<String>,
}

/// A worker's device.
struct Phone {
    device: pass::Client,
    key_id: KeyId,
    issuer: IssuerServiceClient<Channel>,
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
        let program = Command::new(binary())
            .arg("--home")
            .arg(&home)
            .args(["serve", "--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { program, folder, address, public_key, codes: by_worker }
    }

    /// A device that asks it.
    async fn phone(&self, log: &Directory, programme: &str) -> Phone {
        let mut issuer = self.connect().await;
        let offer = issuer.get_offer(GetOfferRequest {}).await.unwrap().into_inner();
        assert_eq!((offer.programme_id.as_str(), offer.passes), (programme, 8));
        let key_id = KeyId::from(<[u8; 32]>::try_from(&offer.key_id[..]).unwrap());
        let programme = ProgrammeId(programme.parse::<uuid::Uuid>().unwrap().into_bytes());
        let device = pass::Client::new(log, programme, key_id, Clock::System.now().timestamp()).unwrap();
        Phone { device, key_id, issuer }
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

    /// All passes of these workers, asked for at several devices at a time. Those of the workers who are `seeking` help are
    /// to be used.
    async fn all_fetch(
        &self,
        log: &Directory,
        programme: &str,
        workers: &[usize],
        seeking: &[usize],
    ) -> HashMap<usize, Vec<Token>> {
        let mut devices = JoinSet::new();
        for own in workers.chunks(workers.len().div_ceil(DEVICES)) {
            let own: Vec<_> = own
                .iter()
                .map(|worker| (*worker, self.codes[*worker].clone(), seeking.contains(worker)))
                .collect();
            let mut phone = self.phone(log, programme).await;
            devices.spawn(async move {
                let mut fetched = Vec::new();
                for (worker, code, seeks) in own {
                    if seeks {
                        fetched.push((worker, phone.fetches(&code).await));
                    } else {
                        phone.lets_lie(&code, worker).await;
                    }
                }
                fetched
            });
        }
        devices.join_all().await.into_iter().flatten().collect()
    }

    fn stop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("issuer")
    }

    /// What the program said.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// How the database names workers.
    fn hashes(&self) -> Vec<[u8; 32]> {
        let secret = fs::read_to_string(self.home().join("issuer.secret")).unwrap();
        let secret = HEXLOWER.decode(secret.trim().as_bytes()).unwrap();
        let hash = |worker| {
            let mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
            let mac = mac.chain_update("respite-issuer/worker/v1").chain_update(format!("N-{worker}"));
            mac.finalize().into_bytes().into()
        };
        (0..self.codes.len()).map(hash).collect()
    }

    /// Every file in the program's folder and what it said, with its name.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let home = self.home();
        let mut files = vec![("the log".to_owned(), self.said().into_bytes())];
        for folder in [home.clone(), home.join("keys")] {
            for file in
                fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file())
            {
                files.push((file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(file).unwrap()));
            }
        }
        assert!(files.len() > 3, "database, secret and key");
        files
    }

    /// What the key is called, which all may know.
    fn key_id(&self) -> [u8; 32] {
        Sha256::digest(&self.public_key).into()
    }

    /// A copy of the database that was kept otherwise.
    async fn careless(&self, sql: &str) -> PathBuf {
        let copy = self.folder.path().join("careless.db");
        fs::copy(self.home().join("issuer.db"), &copy).unwrap();
        let db = Database::connect(format!("sqlite://{}", copy.display())).await.unwrap();
        db.execute_unprepared(&format!("pragma foreign_keys = off; begin; {sql} commit;")).await.unwrap();
        db.close().await.unwrap();
        copy
    }
}

impl Phone {
    /// All passes of the period for who has this code.
    async fn fetches(&mut self, code: &str) -> Vec<Token> {
        let pending: Vec<_> = (0..PASSES).map(|_| self.device.blind()).collect();
        let blinded_messages =
            pending.iter().map(|pending| pending.request().blinded_message.as_bytes().to_vec()).collect();
        let signed = self.asks(code, blinded_messages).await;
        let signed = signed.iter().map(|signature| BlindSignature::try_from(&signature[..]).unwrap());
        pending
            .iter()
            .zip(signed)
            .map(|(pending, signed)| self.device.finalize(pending, &signed).unwrap())
            .collect()
    }

    /// The same for somebody who will never look at them, which spares a minute of arithmetic: what is blinded is a random
    /// number below the key.
    async fn lets_lie(&mut self, code: &str, worker: usize) {
        let mut chance = Chance(worker as u64);
        let mut number = || {
            let mut bytes: Vec<u8> = (0..32).flat_map(|_| chance.next().to_be_bytes()).collect();
            bytes[0] = 0;
            bytes
        };
        let blinded_messages = (0..PASSES).map(|_| number()).collect();
        assert_eq!(self.asks(code, blinded_messages).await.len(), PASSES);
    }

    /// The program ends every connection after a while, in the middle of a call, too: the same is asked again.
    async fn asks(&mut self, code: &str, blinded_messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let request = IssuePassesRequest {
            activation_code: code.to_owned(),
            key_id: self.key_id.as_bytes().to_vec(),
            blinded_messages,
            login: None,
        };
        for _ in 0..5 {
            match self.issuer.issue_passes(request.clone()).await {
                Ok(signed) => return signed.into_inner().blind_signatures,
                Err(refused) => assert!(
                    matches!(refused.code(), Code::Unknown | Code::Unavailable | Code::Cancelled),
                    "{refused:?}"
                ),
            }
        }
        panic!("no answer");
    }
}

impl Drop for Issuer {
    /// However the story ends.
    fn drop(&mut self) {
        self.stop();
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
