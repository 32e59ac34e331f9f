//! Leases and takeovers against a register that delays, loses and forgets: nobody takes what another still holds, whatever
//! the clocks show, as long as no two differ by more than a fifth in rate.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rakt_cluster::lease::{Lease, Look, Next};
use rakt_cluster::propose::{Change, Newcomer, found, propose};
use rakt_cluster::register::{Attempt, Swapped, Version};
use rakt_cluster::sim::{Answer, Operation, Sim, Ticket};
use rakt_cluster::takeover::Waits;
use rakt_cluster::{Incarnation, NodeId, Seat, View};

const NODES: usize = 3;

/// A node, with a clock of its own rate and its own time at the start.
struct Node {
    offset: u64,
    rate: u64,
    lease: Lease,
    waits: Waits,
    view: View,
    version: Version,
    looks: Vec<(Ticket, Look)>,
}

struct World {
    sim: Sim,
    /// In milliseconds.
    now: u64,
    nodes: Vec<Node>,
    takeovers: usize,
}

impl Node {
    fn clock(&self, now: u64) -> Duration {
        // Rates are from 100 to 120 %; only rates against each other matter.
        Duration::from_micros(self.offset + now * self.rate * 10)
    }

    fn learn(&mut self, now: u64, version: Version, view: View) {
        if view.stamp() > self.view.stamp() {
            self.lease.learn(&view);
            self.waits.learn(&view, self.clock(now));
            (self.view, self.version) = (view, version);
        }
    }
}

impl World {
    fn new(rates: &[u64], offsets: &[u64]) -> Self {
        let founder = |id| Newcomer {
            id: NodeId(id),
            incarnation: Incarnation(id),
            host: "h".into(),
            port: 1,
            roles: BTreeSet::new(),
            zone: String::new(),
            weight: 1,
            level: 1,
        };
        let lease = Duration::from_secs(1);
        let view = found(1, 1, None, lease, (0..3).map(founder).collect()).expect("founded");
        let node = |id: usize| Node {
            offset: offsets[id],
            rate: rates[id],
            lease: Lease::new(&view, NodeId(id as u128), Incarnation(id as u128)).expect("listed"),
            waits: Waits::default(),
            view: view.clone(),
            version: Version(1),
            looks: Vec::new(),
        };
        let nodes = (0..NODES).map(node).collect();
        Self { sim: Sim::new(view.encode()), now: 0, nodes, takeovers: 0 }
    }

    fn act(&mut self, (what, who, number): (u8, usize, usize)) {
        let node = &mut self.nodes[who];
        match what {
            0 => self.now += number as u64 * 40,
            1 => {
                let ticket = self.sim.begin(Operation::Confirm(node.version));
                node.looks.push((ticket, node.lease.look(node.clock(self.now))));
            }
            2 => {
                let ticket = self.sim.begin(Operation::Read);
                node.looks.push((ticket, node.lease.look(node.clock(self.now))));
            }
            3 => {
                let waiting: Vec<_> = self.sim.waiting().collect();
                waiting
                    .get(number % waiting.len().max(1))
                    .into_iter()
                    .for_each(|ticket| self.sim.apply(*ticket));
            }
            5 if !node.looks.is_empty() => {
                let at = number % node.looks.len();
                let (ticket, look) = node.looks[at];
                let Some(answer) = self.sim.answer(ticket) else { return };
                let _ = node.looks.remove(at);
                match answer {
                    Answer::Confirm(outcome) => drop(node.lease.confirmed(look, outcome)),
                    Answer::Read(Some((version, bytes))) => {
                        let view = View::decode(&bytes).expect("a view");
                        assert_ne!(node.lease.read(look, &view), Next::Alarm);
                        node.learn(self.now, version, view);
                    }
                    _ => {}
                }
            }
            7 => {
                // Somebody who knows the newest view says that one is dead, or drops one after its own wait.
                let (version, bytes) = self.sim.newest();
                let view = View::decode(bytes).expect("a view");
                if node.version != version {
                    return;
                }
                let mut changes: Vec<_> =
                    node.waits.droppable(node.clock(self.now)).map(Change::Drop).collect();
                let victim =
                    view.up().nth(number % NODES).map(|member| Change::Dead(member.seat()));
                changes.extend(victim.filter(|_| changes.is_empty()));
                let Some(next) = propose(&view, &changes).view else { return };
                let attempt = Attempt { over: version, bytes: next.encode() };
                let ticket = self.sim.begin(Operation::Swap(attempt));
                self.sim.apply(ticket);
                if let Some(Answer::Swap(Swapped::Done(version))) = self.sim.answer(ticket) {
                    self.nodes[who].learn(self.now, version, next);
                }
            }
            8 => {
                // A view from a peer.
                let (view, version) =
                    (self.nodes[number % NODES].view.clone(), self.nodes[number % NODES].version);
                self.nodes[who].learn(self.now, version, view);
            }
            9 if number == 0 => self.sim.lose(),
            _ => {}
        }
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        let holders = self.nodes.iter().filter(|node| node.lease.may_host(node.clock(self.now)));
        let holders: Vec<Seat> = holders.map(|node| node.lease.seat()).collect();
        for taker in &self.nodes {
            let over = |seat| taker.waits.over(&taker.view, seat, taker.clock(self.now));
            for seat in &holders {
                prop_assert!(!over(*seat), "{seat} still hosts, and may be taken");
            }
            self.takeovers += taker.view.dead().filter(|seat| over(*seat)).count();
        }
        Ok(())
    }
}

/// Mostly time that passes and looks at the register that come through: few deaths, and few hear of them soon.
fn what() -> impl Strategy<Value = u8> {
    prop_oneof![12 => Just(0_u8), 6 => Just(1), 1 => Just(2), 10 => Just(3), 10 => Just(5), 2 => Just(7), 1 => 8..10_u8]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn nobody_takes_what_another_still_holds(
        rates in vec(prop_oneof![Just(100_u64), Just(120), 100..=120_u64], NODES),
        offsets in vec(0..100_000_000_u64, NODES),
        acts in vec((what(), 0..NODES, 0..8_usize), 1..120),
    ) {
        let mut world = World::new(&rates, &offsets);
        for act in acts {
            world.act(act);
            world.check()?;
        }
    }
}

/// The property above is empty where nobody ever takes anything.
#[test]
fn there_are_takeovers() {
    let mut world = World::new(&[100, 120, 110], &[0, 5, 9]);
    let (confirm, apply, answer, kill, read, wait) =
        ((1, 0, 0), (3, 0, 0), (5, 0, 0), (7, 1, 0), (2, 1, 0), (0, 0, 7));
    for act in [confirm, apply, answer, kill, read, apply, (5, 1, 0), wait, wait, wait] {
        world.act(act);
        world.check().expect("nobody takes");
    }
    assert!(world.nodes[0].lease.may_host(world.nodes[0].clock(world.now)));
    [wait, wait].into_iter().for_each(|act| world.act(act));
    world.check().expect("nobody takes");
    assert_eq!(world.takeovers, 1);
}
