//! How requests end: the future that waits, and the table of those that have no answer yet.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rakt_wire::Outcome;

use super::Conn;
use crate::error::Refusal;
use crate::slot::{Answer, Slot};

/// How a request ended.
pub(crate) enum Fate {
    Reply(Reply),
    /// The outcome of an operation.
    Outcome(Outcome),
    Refused(Refusal),
    /// The connection ended first.
    Lost(String),
    /// An answer came that is none to what was asked.
    #[cfg(feature = "goakt")]
    BadReply(String),
}

impl Fate {
    /// Its label in the metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Reply(_) | Self::Outcome(_) => "reply",
            #[cfg(feature = "goakt")]
            Self::BadReply(_) => "reply",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
        }
    }
}

/// A reply as it came.
pub(crate) struct Reply {
    pub(crate) bytes: Bytes,
    /// Set when they are compressed: the length they have when they are not, and who knows how.
    pub(crate) compressed: Option<(u32, Arc<Conn>)>,
}

impl Reply {
    /// The payload, without compression.
    pub(crate) fn open(self) -> Result<Bytes, Refusal> {
        match self.compressed {
            None => Ok(self.bytes),
            Some((raw_len, conn)) => conn.decompress(&self.bytes, raw_len),
        }
    }
}

/// The future of a request's end. Dropped before that, it cancels the request.
pub(crate) struct RemoteAnswer {
    answer: Answer<Fate>,
    /// Who is to be told when nobody waits any more, and of which request. Without one it is enough that
    /// the slot is abandoned.
    cancels: Option<(Arc<Conn>, u64)>,
}

impl RemoteAnswer {
    pub(super) fn over(conn: Arc<Conn>, corr: u64, answer: Answer<Fate>) -> Self {
        Self { answer, cancels: Some((conn, corr)) }
    }

    #[cfg(feature = "goakt")]
    pub(crate) fn of_slot(answer: Answer<Fate>) -> Self {
        Self { answer, cancels: None }
    }

    /// The request was not sent: there is nothing to cancel. Returns its number.
    pub(super) fn defuse(mut self) -> Option<u64> {
        self.cancels.take().map(|(_, corr)| corr)
    }
}

impl Future for RemoteAnswer {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        let polled = Pin::new(&mut self.answer).poll(cx);
        if polled.is_ready() {
            self.cancels = None;
        }
        polled
    }
}

impl Drop for RemoteAnswer {
    fn drop(&mut self) {
        if let Some((conn, corr)) = self.cancels.take() {
            conn.cancel(corr);
        }
    }
}

/// The requests that have no answer yet, by number.
#[derive(Default)]
pub(super) struct Pending {
    slots: Vec<(u64, Option<Arc<Slot<Fate>>>)>,
    free: Vec<u32>,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// A number is a place and how often the place was used, so that a late answer finds nobody.
    pub(super) fn add(&mut self, slot: Arc<Slot<Fate>>) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            u32::try_from(self.slots.len() - 1).expect("bounded by max_in_flight")
        });
        let (generation, place) = &mut self.slots[index as usize];
        *place = Some(slot);
        (*generation << 16) | u64::from(index)
    }

    pub(super) fn remove(&mut self, corr: u64) -> Option<Arc<Slot<Fate>>> {
        let index = (corr & 0xffff) as u32;
        let (generation, place) = self.slots.get_mut(index as usize)?;
        if *generation != corr >> 16 {
            return None;
        }
        let slot = place.take()?;
        // 48 bits: a number does not come again in the life of a connection.
        *generation = (*generation + 1) & ((1 << 48) - 1);
        self.free.push(index);
        Some(slot)
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<Slot<Fate>>> {
        let Self { slots, .. } = std::mem::take(self);
        slots.into_iter().filter_map(|(_, slot)| slot).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_finds_nobody() {
        let mut pending = Pending::default();
        let first = pending.add(Slot::new().0);
        assert!(pending.remove(first).is_some());
        let second = pending.add(Slot::new().0);
        assert_ne!(first, second);
        assert!(pending.remove(first).is_none(), "the place is another request's now");
        assert!(pending.remove(second).is_some());
        assert_eq!(pending.len(), 0);
    }
}
