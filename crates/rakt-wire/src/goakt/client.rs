//! The side that opened a connection: requests out, responses in by their order.
//!
//! ```text
//!          ┌── send, poll_answer ──┐
//!          ▼                       │    any error, timeout or end of the bytes
//!        Usable ───────────────────┘ ─────────────────────────────────────────► Broken ──► take_lost
//! ```
//!
//! Requests are written one after another without waiting for responses; a Go node answers in order.
//! That only holds as long as it answers everything, which one of v3.14 under load sometimes does not. So
//! tells to such a node are pipelined between [fences](ClientConfig::fence_after), and a connection on which
//! a request has run out of time is given up: its response, should it come, would be taken for that of the
//! next.
//!
//! One long request holds up all behind it. What may take long belongs on a connection of its own.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::frame::{DEFAULT_MAX_FRAME_LEN, EncodeError, Frame, HIGHEST_MAX_FRAME_LEN, put_frame};
use super::ledger::{Kind, Ledger};
use super::metadata::Deadline;
use super::procedure::Procedure;
use super::request::Call;
use super::response::{Answer, AnswerError};
use super::sniff::{Opening, sniff};
use super::stream::{FrameReader, FrameWriter, ReadError};
use super::system::VERSION_CHECK;
use crate::compress::{CompressError, Compression, Unavailable};
use crate::metadata::Metadata;

/// What a [`Client`] holds itself to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The compression, which must be that of the peer. Default zstd where it is compiled in, as in Go.
    pub compression: Compression,
    /// Longest frame in both directions, in bytes before compression. Default 16 MiB, which is also the
    /// most that a Go node takes; at most [`HIGHEST_MAX_FRAME_LEN`].
    pub max_frame_len: usize,
    /// Most requests without an outcome. Default 256.
    pub max_in_flight: usize,
    /// Set for a peer that may leave a request without its response: then no response is given out before
    /// it is certain whose it is. Tells are pipelined, with fences among them, anything else goes alone.
    ///
    /// A fence is an ask for nothing, whose response is that of no tell. It goes along when others are under
    /// way and somebody [waits](Client::hurry), or half as many tells as may have no outcome; and it is sent
    /// when for this long there has been neither an outcome nor a fence. Default `None`: the peer answers
    /// everything.
    pub fence_after: Option<Duration>,
    /// Whether something goes ahead of the first request that v3.14 skips, and that has v4 close the connection: it
    /// acknowledges tells that it does not understand. Default false.
    pub checks_version: bool,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            max_frame_len: DEFAULT_MAX_FRAME_LEN,
            max_in_flight: 256,
            fence_after: None,
            checks_version: false,
        }
    }
}

/// One connection that was opened. Pure: requests, bytes and time in, bytes, responses and deadlines out.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    reader: FrameReader,
    writer: FrameWriter,
    ledger: Ledger,
    /// Not after the first of all `expires`; may be long before it.
    wake: Option<Instant>,
    /// Whether the peer's first bytes have been looked at.
    is_opened: bool,
    /// Whether it has answered anything.
    has_answered: bool,
    is_node_down: bool,
    is_broken: bool,
}

/// A request that has no outcome and will have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its id.
    pub id: u64,
    /// What kind of request it is.
    pub procedure: Procedure,
    /// Whether it has left this side, at least in part. If not, the peer knows nothing of it; if so, it
    /// may have acted on it.
    pub is_sent: bool,
}

impl Client {
    /// A connection that nothing has been sent on.
    ///
    /// # Errors
    /// [`Unavailable`] when this build does not contain the compression.
    pub fn new(mut config: ClientConfig) -> Result<Self, Unavailable> {
        config.max_frame_len = config.max_frame_len.min(HIGHEST_MAX_FRAME_LEN);
        Ok(Self {
            reader: FrameReader::new(config.compression, config.max_frame_len)?,
            writer: FrameWriter::new(config.compression)?,
            config,
            ledger: Ledger::default(),
            wake: None,
            is_opened: false,
            has_answered: false,
            is_node_down: false,
            is_broken: false,
        })
    }

