//! Clients that speak HTTP/2 in order to do harm, byte by byte: each costs others nothing, and comes to an end.
//!
//! The program is the real one, in a process of its own, in plain text on this machine. While it is attacked another
//! client calls it, and is answered each time.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use api::v1::ListSpecializationsRequest;
use api::v1::directory_service_client::DirectoryServiceClient;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tonic::transport::Endpoint;

/// Ends a test that hangs; nothing here takes as long.
const HANGS: Duration = Duration::from_mins(1);

/// The program under attack.
struct Server {
    process: Child,
    address: SocketAddr,
    lines: Arc<AtomicUsize>,
    _files: TempDir,
}

impl Server {
    async fn start(limits: &str, therapists: u32) -> Self {
        let files = tempfile::tempdir().unwrap();
        let database = files.path().join("respite.db");
        let settings = files.path().join("respite.toml");
        // Attacker and bystander share a network: what stops floods of one network is tried elsewhere.
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[telemetry]\nlog_format = \"text\"\n\
             [database]\nurl = \"sqlite://{}\"\n\
             [limits]\nconnections_per_network = 100_000\nanonymous_calls_per_minute = 1_000_000\n{limits}",
            database.display()
        );
        fs::write(&settings, text).unwrap();
        let command = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_respite"));
            command.current_dir(files.path()).arg("--config").arg(&settings).kill_on_drop(true);
            command
        };
        let count = therapists.to_string();
        let seeded = command().args(["seed", "--therapists", &count]).output().await.unwrap();
        assert!(seeded.status.success(), "{seeded:?}");

        let mut process = command().arg("serve").stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = loop {
            let line = log.next_line().await.unwrap().expect("it listens");
            if let Some((_, rest)) = line.split_once("listening address=") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
        };
        let lines = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok(Some(_)) = log.next_line().await {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { process, address, lines, _files: files }
    }

    /// Another client, which goes on calling until it is asked to stop.
    async fn bystander(&self) -> Bystander {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).unwrap();
        let mut directory = DirectoryServiceClient::new(endpoint.connect().await.unwrap());
        directory.list_specializations(ListSpecializationsRequest::default()).await.unwrap();
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let process = self.process.id().unwrap();
        let resting = resident(process);
        let calls = tokio::spawn(async move {
            let (mut answered, mut most) = (0, 0);
            while answered < CALLS || !stop.load(Ordering::Relaxed) {
                let call = directory.list_specializations(ListSpecializationsRequest::default());
                timeout(HANGS, call).await.expect("an answer").expect("no refusal");
                answered += 1;
                most = most.max(resident(process));
            }
            most
        });
        Bystander { enough, calls, resting }
    }
}

/// What a process holds in memory, in KiB.
fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

struct Bystander {
    enough: Arc<AtomicBool>,
    calls: JoinHandle<usize>,
    resting: usize,
}

impl Bystander {
    /// How much more the process held at the most than before, in KiB, if every call was answered.
    async fn leaves(self) -> usize {
        self.enough.store(true, Ordering::Relaxed);
        self.calls.await.unwrap().saturating_sub(self.resting)
    }
}

/// How many calls another client makes at least during one attack.
const CALLS: usize = 20;

// Frames, by RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// A kind that nobody has defined.
const UNKNOWN: u8 = 0xbe;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const INITIAL_WINDOW_SIZE: u16 = 4;

