//! How much the same caller, or the same network, may ask for: counters in memory, and nobody's name beside them.
//!
//! **Invariant:** all of it is as large as it is when it is made, whoever asks. A crate with a map of those who asked,
//! such as `governor`, has to be swept, and a flood from many addresses fills it between two sweeps.
//!
//! Whoever asks stands for a place in each of two rows, which nobody can tell without a key that lives in memory for a
//! day. Two who share a place use it up together, so they are refused only when both of theirs are used up: with
//! `n` networks at their limit at the same time, an innocent one is refused with a chance of about (`n` / 8,192)², which
//! is one in 6,700 for a hundred of them.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
// The wall clock is corrected now and then, and the one of a test stands still: what is used up comes back by neither.
use tokio::time::Instant as Moment;
use zeroize::Zeroizing;

use crate::{Caller, access, error::Error};

/// A kind of what is asked for, as far as limits tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A connection, before it asks for anything.
    Connection,
    /// Signing in, and making an alias.
    Login,
    /// Signing in with the word of an identity provider, which is waited for.
    Identity,
    /// A search.
    Search,
    /// Taking a therapist's time.
    Hold,
    /// A roster.
    Import,
    /// Every other call.
    Other,
}

impl Class {
    /// Each with the name that metrics have for it.
    const ALL: [(Self, &'static str); 7] = [
        (Self::Connection, "connection"),
        (Self::Login, "login"),
        (Self::Identity, "identity"),
        (Self::Search, "search"),
        (Self::Hold, "hold"),
        (Self::Import, "import"),
        (Self::Other, "other"),
    ];

    /// Of a call by its path; none of what has no limit: that it is not ours costs nothing to say, and whom to call at
    /// once is told whoever asks however often.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/respite.v1.DirectoryService/ListCrisisResources" => None,
            "/respite.v1.AliasService/BeginCreateAlias"
            | "/respite.v1.AliasService/BeginIdTokenLogin"
            | "/respite.v1.AliasService/BeginLogin"
            | "/respite.v1.AliasService/CreateAlias"
            | "/respite.v1.AliasService/FinishLogin" => Some(Self::Login),
            "/respite.v1.AliasService/FinishIdTokenLogin" => Some(Self::Identity),
            "/respite.v1.AvailabilityService/PreviewAvailability"
            | "/respite.v1.DirectoryService/SearchTherapists"
            | "/respite.v1.SlotService/SearchSlots"
            | "/respite.v1.SlotService/WatchSlots" => Some(Self::Search),
            "/respite.v1.BookingService/HoldSlot" | "/respite.v1.BookingService/RescheduleBooking" => {
                Some(Self::Hold)
            }
            "/respite.v1.RosterService/ImportRoster" => Some(Self::Import),
            _ => access::policy(path).map(|_| Self::Other),
        }
    }
}

/// How many calls a minute may be made; as many at once, if the minute before had none.
#[derive(Clone, Copy, Debug)]
pub struct Allowances {
    /// By everybody of one network who is not known: without a token, or to get one.
    pub anonymous: u32,
    /// Searches by one caller.
    pub searches: u32,
    /// Times taken by one caller.
    pub holds: u32,
    /// Rosters brought by one caller.
    pub imports: u32,
}

/// What has been used up of each caller's and each network's share, and how often that was said.
pub struct Rates {
    callers: Spots,
    anonymous: Counters,
    searches: Counters,
    holds: Counters,
    imports: Counters,
    refused: [AtomicU64; Class::ALL.len()],
}

impl Rates {
    /// With nothing used up.
    #[must_use]
    pub fn new(allowances: Allowances) -> Self {
        let Allowances { anonymous, searches, holds, imports } = allowances;
        Self {
            callers: Spots::new(),
            anonymous: Counters::new(anonymous),
            searches: Counters::new(searches),
            holds: Counters::new(holds),
            imports: Counters::new(imports),
            refused: Default::default(),
        }
    }

    /// Takes a call of the network's share, by somebody who is not known. Without a network there is no limit: a
    /// server behind a proxy sees the proxy's alone.
    pub(crate) fn anonymous(&self, class: Option<Class>, network: Option<Spot>) -> Result<(), Error> {
        match (class, network) {
            (Some(class), Some(network)) => self.take(&self.anonymous, class, network),
            _ => Ok(()),
        }
    }

