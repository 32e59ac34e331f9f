//! Nodes of different versions.

use super::scenarios::{busy, each, seconds, traced};
use super::state::World;

fn level(world: &World) -> Option<u32> {
    world.newest().map(|view| view.level())
}

#[test]
fn g15_the_level_rises_with_the_last_node_and_then_an_older_one_is_refused() {
    each(5, |seed, is_traced| {
        let mut world = traced(busy(seed, 3), is_traced);
        world.level = 2;
        // One after the other is replaced, while all use grains.
        for old in 0..3 {
            if level(&world) != Some(1) {
                world.broken(|| format!("{old} are replaced, and not all can do more"));
            }
            world.leave(old);
            let port = world.port();
            world.start(port);
            if !world
                .run_until(seconds(30), |world| world.is_well() && world.running().count() == 3)
            {
                world.broken(|| format!("{old} is not replaced"));
            }
        }
        if !world.run_until(seconds(10), |world| level(world) == Some(2)) {
            world.broken(|| "all can do more, and nobody says so".to_owned());
        }
        let swaps = world.register.swaps;
        world.level = 1;
        let port = world.port();
        let old = world.start(port);
        world.run(seconds(30));
        let alarms: Vec<_> = world.checks.too_old.iter().copied().collect();
        if alarms != [old] || world.nodes[old].participant.seat().is_some() {
            world.broken(|| format!("{old} is too old, and these were told so: {alarms:?}"));
        }
        if world.register.swaps != swaps {
            world.broken(|| "one that is refused writes".to_owned());
        }
        world.kill(old);
        world.recovers();
        world
    });
}
