//! What if a grain does not come to life, or fails.

use std::time::Duration;

use super::*;
use crate::support::{begun, within};

fn activation_failed(error: &AskError<Count>) -> String {
    let Some(Refusal::ActivationFailed { source }) = error.refusal() else {
        panic!("{error}");
    };
    assert!(error.is_safe_to_retry(), "the message was not handled");
    rakt::error::Chain(source).to_string()
}

/// G-07: one error, for everybody who waits, and the next message tries again.
#[tokio::test(start_paused = true)]
async fn an_activation_that_fails_is_an_error_to_all_who_wait() {
    let seen = Seen::default();
    for (key, said) in [("bad", "it is bad"), ("panic", "it panics")] {
        let gate = Gate::default();
        let system = system(gated(&seen, Some(gate.clone()))).await;
        let grain = system.grain::<Counter>(key);
        let mut asks = Vec::new();
        for _ in 0..10 {
            asks.push(begun(grain.ask(Count)).await);
        }
        grain.tell(Count).await.expect("it is sent");
        gate.entered().await;
        gate.open();
        for ask in asks {
            let error = within(ask).await.expect_err("it does not live");
            let text = activation_failed(&error);
            assert!(text.contains(said) || text.contains("panicked"), "{text}");
        }
        assert_eq!(seen.take(), [format!("activate {key}")]);
        assert_eq!(system.dead_letter_count(), 11, "as with any actor that refuses what it has");
        ended(&grain).await;
        gate.open();
        within(grain.ask(Count)).await.expect_err("it does not live");
        assert_eq!(seen.take(), [format!("activate {key}")]);
        let report = &system.grains()[0];
        assert_eq!((report.active, report.activations, report.failures), (0, 2, 2));
        assert_eq!(system.actor_count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_activation_that_hangs_is_given_up() {
    let (seen, gate) = (Seen::default(), Gate::default());
    let kind = gated(&seen, Some(gate.clone())).activation_timeout(Duration::from_secs(2));
    let system = system(kind).await;
    let grain = system.grain::<Counter>("a");
    let began = tokio::time::Instant::now();
    let error = grain.ask(Count).await.expect_err("it hangs");
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert!(activation_failed(&error).contains("within 2s"), "{error}");
    ended(&grain).await;
    gate.open();
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
}

/// One that fails is restarted as any actor, and activated again.
#[tokio::test(start_paused = true)]
async fn a_grain_that_fails_is_activated_again() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let grain = system.grain::<Counter>("a");
    grain.ask(Count).await.expect("it counts");
    grain.ask(Fail).await.expect_err("it fails");
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
    assert_eq!(seen.take(), ["activate a", "activate a"], "what failed is not saved");
}

/// Supervision stops one that fails too often. What waits is for the next activation.
#[tokio::test(start_paused = true)]
async fn a_grain_that_fails_too_often_is_followed_by_another() {
    let (seen, gate) = (Seen::default(), Gate::default());
    let system = system(counters(&seen)).await;
    let grain = system.grain::<Counter>("a");
    grain.tell(Hold(gate.clone())).await.expect("it is sent");
    gate.entered().await;
    let mut fails = Vec::new();
    for _ in 0..4 {
        fails.push(begun(grain.ask(Fail)).await);
    }
    let count = begun(grain.ask(Count)).await;
    gate.open();
    for fail in fails {
        fail.await.expect_err("it fails");
    }
    assert_eq!(count.await.expect("it counts"), 1);
    assert_eq!(seen.take(), ["activate a"; 5]);
    assert_eq!(system.grains()[0].activations, 2);
}

/// A type of grains may be spawned as a plain actor as well: then it has no state, and says so.
#[tokio::test(start_paused = true)]
async fn an_actor_that_was_spawned_is_no_grain() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let seen_too = seen.clone();
    let counter =
        move || Counter { seen: seen_too.clone(), gate: None, key: String::new(), count: 0 };
    let actor = system.spawn("plain", counter).await.expect("it starts");
    assert_eq!(actor.ask(Count).await.expect("it counts"), 1);
    assert_eq!(seen.take(), [""; 0], "no hook of a grain has run");
    let error = actor.ask(TellEpoch).await.expect_err("it has none");
    assert!(error.to_string().contains("failed"), "{error}");
}

/// A strategy for siblings is of no concern to grains, nor to the actors without a parent.
#[tokio::test(start_paused = true)]
async fn a_grain_has_no_siblings() {
    let seen = Seen::default();
    let supervision = Supervision::always(rakt::supervision::Directive::Stop);
    let supervision = supervision.strategy(rakt::supervision::Strategy::OneForAll);
    let system = system(counters(&seen).supervision(supervision)).await;
    struct Plain;
    impl Actor for Plain {}
    let plain = system.spawn("plain", || Plain).await.expect("it starts");
    let (a, b) = (system.grain::<Counter>("a"), system.grain::<Counter>("b"));
    b.ask(Count).await.expect("it counts");
    a.ask(Fail).await.expect_err("it fails");
    ended(&a).await;
    assert_eq!(b.ask(Count).await.expect("it counts"), 2);
    assert_eq!(plain.is_alive(), Some(true));
}
