//! What a payload may become when it is decoded: few bytes can be many in memory.

use crate::error::{Cause, Refusal};

use super::codec_error::CodecError;

/// Payloads below this are not looked at, in bytes: what they can become is small.
pub(crate) const SMALL_LEN: usize = 8 * 1024;

/// What is counted against the node's budget at once, in bytes. Less than that beyond the encoded bytes does not count.
const STEP: u64 = 64 * 1024;

/// A payload takes up more memory when it is decoded than `max_decoded` allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} takes up {size} bytes or more when it is decoded, and max_decoded is {limit}")]
#[non_exhaustive]
pub struct DecodedTooLarge {
    /// The wire name of the message, or the Rust name of what has none.
    pub message: &'static str,
    /// What the value takes up at least, as far as that was estimated, in bytes.
    pub size: u64,
    /// The limit in bytes.
    pub limit: u64,
}

/// Where a payload came from: how much values may take up there, and what they are counted in.
pub(crate) trait Room: Send + Sync {
    /// What a payload of `encoded` bytes may become, in bytes.
    fn max_decoded(&self, encoded: usize) -> u64;

    /// Counts nothing yet.
    fn begin(&self) -> Box<dyn Hold>;
}

/// Memory that counts until this is dropped.
pub(crate) trait Hold: Send {
    /// Counts so many bytes more.
    ///
    /// # Errors
    /// There is no room for them; they do not count.
    fn add(&mut self, bytes: u64) -> Result<(), Refusal>;

    /// Counts nothing yet, in the same place.
    fn again(&self) -> Box<dyn Hold>;
}

/// What counts for a large value of a peer, as long as it is here. While its handler is at work that is what it takes
/// up beyond its encoding: the peer has that much credit less.
pub(crate) struct Kept {
    hold: Box<dyn Hold>,
    /// What the value takes up.
    size: u64,
    counted: u64,
}

impl Kept {
    /// Has all of it count, for a value that stays when its handler is done.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn count_all(&mut self) -> Result<(), Refusal> {
        let missing = self.size.saturating_sub(self.counted);
        if missing > 0 {
            self.hold.add(missing)?;
            self.counted = self.size;
        }
        Ok(())
    }

    /// What counts for a copy.
    ///
    /// # Errors
    /// There is no room.
    pub(crate) fn of_copy(&self) -> Result<Self, Refusal> {
        let mut hold = self.hold.again();
        hold.add(self.size)?;
        Ok(Self { hold, size: self.size, counted: self.size })
    }
}

/// How much memory a value may take up that is being decoded. See
/// [`Codec::decode_within`](super::Codec::decode_within).
pub struct Allowance<'a> {
    message: &'static str,
    limit: u64,
    taken: u64,
    /// What counts already, the encoded bytes included, or need not.
    counted: u64,
    room: Option<&'a dyn Room>,
    held: Option<Box<dyn Hold>>,
    refusal: Option<Refusal>,
    encoded: u64,
}

impl std::fmt::Debug for Allowance<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { message, limit, taken, .. } = self;
        f.debug_struct("Allowance")
            .field("message", message)
            .field("limit", limit)
            .field("taken", taken)
            .finish_non_exhaustive()
    }
}

impl Allowance<'static> {
    /// So many bytes, for a value that counts nowhere.
    pub fn new(bytes: u64) -> Self {
        let message = "the value";
        Self {
            message,
            limit: bytes,
            taken: 0,
            counted: 0,
            room: None,
            held: None,
            refusal: None,
            encoded: 0,
        }
    }
}

impl<'a> Allowance<'a> {
    /// What a payload of `encoded` bytes may become.
    pub(crate) fn of(message: &'static str, encoded: usize, room: &'a dyn Room) -> Self {
        let (limit, encoded) = (room.max_decoded(encoded), encoded as u64);
        Self {
            message,
            limit,
            taken: 0,
            counted: limit.min(encoded + STEP),
            room: Some(room),
            held: None,
            refusal: None,
            encoded,
        }
    }

    /// Takes `bytes` of it, before memory of that size is reserved.
    ///
    /// # Errors
    /// So much is not left. The value is refused then, whatever its codec says.
    #[inline]
    pub fn take(&mut self, bytes: u64) -> Result<(), CodecError> {
        self.taken = self.taken.saturating_add(bytes);
        if self.taken <= self.counted { Ok(()) } else { self.count() }
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.limit.saturating_sub(self.taken)
    }

    fn count(&mut self) -> Result<(), CodecError> {
        let Self { message, limit, taken: size, .. } = *self;
        if size > limit {
            let error = CodecError::new(DecodedTooLarge { message, size, limit });
            let source = Cause::from(error.clone());
            self.refusal.get_or_insert(Refusal::Undecodable { source });
            return Err(error);
        }
        let Some(room) = self.room else {
            self.counted = limit;
            return Ok(());
        };
        let bytes = (size - self.counted).max(STEP.min(limit - self.counted));
        match self.held.get_or_insert_with(|| room.begin()).add(bytes) {
            Ok(()) => {
                self.counted += bytes;
                Ok(())
            }
            Err(refusal) => {
                let error = CodecError::new(refusal.clone());
                self.refusal.get_or_insert(refusal);
                Err(error)
            }
        }
    }

