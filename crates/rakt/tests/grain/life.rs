//! When a grain lives, and what becomes of messages in between.

use std::time::Duration;

use rakt::StopReason;

use super::*;
use crate::support::{begun, stopped, within};

#[tokio::test(start_paused = true)]
async fn a_grain_lives_from_its_first_message_until_it_is_idle() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let mut events = system.events();
    let grain = system.grain::<Counter>("a");
    assert!(!grain.is_active());
    assert_eq!(seen.take(), [""; 0], "a reference does nothing");

    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
    assert_eq!(grain.ask(Count).await.expect("it counts"), 2);
    assert!(grain.is_active());
    assert_eq!(stopped(&mut events, "grains/counter/a").await, StopReason::Passivated);
    ended(&grain).await;
    assert_eq!(seen.take(), ["activate a", "passivate a at 2"]);

    assert_eq!(grain.ask(Count).await.expect("it counts"), 1, "it begins anew");
    assert_eq!(seen.take(), ["activate a"]);
}

#[tokio::test(start_paused = true)]
async fn messages_keep_it() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let grain = system.grain::<Counter>("a");
    for count in 1..20 {
        assert_eq!(grain.ask(Count).await.expect("it counts"), count);
        tokio::time::sleep(IDLE / 2).await;
    }
    assert_eq!(seen.take(), ["activate a"]);
}

/// G-01, on one node: however many first messages race, one activation answers all.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_messages_that_race_meet_one_activation() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    for round in 0..20 {
        let key = format!("k{round}");
        let asks = (0..200).map(|_| {
            let grain = system.grain::<Counter>(&key);
            tokio::spawn(async move { grain.ask(Count).await.expect("it counts") })
        });
        let mut counts = Vec::new();
        for ask in asks.collect::<Vec<_>>() {
            counts.push(ask.await.expect("no panic"));
        }
        counts.sort_unstable();
        assert_eq!(counts, (1..=200).collect::<Vec<u64>>());
        assert_eq!(seen.take(), [format!("activate {key}")]);
    }
}

/// Messages that come while it ends are handled by the next activation, which begins once this one has ended.
#[tokio::test(start_paused = true)]
async fn what_comes_while_it_ends_is_for_the_next_one() {
    let (seen, gate) = (Seen::default(), Gate::default());
    let system = system(gated(&seen, Some(gate.clone()))).await;
    let grain = system.grain::<Counter>("a");
    gate.open();
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
    gate.entered().await;
    // It is being passivated.
    gate.entered().await;
    let ask = begun(grain.ask(Count)).await;
    assert_eq!(seen.take(), ["activate a", "passivate a at 1"]);
    assert_eq!(system.find("grains/counter/a").and_then(|a| a.is_alive()), Some(true));
    gate.open();
    gate.entered().await;
    assert_eq!(seen.take(), ["activate a"]);
    gate.open();
    assert_eq!(ask.await.expect("it counts"), 1);
}

/// What is in the mailbox as a grain stops itself is handled too, in order.
#[tokio::test(start_paused = true)]
async fn what_is_left_is_for_the_next_one() {
    let (seen, gate) = (Seen::default(), Gate::default());
    let system = system(counters(&seen)).await;
    let grain = system.grain::<Counter>("a");
    grain.tell(Hold(gate.clone())).await.expect("it is sent");
    gate.entered().await;
    grain.tell(Stop).await.expect("it is sent");
    let mut asks = Vec::new();
    for _ in 0..5 {
        asks.push(begun(grain.ask(Count)).await);
    }
    gate.open();
    for (ask, count) in asks.into_iter().zip(1..) {
        assert_eq!(ask.await.expect("it counts"), count, "in the order they were sent");
    }
    assert_eq!(seen.take(), ["activate a", "passivate a at 0", "activate a"]);
    assert_eq!(system.dead_letter_count(), 0);
}

