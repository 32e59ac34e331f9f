//! Rules for what happens at the same time.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;

use super::trial::{NODES, NOTHING, Nodes, Trial};
use crate::cluster::{Register, SwapError, Version};
use crate::testkit::rules::{Beside, Outcome, all_at_once, broken, ensure, wait_turns};

/// How often each race is run: in how many of them somebody is in between is a matter of luck.
const ROUNDS: usize = 12;
/// How many registers are founded.
const FOUNDINGS: usize = 4;
/// How many take part.
const RACERS: usize = 12;
/// How often a swap over what was read can meet another one that was given up.
const TRIES: usize = 100;
/// How many operations each of them makes where they are drawn.
const OPERATIONS: usize = 40;

pub(super) async fn of_swaps_over_nothing_one_is_taken<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    for number in 0..FOUNDINGS {
        let nodes = t.nodes(number).await;
        race(&nodes, NOTHING, "founder").await?;
        nodes.has_one_order()?;
    }
    Ok(())
}

pub(super) async fn of_swaps_over_one_version_one_is_taken<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut newest = nodes.swapped(0, NOTHING, "before").await?;
    for round in 0..ROUNDS {
        newest = race(&nodes, newest, &format!("round {round}")).await?;
    }
    nodes.has_one_order()
}

/// All nodes want to replace the same version, and one does.
async fn race<R: Register>(nodes: &Nodes<'_, R>, over: Version, name: &str) -> Outcome<Version> {
    let swaps = (0..RACERS).map(|n| async move {
        let view = Bytes::from(format!("{name}, {n}"));
        (view.clone(), nodes.swap(n % NODES, over, view).await)
    });
    let mut taken = Vec::new();
    for (view, outcome) in all_at_once(swaps).await {
        match outcome {
            Ok(version) => taken.push((version, view)),
            Err(SwapError::Conflict) => {}
            Err(SwapError::Unknown(_)) => return broken("a swap was to be taken, or a conflict"),
        }
    }
    let count = taken.len();
    let Some((version, view)) = taken.pop().filter(|_| count == 1) else {
        return broken(format!("{count} of {RACERS} swaps over version {} were taken", over.0));
    };
    for at in 0..NODES {
        nodes.holds(at, version, view.clone()).await?;
    }
    Ok(version)
}

pub(super) async fn a_read_beside_a_swap_goes_with_it_or_before_it<
    R: Register,
    F: AsyncFn(String) -> R,
>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut newest = NOTHING;
    for round in 0..ROUNDS {
        let (next, is_over) = (Cell::new(newest), Cell::new(false));
        let (nodes, over) = (&nodes, newest);
        let swapping = async {
            wait_turns(round % 3).await;
            let swapped = nodes.swapped(round % NODES, over, format!("round {round}")).await;
            is_over.set(true);
            swapped.map(|version| next.set(version))
        };
        // Once one has seen the new version, nobody may see the older one: that is in what was written down.
        let looking = |at: usize| {
            let is_over = &is_over;
            async move {
                loop {
                    let is_last = is_over.get();
                    nodes.found(at).await?;
                    nodes.confirmed(at, over).await?;
                    if is_last {
                        return Ok(());
                    }
                    wait_turns(1).await;
                }
            }
        };
        let mut all: Vec<Beside<'_, Outcome>> = vec![Box::pin(swapping)];
        for at in 0..NODES {
            all.push(Box::pin(looking(at)));
        }
        all_at_once(all).await.into_iter().collect::<Outcome>()?;
        newest = next.get();
    }
    nodes.has_one_order()
}

pub(super) async fn operations_at_once_have_one_order<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let clients = (0..2 * NODES).map(|n| client(&nodes, n, t.seed));
    all_at_once(clients).await.into_iter().collect::<Outcome>()?;
    for at in 0..NODES {
        nodes.found(at).await?;
    }
    nodes.has_one_order()
}

