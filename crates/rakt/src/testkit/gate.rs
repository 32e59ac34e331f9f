//! A place at which a handler waits for the test.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::wait::within;

/// Holds a handler still until the test lets it go on: so a test has an actor that is busy, for as long as it wants.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::testkit::Gate;
///
/// struct Slow(Gate);
/// impl Actor for Slow {}
///
/// #[derive(Message)]
/// struct Work;
///
/// impl Handler<Work> for Slow {
///     async fn handle(&mut self, _: Work, _: &mut Context<Self>) -> Result {
///         self.0.pass().await;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result {
/// let system = ActorSystem::builder("test").start().await?;
/// let gate = Gate::default();
/// let at_gate = gate.clone();
/// let slow = system.spawn("slow", move || Slow(at_gate.clone())).await?;
/// slow.tell(Work).await?;
/// gate.entered().await;
/// slow.tell(Work).await?;
/// assert_eq!(slow.queue_len(), Some(1)); // it waits behind the first
/// gate.open();
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self { entered: closed(), open: closed() }
    }
}

impl Gate {
    /// In the handler: says that it is here, and waits to be let through.
    ///
    /// # Cancel safety
    /// If the future is dropped while it waits, the next one to pass is let through in its place.
    pub async fn pass(&self) {
        self.entered.add_permits(1);
        take_one(&self.open).await;
    }

    /// In the test: waits until a handler stands at the gate, each that has come once.
    ///
    /// # Panics
    /// If none comes within the [limit](super::LIMIT).
    #[track_caller]
    pub fn entered(&self) -> impl Future<Output = ()> + '_ {
        within(take_one(&self.entered))
    }

    /// Lets one handler through, also one that comes later.
    pub fn open(&self) {
        self.open.add_permits(1);
    }
}

async fn take_one(semaphore: &Semaphore) {
    semaphore.acquire().await.expect("it is never closed").forget();
}
