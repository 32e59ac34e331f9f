//! Things that happen to an actor later. Each is a task that holds no actor alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::actor::{Actor, Handler};
use crate::cell::{AnyCell, Cell, Signal};
use crate::events::DeadLetter;
use crate::message::Message;
use crate::reference::ActorRef;
use crate::system::ActorSystem;

/// A message to an actor's own self, once or again and again.
#[derive(Clone, Debug)]
pub struct Timer(Arc<JoinHandle<()>>);

impl Timer {
    /// Sends nothing more. What is in the mailbox already is still handled.
    pub fn cancel(&self) {
        self.0.abort();
    }

    /// Whether nothing more will be sent.
    pub fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}

pub(crate) fn once<A: Handler<M>, M: Message>(
    cell: &Arc<Cell<A>>,
    delay: Duration,
    message: M,
) -> Timer {
    let weak = Arc::downgrade(cell);
    spawn(&cell.system, async move {
        tokio::time::sleep(delay).await;
        let Some(cell) = weak.upgrade() else { return };
        let me = ActorRef::local(cell.clone());
        if let Err(error) = me.tell(message).await {
            cell.system.dead_letter(|| DeadLetter {
                target: cell.system.address_of(&cell.path).into(),
                sender: None,
                message: crate::actor::message_name::<M>().to_owned(),
                reason: error.refusal,
                count: 1,
            });
        }
    })
}

pub(crate) fn periodic<A: Handler<M>, M: Message>(
    cell: &Arc<Cell<A>>,
    interval: Duration,
    mut make: impl FnMut() -> M + Send + 'static,
) -> Timer {
    let weak = Arc::downgrade(cell);
    spawn(&cell.system, async move {
        let interval = interval.max(Duration::from_millis(1));
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            match weak.upgrade() {
                // A full mailbox leaves this turn out, as is promised.
                Some(cell) if !cell.has_ended() => drop(ActorRef::local(cell).try_tell(make())),
                _ => return,
            }
        }
    })
}

/// Sends a signal to the actor after `delay`.
pub(crate) fn signal_after<A: Actor>(
    cell: &Arc<Cell<A>>,
    delay: Duration,
    signal: impl FnOnce() -> Signal + Send + 'static,
) {
    let weak = Arc::downgrade(cell);
    spawn(&cell.system, async move {
        tokio::time::sleep(delay).await;
        if let Some(cell) = weak.upgrade() {
            cell.signal(signal());
        }
    });
}

/// Stops the actor once it has rested for `after`.
pub(crate) fn passivate<A: Actor>(cell: &Arc<Cell<A>>, after: Duration) {
    let weak = Arc::downgrade(cell);
    spawn(&cell.system, async move {
        let mut left = after;
        loop {
            tokio::time::sleep(left).await;
            let Some(cell) = weak.upgrade().filter(|cell| !cell.has_ended()) else { return };
            let rested = cell.rested_for(now()).unwrap_or(Duration::ZERO);
            left = after.saturating_sub(rested);
            if left.is_zero() {
                cell.signal(Signal::Passivate);
                left = after;
            }
        }
    });
}

/// The runtime's clock, which tests can stop and move.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn spawn(system: &ActorSystem, future: impl Future<Output = ()> + Send + 'static) -> Timer {
    Timer(Arc::new(system.runtime().spawn(future)))
}
