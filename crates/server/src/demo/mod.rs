//! The product shown on one machine: a real server on a loopback socket, and what a nurse does with it.
//!
//! The story is told through gRPC alone, by what a phone would run. The database is looked into only to show
//! what is in it.

mod booking;
mod finding;
mod hospital;
mod inside;
mod national;
mod play;
mod screen;
mod sides;
mod traces;
mod week;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use calendar::Zone;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use client::Client;
use futures_util::FutureExt;
use notify::{Outbox, Post};
use services::{App, Clock};
use thiserror::Error;
use tokio::sync::oneshot;
use tonic::Status;

use self::screen::Screen;
use crate::config::{Config, ConfigError};
use crate::open::{self, OpenError};
use crate::seed::{self, SeedError};
use crate::serve::{Front, ServeError, serve};

/// How many made-up therapists there are.
pub const THERAPISTS: u32 = 200;

/// Why there is no demonstration.
#[derive(Debug, Error)]
pub enum DemoError {
    /// The temporary folder or the socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The demo's own settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database did not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory did not fill.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// The server failed.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Tells the story in a temporary folder; tells `seeded` how many therapists are there already.
///
/// Returns whether every step held. Unless it shall `exit`, it keeps serving until `stop`.
pub async fn run(
    exit: bool,
    stop: impl Future<Output = ()>,
    seeded: impl FnMut(u32),
) -> Result<bool, DemoError> {
    let stop = stop.shared();
    let folder = tempfile::Builder::new().prefix("respite-demo-").tempdir()?;
    let config = settings(folder.path())?;
    let outbox = Outbox::default();
    let mut app = open::open(&config).await?;
    // Whole minutes, so that what is printed is exact.
    let begin = app.clock.now().duration_trunc(TimeDelta::minutes(1)).unwrap_or_default();
    app.clock = Clock::stopped(begin);
    app.post = Post::Outbox(outbox.clone());
    seed::seed(&app.db, THERAPISTS, begin, seeded).await?;

    let listener = listen()?;
    let address = format!("http://{}", listener.local_addr()?);
    let front = |app: &App| Front {
        app: app.clone(),
        tls: None,
        staff: None,
        origins: config.web.allowed_origins.clone(),
        limits: config.limits.clone(),
        behind_proxy: false,
    };
    let mut stage = Stage {
        app: app.clone(),
        outbox: outbox.clone(),
        address: address.clone(),
        folder: folder.path().to_owned(),
        screen: Screen::default(),
    };

    let (end, ended) = oneshot::channel::<()>();
    let telling = async {
        let told = tokio::select! {
            told = tell(&mut stage) => Some(told),
            () = stop.clone() => None,
        };
        let _ = end.send(());
        told
    };
    let (served, told) = tokio::join!(serve(front(&app), reopened(&listener)?, ended.map(|_| ())), telling);
    let Stage { mut screen, .. } = stage;
    let held = match told {
        Some(Ok(())) => screen.verdict(),
        Some(Err(broken)) => {
            screen.broken(&broken);
            false
        }
        None => false,
    };
    served?;
    if held && !exit {
        // The same database, as after a restart; the days the story skipped are days to come again.
        app.clock = Clock::System;
        let serving = serve(front(&app), reopened(&listener)?, stop);
        play::on(&mut screen, &address, folder.path(), &outbox, serving).await?;
    }
    app.db.close().await.map_err(OpenError::from)?;
    Ok(held)
}

/// What the story plays on.
struct Stage {
    app: App,
    outbox: Outbox,
    address: String,
    folder: PathBuf,
    screen: Screen,
}

impl Stage {
    /// A device that nobody is signed in on.
    async fn device(&self) -> Result<Client, Broken> {
        Ok(Client::connect(self.address.clone()).await?)
    }

    /// Moves the clock, and says so.
    fn move_clock(&mut self, to: DateTime<Utc>, why: &str) {
        self.app.clock.set(to);
        let home = self.home();
        self.screen.clock(&format!("The clock moves to {}: {why}.", screen::time(&home, to)));
    }

