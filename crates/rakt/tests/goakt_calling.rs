//! Calls to actors on GoAkt nodes, which are played by a script here.

#![cfg(all(feature = "goakt", feature = "prost"))]

mod nodes;
mod scripted;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use rakt::prelude::*;
use rakt::remote::{Client, Compression, Config, GoAkt};
use rakt::{AskError, OperationError, Refusal};
use rakt_wire::goakt::{ErrorCode, Incoming, Request};
use scripted::{Act, Scripted, Told, at_once, echoing};
use tokio::sync::{Notify, Semaphore};

use crate::nodes::{Echo, Memory, Number, dead_letter, echo, number};
use crate::support::within;

/// Its reply has a name, as GoAkt needs.
#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(string, tag = "1")]
    text: String,
}

rakt::messages! { Question as "tests.Question" => Question as "tests.Question" }

fn question(text: impl Into<String>) -> Question {
    Question { text: text.into() }
}

fn client() -> Client {
    client_with(Config::client())
}

fn client_with(config: Config) -> Client {
    Client::new("caller", config).expect("valid options")
}

/// A client in `network` whose options are `options`.
fn client_in(network: &Memory, options: GoAkt) -> Client {
    client_with(Config::client().transport(network.clone()).goakt(options))
}

fn number_of(told: &Told) -> u64 {
    Number::decode(told.value.clone()).expect("a number").n
}

async fn told(node: &mut Scripted) -> Told {
    within(node.told.recv()).await.expect("the node lives")
}

fn refusal_of<M>(result: std::result::Result<impl std::fmt::Debug, AskError<M>>) -> Refusal {
    let error = result.expect_err("it fails");
    error.refusal().unwrap_or_else(|| panic!("not refused: {error}")).clone()
}

#[tokio::test]
async fn a_message_is_told_and_a_question_answered() -> Result {
    let mut node = Scripted::tcp(at_once(echoing)).await;
    let client = client();
    let actor = client.actor(&node.address("parent/echo"));

    within(actor.tell(number(7))).await?;
    let seen = told(&mut node).await;
    assert_eq!((&*seen.sender, number_of(&seen)), ("goakt://@:0/", 7));
    let address = format!("goakt://go@127.0.0.1:{}/parent/echo", node.port);
    assert_eq!((seen.receiver, &*seen.type_name), (address.clone(), "tests.Number"));

    within(actor.tell(number(8)).confirmed()).await?;
    assert_eq!(within(actor.ask(question("why?"))).await?, question("why?"));
    assert_eq!(actor.to_string(), address);
    within(client.close()).await;
    assert_eq!(refusal_of(actor.ask(question("still there?")).await), Refusal::ShuttingDown);
    Ok(())
}
