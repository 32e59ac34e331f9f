//! What nodes tell of those that were removed.

use super::scenarios::{cluster, each, seconds, traced};

#[test]
fn what_a_node_had_is_told_of_once_by_whoever_has_it_now() {
    each(10, |seed, is_traced| {
        let mut world = traced(cluster(seed, 4), is_traced);
        world.use_all(seconds(10));
        let killed = world.owner(&world.grains[0].clone());
        let seat = world.nodes[killed].participant.seat();
        let view = world.newest().expect("a view").clone();
        let slots = world.slots.iter().filter(|slot| view.owner(**slot) == seat).count();
        // Where its slots went nobody knew what it hosted itself.
        let lives = world
            .lives()
            .into_iter()
            .filter(|(grain, _, at)| *at == killed && view.owner(grain.slot(view.slots())) != seat);
        let lives = lives.count();
        world.kill(killed);
        world.run(seconds(9));
        let early = world.checks.taken.len();
        world.recovers();
        let taken = std::mem::take(&mut world.checks.taken);
        let mut tellers: Vec<usize> = taken.iter().map(|(at, ..)| *at).collect();
        tellers.dedup();
        let sum = |of: fn(&(usize, u16, usize, usize)) -> usize| taken.iter().map(of).sum();
        let told: (usize, usize) = (sum(|taken| taken.2), sum(|taken| taken.3));
        let port = world.nodes[killed].port;
        if early > 0
            || told != (slots, lives)
            || tellers.len() != taken.len()
            || taken.iter().any(|taken| taken.1 != port)
        {
            world.broken(|| format!("{early} early, {taken:?} of {slots} slots, {lives} grains"));
        }
        world
    });
}
