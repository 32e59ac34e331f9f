//! Who may hold a connection slot: limits for all peers together, and for those of one address.
//!
//! A connection that has not greeted yet costs its peer nothing, so of those one address may have few. What
//! one address has beyond its limits it has not in place of others: all others find the slots free that are
//! left to them. A few slots are kept for addresses whose peers have greeted before, for the case that
//! strangers from many addresses hold all the rest.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::refuse::refuse;
use crate::peer::Peer;
use crate::sync::Mutex;
use crate::system::ConfigError;
use crate::timers::now;

/// Connections beyond the allowed ones that are told so, at a time; further ones are just closed.
const MAX_TURNED_AWAY: u32 = 1024;
/// Those of one address.
const MAX_TURNED_AWAY_EACH: u32 = 32;
/// One slot in so many is kept for known addresses.
const KEPT_PART: u32 = 16;
/// Most slots that are kept for them.
const MAX_KEPT: u32 = 256;
/// A known address that has so many connections has no part in what is kept.
const KEPT_EACH: u32 = 16;
/// An address is known for so long at least, if there is room, and for twice this time at most.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 60);
/// Known addresses of the last [`KNOWN_FOR`]; as many of the time before may be known besides.
const MAX_KNOWN: usize = 2048;

/// How many connections peers may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    /// All together.
    pub(crate) all: u32,
    /// Of one address, before they have greeted.
    pub(crate) ungreeted: u32,
    /// Of one address, after that.
    pub(crate) greeted: u32,
    /// Whether a loopback address is one like others.
    pub(crate) limits_loopback: bool,
}

impl Default for Slots {
    fn default() -> Self {
        Self { all: 10_000, ungreeted: 64, greeted: 1024, limits_loopback: false }
    }
}

impl Slots {
    /// Checks every option against its range.
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        for (option, connections) in [
            ("max_connections", self.all),
            ("max_connections_per_source", self.greeted),
            ("max_ungreeted_per_source", self.ungreeted),
        ] {
            if connections == 0 {
                return refuse(option, &connections, "at least 1");
            }
        }
        Ok(())
    }
}

/// Why there is no slot for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crowded {
    All(u32),
    Ungreeted(u32),
    Greeted(u32),
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(limit) => write!(f, "{limit} connections may be open, all peers together"),
            Self::Ungreeted(limit) => {
                write!(f, "{limit} connections of one address may be open that have not greeted")
            }
            Self::Greeted(limit) => write!(f, "{limit} connections of one address may be open"),
        }
    }
}

/// Where a connection comes from, as far as limits tell places apart: an IPv4 address, or the /64 of an
/// IPv6 address, all of which one machine can have.
///
/// What is no IP address, such as the name that a transport in memory gives, is no place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(Option<IpAddr>);

impl Source {
    /// Of what a transport says: an IP address, with or without a port.
    pub(crate) fn of(from: &str) -> Self {
        let ip = from.parse().map(|address: SocketAddr| address.ip()).or_else(|_| from.parse());
        Self(ip.ok().map(|ip: IpAddr| match ip.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let [a, b, c, d, ..] = ip.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            ip => ip,
        }))
    }

    /// The address that limits hold for, of loopback only where they do.
    pub(crate) fn limited(self, limits_loopback: bool) -> Option<IpAddr> {
        self.0.filter(|ip| limits_loopback || !ip.is_loopback())
    }

    /// Whether it is an IP address.
    pub(crate) fn is_known(self) -> bool {
        self.0.is_some()
    }
}

/// A connection that has not greeted yet.
pub(crate) struct Greeting {
    /// Who it has proven to be so far, and where it comes from.
    pub(crate) peer: Peer,
    pub(crate) permit: Permit,
    /// It is closed if it has not greeted by then.
    pub(crate) until: Instant,
}

pub(crate) struct Admission {
    slots: Slots,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Connections that have a slot.
    open: u32,
    turned_away: u32,
    /// Of each address that has connections.
    sources: HashMap<IpAddr, Counts>,
    known: Known,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    ungreeted: u32,
    greeted: u32,
    turned_away: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ungreeted,
    Greeted,
    TurnedAway,
}

impl Admission {
    pub(crate) fn new(slots: Slots) -> Arc<Self> {
        Arc::new(Self { slots, state: Mutex::default() })
    }

