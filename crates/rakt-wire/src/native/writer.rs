//! What both sides of a connection send through: it is buffered, written, and comes to an end.
//!
//! ```text
//!   Open ──GOAWAY of the peer──► Draining ──all is given out──► Drained ─┐
//!     ├──────────────leave──► Leaving ──nothing is under way──┐          │
//!     └──────────────finish───────────────────────────────────┴──► Ending ──close──► Closed
//! ```
//!
//! While it is open it takes whatever is to be sent. A draining connection takes nothing new, but what
//! was taken still has its outcome; a dialer says with a GOAWAY of its own when all that is given out. One
//! that leaves takes nothing new either, and ends once nothing is under way: at the dialer requests without
//! an answer, at the acceptor those and whatever the peer has not said to be its last. An ending one says
//! goodbye once all is written.

use super::error::CloseCode;
use super::hello::Limits;
use super::outbound::Outbound;
use super::transmit::Transmit;
use super::{CHUNK_LEN, Role};

/// Small outbound frames beyond this many bytes make senders wait. 1 MiB.
pub const HIGH_WATER: usize = 1024 * 1024;
/// Large outbound messages beyond this many bytes make senders of further large ones wait. 64 MiB.
pub const LARGE_HIGH_WATER: usize = 64 * 1024 * 1024;

/// The sending part of one side.
#[derive(Debug)]
pub struct Writer {
    pub(super) out: Outbound,
    phase: Phase,
    /// Bytes that were given out last, and those of the large bodies that end with them. The host is
    /// writing them.
    writing: usize,
}

/// How far a connection is.
#[derive(Debug)]
enum Phase {
    Open,
    Draining,
    Drained,
    Leaving(CloseCode, String),
    Ending(CloseCode, String),
    Closed,
}

impl Writer {
    pub(super) fn new(role: Role, limits: Limits) -> Self {
        Self { out: Outbound::new(role, limits), phase: Phase::Open, writing: 0 }
    }

    /// Whether it takes new messages and requests.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether it has ended.
    #[inline]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// How it is to end once everything is written, if it is. One that leaves does so when it `is_done`.
    #[inline]
    pub(super) fn ending(&self, is_done: impl FnOnce() -> bool) -> Option<(CloseCode, &str)> {
        match &self.phase {
            Phase::Ending(code, reason) => Some((*code, reason)),
            Phase::Leaving(code, reason) if is_done() => Some((*code, reason)),
            _ => None,
        }
    }

    /// Whether nobody has decided how it is to end.
    #[inline]
    pub(super) fn is_undecided(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Draining | Phase::Drained)
    }

    /// Whether it ends once nothing is under way.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving(..))
    }

    /// Whether nothing is to be sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Bytes that the peer has not taken yet.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.out.buffered().saturating_add(self.writing)
    }

    /// Whether what is buffered makes one small write.
    #[inline]
    pub(super) fn is_small(&self) -> bool {
        !self.out.is_empty() && self.out.buffered() < CHUNK_LEN
    }

    /// Whether nothing is to be sent, and no large buffer to be given up, of a connection that goes on. All is written
    /// that was given out.
    #[inline]
    pub(super) fn is_at_rest(&mut self) -> bool {
        self.writing = 0;
        self.is_open() && self.out.is_at_rest()
    }

    /// Whether what is buffered is little, of a connection that goes on, and leaves no large buffer behind.
    #[inline]
    pub(super) fn is_little(&self) -> bool {
        self.is_open() && self.out.is_little()
    }

    /// Takes nothing new any more.
    pub(super) fn drain(&mut self) {
        if self.is_open() {
            self.phase = Phase::Draining;
        }
    }

    /// Takes nothing new, and ends the connection once nothing is under way; the first reason stays.
    pub fn leave(&mut self, code: CloseCode, reason: &str) {
        if self.is_undecided() {
            self.phase = Phase::Leaving(code, reason.to_owned());
        }
    }

    /// Ends the connection once everything is written; the first reason stays. False if it has one.
    pub fn finish(&mut self, code: CloseCode, reason: &str) -> bool {
        let takes = self.is_undecided();
        self.leave(code, reason);
        if let Phase::Leaving(code, reason) = &mut self.phase {
            self.phase = Phase::Ending(*code, std::mem::take(reason));
        }
        takes
    }

    /// Asks whether the peer is there. Its answer also proves that it has taken the tells that were given out.
    pub fn ping(&mut self) {
        self.out.ping_for_proof();
    }

    /// Asks the peer to send nothing new.
    pub fn goaway(&mut self, code: CloseCode, text: &str) {
        self.out.goaway(code, text);
    }

    /// Gives out what to write next. What was given out before is written.
    pub(super) fn poll_transmit(&mut self, out: &mut impl Transmit) {
        let large = self.out.buffered_large();
        self.out.poll_transmit(out);
        if matches!(self.phase, Phase::Draining) && self.out.is_empty() {
            // All that was taken before the peer asked for no more is given out. It is told once.
            self.phase = Phase::Drained;
            self.out.goaway(CloseCode::Normal, "all is sent");
            self.out.poll_transmit(out);
        }
        let ended = large.saturating_sub(self.out.buffered_large());
        self.writing = out.len().saturating_add(ended);
    }

    /// Adds the last words: after all that is buffered, or in place of the rest of large bodies where it
    /// must end `now`.
    pub fn say_goodbye(&mut self, code: CloseCode, text: &str, now: bool) {
        match now {
            true => self.out.close_now(code, text),
            false => self.out.close(code, text),
        }
    }

    /// As if so many bytes were being written, for bounds that no test reaches by writing.
    #[cfg(test)]
    pub(super) fn set_writing(&mut self, bytes: usize) {
        self.writing = bytes;
    }

    /// The connection has ended: what it held in memory is given back.
    pub(super) fn close(&mut self, role: Role, limits: Limits) {
        *self = Self { phase: Phase::Closed, ..Self::new(role, limits) };
    }
}

/// What a host may do with either side of a connection.
pub trait Side {
    /// The sending part.
    fn writer(&self) -> &Writer;

    /// The sending part.
    fn writer_mut(&mut self) -> &mut Writer;

    /// Gives out what to write next; nothing where there is nothing.
    fn poll_transmit(&mut self, out: &mut impl Transmit);

    /// How the connection is to end once everything is written, if it is.
    fn ending(&self) -> Option<(CloseCode, &str)>;

    /// Whether there is nothing to do for a connection that goes on. All is written that was given out.
    fn is_at_rest(&mut self) -> bool;

    /// A little is buffered, and nothing more is likely to be: nothing else is in flight, and the last answer or request
    /// came alone.
    fn is_lone(&self) -> bool;

    /// A little is buffered, and other requests are in flight, so that more is likely to be buffered in
    /// a moment.
    fn expects_more(&self) -> bool;
}
