//! Random numbers of one seed, and clocks that differ in rate.

use std::time::Duration;

/// splitmix64.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below that, which is not 0.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Yes in so many of a thousand cases.
    pub(super) fn chance(&mut self, permille: u64) -> bool {
        permille > 0 && self.below(1000) < permille
    }

    /// From the one to the other, in milliseconds.
    pub(super) fn millis(&mut self, (least, most): (u64, u64)) -> Duration {
        let span = Duration::from_millis(most - least).as_micros() as u64;
        Duration::from_millis(least) + Duration::from_micros(self.below(span + 1))
    }

    pub(super) fn pick<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        match among.len() {
            0 => None,
            len => Some(among[self.below(len as u64) as usize]),
        }
    }
}

/// The clock of a node: it counts from an origin of its own, at a rate of its own, and never jumps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// What it shows at the beginning of all.
    pub(super) origin: Duration,
    /// Millionths of a second that pass on it in a second.
    pub(super) rate: u32,
}

impl Clock {
    pub(super) fn at(self, now: Duration) -> Duration {
        self.origin + self.lasts(now)
    }

    /// How long something takes on this clock.
    fn lasts(self, time: Duration) -> Duration {
        scale(time, u128::from(self.rate), 1_000_000)
    }

    /// When it shows that; at the beginning at the earliest.
    pub(super) fn when(self, shown: Duration) -> Duration {
        scale(shown.saturating_sub(self.origin), 1_000_000, u128::from(self.rate))
            .saturating_add(Duration::from_nanos(1))
    }
}

fn scale(time: Duration, by: u128, over: u128) -> Duration {
    let nanos = time.as_nanos().saturating_mul(by) / over;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
