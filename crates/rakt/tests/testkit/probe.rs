//! What a probe receives, answers, and says when it is disappointed.

use rakt::prelude::*;
use rakt::testkit::{Network, Probe, within};
use rakt::{SpawnError, TellError};

use crate::{Add, Counter, MS, panic_of};

#[derive(Debug, PartialEq, Message)]
struct Note(u32);

async fn system() -> ActorSystem {
    ActorSystem::builder("tests").start().await.expect("a system starts")
}

#[tokio::test(start_paused = true)]
async fn messages_come_in_order_and_asks_without_a_reply_are_answered() -> Result {
    let mut probe = Probe::<Note>::spawn(&system().await, "probe").await?;
    probe.expect_no_message(MS).await;
    probe.actor().tell(Note(1)).await?;
    within(probe.actor().ask(Note(2))).await?;
    assert_eq!((probe.expect().await, probe.expect().await), (Note(1), Note(2)));
    within(probe.actor().ask_all([Note(3), Note(4)])).await;
    assert_eq!(probe.so_far(), [Note(3), Note(4)]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_test_answers_fails_declines_or_leaves_out_what_waits_for_a_reply() -> Result {
    let mut probe = Probe::<Add>::spawn(&system().await, "probe").await?;
    let ask = |n| {
        let actor = probe.actor();
        tokio::spawn(async move { actor.ask(Add { n }).await })
    };
    let asks = (1..=4).map(ask).collect::<Vec<_>>();
    let mut requests = Vec::new();
    for n in 1..=4 {
        requests.push(probe.expect_request().await);
        assert_eq!(requests.last().map(|request| request.message().n), Some(n));
    }
    let mut requests = requests.into_iter();
    let mut next = || requests.next().expect("there are four");
    next().reply(42);
    next().fail("on purpose");
    next().decline("no");
    drop(next());
    let mut outcomes = Vec::new();
    for ask in asks {
        outcomes.push(within(ask).await?);
    }
    let refusal = |n: usize| outcomes[n].as_ref().err().and_then(AskError::refusal).cloned();
    assert_eq!(outcomes[0].as_ref().ok(), Some(&42));
    assert!(matches!(refusal(1), Some(Refusal::HandlerFailed { .. })), "{:?}", refusal(1));
    assert!(matches!(refusal(2), Some(Refusal::Declined { .. })), "{:?}", refusal(2));
    assert_eq!(refusal(3), Some(Refusal::NoReply));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_probe_stands_in_for_an_actor_of_another_type() -> Result {
    let system = system().await;
    let mut probe = Probe::<Add>::answering(&system, "probe", |add| add.n + 1).await?;
    let counter: ActorRef<Counter> = probe.stand_in();
    let asker = system.spawn("asker", Counter::default).await?;
    assert_eq!(within(counter.ask(Add { n: 1 }).sender(&asker)).await?, 2);
    let request = probe.expect_request().await;
    assert_eq!(request.sender(), Some(&asker.untyped()));
    assert_eq!(counter.address(), probe.actor().address());
    assert_eq!(within(probe.recipient().ask(Add { n: 2 })).await?, 3);
    let refused = probe.actor().try_tell(Note(1)).expect_err("it takes no notes");
    assert!(matches!(refused, TellError { refusal: Refusal::NotAccepted { .. }, .. }));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn messages_of_other_nodes_reach_a_probe_if_they_have_a_name() -> Result {
    let network = Network::new(1);
    let node = |name| ActorSystem::builder(name).remoting(network.config(name)).start();
    let (here, there) = (node("here").await?, node("there").await?);
    let mut probe = Probe::answering(&there, "probe", |add: &Add| add.n).await?;
    let asked = here.ask::<Add>(&there.address("probe")?, Add { n: 3 });
    assert_eq!(within(asked).await?, 3);
    assert_eq!(probe.expect().await, Add { n: 3 });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_disappointed_says_where_by_whom_and_of_what() -> Result {
    let system = system().await;
    let mut probe = Probe::<Add>::spawn(&system, "probe").await?.limit(20 * MS);
    let line = line!() + 1;
    let text = panic_of(async move { assert_eq!(probe.expect().await.n, 0) }).await;
    let place = format!("{}:{line}:", file!());
    assert!(text.starts_with(&place), "{text}");
    assert!(text.ends_with("the probe \"probe\" got no tests.Add within 20ms"), "{text}");

    let mut probe = Probe::<Add>::spawn(&system, "second").await?;
    probe.actor().tell(Add { n: 1 }).await?;
    let text = panic_of(async move { probe.expect_no_message(10 * MS).await }).await;
    assert!(text.contains("got a tests.Add after 0ns, and was to get none for 10ms"), "{text}");

    let mut probe = Probe::<Add>::spawn(&system, "third").await?;
    within(probe.actor().stop()).await?;
    let text = panic_of(async move { assert_eq!(probe.expect().await.n, 0) }).await;
    assert!(text.contains("the probe \"third\" has ended without a tests.Add"), "{text}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_is_an_error() -> Result {
    let system = system().await;
    let _probe = Probe::<Note>::spawn(&system, "probe").await?;
    let error = Probe::<Add>::spawn(&system, "probe").await.expect_err("it is taken");
    assert!(matches!(error, SpawnError::NameTaken { .. }), "{error}");
    Ok(())
}