    /// What a codec made of a payload, and what counts for it.
    pub(crate) fn end<T>(self, decoded: Result<T, CodecError>) -> Result<Decoded<T>, Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let value = decoded.map_err(|error| Refusal::Undecodable { source: Cause::from(error) })?;
        let size = self.taken.max(self.encoded);
        let free = self.limit.min(self.encoded + STEP);
        let kept = self.room.map(|room| match self.held {
            Some(hold) => Kept { hold, size, counted: self.counted.saturating_sub(free) },
            None => Kept { hold: room.begin(), size, counted: 0 },
        });
        Ok(Decoded { value, kept })
    }
}

/// A value that a peer sent.
pub(crate) struct Decoded<T> {
    pub(crate) value: T,
    /// What counts as long as the value is here, where that may be much.
    pub(crate) kept: Option<Kept>,
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::error::Bound;

    /// Room that is told what is held in it.
    #[derive(Default)]
    pub(crate) struct TestRoom {
        pub(crate) max: u64,
        pub(crate) room: u64,
        pub(crate) held: Arc<AtomicU64>,
    }

    struct TestHold(u64, u64, Arc<AtomicU64>);

    impl Room for TestRoom {
        fn max_decoded(&self, _: usize) -> u64 {
            self.max
        }

        fn begin(&self) -> Box<dyn Hold> {
            Box::new(TestHold(0, self.room, self.held.clone()))
        }
    }

    impl Hold for TestHold {
        fn again(&self) -> Box<dyn Hold> {
            Box::new(Self(0, self.1, self.2.clone()))
        }

        fn add(&mut self, bytes: u64) -> Result<(), Refusal> {
            if self.0 + bytes > self.1 {
                let bound = Bound::MessageMemory;
                return Err(Refusal::ResourceExhausted { bound, limit: self.1 });
            }
            self.0 += bytes;
            self.2.fetch_add(bytes, Ordering::Relaxed);
            Ok(())
        }
    }

    impl Drop for TestHold {
        fn drop(&mut self) {
            self.2.fetch_sub(self.0, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_beyond_the_encoded_bytes_counts_until_the_value_is_gone() {
        let room = TestRoom { max: 1 << 20, room: 1 << 20, held: Arc::default() };
        let mut allowance = Allowance::of("tests.Note", 1000, &room);
        allowance.take(1000 + STEP).expect("that counts already, or is little");
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
        allowance.take(1).expect("there is room");
        assert_eq!(room.held.load(Ordering::Relaxed), STEP);
        allowance.take(3 * STEP).expect("there is room");
        assert_eq!(room.held.load(Ordering::Relaxed), 3 * STEP + 1);
        let decoded = allowance.end(Ok(())).expect("it was decoded");
        drop(decoded.kept);
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_value_that_stays_counts_whole_and_so_does_each_copy() {
        let held = |room: &TestRoom| room.held.load(Ordering::Relaxed);
        let room = TestRoom { max: 1 << 20, room: 10_000, held: Arc::default() };
        let allowance = Allowance::of("tests.Note", 10_000, &room);
        let mut kept = allowance.end(Ok(())).expect("it was decoded").kept.expect("it is large");
        assert_eq!(held(&room), 0, "its bytes count elsewhere");
        kept.count_all().expect("there is room");
        kept.count_all().expect("it counts already");
        let copy = kept.of_copy().expect("there is room");
        assert_eq!(held(&room), 20_000);
        drop(kept);
        assert_eq!(held(&room), 10_000);
        drop(copy);
        assert_eq!(held(&room), 0);
        let allowance = Allowance::of("tests.Note", 10_001, &room);
        let mut kept = allowance.end(Ok(())).expect("it was decoded").kept.expect("it is large");
        assert!(kept.count_all().is_err() && kept.of_copy().is_err(), "it does not fit");
        assert_eq!(held(&room), 0);
    }

    #[test]
    fn a_limit_below_the_encoded_bytes_holds() {
        let room = TestRoom { max: 100, room: 1 << 20, held: Arc::default() };
        let mut allowance = Allowance::of("tests.Note", 1000, &room);
        allowance.take(100).expect("it is allowed");
        assert!(allowance.take(1).is_err());
    }

    #[test]
    fn what_is_refused_stays_refused_whatever_the_codec_says() {
        let room = TestRoom { max: 2 * STEP, room: 1 << 20, held: Arc::default() };
        let mut allowance = Allowance::of("tests.Note", 0, &room);
        allowance.take(2 * STEP).expect("it is allowed");
        assert_eq!(allowance.left(), 0);
        let told = allowance.take(1).expect_err("it is too much");
        let expected =
            DecodedTooLarge { message: "tests.Note", size: 2 * STEP + 1, limit: 2 * STEP };
        assert_eq!(told.to_string(), expected.to_string());
        let refusal = allowance.end(Ok(())).map(drop).expect_err("it was refused");
        assert_eq!(refusal, Refusal::Undecodable { source: Cause::new(expected) });
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_value_for_which_the_node_has_no_room_is_refused_as_that() {
        let room = TestRoom { max: 1 << 20, room: STEP, held: Arc::default() };
        let mut allowance = Allowance::of("tests.Note", 0, &room);
        allowance.take(2 * STEP).expect("there is room");
        assert!(allowance.take(1).is_err());
        let refusal = allowance.end(Ok(())).map(drop).expect_err("there is no room");
        assert!(matches!(refusal, Refusal::ResourceExhausted { limit: STEP, .. }));
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
    }
}
