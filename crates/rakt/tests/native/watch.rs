//! Hearing of the end of an actor on another node: exactly once, with the reason, whatever happens.

use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{Events, StopReason, WatchId};
use tokio::sync::mpsc;

use crate::cable::Cable;
use crate::nodes::{self, config, node, node_with, remote};
use crate::probe::{self, Fail, Probe, echo, number};
use crate::support::{self, within};

/// Watches whom it is told to, and passes on what it hears.
struct Watcher {
    heard: mpsc::UnboundedSender<Terminated>,
}

/// Replied with the number of the watch.
struct Watch(ActorRef<Probe>);
struct Unwatch(WatchId);

/// Handled after what came before.
struct CatchUp;

rakt::messages! {
    Watch => WatchId,
    Unwatch,
    CatchUp,
}

impl Actor for Watcher {
    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        self.heard.send(terminated.clone())?;
        Ok(())
    }
}

impl Handler<Watch> for Watcher {
    async fn handle(&mut self, watch: Watch, ctx: &mut Context<Self>) -> Result<WatchId> {
        Ok(ctx.watch(&watch.0))
    }
}

impl Handler<CatchUp> for Watcher {
    async fn handle(&mut self, _: CatchUp, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

impl Handler<Unwatch> for Watcher {
    async fn handle(&mut self, Unwatch(watch): Unwatch, ctx: &mut Context<Self>) -> Result {
        ctx.unwatch(watch);
        Ok(())
    }
}

struct Heard(mpsc::UnboundedReceiver<Terminated>);

impl Heard {
    async fn next(&mut self) -> Terminated {
        within(self.0.recv()).await.expect("the watcher lives")
    }

    fn is_empty(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

async fn watcher(system: &ActorSystem) -> (ActorRef<Watcher>, Heard) {
    let (heard, hears) = mpsc::unbounded_channel();
    let watcher = system.spawn("watcher", move || Watcher { heard: heard.clone() }).await;
    (watcher.expect("it starts"), Heard(hears))
}

/// A probe on another node, watched from here.
struct Scene {
    here: ActorSystem,
    there: ActorSystem,
    watcher: ActorRef<Watcher>,
    heard: Heard,
    probe: ActorRef<Probe>,
    watch: WatchId,
}

impl Scene {
    async fn new(here: remote::Config, there: remote::Config) -> Self {
        let (here, there) = (node_with("here", here).await, node_with("there", there).await);
        Probe::spawn(&there, "probe").await;
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        let (watcher, heard) = watcher(&here).await;
        let watch = within(watcher.ask(Watch(probe.clone()))).await.expect("it watches");
        let scene = Self { here, there, watcher, heard, probe, watch };
        scene.settle().await;
        scene
    }

    /// Waits until the other node has everything that was asked of it before: requests of one
    /// connection are taken in order, and watches travel on the connection for requests.
    async fn settle(&self) {
        let (host, port) = self.there.advertised();
        for _ in 0..20 {
            within(self.here.node(host, port).ping()).await.expect("the node is there");
        }
    }

    /// Makes sure that nothing more is heard.
    async fn nothing_more(&mut self) {
        within(self.watcher.ask(CatchUp)).await.expect("it lives");
        assert!(self.heard.is_empty(), "the end is heard once");
    }
}

/// Waits until a connection is up again.
async fn link_up(events: &mut Events) {
    support::event(events, |event| match event {
        rakt::Event::LinkUp { .. } => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test]
async fn the_end_of_an_actor_that_is_stopped_is_heard_once() -> Result {
    let mut scene = Scene::new(config(), config()).await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    let terminated = scene.heard.next().await;
    assert_eq!(terminated.reason, StopReason::Stopped);
    assert_eq!(terminated.address, scene.probe.address());
    assert_eq!(terminated.watch, scene.watch);
    scene.settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test]
async fn each_watch_is_heard_of_once_and_those_of_others_too() -> Result {
    let mut scene = Scene::new(config(), config()).await;
    within(scene.watcher.ask(Watch(scene.probe.clone()))).await?;
    let third = node("third").await;
    let (other, mut other_heard) = watcher(&third).await;
    let probe: ActorRef<Probe> = remote(&third, &scene.there, "probe").await;
    within(other.ask(Watch(probe))).await?;
    let (host, port) = scene.there.advertised();
    for _ in 0..20 {
        within(third.node(host, port).ping()).await?;
    }
    scene.settle().await;
    within(scene.probe.stop()).await?;
    scene.heard.next().await;
    scene.heard.next().await;
    assert_eq!(other_heard.next().await.reason, StopReason::Stopped);
    scene.nothing_more().await;
    assert!(other_heard.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_actor_that_fails_is_heard_with_its_fault() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, _seen) = Probe::new();
    there
        .spawn("probe", move || probe.clone())
        .supervision(Supervision::always(Directive::Stop))
        .await?;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(probe.clone()))).await?;
    let _ = within(probe.ask(Fail { why: "out of luck".into() })).await;
    match heard.next().await.reason {
        StopReason::Failed(cause) => {
            assert!(cause.to_string().contains("out of luck"), "{cause}");
        }
        // The failure may have been quicker than the watch, which then finds that life over.
        reason => assert_eq!(reason, StopReason::Gone),
    }
    Ok(())
}

#[tokio::test]
async fn an_actor_that_is_passivated_is_heard_as_such() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (probe, seen) = Probe::new();
    there.spawn("probe", move || probe.clone()).passivate_after(Duration::from_millis(50)).await?;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell(probe::Hold {})).await?;
    seen.gate.entered().await;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(probe.clone()))).await?;
    let (host, port) = there.advertised();
    for _ in 0..20 {
        within(here.node(host, port).ping()).await?;
    }
    seen.gate.open();
    assert_eq!(heard.next().await.reason, StopReason::Passivated);
    Ok(())
}

