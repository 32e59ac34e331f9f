//! Faults by name, as far as they fit this level: the letters and numbers are those of the cases of the design.

use std::collections::BTreeSet;
use std::time::Duration;

use super::chaos::show;
use super::state::World;
use crate::directory::{Grain, Guard};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A cluster of so many nodes at the ports from 1, all of them Up, whose grains live on.
pub(super) fn cluster(seed: u64, nodes: usize) -> World {
    cluster_of(World::new(seed), nodes)
}

/// The same in such a world.
pub(super) fn cluster_of(world: World, nodes: usize) -> World {
    of(world, nodes, None)
}

/// The same, in which all use grains all the time.
pub(super) fn busy(seed: u64, nodes: usize) -> World {
    of(World::new(seed), nodes, Some((50, 1500)))
}

fn of(mut world: World, nodes: usize, wishes: Option<(u64, u64)>) -> World {
    (world.lasts, world.fleeting, world.failing) = ((1_000_000, 2_000_000), 0, 0);
    world.wishes = wishes;
    for _ in 0..nodes {
        let port = world.port();
        world.start(port);
        assert!(world.run_until(seconds(20), World::is_well), "a node is let in");
    }
    world
}

impl World {
    pub(super) fn is_well(&self) -> bool {
        let newest = self.newest().map(|view| view.stamp());
        self.running().all(|at| {
            let node = &self.nodes[at];
            let is_newest = node.participant.view().map(|view| view.stamp()) == newest;
            is_newest && node.participant.is_ready(node.clock.at(self.now))
        })
    }

    pub(super) fn hosts(&self, at: usize) -> bool {
        self.nodes[at].hosts(self.now, Duration::ZERO)
    }

    /// All lives, with the node of each.
    pub(super) fn lives(&self) -> BTreeSet<(Grain, crate::Epoch, usize)> {
        let lives = |at: usize| {
            let of_node = self.nodes[at].lives.keys();
            of_node.map(move |(grain, epoch)| (grain.clone(), *epoch, at))
        };
        self.running().flat_map(lives).collect()
    }

    /// The node that owns the slot of a grain.
    pub(super) fn owner(&self, grain: &Grain) -> usize {
        let view = self.newest().expect("a view");
        let owner = view.owner(grain.slot(view.slots())).expect("an owner");
        self.running().find(|at| self.nodes[*at].participant.seat() == Some(owner)).expect("runs")
    }

    /// Between each of the one and each of the other nothing gets through.
    pub(super) fn part(&mut self, one: &[usize], other: &[usize], lasts: Duration) {
        let port = |at: &usize| self.nodes[*at].port;
        let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
        let cuts = pairs.flat_map(|(a, b)| [(port(a), port(b)), (port(b), port(a))]).collect();
        self.cut(cuts, self.now + lasts);
    }

    pub(super) fn cut_off(&mut self, at: usize) {
        self.network.cut_off.insert(self.nodes[at].port);
    }

    /// All is well within half a minute, and all grains can be used.
    pub(super) fn recovers(&mut self) {
        self.heal();
        self.run(seconds(30));
        self.check_equal(true);
        self.use_all(seconds(10));
    }
}

/// Runs a scenario with some seeds; where one fails, again with a trace.
pub(super) fn each(seeds: u64, scenario: impl Fn(u64, bool) -> World) {
    for seed in 0..seeds {
        if scenario(seed, false).checks.broken.is_some() {
            show(&scenario(seed, true), seed);
        }
    }
}

pub(super) fn traced(mut world: World, is_traced: bool) -> World {
    world.trace = is_traced.then(Vec::new);
    world
}

