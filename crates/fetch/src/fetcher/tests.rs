//! Hostile servers (A1, S1): every one is a real listener that speaks TLS, or refuses to.

use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Mutex,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncWriteExt, copy, sink},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, pause, resume, sleep},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{HandshakeKind, ServerConfig, pki_types::PrivateKeyDer},
    server::TlsStream,
};

use super::*;
use crate::network::staged::{REFUSING, SILENT, Stage};

const HOST_NAME: &str = "feeds.example.com";
const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14));
const LOOPBACK: IpAddr = IpAddr::V4(LOCALHOST);
const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

const CALENDAR: &str = "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n";

/// A fetcher, the network it believes in, and the server at the end of it.
struct World {
    fetcher: Fetcher,
    stage: Arc<Stage>,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl World {
    async fn new() -> Self {
        Self::finding([vec![PUBLIC]]).await
    }

    /// What the lookups find, one after the other. The server holds a trusted certificate for [`HOST_NAME`].
    async fn finding(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Self {
        Self::with(answers, HOST_NAME, true).await
    }

    async fn with(answers: impl IntoIterator<Item = Vec<IpAddr>>, certified: &str, is_trusted: bool) -> Self {
        let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let stage = Arc::new(Stage {
            answers: Mutex::new(answers.into_iter().collect()),
            listener: listener.local_addr().unwrap(),
            looked_up: Mutex::default(),
            dialled: Mutex::default(),
        });

        let (authority, stranger) = (authority(), authority());
        let mut roots = RootCertStore::empty();
        roots.add(if is_trusted { &authority } else { &stranger }.der().clone()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([certified.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        Self {
            fetcher: Fetcher::through(Network::Staged(stage.clone()), roots),
            stage,
            listener,
            acceptor: TlsAcceptor::from(Arc::new(config)),
        }
    }

    /// One fetch, while the server does what it is told with the connection it gets.
    async fn get(&self, serve: impl AsyncFnOnce(TlsStream<TcpStream>) -> io::Result<()>) -> Outcome {
        self.get_if_changed(None, serve).await
    }

    async fn get_if_changed(
        &self,
        validator: Option<&Validator>,
        serve: impl AsyncFnOnce(TlsStream<TcpStream>) -> io::Result<()>,
    ) -> Outcome {
        self.get_bare(validator, async |stream| serve(self.acceptor.accept(stream).await?).await).await
    }

    /// The same below TLS.
    async fn get_bare(
        &self,
        validator: Option<&Validator>,
        serve: impl AsyncFnOnce(TcpStream) -> io::Result<()>,
    ) -> Outcome {
        let url = format!("https://{HOST_NAME}/cal.ics?token=1").parse().unwrap();
        let serve = async {
            // An error here is the client hanging up, which a hostile server must expect.
            if let Ok((stream, _)) = self.listener.accept().await {
                let _ = serve(stream).await;
            }
            pending::<()>().await;
        };
        tokio::select! {
            outcome = self.fetcher.get(&url, validator) => outcome.map_err(|error| error.cause),
            () = serve => unreachable!("a server that has served waits"),
        }
    }

    fn dialled(&self) -> Vec<SocketAddr> {
        self.stage.dialled.lock().unwrap().clone()
    }
}

type Outcome = Result<Fetched, Cause>;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Reads the head of the request.
async fn hear(stream: &mut TlsStream<TcpStream>) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// Hears the request, says this and hangs up as TLS wants it.
async fn say(mut stream: TlsStream<TcpStream>, answer: &[u8]) -> io::Result<()> {
    hear(&mut stream).await?;
    stream.write_all(answer).await?;
    stream.shutdown().await
}

/// Hears the request, says the head, and then the rest until nobody listens.
async fn say_forever(mut stream: TlsStream<TcpStream>, head: &str, rest: &[u8]) -> io::Result<()> {
    hear(&mut stream).await?;
    stream.write_all(head.as_bytes()).await?;
    loop {
        stream.write_all(rest).await?;
    }
}

#[track_caller]
fn check(outcome: &Outcome, expected: Result<&str, Cause>, about: &str) {
    let body = match outcome {
        Ok(Fetched::Calendar { bytes, .. }) => Ok(str::from_utf8(bytes).unwrap()),
        Ok(Fetched::Unchanged) => Ok("unchanged"),
        Err(cause) => Err(*cause),
    };
    assert_eq!(body, expected, "{about}");
}

async fn check_answer(answer: &str, expected: Result<&str, Cause>) {
    let outcome = World::new().await.get(async |stream| say(stream, answer.as_bytes()).await).await;
    check(&outcome, expected, answer);
}

/// A whole answer of this status and with these headers.
fn answer(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{CALENDAR}", CALENDAR.len())
}

#[tokio::test]
async fn a_calendar_is_fetched_and_the_request_names_nobody() {
    let world = World::new().await;
    let mut heard = String::new();
    let outcome = world
        .get(async |mut stream| {
            heard = hear(&mut stream).await?;
            stream.write_all(answer("200 OK", "Content-Type: text/calendar\r\n").as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
    check(&outcome, Ok(CALENDAR), "a calendar");
    assert_eq!(
        heard,
        "GET /cal.ics?token=1 HTTP/1.1\r\nhost: feeds.example.com\r\naccept: text/calendar, */*;q=0.1\r\n\
         accept-encoding: identity\r\nconnection: close\r\nuser-agent: calendar\r\n\r\n"
    );
    assert_eq!(world.dialled(), [SocketAddr::new(PUBLIC, 443)]);
}

#[tokio::test]
async fn an_unchanged_calendar_is_not_sent_again() {
    let world = World::new().await;
    let outcome = world
        .get(async |stream| {
            say(stream, answer("200 OK", "Content-Type: text/calendar\r\nETag: \"1\"\r\n").as_bytes()).await
        })
        .await;
    let Ok(Fetched::Calendar { validator: Some(validator), .. }) = outcome else { panic!("{outcome:?}") };

    let mut heard = String::new();
    let outcome = world
        .get_if_changed(Some(&validator), async |mut stream| {
            heard = hear(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 304 Not Modified\r\n\r\n").await
        })
        .await;
    check(&outcome, Ok("unchanged"), "unchanged");
    assert!(heard.contains("\r\nif-none-match: \"1\"\r\n"), "{heard}");

    check_answer("HTTP/1.1 304 Not Modified\r\n\r\n", Err(Cause::Redirect)).await;
}

#[tokio::test]
async fn nothing_is_kept_between_two_fetches() {
    let world = World::new().await;
    for _ in 0..2 {
        let mut heard = String::new();
        let mut handshake = None;
        let headers = "Content-Type: text/calendar\r\nSet-Cookie: who=you; Path=/\r\n";
        let outcome = world
            .get(async |mut stream| {
                handshake = stream.get_ref().1.handshake_kind();
                heard = hear(&mut stream).await?;
                stream.write_all(answer("200 OK", headers).as_bytes()).await?;
                stream.shutdown().await
            })
            .await;
        check(&outcome, Ok(CALENDAR), "a cookie");
        assert!(!heard.contains("cookie") && !heard.contains("authorization"), "{heard}");
        assert_eq!(handshake, Some(HandshakeKind::Full));
    }
}

#[tokio::test]
async fn only_public_addresses_are_connected_to() {
    for inward in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fd00:ec2::254"]
    {
        let inward: IpAddr = inward.parse().unwrap();
        for found in [vec![inward], vec![PUBLIC, inward], vec![inward, PUBLIC]] {
            let world = World::finding([found]).await;
            let outcome = world.get(async |_| Ok(())).await;
            check(&outcome, Err(Cause::Inward), &inward.to_string());
            assert_eq!(world.dialled(), []);
        }
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let world = World::finding([vec![PUBLIC], vec![LOOPBACK]]).await;
    let answer = answer("200 OK", "Content-Type: text/calendar\r\n");
    let outcome = world.get(async |stream| say(stream, answer.as_bytes()).await).await;
    check(&outcome, Ok(CALENDAR), "rebinding");
    assert_eq!(*world.stage.looked_up.lock().unwrap(), [HOST_NAME]);
    assert_eq!(world.dialled(), [SocketAddr::new(PUBLIC, 443)]);

    let outcome = world.get(async |stream| say(stream, answer.as_bytes()).await).await;
    check(&outcome, Err(Cause::Inward), "the next fetch judges anew");
    assert_eq!(world.dialled().len(), 1);
}

#[tokio::test]
async fn a_name_without_an_address_is_not_found() {
    check(&World::finding([]).await.get(async |_| Ok(())).await, Err(Cause::Name), "not found");
    check(&World::finding([vec![]]).await.get(async |_| Ok(())).await, Err(Cause::Name), "nothing found");
}

#[tokio::test]
async fn a_dead_address_leaves_the_turn_to_the_next() {
    let world = World::finding([vec![REFUSING, PUBLIC]]).await;
    let answer = answer("200 OK", "Content-Type: text/calendar\r\n");
    let outcome = world.get(async |stream| say(stream, answer.as_bytes()).await).await;
    check(&outcome, Ok(CALENDAR), "the second address");

    let many = World::finding([vec![REFUSING; 100]]).await;
    check(&many.get(async |_| Ok(())).await, Err(Cause::Connection), "nobody");
    assert_eq!(many.dialled().len(), 3);
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_name_the_host() {
    let stranger = World::with([vec![PUBLIC]], HOST_NAME, false).await;
    check(&stranger.get(async |_| Ok(())).await, Err(Cause::Encryption), "an untrusted authority");

    let other = World::with([vec![PUBLIC]], "other.example.com", true).await;
    check(&other.get(async |_| Ok(())).await, Err(Cause::Encryption), "another name");
}

#[tokio::test]
async fn what_does_not_encrypt_is_refused() {
    for greeting in
        [answer("200 OK", "Content-Type: text/calendar\r\n").as_str(), "SSH-2.0-OpenSSH_9.2\r\n", ""]
    {
        let outcome = World::new()
            .await
            .get_bare(None, async |mut stream| stream.write_all(greeting.as_bytes()).await)
            .await;
        check(&outcome, Err(Cause::Encryption), greeting);
    }
}

#[tokio::test]
async fn redirects_lead_nowhere() {
    for status in
        ["300 Multiple Choices", "301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
    {
        for location in ["http://127.0.0.1/", "https://169.254.169.254/latest/", "/elsewhere.ics", "//inner/"]
        {
            let world = World::finding([vec![PUBLIC]]).await;
            let headers = format!("Location: {location}\r\nContent-Type: text/calendar\r\n");
            let answer = answer(status, &headers);
            let outcome = world.get(async |stream| say(stream, answer.as_bytes()).await).await;
            check(&outcome, Err(Cause::Redirect), &answer);
            assert_eq!(world.dialled().len(), 1);
        }
    }
}

#[tokio::test]
async fn only_a_whole_answer_counts() {
    for status in [
        "201 Created",
        "204 No Content",
        "206 Partial Content",
        "401 Unauthorized",
        "404 Not Found",
        "500 No",
    ] {
        check_answer(&answer(status, "Content-Type: text/calendar\r\n"), Err(Cause::Status)).await;
    }
    check_answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", Err(Cause::Status)).await;
}

#[tokio::test]
async fn what_calls_itself_a_calendar_is_one() {
    for media_type in [
        "text/calendar",
        "text/calendar; charset=UTF-8",
        "Text/Calendar;charset=utf-8; method=PUBLISH",
        "text/plain; charset=utf-8",
        "application/octet-stream",
    ] {
        check_answer(&answer("200 OK", &format!("Content-Type: {media_type}\r\n")), Ok(CALENDAR)).await;
    }
    for media_type in
        ["text/html", "application/json", "text/calendar+xml", "image/png", "text", "", "\u{fc}"]
    {
        check_answer(&answer("200 OK", &format!("Content-Type: {media_type}\r\n")), Err(Cause::Content))
            .await;
    }
    check_answer(&answer("200 OK", ""), Err(Cause::Content)).await;
}

#[tokio::test]
async fn compressed_answers_are_refused() {
    for encoding in ["gzip", "br", "deflate", "identity, gzip", "identity\r\nContent-Encoding: gzip"] {
        let headers = format!("Content-Type: text/calendar\r\nContent-Encoding: {encoding}\r\n");
        check_answer(&answer("200 OK", &headers), Err(Cause::Content)).await;
    }
    let headers = "Content-Type: text/calendar\r\nContent-Encoding: identity\r\n";
    check_answer(&answer("200 OK", headers), Ok(CALENDAR)).await;
}

#[tokio::test]
async fn a_calendar_may_be_as_large_as_the_limit_and_no_larger() {
    for (length, expected) in [(MAX_CALENDAR, Ok(MAX_CALENDAR)), (MAX_CALENDAR + 1, Err(Cause::TooLarge))] {
        for headers in [format!("Content-Length: {length}\r\n"), String::new()] {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\n{headers}\r\n");
            let answer = head + &"a".repeat(length);
            let outcome = World::new().await.get(async |stream| say(stream, answer.as_bytes()).await).await;
            let length = outcome.map(|fetched| match fetched {
                Fetched::Calendar { bytes, .. } => bytes.len(),
                Fetched::Unchanged => 0,
            });
            assert_eq!(length, expected, "{headers}");
        }
    }
}

#[tokio::test]
async fn a_calendar_may_come_line_by_line() {
    let chunks = "28\r\nDESCRIPTION:forty letters in every line.\r\n".repeat(20_000);
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let expected = "DESCRIPTION:forty letters in every line.".repeat(20_000);
    check_answer(&answer, Ok(&expected)).await;
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\n";
    for (head, rest, expected) in [
        (format!("{head}\r\n"), "a".repeat(9_999), Cause::TooLarge),
        (format!("{head}Content-Length: 1099511627776\r\n\r\n"), "a".repeat(9_999), Cause::TooLarge),
        (
            format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
            "1000\r\n".to_owned() + &"a".repeat(4_096) + "\r\n",
            Cause::TooLarge,
        ),
        // Chunks of one letter.
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n"), "1\r\na\r\n".repeat(999), Cause::TooLarge),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n1;"), "a".repeat(9_999), Cause::Protocol),
        (format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n"), "a: b\r\n".repeat(999), Cause::Protocol),
        // Answers before the answer.
        (String::new(), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(99), Cause::Protocol),
        // Headers.
        ("HTTP/1.1 200 OK\r\n".to_owned(), "a: b\r\n".repeat(999), Cause::Protocol),
        ("HTTP/1.1 200 OK\r\na: ".to_owned(), "b".repeat(9_999), Cause::Protocol),
        ("HTTP/1.1 200 ".to_owned(), "b".repeat(9_999), Cause::Protocol),
    ] {
        let outcome =
            World::new().await.get(async |stream| say_forever(stream, &head, rest.as_bytes()).await).await;
        check(&outcome, Err(expected), &format!("{head}{}", &rest[..20]));
    }
}

#[tokio::test]
async fn headers_are_bounded_in_size_and_number() {
    let sized = |length: usize| format!("Content-Type: text/calendar\r\nA: {}\r\n", "a".repeat(length));
    check_answer(&answer("200 OK", &sized(8_000)), Ok(CALENDAR)).await;
    check_answer(&answer("200 OK", &sized(MAX_HEAD)), Err(Cause::Protocol)).await;

    let many = |count: usize| format!("Content-Type: text/calendar\r\n{}", "A: b\r\n".repeat(count));
    check_answer(&answer("200 OK", &many(MAX_HEADERS - 2)), Ok(CALENDAR)).await;
    check_answer(&answer("200 OK", &many(MAX_HEADERS - 1)), Err(Cause::Protocol)).await;
}

#[tokio::test]
async fn a_length_that_lies_never_makes_half_a_calendar_look_whole() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\n";
    for (rest, expected) in [
        // Longer than what comes.
        ("Content-Length: 9\r\n\r\nBEGIN", Err(Cause::Protocol)),
        ("Transfer-Encoding: chunked\r\n\r\n9\r\nBEGIN", Err(Cause::Protocol)),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nBEGIN\r\n", Err(Cause::Protocol)),
        // Shorter: the length is what HTTP believes, and the rest is nobody's.
        ("Content-Length: 5\r\n\r\nBEGIN:VCALENDAR", Ok("BEGIN")),
        // Two lengths, or none that is a number.
        ("Content-Length: 5\r\nContent-Length: 9\r\n\r\nBEGIN", Err(Cause::Protocol)),
        ("Content-Length: -1\r\n\r\nBEGIN", Err(Cause::Protocol)),
        ("Content-Length: 99999999999999999999\r\n\r\nBEGIN", Err(Cause::Protocol)),
        ("Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nBEGIN", Err(Cause::Protocol)),
    ] {
        check_answer(&format!("{head}{rest}"), expected).await;
    }
}

#[tokio::test]
async fn an_answer_without_a_length_must_end_as_tls_wants_it() {
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\n\r\n{CALENDAR}");
    check_answer(&answer, Ok(CALENDAR)).await;

    let world = World::new().await;
    let cut = world.get(async |mut stream| {
        hear(&mut stream).await?;
        stream.write_all(answer.as_bytes()).await?;
        // The socket closes below TLS, as when somebody on the way cuts the line.
        stream.get_mut().0.shutdown().await
    });
    check(&cut.await, Err(Cause::Protocol), "cut off");
}

#[tokio::test]
async fn what_is_not_http_is_refused() {
    for answer in [
        "",
        "\r\n",
        "BEGIN:VCALENDAR\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
    ] {
        check_answer(answer, Err(Cause::Protocol)).await;
    }
}

/// Once the server has come as far as the case wants, the clock jumps from timer to timer.
async fn check_slow(
    about: &str,
    serve: impl AsyncFnOnce(TcpStream, TlsAcceptor, oneshot::Sender<()>) -> io::Result<()>,
) {
    let world = World::new().await;
    let (ready, is_ready) = oneshot::channel();
    let acceptor = world.acceptor.clone();
    let begun = Instant::now();
    let (outcome, ()) =
        tokio::join!(world.get_bare(None, async |stream| serve(stream, acceptor, ready).await), async {
            is_ready.await.unwrap();
            pause();
        });
    let ended = begun + DEADLINE;
    assert!((ended..ended + Duration::from_secs(1)).contains(&Instant::now()), "{about}");
    resume();
    check(&outcome, Err(Cause::Timeout), about);
}

#[tokio::test]
async fn a_slow_server_has_ten_seconds_in_all() {
    check_slow("no handshake", async |_stream, _, ready| {
        ready.send(()).unwrap();
        pending().await
    })
    .await;
    check_slow("no answer", async |stream, acceptor, ready| {
        let mut stream = acceptor.accept(stream).await?;
        hear(&mut stream).await?;
        ready.send(()).unwrap();
        pending().await
    })
    .await;
    check_slow("half a head", async |stream, acceptor, ready| {
        let mut stream = acceptor.accept(stream).await?;
        hear(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Ty").await?;
        ready.send(()).unwrap();
        pending().await
    })
    .await;
    check_slow("a byte each second", async |stream, acceptor, ready| {
        let mut stream = acceptor.accept(stream).await?;
        hear(&mut stream).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/calendar\r\nContent-Length: 60\r\n\r\n")
            .await?;
        ready.send(()).unwrap();
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            stream.write_all(b"a").await?;
        }
        pending().await
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_address_leaves_time_for_the_next() {
    let world = World::finding([vec![SILENT; 3]]).await;
    check(&world.get(async |_| Ok(())).await, Err(Cause::Connection), "silence");
    assert_eq!(world.dialled().len(), 3);
}

#[tokio::test]
async fn a_caller_who_gives_up_ends_the_connection() {
    let world = World::new().await;
    let (ready, is_ready) = oneshot::channel();
    let url = format!("https://{HOST_NAME}/").parse().unwrap();
    let serve = async {
        let (stream, _) = world.listener.accept().await.unwrap();
        let mut stream = world.acceptor.accept(stream).await.unwrap();
        hear(&mut stream).await.unwrap();
        ready.send(()).unwrap();
        // It returns when the other side has closed.
        let _ = copy(&mut stream, &mut sink()).await;
    };
    tokio::join!(serve, async {
        tokio::select! {
            outcome = world.fetcher.get(&url, None) => panic!("{outcome:?}"),
            _ = is_ready => {}
        }
    });
}

#[tokio::test]
async fn no_text_tells_what_happened() {
    let world = World::finding([vec![LOOPBACK]]).await;
    let url: FeedUrl = format!("https://{HOST_NAME}/secret").parse().unwrap();
    let error = world.fetcher.get(&url, None).await.unwrap_err();
    assert_eq!(error.to_string(), "the calendar could not be fetched");
    assert!(std::error::Error::source(&error).is_none());
    assert_eq!(format!("{error:?}"), "FetchError { cause: Inward }");
    assert_eq!(format!("{:?}", world.fetcher), "Fetcher { .. }");
    let fetched = Fetched::Calendar { bytes: CALENDAR.into(), validator: None };
    assert_eq!(format!("{fetched:?}"), "Calendar(..)");
}
