//! What concerns an actor's life rather than its work: signals, and who wants to know of its end.

use std::sync::Weak;

use tokio::sync::oneshot;

use crate::error::{Cause, Refusal};
use crate::events::{StopReason, Terminated, WatchId};
use crate::supervision::{Decision, Fault};

/// Who takes signals.
pub(crate) trait Signalled: Send + Sync {
    fn signal(&self, signal: Signal);
}

/// What concerns an actor's life rather than its work; handled before further messages.
pub(crate) enum Signal {
    /// Take in nothing more; with `finish`, handle what is queued; then stop.
    Stop { finish: bool, reason: StopReason },
    /// Stop if still idle since then.
    Passivate,
    /// Build the actor anew.
    Respawn(oneshot::Sender<Result<(), Refusal>>),
    /// This pause before a restart is over.
    RestartDue { pause: u32 },
    /// Take messages again.
    Reinstate(oneshot::Sender<Result<(), Refusal>>),
    /// A sibling failed under one for all, and this is what concerns all.
    Apply { decision: Decision, cause: Cause },
    /// A child failed under one for all: pass the decision on to the others.
    ApplyToOthers { failed: u64, decision: Decision, cause: Cause },
    /// A child's supervision escalated.
    ChildFailed { path: String, cause: Cause },
    /// A child has ended.
    ChildGone { uid: u64 },
    /// A watched actor has ended.
    Terminated(Terminated),
    /// What runs beside the actor has panicked, unless what set it up is gone.
    TaskFailed { life: Weak<()>, fault: Fault },
}

/// Who wants to know of an actor's end.
pub(crate) enum Watcher {
    Actor {
        watcher: Weak<dyn Signalled>,
        watch: WatchId,
    },
    Once(oneshot::Sender<StopReason>),
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    Call {
        key: WatchKey,
        notify: Notify,
    },
}

/// A connection, and its number for the watch.
pub(crate) type WatchKey = (u64, u64);

pub(crate) type Notify = Box<dyn FnOnce(&StopReason) + Send>;

impl Signal {
    pub(crate) fn is_wanted(&self) -> bool {
        match self {
            Self::Respawn(done) | Self::Reinstate(done) => !done.is_closed(),
            _ => true,
        }
    }
}

/// A signal came too late: whoever waits for an answer hears so.
pub(crate) fn refuse_signal(signal: Signal) {
    match signal {
        Signal::Respawn(done) | Signal::Reinstate(done) => {
            drop(done.send(Err(Refusal::Stopped)));
        }
        _ => {}
    }
}
