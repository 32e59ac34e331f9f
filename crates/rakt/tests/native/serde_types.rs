//! What serde types become on their way: by MessagePack what they were, by postcard not all of them.

use rakt::BoxError;
use rakt::message::{Codec, Postcard, Serde};
use rakt::prelude::*;

use crate::memory::Memory;
use crate::nodes::{config, node_with};
use crate::probe::Probe;
use crate::support::within;

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