/// One of those who do what they draw, each with what it knows.
async fn client<R: Register>(nodes: &Nodes<'_, R>, n: usize, seed: u64) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed.wrapping_add(n as u64));
    let at = n % NODES;
    let mut known = vec![NOTHING];
    for operation in 0..OPERATIONS {
        let newest = known[known.len() - 1];
        match random.u8(..10) {
            0..4 => {
                let view = Bytes::from(format!("client {n}, {operation}"));
                match nodes.swap(at, newest, view).await {
                    Ok(version) => known.push(version),
                    // Not always: who knows better swaps over old versions as well.
                    Err(SwapError::Conflict) if random.bool() => {
                        known.push(nodes.found(at).await?.0);
                    }
                    Err(SwapError::Conflict) => {}
                    Err(SwapError::Unknown(_)) => {
                        return broken("a swap was to be taken, or a conflict");
                    }
                }
            }
            4..7 => known.push(nodes.found(at).await?.0),
            7 => drop(nodes.confirmed(at, known[random.usize(..known.len())]).await?),
            _ => drop(nodes.confirmed(at, newest).await?),
        }
        wait_turns(random.usize(..3)).await;
    }
    Ok(())
}

pub(super) async fn a_call_that_is_given_up_does_no_harm<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut newest = nodes.swapped(0, NOTHING, "before").await?;
    for round in 0..ROUNDS {
        let at = round % NODES;
        let turns = round / 2;
        give_up(nodes.read(at), turns).await;
        give_up(nodes.confirm(at, newest), turns).await;
        give_up(nodes.of(at).changed(newest), turns).await;
        let lost = Bytes::from(format!("given up {round}"));
        give_up(nodes.swap(at, newest, lost.clone()), turns).await;
        // It may have come through, or do so at any time; others go on.
        let mut tries = 0..TRIES;
        newest = loop {
            ensure(tries.next().is_some(), || "the swap that was given up comes and goes".into())?;
            let (version, view) = nodes.found((at + 1) % NODES).await?;
            let is_either = version == newest || view == lost;
            ensure(is_either, || "the swap that was given up was to be there, or not".into())?;
            let view = Bytes::from(format!("round {round}"));
            match nodes.swap((at + 2) % NODES, version, view).await {
                Ok(next) => break next,
                Err(SwapError::Conflict) if version == newest => {}
                Err(_) => return broken("a swap over what was read was to be taken"),
            }
        };
        let newest_view = Bytes::from(format!("round {round}"));
        for at in 0..NODES {
            nodes.holds(at, newest, newest_view.clone()).await?;
        }
    }
    nodes.has_one_order()
}

/// Polls it a few times, and drops it.
async fn give_up<T>(future: impl Future<Output = T>, turns: usize) {
    let mut future = pin!(future);
    for _ in 0..=turns {
        let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if polled {
            return;
        }
        wait_turns(1).await;
    }
}

pub(super) async fn hints_hold_up_nothing<R: Register, F: AsyncFn(String) -> R>(
    t: &Trial<'_, F>,
) -> Outcome {
    let nodes = t.nodes(0).await;
    let mut hints: Vec<Pin<Box<_>>> =
        (0..NODES).map(|at| Box::pin(nodes.of(at).changed(NOTHING))).collect();
    let mut newest = NOTHING;
    for round in 0..ROUNDS {
        // They may end or not; what they must not do is panic, or stand in the way.
        for (at, hint) in hints.iter_mut().enumerate() {
            let is_over = poll_fn(|cx| Poll::Ready(hint.as_mut().poll(cx).is_ready())).await;
            if is_over {
                hint.set(nodes.of(at).changed(newest));
            }
        }
        let view = Bytes::from(format!("round {round}"));
        newest = nodes.swapped(round % NODES, newest, view.clone()).await?;
        for at in 0..NODES {
            nodes.holds(at, newest, view.clone()).await?;
        }
    }
    nodes.has_one_order()
}