#[test]
fn at_rest_nothing_is_written_and_little_is_said() {
    each(5, |seed, is_traced| {
        let mut world = traced(cluster(seed, 5), is_traced);
        world.run(seconds(10));
        let before = |world: &World| {
            let polls: Vec<u64> = world.nodes.iter().map(|node| node.polls).collect();
            (polls, world.register.swaps, world.register.asked, world.network.sent)
        };
        let (polls, swaps, asked, sent) = before(&world);
        world.run(MINUTE);
        let now = before(&world);
        // A probe a second to each of four others, and its answer; a look each quarter of a lease; clocks are off by a tenth.
        let lazy = (0..5).filter(|at| !world.nodes[*at].is_eager);
        let polls = lazy.map(|at| now.0[at] - polls[at]).max();
        let figures = (polls.unwrap_or(0), now.1 - swaps, now.2 - asked, now.3 - sent);
        if figures.1 > 0 || figures.0 > 110 || figures.2 > 180 || figures.3 > 2700 {
            world.broken(|| format!("{figures:?}: polls of one, swaps, looks, messages"));
        }
        world
    });
}

#[test]
fn g02_who_is_parted_from_the_register_is_fenced_and_comes_back() {
    each(10, |seed, is_traced| {
        let mut world = traced(busy(seed, 5), is_traced);
        world.run(seconds(10));
        world.part(&[0, 1, 2], &[3, 4], MINUTE * 10);
        [3, 4].into_iter().for_each(|at| world.cut_off(at));
        world.run(seconds(10));
        if world.hosts(3) || world.hosts(4) {
            world.broken(|| "the smaller part hosts longer than a lease".to_owned());
        }
        world.run(seconds(20));
        for at in [0, 1, 2] {
            for grain in world.grains.clone() {
                world.wish(at, grain, true);
            }
        }
        let asked = world.now;
        world.run(seconds(5));
        for at in [0, 1, 2] {
            if world.nodes[at].wishes.values().any(|since| *since <= asked) {
                world.broken(|| format!("the larger part does not serve {at}"));
            }
        }
        world.recovers();
        world
    });
}

#[test]
fn g02_and_g13_without_a_register_all_pause_and_go_on_as_before() {
    each(10, |seed, is_traced| {
        let mut world = traced(cluster(seed, 5), is_traced);
        world.use_all(seconds(10));
        world.part(&[0, 1], &[2, 3, 4], MINUTE * 10);
        world.part(&[2, 3], &[4], MINUTE * 10);
        world.network.outage = true;
        let before = world.lives();
        world.run(seconds(5));
        if !world.running().all(|at| world.hosts(at)) {
            world.broken(|| "they do not host to the end of their leases".to_owned());
        }
        world.run(seconds(45));
        if world.running().any(|at| world.hosts(at)) {
            world.broken(|| "they host longer than that".to_owned());
        }
        world.recovers();
        if world.checks.deaths > 0 || !before.is_subset(&world.lives()) {
            world.broken(|| "they do not go on as before".to_owned());
        }
        world
    });
}

#[test]
fn g02_one_that_alone_does_not_reach_the_register_is_replaced() {
    each(5, |seed, is_traced| {
        let mut world = traced(busy(seed, 4), is_traced);
        world.run(seconds(10));
        world.cut_off(2);
        world.run(seconds(45));
        let now = world.now;
        for at in [0, 1, 3] {
            for grain in world.grains.clone() {
                world.wish(at, grain, true);
            }
        }
        world.run(seconds(5));
        for at in [0, 1, 3] {
            if world.nodes[at].wishes.values().any(|since| *since == now) {
                world.broken(|| format!("{at} is not served"));
            }
        }
        world.recovers();
        if world.checks.deaths != 1 {
            world.broken(|| "others are removed".to_owned());
        }
        world
    });
}

#[test]
fn g03_a_bad_link_costs_one_member_and_no_more() {
    for one_way in [false, true] {
        each(5, |seed, is_traced| {
            let mut world = traced(busy(seed, 5), is_traced);
            let (a, b) = (world.nodes[1].port, world.nodes[3].port);
            let cuts = if one_way { vec![(a, b)] } else { vec![(a, b), (b, a)] };
            world.cut(cuts, world.now + MINUTE * 10);
            world.run(MINUTE * 3);
            if world.checks.deaths != 1 {
                let deaths = world.checks.deaths;
                world.broken(|| format!("{deaths} are removed"));
            }
            if [0, 2, 4].into_iter().any(|at| !world.hosts(at)) {
                world.broken(|| "one is removed whose links are good".to_owned());
            }
            world.recovers();
            world
        });
    }
}

