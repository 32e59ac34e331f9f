//! How many grains live at once.

use std::time::Duration;

use rakt::error::Bound;

use super::*;
use crate::support::{begun, within};

/// Far more keys than may live: the idle ones make room, and no more than the limit live at any time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_grains_make_room() {
    let seen = Seen::default();
    let system = system(counters(&seen).limit(10)).await;
    for n in 0..500 {
        let grain = system.grain::<Counter>(format!("k{n}"));
        assert_eq!(within(grain.ask(Count)).await.expect("it counts"), 1);
        let report = &system.grains()[0];
        assert!(report.active <= report.limit, "{report:?}");
    }
    let lines = seen.take();
    let passivated = lines.iter().filter(|line| line.starts_with("passivate"));
    assert!(passivated.count() >= 490, "those that made room were passivated");
    assert!(system.actor_count() <= 10);
}

/// The same where all are asked at once: each makes room for others as soon as it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_come_to_life_one_after_the_other() {
    // Where each waits for a while of its own it takes a minute; here a second or two.
    for (limit, keys) in [(10, 3000), (1, 100)] {
        let system = system(counters(&Seen::default()).limit(limit)).await;
        let asks = (0..keys).map(|n| {
            let grain = system.grain::<Counter>(format!("k{n}"));
            let limit = Duration::from_secs(40);
            tokio::spawn(async move { grain.ask(Count).timeout(limit).await })
        });
        for ask in asks.collect::<Vec<_>>() {
            assert_eq!(ask.await.expect("no panic").expect("it counts"), 1);
        }
    }
}

/// While all are busy, messages for others wait for room as for that in a mailbox.
#[tokio::test(start_paused = true)]
async fn where_all_are_busy_a_message_waits_for_room() {
    let (seen, gate) = (Seen::default(), Gate::default());
    let system = system(counters(&seen).limit(2)).await;
    for key in ["a", "b"] {
        system.grain::<Counter>(key).tell(Hold(gate.clone())).await.expect("it is sent");
        gate.entered().await;
    }
    let c = system.grain::<Counter>("c");
    let error = c.try_tell(Count).expect_err("there is no room");
    let exhausted = Refusal::ResourceExhausted { bound: Bound::Grains, limit: 2 };
    assert_eq!(error.refusal, exhausted);
    assert!(error.is_worth_retrying());

    let began = tokio::time::Instant::now();
    let limit = Duration::from_secs(3);
    let error = c.ask(Count).timeout(limit).await.expect_err("there is no room");
    assert_eq!(error.refusal(), Some(&exhausted));
    assert_eq!(began.elapsed(), limit);
    // Those that live take messages as ever.
    let a = system.grain::<Counter>("a");
    let ask_a = begun(a.ask(Count)).await;

    let ask = begun(c.ask(Count)).await;
    let tell = begun(c.tell(Count)).await;
    gate.open();
    gate.open();
    assert_eq!(ask_a.await.expect("it counts"), 1);
    ask.await.expect("it counts");
    tell.await.expect("it is sent");
    assert_eq!(seen.take().iter().filter(|line| *line == "activate c").count(), 1);
}

/// Nothing is left of a grain that has ended and that nobody refers to.
#[tokio::test(start_paused = true)]
async fn a_reference_is_all_that_is_kept() {
    let system = system(counters(&Seen::default())).await;
    let grain = system.grain::<Counter>("a");
    grain.ask(Count).await.expect("it counts");
    let again = system.grain::<Counter>("a");
    assert_eq!(grain, again);
    assert_ne!(grain, system.grain::<Counter>("b"));
    grain.ask(Stop).await.expect("it stops");
    ended(&again).await;
    assert_eq!((system.actor_count(), system.grains()[0].active), (0, 0));
}
