//! What a dialect does on one side of a connection.

use std::io;
use std::sync::Weak;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use bytes::buf::Limit;
use rakt_wire::native::{Segments, Transmit};

use super::farewell::Farewell;

/// Bytes read and written before all others get a turn. A lone request on another connection may have
/// to wait for a turn of this one at four places: both ways, on both nodes.
pub(super) const TURN_LEN: usize = 256 * 1024;

/// One side of a connection in one dialect: bytes and time go in, bytes and deadlines come out.
///
/// [`Pump`](super::Pump) calls it. In one turn that is, again and again until nothing moves:
/// [`poll_transmit`](Self::poll_transmit), after which all is written that the peer takes;
/// [`reading`](Self::reading), and what was read is handled; [`handle_pause`](Self::handle_pause) when
/// nothing moves any more. An error of any of them is the end of the connection.
pub(crate) trait Session: Send {
    /// Why it ends.
    type End: Send;

    /// By this others have written what they add, without the task of the connection. Once, at the beginning.
    fn lend_writer(&mut self, _writer: Weak<dyn WriteNow>) {}

    /// Adds what is to be written to nothing that is, for it to be written by whoever had that added; false where that
    /// is left to the task of the connection.
    fn transmit_now(&mut self, _io: &mut Buffers) -> bool {
        false
    }

    /// Does what can be done without further bytes of the peer, and adds to what is to be written. It is
    /// called whether or not all that was added before has been written: what is added then is held
    /// longer.
    ///
    /// Pending: `cx` is woken when there is more to do than what is to be written now. Ready: there may be
    /// more to do at once. Long work is counted in the [turn](Buffers::turn).
    fn poll_transmit(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Buffers,
    ) -> Poll<Result<(), Self::End>>;

    /// The peer has taken a part of what is to be written.
    fn handle_written(&mut self);

    /// Where the next bytes of the peer go.
    fn reading(&mut self, io: &Buffers) -> Reading<'_>;

    /// More has arrived behind what was unread. What cannot be handled yet stays there.
    fn handle_read(&mut self, now: Instant, io: &mut Buffers) -> Result<(), Self::End>;

    /// The [room](Reading::Room) was filled, in part at least.
    fn handle_filled(&mut self, _now: Instant) -> Result<(), Self::End> {
        Ok(())
    }

    /// The peer has closed its side.
    fn handle_eof(&mut self) -> Result<(), Self::End>;

    /// Nothing moves for now: all that was there is read, and all is written that the peer takes.
    fn handle_pause(&mut self, _io: &Buffers) -> Result<(), Self::End> {
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn poll_timeout(&self) -> Instant;

    /// Time has passed. It may be early.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::End>;

    /// The stream has failed.
    fn handle_fault(&mut self, fault: Fault) -> Self::End;

    /// Whether so much of what was read is not handled yet that who handles it is to come first, for a while.
    fn is_ahead(&self) -> bool {
        false
    }

    /// Whether the waker of the last [`poll_transmit`](Self::poll_transmit) has been woken since.
    fn is_woken(&self) -> bool {
        false
    }

    /// The task is held up: wakes those that it was to wake later.
    fn hurry(&mut self) {}

    /// Adds a sign of life to what is to be sent, where the dialect has one, and has the task of the
    /// connection woken.
    fn beat(&mut self) {}

    /// The connection has ended. Returns what the peer is still told; `None` where the stream is of no use
    /// any more. The session is dropped once the stream is closed.
    fn end(&mut self, _end: Self::End, _io: Buffers) -> Option<Farewell> {
        None
    }
}

/// A connection, for those who have something to say there that is little and comes alone: to write it themselves is
/// less than to have another task do so.
pub(crate) trait WriteNow: Send + Sync {
    /// Writes it, if nobody else is at it; says whether that is done. If it is not, the task of the connection is to be
    /// woken.
    fn write_now(&self) -> bool;
}

/// Where the next bytes of a peer go.
pub(crate) enum Reading<'a> {
    /// Nothing is read for now.
    Held,
    /// Behind what is unread, so many bytes at most.
    Unread(usize),
    /// To where they belong.
    Room(Limit<&'a mut Vec<u8>>),
}

/// What has arrived and what is to leave.
#[derive(Default)]
pub(crate) struct Buffers {
    /// What the peer has sent and the session has not taken.
    pub(crate) unread: BytesMut,
    /// What is to be written.
    pub(crate) unwritten: Segments,
    /// All that was written has been flushed.
    pub(super) is_flushed: bool,
    pub(crate) turn: Turn,
}

impl Buffers {
    pub(super) fn new(unread: BytesMut) -> Self {
        Self { unread, is_flushed: true, ..Self::default() }
    }

    /// Whether the stream has taken everything.
    pub(crate) fn is_written(&self) -> bool {
        self.is_flushed && self.unwritten.is_empty()
    }
}

/// What a connection has done before all others get a turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    moved: usize,
}

impl Turn {
    /// Counts bytes that were moved, or work that takes as long.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.moved += bytes;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.moved >= TURN_LEN
    }
}

/// What goes wrong with a stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("read")]
    Read(#[source] io::Error),
    #[error("write")]
    Write(#[source] io::Error),
    /// The peer took nothing for this long.
    #[error("the peer took nothing for {0:?}")]
    Stuck(Duration),
}