    /// Sends a request and returns its id; later ones have higher ids. It is given up, and the connection
    /// with it, when there is no response at `expires`. `deadline` is what the peer is told, in its own
    /// terms; most say nothing.
    ///
    /// # Errors
    /// [`SendError`]; nothing of the request was sent.
    pub fn send(
        &mut self,
        call: &Call<'_>,
        headers: &Metadata,
        deadline: Option<Deadline>,
        expires: Instant,
    ) -> Result<u64, SendError> {
        if !self.is_usable() {
            return Err(SendError::Closed);
        }
        let procedure = call.procedure();
        if self.goes_alone(procedure) && self.in_flight() > 0 {
            return Err(SendError::Full { limit: 1 });
        }
        if self.is_full() {
            return Err(SendError::Full { limit: self.config.max_in_flight });
        }
        let max_frame_len = self.config.max_frame_len;
        if std::mem::take(&mut self.config.checks_version) {
            put_frame(self.writer.plain(), VERSION_CHECK, None, max_frame_len, |_| {})?;
        }
        call.encode(self.writer.plain(), headers, deadline, max_frame_len)?;
        self.wake = Some(self.wake.map_or(expires, |wake| wake.min(expires)));
        Ok(self.ledger.push(Kind::Request(procedure), expires))
    }

    /// Somebody waits for the outcome of the request that was sent last, so it should be known soon.
    pub fn hurry(&mut self) {
        self.ledger.hurry();
    }

    /// Whether no other request may be under way with one of this kind.
    fn goes_alone(&self, procedure: Procedure) -> bool {
        self.config.fence_after.is_some() && procedure != Procedure::Tell
    }

    /// An ask for nothing. It has no metadata, so that no propagator is asked about it.
    fn send_fence(&mut self) {
        let Some(expires) = self.ledger.last_expires() else { return };
        let (name, out) = (Procedure::Ask.request_name(), self.writer.plain());
        if put_frame(out, name, None, self.config.max_frame_len, |_| {}).is_ok() {
            self.ledger.push(Kind::Fence, expires);
        }
    }

    /// Whether a fence goes along with what is sent now. Without others under way it would only say what the
    /// responses do, that there is one for each.
    fn is_fence_wanted(&self) -> bool {
        let Self { config, ledger, .. } = self;
        let is_wanted = ledger.is_awaited() || ledger.requests() >= config.max_in_flight / 2;
        config.fence_after.is_some() && is_wanted && ledger.is_followed() && !ledger.is_fenced()
    }

    /// When a fence is due although nothing else is sent.
    fn fence_due(&self) -> Option<Instant> {
        let after = self.config.fence_after?;
        let is_told = self.ledger.first_kind() == Some(Kind::Request(Procedure::Tell));
        let since =
            self.ledger.uncertain_since().filter(|_| is_told && !self.ledger.is_fenced())?;
        since.checked_add(after)
    }

