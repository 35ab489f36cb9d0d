//! A hospital with its issuer, workers with their devices, and the log of keys that all of them read.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api::issuer::v1::{
    GetOfferRequest, GetOfferResponse, IssuePassesRequest, issuer_service_client::IssuerServiceClient,
};
use chrono::{DateTime, Days, NaiveDate, Utc};
use issuer::code::{self, Code};
use issuer::period::{self, Period, Terms};
use issuer::roster::{self, Imported, Roster};
use issuer::scim::{self, StaffNumber};
use issuer::serve::Front;
use issuer::{App, Clock, Desk, Error, Identity, Logins, Mode, parse_day};
use pass::{
    BlindSignature, Directory, KeyId, KeyRecord, KeyState, PendingToken, ProgrammeId, PublicKey, Schedule,
    Token, TokenChallenge, origin,
};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code as Grpc, Status};
use tonic_types::StatusExt;

use crate::scim::Provider;

pub(crate) const PASSES: u32 = 3;
pub(crate) const PROGRAMME: uuid::Uuid = uuid::Uuid::from_u128(0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f);

pub(crate) struct World {
    folder: TempDir,
    pub(crate) app: App,
    clock: Arc<AtomicI64>,
    log: Directory,
}

/// An issuer that serves until it is dropped or stopped.
pub(crate) struct Serving {
    pub(crate) client: IssuerServiceClient<Channel>,
    pub(crate) address: String,
    scim: String,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl World {
    /// On 1 October 2026, with a key that signs in the fourth quarter of 2026.
    pub(crate) async fn new(mode: Mode) -> Self {
        let mut world = Self::without_period(mode).await;
        world.period("2026-Q4", "2026-10-01", "2027-01-01").await;
        world
    }

    /// With so many workers named N-0, N-1, and on.
    pub(crate) async fn with_roster(workers: usize) -> Self {
        let world = Self::new(Mode::Roster).await;
        world.import(&roster(0..workers)).await.unwrap();
        world
    }

    pub(crate) async fn without_period(mode: Mode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(AtomicI64::new(0));
        let home = folder.path().join("issuer");
        let app = App::create(&home, &identity(mode), Clock::Manual(Arc::clone(&clock))).await.unwrap();
        let world = Self { folder, app, clock, log: Directory::default() };
        world.is("2026-10-01");
        world
    }

    /// Moves to what the machine's clock says.
    pub(crate) fn is_now(&self) {
        self.clock.store(Clock::System.now().timestamp(), Ordering::SeqCst);
    }

    /// Moves to noon of a day.
    pub(crate) fn is(&self, day: &str) {
        self.clock.store(instant(day) + 12 * 60 * 60, Ordering::SeqCst);
    }

    /// Moves to a moment.
    pub(crate) fn is_at(&self, at: &str) {
        self.clock.store(at.parse::<DateTime<Utc>>().unwrap().timestamp(), Ordering::SeqCst);
    }

    /// The key that signs now, as the log has it.
    pub(crate) fn listed(&self) -> Option<KeyId> {
        let active = |record: &&KeyRecord| record.state(self.now()) == KeyState::Active;
        self.log.records().find(active).map(|record| record.key.id())
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("issuer")
    }

    /// Makes a period whose key signs in these days, and has it published.
    pub(crate) async fn period(&mut self, name: &str, from: &str, until: &str) -> Period {
        self.make(name, terms(from, until)).await
    }

    /// Makes a period, and has its key published.
    pub(crate) async fn make(&mut self, name: &str, terms: Terms) -> Period {
        let period = period::make(&self.app, name.parse().unwrap(), terms).await.unwrap();
        let key = period::key(&self.app, &period).unwrap().public_key().clone();
        let challenge = self.app.identity().challenge().unwrap();
        publish(&mut self.log, name, challenge, period.terms, period.terms.publish_by(), key);
        period
    }

    pub(crate) async fn import(&self, csv: &str) -> Result<Imported, Error> {
        roster::import(&self.app, &Roster::parse(csv.as_bytes()).unwrap(), false).await
    }

    pub(crate) async fn code(&self, employee_id: &str) -> Code {
        let list = Roster::parse(format!("{HEADER}{employee_id},2026-01-01,\n").as_bytes()).unwrap();
        let mut made = code::make_for_roster(&self.app, &list, true).await.unwrap();
        assert_eq!((made.len(), &*made[0].employee_id), (1, employee_id));
        made.remove(0).code
    }

    pub(crate) async fn cards(&self, count: u32, until: &str) -> Vec<Code> {
        code::make_cards(&self.app, count, parse_day(until).unwrap()).await.unwrap()
    }

    /// Another process, as it were: it opens the folder by itself.
    pub(crate) async fn serve(&self) -> Serving {
        self.serve_with(None).await
    }

    /// The same where workers may sign in.
    pub(crate) async fn serve_with(&self, logins: Option<Logins>) -> Serving {
        let app = App::open(&self.home(), Clock::Manual(Arc::clone(&self.clock))).await.unwrap();
        let workers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scim = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [address, scim_address] =
            [&workers, &scim].map(|socket| socket.local_addr().unwrap().to_string());
        let origins = vec!["https://app.example.org".parse().unwrap()];
        let front = Front { workers, scim: Some(scim), origins, tls: None };
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            let desk = Arc::new(Desk::new(app, logins).unwrap());
            issuer::serve::serve(desk, front, stopped).await.unwrap();
        });
        let client = IssuerServiceClient::connect(format!("http://{address}")).await.unwrap();
        Serving { client, address, scim: scim_address, stop, ended }
    }

    /// A device that blinds under the key that is offered, if the log lists it.
    pub(crate) fn batch(&self, code: &Code, offer: &GetOfferResponse) -> Batch {
        let key_id: [u8; 32] = offer.key_id[..].try_into().unwrap();
        self.batch_under(code, KeyId::from(key_id), offer.passes)
    }

    pub(crate) fn batch_under(&self, code: &Code, key_id: KeyId, passes: u32) -> Batch {
        Batch::new(&self.log, &code.to_text(), key_id, passes, self.now())
    }

    /// Spends all tokens at the booking side, which takes each of them once.
    pub(crate) fn redeem(&self, tokens: &[Token]) {
        let mut nullifiers = std::collections::HashSet::new();
        for token in tokens {
            let redeemed = origin::redeem(&self.log, &token.to_bytes(), self.now()).unwrap();
            assert_eq!(redeemed.key.programme.0, *PROGRAMME.as_bytes());
            assert!(nullifiers.insert(redeemed.nullifier));
        }
    }

    /// A connection of somebody who goes around the program.
    pub(crate) async fn database(&self) -> SqliteConnection {
        let file = format!("sqlite://{}", self.home().join("issuer.db").display());
        SqliteConnection::connect(&file).await.unwrap()
    }

    /// The database as a thief finds it: one file, and no log beside it.
    pub(crate) fn bytes_on_disk(&self) -> Vec<u8> {
        let mut names: Vec<_> =
            fs::read_dir(self.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["issuer.db", "issuer.secret", "keys"]);
        fs::read(self.home().join("issuer.db")).unwrap()
    }
}

