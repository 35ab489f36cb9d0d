use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpStream, sync::Semaphore, task::spawn_blocking, time::timeout};

use crate::{address::is_public, fetcher::Cause};

/// The one port that is connected to.
const HTTPS: u16 = 443;

/// A name with more addresses than these is tried no further.
const MAX_ADDRESSES: usize = 3;

/// How long one address may take to answer, so that another one gets its turn.
const CONNECT: Duration = Duration::from_secs(3);

/// How many names are looked up at once.
const MAX_LOOKUPS: usize = 16;

/// What is beyond this machine.
pub(crate) enum Network {
    /// What the system's resolver and sockets reach.
    Internet {
        /// The system's resolver cannot be called off: a lookup that outlives its fetch keeps its thread and its
        /// permit, so that slow name servers take that many threads and no more.
        lookups: Arc<Semaphore>,
    },
    #[cfg(test)]
    Staged(Arc<staged::Stage>),
}

impl Network {
    pub(crate) fn internet() -> Self {
        Self::Internet { lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// Connects to a host at a public address.
    ///
    /// There is one lookup, and the very addresses that were judged are those connected to: a name that means
    /// something else a moment later gains nothing. A name with one inward address among others is refused as a whole.
    /// It is an attack or a mistake, and with a part of the answer dropped, chance would decide whether it works.
    pub(crate) async fn reach(&self, host: &str) -> Result<TcpStream, Cause> {
        let addresses = self.look_up(host).await.map_err(|_| Cause::Name)?;
        if addresses.is_empty() {
            return Err(Cause::Name);
        }
        if !addresses.iter().copied().all(is_public) {
            return Err(Cause::Inward);
        }
        for address in addresses.into_iter().take(MAX_ADDRESSES) {
            let address = SocketAddr::new(address, HTTPS);
            if let Ok(Ok(stream)) = timeout(CONNECT, self.connect(address)).await {
                return Ok(stream);
            }
        }
        Err(Cause::Connection)
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::Internet { lookups } => {
                let permit = lookups.clone().acquire_owned().await.expect("the semaphore is never closed");
                // The dot at the end keeps the system from trying the name within its own domains.
                let name = format!("{host}.");
                spawn_blocking(move || {
                    let _permit = permit;
                    Ok((name, HTTPS).to_socket_addrs()?.map(|address| address.ip()).collect())
                })
                .await?
            }
            #[cfg(test)]
            Self::Staged(stage) => stage.look_up(host),
        }
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        match self {
            Self::Internet { .. } => TcpStream::connect(address).await,
            #[cfg(test)]
            Self::Staged(stage) => stage.connect(address).await,
        }
    }
}

/// A network for tests: names and addresses as a test says, and behind them one real socket on this machine.
///
/// No guard is loosened for it. The addresses it tells are judged as any other, and only then does it lead a public
/// one to where the test listens.
#[cfg(test)]
pub(crate) mod staged {
    use std::{collections::VecDeque, future::pending, net::Ipv4Addr, sync::Mutex};

    use super::{IpAddr, SocketAddr, TcpStream, io};

    /// Nobody listens here.
    pub(crate) const REFUSING: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 0, 0, 1));
    /// A firewall drops whatever comes here.
    pub(crate) const SILENT: IpAddr = IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1));

    pub(crate) struct Stage {
        /// What the lookups find, one after the other; the last one stays.
        pub(crate) answers: Mutex<VecDeque<Vec<IpAddr>>>,
        /// Who is behind every other address, inward ones among them.
        pub(crate) listener: SocketAddr,
        pub(crate) looked_up: Mutex<Vec<String>>,
        pub(crate) dialled: Mutex<Vec<SocketAddr>>,
    }

    impl Stage {
        pub(super) fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
            self.looked_up.lock().unwrap().push(host.to_owned());
            let mut answers = self.answers.lock().unwrap();
            let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
            answer.ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
            self.dialled.lock().unwrap().push(address);
            match address.ip() {
                REFUSING => Err(io::ErrorKind::ConnectionRefused.into()),
                SILENT => pending().await,
                _ => TcpStream::connect(self.listener).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_this_machine_leads_nowhere() {
        // Some resolvers know no `localhost.`, and some do.
        let outcome = Network::internet().reach("localhost").await;
        assert!(matches!(outcome, Err(Cause::Name | Cause::Inward)), "{outcome:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lookup_waits_for_those_that_cannot_be_called_off() {
        let network = Network::Internet { lookups: Arc::new(Semaphore::new(0)) };
        assert!(timeout(Duration::from_secs(10), network.look_up("localhost")).await.is_err());
    }
}
