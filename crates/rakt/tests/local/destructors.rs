//! Values of the user that panic when they are dropped or shown: a fault like any other.

use std::fmt;

use rakt::prelude::*;
use rakt::supervision::Directive;
use rakt::{Event, SpawnError};

use crate::support::{event, within};
use crate::{drained, system};

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

/// Panics when it is shown, and when it is dropped.
#[derive(Debug)]
struct Nasty;

impl fmt::Display for Nasty {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("on purpose");
    }
}

impl std::error::Error for Nasty {}

impl Drop for Nasty {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

struct Arm;
struct Count;
rakt::messages! { Arm, Count => u32 }

#[derive(Default)]
struct Careless {
    count: u32,
    arms_at_start: bool,
    watches: Option<ActorRef>,
}

impl Actor for Careless {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        if self.arms_at_start {
            ctx.extensions().insert(Bomb);
        }
        if let Some(other) = self.watches.take() {
            ctx.watch(&other);
        }
        Ok(())
    }

    async fn terminated(&mut self, _: &Terminated, _: &mut Context<Self>) -> Result {
        Err(Nasty.into())
    }

    async fn stopped(&mut self, _: &mut Context<Self>) -> Result {
        Err(Nasty.into())
    }
}

impl Handler<Arm> for Careless {
    async fn handle(&mut self, _: Arm, ctx: &mut Context<Self>) -> Result {
        self.count += 1;
        ctx.extensions().insert(Bomb);
        Ok(())
    }
}

impl Handler<Count> for Careless {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<u32> {
        self.count += 1;
        Ok(self.count)
    }
}

#[tokio::test]
async fn what_a_message_leaves_behind_meets_supervision_if_its_drop_panics() -> Result {
    let system = system().await;
    let mut events = system.events();
    let restarts = system.spawn("restarts", Careless::default).await?;
    // Both wait by the time the actor runs, so that it goes from the one to the other.
    restarts.tell(Arm).await?;
    assert_eq!(within(restarts.ask(Count)).await?, 1, "another actor counts");
    let restarted = event(&mut events, |event| match event {
        Event::ActorRestarted { path } => Some(path),
        _ => None,
    });
    assert_eq!(restarted.await, "restarts");

    let resume = Supervision::always(Directive::Resume);
    let resumes = system.spawn("resumes", Careless::default).supervision(resume).await?;
    resumes.tell(Arm).await?;
    assert_eq!(within(resumes.ask(Count)).await?, 2);
    // Nothing is queued behind this one.
    resumes.tell(Arm).await?;
    drained(&resumes).await;
    assert_eq!(within(resumes.ask(Count)).await?, 4);
    Ok(())
}

#[tokio::test]
async fn what_a_start_leaves_behind_fails_the_spawn_if_its_drop_panics() -> Result {
    let system = system().await;
    let armed = || Careless { arms_at_start: true, ..Careless::default() };
    let error = within(system.spawn("armed", armed).start()).await.expect_err("it panicked");
    assert!(matches!(error, SpawnError::Start { .. }), "{error}");
    system.spawn("armed", Careless::default).await?;
    Ok(())
}

#[tokio::test]
async fn an_error_that_panics_when_it_is_shown_is_a_fault_like_others() -> Result {
    let system = system().await;
    let other = system.spawn("other", Careless::default).await?;
    let watched = other.untyped();
    let watches = move || Careless { watches: Some(watched.clone()), ..Careless::default() };
    let resume = Supervision::always(Directive::Resume);
    let careless = system.spawn("careless", watches).supervision(resume).await?;
    // This ends with such an error as well.
    within(other.stop()).await?;
    assert_eq!(within(careless.ask(Count)).await?, 1);
    Ok(())
}
