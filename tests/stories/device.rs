//! What a worker's device does by itself: it fetches passes before they are needed, and shows reminders that nobody sent.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use api::issuer::v1::{GetOfferRequest, issuer_service_client::IssuerServiceClient};
use api::v1;
use chrono::{DateTime, TimeDelta, Utc};
use client::{FetchError, PassError, Shown, Wallet, request_id};
use data_encoding::BASE64;
use e2e::{
    Engine, World, date,
    hospital::{Hospital, by_pass, programme},
    time, timestamp,
};
use services::Clock;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::provider::{CLIENT_ID, Fake};

const BERLIN: &str = "Europe/Berlin";
const CARDS: &[&str] = &["cards"];
const LOGINS: &[&str] = &["logins", "--eligible", "60"];

e2e::stories! {
    // R2
    async fn a_device_shows_what_is_due_though_nothing_is_sent(engine: Engine) {
        let world = World::at(engine, "2026-03-20T09:00:00Z").await;
        let ada = world.therapist("Ada", BERLIN).await.works("Mon 08:00-20:00").await;
        let nurse = world.worker().await;
        let booked = nurse.books(&ada, "2026-03-23T10:00:00Z").await.unwrap();
        let due = async |at: &str| {
            world.set_clock(at);
            let due = nurse.client.due_reminders(time(at).timestamp()).await.unwrap();
            due.into_iter().map(|reminder| reminder.booking_id).collect::<Vec<_>>()
        };
        assert!(due("2026-03-21T10:00:00Z").await.is_empty());
        assert_eq!(due("2026-03-22T10:30:00Z").await, std::slice::from_ref(&booked.id));
        world.deliver().await;
        assert!(world.letters().is_empty());
        assert_eq!(due("2026-03-23T09:59:59Z").await, std::slice::from_ref(&booked.id));
        nurse.cancels(&booked).await;
        assert!(due("2026-03-23T09:59:59Z").await.is_empty());
    }

    // E1, E2: from the hospital's own program, over a connection of its own.
    async fn passes_come_from_the_hospitals_program(engine: Engine) {
        let now = Clock::System.now();
        let world = before(engine, now).await;
        let (hospital, issuer) = hospital(&world, now, CARDS, &[[-1, 60]]).await;
        world.app.clock.set(now);
        let (anybody, id) = (world.anybody().await, hospital.id.parse().unwrap());

        let serving = issuer.serve(&[]).await;
        let mut wallet = Wallet::new(&anybody, id, now).await.unwrap();
        // A disk that is full: nothing is asked for.
        let full = wallet.fetch(serving.channel(), issuer.code.as_str(), now, |_| Err(std::io::ErrorKind::StorageFull.into())).await;
        assert!(matches!(full, Err(FetchError::NotKept(_))));
        let mut kept = Vec::new();
        let wrong = wallet.fetch(serving.channel(), "0000 0000 0000 0000 0000", now, |bytes| { kept = bytes.to_vec(); Ok(()) }).await;
        assert!(matches!(wrong, Err(FetchError::Call(_))), "{wrong:?}");
        // It is switched off, and goes on with what it kept: the same batch, whether it was signed or not.
        let mut wallet = Wallet::open(&anybody, &kept, now).await.unwrap();
        wallet.fetch(serving.channel(), issuer.code.as_str(), now, |_| Ok(())).await.unwrap();
        let mut again = Wallet::open(&anybody, &kept, now).await.unwrap();
        again.fetch(serving.channel(), issuer.code.as_str(), now, |_| Ok(())).await.unwrap();
        // Another batch under the same code is not signed, and not asked for again in this period.
        let mut other = Wallet::new(&anybody, id, now).await.unwrap();
        let later = now + TimeDelta::days(2);
        assert!(other.wants_passes(later) && !wallet.wants_passes(later));
        let Err(FetchError::Call(refused)) = other.fetch(serving.channel(), issuer.code.as_str(), now, |_| Ok(())).await else { panic!("signed twice") };
        assert_eq!(refused.refusal().unwrap().reason, "OTHER_BATCH_ISSUED");
        assert!(!other.wants_passes(later));

        // They pay here.
        pays(&world, &mut wallet, now).await;

        // A hospital that signs with a key of its own making, which no log lists.
        let curious = Issuer::of(&hospital.id, now, CARDS, &[[-1, 60]]);
        let asked = curious.serve(&[]).await;
        let mut wallet = Wallet::new(&anybody, id, now).await.unwrap();
        let unlisted = wallet.fetch(asked.channel(), curious.code.as_str(), now, |_| panic!("nothing is to be sent")).await;
        assert!(matches!(unlisted, Err(FetchError::OtherKey)), "{unlisted:?}");
        let mut foreign = Wallet::new(&anybody, world.hospital(programme()).await.id.parse().unwrap(), now).await.unwrap();
        let other = foreign.fetch(asked.channel(), curious.code.as_str(), now, |_| panic!("nothing is to be sent")).await;
        assert!(matches!(other, Err(FetchError::OtherProgramme)), "{other:?}");
        // Three, where the programme says six to everybody: who has as many as nobody else is known by them.
        let six = world.hospital(programme()).await.id;
        let three = Issuer::of(&six, now, CARDS, &[[-1, 60]]);
        let asked_for_six = three.serve(&[]).await;
        let mut wallet = Wallet::new(&anybody, six.parse().unwrap(), now).await.unwrap();
        let fewer = wallet.fetch(asked_for_six.channel(), three.code.as_str(), now, |_| panic!("nothing is to be sent")).await;
        assert!(matches!(fewer, Err(FetchError::Number { offered: 3 })), "{fewer:?}");
        // Before any key signs, there is nothing to ask for.
        let early = Wallet::new(&anybody, id, now).await.unwrap().fetch(asked.channel(), curious.code.as_str(), now - TimeDelta::days(9), |_| Ok(())).await;
        assert!(matches!(early, Err(FetchError::Pass(PassError::NoKey))), "{early:?}");
    }

    // E1, E3: where a hospital has no codes, a device shows that its owner signed in at the hospital's provider.
    async fn passes_come_by_a_login_at_the_hospitals_provider(engine: Engine) {
        let now = Clock::System.now();
        let world = before(engine, now).await;
        let (hospital, issuer) = hospital(&world, now, LOGINS, &[[-1, 60]]).await;
        world.app.clock.set(now);
        let (anybody, id) = (world.anybody().await, hospital.id.parse().unwrap());
        let provider = Fake::start().await;
        let serving = issuer.serve(&["--oidc-issuer", &provider.issuer, "--oidc-client-id", CLIENT_ID]).await;
        let signs_in = async |subject: &str| {
            let login = Wallet::begin_login(serving.channel()).await.unwrap();
            assert_eq!((login.provider_uri.as_str(), login.client_id.as_str()), (provider.issuer.as_str(), CLIENT_ID));
            let id_token = provider.token(subject, &login.nonce, Clock::System.now().timestamp());
            Shown::Login { nonce: login.nonce, id_token }
        };

        // A login that was for another device's nonce is none, and neither is a code.
        let mut wallet = Wallet::new(&anybody, id, now).await.unwrap();
        let Shown::Login { id_token, .. } = signs_in("nurse-1").await else { panic!("a login") };
        let Shown::Login { nonce, .. } = signs_in("nurse-1").await else { panic!("a login") };
        for shown in [Shown::Login { nonce, id_token }, Shown::from("7KQ2 M4XT 9RWB C3HD VN5P")] {
            let refused = wallet.fetch(serving.channel(), shown, now, |_| Ok(())).await;
            assert!(matches!(refused, Err(FetchError::Call(_))), "{refused:?}");
        }
        wallet.fetch(serving.channel(), signs_in("nurse-1").await, now, |_| Ok(())).await.unwrap();
        assert_eq!(wallet.days_left(now).len(), 3);

        // Whoever the provider lets in has one batch in a period, on whatever device.
        let mut second = Wallet::new(&anybody, id, now).await.unwrap();
        let Err(FetchError::Call(refused)) = second.fetch(serving.channel(), signs_in("nurse-1").await, now, |_| Ok(())).await else { panic!("signed twice") };
        assert_eq!(refused.refusal().unwrap().reason, "OTHER_BATCH_ISSUED");
        second.fetch(serving.channel(), signs_in("nurse-2").await, now, |_| Ok(())).await.unwrap();
        assert_eq!(second.days_left(now).len(), 3);

        // They pay as any others do.
        pays(&world, &mut wallet, now).await;
    }

    // E2: on the last day on which a key signs, and on the first one of the next.
    async fn the_hospitals_program_and_the_log_hand_over_on_the_same_day(engine: Engine) {
        let now = Clock::System.now();
        let world = before(engine, now).await;
        // Today one key signs for the last time, and another for the first.
        let last = hospital(&world, now, CARDS, &[[-45, 14], [15, 74]]).await;
        let first = hospital(&world, now, CARDS, &[[14, 74], [75, 134]]).await;
        world.app.clock.set(now);
        let anybody = world.anybody().await;
        for (hospital, issuer) in [last, first] {
            let serving = issuer.serve(&[]).await;
            let offer = IssuerServiceClient::new(serving.channel()).get_offer(GetOfferRequest {}).await;
            let key = pass::PublicKey::try_from(&issuer.keys[0][..]).unwrap();
            assert_eq!(offer.unwrap().into_inner().key_id, key.id().as_bytes());
            // A wallet asks for nothing but by the key that the log has.
            let mut wallet = Wallet::new(&anybody, hospital.id.parse().unwrap(), now).await.unwrap();
            wallet.fetch(serving.channel(), issuer.code.as_str(), now, |_| Ok(())).await.unwrap();
        }
    }
}