#[test]
fn g05_a_move_ends_whoever_dies_in_it() {
    each(40, |seed, is_traced| {
        let mut world = traced(busy(seed, 3), is_traced);
        world.use_all(seconds(10));
        let port = world.port();
        let new = world.start(port);
        world.run(Duration::from_millis(seed * 10));
        // One that gives, or the one that takes.
        world.kill(if seed % 2 == 0 { new } else { (seed % 3) as usize });
        world.recovers();
        world
    });
}

#[test]
fn g08_a_clock_that_runs_wrong_takes_its_node_out() {
    each(10, |seed, is_traced| {
        let mut world = traced(World::new(seed), is_traced);
        let wrong = if seed % 2 == 0 { 1_080_000 } else { 925_000 };
        for rate in [1_000_000, 1_010_000, wrong, 990_000] {
            let port = world.port();
            world.start_with(port, rate);
            world.run(seconds(5));
        }
        if !world.run_until(seconds(120), |world| !world.hosts(2)) {
            world.broken(|| "it hosts by a wrong clock".to_owned());
        }
        world.run(seconds(60));
        let ready = |at: usize| {
            let node = &world.nodes[at];
            node.participant.is_ready(node.clock.at(world.now))
        };
        if [0, 1, 3].into_iter().any(|at| !ready(at)) || ready(2) {
            world.broken(|| "the others are to go on, without it".to_owned());
        }
        world
    });
}

#[test]
fn g08_clocks_that_differ_by_a_fifth_hold() {
    each(20, |seed, is_traced| {
        // The leases alone, without the look at the clocks.
        let mut world = World::new(seed).without(&[Guard::Rates]);
        world = traced(world, is_traced);
        for at in 0..4 {
            let port = world.port();
            world.start_with(port, if at % 2 == 0 { 910_000 } else { 1_090_000 });
            world.run(seconds(5));
        }
        // Each is cut off in turn, so that others take over what a slow or a fast one has.
        for at in 0..4 {
            if world.nodes[at].runs {
                let others: Vec<usize> = (0..4).filter(|other| *other != at).collect();
                world.part(&[at], &others, seconds(40));
                world.cut_off(at);
                world.run(seconds(40));
                world.network.cut_off.clear();
                world.run(seconds(30));
            }
        }
        if world.checks.deaths < 4 {
            world.broken(|| "nobody is removed".to_owned());
        }
        world.recovers();
        world
    });
}

#[test]
fn g10_twenty_come_and_ten_leave() {
    each(3, |seed, is_traced| {
        let mut world = traced(busy(seed, 11), is_traced);
        let swaps = world.register.swaps;
        let mut joined = world.now;
        for at in 0..20 {
            let port = world.port();
            world.start(port);
            if at % 2 == 0 {
                world.leave(at / 2);
            }
            world.run(Duration::from_millis(500));
            joined = world.now;
        }
        if !world.run_until(seconds(30), |world| world.is_well() && world.running().count() == 21) {
            world.broken(|| "they are not all Up in half a minute".to_owned());
        }
        let (took, swaps) = (world.now - joined, world.register.swaps - swaps);
        world.note(|| format!("{took:?} after the last, {swaps} swaps"));
        world.check_equal(false);
        world.use_all(seconds(10));
        world
    });
}

#[test]
fn twenty_that_come_at_once_are_let_in_by_few_swaps() {
    each(3, |seed, is_traced| {
        let mut world = traced(cluster(seed, 1), is_traced);
        let (swaps, conflicts) = (world.register.swaps, world.register.conflicts);
        let began = world.now;
        for _ in 0..20 {
            let port = world.port();
            world.start(port);
        }
        if !world.run_until(seconds(30), World::is_well) {
            world.broken(|| "they are not all Up in half a minute".to_owned());
        }
        let took = world.now - began;
        let (swaps, conflicts) =
            (world.register.swaps - swaps, world.register.conflicts - conflicts);
        world.note(|| format!("{took:?}, {swaps} swaps, {conflicts} conflicts"));
        if swaps > 45 {
            world.broken(|| format!("{swaps} swaps and {conflicts} conflicts in {took:?}"));
        }
        world.check_equal(false);
        world
    });
}

