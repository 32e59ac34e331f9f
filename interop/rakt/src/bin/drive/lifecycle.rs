//! Actors that are started, stopped and restarted from here.

use interop::host;
use interop::messages::{PoisonPill, fail, note, text};
use rakt::prelude::*;
use rakt::{Result, StopReason};
use tokio::sync::oneshot;

use crate::report::{Check, checks};
use crate::target::{Target, error_of, expect, expect_refusal, until};

pub(crate) const WORKER: &str = "main.worker";

pub(crate) const CHECKS: &[Check] = checks! {
    "spawn" => |x| {
        let name = x.unique("spawned");
        let spawned = spawn_noted(x, &name).await?;
        expect(spawned.address(), x.address(&name))?;
        expect(x.lookup(&name).await?.is_some(), true)
    };
    "spawn by a kind in other case" => |x| {
        let name = x.unique("other-case");
        x.spawn(&name, " Main.Worker ").await?;
        expect(x.lookup(&name).await?.is_some(), true)
    };
    "spawn with a name that is taken leaves who has it" => |x| {
        let name = x.unique("taken");
        spawn_noted(x, &name).await?;
        x.spawn(&name, WORKER).await?;
        x.expect_count(&name, "noted", 1).await
    };
    "stop" => |x| {
        let name = x.unique("stopped");
        x.spawn(&name, WORKER).await?.stop().await?;
        expect_gone(x, &name).await
    };
    "stop arrives behind what was told" => |x| {
        let name = x.unique("stopped-behind");
        let spawned = x.spawn(&name, WORKER).await?;
        let before = x.system.dead_letter_count();
        for number in 1..=100 {
            spawned.tell(note("noted", number)).await?;
        }
        spawned.stop().await?;
        expect_gone(x, &name).await?;
        expect(x.system.dead_letter_count(), before)
    };
    "respawn" => |x| {
        let name = x.unique("respawned");
        spawn_noted(x, &name).await?.respawn().await?;
        x.expect_count(&name, "noted", 0).await
    };
    "reinstate" => |x| reinstate(x).await;
    "reinstate of an actor that runs" => |x| {
        x.actor("echo").reinstate().await?;
        x.expect_echo("echo").await
    };
    "poison pill" => |x| {
        let name = x.unique("poisoned");
        x.spawn(&name, WORKER).await?.tell(PoisonPill {}).await?;
        expect_gone(x, &name).await
    };
    "kinds of a node without a cluster" => |x| {
        let error = error_of(x.system.node(host::ADDRESS, x.port).kinds().await)?;
        expect_refusal(error.refusal(), "", |refusal| matches!(refusal, Refusal::Unsupported { .. }))
    };
    "watch of an actor on a Go node ends at once" => |x| watch(x).await;
};

/// Starts a worker that has one note.
async fn spawn_noted(x: &Target, name: &str) -> Result<ActorRef> {
    let spawned = x.spawn(name, WORKER).await?;
    spawned.tell(note("noted", 1)).await?;
    x.expect_count(name, "noted", 1).await?;
    Ok(spawned)
}

async fn expect_gone(x: &Target, name: &str) -> Result {
    until("the actor is gone", async || Ok(x.lookup(name).await?.is_none())).await
}

async fn reinstate(x: &Target) -> Result {
    let suspending = x.actor("suspending");
    suspending.tell(fail("error")).await?;
    until("the actor is suspended", async || match suspending.ask(text("")).await {
        Ok(_) => Ok(false),
        Err(error) => {
            // A Go node does not say which of the two.
            let is_expected = |refusal: &Refusal| *refusal == Refusal::Stopped;
            expect_refusal(error.refusal(), "", is_expected).map(|()| true)
        }
    })
    .await?;
    suspending.reinstate().await?;
    x.expect_echo("suspending").await
}

/// Watches an actor of a Go node, which cannot be done, and says how that ended.
struct Watcher {
    watched: ActorRef,
    heard: Option<oneshot::Sender<StopReason>>,
}

impl Actor for Watcher {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&self.watched);
        Ok(())
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        if let Some(heard) = self.heard.take() {
            let _ = heard.send(terminated.reason.clone());
        }
        Ok(())
    }
}

async fn watch(x: &Target) -> Result {
    let (heard, hears) = oneshot::channel();
    let (watched, heard) = (x.actor("echo"), std::sync::Mutex::new(Some(heard)));
    let watcher = move || Watcher {
        watched: watched.clone(),
        heard: heard.lock().ok().and_then(|mut heard| heard.take()),
    };
    let watcher = x.system.spawn(x.unique("watcher"), watcher).await?;
    let heard = hears.await?;
    watcher.stop().await?;
    expect(heard, StopReason::NotFound)
}
