//! Routers and pools: who gets a message.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::routing::{Add, Pool, Remove, Resize, Router, Size, Strategy};
use rakt::{Refusal, StopReason};

use crate::support::{Gate, begun, within};
use crate::system;

/// Answered with who has it, who sent it, and which of their messages it was.
#[derive(Clone)]
struct Job(u64);
/// Fails whoever has it.
#[derive(Clone)]
struct Poison;

type Done = (String, Option<String>, usize);

rakt::messages! { Job => Done, Poison, Hold }

struct Hold;

#[derive(Clone, Default)]
struct Worker {
    gate: Gate,
    done: usize,
}

impl Actor for Worker {}

impl Handler<Job> for Worker {
    async fn handle(&mut self, _: Job, ctx: &mut Context<Self>) -> Result<Done> {
        self.done += 1;
        let sender = ctx.sender().map(|sender| sender.path().to_owned());
        Ok((ctx.path().to_owned(), sender, self.done))
    }
}

impl Handler<Hold> for Worker {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

impl Handler<Poison> for Worker {
    async fn handle(&mut self, _: Poison, _: &mut Context<Self>) -> Result {
        Err("it is poison".into())
    }
}

async fn workers(system: &ActorSystem, names: &[&str]) -> Vec<ActorRef<Worker>> {
    let mut workers = Vec::new();
    for name in names {
        workers.push(system.spawn(*name, Worker::default).await.expect("it starts"));
    }
    workers
}

async fn router<M: Message>(
    system: &ActorSystem,
    strategy: Strategy<M>,
    members: &[ActorRef<Worker>],
) -> ActorRef<Router<M>>
where
    Worker: Handler<M>,
{
    let members: Vec<Recipient<M>> = members.iter().map(ActorRef::recipient).collect();
    let factory = move || Router::new(strategy.clone(), members.clone());
    system.spawn("router", factory).await.expect("it starts")
}

async fn path(to: &Recipient<Job>, key: u64) -> String {
    within(to.ask(Job(key))).await.expect("it is answered").0
}

#[tokio::test]
async fn members_have_their_turns() -> Result {
    let system = system().await;
    let members = workers(&system, &["a", "b", "c"]).await;
    let router = router(&system, Strategy::round_robin(), &members).await.recipient();
    let mut got = Vec::new();
    for _ in 0..6 {
        got.push(path(&router, 0).await);
    }
    assert_eq!(got[..3], got[3..]);
    assert_eq!(got.iter().collect::<HashSet<_>>().len(), 3);
    Ok(())
}

/// An ask keeps its sender, its deadline and its reply; a tell its sender.
#[tokio::test(start_paused = true)]
async fn what_is_passed_on_keeps_what_it_has() -> Result {
    let system = system().await;
    let members = workers(&system, &["a"]).await;
    let asker = system.spawn("asker", Worker::default).await?;
    let router = router(&system, Strategy::round_robin(), &members).await;
    let (_, sender, _) = within(router.ask(Job(1)).sender(&asker)).await?;
    assert_eq!(sender.as_deref(), Some("asker"));
    // The deadline is the asker's own: the member is held, and hears of it when that is over.
    within(members[0].tell(Hold)).await?;
    let limit = Duration::from_secs(3);
    let began = tokio::time::Instant::now();
    let late = router.ask(Job(2)).timeout(limit).await.expect_err("nobody answers");
    assert!(matches!(late, AskError::Timeout { .. }), "{late}");
    assert_eq!(began.elapsed().as_secs(), 3);
    Ok(())
}

/// Members that take long are gone around, though their mailboxes look empty: what they have in hand counts.
#[tokio::test]
async fn the_least_busy_has_the_next() -> Result {
    let system = system().await;
    let members = workers(&system, &["a", "b"]).await;
    let gate = Gate::default();
    let held = gate.clone();
    let slow = system.spawn("slow", move || Worker { gate: held.clone(), done: 0 }).await?;
    let all = [members, vec![slow.clone()]].concat();
    let router = router(&system, Strategy::least_busy(), &all).await.recipient();
    within(slow.tell(Hold)).await?;
    gate.entered().await;
    let first = begun(slow.ask(Job(0))).await;
    let mut stuck = Vec::new();
    let mut answered = 0;
    for key in 0..100 {
        let mut asking = Box::pin(router.ask(Job(key)));
        tokio::select! {
            biased;
            done = &mut asking => {
                assert_ne!(done?.0, "slow");
                answered += 1;
            }
            () = settled() => stuck.push(asking),
        }
    }
    assert!(stuck.is_empty() && answered == 100, "{} went to the slow one", stuck.len());
    gate.open();
    within(first).await?;
    Ok(())
}

/// Time for all that can go on to go on.
async fn settled() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_key_has_its_member_and_only_its_own_move() -> Result {
    let system = system().await;
    let members = workers(&system, &["a", "b", "c"]).await;
    let router = router(&system, Strategy::by_key(|job: &Job| job.0), &members).await;
    let to = router.recipient();
    let mut before = Vec::new();
    for key in 0..64 {
        before.push(path(&to, key).await);
        assert_eq!(path(&to, key).await, before[key as usize]);
    }
    assert_eq!(before.iter().collect::<HashSet<_>>().len(), 3, "all have some");
    let d = workers(&system, &["d"]).await.remove(0);
    assert_eq!(within(router.ask(Add(d.recipient()))).await?, 4);
    assert_eq!(within(router.ask(Add(d.recipient()))).await?, 4, "it is one already");
    let mut moved = 0;
    for (key, before) in (0..).zip(&before) {
        let now = path(&to, key).await;
        assert!(now == *before || now == "d", "{key} moved from {before} to {now}");
        moved += usize::from(now == "d");
    }
    assert!(moved > 0 && moved < 40, "{moved}");
    assert_eq!(within(router.ask(Remove(d.recipient()))).await?, 3);
    for (key, before) in (0..).zip(&before) {
        assert_eq!(path(&to, key).await, *before);
    }
    assert_eq!(d.is_alive(), Some(true), "who is removed is not stopped");
    Ok(())
}

#[tokio::test]
async fn a_key_that_panics_declines_its_message_and_harms_nobody() -> Result {
    let system = system().await;
    let members = workers(&system, &["a"]).await;
    let key = |job: &Job| if job.0 == 13 { panic!("unlucky") } else { job.0 };
    let router = router(&system, Strategy::by_key(key), &[]).await;
    within(router.ask(Add(members[0].recipient()))).await?;
    let error = within(router.ask(Job(13))).await.expect_err("it has no key");
    assert!(matches!(error.refusal(), Some(Refusal::Declined { .. })), "{error}");
    assert_eq!(within(router.ask(Size::now())).await?, 1, "it was not restarted");
    assert_eq!(within(router.ask(Job(1))).await?.0, "a");
    Ok(())
}

#[tokio::test]
async fn a_broadcast_reaches_all_and_the_first_answers() -> Result {
    let system = system().await;
    let members = workers(&system, &["a", "b", "c"]).await;
    let router = router(&system, Strategy::broadcast(), &members).await;
    within(router.tell(Job(1))).await?;
    assert_eq!(within(router.ask(Job(2))).await?, ("a".to_owned(), None, 2));
    for member in &members {
        assert_eq!(within(member.ask(Job(3))).await?.2, 3);
    }
    Ok(())
}

#[tokio::test]
async fn a_member_that_ends_drops_out() -> Result {
    let system = system().await;
    let members = workers(&system, &["a", "b"]).await;
    let router = router(&system, Strategy::round_robin(), &members).await;
    within(members[0].stop()).await?;
    for _ in 0..4 {
        assert_eq!(within(router.ask(Job(0))).await?.0, "b");
    }
    within(members[1].stop()).await?;
    let error = within(router.ask(Job(0))).await.expect_err("nobody is left");
    assert!(matches!(error.refusal(), Some(Refusal::Declined { .. })), "{error}");
    within(async {
        while router.ask(Size::now()).await.expect("it lives") > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_pool_replaces_a_member_that_its_supervision_ends() -> Result {
    let system = system().await;
    let pool = || {
        let pool = Pool::new(Strategy::<Poison>::round_robin(), 3, Worker::default);
        pool.each(|spawn| {
            spawn.supervision(Supervision::always(rakt::supervision::Directive::Stop))
        })
    };
    let pool = system.spawn("pool", pool).await?;
    for _ in 0..20 {
        let error = within(pool.ask(Poison)).await.expect_err("it fails");
        assert!(matches!(error.refusal(), Some(Refusal::HandlerFailed { .. })), "{error}");
        assert_eq!(within(pool.ask(Size::now())).await?, 3);
    }
    within(async {
        while system.actor_count() != 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Ok(())
}

/// Members that end as soon as they have started are not replaced for ever.
#[tokio::test(start_paused = true)]
async fn a_pool_whose_members_keep_ending_has_failed() -> Result {
    struct Brief(Arc<AtomicUsize>);
    impl Actor for Brief {
        async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
            self.0.fetch_add(1, Ordering::Relaxed);
            ctx.stop();
            Ok(())
        }
    }
    impl Handler<Hold> for Brief {
        async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
            Ok(())
        }
    }
    let system = system().await;
    let started = Arc::new(AtomicUsize::new(0));
    let counted = started.clone();
    let pool = move || {
        let counted = counted.clone();
        Pool::new(Strategy::<Hold>::round_robin(), 2, move || Brief(counted.clone()))
    };
    let pool = system.spawn("pool", pool).await?;
    let reason = within(pool.ended()).await;
    assert!(
        matches!(&reason, StopReason::Failed(cause) if cause.to_string().contains("more than 20 members")),
        "{reason}"
    );
    let lives = 1 + 3;
    assert_eq!(started.load(Ordering::Relaxed), lives * 2 * (1 + 10));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_replacements_of_a_pool_count_within_their_window() -> Result {
    let system = system().await;
    let stop = || Supervision::always(rakt::supervision::Directive::Stop);
    let pool = move || {
        let pool = Pool::new(Strategy::<Poison>::round_robin(), 1, Worker::default);
        pool.each(move |spawn| spawn.supervision(stop()))
            .max_replacements(1, Duration::from_secs(1))
    };
    let pool = system.spawn("pool", pool).supervision(stop()).await?;
    for _ in 0..5 {
        within(pool.ask(Poison)).await.expect_err("it fails");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for _ in 0..2 {
        within(pool.ask(Poison)).await.expect_err("it fails");
        settled().await;
    }
    assert!(matches!(within(pool.ended()).await, StopReason::Failed(_)));
    Ok(())
}

/// By default a member is restarted in its place, and keeps what waits.
#[tokio::test]
async fn a_pool_leaves_restarts_to_supervision() -> Result {
    let system = system().await;
    let pool = || Pool::new(Strategy::<Poison>::round_robin(), 2, Worker::default);
    let pool = system.spawn("pool", pool).await?;
    let children = system.actor_count();
    for _ in 0..4 {
        within(pool.ask(Poison)).await.expect_err("it fails");
    }
    assert_eq!(system.actor_count(), children);
    Ok(())
}

#[tokio::test]
async fn a_pool_is_resized_while_it_works() -> Result {
    let system = system().await;
    let key = || Strategy::by_key(|job: &Job| job.0);
    let pool = system.spawn("pool", move || Pool::new(key(), 4, Worker::default)).await?;
    let to: Recipient<Job> = pool.recipient();
    let mut before = Vec::new();
    for key in 0..64 {
        before.push(path(&to, key).await);
    }
    assert_eq!(before.iter().collect::<HashSet<_>>().len(), 4);
    assert_eq!(within(pool.ask(Resize::to(5))).await?, 5);
    assert_eq!(within(pool.ask(Resize::to(4))).await?, 4);
    for (key, before) in (0..).zip(&before) {
        assert_eq!(path(&to, key).await, *before, "the keys are where they were");
    }
    assert_eq!(within(pool.ask(Resize::to(0))).await?, 1);
    within(async {
        while system.actor_count() != 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(pool.stop()).await?;
    assert_eq!(system.actor_count(), 0, "members end with their pool");
    Ok(())
}

#[tokio::test]
async fn a_pool_ends_in_order_with_its_system() -> Result {
    let system = system().await;
    let pool = || Pool::new(Strategy::<Job>::round_robin(), 3, Worker::default);
    let pool = system.spawn("pool", pool).await?;
    let report = system.shutdown().await;
    assert!(report.unfinished.is_empty());
    assert_eq!(within(pool.ended()).await, StopReason::Shutdown);
    Ok(())
}