/// Passes that a device waits for.
pub(crate) struct Batch {
    client: pass::Client,
    pending: Vec<PendingToken>,
    pub(crate) request: IssuePassesRequest,
}

impl Batch {
    pub(crate) fn new(log: &Directory, code: &str, key_id: KeyId, passes: u32, now: i64) -> Self {
        let programme = ProgrammeId(*PROGRAMME.as_bytes());
        let client = pass::Client::new(log, programme, key_id, now).unwrap();
        let pending: Vec<_> = (0..passes).map(|_| client.blind()).collect();
        let blinded = |pending: &PendingToken| pending.request().blinded_message.as_bytes().to_vec();
        let request = IssuePassesRequest {
            activation_code: code.to_owned(),
            key_id: key_id.as_bytes().to_vec(),
            blinded_messages: pending.iter().map(blinded).collect(),
            login: None,
        };
        Self { client, pending, request }
    }

    /// What becomes of an answer: passes, each of which is good.
    pub(crate) fn finalize(&self, blind_signatures: &[Vec<u8>]) -> Vec<Token> {
        assert_eq!(blind_signatures.len(), self.pending.len());
        let finalize = |(pending, signature): (&PendingToken, &Vec<u8>)| {
            self.client.finalize(pending, &BlindSignature::try_from(&signature[..]).unwrap()).unwrap()
        };
        self.pending.iter().zip(blind_signatures).map(finalize).collect()
    }
}

impl Serving {
    /// What the identity provider calls by, with a token that was just made.
    pub(crate) async fn provider(&self, world: &World, staff_number: StaffNumber) -> Provider {
        let token = scim::make_token(&world.app, staff_number).await.unwrap();
        Provider::new(&self.scim, &token)
    }

    pub(crate) async fn offer(&self) -> Result<GetOfferResponse, Status> {
        Ok(self.client.clone().get_offer(GetOfferRequest {}).await?.into_inner())
    }

    pub(crate) async fn issue(&self, request: &IssuePassesRequest) -> Result<Vec<Vec<u8>>, Status> {
        Ok(self.client.clone().issue_passes(request.clone()).await?.into_inner().blind_signatures)
    }

    pub(crate) async fn stop(self) {
        drop(self.client);
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

/// What the operator of Respite does with what `key show` prints.
pub(crate) fn publish(
    log: &mut Directory,
    period: &str,
    challenge: TokenChallenge,
    terms: Terms,
    on: NaiveDate,
    key: PublicKey,
) {
    let midnight = |day: NaiveDate| instant(&day.to_string());
    let paid = midnight(terms.first)..midnight(terms.last + Days::new(1));
    let schedule = Schedule::paying(paid, midnight(on));
    let (programme, period) = (ProgrammeId(*PROGRAMME.as_bytes()), pass::Period::new(period).unwrap());
    log.publish(&KeyRecord { programme, period, challenge, schedule, key }).unwrap();
}

#[track_caller]
pub(crate) fn check_refused<T>(answer: Result<T, Status>, code: Grpc, reason: &str) -> Status {
    let status = answer.err().expect("a refusal");
    let details = status.get_error_details();
    let told = details.error_info().map(|info| (&*info.domain, &*info.reason));
    assert_eq!((status.code(), told), (code, Some(("respite", reason))), "{status:?}");
    status
}

pub(crate) const HEADER: &str = "employee_id,active_from,active_until\n";

/// Workers named by numbers, without an end.
pub(crate) fn roster(numbers: impl Iterator<Item = usize>) -> String {
    let mut csv = HEADER.to_owned();
    for number in numbers {
        writeln!(csv, "N-{number},2026-01-01,").unwrap();
    }
    csv
}

pub(crate) fn identity(mode: Mode) -> Identity {
    let [name, origin] = ["issuer.hospital.example", "respite.example"].map(str::to_owned);
    Identity { programme: PROGRAMME, name, origin, mode }
}

/// Of a period whose key signs from one day to before the other: it pays from two weeks later on.
pub(crate) fn terms(from: &str, until: &str) -> Terms {
    let [first, end] = [from, until].map(|day| parse_day(day).unwrap() + Days::new(14));
    Terms { passes: PASSES, first, last: end - Days::new(1), small: false }
}

fn instant(day: &str) -> i64 {
    parse_day(day).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp()
}
