//! Managing the actors of another node: spawn, stop, respawn, reinstate, and asking about the node.

use std::future::IntoFuture;
use std::time::Duration;

use rakt::error::{Bound, Chain};
use rakt::message::{Codec, CodecError};
use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{AskError, OperationError, Refusal};
use tokio::sync::mpsc;

use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{self, config, node, remote};
use crate::probe::{self, Fail, Number, Probe, echo, number};
use crate::support::within;

/// What a [`Greeter`] is to begin with.
#[derive(Clone, PartialEq, prost::Message)]
struct Greeting {
    #[prost(string, tag = "1")]
    text: String,
}

rakt::messages! {
    Greeting as "tests.Greeting",
}

/// Greets, and counts how often.
#[derive(Default)]
struct Greeter {
    greeting: String,
    count: u64,
}

impl Actor for Greeter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>().remote::<Fail>();
    }

    async fn started(&mut self, _: &mut Context<Self>) -> Result {
        if self.greeting == "refuse" { Err("it does not want to".into()) } else { Ok(()) }
    }
}

impl Handler<Echo> for Greeter {
    async fn handle(&mut self, Echo { text }: Echo, _: &mut Context<Self>) -> Result<Echo> {
        self.count += 1;
        Ok(Echo { text: format!("{} {text} {}", self.greeting, self.count) })
    }
}

impl Handler<Fail> for Greeter {
    async fn handle(&mut self, Fail { why }: Fail, _: &mut Context<Self>) -> Result {
        Err(why.into())
    }
}

/// A node with kinds that peers may spawn.
async fn host() -> ActorSystem {
    host_with(config()).await
}

async fn host_with(config: remote::Config) -> ActorSystem {
    let suspends = Supervision::always(Directive::Suspend);
    ActorSystem::builder("there")
        .kind::<Greeter>("Plain")
        .register("Suspending", Kind::new(Greeter::default).supervision(suspends))
        .register(
            "Greeter",
            Kind::with_argument(|greeting: &Greeting| Greeter {
                greeting: greeting.text.clone(),
                count: 0,
            }),
        )
        .remoting(config)
        .start()
        .await
        .expect("it starts")
}

fn spawn(from: &ActorSystem, on: &ActorSystem, name: &str, kind: &str) -> remote::SpawnOn<Greeter> {
    let (host, port) = on.advertised();
    from.node(host, port).spawn(name, kind)
}

