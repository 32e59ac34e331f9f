//! What a caller passes is checked where it is passed: nothing of it can end a connection that others use.

use std::future::IntoFuture;
use std::time::Duration;

use rakt::message::{Codec, Postcard, Serde};
use rakt::prelude::*;
use rakt::{AskError, BoxError, Metadata, OperationError};

use crate::memory::Memory;
use crate::nodes::{config, node_with, remote};
use crate::probe::{self, Probe, echo};
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

/// Leaves out what is not there, which a format that goes by order cannot read again.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sparse {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    first: Option<u32>,
    second: u32,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    Text(String),
}

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct AskSparse;

rakt::messages! {
    Sparse as "tests.names.Sparse" with Postcard,
    Untagged as "tests.names.Untagged" with Postcard,
    AskSparse as "tests.names.AskSparse" with Postcard => Sparse,
}

/// Gives a reply that its asker would read as another one.
struct Forgetter;

impl Actor for Forgetter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<AskSparse>();
    }
}

impl Handler<AskSparse> for Forgetter {
    async fn handle(&mut self, _: AskSparse, _: &mut Context<Self>) -> Result<Sparse> {
        Ok(Sparse { first: None, second: 300 })
    }
}

#[cfg(debug_assertions)]
#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_survive_its_codec_is_found_where_it_is_sent() -> Result {
    let network = Memory::default();
    let there = node_with("there", config().transport(network.clone())).await;
    let here = node_with("here", config().transport(network)).await;
    Probe::spawn(&there, "probe").await;
    there.spawn("forgetter", || Forgetter).await?;
    let address = there.address("probe")?;
    fn says(refusal: Option<&Refusal>) -> std::result::Result<String, BoxError> {
        match refusal {
            Some(Refusal::Unencodable { source }) => Ok(rakt::error::Chain(source).to_string()),
            other => Err(format!("{other:?}").into()),
        }
    }
    let error = within(here.ask(&address, Sparse { first: None, second: 300 })).await;
    let text = says(error.expect_err("it is read as another").refusal())?;
    assert!(text.contains("skip_serializing_if"), "{text}");
    let error = within(here.ask(&address, Untagged::Number(1))).await;
    let text = says(error.expect_err("it cannot be read").refusal())?;
    assert!(text.contains("untagged"), "{text}");
    let address = there.address("forgetter")?;
    let error = within(here.ask(&address, AskSparse)).await.expect_err("it is read as another");
    let text = says(error.refusal())?;
    assert!(text.contains("skip_serializing_if"), "{text}");
    Ok(())
}

/// What peers of another version know of it.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Reordered {
    second: u32,
    #[serde(default)]
    third: Option<String>,
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Plain {
        number: u32,
    },
    Many {
        numbers: Vec<u32>,
        #[serde(flatten)]
        rest: std::collections::BTreeMap<String, u32>,
    },
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct All {
    sparse: Sparse,
    untagged: Vec<Untagged>,
    tagged: Vec<Tagged>,
}

#[test]
fn messagepack_takes_every_attribute_of_serde_and_other_versions_of_a_type() -> Result {
    fn written<T>(value: &T) -> Result<bytes::Bytes>
    where
        Serde: Codec<T>,
    {
        let mut out = Vec::new();
        <Serde as Codec<T>>::encode(value, &mut out)?;
        Ok(out.into())
    }
    let all = All {
        sparse: Sparse { first: None, second: 300 },
        untagged: vec![Untagged::Number(1), Untagged::Text("two".to_owned())],
        tagged: vec![
            Tagged::Plain { number: 1 },
            Tagged::Many { numbers: vec![1, 2], rest: [("more".to_owned(), 3)].into() },
        ],
    };
    assert_eq!(<Serde as Codec<All>>::decode(written(&all)?)?, all);
    let newer = <Serde as Codec<Reordered>>::decode(written(&all.sparse)?)?;
    assert_eq!(newer, Reordered { second: 300, third: None });
    let older = <Serde as Codec<Sparse>>::decode(written(&newer)?)?;
    assert_eq!(older, all.sparse);
    // What claims to be longer than it is reserves nothing.
    for claim in [
        &b"\xdd\xff\xff\xff\xff"[..],
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
    ] {
        let claim = bytes::Bytes::from_static(claim);
        <Serde as Codec<Vec<u32>>>::decode(claim.clone()).expect_err("it is not there");
        <Serde as Codec<String>>::decode(claim.clone()).expect_err("it is not there");
        <Serde as Codec<All>>::decode(claim).expect_err("it is not there");
    }
    Ok(())
}
