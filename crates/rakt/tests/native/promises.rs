//! What a user may rely on when the other actor is on another node: order, at most once, one outcome,
//! bounds, and that one receiver does not hold up another.

use std::collections::HashMap;
use std::time::Duration;

use rakt::error::Bound;
use rakt::prelude::*;
use rakt::{AskError, Refusal, StopReason};

use crate::cable::Cable;
use crate::memory::Memory;
use crate::messages::Unlisted;
use crate::nodes::{self, config, dead_letter, node, node_with, remote};
use crate::probe::{self, Blob, Hold, Probe, blob, echo, noise, number};
use crate::support::{self, begun, stopped, within};

/// A node whose messages to one other node share one connection.
async fn narrow(name: &str, cable: &Cable) -> ActorSystem {
    node_with(name, config().max_idle_conns(1).transport(cable.clone())).await
}

/// Two nodes on a network in memory, for a paused clock; the second has `options`, and the messages of
/// the first share one connection.
async fn narrow_pair(options: remote::Config) -> (Cable, ActorSystem, ActorSystem) {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let there = node_with("there", options.transport(network)).await;
    (cable.clone(), narrow("here", &cable).await, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_senders_to_many_receivers_each_keep_their_order() -> Result {
    const SENDERS: u64 = 8;
    const EACH: u64 = 2_000;
    let (here, there) = (node("here").await, node("there").await);
    let mut receivers = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let (_, seen) = Probe::spawn(&there, name).await;
        receivers.push((remote::<Probe>(&here, &there, name).await, seen));
    }
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let probes: Vec<_> = receivers.iter().map(|(probe, _)| probe.clone()).collect();
        senders.spawn(async move {
            for n in 0..EACH {
                for probe in &probes {
                    within(probe.tell(number(sender << 32 | n))).await.expect("it is taken");
                }
            }
        });
    }
    within(senders.join_all()).await;
    for (_, seen) in &mut receivers {
        let mut next = HashMap::new();
        for n in seen.take((SENDERS * EACH) as usize).await {
            let next = next.entry(n >> 32).or_insert(0);
            assert_eq!(n & 0xffff_ffff, *next, "of sender {}", n >> 32);
            *next += 1;
        }
        assert!(seen.so_far().is_empty(), "nothing comes twice");
    }
    Ok(())
}

