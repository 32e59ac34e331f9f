//! What a test has decided for the calls to something that is to fail: by name, or by chance.

use std::collections::VecDeque;

/// The decisions about calls (`C`), each of which is a fault (`F`); how likely they are (`O`), and what was written (`W`).
pub(super) struct Plan<C, F, O, W> {
    next: VecDeque<(C, F)>,
    pub(super) down: bool,
    pub(super) odds: O,
    random: fastrand::Rng,
    calls: Vec<C>,
    pub(super) writes: Vec<W>,
}

impl<C: Copy + PartialEq, F, O, W> Plan<C, F, O, W> {
    pub(super) fn seeded(seed: u64, odds: O) -> Self {
        Self {
            next: VecDeque::new(),
            down: false,
            odds,
            random: fastrand::Rng::with_seed(seed),
            calls: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// What happens to the next call of that sort of which nothing was said yet.
    pub(super) fn name(&mut self, call: C, fault: F) {
        self.next.push_back((call, fault));
    }

    /// How often it was called so.
    pub(super) fn calls(&self, call: C) -> usize {
        self.calls.iter().filter(|made| **made == call).count()
    }

    /// What happens to a call: what was said of it, or what `chance` makes of two numbers from 0 to 1.
    pub(super) fn decide(&mut self, call: C, chance: impl FnOnce(&Self, f64, f64) -> F) -> F {
        self.calls.push(call);
        // Drawn whether they are needed or not: a script does not change what comes after it.
        let (draw, part) = (self.random.f64(), self.random.f64());
        let at = self.next.iter().position(|(next, _)| *next == call);
        match at.and_then(|at| self.next.remove(at)) {
            Some((_, fault)) => fault,
            None => chance(self, draw, part),
        }
    }
}

/// The fault whose share a number from 0 to 1 falls in; nothing if it is beyond them all.
pub(super) fn drawn<F>(draw: f64, shares: impl IntoIterator<Item = (f64, F)>) -> Option<F> {
    let mut sum = 0.0;
    let drawn = shares.into_iter().find(|(share, _)| {
        sum += share;
        draw < sum
    });
    drawn.map(|(_, fault)| fault)
}
