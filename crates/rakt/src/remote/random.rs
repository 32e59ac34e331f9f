//! Randomness, which a seed makes repeat.

use std::time::Duration;

use crate::sync::Mutex;

pub(crate) struct Random {
    rng: Mutex<fastrand::Rng>,
    is_seeded: bool,
}

impl Random {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let rng = Mutex::new(fastrand::Rng::with_seed(seed.unwrap_or_else(random_seed)));
        Self { rng, is_seeded: seed.is_some() }
    }

    /// Bytes that nobody can guess, unless there is a seed.
    pub(crate) fn id(&self) -> [u8; 16] {
        let mut id = self.rng.lock().u128(..).to_be_bytes();
        if !self.is_seeded {
            // All of the operating system's randomness, not the 64 bits of a seed.
            let _ = getrandom::fill(&mut id);
        }
        id
    }

    /// Brings things into any order.
    pub(crate) fn shuffle<T>(&self, things: &mut [T]) {
        self.rng.lock().shuffle(things);
    }

    /// A duration between half of `full` and `full`.
    pub(crate) fn jittered(&self, full: Duration) -> Duration {
        full.mul_f64(0.5 + self.rng.lock().f64() / 2.0)
    }
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    // Without randomness from the operating system, the addresses and times of this process.
    match getrandom::fill(&mut seed) {
        Ok(()) => u64::from_be_bytes(seed),
        Err(_) => fastrand::u64(..),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_lost_a_peer_do_not_come_back_at_one_time() {
        let (random, full) = (Random::new(None), Duration::from_secs(5));
        let pauses: Vec<_> = (0..100).map(|_| random.jittered(full)).collect();
        assert!(pauses.iter().all(|pause| (full / 2..=full).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
