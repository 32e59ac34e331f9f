//! The side that opened a connection: requests out, responses in by their order.
//!
//! ```text
//!          ┌── send, poll_answer ──┐
//!          ▼                       │    any error, timeout or end of the bytes
//!        Usable ───────────────────┘ ─────────────────────────────────────────► Broken ──► take_lost
//! ```
//!
//! Requests are written one after another without waiting for responses; a Go node answers in order.
//! That only holds as long as it answers everything. So a connection on which one request has run out of
//! time is given up: its response, should it come, would be taken for that of the next.
//!
//! One long request holds up all behind it. What may take long belongs on a connection of its own.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;

use super::Procedure;
use super::frame::{DEFAULT_MAX_FRAME_LEN, EncodeError, HIGHEST_MAX_FRAME_LEN};
use super::metadata::Deadline;
use super::request::Call;
use super::response::{Answer, AnswerError};
use super::sniff::{Opening, sniff};
use super::stream::{FrameReader, FrameWriter, ReadError};
use crate::compress::{CompressError, Unavailable};
use crate::{Compression, Metadata};

/// What a [`Client`] holds itself to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// The compression, which must be that of the peer. Default zstd where it is compiled in, as in Go.
    pub compression: Compression,
    /// Longest frame in both directions, in bytes before compression. Default 16 MiB, which is also the
    /// most that a Go node takes; at most [`HIGHEST_MAX_FRAME_LEN`].
    pub max_frame_len: usize,
    /// Most requests without a response. Default 256.
    pub max_in_flight: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            max_frame_len: DEFAULT_MAX_FRAME_LEN,
            max_in_flight: 256,
        }
    }
}

/// One connection that was opened. Pure: requests, bytes and time in, bytes, responses and deadlines out.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    reader: FrameReader,
    writer: FrameWriter,
    /// Requests without a response, in their order.
    waiting: VecDeque<Waiting>,
    first_id: u64,
    /// All requests with lower ids have left.
    unsent_id: u64,
    /// Not after the first of all `expires`; may be long before it.
    wake: Option<Instant>,
    /// Whether the peer's first bytes have been looked at.
    is_opened: bool,
    is_node_down: bool,
    is_broken: bool,
}

#[derive(Debug)]
struct Waiting {
    procedure: Procedure,
    expires: Instant,
}

/// A request that has no response and will have none.
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
            waiting: VecDeque::new(),
            first_id: 0,
            unsent_id: 0,
            wake: None,
            is_opened: false,
            is_node_down: false,
            is_broken: false,
        })
    }

    /// Sends a request and returns its id. It is given up, and the connection with it, when there is no
    /// response at `expires`. `deadline` is what the peer is told, in its own terms; most say nothing.
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
        if self.is_full() {
            return Err(SendError::Full { limit: self.config.max_in_flight });
        }
        call.encode(self.writer.plain(), headers, deadline, self.config.max_frame_len)?;
        let id = self.next_id();
        self.waiting.push_back(Waiting { procedure: call.procedure(), expires });
        self.wake = Some(self.wake.map_or(expires, |wake| wake.min(expires)));
        Ok(id)
    }

    fn next_id(&self) -> u64 {
        self.first_id.saturating_add(self.waiting.len() as u64)
    }

    /// Appends all requests that have not left to `out`; false when there are none.
    ///
    /// # Errors
    /// [`ClientError`], after which the connection is of no use.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Result<bool, ClientError> {
        if self.is_broken {
            return Ok(false);
        }
        self.unsent_id = self.next_id();
        let result = self.writer.transmit(out);
        self.note(result.map_err(ClientError::from))
    }

    /// The next response, taken off the front of `unread`, with the id of its request. `Ok(None)` means
    /// "come back with more bytes".
    ///
    /// # Errors
    /// [`ClientError`], after which the connection is of no use; see [`Client::take_lost`].
    pub fn poll_answer(
        &mut self,
        unread: &mut BytesMut,
    ) -> Result<Option<(u64, Answer)>, ClientError> {
        if self.is_broken {
            unread.clear();
            return Ok(None);
        }
        let result = self.read_answer(unread);
        self.note(result)
    }

    fn read_answer(&mut self, unread: &mut BytesMut) -> Result<Option<(u64, Answer)>, ClientError> {
        if !self.is_opened {
            let Some(found) = sniff(unread) else { return Ok(None) };
            let wanted = self.config.compression;
            if found != Opening::GoAkt(wanted) {
                return Err(ClientError::Opening { found, wanted });
            }
            self.is_opened = true;
        }
        let Some(frame) = self.reader.next(unread)? else { return Ok(None) };
        let Some(Waiting { procedure, .. }) = self.waiting.front() else {
            return Err(ClientError::Unasked);
        };
        let answer = Answer::decode(*procedure, frame)?;
        self.is_node_down |= matches!(&answer, Answer::Error(error) if error.is_node_down());
        let id = self.first_id;
        self.waiting.pop_front();
        self.first_id = id.saturating_add(1);
        Ok(Some((id, answer)))
    }

    /// Time has passed. Call it when [`Client::poll_timeout`] is reached; earlier does no harm.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] when a request has run out of time.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ClientError> {
        if self.is_broken || self.wake.is_none_or(|wake| now < wake) {
            return Ok(());
        }
        // Most have their responses long before they expire, so this looks at all, but rarely.
        let first = self.waiting.iter().enumerate().min_by_key(|(_, waiting)| waiting.expires);
        match first {
            Some((at, waiting)) if waiting.expires <= now => {
                let id = self.first_id.saturating_add(at as u64);
                self.note(Err(ClientError::TimedOut { id }))
            }
            first => {
                self.wake = first.map(|(_, waiting)| waiting.expires);
                Ok(())
            }
        }
    }

    /// When [`Client::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wake.filter(|_| !self.is_broken && !self.waiting.is_empty())
    }

    /// The peer has closed its side.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when that leaves something unfinished.
    pub fn handle_eof(&mut self) -> Result<(), ClientError> {
        let is_unfinished = !self.waiting.is_empty() || self.reader.is_inside();
        let is_broken = std::mem::replace(&mut self.is_broken, true);
        match is_unfinished && !is_broken {
            true => Err(ClientError::Closed { is_first: !self.is_opened }),
            false => Ok(()),
        }
    }

    /// Gives the connection up, for a reason that lies outside.
    pub fn close(&mut self) {
        self.is_broken = true;
    }

    /// Gives the connection up and takes all requests that have no response, in their order.
    pub fn take_lost(&mut self) -> impl Iterator<Item = Lost> {
        self.is_broken = true;
        let (first, unsent) = (self.first_id, self.unsent_id);
        self.first_id = self.next_id();
        std::mem::take(&mut self.waiting).into_iter().zip(first..).map(
            move |(Waiting { procedure, .. }, id)| Lost { id, procedure, is_sent: id < unsent },
        )
    }

    /// Whether further requests may be sent: nothing has gone wrong, and the node has not said that it
    /// is going down, after which it answers but does nothing.
    pub fn is_usable(&self) -> bool {
        !self.is_broken && !self.is_node_down
    }

    /// Whether as many requests wait as may.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.config.max_in_flight.max(1)
    }

    /// How many requests wait for their responses.
    pub fn in_flight(&self) -> usize {
        self.waiting.len()
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
    /// As many requests wait for responses as may.
    #[error("{limit} requests wait for their responses, which is the limit")]
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
        true => ": are compression and TLS set as there, and is the frame within its limit?",
        false => "",
    }
}
