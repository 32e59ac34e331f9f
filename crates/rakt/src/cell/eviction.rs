//! How an actor ends whose node may not run it any more.

use super::Cell;
use crate::error::Refusal;
use crate::events::{Event, StopReason};
use crate::mailbox::arrivals::Reachable;
use crate::reference::AnyCell;
use crate::signal::Signal;

impl<B: Send + 'static, D: Copy + Send + Sync + 'static> Cell<B, D> {
    /// Ends it, unless it has ended: nothing of it runs where its node may not run it.
    pub(super) fn end_without_code(&self, refusal: &Refusal) {
        if self.has_ended() {
            return;
        }
        self.abandon(refusal);
        // What it waits for is over.
        self.kill();
        self.system.forget(self);
        let reason = StopReason::Failed("its node is no member of the cluster any more".into());
        let path = || self.path.to_string();
        self.system.publish(|| Event::ActorStopped { path: path(), reason: reason.clone() });
        self.end(&reason);
        if let Some(parent) = &self.parent {
            parent.signal(Signal::ChildGone { uid: self.uid });
        }
    }
}
