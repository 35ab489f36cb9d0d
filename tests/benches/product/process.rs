//! Programs measured from outside: started with settings of their own, asked when they serve, and ended.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tonic::transport::{Channel, Endpoint};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

use crate::{Bench, Failed};

/// One machine asks for as much as it can.
const UNHURRIED: &str = "[limits]\nconnections_per_network = 512\nanonymous_calls_per_minute = 1_000_000\n\
                         searches_per_minute = 1_000_000\nholds_per_minute = 1_000_000\n";

/// A folder with the settings, the key and perhaps the database of one server.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    respite: PathBuf,
    pub(crate) database: String,
    address: SocketAddr,
}

impl Home {
    /// With the embedded database.
    pub(crate) fn embedded(bench: &Bench) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let database = format!("sqlite://{}", folder.path().join("respite.db").display());
        Self::make(bench, folder, database)
    }

    /// With the database at `url`.
    pub(crate) fn shared(bench: &Bench, url: &str) -> Result<Self, Failed> {
        Self::make(bench, tempfile::tempdir()?, url.to_owned())
    }

    fn make(bench: &Bench, folder: tempfile::TempDir, database: String) -> Result<Self, Failed> {
        let address = free_address()?;
        let key = folder.path().join("respite.key");
        let settings = format!(
            "listen = \"{address}\"\nkey_file = \"{}\"\n[database]\nurl = \"{database}\"\n\
             [alias]\nproof_of_work_bits = 1\n[telemetry]\nlog_level = \"warn\"\n{UNHURRIED}",
            key.display()
        );
        fs::write(folder.path().join("respite.toml"), settings)?;
        let home = Self { folder, respite: bench.respite.clone(), database, address };
        let made =
            Command::new(&home.respite).args(["key", "server"]).arg(&key).stdout(Stdio::null()).status()?;
        if !made.success() {
            return Err(format!("respite key server: {made}").into());
        }
        home.run(&["migrate", "up"])?;
        Ok(home)
    }

    /// Where its disk is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `respite` with these arguments to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<(), Failed> {
        let status = self.respite(arguments).stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(format!("respite {arguments:?}: {status}").into()) }
    }

    /// Starts the server; the result tells how long until it served.
    pub(crate) async fn serve(&self) -> Result<Process, Failed> {
        Process::start(self.respite(&["serve"]), self.address).await
    }

    fn respite(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.respite);
        command.arg("--config").arg(self.folder.path().join("respite.toml")).args(arguments);
        command
    }
}

/// A server of its own, which ends with this value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start until it served.
    pub(crate) ready_after: Duration,
}

impl Process {
    /// The limit: a server that answers health checks with an empty message, and does nothing else.
    pub(crate) async fn bare() -> Result<Self, Failed> {
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").arg(address.to_string());
        Self::start(command, address).await
    }

    async fn start(mut command: Command, address: SocketAddr) -> Result<Self, Failed> {
        let started = Instant::now();
        let child = command.stdout(Stdio::null()).spawn()?;
        let mut process = Self { child, address, ready_after: Duration::ZERO };
        while !process.serves().await {
            if let Some(ended) = process.child.try_wait()? {
                return Err(format!("the server ended by itself: {ended}").into());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        process.ready_after = started.elapsed();
        Ok(process)
    }

    /// Whether it takes work; once it is reached it tells so itself.
    async fn serves(&self) -> bool {
        let Ok(channel) = self.connect().await else { return false };
        let whole = HealthCheckRequest::default();
        let Ok(told) = HealthClient::new(channel).watch(whole).await else { return false };
        let mut told = told.into_inner();
        while let Ok(Some(status)) = told.message().await {
            if status.status == ServingStatus::Serving as i32 {
                return true;
            }
        }
        false
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        Endpoint::from_shared(format!("http://{}", self.address))?.connect().await
    }

    /// Seconds of processor time so far.
    pub(crate) fn cpu(&self) -> Result<f64, Failed> {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The program's name, in brackets, may hold spaces; user and system time are the 12th and 13th after it.
        let after_name = text.rsplit_once(')').ok_or("no such process")?.1;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / 100.0)
    }

    /// Mebibytes in memory, shared pages included.
    pub(crate) fn resident(&self) -> Result<f64, Failed> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no such process")?;
        let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> Result<SocketAddr, std::io::Error> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