    /// Appends requests that have not left to `out`; false when there are none. Compression takes time, so
    /// there are 256 KiB of them at most: come back until it is false.
    ///
    /// # Errors
    /// [`ClientError`], after which the connection is of no use.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<bool, ClientError> {
        if self.is_broken {
            return Ok(false);
        }
        if self.is_fence_wanted() {
            self.send_fence();
        }
        self.ledger.leave(now);
        let result = self.writer.transmit_piece(out);
        self.note(result.map_err(ClientError::from))
    }

    /// The outcome of the next request, with its id: its response, taken off the front of `unread`.
    /// `Ok(None)` means "come back with more bytes".
    ///
    /// Where there are [fences](ClientConfig::fence_after) the outcome may be `None` instead: the peer left
    /// this request, or one near it, without a response, and may have acted on it.
    ///
    /// # Errors
    /// [`ClientError`], after which the connection is of no use; see [`Client::take_lost`].
    pub fn poll_answer(
        &mut self,
        unread: &mut BytesMut,
    ) -> Result<Option<(u64, Option<Answer>)>, ClientError> {
        if self.is_broken {
            unread.clear();
            return Ok(None);
        }
        loop {
            if let Some(outcome) = self.ledger.pop() {
                return Ok(Some(outcome));
            }
            let read = self.read_answer(unread);
            if !self.note(read)? {
                return Ok(None);
            }
        }
    }

    /// Reads one response, if it is there.
    fn read_answer(&mut self, unread: &mut BytesMut) -> Result<bool, ClientError> {
        if !self.is_opened {
            let Some(found) = sniff(unread) else { return Ok(false) };
            let wanted = self.config.compression;
            if found != Opening::GoAkt(wanted) {
                return Err(ClientError::Opening { found, wanted });
            }
            self.is_opened = true;
        }
        let Some(frame) = self.reader.next(unread)? else { return Ok(false) };
        self.has_answered = true;
        let kind = self.ledger.expected().ok_or(ClientError::Unasked)?;
        let is_to_ask = frame.name() == Procedure::Ask.response_name().as_bytes();
        match kind {
            Kind::Request(_) if is_to_ask && self.ledger.is_fenced() => {
                self.read_fence(frame)?;
                if !self.ledger.answer_fence_early() {
                    return Err(ClientError::Unasked);
                }
            }
            Kind::Request(procedure) => self.answer(Answer::decode(procedure, frame)?),
            Kind::Fence => {
                let answer = self.read_fence(frame)?;
                self.answer(answer);
            }
        }
        Ok(true)
    }

    fn read_fence(&self, frame: Frame) -> Result<Answer, ClientError> {
        match Answer::decode(Procedure::Ask, frame) {
            Ok(Answer::Replies(replies)) if !replies.is_empty() => Err(ClientError::Unasked),
            Ok(answer) => Ok(answer),
            Err(AnswerError::Unexpected { found, .. }) => Err(ClientError::OutOfStep { found }),
            Err(error) => Err(error.into()),
        }
    }

    fn answer(&mut self, answer: Answer) {
        self.is_node_down |= matches!(&answer, Answer::Error(error) if error.is_node_down());
        self.ledger.answer(answer, self.config.fence_after.is_some());
    }

    /// Time has passed. Call it when [`Client::poll_timeout`] is reached; earlier does no harm. There may be
    /// something to transmit after it.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] when a request has run out of time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ClientError> {
        if self.is_broken {
            return Ok(());
        }
        if self.wake.is_some_and(|wake| wake <= now) {
            // Most have their responses long before they expire, so this looks at all, but rarely.
            let first = self.ledger.first_expires();
            self.wake = first.map(|(_, expires)| expires);
            if let Some((id, _)) = first.filter(|(_, expires)| *expires <= now) {
                return self.note(Err(ClientError::TimedOut { id }));
            }
        }
        if self.fence_due().is_some_and(|due| due <= now) {
            self.send_fence();
        }
        Ok(())
    }

    /// When [`Client::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_broken || self.ledger.is_empty() {
            return None;
        }
        self.wake.into_iter().chain(self.fence_due()).min()
    }

    /// The peer has closed its side.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when that leaves something unfinished.
    pub fn handle_eof(&mut self) -> Result<(), ClientError> {
        let is_unfinished = !self.ledger.is_empty() || self.reader.is_inside();
        let is_broken = std::mem::replace(&mut self.is_broken, true);
        match is_unfinished && !is_broken {
            true => Err(ClientError::Closed { is_first: !self.has_answered }),
            false => Ok(()),
        }
    }

    /// Gives the connection up, for a reason that lies outside.
    pub fn close(&mut self) {
        self.is_broken = true;
    }

    /// Gives the connection up and takes all requests that have no outcome, in their order.
    pub fn take_lost(&mut self) -> impl Iterator<Item = Lost> + use<> {
        self.is_broken = true;
        let drained = self.ledger.drain();
        drained.map(|(id, procedure, is_sent)| Lost { id, procedure, is_sent })
    }

    /// Whether further requests may be sent: nothing has gone wrong, and the node has not said that it
    /// is going down, after which it answers but does nothing.
    pub fn is_usable(&self) -> bool {
        !self.is_broken && !self.is_node_down
    }

    /// Whether no further request may be sent before another has its outcome.
    pub fn is_full(&self) -> bool {
        let first = self.ledger.first_kind();
        self.in_flight() >= self.config.max_in_flight.max(1)
            || matches!(first, Some(Kind::Request(procedure)) if self.goes_alone(procedure))
    }

    /// Bytes that are held of what has been read and decompressed: the beginning of a response, and
    /// what compression takes up: [what the decoder may have to repeat](super::stream::StreamDecoder::memory),
    /// and [the encoder](super::stream::StreamEncoder::memory). The rest is in `unread`.
    pub fn held_len(&self) -> (usize, usize) {
        let (partial, decoder) = self.reader.held_len();
        (partial, decoder.saturating_add(self.writer.encoder_memory()))
    }

    /// How many requests wait for their outcome.
    pub fn in_flight(&self) -> usize {
        self.ledger.requests()
    }

    /// How many requests the peer is through with, the first ones: as many responses have come, even if it
    /// is not certain yet which of these they belong to.
    pub fn done(&self) -> u64 {
        self.ledger.done()
    }

    /// Bytes of requests that have not left, before compression.
    pub fn unsent_len(&self) -> usize {
        self.writer.len()
    }

    /// Appends the end of the stream to `out`. Nothing may follow.
    ///
    /// # Errors
    /// [`CompressError`], which makes no difference any more.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        self.is_broken = true;
        self.writer.finish(out)
    }

    fn note<T>(&mut self, result: Result<T, ClientError>) -> Result<T, ClientError> {
        self.is_broken |= result.is_err();
        result
    }
}

