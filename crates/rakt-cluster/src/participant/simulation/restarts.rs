//! Many nodes that come at once: to a cluster that is there, and where all were killed.

use std::time::Duration;

use super::chaos::number;
use super::scenarios::{cluster, each, seconds, traced};
use super::state::World;

/// How many nodes there are where nobody says.
const NODES: u64 = 40;
/// Within this all have to be members.
const WITHIN: Duration = Duration::from_secs(60);

impl World {
    /// Starts so many, and goes on until all that run are members. What that took is told.
    #[expect(clippy::disallowed_macros, reason = "says how long it takes")]
    fn come(&mut self, count: u64) {
        let (began, swaps) = (self.now, self.register.swaps);
        let (conflicts, asked, sent) =
            (self.register.conflicts, self.register.asked, self.network.sent);
        for _ in 0..count {
            let port = self.port();
            self.start(port);
        }
        while !self.is_well() && self.now - began <= WITHIN && self.checks.broken.is_none() {
            self.run(Duration::from_millis(100));
        }
        let (took, swaps) = (self.now - began, self.register.swaps - swaps);
        let (conflicts, asked, sent) = (
            self.register.conflicts - conflicts,
            self.register.asked - asked,
            self.network.sent - sent,
        );
        println!(
            "{count} came in {took:?}: {swaps} swaps, {conflicts} conflicts, {asked} asked of the register, {sent} messages"
        );
        if took > WITHIN {
            self.broken(|| format!("{count} have not come within {WITHIN:?}"));
        }
    }
}

#[test]
fn x20_many_that_are_restarted_at_once_are_a_cluster_within_a_minute() {
    let nodes = number("RAKT_NODES").unwrap_or(NODES);
    each(1, |seed, is_traced| {
        let mut world = traced(cluster(seed, 1), is_traced);
        world.come(nodes - 1);
        for at in world.running().collect::<Vec<_>>() {
            world.kill(at);
        }
        world.run(seconds(1));
        world.come(nodes);
        world.check_equal(true);
        world
    });
}
