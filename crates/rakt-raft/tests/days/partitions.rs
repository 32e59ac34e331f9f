//! Nodes that do not hear each other any more: what they send is lost, and nobody tells them.

use std::time::Duration;

use rakt::prelude::*;

use crate::fleet::LEASE;
use crate::history::Observer;
use crate::world::inside;

/// Some nodes were cut off from then on: the others take over, and these stand still after a lease. `heal` ends that, and all
/// are members again.
async fn survive(
    observer: &Observer,
    cut_at: Duration,
    off: &[u64],
    heal: impl FnOnce() -> Result,
) -> Result {
    let all = observer.nodes();
    let rest: Vec<u64> = all.iter().copied().filter(|node| !off.contains(node)).collect();
    observer.answers(cut_at, &rest, &rest).await?;
    let taken_over = observer.now();
    observer.members(&rest, &rest).await?;
    for node in off {
        let answers = observer.count(*node, cut_at + LEASE, observer.now());
        assert_eq!(answers, 0, "node {node} is cut off, and answers after its lease");
    }
    heal()?;
    let healed = observer.now();
    observer.answers(healed, all, all).await?;
    observer.members(all, all).await?;
    println!(
        "without {off:?}: all answer {:.1} s after the cut, and all nodes are back {:.1} s after it was healed",
        (taken_over - cut_at).as_secs_f64(),
        (observer.now() - healed).as_secs_f64(),
    );
    Ok(())
}

#[test]
#[ignore = "needs root"]
fn two_of_five_are_cut_off() -> Result {
    inside("partitions::two_of_five_are_cut_off", async || {
        let (fleet, observer) = Observer::founded(5, LEASE).await?;
        let (off, rest) = ([1, 2], [3, 4, 5]);
        fleet.cut(&off, &rest)?;
        survive(&observer, observer.now(), &off, || fleet.heal(&off, &rest)).await?;
        // One that hears the others, and is not heard by them.
        let (off, rest) = ([3], [1, 2, 4, 5]);
        fleet.cut_one_way(&off, &rest)?;
        survive(&observer, observer.now(), &off, || fleet.heal_one_way(&off, &rest)).await?;
        println!("{} answers", observer.end().await?);
        Ok(())
    })
}

#[test]
#[ignore = "needs root"]
fn two_of_three_do_not_hear_each_other() -> Result {
    inside("partitions::two_of_three_do_not_hear_each_other", async || {
        let (fleet, observer) = Observer::founded(3, LEASE).await?;
        fleet.cut(&[1], &[2])?;
        let cut_at = observer.now();
        // Both hear the third. One has to go, after half a minute; which, is for the view to say.
        let gone = observer.first_gone(3).await?;
        let gone_at = observer.now();
        assert!(gone == 1 || gone == 2, "node {gone} hears all");
        println!("node {gone} is removed {:.1} s after the cut", (gone_at - cut_at).as_secs_f64());
        survive(&observer, gone_at, &[gone], || fleet.heal(&[1], &[2])).await?;
        println!("{} answers", observer.end().await?);
        Ok(())
    })
}
