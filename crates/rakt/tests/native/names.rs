//! What a caller passes is checked where it is passed: nothing of it can end a connection that others use.

use std::future::IntoFuture;
use std::time::Duration;

use rakt::prelude::*;
use rakt::{AskError, Metadata, OperationError};

use crate::memory::Memory;
use crate::nodes::{config, node, node_with, remote};
use crate::probe::{self, Probe, WhoAsks, echo};
use crate::support::{begun, within};

#[derive(Clone, PartialEq, prost::Message)]
struct Argument {
    #[prost(bytes = "bytes", tag = "1")]
    bytes: bytes::Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Twin {}

/// Goes by the name of another type.
#[derive(Clone, PartialEq, prost::Message)]
struct Impostor {}

rakt::messages! {
    Argument as "tests.names.Argument",
    Twin as "tests.names.Twin",
    Impostor as "tests.names.Twin",
}

fn is_invalid(error: &OperationError) -> bool {
    matches!(
        error,
        OperationError::NotSent {
            refusal: Refusal::InvalidArgument { .. } | Refusal::TooLarge { .. },
            ..
        }
    )
}

#[tokio::test(start_paused = true)]
async fn no_name_or_size_that_is_passed_ends_the_connection_of_another_call() -> Result {
    let network = Memory::default();
    let there = node_with("there", config().transport(network.clone())).await;
    let options = config().transport(network).max_idle_conns(1);
    let here = node_with("here", options).await;
    let (_, seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let other = probe.clone();
    let waiting =
        begun(async move { other.ask(probe::Hold {}).timeout(Duration::from_secs(600)).await })
            .await;
    seen.gate.entered().await;
    Probe::spawn(&there, "free").await;
    let free: ActorRef<Probe> = remote(&here, &there, "free").await;
    let (host, port) = there.advertised();
    let node = here.node(host, port);
    for path in [
        "a".repeat(1025),
        "a".repeat(100_000),
        format!("{}/a", "a".repeat(1024)),
        "a\nb".to_owned(),
        "a\u{202e}b".to_owned(),
        "a\0".to_owned(),
    ] {
        let looked_up = within(node.lookup::<Probe>(&path)).await.map(drop);
        let stopped = within(node.stop(&path)).await;
        let respawned = within(node.respawn(&path)).await;
        let reinstated = within(node.reinstate(&path)).await;
        let spawned = within(node.spawn::<Probe>(&path, "probe").into_future()).await.map(drop);
        for done in [looked_up, stopped, respawned, reinstated, spawned] {
            let error = done.expect_err("it is no path");
            assert!(is_invalid(&error) && error.is_safe_to_retry(), "{error:?}");
            assert!(!error.is_worth_retrying());
        }
    }
    for path in ["", "/", "a b", "ä", "a//b", "rakt.x", "GoAktX"] {
        // Whatever comes of it, it is for this call alone.
        let _ = within(node.lookup::<Probe>(path)).await;
        let _ = within(node.stop(path)).await;
    }
    for kind in ["k".repeat(256), "k".repeat(1_000_000), "k\n".to_owned()] {
        let error = within(node.spawn::<Probe>("new", kind).into_future()).await;
        assert!(is_invalid(&error.expect_err("it is no kind")));
    }
    for len in [1 << 20, 15 << 20, 17 << 20, 40 << 20] {
        let argument = Argument { bytes: vec![0; len].into() };
        let spawn = node.spawn::<Probe>("new", "probe").argument(&argument);
        let error = within(spawn.into_future()).await.expect_err("there is no such kind");
        let is_refused = matches!(error, OperationError::Refused { .. });
        assert!(is_refused || is_invalid(&error), "{error:?}");
    }
    for limit in [Duration::ZERO, Duration::MAX] {
        let _ = within(free.ask(echo("hello")).timeout(limit)).await;
        let _ = within(free.tell(echo("hello")).timeout(limit).confirmed()).await;
    }
    let mut metadata = Metadata::new();
    while metadata.append("key", "v".repeat(200)).is_ok() {}
    within(free.ask(echo("hello")).metadata(metadata)).await?;
    for (host, port) in [("", port), (host, 0), ("no host", port), ("10.0.0.1:1", port)] {
        let error = within(here.node(host, port).ping()).await.expect_err("it is no node");
        assert!(is_invalid(&error), "{error:?}");
    }
    seen.gate.open();
    within(waiting).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_type_that_goes_by_the_name_of_another_is_refused_where_it_is_sent() -> Result {
    let network = Memory::default();
    let there = node_with("there", config().transport(network.clone())).await;
    let here = node_with("here", config().transport(network)).await;
    Probe::spawn(&there, "probe").await;
    let address = there.address("probe")?;
    let error = within(here.ask(&address, Twin {})).await.expect_err("it is not accepted");
    assert!(matches!(error, AskError::Refused { refusal: Refusal::NotAccepted { .. }, .. }));
    let error = within(here.ask(&address, Impostor {})).await.expect_err("the name is taken");
    let Some(Refusal::InvalidArgument { source }) = error.refusal() else {
        return Err(format!("{error:?}").into());
    };
    let text = source.to_string();
    assert!(text.contains("Twin") && text.contains("Impostor"), "{text}");
    let refused = here.actor(&address).try_tell(Impostor {}).expect_err("the name is taken");
    assert!(matches!(refused.refusal, Refusal::InvalidArgument { .. }));
    Ok(())
}

/// Peers reach an actor that was given no name, by its address and by its life, and may answer one. They cannot make
/// one themselves, nor reach what else has a reserved name.
#[tokio::test]
async fn an_actor_without_a_name_is_reached_like_any_other() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, _seen) = Probe::new();
    let actor = there.spawn_anonymous(move || probe.clone()).await?;
    let path = actor.path().to_owned();
    let found: ActorRef<Probe> = remote(&here, &there, &path).await;
    let (probe, _seen) = Probe::new();
    let asker = here.spawn_anonymous(move || probe.clone()).await?;
    let who = within(found.ask(WhoAsks {}).sender(&asker)).await?;
    assert_eq!(who.text, asker.address().to_string());
    within(here.ask(&actor.address(), WhoAsks {})).await?;
    for name in ["rakt.system", "rakt.anonymous.1/rakt.system"] {
        let address = there.address(name)?;
        let error = within(here.ask(&address, WhoAsks {})).await.expect_err("it is reserved");
        assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error}");
    }
    Ok(())
}
