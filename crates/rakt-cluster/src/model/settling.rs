//! Liveness, as far as one can check it state by state: from every state that can be reached, a cluster to which nothing more
//! happens, whose words arrive and whose register answers, serves every grain again within some rounds.

use super::*;

/// In one round every node hears all that is known, says again what was not answered, and a tick passes.
const ROUNDS: usize = 8;

impl Cluster {
    /// Whether every grain is served in the end. A cluster without any node that is Up and runs has nobody to serve.
    pub(super) fn serves_again(&self, s: &State) -> bool {
        let mut s = State { left: Most::default(), ..s.clone() };
        s.nodes.retain(|_, node| !node.cut_off);
        for _ in 0..ROUNDS {
            self.round(&mut s);
            if self.grains.iter().all(|grain| self.is_served(&s, grain)) {
                return true;
            }
        }
        !s.views
            .last()
            .expect("one")
            .up()
            .any(|m| s.nodes.get(&m.id).is_some_and(|n| n.directory.seat() == m.seat()))
    }

    fn round(&self, s: &mut State) {
        let newest = s.views.last().expect("one").clone();
        let ids: Vec<_> = s.nodes.keys().copied().collect();
        // What was under way is lost.
        s.sent.clear();
        for id in &ids {
            self.learn(s, *id, &newest);
            let node = s.nodes.get_mut(id).expect("there");
            let look = node.lease.look(NOW);
            let _ = node.lease.read(look, &newest);
        }
        for id in &ids {
            let node = &s.nodes[id];
            let (seat, again) = (node.directory.seat(), node.directory.clone().again());
            self.follow(s, seat, again);
        }
        self.deliver_all(s);
        for (id, grain) in
            ids.iter().flat_map(|id| self.grains.iter().map(move |grain| (*id, grain)))
        {
            let node = s.nodes.get_mut(&id).expect("there");
            let (seat, found) =
                (node.directory.seat(), node.directory.find(grain, &node.lease, NOW));
            let commands = match found {
                Found::Vacant => {
                    let host = node.directory.view().up().last().expect("this one").seat();
                    node.directory.grant(grain, host, &node.lease, NOW).expect("vacant")
                }
                Found::Claimed(entry) | Found::Route(entry) => {
                    node.directory.doubt(grain, entry.epoch)
                }
                _ => Vec::new(),
            };
            self.follow(s, seat, commands);
        }
        self.deliver_all(s);
        for node in s.nodes.values_mut() {
            node.lease.shift(LEASE / 2, NOW);
            node.directory.shift(LEASE * 6 / 10, NOW);
        }
    }

    pub(super) fn deliver_all(&self, s: &mut State) {
        while let Some(sent) = s.sent.pop_first() {
            self.deliver(s, sent);
        }
    }

    /// Whether the owner of its slot knows where it lives, and it lives there, under a lease.
    fn is_served(&self, s: &State, grain: &Grain) -> bool {
        s.nodes.values().any(|node| {
            let found = node.directory.find(grain, &node.lease, NOW);
            let (Found::Claimed(entry) | Found::Route(entry)) = found else { return false };
            let lives = |host: &Node| {
                host.directory.lives().any(|l| l.epoch == entry.epoch && l.grain == *grain)
            };
            s.nodes.get(&entry.host.id).is_some_and(lives)
        })
    }
}
