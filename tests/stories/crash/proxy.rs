//! A proxy before PostgreSQL that stops one transaction at one of its statements.
//!
//! A statement is what is executed: what only prepares one is let through. It is stopped either before the database has
//! seen it, or when the database has carried it out and nobody has heard of it yet. From then on its connection is dead,
//! and the database takes back what was not committed as soon as the client is gone.

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use sea_orm::sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::oneshot,
};
use uuid::Uuid;

/// What the database is told of who comes through here.
const NAME: &str = "respite-stopped";

/// Listens as long as the story lasts.
pub(super) struct Proxy {
    /// The database by way of the proxy.
    pub(super) database: String,
    watched: Watched,
}

/// At which side of a statement a transaction is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The database does not see it.
    Before,
    /// The database has carried it out.
    After,
}

type Watched = Arc<Mutex<Option<Watch>>>;

/// A transaction that is looked for, and what was seen of it.
struct Watch {
    /// Somebody whom its first statement names.
    who: Uuid,
    /// At which statement it is stopped; `BEGIN`, which changes nothing and tells nothing, is number 0.
    at: usize,
    side: Side,
    seen: Vec<String>,
    stopped: Option<oneshot::Sender<()>>,
}

impl Proxy {
    pub(super) async fn before(database: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (base, _) = database.split_once('?').unwrap_or((database, ""));
        let through = format!("{base}?host=127.0.0.1&port={port}&sslmode=disable&application_name={NAME}");
        let behind: PgConnectOptions = database.parse().unwrap();
        let watched = Watched::default();
        let proxy = Self { database: through, watched: watched.clone() };
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                client.set_nodelay(true).unwrap();
                let (behind, watched) = (behind.clone(), watched.clone());
                // Either side may hang up at any time, and then the other is hung up on.
                tokio::spawn(async move {
                    let port = behind.get_port();
                    if let Some(folder) = behind.get_socket() {
                        let socket = folder.join(format!(".s.PGSQL.{port}"));
                        pass_on(client, UnixStream::connect(socket).await?, watched).await
                    } else {
                        let server = TcpStream::connect((behind.get_host(), port)).await?;
                        pass_on(client, server, watched).await
                    }
                });
            }
        });
        proxy
    }

    /// Stops the next transaction about `who` at this statement, if it comes so far, and tells when it did.
    pub(super) fn stop(&self, who: Uuid, at: usize, side: Side) -> oneshot::Receiver<()> {
        let (stopped, told) = oneshot::channel();
        let watch = Watch { who, at, side, seen: Vec::new(), stopped: Some(stopped) };
        *self.watched.lock().unwrap() = Some(watch);
        told
    }

    /// The statements of that transaction, with the one that it was stopped at. It is looked for no longer.
    pub(super) fn seen(&self) -> Vec<String> {
        self.watched.lock().unwrap().take().unwrap().seen
    }
}

/// Asks for how many who came through a proxy the database still works.
pub(super) fn still_there() -> String {
    format!(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = '{NAME}'"
    )
}

/// Passes on what a client and the database tell each other, until one of them has hung up.
async fn pass_on(
    mut client: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    watched: Watched,
) -> io::Result<()> {
    // The first message has no kind.
    let mut first = vec![0; 4];
    client.read_exact(&mut first).await?;
    first.resize(length(&first), 0);
    client.read_exact(&mut first[4..]).await?;
    server.write_all(&first).await?;

    let mut session = Session::default();
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    loop {
        let read = tokio::select! {
            read = client.read_buf(&mut asked) => read?,
            read = server.read_buf(&mut answered) => read?,
        };
        if read == 0 {
            return Ok(());
        }
        client.write_all(&answered).await?;
        answered.clear();
        while let Some(request) = next(&mut asked) {
            let stop = session.follow(&request, &watched);
            if stop != Some(Side::Before) {
                server.write_all(&request).await?;
            }
            if let Some(side) = stop {
                if side == Side::After {
                    until_ready(&mut server).await?;
                }
                let stopped = watched.lock().unwrap().as_mut().and_then(|watch| watch.stopped.take());
                stopped.unwrap().send(()).unwrap();
                // Whoever waits for the answer waits until it is killed.
                while client.read_buf(&mut asked).await? > 0 {}
                return Ok(());
            }
        }
    }
}

/// Takes the messages up to the first that asks for an answer, if they are there.
fn next(asked: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut end = 0;
    loop {
        let head = asked.get(end..end + 5)?;
        let kind = head[0];
        end += 1 + length(&head[1..]);
        if asked.len() < end {
            return None;
        }
        // Parse, Bind, Describe, Execute and Close are answered together, at Sync.
        if !b"PBDEC".contains(&kind) {
            return Some(asked.drain(..end).collect());
        }
    }
}

/// Reads the database's messages up to the one that says that it has done what it was asked for.
async fn until_ready(server: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    loop {
        let kind = server.read_u8().await?;
        let length = server.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        server.read_exact(&mut body).await?;
        if kind == b'Z' {
            return Ok(());
        }
    }
}

/// What is known of one connection.
#[derive(Default)]
struct Session {
    /// Prepared statements by name.
    prepared: HashMap<Vec<u8>, String>,
    /// The statements since `BEGIN`; none outside a transaction.
    transaction: Vec<String>,
    /// It is the one that is looked for.
    found: bool,
}

impl Session {
    /// Follows a transaction through what is asked, and says whether it is to be stopped here.
    fn follow(&mut self, request: &[u8], watched: &Watched) -> Option<Side> {
        let statement = self.executed(request)?;
        if statement != "BEGIN" && self.transaction.is_empty() {
            return None;
        }
        let last = ["COMMIT", "ROLLBACK"].contains(&statement.as_str());
        self.transaction.push(statement);
        let stop = watched.lock().unwrap().as_mut().and_then(|watch| self.reached(request, watch));
        if last {
            (self.transaction, self.found) = (Vec::new(), false);
        }
        stop
    }

    /// At which side the transaction is to be stopped, if it is the one and has come that far.
    fn reached(&mut self, request: &[u8], watch: &mut Watch) -> Option<Side> {
        self.found |= request.windows(16).any(|window| window == watch.who.as_bytes());
        // One that was stopped is over.
        if !self.found || watch.stopped.is_none() {
            return None;
        }
        watch.seen.clone_from(&self.transaction);
        (self.transaction.len() == watch.at + 1).then_some(watch.side)
    }

    /// The text of the statement that these messages execute, if they do.
    fn executed(&mut self, request: &[u8]) -> Option<String> {
        let mut executed = None;
        let mut rest = request;
        while let [kind, after @ ..] = rest {
            let Some((message, others)) = after.split_at_checked(length(after)) else { break };
            let mut texts = message[4..].split(|byte| *byte == 0);
            let mut text = || texts.next().unwrap_or_default();
            match kind {
                b'P' => {
                    let name = text().to_vec();
                    self.prepared.insert(name, String::from_utf8(text().to_vec()).unwrap());
                }
                b'B' => {
                    let _portal = text();
                    executed = Some(self.prepared[text()].clone());
                }
                b'Q' => executed = Some(String::from_utf8(text().to_vec()).unwrap()),
                _ => {}
            }
            rest = others;
        }
        executed
    }
}

/// What a message says of its length, which counts itself.
fn length(head: &[u8]) -> usize {
    u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize
}
