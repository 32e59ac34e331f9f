//! What most actors do without: signals that wait, and watchers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Weak;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::events::{StopReason, WatchId};
use crate::signal::{Notify, Signal, Signalled, WatchKey, Watcher};
use crate::timers::Due;

/// What most actors do without.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) signals: Vec<Signal>,
    /// A stop after what is queued is among the signals: one more would say nothing new.
    pub(super) will_finish: bool,
    /// Actors that watch this one.
    pub(super) watchers: BTreeMap<WatchId, Weak<dyn Signalled>>,
    /// Who waits for the end.
    pub(super) waiting: Vec<oneshot::Sender<StopReason>>,
    /// Who is called at the end, by key: peers make many of them, and take them back one by one.
    #[expect(clippy::box_collection, reason = "few actors have any, and many have the rest")]
    pub(super) calls: Option<Box<HashMap<WatchKey, Notify>>>,
    pub(super) ended: Option<StopReason>,
    /// What its code waits for is not waited for any more.
    pub(super) is_killed: bool,
    /// Since when the actor has had nothing to do, be it dozing or resting; kept only where
    /// passivation needs it.
    pub(super) rested: Option<Instant>,
    /// Looks now and then for how long it has rested.
    pub(super) passivation: Option<Due>,
    /// Ends the pause before a restart.
    pub(super) pause: Option<Due>,
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

    /// The actor has ended, or is told to.
    pub(super) fn is_to_end(&self) -> bool {
        let stops = |signal: &Signal| matches!(signal, Signal::Stop { .. });
        self.ended.is_some() || self.signals.iter().any(stops)
    }

    /// Adds a watcher. What that costs does not grow with their number.
    pub(super) fn add_watcher(&mut self, watcher: Watcher) {
        let is_time = |len: usize| len >= MANY && len.is_power_of_two();
        match watcher {
            Watcher::Call { key, notify } => {
                self.calls.get_or_insert_default().insert(key, notify);
            }
            Watcher::Actor { watcher, watch } => {
                if is_time(self.watchers.len()) {
                    self.watchers.retain(|_, watcher| watcher.strong_count() > 0);
                }
                self.watchers.insert(watch, watcher);
            }
            Watcher::Once(sender) => {
                if is_time(self.waiting.len()) {
                    self.waiting.retain(|sender| !sender.is_closed());
                }
                self.waiting.push(sender);
            }
        }
    }
}
