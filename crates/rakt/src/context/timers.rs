//! Messages to an actor's own self. Each is a task that holds no actor alive.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::state::ActorCell;
use crate::events::DeadLetter;
use crate::mailbox::letter::{About, Asker, Letter};
use crate::message::{Message, message_name};
use crate::reference::{ActorRef, AnyCell, Target};
use crate::send::message_for::MessageFor;
use crate::timers::Timer;

pub(crate) fn once<A: Send + 'static, M: Message + MessageFor<A>>(
    cell: &Arc<ActorCell<A>>,
    delay: Duration,
    message: M,
) -> Timer {
    let weak = Arc::downgrade(cell);
    Timer::start(cell.system.runtime(), async move {
        tokio::time::sleep(delay).await;
        let Some(cell) = weak.upgrade() else { return };
        let me = ActorRef::<A>::from_target(Target::Local(cell.clone()));
        if let Err(error) = me.tell(message).await {
            cell.system.dead_letter(|| DeadLetter {
                target: cell.address().into(),
                sender: None,
                message: message_name::<M>().to_owned(),
                reason: error.refusal,
                count: 1,
            });
        }
    })
}

pub(crate) fn periodic<A: Send + 'static, M: Message + MessageFor<A>>(
    cell: &Arc<ActorCell<A>>,
    interval: Duration,
    mut make: impl FnMut() -> M + Send + 'static,
) -> Timer {
    let weak = Arc::downgrade(cell);
    Timer::start(cell.system.runtime(), async move {
        let interval = interval.max(Duration::from_millis(1));
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        // There while the turn before has not been handled.
        let mut before = Weak::new();
        loop {
            ticks.tick().await;
            match weak.upgrade() {
                Some(cell) if !cell.has_ended() => {
                    if before.strong_count() == 0 {
                        before = push(&*cell, make());
                    }
                }
                _ => return,
            }
        }
    })
}

/// Puts a message in the mailbox, unless that is full; what it returns is there until it is handled.
fn push<A: Send + 'static, M: Message + MessageFor<A>>(
    cell: &ActorCell<A>,
    message: M,
) -> Weak<()> {
    let token = Arc::new(());
    let weak = Arc::downgrade(&token);
    let about = Some(Box::new(About { token: Some(token), ..About::default() }));
    let mut letter = Some(Letter { message, asker: Asker(None), sender: None, about });
    // What is not accepted is dropped with its token.
    M::push(cell, &mut letter, None);
    weak
}
