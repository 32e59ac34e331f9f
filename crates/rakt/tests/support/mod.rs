//! What the tests share: a limit for everything that waits, and a gate to hold an actor still.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use rakt::prelude::*;
use tokio::sync::Notify;

/// Waits for something that is bound to happen, and fails the test if it does not.
///
/// On a paused clock it fails as soon as nothing in the process can make progress.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it happens in time")
}

pub(crate) async fn system() -> ActorSystem {
    ActorSystem::builder("tests").start().await.expect("a system starts")
}

/// Holds a handler still until the test lets it go on.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gate {
    /// In the handler: says that it is here, and waits to be let through.
    pub(crate) async fn pass(&self) {
        self.entered.notify_one();
        self.open.notified().await;
    }

    /// In the test: waits until a handler stands at the gate.
    pub(crate) async fn entered(&self) {
        within(self.entered.notified()).await;
    }

    /// Lets one handler through.
    pub(crate) fn open(&self) {
        self.open.notify_one();
    }
}

/// The next event that `choose` makes something of.
pub(crate) async fn event<T>(
    events: &mut rakt::Events,
    choose: impl FnMut(rakt::Event) -> Option<T>,
) -> T {
    within(events.find(choose)).await.expect("the system is there")
}

/// Waits until the actor at `path` has ended.
pub(crate) async fn stopped(events: &mut rakt::Events, path: &str) -> rakt::StopReason {
    event(events, |event| match event {
        rakt::Event::ActorStopped { path: other, reason } if other == path => Some(reason),
        _ => None,
    })
    .await
}

/// Waits until nothing is left in the mailbox, for tests where a question would find it full.
pub(crate) async fn drained<A>(actor: &ActorRef<A>) {
    within(async {
        while actor.queue_len() != Some(0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
