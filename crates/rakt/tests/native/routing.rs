//! Pools and routers as peers see them.

use rakt::prelude::*;
use rakt::routing::{Pool, Strategy};

use crate::memory::Memory;
use crate::nodes::{config, node_with, remote};
use crate::probe::{Number, number};
use crate::support::within;

/// Takes numbers from its own process alone.
struct Private;

impl Actor for Private {}

impl Handler<Number> for Private {
    async fn handle(&mut self, _: Number, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// Takes them from peers as well.
struct Public;

impl Actor for Public {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Number>();
    }
}

impl Handler<Number> for Public {
    async fn handle(&mut self, _: Number, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_pool_takes_from_peers_what_its_members_list() -> Result {
    let network = Memory::default();
    let here = node_with("here", config().transport(network.clone())).await;
    let there = node_with("there", config().transport(network)).await;
    let private = || Pool::new(Strategy::<Number>::round_robin(), 2, || Private);
    let private_pool = there.spawn("private", private).await?;
    there.spawn("public", || Pool::new(Strategy::<Number>::round_robin(), 2, || Public)).await?;
    private_pool.ask(number(7)).await?;
    let pool = remote::<Pool<Private, Number>>(&here, &there, "private").await;
    let refused = within(pool.ask(number(7))).await.expect_err("its members list nothing");
    assert!(matches!(refused.refusal(), Some(Refusal::NotAccepted { .. })), "{refused:?}");
    let pool = remote::<Pool<Public, Number>>(&here, &there, "public").await;
    within(pool.ask(number(7))).await?;
    Ok(())
}
