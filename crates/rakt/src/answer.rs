//! How requests to other nodes end, and the future that waits for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rakt_wire::Outcome;

use crate::error::{Cause, Refusal};
use crate::message::Functions;
use crate::message::allowance::{Room, SMALL_LEN};
use crate::slot::Answer;

/// How a request ended.
pub(crate) enum Fate {
    Reply(Reply),
    /// The outcome of an operation.
    Outcome(Outcome),
    Refused(Refusal),
    /// The connection ended first.
    Lost(Cause),
    /// An answer came that is none to what was asked.
    BadReply(Cause),
}

impl Fate {
    /// Its label in the metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Reply(_) | Self::Outcome(_) | Self::BadReply(_) => "reply",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
        }
    }
}

/// A reply as it came.
pub(crate) enum Reply {
    Small(Bytes),
    /// With room for what it becomes when it is decoded.
    Large(Bytes, Box<dyn Room>),
    /// Compressed: the asker has it undone, not the connection.
    Packed(Open, Box<dyn Room>),
}

/// Undoes the compression of a reply.
pub(crate) type Open = Box<dyn FnOnce() -> Result<Bytes, Refusal> + Send>;

impl Reply {
    /// One that is not compressed. It has `room` unless it is small.
    pub(crate) fn plain<R: Room + 'static>(bytes: Bytes, room: impl FnOnce() -> R) -> Self {
        match bytes.len() {
            ..SMALL_LEN => Self::Small(bytes),
            _ => Self::Large(bytes, Box::new(room())),
        }
    }

    /// What the codec makes of it.
    pub(crate) fn decode<R>(self, codec: &Functions<R>) -> Result<R, Cause> {
        let decoded = match self {
            Self::Small(bytes) => codec.decode_small(bytes),
            Self::Large(bytes, room) => codec.decode(bytes, &*room).map(|decoded| decoded.value),
            Self::Packed(open, room) => {
                let bytes = open().map_err(Cause::new)?;
                codec.decode(bytes, &*room).map(|decoded| decoded.value)
            }
        };
        decoded.map_err(|refusal| match refusal {
            Refusal::Undecodable { source } => source,
            refusal => Cause::new(refusal),
        })
    }
}

/// A connection that can give up on a request.
pub(crate) trait Cancel: Send + Sync {
    fn cancel(&self, corr: u64);

    /// Writes what was asked, where that has not been done.
    fn write_now(&self) {}
}

/// The future of a request's end. Dropped before that, it cancels the request.
pub(crate) struct RemoteAnswer {
    answer: Answer<Fate>,
    /// Who is to be told when nobody waits any more, and of which request. Without one it is enough that
    /// the slot is abandoned.
    cancels: Option<(Arc<dyn Cancel>, u64)>,
}

impl RemoteAnswer {
    pub(crate) fn over(conn: Arc<dyn Cancel>, corr: u64, answer: Answer<Fate>) -> Self {
        Self { answer, cancels: Some((conn, corr)) }
    }

    /// Has the request written, where whoever waits for its end is to see to that.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn write_now(&self) {
        if let Some((conn, _)) = &self.cancels {
            conn.write_now();
        }
    }

    pub(crate) fn of_slot(answer: Answer<Fate>) -> Self {
        Self { answer, cancels: None }
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