async fn refusal(spawn: remote::SpawnOn<Greeter>) -> Refusal {
    match within(spawn.into_future()).await.expect_err("it is refused") {
        OperationError::Refused { operation: "spawn", refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_actor_is_spawned_on_another_node() -> Result {
    let (here, there) = (node("here").await, host().await);
    let greeter = within(spawn(&here, &there, "greeter", "Plain").into_future()).await?;
    assert_eq!(greeter.address(), there.address("greeter")?);
    assert!(there.find("greeter").is_some());
    assert_eq!(within(greeter.ask(echo("you"))).await?.text, " you 1");
    let found: ActorRef<Greeter> = remote(&here, &there, "greeter").await;
    assert_eq!(found, greeter, "a lookup finds the same life of it");
    Ok(())
}

/// A handler that takes longer is dropped, as the kind says, and its asker hears of it long before its own limit.
#[tokio::test]
async fn a_kind_limits_its_handlers() -> Result {
    let limit = Duration::from_millis(10);
    let kind = Kind::new(|| Probe::new().0).handler_timeout(limit);
    let here = node("here").await;
    let builder = ActorSystem::builder("there").register("Probe", kind);
    let there = builder.remoting(config()).start().await?;
    let (host, port) = there.advertised();
    let probe = within(here.node(host, port).spawn::<Probe>("p", "Probe").into_future()).await?;
    let hour = Duration::from_secs(3600);
    let error =
        within(probe.ask(probe::Hold {}).timeout(hour)).await.expect_err("it waits at a gate");
    assert!(Chain(&error).to_string().ends_with("it took longer than 10ms"), "{}", Chain(&error));
    Ok(())
}

#[tokio::test]
async fn a_kind_takes_a_typed_argument_and_keeps_it_for_restarts() -> Result {
    let (here, there) = (node("here").await, host().await);
    let greeting = Greeting { text: "hello".into() };
    let greeter =
        within(spawn(&here, &there, "greeter", "Greeter").argument(&greeting).into_future())
            .await?;
    assert_eq!(within(greeter.ask(echo("you"))).await?.text, "hello you 1");
    within(greeter.respawn()).await?;
    assert_eq!(within(greeter.ask(echo("you"))).await?.text, "hello you 1", "it is a new one");
    Ok(())
}

#[tokio::test]
async fn a_wrong_argument_is_refused_and_says_what_is_taken() {
    let (here, there) = (node("here").await, host().await);
    for (given, mentions) in [
        (spawn(&here, &there, "a", "Greeter"), "tests.Greeting"),
        (spawn(&here, &there, "a", "Greeter").argument(&number(1)), "tests.Number"),
        (spawn(&here, &there, "a", "Plain").argument(&number(1)), "no argument"),
    ] {
        match refusal(given).await {
            Refusal::InvalidArgument { source } => {
                assert!(source.to_string().contains(mentions), "{source}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(there.find("a").is_none());
}

#[tokio::test]
async fn an_unknown_kind_is_refused_by_name() {
    let (here, there) = (node("here").await, host().await);
    let refused = refusal(spawn(&here, &there, "a", "Nonesuch")).await;
    assert_eq!(refused, Refusal::KindNotRegistered { kind: "Nonesuch".into() });
}

#[tokio::test]
async fn the_name_of_a_kind_is_compared_trimmed_and_without_case() -> Result {
    let (here, there) = (node("here").await, host().await);
    within(spawn(&here, &there, "a", " plain ").into_future()).await?;
    Ok(())
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_and_the_one_who_has_it_is_left_alone() -> Result {
    let (here, there) = (node("here").await, host().await);
    let first = within(spawn(&here, &there, "a", "Plain").into_future()).await?;
    within(first.ask(echo("x"))).await?;
    assert_eq!(refusal(spawn(&here, &there, "a", "Plain")).await, Refusal::NameTaken);
    assert_eq!(within(first.ask(echo("x"))).await?.text, " x 2");
    Ok(())
}

#[tokio::test]
async fn of_many_that_spawn_one_name_at_once_one_succeeds() {
    let (here, there) = (node("here").await, host().await);
    let mut spawning = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let spawn = spawn(&here, &there, "contested", "Plain").into_future();
        spawning.spawn(within(spawn));
    }
    let outcomes = spawning.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let taken = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()?.refusal());
    assert!(taken.clone().count() == 19 && taken.clone().all(|r| *r == Refusal::NameTaken));
}

#[tokio::test]
async fn names_that_are_invalid_or_reserved_are_not_sent() {
    let (here, there) = (node("here").await, host().await);
    for name in ["", "a b", "a/b", "-a", "rakt.system", "GoAktX", &"x".repeat(256)] {
        let error = within(spawn(&here, &there, name, "Plain").into_future()).await;
        match error.expect_err("no such name") {
            OperationError::NotSent { refusal: Refusal::InvalidArgument { .. }, .. } => {}
            other => panic!("{name:?}: {other}"),
        }
    }
    assert_eq!(there.actor_count(), 0);
}

#[tokio::test]
async fn names_with_control_characters_are_neither_sent_nor_registered() {
    let (here, there) = (node("here").await, host().await);
    let (host, port) = there.advertised();
    for name in ["a\nb", "a\x1b[2J", "a\u{85}b", "a\u{202e}b", "a\u{2028}b", "a\u{200b}b"] {
        let error = within(spawn(&here, &there, "a", name).into_future()).await;
        let error = error.expect_err("no such kind");
        assert!(matches!(error, OperationError::NotSent { .. }), "{error}");
        let told = Chain(&error).to_string();
        assert!(told.contains("kind") && told.contains("may not hold"), "{told}");
        let error = within(here.node(host, port).lookup::<Greeter>(name)).await;
        let error = error.map(drop).expect_err("no such name");
        assert!(matches!(error, OperationError::NotSent { .. }), "{error}");
        let start = ActorSystem::builder("kinds").kind::<Greeter>(name).start().await;
        let error = start.expect_err("no such name");
        assert!(Chain(&error).to_string().contains("may not hold"), "{}", Chain(&error));
    }
}

#[tokio::test]
async fn what_a_peer_spawns_is_counted_until_it_ends() -> Result {
    let there = ActorSystem::builder("there")
        .kind::<Greeter>("Greeter")
        .remoting(config().max_spawned_per_peer(2))
        .start()
        .await?;
    let here = node("here").await;
    let living = || there.exposed().kinds[0].spawned;
    let first = within(spawn(&here, &there, "a", "Greeter").into_future()).await?;
    let second = within(spawn(&here, &there, "b", "Greeter").into_future()).await?;
    assert_eq!(living(), 2);
    // Whoever connects anew, under whatever name, has the same address.
    let other = node("other").await;
    let refused = refusal(spawn(&other, &there, "c", "Greeter")).await;
    let bound = Bound::SpawnedByPeer;
    assert_eq!(refused, Refusal::ResourceExhausted { bound, limit: 2 });
    within(second.respawn()).await?;
    assert_eq!(living(), 2, "it is the same actor");
    assert!(within(spawn(&here, &there, "c", "Greeter").into_future()).await.is_err());
    within(first.stop()).await?;
    assert_eq!(living(), 1, "a reference does not keep its place");
    within(spawn(&here, &there, "c", "Greeter").into_future()).await?;
    // The system's own actors do not count, and one whose name is taken has no place.
    there.spawn("own", Greeter::default).await?;
    within(there.find("c").ok_or("it is there")?.stop()).await?;
    assert_eq!(refusal(spawn(&here, &there, "b", "Greeter")).await, Refusal::NameTaken);
    assert_eq!(living(), 1);
    Ok(())
}

#[tokio::test]
async fn the_argument_of_an_actor_counts_against_the_memory_budget_until_that_ends() -> Result {
    let budget = 8 * 1024 * 1024;
    let there = ActorSystem::builder("there")
        .register("Greeter", Kind::with_argument(|_: &Greeting| Greeter::default()))
        .remoting(config().memory_budget(budget))
        .start()
        .await?;
    let here = node("here").await;
    let greeting = Greeting { text: "g".repeat(200 * 1024) };
    let spawn = |name| spawn(&here, &there, name, "Greeter").argument(&greeting);
    let first = within(spawn("a").into_future()).await?;
    within(spawn("b").into_future()).await?;
    within(spawn("c").into_future()).await?;
    let (bound, limit) = (Bound::OperationMemory, budget / 8);
    assert_eq!(refusal(spawn("d")).await, Refusal::ResourceExhausted { bound, limit });
    within(first.stop()).await?;
    within(spawn("d").into_future()).await?;
    Ok(())
}

#[tokio::test]
async fn what_all_peers_spawn_has_a_bound_and_a_rate() -> Result {
    let start =
        |config| ActorSystem::builder("there").kind::<Greeter>("Greeter").remoting(config).start();
    let here = node("here").await;
    let there = start(config().max_spawned(1)).await?;
    within(spawn(&here, &there, "a", "Greeter").into_future()).await?;
    let refused = refusal(spawn(&here, &there, "b", "Greeter")).await;
    assert_eq!(refused, Refusal::ResourceExhausted { bound: Bound::Spawned, limit: 1 });
    let network = Memory::default();
    let options = || config().transport(network.clone());
    let there = start(options().max_spawn_rate(3)).await?;
    let here = nodes::node_with("here", options()).await;
    let mut refused = Vec::new();
    for n in 0..100 {
        let spawned = spawn(&here, &there, &format!("a{n}"), "Greeter").into_future();
        if let Err(error) = within(spawned).await {
            refused.push(error.refusal().cloned());
        }
    }
    let rate = Refusal::ResourceExhausted { bound: Bound::SpawnRate, limit: 3 };
    assert!(refused.contains(&Some(rate)), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn an_actor_that_does_not_start_leaves_nothing_behind() {
    let (here, there) = (node("here").await, host().await);
    let greeting = Greeting { text: "refuse".into() };
    let refused = refusal(spawn(&here, &there, "a", "Greeter").argument(&greeting)).await;
    assert_eq!(refused, Refusal::HandlerFailed { source: "it does not want to".into() });
    assert!(there.find("a").is_none());
}

#[tokio::test]
async fn a_stop_lets_what_is_queued_be_handled_and_returns_when_the_actor_has_ended() -> Result {
    let (here, there) = (node("here").await, nodes::node_with("there", nodes::open()).await);
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell_all((0..100).map(number))).await.into_iter().collect::<Result<(), _>>()?;
    within(probe.stop()).await?;
    assert!(there.find("probe").is_none(), "it has ended when the stop returns");
    assert_eq!(seen.so_far(), (0..100).collect::<Vec<_>>());
    within(probe.stop()).await?;
    within(here.actor(&there.address("never-there")?).stop()).await?;
    let error = within(probe.ask(echo("x"))).await.expect_err("it has ended");
    assert!(matches!(error, AskError::Refused { .. }), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_respawn_builds_a_new_actor_behind_the_same_reference() -> Result {
    let (here, there) = (node("here").await, host().await);
    let greeter = within(spawn(&here, &there, "a", "Plain").into_future()).await?;
    within(greeter.ask(echo("x"))).await?;
    assert_eq!(within(greeter.ask(echo("x"))).await?.text, " x 2");
    within(greeter.respawn()).await?;
    assert_eq!(within(greeter.ask(echo("x"))).await?.text, " x 1");
    within(here.actor(&greeter.address()).respawn()).await?;
    assert_eq!(within(greeter.ask(echo("x"))).await?.text, " x 1");
    let error = within(here.actor(&there.address("nobody")?).respawn()).await.expect_err("nobody");
    assert_eq!(error.refusal(), Some(&Refusal::NotFound));
    Ok(())
}

#[tokio::test]
async fn a_suspended_actor_refuses_until_it_is_reinstated_and_keeps_its_state() -> Result {
    let (here, there) = (node("here").await, host().await);
    let greeter = within(spawn(&here, &there, "a", "Suspending").into_future()).await?;
    within(greeter.ask(echo("x"))).await?;
    let error = within(greeter.ask(Fail { why: "no".into() })).await.expect_err("it fails");
    assert_eq!(error.refusal(), Some(&Refusal::HandlerFailed { source: "no".into() }));
    let suspended = within(async {
        loop {
            // The answer may be here before the actor is suspended.
            match greeter.ask(echo("x")).await {
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    })
    .await;
    assert_eq!(suspended.refusal(), Some(&Refusal::Suspended), "{suspended}");
    assert!(suspended.is_safe_to_retry());
    within(greeter.reinstate()).await?;
    let reply = within(greeter.ask(echo("x"))).await?.text;
    assert_ne!(reply, " x 1", "it has the state it had");
    within(here.actor(&greeter.address()).reinstate()).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_answers_a_ping_and_names_its_kinds() -> Result {
    let (here, there) = (node("here").await, host().await);
    let (host, port) = there.advertised();
    assert!(within(here.node(host, port).ping()).await? < Duration::from_secs(60));
    let mut kinds = within(here.node(host, port).kinds()).await?;
    kinds.sort();
    assert_eq!(kinds, ["Greeter", "Plain", "Suspending"]);
    let printed: Vec<_> = there.exposed().kinds.iter().map(ToString::to_string).collect();
    assert!(
        printed.contains(&"Greeter(tests.Greeting) accepts tests.Echo, tests.Fail".to_owned()),
        "{printed:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_spawned_actor_can_be_managed_by_a_client() -> Result {
    let there = host().await;
    let (host, port) = there.advertised();
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let node = client.node(host, port);
    assert_eq!(format!("{node:?}"), format!("NodeRef({host}:{port})"));
    assert_eq!(within(node.kinds()).await?.len(), 3);
    let spawn = node.spawn::<Greeter>("a", "Plain");
    let greeter = within(spawn.into_future()).await?;
    within(greeter.ask(echo("x"))).await?;
    within(node.respawn("a")).await?;
    assert_eq!(within(greeter.ask(echo("x"))).await?.text, " x 1");
    within(node.reinstate("a")).await?;
    within(node.stop("a")).await?;
    assert!(there.find("a").is_none());
    within(node.stop("a")).await?;
    let error = within(node.respawn("a")).await.expect_err("it is gone");
    assert_eq!(error.refusal(), Some(&Refusal::NotFound));
    let error = within(node.stop("rakt.root")).await.expect_err("not for peers");
    assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error}");
    Ok(())
}

#[tokio::test]
async fn without_remoting_every_call_to_another_node_is_refused() -> Result {
    let (off, there) = (ActorSystem::builder("tests").start().await?, host().await);
    Probe::spawn(&there, "probe").await;
    let (host, port) = there.advertised();
    let address = there.address("probe")?;

    let is_off = |error: OperationError| match error {
        OperationError::NotSent { refusal: Refusal::RemotingOff, .. } => {}
        other => panic!("{other}"),
    };
    is_off(within(off.node(host, port).lookup::<Probe>("probe")).await.expect_err("off"));
    is_off(within(off.node(host, port).ping()).await.expect_err("off"));
    is_off(within(off.node(host, port).kinds()).await.expect_err("off"));
    is_off(within(spawn(&off, &there, "a", "Plain").into_future()).await.expect_err("off"));
    is_off(within(off.node(host, port).stop("probe")).await.expect_err("off"));
    is_off(within(off.node(host, port).respawn("probe")).await.expect_err("off"));
    is_off(within(off.node(host, port).reinstate("probe")).await.expect_err("off"));
    is_off(within(off.actor(&address).stop()).await.expect_err("off"));
    is_off(within(off.actor(&address).respawn()).await.expect_err("off"));
    is_off(within(off.actor(&address).reinstate()).await.expect_err("off"));
    let error = within(off.tell(&address, number(1))).await.expect_err("off");
    assert_eq!((error.refusal, error.message), (Refusal::RemotingOff, number(1)));
    let error = within(off.ask(&address, echo("x"))).await.expect_err("off");
    assert!(matches!(error, AskError::NotSent { refusal: Refusal::RemotingOff, .. }), "{error}");
    let probe = off.actor(&address);
    let error = within(probe.tell(number(1)).confirmed()).await.expect_err("off");
    assert_eq!(error.refusal(), Some(&Refusal::RemotingOff));
    let error = probe.try_tell(number(1)).expect_err("off");
    assert_eq!(error.refusal, Refusal::RemotingOff);
    for outcome in within(probe.ask_all([echo("x"), echo("y")])).await {
        assert_eq!(outcome.expect_err("off").refusal(), Some(&Refusal::RemotingOff));
    }
    Ok(())
}

#[tokio::test]
async fn reserved_names_are_beyond_the_reach_of_peers() -> Result {
    let (here, there) = (node("here").await, host().await);
    let (host, port) = there.advertised();
    let is_denied = |refusal: Option<&Refusal>| {
        assert!(matches!(refusal, Some(Refusal::Denied { .. })), "{refusal:?}");
    };
    for name in ["rakt.system", "GoAktDeadletters", "a/rakt.child"] {
        let address = Address::new(name, "there", host, port)?;
        let actor = here.actor(&address);
        is_denied(within(actor.ask(echo("x"))).await.expect_err("reserved").refusal());
        let told = within(actor.tell(number(1)).confirmed()).await;
        is_denied(told.expect_err("reserved").refusal());
        let mut events = here.events();
        within(actor.tell(Number { n: 1 })).await?;
        is_denied(Some(&nodes::dead_letter(&mut events).await.reason));
        let found = within(here.node(host, port).lookup::<Probe>(name)).await;
        is_denied(found.expect_err("reserved").refusal());
        is_denied(within(actor.stop()).await.expect_err("reserved").refusal());
        is_denied(within(actor.respawn()).await.expect_err("reserved").refusal());
        is_denied(within(actor.reinstate()).await.expect_err("reserved").refusal());
    }
    Ok(())
}

#[tokio::test]
async fn an_operation_that_waits_on_an_actor_holds_up_no_other() -> Result {
    let (here, there) = (node("here").await, host_with(nodes::open()).await);
    let (_, seen) = Probe::spawn(&there, "slow").await;
    let slow: ActorRef<Probe> = remote(&here, &there, "slow").await;
    within(slow.tell(probe::Hold {})).await?;
    seen.gate.entered().await;
    let (stopped, mut until_stopped) = mpsc::channel(1);
    let stopping = tokio::spawn({
        let slow = slow.clone();
        async move {
            let result = within(slow.stop()).await;
            let _ = stopped.send(()).await;
            result
        }
    });
    let (host, port) = there.advertised();
    for _ in 0..20 {
        within(here.node(host, port).ping()).await?;
    }
    within(spawn(&here, &there, "a", "Plain").into_future()).await?;
    assert!(until_stopped.try_recv().is_err(), "it waits for the handler");
    seen.gate.open();
    within(stopping).await??;
    Ok(())
}

/// An argument whose codec panics on what it reads.
struct Explosive;

enum Touchy {}

impl Codec<Explosive> for Touchy {
    fn encoded_len(_: &Explosive) -> Option<usize> {
        Some(0)
    }
    fn encode(_: &Explosive, _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
    fn decode(_: bytes::Bytes) -> Result<Explosive, CodecError> {
        panic!("do not touch")
    }
}

impl Codec<()> for Touchy {
    fn encoded_len(_: &()) -> Option<usize> {
        Some(0)
    }
    fn encode(_: &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
    fn decode(_: bytes::Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}

rakt::messages! { Explosive as "tests.Explosive" with Touchy }

#[tokio::test]
async fn a_codec_that_panics_on_a_spawn_argument_leaves_nobody_without_an_answer() -> Result {
    let there = ActorSystem::builder("there")
        .register("touchy", Kind::with_argument(|_: &Explosive| Greeter::default()))
        .remoting(config())
        .start()
        .await?;
    let here = node("here").await;
    let (host, port) = there.advertised();
    let spawn = here.node(host, port).spawn::<Greeter>("touchy", "touchy").argument(&Explosive);
    let error = within(spawn.into_future()).await.expect_err("the codec panics");
    assert!(matches!(error.refusal(), Some(Refusal::Undecodable { .. })), "{error}");
    assert!(within(here.node(host, port).ping()).await.is_ok(), "the node goes on");
    Ok(())
}

#[tokio::test]
async fn a_system_without_handles_and_actors_still_serves_peers() -> Result {
    let (here, there) = (node("here").await, host().await);
    let (name, port) = there.advertised();
    let (name, port) = (name.to_owned(), port);
    drop(there);
    within(here.node(&name, port).ping()).await?;
    let greeter =
        within(here.node(&name, port).spawn::<Greeter>("greeter", "Plain").into_future()).await?;
    let reply = within(greeter.ask(echo("you"))).await?;
    assert_eq!(reply, echo(" you 1"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_the_actor_of_a_name_on_another_node_one_starts_it() -> Result {
    let (here, there) = (node("here").await, host().await);
    for round in 0..20 {
        let name = format!("greeter{round}");
        let mut spawning = tokio::task::JoinSet::new();
        for n in 0..8 {
            let from = if n % 2 == 0 { &here } else { &there };
            spawning.spawn(spawn(from, &there, &name, "plain").or_existing().into_future());
        }
        let mut texts = Vec::new();
        while let Some(spawned) = within(spawning.join_next()).await {
            texts.push(within(spawned??.ask(echo("you"))).await?.text);
        }
        texts.sort();
        let counted: Vec<_> = (1..=8).map(|n| format!(" you {n}")).collect();
        assert_eq!(texts, counted, "it is one actor");
        let other = spawn(&here, &there, &name, "Suspending").or_existing();
        assert_eq!(refusal(other).await, Refusal::NameTaken, "it is of another kind");
    }
    Ok(())
}