    /// A place for a new connection: a slot, or one among those that are told that there is none.
    ///
    /// # Errors
    /// It is to be closed at once.
    pub(crate) fn admit(self: &Arc<Self>, source: Source, now: Instant) -> Result<Permit, Crowded> {
        let mut state = self.state.lock();
        let counted = self.counted(source);
        let crowded = self.crowded(&mut state, source, now);
        let standing = match crowded {
            None => Standing::Ungreeted,
            Some(why) => {
                let own = counted.and_then(|ip| state.sources.get(&ip));
                let own = own.map_or(0, |own| own.turned_away);
                if state.turned_away >= MAX_TURNED_AWAY || own >= MAX_TURNED_AWAY_EACH {
                    return Err(why);
                }
                Standing::TurnedAway
            }
        };
        state.add(counted, standing);
        drop(state);
        Ok(Permit { admission: self.clone(), source, standing, crowded })
    }

    /// Whether a peer from there has greeted lately.
    pub(crate) fn knows(&self, source: Source, now: Instant) -> bool {
        source.0.is_some_and(|ip| self.state.lock().known.has(ip, now))
    }

    /// Where it is, as far as limits for addresses hold for it.
    pub(crate) fn limited(&self, source: Source) -> Source {
        Source(self.counted(source))
    }

    /// The address whose connections are counted.
    fn counted(&self, source: Source) -> Option<IpAddr> {
        source.limited(self.slots.limits_loopback)
    }

    fn crowded(&self, state: &mut State, source: Source, now: Instant) -> Option<Crowded> {
        let Slots { all, ungreeted, greeted, .. } = self.slots;
        let own = self.counted(source).and_then(|ip| state.sources.get(&ip)).copied();
        let own = own.unwrap_or_default();
        if own.ungreeted >= ungreeted {
            return Some(Crowded::Ungreeted(ungreeted));
        }
        if own.greeted >= greeted {
            return Some(Crowded::Greeted(greeted));
        }
        let kept = (all / KEPT_PART).min(MAX_KEPT);
        let has_room = match state.open {
            open if open < all - kept => true,
            open if open < all => {
                own.greeted + own.ungreeted < KEPT_EACH
                    && source.0.is_some_and(|ip| state.known.has(ip, now))
            }
            _ => false,
        };
        (!has_room).then_some(Crowded::All(all))
    }
}

impl State {
    fn add(&mut self, source: Option<IpAddr>, standing: Standing) {
        let mut unlimited = Counts::default();
        let own = source.map(|ip| self.sources.entry(ip).or_default()).unwrap_or(&mut unlimited);
        *own.of(standing) += 1;
        *self.total(standing) += 1;
    }

    fn remove(&mut self, source: Option<IpAddr>, standing: Standing) {
        *self.total(standing) -= 1;
        let Some(ip) = source else { return };
        let Some(own) = self.sources.get_mut(&ip) else { return };
        *own.of(standing) -= 1;
        if own.ungreeted + own.greeted + own.turned_away == 0 {
            self.sources.remove(&ip);
        }
    }

    fn total(&mut self, standing: Standing) -> &mut u32 {
        match standing {
            Standing::TurnedAway => &mut self.turned_away,
            Standing::Ungreeted | Standing::Greeted => &mut self.open,
        }
    }
}

impl Counts {
    fn of(&mut self, standing: Standing) -> &mut u32 {
        match standing {
            Standing::Ungreeted => &mut self.ungreeted,
            Standing::Greeted => &mut self.greeted,
            Standing::TurnedAway => &mut self.turned_away,
        }
    }
}

/// The place of one connection, given back when dropped.
pub(crate) struct Permit {
    admission: Arc<Admission>,
    source: Source,
    standing: Standing,
    crowded: Option<Crowded>,
}

impl Permit {
    /// Why it has no slot, if it has none.
    pub(crate) fn crowded(&self) -> Option<Crowded> {
        self.crowded
    }

    /// Where it comes from, as far as limits for addresses hold for it.
    pub(crate) fn counted(&self) -> Source {
        self.admission.limited(self.source)
    }

