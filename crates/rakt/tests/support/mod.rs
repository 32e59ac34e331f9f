//! What the tests share and the kit for users has not: futures that have begun, and events by what they are about.

#[allow(dead_code, reason = "not every test program needs it")]
pub(crate) mod lines;

#[allow(unused_imports, reason = "not every test program needs each of them")]
pub(crate) use rakt::testkit::{Gate, LIMIT, within};

/// Has a future run until it has to wait.
pub(crate) async fn begun<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
    let mut future = Box::pin(future);
    let first = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx)));
    assert!(first.await.is_pending());
    future
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