    /// Takes a call of the caller's share, if calls of this class cost much.
    pub(crate) fn known(&self, class: Option<Class>, caller: Caller) -> Result<(), Error> {
        let (class, counters) = match class {
            Some(class @ Class::Search) => (class, &self.searches),
            Some(class @ Class::Hold) => (class, &self.holds),
            Some(class @ Class::Import) => (class, &self.imports),
            Some(Class::Connection | Class::Login | Class::Identity | Class::Other) | None => return Ok(()),
        };
        let id = match caller {
            Caller::Anonymous => return Ok(()),
            Caller::Alias(id) => id.0,
            Caller::Therapist(id) => id.0,
            Caller::Operator(id) => id.0,
            Caller::Manager(id) => id.0,
        };
        self.take(counters, class, self.callers.of(id.as_bytes(), Moment::now()))
    }

    fn take(&self, counters: &Counters, class: Class, spot: Spot) -> Result<(), Error> {
        counters.take(spot, Moment::now()).map_err(|wait| {
            self.refuse(class);
            Error::RateLimited { wait: TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX) }
        })
    }

    /// Counts something of this class that was refused since too much was asked.
    pub fn refuse(&self, class: Class) {
        self.refused[class as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How much of each class was refused so far, and that is all that is known of it.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Class::ALL.iter().zip(&self.refused).map(|((_, name), count)| (*name, count.load(Ordering::Relaxed)))
    }
}

/// How many places a row has: 128 kilobytes for both rows of one kind.
const WIDTH: usize = 1 << 13;
/// In what a share is used up and comes back.
const WINDOW: Duration = Duration::from_mins(1);
/// How long a key lives: what it hides behind a place is not to be found out later.
const KEPT: Duration = Duration::from_hours(24);

/// What stands for somebody who asks: a place in each row, shared with others.
#[derive(Clone, Copy)]
pub struct Spot([usize; 2]);

/// Finds the places of those who ask, by HMAC-SHA-256 under a key of this process and day.
pub struct Spots(Mutex<Key>);

struct Key {
    bytes: Zeroizing<[u8; 32]>,
    made: Moment,
}

impl Spots {
    /// Under a key of its own.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a key is drawn, and no two are alike")]
    pub fn new() -> Self {
        Self(Mutex::new(Key::new(Moment::now())))
    }

    /// Of whom these bytes name.
    pub fn of(&self, who: &[u8], now: Moment) -> Spot {
        let key = {
            let mut key = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_duration_since(key.made) >= KEPT {
                *key = Key::new(now);
            }
            key.bytes.clone()
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_ref()).expect("HMAC takes a key of any length");
        mac.update(who);
        let mac = mac.finalize().into_bytes();
        Spot([0, 2].map(|at| usize::from(u16::from_be_bytes([mac[at], mac[at + 1]])) % WIDTH))
    }
}

impl Key {
    fn new(made: Moment) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(bytes.as_mut()).expect("the operating system has randomness to give");
        Self { bytes, made }
    }
}

/// Two rows of counters.
pub struct Rows<T>([Box<[T]>; 2]);

impl<T: Default> Rows<T> {
    /// With nothing counted.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "what takes this much memory is not made by the way")]
    pub fn new() -> Self {
        Self([(); 2].map(|()| std::iter::repeat_with(T::default).take(WIDTH).collect()))
    }

    /// The two that stand for somebody.
    pub fn at(&self, spot: Spot) -> [&T; 2] {
        [&self.0[0][spot.0[0]], &self.0[1][spot.0[1]]]
    }
}

/// By which time each share will be whole again (GCRA), in nanoseconds since `made`.
struct Counters {
    rows: Rows<AtomicU64>,
    made: Moment,
    /// Until what one call takes has come back.
    each: u64,
}

impl Counters {
    fn new(a_minute: u32) -> Self {
        Self {
            rows: Rows::new(),
            made: Moment::now(),
            each: nanoseconds(WINDOW) / u64::from(a_minute.max(1)),
        }
    }