#[tokio::test]
async fn a_node_that_shuts_down_tells_whoever_watches_its_actors() -> Result {
    let mut scene = Scene::new(config(), config()).await;
    within(scene.there.shutdown()).await;
    assert_eq!(scene.heard.next().await.reason, StopReason::Shutdown);
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test]
async fn an_actor_that_is_not_there_is_heard_of_at_once() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (watcher, mut heard) = watcher(&here).await;
    let nobody = here.actor(&there.address("nobody")?).typed::<Probe>().expect("it is remote");
    within(watcher.ask(Watch(nobody.clone()))).await?;
    let terminated = heard.next().await;
    assert_eq!(terminated.reason, StopReason::NotFound);
    assert_eq!(terminated.address, nobody.address());
    Ok(())
}

#[tokio::test]
async fn an_earlier_life_of_an_actor_is_heard_as_gone() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (local, _) = Probe::spawn(&there, "probe").await;
    let old: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(local.stop()).await?;
    Probe::spawn(&there, "probe").await;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(old))).await?;
    assert_eq!(heard.next().await.reason, StopReason::Gone);
    Ok(())
}

#[tokio::test]
async fn an_actor_that_ends_before_the_watch_reaches_it_is_heard_of() -> Result {
    let (here, there) = (node("here").await, node("there").await);
    let (local, _) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(local.stop()).await?;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(probe))).await?;
    let reason = heard.next().await.reason;
    assert!(matches!(reason, StopReason::NotFound | StopReason::Gone), "{reason}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_any_more_is_lost() -> Result {
    let cable = Cable::default();
    let options = config().transport(cable.clone()).read_idle_timeout(Duration::from_millis(100));
    let mut scene = Scene::new(options, config()).await;
    cable.unplug();
    assert_eq!(scene.heard.next().await.reason, StopReason::NodeLost);
    assert!(scene.there.find("probe").is_some(), "the actor lives, as far as its node goes");

    cable.plug();
    within(async {
        let (host, port) = scene.there.advertised();
        while scene.here.node(host, port).ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    scene.settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test]
async fn a_node_that_falls_silent_is_lost() -> Result {
    let cable = Cable::default();
    let options = config().transport(cable.clone()).read_idle_timeout(Duration::from_millis(100));
    let mut scene = Scene::new(options, config()).await;
    let mut events = scene.here.events();
    cable.freeze();
    // Found dead, dialed again, and dead again: the network takes connections and nothing else.
    nodes::link_down(&mut events).await;
    cable.unplug();
    assert_eq!(scene.heard.next().await.reason, StopReason::NodeLost);
    Ok(())
}

#[tokio::test]
async fn a_lost_connection_to_a_living_node_is_no_end_and_a_later_end_is_heard_once() -> Result {
    let cable = Cable::default();
    let mut scene = Scene::new(config().transport(cable.clone()), config()).await;
    for _ in 0..5 {
        let mut events = scene.here.events();
        cable.cut();
        link_up(&mut events).await;
        scene.settle().await;
        assert!(scene.heard.is_empty(), "the actor lives");
    }
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    assert_eq!(scene.heard.next().await.reason, StopReason::Stopped);
    scene.settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test]
async fn an_end_while_the_connection_was_lost_is_heard_of_afterwards() -> Result {
    let cable = Cable::default();
    let mut scene = Scene::new(config().transport(cable.clone()), config()).await;
    let mut events = scene.here.events();
    cable.unplug();
    nodes::link_down(&mut events).await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    cable.plug();
    let reason = scene.heard.next().await.reason;
    assert_eq!(reason, StopReason::Gone, "when and how it ended is not known");
    scene.settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test]
async fn a_node_that_starts_again_under_its_address_has_ended_its_earlier_actors() -> Result {
    let mut scene = Scene::new(config(), config()).await;
    let port = scene.there.advertised().1;
    // Gone without a farewell would be a killed process; a cut before the end is the same from here.
    let cable = Cable::default();
    let here = node_with("here", config().transport(cable.clone())).await;
    let (watcher, mut heard) = watcher(&here).await;
    let probe: ActorRef<Probe> = remote(&here, &scene.there, "probe").await;
    within(watcher.ask(Watch(probe))).await?;
    for _ in 0..20 {
        within(here.node("127.0.0.1", port).ping()).await?;
    }
    let mut events = here.events();
    cable.unplug();
    nodes::link_down(&mut events).await;
    within(scene.there.shutdown()).await;
    assert_eq!(scene.heard.next().await.reason, StopReason::Shutdown);

    let there = node_with("there", remote::Config::new("127.0.0.1", port)).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    cable.plug();
    assert_eq!(heard.next().await.reason, StopReason::NodeLost);
    within(here.tell(&there.address("probe")?, number(1))).await?;
    assert_eq!(seen.next().await, 1, "the stranger of that name is left alone");
    assert!(heard.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_watch_that_is_taken_back_is_not_heard_of() -> Result {
    let mut scene = Scene::new(config(), config()).await;
    within(scene.watcher.ask(Unwatch(scene.watch))).await?;
    scene.settle().await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    scene.settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test]
async fn a_watch_keeps_its_connection_open_although_nothing_is_sent() -> Result {
    let cable = Cable::default();
    let options = config().transport(cable.clone()).idle_timeout(Duration::from_millis(50));
    let mut scene = Scene::new(options, config()).await;
    within(scene.probe.ask(echo("opens the other connection"))).await?;
    let mut events = scene.here.events();
    // The connection for messages is idle and closed; the one that the watch needs stays.
    assert_eq!(nodes::link_down(&mut events).await, "idle");
    within(async {
        while cable.open_count() != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    assert_eq!(scene.heard.next().await.reason, StopReason::Stopped);
    assert_eq!(cable.dial_count(), 2, "it was not opened again");
    Ok(())
}