// Reasons, section 7.
const FLOW_CONTROL_ERROR: u32 = 3;
const ENHANCE_YOUR_CALM: u32 = 11;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A header that is not to be remembered, RFC 7541, section 6.2.2.
fn header(name: &str, value: &str) -> Vec<u8> {
    [vec![0], string(name), string(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(u8::try_from(text.len()).unwrap());
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend(text.as_bytes());
    bytes
}

/// The headers of a call that is well.
fn headers(path: &str) -> Vec<u8> {
    [
        header(":method", "POST"),
        header(":scheme", "http"),
        header(":authority", "localhost"),
        header(":path", path),
        header("content-type", "application/grpc"),
        header("te", "trailers"),
    ]
    .concat()
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
const SEARCH: &str = "/respite.v1.DirectoryService/SearchTherapists";

/// The number of the `nth` stream of a client.
fn stream(nth: u32) -> u32 {
    2 * nth + 1
}

/// The beginning of a call; its message is to follow.
fn begun(nth: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream(nth), &headers(CHECK))
}

/// A whole call with `message`.
fn call(nth: u32, path: &str, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let message = [&[0], &length[..], message].concat();
    let headers = frame(HEADERS, END_HEADERS, stream(nth), &headers(path));
    [headers, frame(DATA, END_STREAM, stream(nth), &message)].concat()
}

/// A header block that takes as many frames as it needs.
fn block(nth: u32, block: &[u8]) -> Vec<u8> {
    let last = block.len().div_ceil(FRAME) - 1;
    block
        .chunks(FRAME)
        .enumerate()
        .flat_map(|(index, part)| {
            let kind = if index == 0 { HEADERS } else { CONTINUATION };
            let flags = if index == last { END_HEADERS } else { 0 };
            let flags = if index == 0 { flags | END_STREAM } else { flags };
            frame(kind, flags, stream(nth), part)
        })
        .collect()
}

/// The most that one frame may hold.
const FRAME: usize = 16 * 1024;

/// What a server said to one client.
#[derive(Default, Debug)]
struct Heard {
    /// Why the client shall leave.
    goaway: Option<u32>,
    /// Why streams ended early.
    resets: Vec<u32>,
    /// The streams on which an answer began that has more than a status, and how many of those ended well.
    begun: BTreeSet<u32>,
    ended: usize,
    /// How many calls were told a status at once, and nothing else.
    refused: usize,
    /// Bytes of messages.
    bytes: usize,
    /// Whether the last sign of life was answered; otherwise the connection ended.
    alive: bool,
}

/// A client of which every byte is chosen.
struct Peer {
    reads: BufReader<OwnedReadHalf>,
    /// Until a task of its own sends.
    writes: Option<OwnedWriteHalf>,
    heard: Heard,
}

/// Of the sign of life that a client sends last.
const LAST: &[u8; 8] = b"lastping";

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let (reads, writes) = TcpStream::connect(address).await.unwrap().into_split();
        Self { reads: BufReader::new(reads), writes: Some(writes), heard: Heard::default() }
    }

    /// Opens HTTP/2 with one more setting.
    async fn open(address: SocketAddr, window: u32) -> Self {
        let mut peer = Self::connect(address).await;
        peer.send(&[PREFACE, &setting(INITIAL_WINDOW_SIZE, window)].concat()).await;
        peer
    }

    /// Sends `bytes`, and does not mind if nobody listens any more.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        self.writes.as_mut().unwrap().write_all(bytes).await.is_ok()
    }

    /// Takes one frame; `None` when there are no more.
    async fn next(&mut self) -> Option<(u8, u8, Vec<u8>)> {
        let mut head = [0; 9];
        self.reads.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.reads.read_exact(&mut payload).await.ok()?;
        let reason = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match kind {
            HEADERS if flags & END_STREAM == 0 => drop(self.heard.begun.insert(u32::from_be_bytes(stream))),
            HEADERS if self.heard.begun.contains(&u32::from_be_bytes(stream)) => self.heard.ended += 1,
            HEADERS => self.heard.refused += 1,
            DATA => self.heard.bytes += payload.len(),
            RST_STREAM => self.heard.resets.push(reason(&payload)),
            GOAWAY => self.heard.goaway = Some(reason(&payload[4..8])),
            _ => {}
        }
        Some((kind, flags, payload))
    }

    /// Listens until the server has answered the last sign of life and said enough, or ends the connection.
    async fn listen(&mut self, enough: impl Fn(&Heard) -> bool) {
        while !(self.heard.alive && enough(&self.heard)) {
            match self.next().await {
                Some((PING, ACK, payload)) if payload == LAST => self.heard.alive = true,
                Some(_) => {}
                None => {
                    self.heard.alive = false;
                    return;
                }
            }
        }
    }

    /// Takes one frame, and answers a sign of life; `false` when there are no more.
    async fn lives(&mut self) -> bool {
        let next = self.next().await;
        if let Some((PING, 0, payload)) = &next
            && self.writes.is_some()
        {
            self.send(&frame(PING, ACK, 0, payload)).await;
        }
        next.is_some()
    }

    /// The same, of a client that nobody sends away.
    async fn lives_on(&mut self) {
        assert!(self.lives().await, "{:?}", self.heard);
    }

    /// Lives until the server ends the connection.
    async fn live(&mut self) {
        while self.lives().await {}
    }
}

