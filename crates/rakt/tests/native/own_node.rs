//! Operations on the node of one's own.

use std::time::Duration;

use rakt::prelude::*;
use rakt::{OperationError, SystemBuilder};

use crate::cable::Cable;
use crate::memory::Memory;
use crate::nodes::config;
use crate::probe::{Probe, echo};
use crate::support::within;

#[derive(Default)]
struct Other;

impl Actor for Other {}

struct StopMe(ActorSystem);

rakt::messages! { StopMe => std::result::Result<(), OperationError> }

impl Handler<StopMe> for Other {
    async fn handle(
        &mut self,
        StopMe(system): StopMe,
        ctx: &mut Context<Self>,
    ) -> Result<std::result::Result<(), OperationError>> {
        let (host, port) = system.advertised();
        Ok(system.node(host, port).stop(ctx.path()).await)
    }
}

#[tokio::test(start_paused = true)]
async fn the_node_of_ones_own_is_not_dialed() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let builder: SystemBuilder = ActorSystem::builder("here");
    let here =
        builder.kind::<Other>("other").remoting(config().transport(cable.clone())).start().await?;
    let (host, port) = here.advertised();
    let node = here.node(host, port);
    let (_, _seen) = Probe::spawn(&here, "probe").await;
    let found: ActorRef<Probe> = within(node.lookup("probe")).await?.ok_or("it is there")?;
    assert!(found.is_local());
    within(found.ask(echo("hello"))).await?;
    let found: Option<ActorRef> = within(node.lookup("probe")).await?;
    assert!(found.is_some_and(|found| found.is_local()));
    let other: Option<ActorRef<Other>> = within(node.lookup("probe")).await?;
    assert!(other.is_none(), "it is of another type");
    assert!(within(node.lookup::<Probe>("nobody")).await?.is_none());
    assert_eq!(within(node.kinds()).await?, ["other"]);
    assert_eq!(within(node.ping()).await?, Duration::ZERO);
    let spawned: ActorRef<Other> = within(node.spawn("spawned", "other").into_future()).await?;
    assert!(spawned.is_local());
    let done = within(spawned.ask(StopMe(here.clone()))).await?;
    let refused = |refusal| matches!(done, Err(OperationError::NotSent { refusal: found, .. }) if found == refusal);
    assert!(refused(Refusal::WaitsForItself));
    within(node.respawn("spawned")).await?;
    within(node.reinstate("spawned")).await?;
    within(node.stop("spawned")).await?;
    assert!(here.find("spawned").is_none());
    assert_eq!(cable.dial_count(), 0);
    Ok(())
}
