//! What one direction of a connection carries, and when it arrives. Time is an argument.

use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

/// What a direction of a connection holds, in bytes.
const CAPACITY: usize = 256 * 1024;
/// Most bytes that a slow line takes in one piece.
const PIECE_LEN: usize = 16 * 1024;
/// For how long a slow line that was not used makes up for it: timers are no finer than this.
const BURST: Duration = Duration::from_millis(2);

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Pipe {
    under_way: VecDeque<Parcel>,
    /// Bytes under way, and those that were lost: the writer has no answer for either.
    held: usize,
    /// Nothing arrives before what was sent before it.
    last_due: Option<Instant>,
    /// When all that was written will have left, where the line is slow.
    free_at: Option<Instant>,
    /// The writer has closed its end; this is when the reader learns of it.
    end_due: Option<Instant>,
    /// Something was lost, so nothing after that arrives.
    pub(super) is_dead: bool,
    /// Of this connection alone.
    pub(super) is_stalled: bool,
    /// It takes nothing more, as if it held all that it can.
    pub(super) is_full: bool,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

/// Bytes that arrive together.
struct Parcel {
    due: Instant,
    bytes: VecDeque<u8>,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many bytes.
    Bytes(usize),
    /// The end of the stream.
    End,
    /// Nothing before that time.
    Later(Instant),
    Nothing,
}

impl Pipe {
    /// How many bytes the writer may give now, or until when it has to wait for the rate of the line.
    pub(super) fn room(&self, rate: Option<u32>, now: Instant) -> Result<usize, Instant> {
        let room = if self.is_full { 0 } else { CAPACITY - self.held };
        match (rate, self.free_at) {
            (Some(_), Some(free_at)) if free_at > now => Err(free_at),
            (Some(_), _) => Ok(room.min(PIECE_LEN)),
            (None, _) => Ok(room),
        }
    }

    /// Takes bytes, for which there is room, and delivers them after `delay`.
    pub(super) fn send(&mut self, bytes: &[u8], rate: Option<u32>, delay: Duration, now: Instant) {
        self.held += bytes.len();
        if let Some(rate) = rate {
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let takes = Duration::from_secs_f64(bytes.len() as f64 / f64::from(rate));
            self.free_at = Some(self.free_at.map_or(earliest, |at| at.max(earliest)) + takes);
        }
        if self.is_dead {
            return;
        }
        let due = self.due(delay, now);
        match self.under_way.back_mut() {
            Some(last) if last.due == due => last.bytes.extend(bytes),
            _ => self.under_way.push_back(Parcel { due, bytes: bytes.iter().copied().collect() }),
        }
    }

    /// The writer has closed its end, of which the reader learns after `delay`.
    pub(super) fn end(&mut self, delay: Duration, now: Instant) {
        if self.end_due.is_none() && !self.is_dead {
            self.end_due = Some(self.due(delay, now));
        }
    }

    fn due(&mut self, delay: Duration, now: Instant) -> Instant {
        let due = self.last_due.map_or(now + delay, |last| last.max(now + delay));
        self.last_due = Some(due);
        due
    }

    /// Whether the end has got to the reader, who may not have looked yet.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.end_due.is_some_and(|due| due <= now) && !self.is_stalled && !self.is_dead
    }

    /// Gives what has arrived to `take`, which is offered one slice after the other and says how much it took.
    pub(super) fn receive(&mut self, now: Instant, mut take: impl FnMut(&[u8]) -> usize) -> Found {
        if self.is_dead || self.is_stalled {
            return Found::Nothing;
        }
        let Some(parcel) = self.under_way.front_mut() else {
            return match self.end_due {
                Some(due) if due <= now => Found::End,
                Some(due) => Found::Later(due),
                None => Found::Nothing,
            };
        };
        if parcel.due > now {
            return Found::Later(parcel.due);
        }
        let (first, second) = parcel.bytes.as_slices();
        let mut taken = take(first);
        if taken == first.len() {
            taken += take(second);
        }
        parcel.bytes.drain(..taken);
        if parcel.bytes.is_empty() {
            self.under_way.pop_front();
        }
        self.held -= taken;
        Found::Bytes(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn received(pipe: &mut Pipe, now: Instant) -> (Vec<u8>, Found) {
        let mut bytes = Vec::new();
        loop {
            let found = pipe.receive(now, |slice| {
                bytes.extend_from_slice(slice);
                slice.len()
            });
            if !matches!(found, Found::Bytes(_)) {
                return (bytes, found);
            }
        }
    }

    #[test]
    fn what_was_sent_later_never_arrives_earlier() {
        let (mut pipe, start) = (Pipe::default(), Instant::now());
        pipe.send(b"slow", None, 50 * MS, start);
        pipe.send(b"quick", None, MS, start + MS);
        assert_eq!(received(&mut pipe, start + 49 * MS), (vec![], Found::Later(start + 50 * MS)));
        assert_eq!(received(&mut pipe, start + 50 * MS), (b"slowquick".to_vec(), Found::Nothing));
    }

    #[test]
    fn the_end_comes_after_the_bytes() {
        let (mut pipe, start) = (Pipe::default(), Instant::now());
        pipe.send(b"last", None, 5 * MS, start);
        pipe.end(Duration::ZERO, start);
        assert!(!pipe.has_ended(start + 4 * MS));
        assert!(pipe.has_ended(start + 5 * MS));
        assert_eq!(received(&mut pipe, start + 5 * MS), (b"last".to_vec(), Found::End));
    }

    #[test]
    fn what_is_lost_takes_up_room_and_ends_the_rest() {
        let (mut pipe, start) = (Pipe::default(), Instant::now());
        pipe.is_dead = true;
        pipe.send(&vec![0; CAPACITY], None, Duration::ZERO, start);
        pipe.end(Duration::ZERO, start);
        assert_eq!(pipe.room(None, start), Ok(0));
        assert_eq!(received(&mut pipe, start + MS), (vec![], Found::Nothing));
    }

    #[test]
    fn a_slow_line_takes_pieces_at_its_rate() {
        let (mut pipe, start) = (Pipe::default(), Instant::now());
        let rate = Some(1_000_000);
        assert_eq!(pipe.room(rate, start), Ok(PIECE_LEN));
        pipe.send(&[0; 10_000], rate, Duration::ZERO, start);
        let free = start + 10 * MS - BURST;
        assert_eq!(pipe.room(rate, start), Err(free));
        assert_eq!(pipe.room(rate, free), Ok(PIECE_LEN));
        assert_eq!(pipe.room(None, start), Ok(CAPACITY - 10_000));
    }
}
