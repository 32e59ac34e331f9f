//! A network: it delays, loses, repeats and reorders, and may be cut in any direction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::random::Random;

/// Between ports, which are the addresses here.
#[derive(Debug)]
pub(super) struct Network {
    /// How long a message takes, in milliseconds.
    pub(super) delay: (u64, u64),
    /// Of a thousand.
    pub(super) loss: u64,
    pub(super) twice: u64,
    /// Of what goes to or from a port.
    pub(super) loss_at: BTreeMap<u16, u64>,
    /// From the one to the other nothing gets through.
    pub(super) cuts: BTreeSet<(u16, u16)>,
    /// Who does not reach the register.
    pub(super) cut_off: BTreeSet<u16>,
    /// Nobody does.
    pub(super) outage: bool,
    /// How long each way to the register takes, in milliseconds.
    pub(super) register_delay: (u64, u64),
    /// Of what goes to the register, and comes from it.
    pub(super) register_loss: u64,
    pub(super) sent: u64,
}

impl Network {
    pub(super) fn new() -> Self {
        Self {
            delay: (0, 3),
            loss: 0,
            twice: 0,
            loss_at: BTreeMap::new(),
            cuts: BTreeSet::new(),
            cut_off: BTreeSet::new(),
            outage: false,
            register_delay: (1, 5),
            register_loss: 0,
            sent: 0,
        }
    }

    /// All is well again.
    pub(super) fn heal(&mut self) {
        let (sent, register_delay) = (self.sent, (1, 5));
        *self = Self { sent, register_delay, ..Self::new() };
    }

    /// After how long a message arrives: once, several times, or never.
    pub(super) fn carry(&mut self, from: u16, to: u16, random: &mut Random) -> Vec<Duration> {
        self.sent += 1;
        let mut times = Vec::new();
        if self.cuts.contains(&(from, to)) {
            return times;
        }
        let at = |port| self.loss_at.get(&port).copied().unwrap_or(0);
        let is_lost = |random: &mut Random| {
            random.chance(self.loss) || random.chance(at(from)) || random.chance(at(to))
        };
        for _ in 0..if random.chance(self.twice) { 2 } else { 1 } {
            if !is_lost(random) {
                times.push(random.millis(self.delay));
            }
        }
        times
    }

    /// After how long something is at the register, or back, if it gets there.
    pub(super) fn reach_register(&self, port: u16, random: &mut Random) -> Option<Duration> {
        let is_lost =
            self.outage || self.cut_off.contains(&port) || random.chance(self.register_loss);
        (!is_lost).then(|| random.millis(self.register_delay))
    }
}
