//! The server's socket as clients meet it: what it refuses, what it tells, and how it ends.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::SocketAddr;

use http::HeaderValue;
use server::config::{Config, Limits, Origin};
use server::serve::{Front, ServeError, serve};
use server::{health, open, zones};
use services::SERVICE_NAMES;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_types::StatusExt;

/// A server on an empty database.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ServeError>>,
    _files: TempDir,
}

async fn start(change: impl FnOnce(&mut Front)) -> Running {
    let files = tempfile::tempdir().unwrap();
    let database = files.path().join("respite.db");
    let settings = format!("[database]\nurl = \"sqlite://{}\"", database.display());
    let app = open::open(&Config::parse("test", &settings).unwrap()).await.unwrap();
    let mut front = Front {
        app,
        tls: None,
        staff: None,
        origins: Vec::new(),
        limits: Limits::default(),
        behind_proxy: false,
    };
    change(&mut front);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(serve(front, listener, async {
        let _ = stopped.await;
    }));
    Running { address, stop, ended, _files: files }
}

impl Running {
    async fn health(&self) -> HealthClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        HealthClient::new(endpoint.connect().await.unwrap())
    }

    /// Waits until `service` serves, as a load balancer would.
    async fn serves(&self, service: &str) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let mut told = self.health().await.watch(request).await.unwrap().into_inner();
        while told.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    }

    /// Posts `body` by HTTP/1.1 as a browser does, and gives the whole answer.
    async fn post(&self, path: &str, headers: &str, body: &[u8]) -> String {
        let head = format!("content-length: {}\r\n{headers}", body.len());
        self.exchange(&format!("POST {path} HTTP/1.1\r\n"), &head, body).await
    }

    async fn exchange(&self, start: &str, headers: &str, body: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "{start}host: localhost\r\nconnection: close\r\ncontent-type: application/grpc-web+proto\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

const PAGE: &str = "https://app.example.org";
const EMPTY_MESSAGE: [u8; 5] = [0; 5];
const CHECK: &str = "/grpc.health.v1.Health/Check";

#[tokio::test]
async fn each_service_and_the_whole_serve() {
    let server = start(|_| {}).await;
    for service in SERVICE_NAMES.into_iter().chain([""]) {
        server.serves(service).await;
    }
    let unknown = HealthCheckRequest { service: "respite.v1.NoSuchService".to_owned() };
    assert_eq!(server.health().await.check(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn t6_the_health_service_tells_the_zone_rules() {
    let server = start(|_| {}).await;
    server.serves("").await;
    let version = zones::load(None).unwrap().in_force.version().to_owned();
    let answer = server.health().await.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.metadata().get("respite-zone-rules").unwrap(), version.as_str());
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    assert_eq!(health::ask(endpoint).await.unwrap(), version);
}

#[tokio::test]
async fn a_server_says_that_it_stops_and_then_stops() {
    let server = start(|_| {}).await;
    server.serves("").await;
    let mut told = server.health().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    server.stop.send(()).unwrap();
    assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(told.message().await.unwrap().is_none());
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_database_that_lacks_steps_is_not_served() {
    use migrations::{Migrator, MigratorTrait};

    let mut db = None;
    let server = start(|front| db = Some(front.app.db.clone())).await;
    server.serves("").await;
    let mut told = server.health().await.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    Migrator::down(db.unwrap().read(), Some(1)).await.unwrap();
    assert_eq!(told.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn pages_on_the_list_may_call_and_others_may_not() {
    let allowed = PAGE;
    let server = start(|front| front.origins = vec![Origin::try_from(allowed.to_owned()).unwrap()]).await;
    server.serves("").await;

    let answer = server.post(CHECK, &format!("origin: {allowed}\r\n"), &EMPTY_MESSAGE).await;
    assert!(answer.contains(&format!("access-control-allow-origin: {allowed}\r\n")), "{answer}");
    assert!(answer.contains("grpc-status:0"), "{answer}");

    let answer = server.post(CHECK, "origin: https://elsewhere.example.org\r\n", &EMPTY_MESSAGE).await;
    assert!(!answer.contains("access-control-allow-origin"), "{answer}");

    let preflight = format!(
        "origin: {allowed}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: authorization,content-type,x-grpc-web\r\n"
    );
    let answer = server.exchange(&format!("OPTIONS {CHECK} HTTP/1.1\r\n"), &preflight, b"").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("authorization"), "{answer}");
}

#[cfg(not(feature = "reflection"))]
#[tokio::test]
async fn reflection_is_not_built_in() {
    let server = start(|_| {}).await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = server.post(&path, "", &EMPTY_MESSAGE).await;
        assert!(answer.contains("grpc-status: 12"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_not_grpc_is_refused_on_http_1() {
    let server = start(|_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn a4_a_calendar_is_asked_for_without_grpc_and_what_is_not_there_is_not_told_apart() {
    let server = start(|_| {}).await;
    let mut answers = Vec::new();
    for path in ["x", "", "AAAAAAAAAAAAAAAAAAAAAA/sessions.ics", "AAAAAAAAAAAAAAAAAAAAAA/open-time.ics?x=1"] {
        let answer = server.exchange(&format!("GET /calendars/{path} HTTP/1.1\r\n"), "", &[]).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert!(answer.contains("cache-control: private, no-cache"), "{answer}");
        let undated = answer.lines().filter(|line| !line.starts_with("date:"));
        answers.push(undated.map(str::to_owned).collect::<Vec<_>>());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let server = start(|_| {}).await;
    let service = "x".repeat(2 * 1024);
    let refused = server.health().await.check(HealthCheckRequest { service }).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let server = start(|_| {}).await;
    let mut health = server.health().await;
    let ask = |bytes: usize| {
        let mut request = Request::new(HealthCheckRequest::default());
        let filler = HeaderValue::try_from("x".repeat(bytes)).unwrap();
        request.metadata_mut().as_mut().insert("filler", filler);
        request
    };
    health.check(ask(7 * 1024)).await.unwrap();
    let refused: Status = health.check(ask(9 * 1024)).await.unwrap_err();
    assert_ne!(refused.code(), Code::Ok);
    // The connection and the server survive it.
    health.check(ask(10)).await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up() {
    let server = start(|front| {
        front.limits.request_seconds = 1.try_into().unwrap();
        front.origins = vec![Origin::try_from(PAGE.to_owned()).unwrap()];
    })
    .await;
    // A body of 100 bytes is announced, and five of them come.
    let headers = format!("content-length: 100\r\norigin: {PAGE}\r\n");
    let answer = server.exchange(&format!("POST {CHECK} HTTP/1.1\r\n"), &headers, &EMPTY_MESSAGE).await;
    assert!(answer.contains("grpc-status: 4\r\n"), "{answer}");
    assert!(answer.contains("grpc-status-details-bin: "), "{answer}");
    // A page may read it.
    assert!(answer.contains(&format!("access-control-allow-origin: {PAGE}\r\n")), "{answer}");
}

#[tokio::test]
async fn calls_beyond_the_limit_of_a_connection_are_refused() {
    let server = start(|front| front.limits.requests_per_connection = 1.try_into().unwrap()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut stuck = tonic::client::Grpc::new(channel.clone());
    stuck.ready().await.unwrap();
    let never_ends = stuck.client_streaming::<_, _, HealthCheckResponse, _>(
        Request::new(futures_util::stream::pending::<HealthCheckRequest>()),
        http::uri::PathAndQuery::from_static(CHECK),
        tonic_prost::ProstCodec::default(),
    );
    let mut health = HealthClient::new(channel);
    let second = health.check(HealthCheckRequest::default());
    tokio::select! {
        biased;
        _ = never_ends => panic!("a request without an end was answered"),
        refused = second => {
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted);
            let details = refused.get_error_details();
            assert_eq!(details.error_info().unwrap().reason, "OVERLOADED");
            assert!(details.retry_info().is_some());
        }
    }
    health.check(HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn tls_is_spoken_with_a_certificate_and_plain_text_is_not() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls");
    let tls = open::tls(&server::config::TlsSettings {
        certificate: format!("{directory}/certificate.pem").into(),
        key: format!("{directory}/key.pem").into(),
    });
    let server = start(|front| front.tls = Some(tls.unwrap())).await;
    let authority = Certificate::from_pem(std::fs::read(format!("{directory}/ca.pem")).unwrap());
    let endpoint = Endpoint::from_shared(format!("https://{}", server.address))
        .unwrap()
        .tls_config(ClientTlsConfig::new().ca_certificate(authority).domain_name("localhost"))
        .unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    health.check(HealthCheckRequest::default()).await.unwrap();

    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
