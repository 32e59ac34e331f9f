//! What it costs to find a grain where many live. A print, not a test:
//! `cargo test -p rakt-cluster --test finding --release -- --ignored --nocapture`.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a print that measures, of a crate that reads no clock"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rakt_cluster::directory::Grain;
use rakt_cluster::participant::{Do, Found, Participant, Settings};
use rakt_cluster::propose::Newcomer;
use rakt_cluster::register::{Confirmed, Swapped, Version};
use rakt_cluster::{Incarnation, NodeId};

const LIVES: u64 = 100_000;

/// One that has founded a cluster of its own.
fn founder() -> Participant {
    let me = Newcomer {
        id: NodeId(1),
        incarnation: Incarnation(1),
        host: "h".into(),
        port: 1,
        roles: BTreeSet::new(),
        zone: String::new(),
        weight: 100,
        level: 1,
    };
    let (probe, lease) = (Duration::from_secs(1), Duration::from_secs(8));
    let kinds = BTreeMap::new();
    let mut one =
        Participant::new(Settings { me, probe, lease, cluster: 1, seconds: 1, kinds, seed: 1 });
    let now = Duration::ZERO;
    assert_eq!(one.poll(now), [Do::Read]);
    assert!(matches!(one.read(Some((Version(0), Vec::new())), now)[..], [Do::Swap(_)]));
    one.swapped(Swapped::Done(Version(1)), now);
    assert!(one.poll(now).contains(&Do::Confirm(Version(1))));
    one.confirmed(Confirmed::Newest, now);
    assert!(one.is_ready(now));
    one
}

/// Looks for a grain until it is found; it is started where it does not live.
fn find(one: &mut Participant, ticket: u64, grain: &Grain) {
    let now = Duration::from_millis(1);
    let mut wanted = one.find(ticket, grain.clone(), None, now);
    if let Some(Do::Start { grain, epoch }) = wanted.first() {
        wanted = one.started(grain, *epoch, ticket, now);
    }
    assert!(matches!(&wanted[..], [Do::Found { found: Found::Here { .. }, .. }]), "{wanted:?}");
}

fn grain(number: u64) -> Grain {
    Grain::new("cart", &number.to_string())
}

fn print(what: &str, count: u64, run: impl FnOnce()) {
    let began = Instant::now();
    run();
    println!("{what}: {:.2} µs", began.elapsed().as_secs_f64() * 1e6 / count as f64);
}

#[test]
#[ignore = "measures"]
fn what_it_costs_to_find() {
    let mut one = founder();
    let (now, few) = (Duration::from_millis(1), 1000);
    print("find and start, of the first 1,000", few, || {
        (0..few).for_each(|number| find(&mut one, number, &grain(number)));
    });
    (few..LIVES).for_each(|number| find(&mut one, number, &grain(number)));
    assert_eq!(one.lives() as u64, LIVES);
    print("find and start, with 100,000 lives", few, || {
        (LIVES..LIVES + few).for_each(|number| find(&mut one, number, &grain(number)));
    });
    print("find what lives", few, || {
        (0..few).for_each(|number| find(&mut one, LIVES * 2 + number, &grain(number)));
    });
    print("poll and deadline", few, || {
        for _ in 0..few {
            one.poll(now);
            assert!(one.deadline(now) > now);
        }
    });
    // So many wait for grains that are on their way to life.
    let mut starts = Vec::new();
    for number in 0..10_000 {
        for wanted in one.find(LIVES * 3 + number, grain(LIVES * 3 + number), None, now) {
            if let Do::Start { grain, epoch } = wanted {
                starts.push((grain, epoch));
            }
        }
    }
    print("poll and deadline, while 10,000 are looked for", 100, || {
        for _ in 0..100 {
            one.poll(now);
            assert!(one.deadline(now) > now);
        }
    });
    print("start of one of them", few, || {
        for (grain, epoch) in starts.drain(..few as usize) {
            assert_eq!(one.started(&grain, epoch, 1, now).len(), 1);
        }
    });
    let hot = grain(u64::MAX);
    let mut start = None;
    print("find what 10,000 look for", 10_000, || {
        for number in 0..10_000 {
            let wanted = one.find(LIVES * 4 + number, hot.clone(), None, now);
            start = start.take().or(wanted.into_iter().next());
        }
    });
    let Some(Do::Start { grain: hot, epoch }) = start else { panic!("it starts") };
    print("tell them", 10_000, || {
        assert_eq!(one.started(&hot, epoch, 1, now).len(), 10_000);
    });
    print("the end of a life", few, || {
        for (grain, epoch) in starts.drain(..few as usize) {
            let _ = one.finished(&grain, epoch, now);
        }
    });
}
