//! Talking to an actor in the same process: `tell`, `ask`, and their variants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::{AskError, Metadata, Refusal};
use tokio::sync::mpsc;

use crate::support::{Gate, begun, within};
use crate::{drained, system};

/// Not `Clone`, not serializable, nothing: a message needs no codec to stay in the process.
#[derive(Debug, PartialEq)]
struct Add(u64);
struct Seen;
struct Hold;
struct Never;
/// Fails for odd numbers.
struct Even(u64);
struct About;
struct Unlisted;

rakt::messages! {
    Add => u64,
    Seen => Vec<u64>,
    Hold,
    Never,
    Even => u64,
    About => (Option<tokio::time::Instant>, Option<String>, Option<String>),
    Unlisted,
}

#[derive(Default)]
struct Adder {
    seen: Vec<u64>,
    sum: u64,
    gate: Gate,
}

impl Actor for Adder {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.local::<Add>().local::<Seen>();
    }
}

impl Handler<Add> for Adder {
    async fn handle(&mut self, Add(n): Add, _: &mut Context<Self>) -> Result<u64> {
        self.seen.push(n);
        self.sum += n;
        Ok(self.sum)
    }
}

impl Handler<Seen> for Adder {
    async fn handle(&mut self, _: Seen, _: &mut Context<Self>) -> Result<Vec<u64>> {
        Ok(self.seen.clone())
    }
}