#[tokio::test]
async fn tells_asks_confirmed_tells_and_large_messages_of_one_sender_stay_in_order() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let large = within(async {
        probe.tell(number(1)).await?;
        let asker = probe.clone();
        let ask = async move { asker.ask(blob(5_000_000)).await };
        let large = tokio::spawn(begun(ask).await);
        for n in 2..50 {
            match n % 3 {
                0 => probe.tell(number(n)).await?,
                1 => probe.tell(number(n)).confirmed().await?,
                _ => probe.ask(number(n)).await?,
            }
        }
        Result::<_>::Ok(large.await?)
    })
    .await?;
    assert_eq!(large?.len, 5_000_000);
    assert_eq!(seen.take(49).await, (1..50).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn across_reconnects_nothing_comes_twice_and_nothing_old_after_something_new() -> Result {
    let cable = Cable::default();
    let here = node_with("here", config().transport(cable.clone())).await;
    let there = node_with("there", config().transport(cable.memory())).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = tokio::spawn(async move {
        let mut n = 0;
        while !stop.is_closed() {
            n += 1;
            // What fails is left out; what was cut may or may not have arrived.
            let _ = within(probe.tell(number(n))).await;
            tokio::task::yield_now().await;
        }
        within(probe.tell(number(n + 1)).confirmed()).await.map(|()| n + 1)
    });
    let mut last = 0;
    // Each pause before the next connection is longer.
    for _ in 0..8 {
        for n in seen.take(200).await {
            assert!(n > last, "{n} after {last}");
            last = n;
        }
        let made = cable.made_count();
        cable.cut();
        within(async {
            while cable.made_count() == made {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    drop(stopped);
    let end = within(sending).await??;
    while last < end {
        let n = seen.next().await;
        assert!(n > last, "{n} after {last}");
        last = n;
    }
    Ok(())
}

/// Cuts the line while the network holds what was written to it.
async fn cut_under_way(cable: &Cable, here: &ActorSystem) {
    let mut events = here.events();
    // The clock moves when nobody has anything left to do but wait: they are written.
    tokio::time::sleep(Duration::from_millis(1)).await;
    cable.cut();
    nodes::link_down(&mut events).await;
    within(async {
        while cable.stray_count() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Where nobody keeps a reference either.
#[tokio::test(start_paused = true)]
async fn order_holds_for_messages_by_address() -> Result {
    let (cable, here, there) = narrow_pair(config()).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let address = there.address("probe")?;
    within(here.ask(&address, number(1))).await?;
    cable.hold();
    within(here.tell(&address, number(2))).await?;
    cut_under_way(&cable, &here).await;
    // Many others were talked to meanwhile: what was known of the address is forgotten.
    for port in 1..200 {
        let other = Address::new("probe", "there", "127.0.0.1", port)?;
        let _ = within(here.tell(&other, number(0)).timeout(Duration::ZERO)).await;
    }
    within(here.tell(&address, number(3)).confirmed()).await?;
    within(cable.deliver_late()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(seen.so_far(), [1, 3]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_the_network_delivers_late_does_not_come_after_what_was_sent_later() -> Result {
    let (cable, here, there) = narrow_pair(config()).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.ask(number(1))).await?;
    // These leave the process, and stay in the network while the connection breaks on this side.
    cable.hold();
    for n in 2..10 {
        within(probe.tell(number(n))).await?;
    }
    cut_under_way(&cable, &here).await;
    within(probe.tell(number(10)).confirmed()).await?;
    within(cable.deliver_late()).await;
    within(probe.tell(number(11)).confirmed()).await?;
    let mut last = 0;
    while last != 11 {
        let n = seen.next().await;
        assert!(n > last, "{n} after {last}");
        last = n;
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_uses_up_its_credit_waits_and_nobody_else_does() -> Result {
    let (cable, here, there) = narrow_pair(config().receiver_window(32 * 1024)).await;
    let (_, mut seen) = Probe::spawn(&there, "slow").await;
    Probe::spawn(&there, "quick").await;
    let slow: ActorRef<Probe> = remote(&here, &there, "slow").await;
    let quick: ActorRef<Probe> = remote(&here, &there, "quick").await;
    within(slow.tell(Hold {})).await?;
    seen.gate.entered().await;

    let mut sent = 0;
    let refusal = loop {
        match slow.try_tell(number(sent)) {
            Ok(()) => sent += 1,
            Err(error) => break error.refusal,
        }
        assert!(sent < 1000, "a window of 32 KiB is not used up by {sent} messages");
    };
    let (bound, limit) = (Bound::ReceiverWindow, 32 * 1024);
    let used_up = Refusal::ResourceExhausted { bound, limit };
    assert_eq!(refusal, used_up);

    let waiting = tokio::spawn({
        let slow = slow.clone();
        async move { within(slow.tell(number(sent))).await }
    });
    let asking = tokio::spawn({
        let slow = slow.clone();
        async move { within(slow.ask(echo("later")).timeout(Duration::from_secs(60))).await }
    });
    for _ in 0..100 {
        within(quick.ask(echo("now"))).await?;
        within(quick.tell(blob(10_000))).await?;
    }
    assert_eq!(cable.dial_count(), 1, "all of them share one connection");
    assert!(!waiting.is_finished() && !asking.is_finished());
    let error = within(slow.tell(number(0)).timeout(Duration::from_millis(10))).await;
    assert_eq!(error.expect_err("no room in time").refusal, used_up);

    seen.gate.open();
    within(waiting).await??;
    assert_eq!(within(asking).await??, echo("later"));
    assert_eq!(seen.take(sent as usize + 1).await, (0..=sent).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_full_mailbox_makes_peers_wait_and_loses_nothing() -> Result {
    let cable = Cable::default();
    let here = narrow("here", &cable).await;
    let there = node_with("there", config().transport(cable.memory())).await;
    let (_, mut seen) = Probe::with_mailbox(&there, "full", Mailbox::bounded(4)).await;
    Probe::spawn(&there, "quick").await;
    let full: ActorRef<Probe> = remote(&here, &there, "full").await;
    let quick: ActorRef<Probe> = remote(&here, &there, "quick").await;
    within(full.tell(Hold {})).await?;
    seen.gate.entered().await;
    for n in 0..1000 {
        within(full.tell(number(n))).await?;
    }
    let confirming = tokio::spawn({
        let full = full.clone();
        async move { within(full.tell(number(1000)).confirmed()).await }
    });
    for _ in 0..20 {
        within(quick.ask(echo("now"))).await?;
    }
    assert!(!confirming.is_finished(), "it is not in the mailbox, which is full");
    seen.gate.open();
    assert_eq!(seen.take(1001).await, (0..=1000).collect::<Vec<_>>());
    within(confirming).await??;
    assert_eq!(here.dead_letter_count() + there.dead_letter_count(), 0);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_large_message_lets_small_ones_to_others_pass() -> Result {
    const LARGE: usize = 15_000_000;
    let (cable, here, there) = narrow_pair(config()).await;
    Probe::spawn(&there, "large").await;
    Probe::spawn(&there, "quick").await;
    let large: ActorRef<Probe> = remote(&here, &there, "large").await;
    let quick: ActorRef<Probe> = remote(&here, &there, "quick").await;
    cable.allow(100_000);
    let big = tokio::spawn(async move {
        within(large.ask(blob(LARGE)).timeout(Duration::from_secs(60))).await
    });
    within(async {
        while cable.written() < 100_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut small = tokio::spawn(async move { within(quick.ask(echo("now"))).await });
    // As the network takes a little more and a little more, the small one gets through.
    loop {
        cable.allow(100_000);
        // The clock moves when all that the network took has been handled.
        match tokio::time::timeout(Duration::from_millis(1), &mut small).await {
            Ok(reply) => break assert_eq!(reply??, echo("now")),
            Err(_) => assert!(cable.written() < 2_000_000, "the small one waits for the large one"),
        }
    }
    assert!(!big.is_finished());
    cable.allow(2 * LARGE);
    assert_eq!(within(big).await??.len, LARGE as u64);
    assert_eq!(cable.dial_count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_tell_that_fails_over_there_becomes_a_dead_letter_here() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let (mine, _) = Probe::spawn(&here, "mine").await;
    let mut events = here.events();

    let nobody = here.actor(&there.address("nobody")?);
    within(nobody.tell(number(1)).sender(&mine)).await?;
    let letter = dead_letter(&mut events).await;
    assert_eq!(letter.reason, Refusal::NotFound);
    assert_eq!(letter.target, there.address("nobody")?.into());
    assert_eq!(letter.sender, Some(mine.address()));
    assert_eq!((letter.message.as_str(), letter.count), ("tests.Number", 1));

    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell(Unlisted {})).await?;
    let letter = dead_letter(&mut events).await;
    let message = "tests.Unlisted".to_owned();
    assert_eq!(letter.reason, Refusal::NotAccepted { message });
    assert_eq!((letter.target, letter.sender), (probe.address().into(), None));

    within(there.find("probe").expect("it lives").stop()).await?;
    within(probe.tell(number(2))).await?;
    let letter = dead_letter(&mut events).await;
    assert!(matches!(letter.reason, Refusal::NotFound | Refusal::Stopped), "{letter:?}");
    assert_eq!(here.dead_letter_count(), 3);
    assert_eq!(there.dead_letter_count(), 0, "each is counted once, where it was sent");
    Ok(())
}

#[tokio::test]
async fn a_mailbox_that_refuses_says_so_to_peers_in_every_way() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let mailbox = Mailbox::bounded(2).overflow(Overflow::Refuse);
    let (_, mut seen) = Probe::with_mailbox(&there, "probe", mailbox).await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let mut events = here.events();
    within(probe.tell(Hold {})).await?;
    seen.gate.entered().await;
    within(probe.tell(number(1)).confirmed()).await?;
    within(probe.tell(number(2)).confirmed()).await?;

    let full = Refusal::MailboxFull { capacity: 2 };
    within(probe.tell(number(3))).await?;
    assert_eq!(dead_letter(&mut events).await.reason, full);
    let error = within(probe.tell(number(4)).confirmed()).await.expect_err("it is full");
    assert_eq!(error.refusal(), Some(&full));
    assert!(error.is_safe_to_retry() && full.is_transient());
    let error = within(probe.ask(number(5))).await.expect_err("it is full");
    assert_eq!(error.refusal(), Some(&full));
    let outcomes = within(probe.tell_all([6, 7].map(number))).await;
    assert!(outcomes.iter().all(|o| o.as_ref().is_err_and(|e| e.refusal() == Some(&full))));

    seen.gate.open();
    assert_eq!(seen.take(2).await, [1, 2]);
    within(probe.ask(number(8))).await?;
    assert_eq!(seen.next().await, 8);
    Ok(())
}

#[tokio::test]
async fn a_mailbox_that_drops_the_oldest_tells_their_senders() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let mailbox = Mailbox::bounded(2).overflow(Overflow::DropOldest);
    let (local, mut seen) = Probe::with_mailbox(&there, "probe", mailbox).await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let mut events = here.events();
    within(probe.tell(Hold {})).await?;
    seen.gate.entered().await;
    let asked = tokio::spawn({
        let probe = probe.clone();
        async move { within(probe.ask(number(1))).await }
    });
    within(async {
        while local.queue_len() != Some(1) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for n in 2..6 {
        within(probe.tell(number(n)).confirmed()).await?;
    }
    let error = within(asked).await?.expect_err("it was the oldest");
    assert_eq!(error.refusal(), Some(&Refusal::Dropped));
    let mut dropped = 0;
    while dropped < 2 {
        let letter = dead_letter(&mut events).await;
        assert_eq!(letter.reason, Refusal::Dropped);
        dropped += letter.count;
    }
    assert_eq!(dropped, 2);
    seen.gate.open();
    assert_eq!(seen.take(2).await, [4, 5]);
    Ok(())
}

#[tokio::test]
async fn every_ask_ends_once_when_the_connection_is_cut() -> Result {
    let cable = Cable::default();
    let here = node_with("here", config().transport(cable.clone())).await;
    let there = node_with("there", config().transport(cable.memory())).await;
    let (local, seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let mut events = here.events();
    within(probe.tell(Hold {})).await?;
    seen.gate.entered().await;
    let mut asks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let probe = probe.clone();
        let limit = Duration::from_secs(600);
        asks.spawn(async move { within(probe.ask(number(n)).timeout(limit)).await });
    }
    within(async {
        while local.queue_len() != Some(200) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    cable.cut();
    while let Some(outcome) = within(asks.join_next()).await {
        let error = outcome?.expect_err("the handler is at the gate");
        assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
        assert!(!error.is_safe_to_retry());
    }
    assert!(nodes::link_down(&mut events).await.contains("reset"));
    seen.gate.open();
    assert_eq!(within(probe.ask(echo("again"))).await?, echo("again"), "over a new connection");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_network_that_falls_silent_ends_every_ask_within_the_detection_time() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let idle = Duration::from_millis(100);
    let options = config().transport(cable.clone()).read_idle_timeout(idle);
    let here = node_with("here", options).await;
    let there = node_with("there", config().transport(network)).await;
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.ask(echo("before"))).await?;
    cable.freeze();
    let asks = (0..50).map(|n| echo(&n.to_string()));
    let before = tokio::time::Instant::now();
    for outcome in within(probe.ask_all(asks).timeout(Duration::from_secs(600))).await {
        let error = outcome.expect_err("nobody can answer");
        assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
    }
    // Twice the time without a byte, and what a timer is late.
    assert!(before.elapsed() <= 2 * idle + Duration::from_millis(2), "{:?}", before.elapsed());
    assert_eq!(within(probe.ask(echo("after"))).await?, echo("after"));
    Ok(())
}

#[tokio::test]
async fn a_reference_to_an_earlier_life_of_a_node_reaches_no_stranger() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    Probe::spawn(&there, "probe").await;
    let old: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(old.ask(echo("hi"))).await?;
    let port = there.advertised().1;
    within(there.shutdown()).await;

    let there = node_with("there", remote::Config::new("127.0.0.1", port)).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    // The first dial may still be in its back-off.
    let new: ActorRef<Probe> = within(async {
        loop {
            match here.node("127.0.0.1", port).lookup::<Probe>("probe").await {
                Ok(Some(found)) => return found,
                _ => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    assert_ne!(old, new);
    let ask = || async {
        loop {
            match within(old.ask(echo("old"))).await.expect_err("it is another one now") {
                AskError::NotSent { refusal: Refusal::Unreachable { .. }, .. } => {
                    tokio::task::yield_now().await;
                }
                error => return error,
            }
        }
    };
    let error = within(ask()).await;
    assert_eq!(error.refusal(), Some(&Refusal::StaleIncarnation), "{error}");
    assert!(error.is_safe_to_retry());
    let error = within(old.tell(number(1))).await.expect_err("it is another one now");
    assert_eq!(error.refusal, Refusal::StaleIncarnation);
    assert_eq!(error.message, number(1));
    let error = old.try_tell(number(1)).expect_err("it is another one now");
    assert_eq!(error.refusal, Refusal::StaleIncarnation);
    within(old.stop()).await?;
    within(new.ask(number(2))).await?;
    within(here.tell(&there.address("probe")?, number(3))).await?;
    assert_eq!(seen.take(2).await, [2, 3], "the new one was neither told nor stopped");
    Ok(())
}

#[tokio::test]
async fn a_reference_to_an_earlier_actor_of_the_same_name_reaches_no_stranger() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (local, _old_seen) = Probe::spawn(&there, "probe").await;
    let old: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(old.ask(echo("hi"))).await?;
    within(local.stop()).await?;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let mut events = here.events();

    let error = within(old.ask(echo("x"))).await.expect_err("it is another one now");
    assert_eq!(error.refusal(), Some(&Refusal::StaleIncarnation));
    within(old.tell(number(1))).await?;
    assert_eq!(dead_letter(&mut events).await.reason, Refusal::StaleIncarnation);
    within(old.stop()).await?;

    let new: ActorRef<Probe> = remote(&here, &there, "probe").await;
    assert_ne!(old, new);
    within(new.tell(number(2))).await?;
    assert_eq!(seen.next().await, 2);
    Ok(())
}

#[tokio::test]
async fn all_peers_together_share_one_memory_budget() -> Result {
    const MIB: u64 = 1024 * 1024;
    let (one, two) = (node("one").await, node("two").await);
    let there = node_with("there", config().memory_budget(2 * MIB)).await;
    let (_, a_seen) = Probe::spawn(&there, "a").await;
    let (_, b_seen) = Probe::spawn(&there, "b").await;
    let a: ActorRef<Probe> = remote(&one, &there, "a").await;
    let b: ActorRef<Probe> = remote(&two, &there, "b").await;
    within(a.tell(Hold {})).await?;
    a_seen.gate.entered().await;
    within(b.tell(Hold {})).await?;
    b_seen.gate.entered().await;

    within(a.tell(blob(500_000)).confirmed()).await?;
    let exhausted = Refusal::ResourceExhausted { bound: Bound::MessageMemory, limit: MIB };
    let error = within(b.ask(blob(400_000))).await.expect_err("the other peer's is held");
    assert_eq!(error.refusal(), Some(&exhausted));
    let error = within(b.tell(blob(400_000)).confirmed()).await.expect_err("still held");
    assert_eq!(error.refusal(), Some(&exhausted));
    let mut events = two.events();
    within(b.tell(blob(400_000))).await?;
    assert_eq!(dead_letter(&mut events).await.reason, exhausted);
    within(b.tell(blob(100_000)).confirmed()).await.map_err(|_| "what fits is taken")?;

    a_seen.gate.open();
    within(a.ask(echo("the large one is handled"))).await?;
    b_seen.gate.open();
    assert_eq!(within(b.ask(blob(400_000))).await?.len, 400_000);
    Ok(())
}

#[tokio::test]
async fn a_connection_has_a_bound_on_requests_in_flight() -> Result {
    let cable = Cable::default();
    let here = narrow("here", &cable).await;
    let there = node_with("there", config().transport(cable.memory()).max_in_flight(4)).await;
    let (_, seen) = Probe::spawn(&there, "slow").await;
    Probe::spawn(&there, "quick").await;
    let slow: ActorRef<Probe> = remote(&here, &there, "slow").await;
    let quick: ActorRef<Probe> = remote(&here, &there, "quick").await;
    let mut held = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let slow = slow.clone();
        held.spawn(async move { within(slow.ask(Hold {})).await });
    }
    seen.gate.entered().await;
    let (host, port) = there.advertised();
    let refusal = within(async {
        loop {
            match here.node(host, port).ping().await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    })
    .await;
    let bound = Bound::InFlight;
    let exhausted = Refusal::ResourceExhausted { bound, limit: 4 };
    assert_eq!(refusal.refusal(), Some(&exhausted), "{refusal}");
    let fifth = tokio::spawn({
        let quick = quick.clone();
        async move { within(quick.ask(echo("fifth"))).await }
    });
    within(quick.tell(number(1))).await?;
    assert!(!fifth.is_finished());
    for _ in 0..4 {
        seen.gate.open();
        within(held.join_next()).await.expect("four are held")??;
    }
    assert_eq!(within(fifth).await??, echo("fifth"));
    Ok(())
}

/// A blob whose encoding has exactly `len` bytes.
fn blob_of_encoded_len(len: usize) -> Blob {
    let mut blob = blob(len - 16);
    let missing = len - prost::Message::encoded_len(&blob);
    blob.bytes.resize(len - 16 + missing, 7);
    assert_eq!(prost::Message::encoded_len(&blob), len);
    blob
}

#[tokio::test]
async fn a_message_may_be_as_large_as_the_limit_and_not_one_byte_larger() -> Result {
    let limits = [config().max_frame_size(300_000), config()];
    for (limit, there) in [300_000, 16 * 1024 * 1024].into_iter().zip(limits) {
        let (here, there) = (node("here").await, node_with("there", there).await);
        Probe::spawn(&there, "probe").await;
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        let largest = blob_of_encoded_len(limit);
        let len = largest.bytes.len() as u64;
        let wait = Duration::from_secs(60);
        assert_eq!(within(probe.ask(largest.clone()).timeout(wait)).await?.len, len);
        within(probe.tell(largest).confirmed().timeout(wait)).await?;

        let refusal = Refusal::TooLarge { size: limit as u64 + 1, limit: limit as u64 };
        let error = within(probe.ask(blob_of_encoded_len(limit + 1))).await.expect_err("larger");
        assert!(matches!(error, AskError::NotSent { .. }), "{error}");
        assert_eq!(error.refusal(), Some(&refusal));
        let error = within(probe.tell(blob_of_encoded_len(limit + 1))).await.expect_err("larger");
        assert_eq!(error.refusal, refusal);
        assert_eq!(error.message.bytes.len() as u64, len + 1, "it comes back");
        assert_eq!(within(probe.ask(echo("next"))).await?, echo("next"));
    }
    Ok(())
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_refused_with_size_and_limit() -> Result {
    let (here, there) =
        (node("here").await, node_with("there", config().max_frame_size(100_000)).await);
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let message = Blob { bytes: noise(99_994), back: true };
    let error = within(probe.ask(message)).await.expect_err("it adds its length");
    match error.refusal() {
        Some(Refusal::TooLarge { size, limit: 100_000 }) => assert!(*size > 100_000),
        other => panic!("{other:?}"),
    }
    assert_eq!(within(probe.ask(echo("next"))).await?, echo("next"));
    Ok(())
}

#[tokio::test]
async fn a_message_may_be_larger_than_a_frame_and_arrives_whole() -> Result {
    let options = || config().max_frame_size(64 * 1024).max_message_size(4 * 1024 * 1024);
    let (here, there) = (node_with("here", options()).await, node_with("there", options()).await);
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let bytes = noise(3 * 1024 * 1024);
    let message = Blob { bytes: bytes.clone(), back: true };
    let reply = within(probe.ask(message).timeout(Duration::from_secs(60))).await?;
    assert!(reply.bytes == bytes, "all of it, there and back");
    let limit = 4 * 1024 * 1024;
    within(probe.ask(blob_of_encoded_len(limit))).await?;
    let error = within(probe.ask(blob_of_encoded_len(limit + 1))).await.expect_err("larger");
    let (size, limit) = (limit as u64 + 1, limit as u64);
    assert_eq!(error.refusal(), Some(&Refusal::TooLarge { size, limit }));
    Ok(())
}

#[tokio::test]
async fn many_large_messages_at_once_all_arrive() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let mut asks = tokio::task::JoinSet::new();
    for n in 0..10 {
        let name = format!("probe-{n}");
        Probe::spawn(&there, &name).await;
        let probe: ActorRef<Probe> = remote(&here, &there, &name).await;
        asks.spawn(async move {
            let len = 1_000_000 + n;
            let ask = probe.ask(Blob { bytes: noise(len), back: true });
            let reply = within(ask.timeout(Duration::from_secs(60))).await.expect("it answers");
            assert!(reply.bytes == noise(len));
        });
    }
    within(asks.join_all()).await;
    Ok(())
}

#[tokio::test]
async fn a_node_that_shuts_down_handles_what_it_has_and_takes_nothing_new() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let mut links = here.events();
    within(probe.tell(Hold {})).await?;
    seen.gate.entered().await;
    for n in 0..100 {
        within(probe.tell(number(n)).confirmed()).await?;
    }
    let asked = tokio::spawn({
        let probe = probe.clone();
        async move { within(probe.ask(echo("asked before"))).await }
    });
    within(async {
        while there.find("probe").and_then(|probe| probe.queue_len()) != Some(101) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let shutdown = tokio::spawn({
        let there = there.clone();
        async move { there.shutdown().await }
    });
    // From some moment on nothing is taken; what was taken before that has an outcome too.
    let mut accepted = 0;
    let refusal = within(async {
        loop {
            match probe.try_tell(number(1000 + accepted)) {
                Ok(()) => accepted += 1,
                Err(error) => break error.refusal,
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(matches!(refusal, Refusal::Unreachable { .. }), "{refusal}");
    let error = within(probe.ask(echo("asked after"))).await.expect_err("it shuts down");
    assert!(matches!(error, AskError::NotSent { .. }), "{error}");

    seen.gate.open();
    assert_eq!(within(asked).await??, echo("asked before"));
    let report = within(shutdown).await?;
    assert!(report.unfinished.is_empty());
    assert_eq!(seen.take(100).await, (0..100).collect::<Vec<_>>());
    let reason = nodes::link_down(&mut links).await;
    assert!(reason.contains("shutting down"), "{reason}");
    let handled = seen.so_far().len() as u64;
    assert_eq!(handled + here.dead_letter_count(), accepted, "none is lost without a word");
    Ok(())
}

#[tokio::test]
async fn an_actor_that_stops_refuses_what_is_queued_to_its_peers() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    struct Quits(support::Gate);
    impl Actor for Quits {
        fn accepts(accepts: &mut Accepts<Self>) {
            accepts.remote::<Hold>().remote::<probe::Number>();
        }
    }
    impl Handler<Hold> for Quits {
        async fn handle(&mut self, _: Hold, ctx: &mut Context<Self>) -> Result {
            self.0.pass().await;
            ctx.stop();
            Ok(())
        }
    }
    impl Handler<probe::Number> for Quits {
        async fn handle(&mut self, _: probe::Number, _: &mut Context<Self>) -> Result {
            Ok(())
        }
    }
    let gate = support::Gate::default();
    let of_actor = gate.clone();
    there.spawn("quits", move || Quits(of_actor.clone())).await?;
    let quits: ActorRef<Quits> = remote(&here, &there, "quits").await;
    let (mut events, mut ends) = (here.events(), there.events());
    within(quits.tell(Hold {})).await?;
    gate.entered().await;
    within(quits.tell(number(1)).confirmed()).await?;
    gate.open();
    assert_eq!(dead_letter(&mut events).await.reason, Refusal::Stopped);
    assert_eq!(stopped(&mut ends, "quits").await, StopReason::Stopped);
    Ok(())
}
