//! Rules for one call after another.

use bytes::Bytes;
use rakt_cluster::view::MAX_VIEW_LEN;

use super::trial::{NODES, NOTHING, Trial};
use crate::cluster::{Register, Version};
use crate::testkit::rules::{Outcome, ensure};

/// How often a rule is repeated for which luck matters.
const ROUNDS: usize = 20;

/// The first one, since nothing else can hold without it.
pub(super) async fn nodes_reach_the_same_register<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let (nodes, others) = (t.nodes(0).await, t.nodes(1).await);
    let version = nodes.swapped(0, NOTHING, "one").await?;
    for at in 0..NODES {
        nodes.holds(at, version, "one").await?;
        // What another name has is another register.
        others.holds(at, NOTHING, "").await?;
    }
    Ok(())
}

pub(super) async fn version_0_is_nothing<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    for at in 0..NODES {
        nodes.holds(at, NOTHING, "").await?;
        for never in [1, 7, u64::from(u32::MAX), 1 << 63, u64::MAX].map(Version) {
            nodes.is_over(at, never).await?;
            nodes.conflicts(at, never).await?;
        }
        nodes.holds(at, NOTHING, "").await?;
    }
    let first = nodes.swapped(1, NOTHING, "first").await?;
    for at in 0..NODES {
        nodes.is_over(at, NOTHING).await?;
        nodes.conflicts(at, NOTHING).await?;
        nodes.holds(at, first, "first").await?;
    }
    Ok(())
}

pub(super) async fn a_swap_is_seen_by_all_at_once<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut newest = NOTHING;
    for round in 0..ROUNDS {
        // Who has read or confirmed a moment ago must not know any better.
        let (from, to) = (round % NODES, (round + 1 + round / NODES) % NODES);
        nodes.confirmed(to, newest).await?;
        let view = Bytes::from(format!("round {round}"));
        let next = nodes.swapped(from, newest, view.clone()).await?;
        if round % 2 == 0 {
            nodes.is_over(to, newest).await?;
            nodes.holds(to, next, view).await?;
        } else {
            nodes.holds(to, next, view).await?;
            nodes.is_over(to, newest).await?;
        }
        newest = next;
    }
    nodes.has_one_order()
}

pub(super) async fn a_swap_over_another_version_changes_nothing<
    R: Register,
    F: AsyncFn(String) -> R,
>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut over = vec![NOTHING];
    let mut newest = NOTHING;
    for round in 0..4 {
        let view = format!("round {round}");
        newest = nodes.swapped(round % NODES, newest, view.clone()).await?;
        // Also numbers that a version might be given next.
        let next = [1, 2, 1 << 32, 1 << 63].map(|n| Version(newest.0.wrapping_add(n)));
        for other in over.iter().copied().chain(next).chain([Version(u64::MAX)]) {
            let at = (round + 1) % NODES;
            nodes.conflicts(at, other).await?;
            nodes.holds(at, newest, view.clone()).await?;
        }
        for at in 0..NODES {
            nodes.holds(at, newest, view.clone()).await?;
        }
        over.push(newest);
    }
    Ok(())
}

pub(super) async fn only_the_newest_version_is_confirmed<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut all = vec![NOTHING];
    for round in 0..6 {
        let newest = all[round];
        let next = nodes.swapped(round % NODES, newest, format!("round {round}")).await?;
        all.push(next);
        for at in 0..NODES {
            for older in &all[..=round] {
                nodes.is_over(at, *older).await?;
            }
            let after = [1, 1 << 32, 1 << 63].map(|n| Version(next.0.wrapping_add(n)));
            for never in after {
                nodes.is_over(at, never).await?;
            }
            let is_newest = nodes.confirmed(at, next).await?;
            ensure(is_newest, || format!("version {} was to be confirmed", next.0))?;
        }
    }
    Ok(())
}

pub(super) async fn versions_never_repeat<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut had = vec![NOTHING];
    // The same again, what was there before, and the same length.
    for (round, view) in
        ["a", "a", "b", "a", "b", "b", "c", "a"].iter().cycle().take(40).enumerate()
    {
        let over = had[had.len() - 1];
        let next = nodes.swapped(round % NODES, over, *view).await?;
        ensure(!had.contains(&next), || format!("version {} was there before", next.0))?;
        nodes.holds((round + 1) % NODES, next, *view).await?;
        had.push(next);
        // Whoever has slept has a version that is not this one.
        nodes.conflicts(round % NODES, had[(had.len() - 1) / 2]).await?;
    }
    Ok(())
}

pub(super) async fn views_of_all_sizes_come_back<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = (0..MAX_VIEW_LEN).map(|n| ((n * n) >> 7) as u8).collect();
    let sizes = [
        vec![0],
        vec![255],
        vec![0; 9],
        b" text\r\n\0 ".to_vec(),
        all_bytes,
        vec![b'x'; 65_536],
        large,
        vec![1],
    ];
    let mut newest = NOTHING;
    for (round, view) in sizes.map(Bytes::from).into_iter().enumerate() {
        newest = nodes.swapped(round % NODES, newest, view.clone()).await?;
        for at in 0..NODES {
            nodes.holds(at, newest, view.clone()).await?;
        }
    }
    Ok(())
}