impl Handler<Hold> for Adder {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Never> for Adder {
    async fn handle(&mut self, _: Never, _: &mut Context<Self>) -> Result {
        std::future::pending().await
    }
}

impl Handler<Even> for Adder {
    async fn handle(&mut self, Even(n): Even, _: &mut Context<Self>) -> Result<u64> {
        if n % 2 == 0 { Ok(n) } else { Err(format!("{n} is odd").into()) }
    }
}

impl Handler<About> for Adder {
    async fn handle(
        &mut self,
        _: About,
        ctx: &mut Context<Self>,
    ) -> Result<(Option<tokio::time::Instant>, Option<String>, Option<String>)> {
        Ok((
            ctx.deadline().map(Into::into),
            ctx.metadata().and_then(|metadata| metadata.get("tenant")).map(str::to_owned),
            ctx.sender().map(|sender| sender.path().to_owned()),
        ))
    }
}

/// An adder with a mailbox of `capacity` that stands at the gate.
async fn held(system: &ActorSystem, capacity: u32) -> (ActorRef<Adder>, Gate) {
    let gate = Gate::default();
    let of_actor = gate.clone();
    let adder = system
        .spawn("held", move || Adder { gate: of_actor.clone(), ..Adder::default() })
        .mailbox(Mailbox::bounded(capacity))
        .await
        .expect("it starts");
    adder.tell(Hold).await.expect("there is room");
    gate.entered().await;
    (adder, gate)
}

#[tokio::test]
async fn an_ask_returns_the_reply_in_its_type() -> Result {
    let adder = system().await.spawn("adder", Adder::default).await?;
    let sum: u64 = within(adder.ask(Add(3))).await?;
    assert_eq!(sum, 3);
    assert_eq!(within(adder.ask(Add(4))).await?, 7);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tells_of_one_sender_arrive_in_order() -> Result {
    let adder = system().await.spawn("adder", Adder::default).mailbox(Mailbox::bounded(64)).await?;
    for n in 0..10_000 {
        adder.tell(Add(n)).await?;
    }
    assert_eq!(within(adder.ask(Seen)).await?, (0..10_000).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_tells_are_handled() -> Result {
    let adder = system().await.spawn("adder", Adder::default).await?;
    within(async {
        for _ in 0..1_000_000 {
            adder.tell(Add(1)).await?;
        }
        assert_eq!(adder.ask(Add(0)).await?, 1_000_000);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_message_without_a_codec_stays_in_the_process() -> Result {
    assert!(Add::wire().is_none());
    let adder = system().await.spawn("adder", Adder::default).await?;
    adder.tell(Add(1)).await?;
    assert_eq!(within(adder.ask(Seen)).await?, [1]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_without_a_reply_times_out() -> Result {
    let adder = system().await.spawn("adder", Adder::default).await?;
    let began = tokio::time::Instant::now();
    let error = adder.ask(Never).timeout(Duration::from_secs(2)).await.expect_err("no reply");
    assert!(
        matches!(error, AskError::Timeout { limit, .. } if limit == Duration::from_secs(2)),
        "{error:?}"
    );
    assert!(!error.is_safe_to_retry());
    assert_eq!(began.elapsed().as_secs(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_waits_as_long_as_the_system_says() -> Result {
    let limit = Duration::from_secs(17);
    let system = ActorSystem::builder("patient").ask_timeout(limit).start().await?;
    let adder = system.spawn("adder", Adder::default).await?;
    let error = adder.ask(Never).await.expect_err("no reply");
    assert!(matches!(error, AskError::Timeout { limit: waited, .. } if waited == limit));
    Ok(())
}

struct Work;
struct Split;
rakt::messages! { Work, Split }

/// Tells what becomes of the asker.
struct Worker(mpsc::UnboundedSender<&'static str>);

impl Actor for Worker {}

impl Handler<Work> for Worker {
    async fn handle(&mut self, _: Work, ctx: &mut Context<Self>) -> Result {
        assert!(!ctx.is_cancelled());
        self.0.send("working")?;
        ctx.cancelled().await;
        assert!(ctx.is_cancelled());
        self.0.send("cancelled")?;
        Ok(())
    }
}

impl Handler<Split> for Worker {
    async fn handle(&mut self, _: Split, ctx: &mut Context<Self>) -> Result {
        let parts = [begun(ctx.cancelled()).await, begun(ctx.cancelled()).await];
        let parts = parts.map(tokio::spawn);
        self.0.send("working")?;
        for part in parts {
            part.await?;
        }
        self.0.send("both parts cancelled")?;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_an_ask_tells_the_handler() -> Result {
    let (log, mut heard) = mpsc::unbounded_channel();
    let worker = system().await.spawn("worker", move || Worker(log.clone())).await?;
    let asking = tokio::spawn(async move { worker.ask(Work).await.map_err(|e| e.to_string()) });
    assert_eq!(within(heard.recv()).await, Some("working"));
    asking.abort();
    assert_eq!(within(heard.recv()).await, Some("cancelled"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn everybody_who_waits_for_the_cancellation_hears_of_it() -> Result {
    let (log, mut heard) = mpsc::unbounded_channel();
    let worker = system().await.spawn("worker", move || Worker(log.clone())).await?;
    let asking = tokio::spawn(async move { worker.ask(Split).await.map_err(|e| e.to_string()) });
    assert_eq!(within(heard.recv()).await, Some("working"));
    asking.abort();
    assert_eq!(within(heard.recv()).await, Some("both parts cancelled"));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_dropped_in_the_queue_is_not_handled() -> Result {
    let (adder, gate) = held(&system().await, 8).await;
    tokio::select! {
        biased;
        _ = adder.ask(Add(1)) => panic!("the actor is held"),
        () = std::future::ready(()) => {}
    }
    assert_eq!(adder.queue_len(), Some(1), "it was sent before it was dropped");
    gate.open();
    assert!(within(adder.ask(Seen)).await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_whose_time_is_up_in_the_queue_is_not_handled() -> Result {
    let (adder, gate) = held(&system().await, 8).await;
    let error = adder.ask(Add(1)).timeout(Duration::from_secs(1)).await.expect_err("held");
    assert!(matches!(error, AskError::Timeout { .. }));
    gate.open();
    assert!(within(adder.ask(Seen)).await?.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_handler_sees_deadline_metadata_and_sender() -> Result {
    let system = system().await;
    let adder = system.spawn("adder", Adder::default).await?;
    let other = system.spawn("other", Adder::default).await?;
    let mut metadata = Metadata::new();
    metadata.insert("tenant", "blue")?;
    let (deadline, tenant, sender) =
        within(adder.ask(About).timeout(Duration::from_secs(9)).metadata(metadata).sender(&other))
            .await?;
    assert_eq!(deadline, Some(tokio::time::Instant::now() + Duration::from_secs(9)));
    assert_eq!(tenant.as_deref(), Some("blue"));
    assert_eq!(sender.as_deref(), Some("other"));

    let (_, tenant, sender) = within(adder.ask(About)).await?;
    assert_eq!((tenant, sender), (None, None), "nothing is left of the message before");
    Ok(())
}

#[tokio::test]
async fn try_tell_is_refused_by_a_full_mailbox_and_hands_the_message_back() -> Result {
    let (adder, gate) = held(&system().await, 1).await;
    adder.try_tell(Add(1))?;
    let error = adder.try_tell(Add(2)).expect_err("full");
    assert_eq!(error.refusal, Refusal::MailboxFull { capacity: 1 });
    assert!(error.refusal.is_transient());
    assert_eq!(error.message, Add(2));
    gate.open();
    assert_eq!(within(adder.ask(Seen)).await?, [1]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn tell_waits_while_the_mailbox_is_full_and_goes_on_when_there_is_room() -> Result {
    let (adder, gate) = held(&system().await, 1).await;
    adder.tell(Add(1)).await?;
    let mut telling = Box::pin(adder.tell(Add(2)).into_future());
    let waited = tokio::time::timeout(Duration::from_secs(1), &mut telling).await;
    assert!(waited.is_err(), "it waits");
    gate.open();
    within(telling).await?;
    assert_eq!(within(adder.ask(Seen)).await?, [1, 2]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_tell_that_waits_too_long_hands_the_message_back() -> Result {
    let (adder, gate) = held(&system().await, 1).await;
    adder.tell(Add(1)).await?;
    let error = adder.tell(Add(2)).timeout(Duration::from_secs(1)).await.expect_err("full");
    assert_eq!((error.refusal, error.message), (Refusal::MailboxFull { capacity: 1 }, Add(2)));
    let error = adder.ask(Add(3)).timeout(Duration::from_secs(1)).await.expect_err("full");
    assert!(matches!(error, AskError::NotSent { message: Add(3), .. }), "{error:?}");
    gate.open();
    assert_eq!(within(adder.ask(Seen)).await?, [1], "neither came");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_tell_dropped_while_it_waits_is_not_sent() -> Result {
    let (adder, gate) = held(&system().await, 1).await;
    adder.tell(Add(1)).await?;
    let waited = tokio::time::timeout(Duration::from_secs(1), adder.tell(Add(2))).await;
    assert!(waited.is_err());
    gate.open();
    assert_eq!(within(adder.ask(Seen)).await?, [1]);
    Ok(())
}

#[tokio::test]
async fn a_confirmed_tell_says_when_it_is_in_the_mailbox_or_why_not() -> Result {
    let (adder, gate) = held(&system().await, 8).await;
    within(adder.tell(Add(1)).confirmed()).await?;
    assert_eq!(adder.queue_len(), Some(1));
    gate.open();
    within(adder.stop()).await?;
    let error = within(adder.tell(Add(2)).confirmed()).await.expect_err("stopped");
    assert!(matches!(error, AskError::NotSent { refusal: Refusal::Stopped, message: Add(2), .. }));
    Ok(())
}

#[tokio::test]
async fn ask_all_gives_each_its_own_outcome_in_order() -> Result {
    let system = system().await;
    let adder = system
        .spawn("adder", Adder::default)
        .supervision(Supervision::always(rakt::supervision::Directive::Resume))
        .await?;
    let outcomes = within(adder.ask_all([2, 3, 4].map(Even))).await;
    assert!(
        matches!(
            &outcomes[..],
            [Ok(2), Err(AskError::Refused { refusal: Refusal::HandlerFailed { source }, .. }), Ok(4)]
                if source.to_string() == "3 is odd"
        ),
        "{outcomes:?}"
    );
    Ok(())
}

#[tokio::test]
async fn tell_all_gives_each_its_own_outcome_in_order() -> Result {
    let system = system().await;
    let gate = Gate::default();
    let of_actor = gate.clone();
    let adder = system
        .spawn("adder", move || Adder { gate: of_actor.clone(), ..Adder::default() })
        .mailbox(Mailbox::bounded(2).overflow(Overflow::Refuse))
        .await?;
    adder.tell(Hold).await?;
    gate.entered().await;
    let outcomes = within(adder.tell_all([1, 2, 3].map(Add))).await;
    assert!(
        matches!(
            &outcomes[..],
            [
                Ok(()),
                Ok(()),
                Err(AskError::NotSent {
                    refusal: Refusal::MailboxFull { capacity: 2 },
                    message: Add(3),
                    ..
                })
            ]
        ),
        "{outcomes:?}"
    );
    gate.open();
    drained(&adder).await;
    assert_eq!(within(adder.ask(Seen)).await?, [1, 2]);
    assert!(within(adder.tell_all(Vec::<Add>::new())).await.is_empty());
    Ok(())
}

#[tokio::test]
async fn more_messages_than_the_mailbox_holds_go_through_ask_all_in_order() -> Result {
    let system = system().await;
    let adder = system.spawn("adder", Adder::default).mailbox(Mailbox::bounded(3)).await?;
    let outcomes = within(adder.ask_all((1..=100).map(|_| Add(1)))).await;
    let sums: Vec<u64> = outcomes.into_iter().collect::<std::result::Result<_, _>>()?;
    assert_eq!(sums, (1..=100).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn an_untyped_reference_refuses_what_the_actor_does_not_accept() -> Result {
    let adder = system().await.spawn("adder", Adder::default).await?.untyped();
    assert_eq!(within(adder.ask(Add(5))).await?, 5);
    let error = within(adder.tell(Unlisted)).await.expect_err("not in the list");
    assert!(
        matches!(&error.refusal, Refusal::NotAccepted { message } if message.ends_with("Unlisted")),
        "{error:?}"
    );
    let error = within(adder.ask(Never)).await.expect_err("handled, but not in the list");
    assert!(matches!(
        error,
        AskError::NotSent { refusal: Refusal::NotAccepted { .. }, message: Never, .. }
    ));
    Ok(())
}

#[tokio::test]
async fn a_reference_gets_its_type_back_and_no_other() -> Result {
    let system = system().await;
    let adder = system.spawn("adder", Adder::default).await?;
    let found = system.find("adder").ok_or("it is there")?;
    assert!(found.typed::<Worker>().is_none());
    let typed = found.typed::<Adder>().ok_or("it is an adder")?;
    assert_eq!(typed, adder);
    assert_eq!(within(typed.ask(Even(2))).await?, 2, "what is not in the list too");
    assert!(system.find("nobody").is_none());
    Ok(())
}

#[tokio::test]
async fn references_are_equal_if_they_mean_the_same_life() -> Result {
    let (one, two) = (system().await, system().await);
    let a = one.spawn("a", Adder::default).await?;
    let b = two.spawn("a", Adder::default).await?;
    assert_eq!(a, a.untyped());
    assert_ne!(a, b, "another system");
    within(a.stop()).await?;
    assert_ne!(a, one.spawn("a", Adder::default).await?, "a later life");
    Ok(())
}

struct Spin;
rakt::messages! { Spin }

const SPINS: u64 = 200_000;

struct Spinner {
    spins: Arc<AtomicU64>,
    done: Arc<AtomicBool>,
}

impl Actor for Spinner {}

impl Handler<Spin> for Spinner {
    async fn handle(&mut self, _: Spin, ctx: &mut Context<Self>) -> Result {
        if self.spins.fetch_add(1, Ordering::Relaxed) < SPINS {
            ctx.tell(&ctx.me(), Spin).await?;
        } else {
            self.done.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[tokio::test]
async fn an_actor_that_is_never_idle_lets_others_run() -> Result {
    let system = system().await;
    let (spins, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (of_actor, done_too) = (spins.clone(), done.clone());
    let spinner = system
        .spawn("spinner", move || Spinner { spins: of_actor.clone(), done: done_too.clone() })
        .await?;
    let adder = system.spawn("adder", Adder::default).await?;
    spinner.tell(Spin).await?;
    for n in 1..10 {
        within(adder.ask(Add(n))).await?;
    }
    assert!(!done.load(Ordering::Relaxed), "{} spins came first", spins.load(Ordering::Relaxed));
    Ok(())
}