    /// The peer has greeted.
    ///
    /// # Errors
    /// Its address has as many connections as it may have; this one is to be closed.
    pub(crate) fn greet(&mut self, now: Instant) -> Result<(), Crowded> {
        if self.standing == Standing::Greeted {
            return Ok(());
        }
        let (limit, counted) = (self.admission.slots.greeted, self.admission.counted(self.source));
        let mut state = self.admission.state.lock();
        if counted.and_then(|ip| state.sources.get(&ip)).is_some_and(|own| own.greeted >= limit) {
            return Err(Crowded::Greeted(limit));
        }
        state.remove(counted, self.standing);
        self.standing = Standing::Greeted;
        state.add(counted, self.standing);
        self.source.0.inspect(|ip| state.known.add(*ip, now));
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        state.remove(self.admission.counted(self.source), self.standing);
        if let (Standing::Greeted, Some(ip)) = (self.standing, self.source.0) {
            // Known from now on for as long as from its greeting.
            state.known.add(ip, now());
        }
    }
}

/// Addresses whose peers have greeted before, in two generations: the older one is forgotten as a whole.
#[derive(Default)]
struct Known {
    young: HashSet<IpAddr>,
    old: HashSet<IpAddr>,
    /// When the young ones get old.
    until: Option<Instant>,
}

impl Known {
    fn add(&mut self, ip: IpAddr, now: Instant) {
        self.age(now);
        if self.young.len() >= MAX_KNOWN && !self.young.contains(&ip) {
            self.old = std::mem::take(&mut self.young);
        }
        self.until.get_or_insert(now + KNOWN_FOR);
        self.young.insert(ip);
    }

    fn has(&mut self, ip: IpAddr, now: Instant) -> bool {
        self.age(now);
        self.young.contains(&ip) || self.old.contains(&ip)
    }

