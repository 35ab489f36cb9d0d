//! Where connections come from, as far as it must be known to stop a flood: how many are open from one network.
//!
//! **Invariant:** an address ends here. It becomes a place among thousands, by a key that the process has for a day, and
//! the place is all that is kept, in memory and nowhere else. What a proxy says of an address is never read.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use services::Rates;
use services::rates::{Class, Rows, Spot, Spots};
use tokio::time::Instant;

/// The open connections of every network, counted.
pub(crate) struct Networks {
    spots: Spots,
    open: Rows<AtomicUsize>,
    most: usize,
    rates: Arc<Rates>,
}

impl Networks {
    /// With no connection, and at most so many from each.
    pub(crate) fn new(most: NonZeroUsize, rates: Arc<Rates>) -> Self {
        Self { spots: Spots::new(), open: Rows::new(), most: most.get(), rates }
    }

    /// Counts a connection from `address` as long as what is returned lives; nothing if its network has enough.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let entered =
            Entered { networks: Arc::clone(self), spot: self.spots.of(&network(address), Instant::now()) };
        let open = self.open.at(entered.spot).map(|open| open.fetch_add(1, Ordering::Relaxed));
        // Two networks that share one of their places have the other each.
        if open.iter().all(|open| *open >= self.most) {
            self.rates.refuse(Class::Connection);
            return None;
        }
        Some(entered)
    }
}

/// A connection that is counted.
pub(crate) struct Entered {
    networks: Arc<Networks>,
    spot: Spot,
}

impl Entered {
    /// What stands for its network.
    pub(crate) fn spot(&self) -> Spot {
        self.spot
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        for open in self.networks.open.at(self.spot) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What one subscriber or one house has: an address of IPv4, and the first half of one of IPv6.
fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use services::Rates;
    use services::rates::Allowances;

    use super::{Networks, network};

    #[track_caller]
    fn check(one: &str, other: &str, same: bool) {
        let [one, other] = [one, other].map(|address| network(address.parse().unwrap()));
        assert_eq!(one == other, same, "{one:?} {other:?}");
    }

    #[test]
    fn a_network_is_an_address_of_ipv4_or_half_of_one_of_ipv6() {
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("::ffff:192.0.2.1", "192.0.2.1", true);
        check("::ffff:192.0.2.1", "::ffff:192.0.2.2", false);
        check("2001:db8:1:2::3", "2001:db8:1:2:ffff:ffff:ffff:ffff", true);
        check("2001:db8:1:2::3", "2001:db8:1:3::3", false);
        // The first half of nothing is no address of IPv4.
        check("::1", "0.0.0.0", false);
        check("::1", "::ffff:0.0.0.0", false);
    }

    #[test]
    fn a_network_has_so_many_connections_and_another_when_one_is_closed() {
        let allowances = Allowances { anonymous: 1, searches: 1, holds: 1, imports: 1 };
        let rates = Arc::new(Rates::new(allowances));
        let networks = Arc::new(Networks::new(2.try_into().unwrap(), Arc::clone(&rates)));
        let enter = |address: &str| networks.enter(address.parse().unwrap());
        let one = enter("192.0.2.1").unwrap();
        let _two = enter("192.0.2.1").unwrap();
        // Whoever is refused is not counted.
        assert!((0..10).all(|_| enter("192.0.2.1").is_none()));
        let _other = enter("192.0.2.2").unwrap();
        drop(one);
        let _three = enter("192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none());
        assert_eq!(rates.refused().next(), Some(("connection", 11)));
    }
}
