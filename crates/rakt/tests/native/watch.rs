//! Hearing of the end of an actor on another node: exactly once, with the reason, whatever happens.
//!
//! The nodes are on a network in memory and the clock is paused, so it moves only when everybody has done
//! what he can.

use std::time::Duration;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{Events, StopReason, WatchId};
use tokio::sync::mpsc;

use crate::cable::Cable;
use crate::memory::Memory;
use crate::nodes::{self, config, node_with, remote};
use crate::probe::{self, Fail, Probe, echo, number};
use crate::support::{self, begun, within};

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
    async fn new() -> Self {
        let network = Memory::default();
        Self::on(&network, options(&network)).await
    }

    /// With `here` as the options of the node that watches.
    async fn on(network: &Memory, here: remote::Config) -> Self {
        let (here, there) = (node_with("here", here).await, node_on(network, "there").await);
        Probe::spawn(&there, "probe").await;
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        let (watcher, heard) = watcher(&here).await;
        let watch = within(watcher.ask(Watch(probe.clone()))).await.expect("it watches");
        let scene = Self { here, there, watcher, heard, probe, watch };
        settle().await;
        scene
    }

    /// Makes sure that nothing more is heard.
    async fn nothing_more(&mut self) {
        within(self.watcher.ask(CatchUp)).await.expect("it lives");
        assert!(self.heard.is_empty(), "the end is heard once");
    }
}

fn options(network: &Memory) -> remote::Config {
    nodes::open().transport(network.clone())
}

async fn node_on(network: &Memory, name: &str) -> ActorSystem {
    node_with(name, options(network)).await
}

async fn two_nodes() -> (ActorSystem, ActorSystem) {
    let network = Memory::default();
    (node_on(&network, "here").await, node_on(&network, "there").await)
}

/// Waits until everything that was asked of any node has been done, and everybody has heard of it.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