/// What a client does as fast as it can.
struct Flood {
    name: &'static str,
    /// The `nth` part of what it sends.
    part: fn(u32) -> Vec<u8>,
    times: u32,
    ends: Ends,
}

/// How the server bears it.
enum Ends {
    /// It sends the client away for this reason.
    Leaves(u32),
    /// It ends streams for this reason, and the connection goes on.
    Resets(u32),
    /// It refuses that many calls, and the connection goes on.
    Refuses(usize),
    /// It does what it was asked to, and the connection goes on.
    Bears,
}

const FLOODS: &[Flood] = &[
    Flood {
        name: "rapid reset",
        part: |nth| [begun(nth), frame(RST_STREAM, 0, stream(nth), &8u32.to_be_bytes())].concat(),
        times: 100_000,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood {
        name: "headers that never end",
        part: |nth| match nth {
            0 => frame(HEADERS, 0, 1, &headers(CHECK)),
            _ => frame(CONTINUATION, 0, 1, &header("x", "y")),
        },
        times: 100_000,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood {
        name: "headers that never end and are nothing",
        part: |nth| {
            if nth == 0 { frame(HEADERS, 0, 1, &headers(CHECK)) } else { frame(CONTINUATION, 0, 1, &[]) }
        },
        times: 100_000,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood {
        name: "one header of a megabyte",
        part: |nth| block(nth, &[headers(CHECK), header("x", &"y".repeat(1024 * 1024))].concat()),
        times: 1,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood {
        name: "headers of 30 KiB each",
        part: |nth| block(nth, &[headers(CHECK), header("x", &"y".repeat(30 * 1024))].concat()),
        times: 50,
        ends: Ends::Refuses(50),
    },
    Flood {
        name: "ten thousand headers",
        part: |nth| block(nth, &[headers(CHECK), header("x", "y").repeat(10_000)].concat()),
        times: 50,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood {
        name: "one header told again by every byte",
        part: |nth| {
            // It is remembered (RFC 7541, section 6.2.1), as the first after those that every table begins with.
            let told = [vec![0x40], string("x"), string(&"y".repeat(4_000))].concat();
            block(nth, &[headers(CHECK), told, vec![0x80 + 62; 10_000]].concat())
        },
        times: 50,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood { name: "signs of life", part: |_| frame(PING, 0, 0, &[0; 8]), times: 100_000, ends: Ends::Bears },
    Flood {
        name: "settings",
        part: |nth| setting(INITIAL_WINDOW_SIZE, 1 + nth % 2),
        times: 100_000,
        ends: Ends::Bears,
    },
    Flood {
        name: "priorities",
        part: |nth| frame(PRIORITY, 0, stream(nth), &[0, 0, 0, 0, 1]),
        times: 100_000,
        ends: Ends::Bears,
    },
    Flood {
        name: "frames of an unknown kind",
        part: |nth| frame(UNKNOWN, 0, stream(nth % 100), &[0; 100]),
        times: 100_000,
        ends: Ends::Bears,
    },
    Flood {
        name: "data that is nothing",
        part: |nth| if nth == 0 { begun(0) } else { frame(DATA, 0, 1, &[]) },
        times: 100_000,
        ends: Ends::Leaves(ENHANCE_YOUR_CALM),
    },
    Flood {
        name: "a window of the connection that overflows",
        part: |_| frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        times: 2,
        ends: Ends::Leaves(FLOW_CONTROL_ERROR),
    },
    Flood {
        name: "windows of streams that overflow",
        part: |nth| {
            let more = frame(WINDOW_UPDATE, 0, stream(nth), &0x7fff_ffff_u32.to_be_bytes());
            [begun(nth), more].concat()
        },
        times: 10,
        ends: Ends::Resets(FLOW_CONTROL_ERROR),
    },
    Flood {
        name: "messages of 5 MiB",
        part: |nth| {
            let length = 5 * 1024 * 1024;
            let prefix = [&[0][..], &u32::to_be_bytes(length)].concat();
            [begun(nth), frame(DATA, 0, stream(nth), &prefix), frame(DATA, 0, stream(nth), &[0; FRAME])]
                .concat()
        },
        times: 3,
        ends: Ends::Refuses(3),
    },
    Flood {
        name: "messages of 4 GiB",
        part: |nth| [begun(nth), frame(DATA, 0, stream(nth), &[0, 255, 255, 255, 255])].concat(),
        times: 10,
        ends: Ends::Refuses(10),
    },
    Flood {
        name: "messages said to be compressed where nothing is",
        part: |nth| {
            [begun(nth), frame(DATA, END_STREAM, stream(nth), &[1, 0, 0, 0, 3, 0x1f, 0x8b, 8])].concat()
        },
        times: 10,
        ends: Ends::Refuses(10),
    },
];

/// What one attack may take, in KiB. Of floods at most 2 MiB were seen, of all the slow ones together 10 MiB, most of it
/// for the first searches; allocators differ. What nothing bounds grows with what is sent, for minutes.
const ROOM: usize = 32 * 1024;
/// What a server may say of one flood, if anything.
const LINES: usize = 3;

impl Flood {
    async fn check(&self, server: &Server) {
        let bystander = server.bystander().await;
        let said = server.lines.load(Ordering::Relaxed);
        let mut peer = Peer::open(server.address, 65_535).await;
        let enough = |heard: &Heard| match self.ends {
            Ends::Leaves(_) => false,
            Ends::Resets(_) => heard.resets.len() == self.times as usize,
            Ends::Refuses(calls) => heard.refused == calls,
            Ends::Bears => true,
        };
        timeout(HANGS, peer.flood(self.part, self.times, enough)).await.expect(self.name);
        let heard = &peer.heard;
        let held = bystander.leaves().await;
        let said = server.lines.load(Ordering::Relaxed) - said;
        match self.ends {
            Ends::Leaves(reason) => {
                assert_eq!((heard.alive, heard.goaway), (false, Some(reason)), "{}", self.name);
            }
            Ends::Resets(reason) => {
                assert!(heard.alive && heard.resets == vec![reason; self.times as usize], "{}", self.name);
            }
            Ends::Refuses(calls) => assert_eq!((heard.alive, heard.refused), (true, calls), "{}", self.name),
            Ends::Bears => assert_eq!((heard.alive, heard.goaway), (true, None), "{}", self.name),
        }
        assert!(held < ROOM, "{}: {held} KiB", self.name);
        assert!(said <= LINES, "{}: {said} lines", self.name);
    }
}

impl Peer {
    /// Sends all of it while it listens, and a sign of life at the end.
    async fn flood(&mut self, part: fn(u32) -> Vec<u8>, times: u32, enough: impl Fn(&Heard) -> bool) {
        let mut writes = self.writes.take().unwrap();
        let sends = tokio::spawn(async move {
            let mut bytes = Vec::new();
            for nth in 0..times {
                bytes.extend(part(nth));
                // Whoever was sent away cannot send.
                if bytes.len() > 4 * FRAME && writes.write_all(&std::mem::take(&mut bytes)).await.is_err() {
                    return writes;
                }
            }
            bytes.extend(frame(PING, 0, 0, LAST));
            let _ = writes.write_all(&bytes).await;
            writes
        });
        self.listen(enough).await;
        self.writes = Some(sends.await.unwrap());
    }
}

/// Settings of a server that soon loses patience: three seconds for a call, six for a sign of life.
const IMPATIENT: &str = "request_seconds = 3\nkeepalive_seconds = 4\n";

impl Peer {
    /// Sends `bytes` one by one, and listens until the server ends the connection; `false` if it could say all.
    async fn drip(&mut self, bytes: &[u8]) -> bool {
        let mut pace = interval(Duration::from_millis(250));
        let mut bytes = bytes.iter();
        let mut writes = self.writes.take().unwrap();
        let drips = async {
            loop {
                pace.tick().await;
                match bytes.next() {
                    Some(byte) if writes.write_all(&[*byte]).await.is_ok() => {}
                    Some(_) => return true,
                    None => return false,
                }
            }
        };
        tokio::select! {
            ended = drips => ended,
            () = self.live() => true,
        }
    }
}

async fn drips_the_preface(address: SocketAddr) {
    assert!(Peer::connect(address).await.drip(PREFACE).await);
}

async fn says_nothing_after_the_preface(address: SocketAddr) {
    let mut peer = Peer::open(address, 0).await;
    while peer.next().await.is_some() {}
}

async fn drips_headers(address: SocketAddr) {
    let mut peer = Peer::open(address, 0).await;
    let headers = [headers(CHECK), header("x", &"y".repeat(7 * 1024))].concat();
    assert!(peer.drip(&frame(HEADERS, END_HEADERS, 1, &headers)).await);
}

/// The call is ended, not the connection.
async fn drips_a_message(address: SocketAddr) {
    let mut peer = Peer::open(address, 65_535).await;
    peer.send(&[begun(0), frame(DATA, 0, 1, &[0, 0, 0, 4, 0])].concat()).await;
    let mut writes = peer.writes.take().unwrap();
    let told = async {
        while peer.heard.refused == 0 {
            peer.lives_on().await;
        }
    };
    let drips = async {
        let mut pace = interval(Duration::from_millis(250));
        loop {
            pace.tick().await;
            writes.write_all(&frame(DATA, 0, 1, &[0])).await.unwrap();
        }
    };
    tokio::select! {
        () = told => {}
        () = drips => {}
    }
    assert_eq!(peer.heard.begun.len(), 0);
}

/// It lets the system take a little, and itself takes nothing.
async fn never_reads(address: SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let (_reads, mut writes) = socket.connect(address).await.unwrap().into_split();
    writes.write_all(&[PREFACE, &setting(INITIAL_WINDOW_SIZE, 0)].concat()).await.unwrap();
    let signs = frame(PING, 0, 0, &[0; 8]).repeat(1024);
    while writes.write_all(&signs).await.is_ok() {}
}

/// It asks for much, opens no window for it, and is otherwise alive.
async fn never_takes_an_answer(address: SocketAddr) {
    let mut peer = Peer::open(address, 0).await;
    let everybody = [0x18, 100];
    let asked = 48;
    for nth in 0..asked {
        peer.send(&call(nth, SEARCH, &everybody)).await;
    }
    // Whatever is not taken keeps its turn, and there are no more than 32.
    let asked = asked as usize;
    while peer.heard.begun.len() + peer.heard.refused < asked {
        peer.lives_on().await;
    }
    assert_eq!((peer.heard.begun.len(), peer.heard.refused), (32, asked - 32));

    // When their time is over others have those turns, all of them.
    let mut nth = u32::try_from(asked).unwrap();
    while peer.heard.begun.len() < 2 * 32 {
        let told = peer.heard.begun.len() + peer.heard.refused;
        peer.send(&call(nth, CHECK, &[])).await;
        nth += 1;
        while peer.heard.begun.len() + peer.heard.refused == told {
            peer.lives_on().await;
        }
    }
    assert!(peer.heard.resets.is_empty(), "{:?}", peer.heard);

    // There is little left of the answers that were given up: a piece that waited for the window, and the next.
    let much = 16 * 1024 * 1024;
    let window = frame(WINDOW_UPDATE, 0, 0, &u32::to_be_bytes(much));
    peer.send(&[window, setting(INITIAL_WINDOW_SIZE, much)].concat()).await;
    while peer.heard.resets.len() < 32 || peer.heard.ended < 32 {
        peer.lives_on().await;
    }
    assert!(peer.heard.bytes <= 32 * 2 * FRAME + 1024, "{:?}", peer.heard);
}

#[tokio::test]
async fn who_is_slow_is_not_waited_for() {
    let server = Server::start(IMPATIENT, 200).await;
    let bystander = server.bystander().await;
    let at = server.address;
    let all = async {
        tokio::join!(
            drips_the_preface(at),
            says_nothing_after_the_preface(at),
            drips_headers(at),
            drips_a_message(at),
            never_reads(at),
            never_takes_an_answer(at),
        )
    };
    timeout(HANGS, all).await.expect("an end to each");
    let held = bystander.leaves().await;
    assert!(held < ROOM, "{held} KiB");
    assert!(server.lines.load(Ordering::Relaxed) <= LINES);
}

/// Who takes an answer by the byte, or says headers by the byte to HTTP/1.1, is alive as far as any sign of it tells: it
/// ends with its connection, which has an age.
#[tokio::test]
async fn who_is_slow_for_ever_is_cut_off_at_last() {
    let server = Server::start("connection_age_seconds = 2\n", 1).await;
    let at = server.address;
    let takes_a_byte = async {
        let mut peer = Peer::open(at, 1).await;
        peer.send(&call(0, CHECK, &[])).await;
        peer.live().await;
        assert_eq!((peer.heard.goaway, peer.heard.bytes, peer.heard.ended), (Some(0), 1, 0));
    };
    let speaks_http_1 = async {
        let head = format!("POST {CHECK} HTTP/1.1\r\nhost: localhost\r\nx: ");
        let mut peer = Peer::connect(at).await;
        peer.send(head.as_bytes()).await;
        assert!(peer.drip(&[b'y'; 1000]).await);
    };
    timeout(HANGS, async { tokio::join!(takes_a_byte, speaks_http_1) }).await.expect("an end to both");
    server.bystander().await.leaves().await;
}

#[tokio::test]
async fn who_connects_and_says_nothing_makes_way() {
    let server = Server::start(IMPATIENT, 1).await;
    let bystander = server.bystander().await;
    // More than there are places for.
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(Peer::connect(server.address).await);
    }
    // Behind all of them in the queue.
    let newcomer = timeout(HANGS, server.bystander()).await.expect("a place");
    for peer in &mut silent {
        assert!(timeout(HANGS, peer.next()).await.expect("an end").is_none());
    }
    newcomer.leaves().await;
    let held = bystander.leaves().await;
    assert!(held < ROOM, "{held} KiB");
    assert!(server.lines.load(Ordering::Relaxed) <= LINES);
}

#[tokio::test]
async fn floods_come_to_an_end_and_cost_others_nothing() {
    // No deadline does here what the limits on frames, headers and messages are for.
    let server = Server::start("request_seconds = 600\n", 1).await;
    for flood in FLOODS {
        flood.check(&server).await;
    }
}
