//! What becomes of grains that are hosted without a lease, by whoever is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::chaos::usable;
use super::scenarios::{MINUTE, cluster_of, each, seconds, traced};
use super::state::{Event, Life, World};
use crate::directory::Grain;
use crate::epoch::Epoch;

/// A node is found dead within five probes, and what was its is taken over 1.2 leases later.
const DETECTION: Duration = Duration::from_millis(5_000 + 9_600);

impl World {
    /// A life begins that nobody has granted, unless one is here.
    pub(super) fn begin_alone(&mut self, at: usize, grain: &Grain) {
        let node = &mut self.nodes[at];
        if !node.lives.keys().any(|(of, _)| of == grain) {
            node.uids += 1;
            let epoch = Epoch { counter: node.uids, ..Epoch::default() };
            node.lives.insert((grain.clone(), epoch), Life::Lives(node.uids));
            self.note(|| format!("{at}: {grain:?} lives by itself"));
        }
    }

    /// What was not granted to this node, or not under the seat that it has, ends.
    pub(super) fn end_strays(&mut self, at: usize) {
        let granted = self.nodes[at].participant.granted();
        let granted: Vec<_> = granted.map(|life| (life.grain, life.epoch)).collect();
        let mut lives: Vec<_> = self.nodes[at].lives.keys().cloned().collect();
        lives.retain(|life| !granted.contains(life));
        for (grain, epoch) in lives {
            self.ends(at, grain, epoch);
        }
    }

    /// How many lives each grain has on these nodes.
    fn lives_on(&self, nodes: &[usize]) -> BTreeMap<Grain, usize> {
        let mut count: BTreeMap<_, _> = self.grains.iter().map(|it| (it.clone(), 0)).collect();
        for (grain, _, at) in self.lives() {
            *count.entry(grain).or_default() += usize::from(nodes.contains(&at));
        }
        count
    }
}

/// So many nodes, whose grains are hosted without a lease as well.
fn available(seed: u64, nodes: usize) -> World {
    cluster_of(World { is_available: true, ..World::new(seed) }, nodes)
}

#[test]
fn x21_both_sides_of_a_cut_serve_and_one_life_is_left_after_it() {
    each(40, |seed, is_traced| {
        let mut world = traced(available(seed, 5), is_traced);
        world.use_all(seconds(10));
        world.part(&[0, 1, 2], &[3, 4], MINUTE * 10);
        [3, 4].into_iter().for_each(|at| world.cut_off(at));
        world.run(DETECTION + seconds(5));
        if world.hosts(3) || world.hosts(4) {
            world.broken(|| "they have a lease".to_owned());
        }
        world.use_all(seconds(5));
        for side in [&[0, 1, 2][..], &[3, 4]] {
            let lives = world.lives_on(side);
            if lives.values().any(|lives| *lives == 0) {
                world.broken(|| format!("{side:?} does not serve all: {lives:?}"));
            }
        }
        if world.lives_on(&[0, 1, 2]).values().any(|lives| *lives > 1) {
            world.broken(|| "two lives where there is a register".to_owned());
        }
        world.heal();
        let is_one = |world: &World| world.lives_on(&[0, 1, 2, 3, 4]).values().all(|it| *it == 1);
        if !world.run_until(2 * DETECTION, is_one) {
            let lives = world.lives();
            world.broken(|| format!("not one of each is left: {lives:?}"));
        }
        world.recovers();
        if !is_one(&world) {
            world.broken(|| "one has come back".to_owned());
        }
        world
    });
}

#[test]
fn without_a_register_for_anybody_all_is_served_once() {
    each(40, |seed, is_traced| {
        let mut world = traced(available(seed, 4), is_traced);
        let grains = world.grains.split_off(6);
        let later = std::mem::replace(&mut world.grains, grains);
        world.use_all(seconds(10));
        let before = world.lives();
        world.network.outage = true;
        world.run(seconds(20));
        if world.running().any(|at| world.hosts(at)) {
            world.broken(|| "they have a lease".to_owned());
        }
        // Those that live already, and others.
        world.grains.extend(later);
        world.use_all(seconds(5));
        let lives = world.lives_on(&[0, 1, 2, 3]);
        if lives.values().any(|lives| *lives != 1) {
            world.broken(|| format!("not one of each lives: {lives:?}"));
        }
        let all = world.lives();
        world.recovers();
        if !before.is_subset(&all) || world.lives() != all {
            world.broken(|| "they do not go on as before".to_owned());
        }
        world
    });
}

#[test]
fn whatever_has_happened_one_life_of_each_is_left() {
    each(40, |seed, is_traced| {
        let nodes = 2 + seed as usize % 4;
        let mut world = traced(available(seed, nodes), is_traced);
        world.wishes = Some((50, 1500));
        (0..nodes).for_each(|at| world.plan(world.now, Event::Wish(at)));
        let rages = world.random.millis((20_000, 80_000));
        world.rage(world.now + rages);
        world.run(rages);
        world.heal();
        if world.running().all(|at| world.nodes[at].leaves) {
            let port = world.port();
            world.start(port);
        }
        world.run(usable(world.lease) + seconds(5));
        world.check_equal(false);
        world.use_all(seconds(10));
        let all: Vec<usize> = world.running().collect();
        let lives = world.lives_on(&all);
        if lives.values().any(|lives| *lives != 1) {
            let lives = world.lives();
            world.broken(|| format!("not one of each is left: {lives:?}"));
        }
        world
    });
}