/// Waits until a connection is up again.
async fn link_up(events: &mut Events) {
    support::event(events, |event| match event {
        rakt::Event::LinkUp { .. } => Some(()),
        _ => None,
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_actor_that_is_stopped_is_heard_once() -> Result {
    let mut scene = Scene::new().await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    let terminated = scene.heard.next().await;
    assert_eq!(terminated.reason, StopReason::Stopped);
    assert_eq!(terminated.address, scene.probe.address());
    assert_eq!(terminated.watch, scene.watch);
    settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_watch_is_heard_of_once_and_those_of_others_too() -> Result {
    let network = Memory::default();
    let mut scene = Scene::on(&network, options(&network)).await;
    within(scene.watcher.ask(Watch(scene.probe.clone()))).await?;
    let third = node_on(&network, "third").await;
    let (other, mut other_heard) = watcher(&third).await;
    let probe: ActorRef<Probe> = remote(&third, &scene.there, "probe").await;
    within(other.ask(Watch(probe))).await?;
    settle().await;
    within(scene.probe.stop()).await?;
    scene.heard.next().await;
    scene.heard.next().await;
    assert_eq!(other_heard.next().await.reason, StopReason::Stopped);
    scene.nothing_more().await;
    assert!(other_heard.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_fails_is_heard_with_its_fault() -> Result {
    let (here, there) = two_nodes().await;
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

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_passivated_is_heard_as_such() -> Result {
    let (here, there) = two_nodes().await;
    let (probe, seen) = Probe::new();
    there.spawn("probe", move || probe.clone()).passivate_after(Duration::from_millis(50)).await?;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.tell(probe::Hold {})).await?;
    seen.gate.entered().await;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(probe.clone()))).await?;
    settle().await;
    seen.gate.open();
    assert_eq!(heard.next().await.reason, StopReason::Passivated);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_shuts_down_tells_whoever_watches_its_actors() -> Result {
    let mut scene = Scene::new().await;
    within(scene.there.shutdown()).await;
    assert_eq!(scene.heard.next().await.reason, StopReason::Shutdown);
    scene.nothing_more().await;
    Ok(())
}

/// On several threads, where the shutdown goes on while the last news is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shutdown_is_heard_of_at_once_by_all_who_watch() -> Result {
    let here = node_with("here", config()).await;
    let (watcher, mut heard) = watcher(&here).await;
    for _ in 0..50 {
        let there = node_with("there", config()).await;
        let mut watches = Vec::new();
        for n in 0..4 {
            let name = format!("probe{n}");
            Probe::spawn(&there, &name).await;
            let probe: ActorRef<Probe> = remote(&here, &there, &name).await;
            watches.push(within(watcher.ask(Watch(probe))).await?);
        }
        // Some of them are not known there yet.
        within(there.shutdown()).await;
        for _ in &watches {
            let terminated = heard.next().await;
            assert_eq!(terminated.reason, StopReason::Shutdown, "{terminated:?}");
        }
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_is_not_there_is_heard_of_at_once() -> Result {
    let (here, there) = two_nodes().await;
    let (watcher, mut heard) = watcher(&here).await;
    let nobody = here.actor(&there.address("nobody")?).typed::<Probe>().expect("it is remote");
    within(watcher.ask(Watch(nobody.clone()))).await?;
    let terminated = heard.next().await;
    assert_eq!(terminated.reason, StopReason::NotFound);
    assert_eq!(terminated.address, nobody.address());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_earlier_life_of_an_actor_is_heard_as_gone() -> Result {
    let (here, there) = two_nodes().await;
    let (local, _) = Probe::spawn(&there, "probe").await;
    let old: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(local.stop()).await?;
    Probe::spawn(&there, "probe").await;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(old))).await?;
    assert_eq!(heard.next().await.reason, StopReason::Gone);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_ends_before_the_watch_reaches_it_is_heard_of() -> Result {
    let (here, there) = two_nodes().await;
    let (local, _) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(local.stop()).await?;
    let (watcher, mut heard) = watcher(&here).await;
    within(watcher.ask(Watch(probe))).await?;
    let reason = heard.next().await.reason;
    assert!(matches!(reason, StopReason::NotFound | StopReason::Gone), "{reason}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_reached_any_more_is_lost() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let options = config().transport(cable.clone()).read_idle_timeout(Duration::from_millis(100));
    let mut scene = Scene::on(&network, options).await;
    cable.unplug();
    assert_eq!(scene.heard.next().await.reason, StopReason::NodeLost);
    assert!(scene.there.find("probe").is_some(), "the actor lives, as far as its node goes");

    cable.plug();
    within(async {
        let (host, port) = scene.there.advertised();
        while scene.here.node(host, port).ping().await.is_err() {
            settle().await;
        }
    })
    .await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_is_lost() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let options = config().transport(cable.clone()).read_idle_timeout(Duration::from_millis(100));
    let mut scene = Scene::on(&network, options).await;
    let mut events = scene.here.events();
    cable.freeze();
    // Found dead, dialed again, and dead again: the network takes connections and nothing else.
    nodes::link_down(&mut events).await;
    cable.unplug();
    assert_eq!(scene.heard.next().await.reason, StopReason::NodeLost);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_to_a_living_node_is_no_end_and_a_later_end_is_heard_once() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let mut scene = Scene::on(&network, config().transport(cable.clone())).await;
    for _ in 0..5 {
        let mut events = scene.here.events();
        cable.cut();
        link_up(&mut events).await;
        settle().await;
        assert!(scene.heard.is_empty(), "the actor lives");
    }
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    assert_eq!(scene.heard.next().await.reason, StopReason::Stopped);
    settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_end_while_the_connection_was_lost_is_heard_of_afterwards() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let mut scene = Scene::on(&network, config().transport(cable.clone())).await;
    let mut events = scene.here.events();
    cable.unplug();
    nodes::link_down(&mut events).await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    cable.plug();
    let reason = scene.heard.next().await.reason;
    assert_eq!(reason, StopReason::Gone, "when and how it ended is not known");
    settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_again_under_its_address_has_ended_its_earlier_actors() -> Result {
    let network = Memory::default();
    let mut scene = Scene::on(&network, options(&network)).await;
    let port = scene.there.advertised().1;
    // Gone without a farewell would be a killed process; a cut before the end is the same from here.
    let cable = Cable::over(&network);
    let here = node_with("here", config().transport(cable.clone())).await;
    let (watcher, mut heard) = watcher(&here).await;
    let probe: ActorRef<Probe> = remote(&here, &scene.there, "probe").await;
    within(watcher.ask(Watch(probe))).await?;
    settle().await;
    let mut events = here.events();
    cable.unplug();
    nodes::link_down(&mut events).await;
    within(scene.there.shutdown()).await;
    assert_eq!(scene.heard.next().await.reason, StopReason::Shutdown);

    let there = node_with("there", remote::Config::new("127.0.0.1", port).transport(network)).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    cable.plug();
    assert_eq!(heard.next().await.reason, StopReason::NodeLost);
    within(here.tell(&there.address("probe")?, number(1))).await?;
    assert_eq!(seen.next().await, 1, "the stranger of that name is left alone");
    assert!(heard.is_empty());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_taken_back_is_not_heard_of() -> Result {
    let mut scene = Scene::new().await;
    within(scene.watcher.ask(Unwatch(scene.watch))).await?;
    settle().await;
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    settle().await;
    scene.nothing_more().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_watch_keeps_its_connection_open_although_nothing_is_sent() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let options = config().transport(cable.clone()).idle_timeout(Duration::from_millis(50));
    let mut scene = Scene::on(&network, options).await;
    within(scene.probe.ask(echo("opens the other connection"))).await?;
    assert_eq!(cable.open_count(), 2);
    // The connection for messages is idle and closed; the one that the watch needs stays.
    settle().await;
    assert_eq!(cable.open_count(), 1);
    within(scene.there.find("probe").expect("it lives").stop()).await?;
    assert_eq!(scene.heard.next().await.reason, StopReason::Stopped);
    assert_eq!(cable.dial_count(), 2, "it was not opened again");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_actor_on_another_node_can_be_awaited_from_outside() -> Result {
    let scene = Scene::new().await;
    assert_eq!(scene.probe.is_alive(), None);
    let probe = scene.probe.clone();
    let ending = begun(async move { probe.ended().await }).await;
    // Given up, and begun again.
    drop(begun(scene.probe.ended()).await);
    settle().await;
    within(scene.probe.stop()).await?;
    assert_eq!(within(ending).await, StopReason::Stopped);
    assert_eq!(within(scene.probe.ended()).await, StopReason::Gone, "it ended before this began");
    Ok(())
}