/// A world some days before: a hospital's program goes by the machine's clock, and its keys are published ahead.
async fn before(engine: Engine, now: DateTime<Utc>) -> World {
    World::at(engine, &(now - TimeDelta::days(10)).to_rfc3339()).await
}

/// A hospital whose program has a key for each of these periods, which begin and end so many days from now; the log lists
/// them all.
async fn hospital(
    world: &World,
    now: DateTime<Utc>,
    mode: &[&str],
    periods: &[[i64; 2]],
) -> (Hospital, Issuer) {
    let hospital = world.hospital(v1::Programme { sessions_per_period: 3, ..programme() }).await;
    let issuer = Issuer::of(&hospital.id, now, mode, periods);
    for (key, days) in issuer.keys.iter().zip(periods) {
        let [first_date, last_date] = days.map(|days| Some(date(&day(now, days))));
        let request_id = request_id();
        let publish =
            v1::CreateProgrammeKeyRequest { request_id, public_key: key.clone(), first_date, last_date };
        hospital.manager.programmes().create_programme_key(publish).await.unwrap();
    }
    (hospital, issuer)
}

fn day(now: DateTime<Utc>, days: i64) -> String {
    (now + TimeDelta::days(days)).format("%F").to_string()
}

/// A pass that rested for a day pays for a session, in three days.
async fn pays(world: &World, wallet: &mut Wallet, now: DateTime<Utc>) {
    let all_day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].map(|day| format!("{day} 00:00-00:00"));
    let ada = world.therapist("Ada", "Etc/UTC").await.works(&all_day.join(", ")).await;
    let nurse = world.worker().await;
    let rested = now + TimeDelta::days(1);
    world.app.clock.set(rested);
    let start = (rested + TimeDelta::days(3)).date_naive().and_hms_opt(10, 0, 0).unwrap().and_utc();
    let held = nurse.holds(&ada, &start.to_rfc3339()).await.unwrap();
    let pass =
        wallet.pass_for(&(start..start + TimeDelta::minutes(50)), v1::Modality::Video, rested).unwrap();
    nurse.pays(&held, by_pass(pass)).await.unwrap();
    assert_eq!(held.session.unwrap().start_time, Some(timestamp(start)));
}

