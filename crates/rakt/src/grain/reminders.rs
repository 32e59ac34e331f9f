//! Messages to grains that do not live: reminders, which are kept in the store.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::Grain;
use super::store::{AnyStore, DueReminder, Reminder};
use crate::actor::Handler;
use crate::context::Context;
use crate::error::{Chain, Result};
use crate::log::may_log;
use crate::message::Message;
use crate::system::core::ActorSystem;

/// So many are seen to at once.
const AT_ONCE: usize = 64;

/// So many are looked at for as many of those that this node sees to.
const LOOKED_AT: usize = 64 * AT_ONCE;

/// How long after a reminder at which its grain has failed it comes again.
const AGAIN: Duration = Duration::from_secs(10);

/// Tells a grain that a reminder is due.
pub(super) struct Reminded {
    name: String,
}

impl Message for Reminded {
    type Reply = ();
}

impl<G: Grain> Handler<Reminded> for G {
    async fn handle(&mut self, reminded: Reminded, ctx: &mut Context<Self>) -> Result {
        self.reminded(&reminded.name, ctx).await
    }
}

/// Sees to the reminders of a kind until the system shuts down.
pub(super) fn begin<G: Grain>(store: Arc<dyn AnyStore>, interval: Duration, system: &ActorSystem) {
    let over = system.shutdown_begun();
    let reminding = {
        let system = system.clone();
        async move {
            loop {
                tokio::time::sleep(interval).await;
                while see_to_some::<G>(&system, &store).await {}
            }
        }
    };
    system.runtime().spawn(async move {
        tokio::select! {
            () = over => {}
            () = reminding => {}
        }
    });
}

/// Sees to those that are due first. Says whether there may be more: not where one cannot be moved on, and would come again
/// at once.
async fn see_to_some<G: Grain>(system: &ActorSystem, store: &Arc<dyn AnyStore>) -> bool {
    // Each node of a cluster has its part of them.
    let is_ours =
        |due: &DueReminder| system.cluster().is_none_or(|cluster| cluster.is_owner(&due.grain));
    let (mut most, now) = (AT_ONCE, SystemTime::now());
    let (mut due, is_full) = loop {
        let due = match store.due(G::KIND, now, most).await {
            Ok(due) => due,
            Err(error) => {
                if may_log("reminders cannot be read", G::KIND) {
                    let error = Chain(&error);
                    tracing::warn!(kind = G::KIND, %error, "reminders cannot be read");
                }
                return false;
            }
        };
        let is_full = due.len() == most;
        let ours: Vec<_> = due.into_iter().filter(is_ours).collect();
        // Those of others, who may not see to them, must not be in the way of ours.
        if !is_full || ours.len() >= AT_ONCE || most >= LOOKED_AT {
            break (ours, is_full);
        }
        most *= 4;
    };
    due.truncate(AT_ONCE);
    let mut is_more = is_full && !due.is_empty();
    let mut seen_to = JoinSet::new();
    for due in due {
        seen_to.spawn(remind::<G>(system.clone(), store.clone(), due));
    }
    while let Some(moved_on) = seen_to.join_next().await {
        is_more &= moved_on.unwrap_or(false);
    }
    is_more
}

/// Tells a grain of a reminder, and says whether the store has moved that on.
async fn remind<G: Grain>(system: ActorSystem, store: Arc<dyn AnyStore>, due: DueReminder) -> bool {
    let grain = system.grain::<G>(due.grain.key());
    let reminded = grain.ask(Reminded { name: due.name.clone() }).await;
    let next = match reminded {
        Ok(()) => next(due.reminder, SystemTime::now()),
        Err(error) => {
            if may_log("a reminder was not handled", G::KIND) {
                let (reminder, error) = (&due.name, Chain(&error));
                tracing::warn!(%grain, reminder, %error, "a reminder was not handled");
            }
            Some(Reminder { due: SystemTime::now() + AGAIN, ..due.reminder })
        }
    };
    let Err(error) = store.settle(&due, next).await else { return true };
    if may_log("a reminder cannot be moved on", G::KIND) {
        let (reminder, error) = (&due.name, Chain(&error));
        tracing::warn!(%grain, reminder, %error, "a reminder cannot be moved on, and comes again");
    }
    false
}

/// The one after `last`, which was handled by `now`: what was missed is left out.
fn next(last: Reminder, now: SystemTime) -> Option<Reminder> {
    let every = last.every?.max(Duration::from_millis(1));
    let late = now.duration_since(last.due).unwrap_or_default();
    let turns = u32::try_from(late.as_nanos() / every.as_nanos() + 1).unwrap_or(u32::MAX);
    let due = last.due.checked_add(every.saturating_mul(turns))?;
    Some(Reminder { due, ..last })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn what_was_missed_is_left_out() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let due = |seconds, every: Option<u64>| Reminder {
            due: at(seconds),
            every: every.map(Duration::from_secs),
        };
        assert_eq!(next(due(100, None), at(100)), None);
        assert_eq!(next(due(100, Some(10)), at(100)), Some(due(110, Some(10))));
        assert_eq!(next(due(100, Some(10)), at(109)), Some(due(110, Some(10))));
        assert_eq!(next(due(100, Some(10)), at(110)), Some(due(120, Some(10))));
        assert_eq!(next(due(100, Some(10)), at(1005)), Some(due(1010, Some(10))));
        assert_eq!(
            next(due(100, Some(10)), at(50)),
            Some(due(110, Some(10))),
            "the clock went back"
        );
        let never = Reminder { due: at(0), every: Some(Duration::MAX) };
        assert_eq!(next(never, at(5)), None);
    }
}
