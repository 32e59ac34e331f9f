//! What most actors do without: signals that wait, and watchers.

use std::collections::HashMap;
use std::time::Instant;

use crate::events::StopReason;
use crate::signal::{Notify, Signal, WatchKey, Watcher};

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
