//! The program as a flood meets it: whoever asks too much is told when to come back, and nobody else notices.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use api::v1::{
    self, alias_service_client::AliasServiceClient, directory_service_client::DirectoryServiceClient,
};
use client::{Client, Secret, SigningKey, request_id};
use futures_util::stream;
use http::StatusCode;
use http::header::RETRY_AFTER;
use http_body::Frame;
use http_body_util::StreamBody;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use tower::ServiceExt;

/// Where a flood comes from.
const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// And everybody else.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// After which a test that hangs is one that fails.
const HANGS: Duration = Duration::from_mins(1);

/// The program, serving.
struct Process {
    running: Child,
    address: SocketAddr,
    log: Option<JoinHandle<Vec<String>>>,
    _folder: TempDir,
}

/// It does not outlive a test that fails.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

impl Process {
    fn start(settings: &str, limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = format!(
            "listen = \"127.0.0.1:0\"\n{settings}\n[alias]\nproof_of_work_bits = 1\n\
             [telemetry]\nlog_format = \"text\"\n[limits]\n{limits}\n"
        );
        fs::write(folder.path().join("respite.toml"), settings).unwrap();
        let mut running = Command::new(env!("CARGO_BIN_EXE_respite"))
            .current_dir(folder.path())
            .args(["--config", "respite.toml", "serve"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(running.stderr.take().unwrap()).lines();
        let line = said.by_ref().map(Result::unwrap).find(|line| line.contains("listening ")).unwrap();
        let address = line.split("address=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let log = std::thread::spawn(move || said.map_while(Result::ok).collect());
        Self { running, address, log: Some(log), _folder: folder }
    }

    /// A connection of its own from this address.
    async fn connect(&self, from: IpAddr) -> Result<Channel, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        endpoint.local_address(Some(from)).connect().await
    }

    /// Nobody in particular, over such a connection.
    async fn anybody(&self, from: IpAddr) -> Client {
        Client::over(self.connect(from).await.unwrap())
    }

    async fn socket(&self, from: IpAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Whatever was logged after it began to listen; it ends with that.
    fn log(mut self) -> Vec<String> {
        self.running.kill().unwrap();
        self.log.take().unwrap().join().unwrap()
    }
}

/// Without a device's patience.
async fn list(channel: &Channel) -> Result<(), Status> {
    let mut directory = DirectoryServiceClient::new(channel.clone());
    directory.list_specializations(v1::ListSpecializationsRequest::default()).await.map(drop)
}

/// Calls until it is refused: how many were answered, and how long to wait.
async fn until_refused(mut call: impl AsyncFnMut() -> Result<(), Status>) -> (usize, Duration) {
    let mut answered = 0;
    loop {
        match call().await {
            Err(refused) if refused.code() == Code::ResourceExhausted => return (answered, wait(&refused)),
            _ => answered += 1,
        }
        assert!(answered < 10_000, "nothing is refused");
    }
}

/// How long the refused are told to wait.
#[track_caller]
fn wait(refused: &Status) -> Duration {
    let details = refused.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((refused.code(), info.reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert_eq!((info.domain.as_str(), info.metadata.len()), ("respite", 0));
    details.retry_info().unwrap().retry_delay.unwrap()
}

/// Whoever asks again is let in by the time that was told.
async fn check_let_in_after(wait: Duration, mut call: impl AsyncFnMut() -> Result<(), Status>) {
    let told = Instant::now() + wait;
    loop {
        let begun = Instant::now();
        match call().await {
            Ok(()) => return,
            Err(refused) => assert!(begun < told, "{refused:?}"),
        }
    }
}

#[tokio::test]
async fn a_flood_from_one_network_stops_no_other() {
    let process = Process::start("", "anonymous_calls_per_minute = 120");
    let [flood, other] = [process.connect(FLOOD).await.unwrap(), process.connect(OTHERS).await.unwrap()];
    let key = Secret::generate().login_key();
    let device = Client::over(flood.clone());
    device.create_alias(&key).await.unwrap();
    let worker = device.login(key.clone()).await.unwrap();

    let (answered, wait) = until_refused(async || list(&flood).await).await;
    // Four of the calls made the worker's alias and its login.
    assert!(answered >= 116, "{answered}");
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
    for _ in 0..100 {
        list(&other).await.unwrap();
    }

    // From the same network, who is known is answered, and whom to call at once is told to everybody.
    until_refused(async || list(&flood).await).await;
    for _ in 0..100 {
        worker.alias().get_alias(v1::GetAliasRequest {}).await.unwrap();
        device.directory().list_crisis_resources(v1::ListCrisisResourcesRequest::default()).await.unwrap();
    }

    // Nothing makes somebody better known but a token that holds.
    let (_, wait) = until_refused(async || list(&flood).await).await;
    check_let_in_after(wait, async || list(&flood).await).await;
    // A device waits such a moment by itself, and signs in amid a flood.
    until_refused(async || list(&flood).await).await;
    device.directory().list_specializations(v1::ListSpecializationsRequest::default()).await.unwrap();
    until_refused(async || list(&flood).await).await;
    device.login(key.clone()).await.unwrap();
    let (_, wait) = until_refused(async || begin_login(&flood, &key).await).await;
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
    let stranger = process.connect(FLOOD).await.unwrap();
    until_refused(async || with_header(&stranger, "x-forwarded-for", "198.51.100.7").await).await;
    let token = format!("Bearer ct1_{}", "A".repeat(43));
    until_refused(async || with_header(&stranger, "authorization", &token).await).await;

    let told = process.log().into_iter().filter(|line| line.contains(&FLOOD.to_string()));
    assert_eq!(told.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Asks for a profile that is not there; a refusal that says so is an answer.
async fn with_header(channel: &Channel, name: &'static str, value: &str) -> Result<(), Status> {
    let mut request = Request::new(v1::GetTherapistRequest::default());
    request.metadata_mut().insert(name, value.parse().unwrap());
    DirectoryServiceClient::new(channel.clone()).get_therapist(request).await.map(drop)
}

async fn begin_login(channel: &Channel, key: &SigningKey) -> Result<(), Status> {
    let public_key = key.verifying_key().to_bytes().to_vec();
    AliasServiceClient::new(channel.clone()).begin_login(v1::BeginLoginRequest { public_key }).await.map(drop)
}

#[tokio::test]
async fn a_page_in_a_browser_is_told_too() {
    let page = "http://localhost:5173";
    let process =
        Process::start(&format!("[web]\nallowed_origins = [\"{page}\"]"), "anonymous_calls_per_minute = 2");
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut stream = process.socket(FLOOD).await;
        let call = format!(
            "POST /respite.v1.DirectoryService/ListSpecializations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/grpc-web+proto\r\norigin: {page}\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0"
        );
        stream.write_all(call.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answers.push(String::from_utf8_lossy(&answer).into_owned());
    }
    assert!(answers[..2].iter().all(|answer| answer.contains("grpc-status:0")), "{answers:?}");
    let refused = &answers[2];
    for header in ["grpc-status: 8\r\n", "grpc-status-details-bin: ", "access-control-allow-origin: "] {
        assert!(refused.contains(header), "{refused}");
    }
}

/// Whose addresses are guessed at is nobody that is known, over whatever protocol.
#[tokio::test]
async fn a4_guesses_at_calendars_are_calls_of_their_network() {
    let process = Process::start("", "anonymous_calls_per_minute = 60");
    let guess = format!("/calendars/{}/sessions.ics", "A".repeat(22));
    let flood = process.connect(FLOOD).await.unwrap();
    let mut answered = 0;
    let refused = loop {
        let answer = get(&flood, &guess).await;
        if answer.status() != StatusCode::NOT_FOUND {
            break answer;
        }
        answered += 1;
        assert!(answered < 10_000, "nothing is refused");
    };
    assert!(answered >= 60, "{answered}");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    until_refused(async || list(&flood).await).await;
    let other = process.connect(OTHERS).await.unwrap();
    assert_eq!(get(&other, &guess).await.status(), StatusCode::NOT_FOUND);
    let told = process.log().into_iter().filter(|line| line.contains("ERROR"));
    assert_eq!(told.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn a4_a_calendar_takes_a_turn_of_its_connection() {
    let process = Process::start("", "requests_per_connection = 1\nanonymous_calls_per_minute = 1000000");
    let channel = process.connect(OTHERS).await.unwrap();
    let drips = Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>()));
    let call = http::Request::post("/respite.v1.DirectoryService/ListSpecializations")
        .header("content-type", "application/grpc")
        .body(drips);
    let dripping = tokio::spawn(send(&channel, call.unwrap()));
    let until = async |status| {
        let begun = Instant::now();
        while get(&channel, "/calendars/x").await.status() != status {
            assert!(begun.elapsed() < HANGS, "{status}");
        }
    };
    until(StatusCode::TOO_MANY_REQUESTS).await;
    let elsewhere = process.connect(OTHERS).await.unwrap();
    assert_eq!(get(&elsewhere, "/calendars/x").await.status(), StatusCode::NOT_FOUND);
    dripping.abort();
    until(StatusCode::NOT_FOUND).await;
}

async fn get(channel: &Channel, path: &str) -> http::Response<Body> {
    send(channel, http::Request::get(path).body(Body::empty()).unwrap()).await
}

fn send(
    channel: &Channel,
    request: http::Request<Body>,
) -> impl Future<Output = http::Response<Body>> + use<> {
    let answer = channel.clone().oneshot(request);
    async { answer.await.unwrap() }
}

#[tokio::test]
async fn what_one_worker_asks_too_often_another_may_ask() {
    let process =
        Process::start("", "searches_per_minute = 4\nholds_per_minute = 3\nimports_per_minute = 2\n");
    let anybody = process.anybody(OTHERS).await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let key = Secret::generate().login_key();
        anybody.create_alias(&key).await.unwrap();
        workers.push(anybody.login(key).await.unwrap());
    }
    let [one, other] = <[Client; 2]>::try_from(workers).unwrap();

    let (answered, wait) = until_refused(async || search(&one).await).await;
    assert!(answered >= 4 && wait <= Duration::from_secs(15), "{answered} {wait:?}");
    search(&other).await.unwrap();
    let (answered, wait) = until_refused(async || hold(&one).await).await;
    assert!(answered >= 3 && wait <= Duration::from_secs(20), "{answered} {wait:?}");
    assert_eq!(hold(&other).await.unwrap_err().code(), Code::InvalidArgument);
    // One search more or less is not asked of whoever has used up something else.
    one.alias().get_alias(v1::GetAliasRequest {}).await.unwrap();

    let mut day = 0;
    let (answered, _) = until_refused(async || {
        day += 1;
        import(&one, day).await
    })
    .await;
    import(&other, 1).await.unwrap();
    // What was refused was not done.
    let kept = one.roster().get_roster(v1::GetRosterRequest::default()).await.unwrap().into_inner();
    let published = kept.roster.unwrap().publish_date.unwrap();
    assert_eq!(usize::try_from(published.day).unwrap(), answered);
    assert_eq!(i32::try_from(answered).unwrap(), day - 1);
}

async fn search(client: &Client) -> Result<(), Status> {
    let now = services::Clock::System.now().timestamp();
    let [start_time, end_time] =
        [now, now + 86_400].map(|seconds| Some(prost_types::Timestamp { seconds, nanos: 0 }));
    let window = Some(v1::Span { start_time, end_time });
    client.slots().search_slots(v1::SearchSlotsRequest { window, ..Default::default() }).await.map(drop)
}

async fn hold(client: &Client) -> Result<(), Status> {
    client.bookings().hold_slot(v1::HoldSlotRequest::default()).await.map(drop)
}

/// A roster without shifts, published until this day of a month.
async fn import(client: &Client, day: i32) -> Result<(), Status> {
    let request = v1::ImportRosterRequest {
        request_id: request_id(),
        source: Some(v1::import_roster_request::Source::ShiftList(v1::ShiftList::default())),
        time_zone: "Europe/Berlin".to_owned(),
        publish_date: Some(api::google::r#type::Date { year: 2027, month: 1, day }),
        on_call: false,
    };
    client.roster().import_roster(request).await.map(drop)
}

#[tokio::test]
async fn connections_of_one_network_leave_room_for_others() {
    let process = Process::start("", "connections = 4\nconnections_per_network = 2");
    let mut flood = vec![process.connect(FLOOD).await.unwrap(), process.connect(FLOOD).await.unwrap()];
    for channel in &flood {
        list(channel).await.unwrap();
    }
    // Many more are closed before a word is said, and take nobody's place.
    for _ in 0..20 {
        let mut beyond = process.socket(FLOOD).await;
        let _ = beyond.write_all(PREFACE).await;
        let said = timeout(HANGS, beyond.read(&mut [0; 16])).await.unwrap();
        assert_eq!(said.unwrap_or(0), 0);
    }
    list(&process.connect(OTHERS).await.unwrap()).await.unwrap();
    for channel in &flood {
        list(channel).await.unwrap();
    }
    // When one leaves, another may come.
    flood.pop();
    let begun = Instant::now();
    loop {
        if let Ok(channel) = process.connect(FLOOD).await
            && list(&channel).await.is_ok()
        {
            break;
        }
        assert!(begun.elapsed() < HANGS);
    }
    let told = process.log().into_iter().filter(|line| line.contains(&FLOOD.to_string()));
    assert_eq!(told.collect::<Vec<_>>(), Vec::<String>::new());
}

/// How HTTP/2 begins, with settings that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn behind_a_proxy_nothing_is_limited_by_network() {
    let process = Process::start(
        "behind_tls_proxy = true",
        "connections_per_network = 1\nanonymous_calls_per_minute = 1",
    );
    let connect = async || process.connect(FLOOD).await.unwrap();
    let channels = [connect().await, connect().await, connect().await];
    for channel in channels.iter().cycle().take(30) {
        list(channel).await.unwrap();
    }
}