#[test]
fn x01_a_join_and_the_death_of_an_owner_end_no_grain_elsewhere() {
    each(10, |seed, is_traced| {
        let mut world = traced(cluster(seed, 4), is_traced);
        world.use_all(seconds(10));
        let (before, port) = (world.lives(), world.port());
        world.start(port);
        world.use_all(seconds(10));
        if !before.is_subset(&world.lives()) {
            world.broken(|| "a join ends what lives".to_owned());
        }
        let killed = world.owner(&world.grains[0].clone());
        world.kill(killed);
        let others: BTreeSet<_> =
            world.lives().into_iter().filter(|(.., at)| *at != killed).collect();
        world.recovers();
        if !others.is_subset(&world.lives()) {
            world.broken(|| "a death ends what lives elsewhere".to_owned());
        }
        world
    });
}

#[test]
fn x02_what_comes_to_life_while_its_owner_dies_is_found() {
    each(10, |seed, is_traced| {
        let mut world = traced(cluster(seed, 4), is_traced);
        let grain = Grain::new("near", "g1");
        let owner = world.owner(&grain);
        let host = (0..4).find(|at| *at != owner).expect("another");
        world.wish(host, grain.clone(), true);
        let begun = |world: &World| world.nodes[host].lives.keys().any(|life| life.0 == grain);
        world.run_until(seconds(5), begun);
        world.pause(host, seconds(2));
        world.kill(owner);
        world.recovers();
        let lives = world.lives().into_iter().filter(|(known, ..)| *known == grain);
        if lives.map(|(.., at)| at).collect::<Vec<_>>() != [host] {
            world.broken(|| "it is not there, or twice".to_owned());
        }
        world
    });
}

#[test]
fn x04_a_node_that_starts_again_at_its_address_is_found() {
    each(10, |seed, is_traced| {
        let mut world = traced(busy(seed, 3), is_traced);
        world.use_all(seconds(10));
        world.kill(1);
        world.start(2);
        world.run(seconds(20));
        if !world.run_until(seconds(10), World::is_well) {
            world.broken(|| "it is not let in".to_owned());
        }
        world.use_all(seconds(2));
        world
    });
}

#[test]
fn x05_an_answer_that_is_lost_is_no_death() {
    each(10, |seed, is_traced| {
        let mut world = traced(cluster(seed, 3), is_traced);
        let grains: Vec<Grain> = (0..30).map(|at| Grain::new("any", &format!("g{at}"))).collect();
        let grains: Vec<Grain> =
            grains.into_iter().filter(|grain| world.grains.contains(grain)).collect();
        // What comes from one of them gets through in one of four cases, for less time than it takes to be removed for it.
        world.network.loss_at.insert(2, 750);
        for at in 0..3 {
            grains.iter().for_each(|grain| world.wish(at, grain.clone(), true));
        }
        world.run(seconds(3));
        let before = world.lives();
        world.recovers();
        if world.checks.deaths == 0 && !before.is_subset(&world.lives()) {
            world.broken(|| "it lives again elsewhere".to_owned());
        }
        world
    });
}

#[test]
fn x08_one_that_is_wanted_always_lives_once_within_the_bound() {
    each(5, |seed, is_traced| {
        let mut world = traced(cluster(seed, 4), is_traced);
        let grain = Grain::new("cart", "g0");
        for round in 0..6 {
            let caller = world.running().find(|at| !world.nodes[*at].leaves).expect("one");
            world.wish(caller, grain.clone(), true);
            if !world.run_until(seconds(20), |world| world.nodes[caller].wishes.is_empty()) {
                world.broken(|| format!("it does not live in round {round}"));
            }
            let Some(host) = world.lives().first().map(|(.., at)| *at) else { break };
            // Its host dies, leaves, or both happen to two at once.
            match round % 3 {
                0 => world.kill(host),
                1 => world.leave(host),
                _ => {
                    world.leave(host);
                    let other = world.running().find(|at| *at != host).expect("another");
                    world.kill(other);
                }
            }
            for _ in world.running().count()..4 {
                let port = world.port();
                world.start(port);
            }
        }
        world.recovers();
        world
    });
}

