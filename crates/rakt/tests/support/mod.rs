//! What the tests share: a limit for everything that waits, and a gate to hold an actor still.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// How long anything may take that is bound to happen. No machine is so slow.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Waits for something that is bound to happen, and fails the test if it does not.
///
/// On a paused clock it fails as soon as nothing in the process can make progress.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(LIMIT, future).await.expect("it happens in time")
}

/// Has a future run until it has to wait.
pub(crate) async fn begun<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
    let mut future = Box::pin(future);
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx)));
    assert!(first.await.is_pending());
    future
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
