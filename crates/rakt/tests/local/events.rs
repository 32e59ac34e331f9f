//! What a subscriber learns of a system.

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{DeadLetter, Event, Events, Refusal, StopReason};

use crate::support::{Gate, within};
use crate::system;

struct Note;
struct Fail;
struct StopNow;

rakt::messages! { Note, Fail, StopNow }

#[derive(Default)]
struct Plain {
    gate: Gate,
}

impl Actor for Plain {}

impl Handler<Note> for Plain {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

impl Handler<Fail> for Plain {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result {
        Err("on purpose".into())
    }
}

impl Handler<StopNow> for Plain {
    async fn handle(&mut self, _: StopNow, ctx: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        ctx.stop();
        Ok(())
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::ActorStarted { path } => format!("{path} started"),
        Event::ActorStopped { path, reason } => format!("{path} stopped: {reason}"),
        Event::ActorRestarted { path } => format!("{path} restarted"),
        Event::ActorSuspended { path, reason } => format!("{path} suspended: {reason}"),
        Event::ActorReinstated { path } => format!("{path} reinstated"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_subscriber_sees_the_whole_life_of_an_actor() -> Result {
    let system = system().await;
    let mut events = system.events();
    let actor = system
        .spawn("a", Plain::default)
        .supervision(Supervision::always(Directive::Suspend))
        .await?;
    actor.tell(Fail).await?;
    let mut seen = Vec::new();
    for _ in 0..2 {
        seen.push(text(&within(events.next()).await.ok_or("the system is there")?));
    }
    within(actor.reinstate()).await?;
    within(actor.respawn()).await?;
    within(actor.stop()).await?;
    for _ in 0..3 {
        seen.push(text(&within(events.next()).await.ok_or("the system is there")?));
    }
    assert_eq!(
        seen,
        [
            "a started",
            "a suspended: on purpose",
            "a reinstated",
            "a restarted",
            "a stopped: stopped"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_dead_letter_says_what_was_lost_and_why() -> Result {
    let system = system().await;
    let gate = Gate::default();
    let of_actor = gate.clone();
    let actor = system.spawn("a", move || Plain { gate: of_actor.clone() }).await?;
    let sender = system.spawn("sender", Plain::default).await?;
    let mut events = system.events();
    actor.tell(StopNow).await?;
    gate.entered().await;
    actor.tell(Note).sender(&sender).await?;
    actor.tell(Note).await?;
    gate.open();
    let mut letters = Vec::new();
    while letters.len() < 2 {
        if let Some(Event::DeadLetter(letter)) = within(events.next()).await {
            letters.push(letter);
        }
    }
    let [first, second]: [DeadLetter; 2] = letters.try_into().map_err(|_| "two letters")?;
    assert_eq!(first.target, system.address("a")?.into());
    assert_eq!(first.sender, Some(sender.address()));
    assert!(first.message.ends_with("Note"));
    assert_eq!((first.reason, first.count), (Refusal::Stopped, 1));
    assert_eq!(second.sender, None);
    assert_eq!(system.dead_letter_count(), 2);
    Ok(())
}

#[tokio::test]
async fn a_slow_subscriber_loses_the_oldest_and_holds_up_nobody() -> Result {
    let system = system().await;
    let mut slow = system.events();
    for n in 0..=Events::CAPACITY {
        let actor = system.spawn(format!("a{n}"), Plain::default).await?;
        within(actor.stop()).await?;
    }
    let first = within(slow.next()).await.ok_or("the system is there")?;
    assert!(!matches!(&first, Event::ActorStarted { path } if path == "a0"), "{first:?}");
    Ok(())
}

#[tokio::test]
async fn the_events_end_with_the_system() -> Result {
    let system = system().await;
    let mut events = system.events();
    let actor = system.spawn("a", Plain::default).await?;
    drop(actor);
    within(system.shutdown()).await;
    drop(system);
    let mut last = None;
    while let Some(event) = within(events.next()).await {
        last = Some(event);
    }
    assert!(
        matches!(&last, Some(Event::ActorStopped { reason: StopReason::Shutdown, .. })),
        "{last:?}"
    );
    Ok(())
}
