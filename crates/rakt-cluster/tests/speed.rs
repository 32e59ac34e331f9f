//! How long a node takes to go on to a view in which one of many members has changed. A print, not a test:
//! `cargo test -p rakt-cluster --test speed --release -- --ignored --nocapture`.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a print that measures, of a crate that reads no clock"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rakt_cluster::directory::Directory;
use rakt_cluster::view::{Draft, Member, State, View};
use rakt_cluster::{Incarnation, NodeId, Seat, Slot, SlotRule};

const MEMBERS: u64 = 1000;
const ROUNDS: usize = 40;

fn member(id: u64, joined: u64) -> Member {
    Member {
        // Spread as random ids are.
        id: NodeId(u128::from(id.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 40 | u128::from(id)),
        incarnation: Incarnation(id.into()),
        joined,
        state: State::Up,
        host: "n1.shop.default.svc".into(),
        port: 3320,
        roles: BTreeSet::from(["orders".to_owned()]),
        zone: "eu-1a".into(),
        weight: 100,
        level: 1,
    }
}

fn first() -> Draft {
    let mut members: Vec<_> = (0..MEMBERS).map(|id| member(id, 1)).collect();
    members.sort_by_key(|member| member.id);
    Draft {
        cluster: 7,
        origin: 1,
        generation: 1,
        version: 1,
        slots: SlotRule::One,
        lease: Duration::from_secs(8),
        level: 1,
        members,
    }
}

fn micros(took: Duration) -> f64 {
    took.as_secs_f64() * 1e6
}

/// Has nodes go on to the view that `change` makes, each for itself, and prints the median and the worst: a node that has
/// nothing to do with it, and the one that gains most slots.
fn measure(what: &str, change: impl FnOnce(&mut Draft)) {
    let mut draft = first();
    let before = Arc::new(View::new(draft.clone()).expect("a view"));
    draft.version += 1;
    change(&mut draft);
    let after = View::new(draft.clone()).expect("a view");
    let mut gains: BTreeMap<Seat, usize> = before.hosts().map(|seat| (seat, 0)).collect();
    for slot in Slot::all().filter(|slot| before.owner(*slot) != after.owner(*slot)) {
        *gains.entry(after.owner(slot).expect("one")).or_default() += 1;
    }
    gains.retain(|seat, _| {
        before.state(*seat) == Some(State::Up) && after.state(*seat) == Some(State::Up)
    });
    let by_gain = |(_, gain): &(&Seat, &usize)| **gain;
    for (who, me) in
        [("others", gains.iter().min_by_key(by_gain)), ("taker", gains.iter().max_by_key(by_gain))]
    {
        let (me, gain) = me.expect("one");
        let now = Duration::from_secs(1);
        let (directory, _) = Directory::new(before.clone(), *me, Slot::all().collect(), now);
        let mut took: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let (mut directory, view) =
                    (directory.clone(), Arc::new(View::new(draft.clone()).expect("a view")));
                let start = Instant::now();
                black_box(directory.learn(view, now));
                micros(start.elapsed())
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let [median, worst] = [took[took.len() / 2], took[took.len() - 1]];
        println!(
            "learn: one of 1,000 {what:<8} {who:<6} gains {gain:>2}: median {median:>7.0} µs, worst {worst:>7.0} µs"
        );
    }
}

#[test]
#[ignore = "a print"]
fn views() {
    measure("joins", |draft| {
        let new = member(MEMBERS, draft.version);
        let at = draft.members.partition_point(|member| member.id < new.id);
        draft.members.insert(at, new);
    });
    measure("dies", |draft| draft.members[300].state = State::Dead { since: draft.version });
    measure("leaves", |draft| draft.members[300].state = State::Leaving);
    measure("is gone", |draft| drop(draft.members.remove(300)));
    measure("is as is", |_| ());

    let bytes = View::new(first()).expect("a view").encode();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        black_box(View::decode(black_box(&bytes)).expect("a view"));
    }
    println!(
        "decode: {} bytes of 1,000 members in {:.0} µs",
        bytes.len(),
        micros(start.elapsed()) / ROUNDS as f64
    );
    let view = View::decode(&bytes).expect("a view");
    let start = Instant::now();
    let all = Slot::all().filter_map(|slot| view.owner(slot)).count();
    println!("owner: all {all} slots of a new view in {:.0} µs", micros(start.elapsed()));
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for slot in Slot::all() {
            black_box(view.owner(black_box(slot)));
        }
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / (ROUNDS * 4096) as f64;
    println!("owner: {each:.1} ns each after that");
}