/// A hospital's program with its keys and, if it takes them, one worker's code, in a folder of its own.
struct Issuer {
    home: TempDir,
    keys: Vec<Vec<u8>>,
    code: String,
}

/// It does not outlive a story that fails.
struct Serving {
    process: Child,
    address: String,
}

impl Issuer {
    fn of(programme: &str, now: DateTime<Utc>, mode: &[&str], periods: &[[i64; 2]]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let says = |command: &[&str]| {
            let output = Command::new(binary()).current_dir(&home).args(command).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        let named = [
            "init",
            "--programme",
            programme,
            "--name",
            "issuer.example",
            "--origin",
            "respite.example",
            "--mode",
        ];
        says(&[&named, mode].concat());
        let keys = ["now", "next"].iter().zip(periods).map(|(period, days)| {
            let [first, last] = days.map(|days| day(now, days));
            let command =
                ["key", "make", "--period", period, "--passes", "3", "--first", &first, "--last", &last];
            let shown = says(&command);
            let spki =
                shown.lines().find_map(|line| line.strip_prefix("public key")).expect("a key is shown");
            BASE64.decode(spki.trim().as_bytes()).unwrap()
        });
        let keys = keys.collect();
        let codes = if mode == CARDS {
            says(&["codes", "--count", "60", "--until", &day(now, periods[0][1])])
        } else {
            String::new()
        };
        let code = codes.lines().next().unwrap_or_default().to_owned();
        Self { home, keys, code }
    }

    async fn serve(&self, provider: &[&str]) -> Serving {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = fs::File::create(self.home.path().join("log")).unwrap();
        let mut serve = Command::new(binary());
        serve.current_dir(&self.home).args(["serve", "--listen", &address]).args(provider);
        let process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let serving = Serving { process, address };
        for _ in 0..600 {
            if tokio::net::TcpStream::connect(&serving.address).await.is_ok() {
                return serving;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the issuer does not listen: {}",
            fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
        );
    }
}

impl Serving {
    fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect_lazy()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program beside the folder this test was built into.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("respite-issuer");
    assert!(binary.exists(), "{} is missing: cargo build --package issuer", binary.display());
    binary
}