#[test]
fn x10_a_sick_node_takes_nobody_down() {
    for pauses in [false, true] {
        each(5, |seed, is_traced| {
            let mut world = traced(busy(seed, 5), is_traced);
            if pauses {
                // A twentieth of its time.
                for _ in 0..100 {
                    world.pause(2, Duration::from_millis(1900));
                    world.run(seconds(2));
                }
            } else {
                world.network.loss_at.insert(3, 900);
                world.run(MINUTE * 3);
            }
            if [0, 1, 3, 4].into_iter().any(|at| !world.hosts(at)) || world.checks.deaths > 4 {
                world.broken(|| "others are removed".to_owned());
            }
            world.recovers();
            world
        });
    }
}

#[test]
fn x12_and_x13_a_lease_is_had_when_it_is_confirmed_and_views_come_by_polling() {
    each(10, |seed, is_traced| {
        let mut world = traced(busy(seed, 3), is_traced);
        // No answer gets back: what is swapped may be there, and nobody acts on it.
        world.network.register_loss = 700;
        let port = world.port();
        let new = world.start(port);
        world.run(seconds(20));
        world.network.register_loss = 0;
        if !world.run_until(seconds(20), |world| world.hosts(new)) {
            world.broken(|| "it is not let in".to_owned());
        }
        // Words of members are lost, so that only the register tells of the next view.
        world.network.loss = 1000;
        let swaps = world.register.swaps;
        world.leave(new);
        world.run_until(seconds(2), |world| world.register.swaps > swaps);
        let newest = world.newest().map(|view| view.stamp());
        world.run(world.lease / 4 + Duration::from_millis(500));
        for at in 0..3 {
            let known = world.nodes[at].participant.view().map(|view| view.stamp());
            if known < newest {
                world.broken(|| format!("{at} knows {known:?} late"));
            }
        }
        world.network.loss = 0;
        world.recovers();
        world
    });
}

#[test]
fn x18_restarts_leave_nothing_behind() {
    each(2, |seed, is_traced| {
        let mut world = traced(busy(seed, 4), is_traced);
        for at in 0..200 {
            let oldest = world.running().next().expect("one");
            let port = world.port();
            if at % 3 == 0 {
                world.leave(oldest);
            } else {
                world.kill(oldest);
            }
            world.start(port);
            world.run(seconds(4));
            let members = world.newest().map_or(0, |view| view.members().len());
            if members > 14 {
                world.broken(|| format!("{members} members after {at} restarts"));
            }
        }
        world.recovers();
        for at in world.running().collect::<Vec<_>>() {
            world.kill(at);
        }
        for _ in 0..4 {
            let port = world.port();
            world.start(port);
        }
        world.recovers();
        world
    });
}

#[test]
fn x19_who_was_removed_comes_back_although_the_others_died() {
    each(5, |seed, is_traced| {
        let mut world = traced(cluster(seed, 2), is_traced);
        world.part(&[0], &[1], MINUTE);
        world.cut_off(1);
        if !world.run_until(seconds(30), |world| world.checks.deaths > 0) {
            world.broken(|| "it is not removed".to_owned());
        }
        // Nobody is left who would drop its entry.
        world.kill(0);
        world.heal();
        world.run(seconds(60));
        world.check_equal(true);
        world
    });
}

#[test]
fn x19_one_that_was_cut_off_for_an_hour_comes_back_and_slow_ones_are_not_removed() {
    each(1, |seed, is_traced| {
        let mut world = traced(cluster(seed, 4), is_traced);
        world.part(&[2], &[0, 1, 3], MINUTE * 60);
        world.cut_off(2);
        world.run(MINUTE * 60);
        world.recovers();
        let deaths = world.checks.deaths;
        // A fifth of the processor.
        for _ in 0..6_000 {
            for at in world.running().collect::<Vec<_>>() {
                world.pause(at, Duration::from_millis(80));
            }
            world.run(Duration::from_millis(100));
        }
        if world.checks.deaths > deaths {
            world.broken(|| "a slow one is removed".to_owned());
        }
        world
    });
}
