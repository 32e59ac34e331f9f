//! How many actors peers may have spawned here: for each peer, in all, and a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::Source;
use super::refuse::refuse;
use crate::error::{Bound, Refusal};
use crate::peer::{Identity, Peer};
use crate::sync::Mutex;
use crate::system::ConfigError;

/// The time in which spawns are counted for their rate.
const SECOND: Duration = Duration::from_secs(1);
/// Peers without a living actor that are kept for the sake of their rate, before those are forgotten whose
/// second is over.
const MAX_IDLE: usize = 1024;

/// What peers may spawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    /// Living actors that all peers together have spawned.
    pub(crate) all: u32,
    /// Those of one peer.
    pub(crate) each: u32,
    /// Spawns of one peer in a second, failed ones included.
    pub(crate) rate: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self { all: 100_000, each: 10_000, rate: 1_000 }
    }
}

impl Quota {
    /// Checks every option against its range.
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        for (option, value) in [
            ("max_spawned", self.all),
            ("max_spawned_per_peer", self.each),
            ("max_spawn_rate", self.rate),
        ] {
            if value == 0 {
                return refuse(option, &value, "at least 1");
            }
        }
        Ok(())
    }
}

/// Who a peer is for its quota: the identity that it has proven. Else it is its address: whoever connects again, by
/// whatever name, is the same peer, and so are several behind one gateway. Those without an IP address, in a network in
/// memory, are one peer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Whose {
    Proven(Identity),
    From(Source),
}

impl Whose {
    pub(crate) fn of(peer: &Peer) -> Self {
        match peer.identity().is_proven() {
            true => Self::Proven(peer.identity().clone()),
            false => Self::From(Source::of(peer.from())),
        }
    }
}

/// The actors that peers have spawned here and that live.
pub(crate) struct Spawned {
    quota: Quota,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: u32,
    peers: HashMap<Whose, Counts>,
}

struct Counts {
    living: u32,
    /// Spawns since then.
    recent: u32,
    since: Instant,
}

impl Spawned {
    pub(crate) fn new(quota: Quota) -> Arc<Self> {
        Arc::new(Self { quota, state: Mutex::default() })
    }

    /// A place for one more actor of a peer, which is free again once the result is dropped.
    ///
    /// # Errors
    /// Which bound is reached.
    pub(crate) fn take(self: &Arc<Self>, peer: Whose, now: Instant) -> Result<Place, Refusal> {
        let Quota { all, each, rate } = self.quota;
        let exhausted =
            |bound, limit: u32| Err(Refusal::ResourceExhausted { bound, limit: limit.into() });
        let mut state = self.state.lock();
        let (living, is_new) = (state.all, !state.peers.contains_key(&peer));
        if is_new && state.peers.len() >= MAX_IDLE + living as usize {
            state.peers.retain(|_, own| own.living > 0 || now < own.since + SECOND);
        }
        let new = || Counts { living: 0, recent: 0, since: now };
        let own = state.peers.entry(peer.clone()).or_insert_with(new);
        if now >= own.since + SECOND {
            (own.recent, own.since) = (0, now);
        }
        if own.recent >= rate {
            return exhausted(Bound::SpawnRate, rate);
        }
        own.recent += 1;
        if own.living >= each {
            return exhausted(Bound::SpawnedByPeer, each);
        }
        if living >= all {
            return exhausted(Bound::Spawned, all);
        }
        own.living += 1;
        state.all += 1;
        drop(state);
        Ok(Place { spawned: self.clone(), peer })
    }
}

/// The place of one actor.
pub(crate) struct Place {
    spawned: Arc<Spawned>,
    peer: Whose,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.spawned.state.lock();
        state.all -= 1;
        // One that lives is never forgotten.
        if let Some(own) = state.peers.get_mut(&self.peer) {
            own.living -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawned(all: u32, each: u32, rate: u32) -> Arc<Spawned> {
        Spawned::new(Quota { all, each, rate })
    }

    fn peer(n: u32) -> Whose {
        Whose::of(&Peer::unproven(&std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()))
    }

    fn bound(taken: Result<Place, Refusal>) -> Option<(Bound, u64)> {
        match taken.err()? {
            Refusal::ResourceExhausted { bound, limit } => Some((bound, limit)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_peer_has_so_many_and_all_together_so_many() {
        let (spawned, now) = (spawned(5, 3, 100), Instant::now());
        let mut own: Vec<_> = (0..3).flat_map(|_| spawned.take(peer(1), now)).collect();
        assert_eq!(bound(spawned.take(peer(1), now)), Some((Bound::SpawnedByPeer, 3)));
        let others: Vec<_> = (2..4).flat_map(|n| spawned.take(peer(n), now)).collect();
        assert_eq!(bound(spawned.take(peer(4), now)), Some((Bound::Spawned, 5)));
        drop(own.pop());
        let place = spawned.take(peer(1), now);
        assert!(place.is_ok(), "one is free");
        drop((own, others, place));
        assert_eq!(spawned.state.lock().all, 0);
    }

    #[test]
    fn a_peer_spawns_so_many_a_second() {
        let (spawned, now) = (spawned(100, 100, 3), Instant::now());
        for _ in 0..3 {
            drop(spawned.take(peer(1), now));
        }
        assert_eq!(bound(spawned.take(peer(1), now)), Some((Bound::SpawnRate, 3)));
        assert!(spawned.take(peer(2), now).is_ok(), "another has its own rate");
        assert!(spawned.take(peer(1), now + SECOND).is_ok());
    }

    #[test]
    fn peers_that_have_nothing_are_forgotten() {
        let (spawned, start) = (spawned(100, 100, 100), Instant::now());
        let kept = spawned.take(peer(0), start);
        for n in 1..100_000 {
            drop(spawned.take(peer(n), start + SECOND * n / 1000));
        }
        let peers = spawned.state.lock().peers.len();
        assert!(kept.is_ok() && peers <= 2 * MAX_IDLE + 1, "{peers}");
        assert!(spawned.state.lock().peers.contains_key(&peer(0)), "one that lives stays");
    }

    #[test]
    fn a_proven_identity_has_one_quota_wherever_it_comes_from() {
        let (spawned, now) = (spawned(100, 1, 100), Instant::now());
        let of = |name: &str, from: &str| {
            Whose::of(&Peer::new(Identity::proven([name.to_owned()]), from))
        };
        let place = spawned.take(of("dns:a", "10.0.0.1:1"), now);
        assert!(place.is_ok());
        let again = spawned.take(of("dns:a", "10.0.0.2:1"), now);
        assert_eq!(bound(again), Some((Bound::SpawnedByPeer, 1)));
        // Others at the same address have their own.
        assert!(spawned.take(of("dns:b", "10.0.0.1:2"), now).is_ok());
        assert!(spawned.take(Whose::of(&Peer::unproven("10.0.0.1:3")), now).is_ok());
    }
}
