//! Actors that take the place of others: what peers that knew those are told, and who has their messages.

use rakt::prelude::*;
use rakt::{AskError, Refusal};

use crate::nodes::node;
use crate::support::within;

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.respawned.First", reply = u64)]
struct First {
    #[prost(uint64, tag = "1")]
    n: u64,
}

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.respawned.Second", reply = u64)]
struct Second {
    #[prost(uint64, tag = "1")]
    n: u64,
}

/// Accepts both.
struct Old;

impl Actor for Old {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<First>().remote::<Second>();
    }
}

impl Handler<First> for Old {
    async fn handle(&mut self, first: First, _: &mut Context<Self>) -> Result<u64> {
        Ok(first.n)
    }
}

impl Handler<Second> for Old {
    async fn handle(&mut self, second: Second, _: &mut Context<Self>) -> Result<u64> {
        Ok(second.n + 10)
    }
}

/// Accepts one, which is the second of the other's.
struct New;

impl Actor for New {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Second>();
    }
}

impl Handler<Second> for New {
    async fn handle(&mut self, second: Second, _: &mut Context<Self>) -> Result<u64> {
        Ok(second.n + 100)
    }
}

#[tokio::test]
async fn what_an_actor_accepts_is_not_taken_from_the_one_before_it() -> Result {
    let (server, client) = (node("server").await, node("client").await);
    let old = server.spawn("actor", || Old).await?;
    let (host, port) = server.advertised();
    let remote = client.actor(&Address::new("actor", "server", host, port)?);
    assert_eq!(within(remote.ask(First { n: 1 })).await?, 1);
    assert_eq!(within(remote.ask(Second { n: 1 })).await?, 11);
    within(old.stop()).await?;
    let gone = within(remote.ask(First { n: 1 })).await.expect_err("nobody is there");
    assert!(matches!(gone, AskError::Refused { refusal: Refusal::NotFound, .. }), "{gone:?}");
    let old = server.spawn("actor", || Old).await?;
    assert_eq!(within(remote.ask(First { n: 2 })).await?, 2);
    assert_eq!(within(remote.ask(Second { n: 2 })).await?, 12);
    within(old.stop()).await?;
    server.spawn("actor", || New).await?;
    let refused = within(remote.ask(First { n: 3 })).await.expect_err("it is not accepted");
    assert!(
        matches!(refused, AskError::Refused { refusal: Refusal::NotAccepted { .. }, .. }),
        "{refused:?}"
    );
    assert_eq!(within(remote.ask(Second { n: 3 })).await?, 103);
    Ok(())
}
