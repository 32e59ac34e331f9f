//! One connection to a Go node.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt_wire::Metadata;
use rakt_wire::goakt::{Answer, Call, Client, ClientConfig, ClientError, Deadline, SendError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use super::refusal;
use super::site::Site;
use crate::error::Refusal;
use crate::remote::budget::Share;
use crate::remote::goakt::{counted_len, no_room};
use crate::remote::transport::Stream;
use crate::timers::now;

/// Room made for a read, in bytes.
const READ_LEN: usize = 16 * 1024;

/// How long tells may be without an outcome before the node is asked for a sign that it has left none of
/// them out. 100 ms.
const FENCE_AFTER: Duration = Duration::from_millis(100);

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    /// Each request waits for the answer to the one before.
    OneByOne,
    /// Tells are sent without waiting.
    Pipeline { max_in_flight: usize },
}

/// An open connection. Dropping it closes it.
pub(super) struct Link {
    site: Arc<Site>,
    pub(super) reader: ReadHalf<Box<dyn Stream>>,
    pub(super) writer: WriteHalf<Box<dyn Stream>>,
    pub(super) client: Client,
    pub(super) unread: BytesMut,
    /// Bytes that count against the node's budget for as long as the peer leaves them here.
    held: u64,
    inbound: Share,
    /// Whether the node has answered anything here.
    pub(super) has_answered: bool,
    /// Why it is closed, once that is so.
    pub(super) why: String,
}

/// Why a request got no answer over a connection.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing of it has left, and the connection is as good as before.
    Refused(Refusal),
    /// Nothing of it has left; another connection may do.
    Unsent(String),
    /// The node does not understand what is sent here.
    Incompatible(String),
    /// The node may have acted on it.
    Lost(String),
    /// As `Lost`; there was no answer in time.
    TimedOut,
}

impl Link {
    pub(super) fn new(
        site: &Arc<Site>,
        stream: Box<dyn Stream>,
        use_as: Use,
    ) -> Result<Self, Refusal> {
        let (max_in_flight, fence_after) = match use_as {
            Use::OneByOne => (1, None),
            Use::Pipeline { max_in_flight } => (max_in_flight, Some(FENCE_AFTER)),
        };
        let config = ClientConfig {
            compression: site.compression,
            max_frame_len: site.max_frame_len(),
            max_in_flight,
            fence_after,
        };
        let client = Client::new(config)
            .map_err(|error| Refusal::Incompatible { detail: format!("{}: {error}", site.peer) })?;
        let (reader, writer) = tokio::io::split(stream);
        site.dialer.resources.link_up(&site.peer, site.compression);
        Ok(Self {
            site: site.clone(),
            reader,
            writer,
            client,
            unread: BytesMut::new(),
            held: 0,
            inbound: Share::default(),
            has_answered: false,
            why: "no longer needed".to_owned(),
        })
    }

    /// Whether the node has sent nothing and not closed the connection, as far as that is known here.
    pub(super) fn is_quiet(&mut self) -> bool {
        let (mut byte, mut cx) = ([0], Context::from_waker(Waker::noop()));
        let mut buf = ReadBuf::new(&mut byte);
        self.unread.is_empty()
            && self.client.is_usable()
            && Pin::new(&mut self.reader).poll_read(&mut cx, &mut buf).is_pending()
    }

    /// Makes room for a read.
    pub(super) fn make_room(unread: &mut BytesMut) {
        if unread.capacity() - unread.len() < READ_LEN / 4 {
            unread.reserve(READ_LEN);
        }
    }