    fn age(&mut self, now: Instant) {
        let Some(until) = self.until.filter(|until| *until <= now) else { return };
        self.old = std::mem::take(&mut self.young);
        if now >= until + KNOWN_FOR {
            self.old.clear();
        }
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(all: u32, ungreeted: u32, greeted: u32) -> Arc<Admission> {
        Admission::new(Slots { all, ungreeted, greeted, limits_loopback: false })
    }

    fn source(n: u32) -> Source {
        Source::of(&format!("{}:4000", std::net::Ipv4Addr::from(0x0a00_0000 + n)))
    }

    impl Admission {
        /// How many connections have a slot.
        fn open(&self) -> u32 {
            self.state.lock().open
        }

        fn crowded_for(self: &Arc<Self>, source: Source, now: Instant) -> Option<Crowded> {
            self.admit(source, now).map_or_else(Some, |permit| permit.crowded())
        }
    }

    #[test]
    fn the_source_is_the_address_without_its_port() {
        let same = |a: &str, b: &str| Source::of(a) == Source::of(b);
        assert!(same("10.0.0.1:1", "10.0.0.1:2") && same("10.0.0.1:1", "10.0.0.1"));
        assert!(same("[::ffff:10.0.0.1]:1", "10.0.0.1:1"), "IPv4 over a socket of IPv6");
        assert!(!same("10.0.0.1:1", "10.0.0.2:1"));
        assert!(same("[2001:db8::1]:1", "[2001:db8::ffff:1]:1"), "a machine has a whole /64");
        assert!(!same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
        assert!(!same("[::1]:1", "[::2]:1"), "loopback is a place of its own");
        assert_eq!(Source::of("memory"), Source(None));
    }

    #[test]
    fn one_address_has_few_connections_that_have_not_greeted() {
        let (admission, now) = (slots(10_000, 64, 1024), Instant::now());
        let held: Vec<_> = (0..64).map(|_| admission.admit(source(1), now)).collect();
        assert!(held.iter().flatten().all(|permit| permit.crowded().is_none()));
        assert_eq!(admission.crowded_for(source(1), now), Some(Crowded::Ungreeted(64)));
        assert_eq!(admission.crowded_for(source(2), now), None, "another has its own");
        drop(held);
        assert_eq!(admission.crowded_for(source(1), now), None);
        assert!(admission.state.lock().sources.is_empty(), "nothing is left of those that went");
    }

    #[test]
    fn one_address_has_so_many_connections_that_have_greeted() {
        let (admission, now) = (slots(10_000, 64, 3), Instant::now());
        let mut held: Vec<_> = (0..4).flat_map(|_| admission.admit(source(1), now)).collect();
        let greeted: Vec<_> = held.iter_mut().map(|permit| permit.greet(now)).collect();
        assert_eq!(greeted, [Ok(()), Ok(()), Ok(()), Err(Crowded::Greeted(3))]);
        assert_eq!(admission.crowded_for(source(1), now), Some(Crowded::Greeted(3)));
        assert_eq!(held[0].greet(now), Ok(()), "twice is once");
        held.swap_remove(0);
        assert_eq!(held[0].greet(now), Ok(()), "a place is free");
    }

    #[test]
    fn loopback_and_names_are_not_limited_unless_asked_for() {
        let (admission, now) = (slots(100, 1, 1), Instant::now());
        let mut held = Vec::new();
        for from in ["127.0.0.1:1", "[::1]:1", "127.0.0.1:2", "[::1]:2", "memory", "memory"] {
            let mut permit = admission.admit(Source::of(from), now).expect("it is taken");
            assert_eq!((permit.crowded(), permit.greet(now)), (None, Ok(())), "{from}");
            held.push(permit);
        }
        let slots = Slots { all: 100, ungreeted: 1, greeted: 1, limits_loopback: true };
        let (admission, loopback) = (Admission::new(slots), Source::of("127.0.0.1:1"));
        let first = admission.admit(loopback, now);
        assert!(first.is_ok_and(|permit| permit.crowded().is_none()
            && admission.crowded_for(loopback, now) == Some(Crowded::Ungreeted(1))));
    }

    #[test]
    fn a_few_slots_are_kept_for_known_addresses() {
        let (admission, now) = (slots(160, 64, 1024), Instant::now());
        let mut known = admission.admit(source(0), now).expect("there is room");
        assert_eq!(known.greet(now), Ok(()));
        drop(known);
        let crowd: Vec<_> = (1..=150).flat_map(|n| admission.admit(source(n), now)).collect();
        assert_eq!(admission.open(), 150);
        assert_eq!(admission.crowded_for(source(999), now), Some(Crowded::All(160)));
        let later = now + KNOWN_FOR - Duration::from_secs(1);
        let known: Vec<_> = (0..10).flat_map(|_| admission.admit(source(0), later)).collect();
        assert!(known.iter().all(|permit| permit.crowded().is_none()));
        assert_eq!(admission.open(), 160);
        assert_eq!(admission.crowded_for(source(0), later), Some(Crowded::All(160)));
        drop(known);
        let forgotten = now + 2 * KNOWN_FOR + Duration::from_secs(1);
        assert_eq!(admission.crowded_for(source(0), forgotten), Some(Crowded::All(160)));
        drop(crowd);
    }

    #[test]
    fn one_known_address_does_not_take_all_that_is_kept() {
        let (admission, now) = (slots(1600, 2000, 2000), Instant::now());
        let mut held: Vec<_> = (0..1500).flat_map(|_| admission.admit(source(0), now)).collect();
        assert_eq!(held[0].greet(now), Ok(()));
        assert_eq!(admission.crowded_for(source(0), now), Some(Crowded::All(1600)));
    }

    #[test]
    fn known_addresses_are_bounded() {
        let (mut known, now) = (Known::default(), Instant::now());
        for n in 0..10_000 {
            known.add(IpAddr::V4(std::net::Ipv4Addr::from(n)), now);
        }
        assert!(known.young.len() + known.old.len() <= 2 * MAX_KNOWN);
        assert!(known.has(IpAddr::V4(std::net::Ipv4Addr::from(9_999)), now));
    }

    #[test]
    fn those_beyond_the_limit_are_told_so_up_to_a_bound_and_hold_no_slot() {
        let (admission, now) = (slots(2, 64, 1024), Instant::now());
        let taken: Vec<_> = (0..2).flat_map(|n| admission.admit(source(n), now)).collect();
        let told: Vec<_> = (0..40).flat_map(|_| admission.admit(source(9), now)).collect();
        assert_eq!(told.len(), MAX_TURNED_AWAY_EACH as usize);
        assert!(told.iter().all(|permit| permit.crowded() == Some(Crowded::All(2))));
        assert!(admission.admit(source(8), now).is_ok(), "another is told as well");
        let all: Vec<_> = (100..2000).flat_map(|n| admission.admit(source(n), now)).collect();
        assert_eq!(all.len(), (MAX_TURNED_AWAY - MAX_TURNED_AWAY_EACH) as usize);
        drop(taken);
        assert_eq!(admission.open(), 0);
        assert_eq!(admission.crowded_for(source(7), now), None);
    }
}