    /// Takes a call of the share, or says when there will be one.
    fn take(&self, spot: Spot, now: Moment) -> Result<(), Duration> {
        let now = nanoseconds(now.saturating_duration_since(self.made));
        // Both pay, as far as they can: one that is used up is shared with somebody who asks more.
        let [first, second] = self.rows.at(spot).map(|counter| take(counter, now, self.each));
        match (first, second) {
            (Err(first), Err(second)) => Err(Duration::from_nanos(first.min(second))),
            _ => Ok(()),
        }
    }
}

fn take(counter: &AtomicU64, now: u64, each: u64) -> Result<(), u64> {
    let whole_at = |before| whole_at(before, now, each, nanoseconds(WINDOW));
    let taken = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| whole_at(before).ok());
    taken.or_else(whole_at).map(drop)
}

/// By when the share is whole again once another call is taken of it, or how long there is none to take.
fn whole_at(before: u64, now: u64, each: u64, window: u64) -> Result<u64, u64> {
    let after = before.max(now) + each;
    match after.saturating_sub(now + window) {
        0 => Ok(after),
        wait => Err(wait),
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    // Five centuries are as good as for ever.
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::POLICIES;

    /// A vessel that is looked at in every moment: each call pours in `each`, each moment takes out one.
    struct Vessel {
        level: u64,
        each: u64,
        size: u64,
    }

    impl Vessel {
        fn moment(&mut self) {
            self.level = self.level.saturating_sub(1);
        }

        fn has_room(&self) -> bool {
            self.level + self.each <= self.size
        }

        /// How many moments until it has room.
        fn wait(&self) -> u64 {
            let mut later = Self { ..*self };
            let mut moments = 0;
            while !later.has_room() {
                later.moment();
                moments += 1;
            }
            moments
        }
    }

    proptest! {
        #[test]
        fn a_share_is_used_up_and_comes_back_like_water(
            each in 1_u64..20,
            calls in 1_u64..8,
            steps in prop::collection::vec((0_u64..40, 0_usize..12), 1..40),
        ) {
            let size = each * calls;
            let mut vessel = Vessel { level: 0, each, size };
            let (mut whole, mut now) = (0, 1_000);
            for (moments, attempts) in steps {
                for _ in 0..moments {
                    vessel.moment();
                }
                now += moments;
                for _ in 0..attempts {
                    match whole_at(whole, now, each, size) {
                        Ok(after) => {
                            prop_assert!(vessel.has_room());
                            vessel.level += each;
                            whole = after;
                        }
                        Err(wait) => prop_assert_eq!(wait, vessel.wait()),
                    }
                }
            }
        }
    }

    /// How many calls in a row are let in at `now`, and what the next is told.
    fn in_a_row(counters: &Counters, spot: Spot, now: Moment) -> (usize, Duration) {
        let mut taken = 0;
        loop {
            match counters.take(spot, now) {
                Ok(()) => taken += 1,
                Err(wait) => return (taken, wait),
            }
            assert!(taken < 10_000, "nothing is refused");
        }
    }

    #[test]
    fn a_minutes_share_may_be_taken_at_once_and_the_wait_told_is_enough_and_no_more() {
        let (counters, spot) = (Counters::new(30), Spot([1, 2]));
        let now = counters.made + Duration::from_mins(5);
        let (taken, wait) = in_a_row(&counters, spot, now);
        assert_eq!((taken, wait), (30, Duration::from_secs(2)));
        let almost = now + wait - Duration::from_nanos(1);
        assert_eq!(counters.take(spot, almost).unwrap_err(), Duration::from_nanos(1));
        assert_eq!(in_a_row(&counters, spot, now + wait).0, 1);
        assert_eq!(in_a_row(&counters, spot, now + Duration::from_mins(2)).0, 30);
    }

    #[test]
    fn whoever_shares_one_place_with_a_flood_has_the_other() {
        let counters = Counters::new(30);
        let now = counters.made;
        in_a_row(&counters, Spot([1, 2]), now);
        assert_eq!(in_a_row(&counters, Spot([1, 3]), now).0, 30);
        assert_eq!(in_a_row(&counters, Spot([4, 2]), now).0, 30);
        // Only who shares both has nothing left; this one shares each with another flood, and waits for the sooner.
        assert_eq!(in_a_row(&counters, Spot([4, 3]), now), (0, Duration::from_secs(2)));
        let later = now + Duration::from_secs(1);
        in_a_row(&counters, Spot([5, 6]), later);
        assert_eq!(in_a_row(&counters, Spot([4, 6]), later), (0, Duration::from_secs(1)));
        assert_eq!(in_a_row(&counters, Spot([5, 3]), later), (0, Duration::from_secs(1)));
    }

    /// The counters are as many as before, and whoever asks as much as all others is let in.
    #[test]
    fn a_million_networks_take_no_more_memory_and_stop_nobody() {
        let counters = Counters::new(1_200);
        for network in 0..1_000_000_u32 {
            // As good as a key, and sooner computed.
            let mixed = network.wrapping_mul(2_654_435_761).swap_bytes().wrapping_mul(2_246_822_519);
            let spot = Spot([mixed >> 16, mixed].map(|place| usize::try_from(place).unwrap() % WIDTH));
            counters.take(spot, counters.made).unwrap();
        }
        assert_eq!(counters.rows.0.each_ref().map(|row| row.len()), [WIDTH; 2]);
    }

    #[test]
    fn places_are_spread_over_both_rows() {
        let (spots, now) = (Spots::new(), Moment::now());
        let networks = 4 * u32::try_from(WIDTH).unwrap();
        let places = (0..networks).flat_map(|network| {
            let Spot([first, second]) = spots.of(&network.to_be_bytes(), now);
            [(0, first), (1, second)]
        });
        // By chance 1 of 55 is left out.
        assert!(places.collect::<HashSet<_>>().len() > 2 * WIDTH * 19 / 20);
    }

    #[test]
    fn a_place_is_another_on_the_next_day_and_in_the_next_process() {
        let spots = Spots::new();
        let all = |spots: &Spots, now| (0_u8..100).map(|who| spots.of(&[who], now).0).collect::<Vec<_>>();
        let made = spots.0.lock().unwrap().made;
        let today = all(&spots, made);
        assert_eq!(all(&spots, made + KEPT - Duration::from_secs(1)), today);
        let tomorrow = all(&spots, made + KEPT);
        assert_ne!(tomorrow, today);
        // The key of the day before is gone.
        assert_eq!(all(&spots, made), tomorrow);
        assert_ne!(all(&Spots::new(), made), today);
    }

    #[test]
    fn refusals_are_counted_by_class_and_known_callers_are_limited_where_calls_cost_much() {
        let rates = Rates::new(Allowances { anonymous: 1, searches: 2, holds: 3, imports: 4 });
        let [one, other] = [(); 2].map(|()| Caller::Alias(store::AliasId::random()));
        for (class, most) in [(Class::Search, 2), (Class::Hold, 3), (Class::Import, 4)] {
            for _ in 0..most {
                rates.known(Some(class), one).unwrap();
            }
            assert!(matches!(rates.known(Some(class), one), Err(Error::RateLimited { .. })));
            rates.known(Some(class), other).unwrap();
        }
        for class in [None, Some(Class::Login), Some(Class::Identity), Some(Class::Other)] {
            (0..100).for_each(|_| rates.known(class, one).unwrap());
        }
        // Who is not known is the network's, and of no network nobody's.
        let network = Some(Spot([1, 2]));
        (0..100).for_each(|_| rates.anonymous(None, network).unwrap());
        (0..100).for_each(|_| rates.anonymous(Some(Class::Login), None).unwrap());
        rates.anonymous(Some(Class::Login), network).unwrap();
        assert!(rates.anonymous(Some(Class::Other), network).is_err());
        rates.refuse(Class::Connection);
        let refused: Vec<_> = rates.refused().map(|(name, count)| format!("{name} {count}")).collect();
        let expected = ["connection 1", "login 0", "identity 0", "search 1", "hold 1", "import 1", "other 1"];
        assert_eq!(refused, expected);
    }

    #[test]
    fn every_call_has_a_class_but_the_one_that_may_save_a_life() {
        let without: Vec<_> =
            POLICIES.iter().map(|(path, _)| *path).filter(|path| Class::of(path).is_none()).collect();
        assert_eq!(without, ["/respite.v1.DirectoryService/ListCrisisResources"]);
        assert_eq!(Class::of("/grpc.health.v1.Health/Check"), None);
        // A name in the table of classes that no call has would be a limit that holds nobody.
        let special =
            POLICIES.iter().filter(|(path, _)| Class::of(path).is_some_and(|class| class != Class::Other));
        assert_eq!(special.count(), 13);
    }
}
