//! The requests that have no answer yet: a generational slab.

/// Most requests at a time: the place of one is the low 16 bits of its number.
pub(super) const MAX_PENDING: u32 = 1 << PLACE_BITS;

const PLACE_BITS: u32 = 16;
const GENERATION_MASK: u64 = u64::MAX >> PLACE_BITS;

/// What the host keeps for each request, by number. A number is a place and how often the place was used,
/// so that a late answer finds nobody.
#[derive(Debug)]
pub(super) struct Pending<P> {
    places: Vec<Place<P>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place<P> {
    /// 48 bits: a number does not come again in the life of a connection.
    generation: u64,
    kept: Option<P>,
}

impl<P> Pending<P> {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.places.len().saturating_sub(self.free.len())
    }

    /// Keeps a request, and gives it its number. The caller has seen that there are fewer than
    /// [`MAX_PENDING`].
    #[inline]
    pub(super) fn add(&mut self, kept: P) -> u64 {
        let free = self.free.pop().and_then(|at| Some((at, self.places.get_mut(at as usize)?)));
        let (at, generation) = match free {
            Some((at, place)) => {
                place.kept = Some(kept);
                (at, place.generation)
            }
            None => {
                self.places.push(Place { generation: 0, kept: Some(kept) });
                (self.places.len().saturating_sub(1) as u32, 0)
            }
        };
        debug_assert!(at < MAX_PENDING, "requests in flight are bounded");
        generation << PLACE_BITS | u64::from(at)
    }

    #[inline]
    pub(super) fn remove(&mut self, corr: u64) -> Option<P> {
        let at = (corr & u64::from(MAX_PENDING.saturating_sub(1))) as u32;
        let place = self.places.get_mut(at as usize)?;
        if place.generation != corr >> PLACE_BITS {
            return None;
        }
        let kept = place.kept.take()?;
        place.generation = place.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(at);
        Some(kept)
    }

    pub(super) fn take_all(&mut self) -> Vec<P> {
        let Self { places, .. } = std::mem::replace(self, Self::new());
        places.into_iter().filter_map(|place| place.kept).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_finds_nobody() {
        let mut pending = Pending::new();
        let first = pending.add("first");
        assert_eq!(pending.remove(first), Some("first"));
        let second = pending.add("second");
        assert_ne!(first, second);
        assert_eq!(pending.remove(first), None, "the place is another request's now");
        assert_eq!(pending.remove(second), Some("second"));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn every_place_is_used_and_each_has_its_own_number() {
        let mut pending = Pending::new();
        let numbers: Vec<_> = (0..MAX_PENDING).map(|n| pending.add(n)).collect();
        assert_eq!(pending.len(), MAX_PENDING as usize);
        for (n, corr) in (0..).zip(&numbers) {
            assert_eq!(pending.remove(*corr), Some(n));
        }
        assert_eq!(pending.len(), 0);
    }
}
