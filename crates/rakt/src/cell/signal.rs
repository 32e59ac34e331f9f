//! What concerns an actor's life rather than its work: signals that wait for it, and who wants to know
//! of its end.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::sync::oneshot;

use super::AnyCell;
use crate::error::Refusal;
use crate::events::{StopReason, Terminated};
use crate::supervision::Decision;

/// What most actors do without.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) signals: Vec<Signal>,
    /// A stop after what is queued is among the signals: one more would say nothing new.
    pub(super) will_finish: bool,
    pub(super) watchers: Vec<Watcher>,
    /// Who is called at the end, by key: peers make many of them, and take them back one by one.
    pub(super) calls: HashMap<WatchKey, Notify>,
    pub(super) ended: Option<StopReason>,
    /// Since when the actor has had nothing to do, be it dozing or resting; kept only where
    /// passivation needs it.
    pub(super) rested: Option<Instant>,
}

/// From this many on, those that nobody waits for any more are looked for when one is added.
pub(super) const MANY: usize = 64;

impl Rare {
    pub(super) fn add_signal(&mut self, signal: Signal) {
        if let Signal::Stop { finish: true, .. } = signal
            && std::mem::replace(&mut self.will_finish, true)
        {
            return;
        }
        // A peer that gives up at once could otherwise pile up any number on a busy actor.
        if self.signals.len() >= MANY && self.signals.len().is_power_of_two() {
            self.signals.retain(Signal::is_wanted);
        }
        self.signals.push(signal);
    }

    pub(super) fn add_watcher(&mut self, watcher: Watcher) {
        if let Watcher::Call { key, notify } = watcher {
            self.calls.insert(key, notify);
            return;
        }
        if self.watchers.len() >= MANY && self.watchers.len().is_power_of_two() {
            self.watchers.retain(Watcher::is_there);
        }
        self.watchers.push(watcher);
    }
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
    Apply { decision: Decision, fault: Arc<str> },
    /// A child failed under one for all: pass the decision on to the others.
    ApplyToOthers { failed: u64, decision: Decision, fault: Arc<str> },
    /// A child's supervision escalated.
    ChildFailed { text: String },
    /// A child has ended.
    ChildGone { uid: u64 },
    /// A watched actor has ended.
    Terminated { watch: u64, terminated: Terminated },
}

/// Who wants to know of an actor's end.
pub(crate) enum Watcher {
    Actor { watcher: Weak<dyn AnyCell>, watch: u64 },
    Once(oneshot::Sender<StopReason>),
    Call { key: WatchKey, notify: Notify },
}

/// A connection, and its number for the watch.
pub(crate) type WatchKey = (u64, u64);

pub(crate) type Notify = Box<dyn FnOnce(&StopReason) + Send>;

impl Signal {
    fn is_wanted(&self) -> bool {
        match self {
            Self::Respawn(done) | Self::Reinstate(done) => !done.is_closed(),
            _ => true,
        }
    }
}

impl Watcher {
    fn is_there(&self) -> bool {
        match self {
            Self::Actor { watcher, .. } => watcher.strong_count() > 0,
            Self::Once(sender) => !sender.is_closed(),
            Self::Call { .. } => true,
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