    /// Sends one request and reads its response. After an error other than [`Failed::Refused`], and when
    /// this is dropped before its end, the connection is of no use any more.
    pub(super) async fn exchange(
        &mut self,
        call: &Call<'_>,
        headers: &Metadata,
        deadline: Option<Deadline>,
        expires: Instant,
    ) -> Result<Answer, Failed> {
        match self.client.send(call, headers, deadline, expires) {
            Ok(_) => {}
            Err(SendError::Encode(error)) => {
                return Err(Failed::Refused(refusal::unencodable(error)));
            }
            Err(error) => return Err(Failed::Unsent(error.to_string())),
        }
        let exchanged = tokio::time::timeout_at(expires.into(), self.write_and_read()).await;
        let exchanged = exchanged.unwrap_or(Err(Failed::TimedOut));
        if let Err(failed) = &exchanged {
            self.why = failed.to_string();
        }
        exchanged
    }

    async fn write_and_read(&mut self) -> Result<Answer, Failed> {
        let mut out = Vec::new();
        let unsent = |error: ClientError| Failed::Unsent(error.to_string());
        while self.client.poll_transmit(now(), &mut out).map_err(unsent)? {
            if self.client.unsent_len() > 0 {
                tokio::task::yield_now().await;
            }
        }
        let mut written = 0;
        while written < out.len() {
            let wrote = match self.writer.write(&out[written..]).await {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                wrote => wrote,
            };
            match wrote {
                Ok(n) => written += n,
                Err(error) if written == 0 => return Err(Failed::Unsent(error.to_string())),
                Err(error) => return Err(self.broken(&error)),
            }
        }
        self.writer.flush().await.map_err(|error| self.broken(&error))?;
        crate::metrics::sent(out.len());
        drop(out);
        loop {
            Self::make_room(&mut self.unread);
            let read = self.reader.read_buf(&mut self.unread).await;
            match read.map_err(|error| self.broken(&error))? {
                0 => return Err(self.ended()),
                read => crate::metrics::received(read),
            }
            let answer = self.client.poll_answer(&mut self.unread).map_err(Failed::of)?;
            let counted = self.count();
            // A single request always has its own.
            if let Some((_, Some(answer))) = answer {
                self.note_answer();
                return Ok(answer);
            }
            counted?;
        }
    }

    /// Counts what the peer has here of an answer, and what it has the decoder keep.
    pub(super) fn count(&mut self) -> Result<(), Failed> {
        let (partial, window) = self.client.held_len();
        let (buffered, budget) =
            (self.unread.len() + partial, &self.site.dialer.resources.budgets.inbound);
        let held = counted_len(buffered, READ_LEN, window, self.site.compression);
        if held <= self.held {
            budget.give_back(&self.inbound, self.held - held);
        } else if !budget.try_add(&self.inbound, held - self.held) {
            return Err(Failed::Lost(no_room(held, "an answer", budget.limit())));
        }
        self.held = held;
        Ok(())
    }

    /// The peer has closed the connection.
    pub(super) fn ended(&mut self) -> Failed {
        match self.client.handle_eof() {
            Err(error) => Failed::of(error),
            Ok(()) => Failed::Lost("the peer closed the connection".to_owned()),
        }
    }

    /// The connection has failed. On a first request that most likely is what a node does that does not
    /// understand it.
    pub(super) fn broken(&self, error: &io::Error) -> Failed {
        match self.has_answered {
            true => Failed::Lost(error.to_string()),
            false => Failed::Lost(format!("{error}: {}", ClientError::Closed { is_first: true })),
        }
    }

    /// The node has answered, so it is there and understood.
    pub(super) fn note_answer(&mut self) {
        if !std::mem::replace(&mut self.has_answered, true) {
            self.site.reached();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.site.dialer.resources.budgets.inbound.give_back_all(&self.inbound);
        self.site.dialer.resources.link_down(&self.site.peer, &self.why);
    }
}

impl Failed {
    pub(super) fn of(error: ClientError) -> Self {
        match error {
            ClientError::Opening { .. } => Self::Incompatible(error.to_string()),
            ClientError::TimedOut { .. } => Self::TimedOut,
            error => Self::Lost(error.to_string()),
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unsent(detail) | Self::Incompatible(detail) | Self::Lost(detail) => {
                f.write_str(detail)
            }
            Self::TimedOut => f.write_str("no response in time"),
        }
    }
}
