//! Many nodes that come at once, to a cluster that is there and where all were killed, and many that leave at once.

use std::time::Duration;

use super::chaos::number;
use super::scenarios::{cluster, each, seconds, traced};
use super::state::World;
use crate::view::State;

/// How many nodes there are where nobody says.
const NODES: u64 = 40;
/// Within this all have to be members.
const WITHIN: Duration = Duration::from_secs(60);

/// What it took until that was so.
struct Took {
    time: Duration,
    views: u64,
    conflicts: u64,
    sent: u64,
}

impl World {
    /// Starts so many, and goes on until all that run are members. What that took is told.
    fn come(&mut self, count: u64) -> Took {
        self.begin_many(count);
        self.come_in(count)
    }

    fn begin_many(&mut self, count: u64) {
        for _ in 0..count {
            let port = self.port();
            self.start(port);
        }
    }

    fn come_in(&mut self, count: u64) -> Took {
        self.takes(&format!("{count} came"), |_| {}, Self::is_well)
    }

    /// Has these leave at once, and goes on until they have. What that took is told.
    fn go(&mut self, leaving: &[usize]) -> Took {
        let leave = |world: &mut Self| leaving.iter().for_each(|at| world.leave(*at));
        let gone = |world: &Self| leaving.iter().all(|at| !world.nodes[*at].runs);
        self.takes(&format!("{} left", leaving.len()), leave, gone)
    }

    #[expect(clippy::disallowed_macros, reason = "says how long it takes")]
    fn takes(
        &mut self,
        what: &str,
        begin: impl FnOnce(&mut Self),
        done: impl Fn(&Self) -> bool,
    ) -> Took {
        let (began, nodes) = (self.now, self.running().count() as u64);
        let counts = |world: &Self| {
            let register = &world.register;
            let confirms = register.asked - register.reads - register.swaps - register.conflicts;
            let of_register = [register.swaps, register.conflicts, register.reads, confirms];
            (of_register, world.network.sent)
        };
        let (before, sent) = counts(self);
        begin(self);
        while !done(self) && self.now - began <= WITHIN && self.checks.broken.is_none() {
            self.run(Duration::from_millis(100));
        }
        let ([views, conflicts, reads, confirms], sent_by_now) = counts(self);
        let (time, sent) = (self.now - began, sent_by_now - sent);
        let (views, conflicts) = (views - before[0], conflicts - before[1]);
        let (reads, confirms) = (reads - before[2], confirms - before[3]);
        println!(
            "{what} in {time:?}: {views} views, {conflicts} conflicts, {reads} reads, {confirms} confirms, {sent} messages; \
             of a node and view {:.2} reads",
            reads as f64 / (nodes * views.max(1)) as f64
        );
        if time > WITHIN {
            self.broken(|| format!("not within {WITHIN:?}: {what}"));
        }
        Took { time, views, conflicts, sent }
    }
}

fn restarted(nodes: u64) {
    each(1, |seed, is_traced| {
        let mut world = traced(cluster(seed, 1), is_traced);
        world.come(nodes - 1);
        for at in world.running().collect::<Vec<_>>() {
            world.kill(at);
        }
        world.run(seconds(1));
        let took = world.come(nodes);
        // Each greets all that were members, which say nothing: once a second in the end, for two leases.
        if took.sent > nodes * nodes * 32 {
            world.broken(|| format!("{} messages", took.sent));
        }
        world.check_equal(true);
        world
    });
}

#[test]
fn x20_many_that_are_restarted_at_once_are_a_cluster_within_a_minute() {
    restarted(number("RAKT_NODES").unwrap_or(NODES));
}

#[test]
#[ignore = "takes a minute: `cargo test --release -p rakt-cluster --lib x20 -- --ignored --nocapture` says what it took"]
fn x20_five_hundred_that_are_restarted_at_once_are_a_cluster_within_a_minute() {
    restarted(500);
}

#[test]
fn many_that_come_at_once_come_in_few_views() {
    each(5, |seed, is_traced| {
        let mut world = traced(cluster(seed, 1), is_traced);
        let took = world.come(NODES);
        // Each may lose when it comes, and once more.
        if took.views > NODES / 2 || took.conflicts > NODES * 2 || took.time > seconds(10) {
            let Took { time, views, conflicts, .. } = took;
            world.broken(|| format!("{time:?}, {views} views and {conflicts} conflicts"));
        }
        world
    });
}

#[test]
fn many_come_although_those_whom_they_ask_die_or_do_not_understand() {
    for is_new in [false, true] {
        each(5, |seed, is_traced| {
            let mut world = traced(cluster(seed, 3), is_traced);
            world.asks_are_heard = is_new;
            world.begin_many(NODES);
            for _ in 0..2 {
                // The one that came last is asked.
                let listed = |world: &World| {
                    let members = world.newest().map_or(&[][..], |view| view.members());
                    let new = members.iter().filter(|member| member.state == State::Joining);
                    let last = new.max_by_key(|member| member.joined)?.seat();
                    world.running().find(|at| world.nodes[*at].participant.seat() == Some(last))
                };
                world.run_until(seconds(5), |world| listed(world).is_some());
                if let Some(at) = listed(&world) {
                    world.kill(at);
                }
            }
            world.come_in(NODES - 2);
            world.recovers();
            world
        });
    }
}

#[test]
fn many_leave_although_those_whom_they_ask_die_or_do_not_understand() {
    for is_new in [false, true] {
        each(5, |seed, is_traced| {
            let mut world = traced(cluster(seed, 1), is_traced);
            world.come(NODES);
            world.use_all(seconds(10));
            world.asks_are_heard = is_new;
            // One of these stays and came last: it is asked, and dies while all leave.
            let mut leaving: Vec<usize> = world.running().skip(3).collect();
            let newest = world.newest().cloned().expect("a view");
            let last = newest.up().min_by_key(|up| (std::cmp::Reverse(up.joined), up.id));
            let last = last.map(|up| up.seat());
            let asked = world.running().find(|at| world.nodes[*at].participant.seat() == last);
            let asked = asked.expect("it runs");
            leaving.retain(|at| *at != asked);
            leaving.iter().for_each(|at| world.leave(*at));
            world.run(Duration::from_millis(100));
            world.kill(asked);
            world.go(&leaving);
            world.recovers();
            world
        });
    }
}

#[test]
fn many_that_leave_at_once_go_in_few_views() {
    let nodes = number("RAKT_NODES").unwrap_or(NODES);
    for stay in [3, 0] {
        each(5, |seed, is_traced| {
            let mut world = traced(cluster(seed, 1), is_traced);
            world.come(nodes + stay - 1);
            world.use_all(seconds(10));
            let leaving: Vec<usize> = world.running().skip(stay as usize).collect();
            let took = world.go(&leaving);
            // Each may lose when it says that it leaves, and once more.
            if took.views > nodes / 2 || took.conflicts > nodes * 2 || took.time > seconds(5) {
                let Took { time, views, conflicts, .. } = took;
                world.broken(|| format!("{time:?}, {views} views and {conflicts} conflicts"));
            }
            if stay > 0 {
                world.recovers();
            }
            world
        });
    }
}