    /// The clock on the nurse's wall.
    fn home(&self) -> Zone {
        self.app.rules.zone(HOME).expect("every tz database has London")
    }
}

/// Why the story cannot go on.
#[derive(Debug, Error)]
enum Broken {
    #[error(transparent)]
    Call(Box<client::Error>),
    #[error("database: {0}")]
    Database(#[from] sea_orm::DbErr),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("services: {0}")]
    Services(#[from] services::Error),
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Wallet(Box<client::WalletError>),
    #[error(transparent)]
    Fetch(Box<client::FetchError>),
    #[error("the hospital's program says: {0}")]
    Issuer(String),
    #[error("there is no {0}")]
    Missing(Missing),
}

/// What the story cannot go on without.
#[derive(Debug)]
struct Missing(&'static str);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl From<client::Error> for Broken {
    fn from(error: client::Error) -> Self {
        Self::Call(Box::new(error))
    }
}

impl From<client::WalletError> for Broken {
    fn from(error: client::WalletError) -> Self {
        Self::Wallet(Box::new(error))
    }
}

impl From<client::FetchError> for Broken {
    fn from(error: client::FetchError) -> Self {
        Self::Fetch(Box::new(error))
    }
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        client::Error::from(status).into()
    }
}

/// What must be there.
fn there<T>(value: Option<T>, what: &'static str) -> Result<T, Broken> {
    value.ok_or(Broken::Missing(Missing(what)))
}

/// Where the nurse lives.
const HOME: &str = "Europe/London";

async fn tell(stage: &mut Stage) -> Result<(), Broken> {
    stage.screen.title("Respite: a nurse finds somebody to talk to, around her shifts, under an alias");
    let now = screen::time(&stage.home(), stage.app.clock.now());
    stage.screen.clock(&format!("The story's clock stands still at {now} until it is moved."));
    finding::directory(stage).await?;
    let nurse = finding::alias(stage).await?;
    let week = finding::roster(stage, &nurse).await?;
    let slots = finding::slots(stage, &nurse, &week).await?;
    // With a server of its own in it, it would make the whole story's future a large one.
    Box::pin(national::ask(stage, &week)).await?;
    let booked = booking::book(stage, &nurse, &slots).await?;
    booking::remind(stage, &nurse, &booked).await?;
    let handle = booking::agenda(stage, &nurse, &booked).await?;
    booking::join(stage, &nurse, &booked, &handle).await?;
    let traces = traces::show(stage, &nurse, &week, &booked).await?;
    traces::erase(stage, &nurse, &booked, &traces).await?;
    if let Some(program) = hospital::program()? {
        // With sixty phones in it, it would make the whole story's future a large one.
        return Box::pin(pay(stage, program)).await;
    }
    stage.screen.part("A hospital that pays");
    stage.screen.say(
        "Not told: its program is not beside this one. `cargo build --release` at the top of the repository puts it \
         there.",
    );
    Ok(())
}

/// The other side: a hospital that pays, and what everybody can see of it.
async fn pay(stage: &mut Stage, program: PathBuf) -> Result<(), Broken> {
    let hospital = hospital::found(stage, program).await?;
    let fetched = hospital::fetch(stage, &hospital).await?;
    let visit = hospital::book(stage, &hospital, fetched).await?;
    sides::show(stage, &hospital, &visit).await
}

fn settings(folder: &Path) -> Result<Config, ConfigError> {
    let database = folder.join("respite.db");
    let text = format!(
        "[database]\nurl = 'sqlite://{}'\n[web]\nallowed_origins = ['{}']\n",
        database.display(),
        play::WEB_PAGE
    );
    Config::parse("demo", &text)
}

/// On the usual port, or on any if that is taken.
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, Config::default().listen.port()))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The same socket again: one server closes its own, and the next is reached at the same address.
fn reopened(listener: &TcpListener) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener.try_clone()?)
}