/// Why a request was not sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is of no use any more.
    #[error("the connection is closed")]
    Closed,
    /// As many requests wait for their outcome as may.
    #[error("{limit} requests wait for their outcome, which is the limit")]
    Full {
        /// The limit.
        limit: usize,
    },
    /// The request itself cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why a connection that was opened is given up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The peer's first bytes are of another protocol or compression.
    #[error("the peer answers with {found}, this side is set to {wanted}: both must be set alike")]
    Opening {
        /// What they look like.
        found: Opening,
        /// What this side is set to.
        wanted: Compression,
    },
    /// The bytes are not frames.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A frame is no response to the request it stands for.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A response that nothing was asked for.
    #[error("the peer sent a response that nothing was asked for")]
    Unasked,
    /// Something else where the response to a fence belongs: that to a request before it is missing.
    #[error("the responses are out of step: {found:?} is none to an ask")]
    OutOfStep {
        /// The name of the response, cut if it is long.
        found: String,
    },
    /// A request has no response in time.
    #[error("no response in time")]
    TimedOut {
        /// The request.
        id: u64,
    },
    /// The peer closed the connection with something unfinished. Requests that have left may have been
    /// acted on.
    #[error("the peer closed the connection without a response{}", hint(*is_first))]
    Closed {
        /// Whether it has never answered on this connection.
        is_first: bool,
    },
    /// Compressing failed.
    #[error(transparent)]
    Compress(#[from] CompressError),
}

fn hint(is_first: bool) -> &'static str {
    // What a Go node does about all of these is the same.
    match is_first {
        true => {
            ": are compression and TLS set as there, is the frame within its limit, and is it GoAkt v3.14 (v4 hangs up)?"
        }
        false => "",
    }
}