/// Many senders, and grains that stop all the time: each message is handled once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_is_lost_as_grains_come_and_go() {
    const SENDERS: u64 = 8;
    const EACH: u64 = 500;
    let seen = Seen::default();
    let kind = counters(&seen).passivate_after(Duration::from_millis(1));
    let system = system(kind).await;
    let senders = (0..SENDERS).map(|sender| {
        let system = system.clone();
        tokio::spawn(async move {
            for n in 0..EACH {
                let grain = system.grain::<Counter>(format!("k{}", (sender + n) % 3));
                if n % 7 == 0 {
                    grain.tell(Stop).await.expect("it is sent");
                }
                grain.ask(Count).await.expect("it counts");
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        within(sender).await.expect("no panic");
    }
    assert_eq!(system.dead_letter_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_activation_has_a_greater_epoch() {
    let system = system(counters(&Seen::default())).await;
    let (a, b) = (system.grain::<Counter>("a"), system.grain::<Counter>("b"));
    let mut last = a.ask(TellEpoch).await.expect("it answers");
    assert_eq!(a.ask(TellEpoch).await.expect("it answers"), last, "it is the same life");
    for grain in [&b, &a, &b, &a] {
        grain.ask(Stop).await.expect("it stops");
        let epoch = grain.ask(TellEpoch).await.expect("it answers");
        assert!(epoch > last, "{epoch} after {last}");
        last = epoch;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_passivates_all_after_the_actors() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let grains = ["a", "b"].map(|key| system.grain::<Counter>(key));
    for grain in &grains {
        grain.ask(Count).await.expect("it counts");
    }
    seen.take();

    /// Uses a grain to the last.
    struct User(GrainRef<Counter>);
    impl Actor for User {
        async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
            assert_eq!(self.0.ask(Count).await?, 2, "it still lives");
            Ok(())
        }
    }
    let grain = grains[0].clone();
    system.spawn("user", move || User(grain.clone())).await.expect("it starts");

    let report = system.shutdown().await;
    assert_eq!(report.unfinished, [""; 0]);
    let mut lines = seen.take();
    lines.sort();
    assert_eq!(lines, ["passivate a at 2", "passivate b at 1"]);
    let error = grains[0].ask(Count).await.expect_err("no more grains");
    assert_eq!(error.refusal(), Some(&Refusal::ShuttingDown));
}

/// Whom a grain tells of itself by its grain reference reaches each of its lives.
#[tokio::test(start_paused = true)]
async fn a_grain_can_be_written_to_by_whom_it_has_told_of_itself() {
    #[derive(Message)]
    #[rakt(reply = (GrainRef<Counter>, ActorRef<Counter>))]
    struct WhoAreYou;
    impl Handler<WhoAreYou> for Counter {
        async fn handle(
            &mut self,
            _: WhoAreYou,
            ctx: &mut Context<Self>,
        ) -> Result<(GrainRef<Counter>, ActorRef<Counter>)> {
            Ok((ctx.grain_ref(), ctx.me()))
        }
    }
    let system = system(counters(&Seen::default())).await;
    let (grain, life) = system.grain::<Counter>("a").ask(WhoAreYou).await.expect("it answers");
    assert_eq!(life.ask(Count).await.expect("it counts"), 1);
    grain.ask(Stop).await.expect("it stops");
    ended(&grain).await;
    assert_eq!(grain.ask(Count).await.expect("it counts"), 1);
    let error = life.ask(Count).await.expect_err("that life is over");
    assert_eq!(error.refusal(), Some(&Refusal::Stopped));
}

/// What was accepted before a shutdown is handled, also where the grain has not begun to live.
#[tokio::test(start_paused = true)]
async fn a_shutdown_handles_what_was_accepted() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    for n in 0..30 {
        let grain = system.grain::<Counter>(format!("k{n}"));
        for _ in 0..3 {
            grain.tell(Count).await.expect("it is accepted");
        }
    }
    let report = within(system.shutdown()).await;
    assert_eq!((report.dropped_messages, report.unfinished), (0, vec![]));
    let passivated = seen.take().into_iter().filter(|line| line.ends_with("at 3"));
    assert_eq!(passivated.count(), 30);
}

/// Grains that are at work may need each other to the last: whom one asks is brought to life once more.
#[tokio::test(start_paused = true)]
async fn a_grain_can_ask_another_during_a_shutdown() {
    #[derive(Message)]
    #[rakt(reply = u64)]
    struct AskOf(Gate, String);
    impl Handler<AskOf> for Counter {
        async fn handle(
            &mut self,
            AskOf(gate, key): AskOf,
            ctx: &mut Context<Self>,
        ) -> Result<u64> {
            gate.pass().await;
            Ok(ctx.ask(&ctx.system().grain::<Counter>(key), Count).await?)
        }
    }
    let (seen, gate) = (Seen::default(), Gate::default());
    let system = system(counters(&seen)).await;
    let [a, b] = ["a", "b"].map(|key| system.grain::<Counter>(key));
    b.ask(Count).await.expect("it counts");
    let of_living = begun(a.ask(AskOf(gate.clone(), "b".into()))).await;
    let of_new = begun(b.ask(AskOf(gate.clone(), "c".into()))).await;
    gate.entered().await;
    gate.entered().await;
    let mut shutdown = begun(system.shutdown()).await;
    let from_outside = system.grain::<Counter>("d").ask(Count).await.expect_err("no new ones");
    assert_eq!(from_outside.refusal(), Some(&Refusal::ShuttingDown));
    gate.open();
    gate.open();
    let both = async { (of_living.await, of_new.await) };
    let (report, (of_living, of_new)) = within(async { tokio::join!(&mut shutdown, both) }).await;
    assert!(of_living.is_ok() && of_new.is_ok(), "{of_living:?} {of_new:?}");
    assert_eq!((report.dropped_messages, report.unfinished), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_grain_is_deactivated_from_outside() {
    let seen = Seen::default();
    let system = system(counters(&seen)).await;
    let grain = system.grain::<Counter>("a");
    within(grain.deactivate()).await.expect("it ends");
    assert_eq!(seen.take(), [""; 0], "it did not live");
    grain.tell(Count).await.expect("it is sent");
    within(grain.deactivate()).await.expect("it ends");
    assert_eq!(seen.take(), ["activate a", "passivate a at 1"]);
    let id = grain.id().expect("it is a key");
    assert_eq!(system.grain_of::<Counter>(&id), Some(grain));
    let other = rakt::grain::GrainId::new("cart", "a").expect("it is a key");
    assert_eq!(system.grain_of::<Counter>(&other), None);
}
