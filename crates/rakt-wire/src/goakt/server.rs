//! The side that took a connection: requests in, responses out in their order.
//!
//! ```text
//!   unread bytes ──► sniff ──► decompress ──► frames ──► poll_request ──► request, id
//!   bytes to send ◄─────────── compress   ◄── in order ◄── respond    ◄── response, id
//! ```
//!
//! GoAkt has no numbers in its frames, so nothing but order tells which response belongs to which
//! request. A driver may carry out requests side by side; their responses wait for those before them.
//!
//! | what arrives | what happens |
//! | --- | --- |
//! | a frame too short, too long, or of a name nobody knows; malformed metadata or body | an error: the driver answers what is open, then closes |
//! | a known message that is no request, which v3.14.0 swallows | the same, so that nobody waits for an answer |
//! | what only a node of a cluster answers | `FAILED_PRECONDITION`, "cluster is not enabled" |
//! | headers that cannot be held | `INVALID_ARGUMENT`, as if the propagator had failed |
//! | the end of the bytes | what is open is answered; nothing has to be complete |

use std::collections::VecDeque;

use bytes::BytesMut;

use super::error::{ErrorCode, GoError};
use super::fields::Malformed;
use super::frame::{DEFAULT_MAX_FRAME_LEN, Frame, HIGHEST_MAX_FRAME_LEN};
use super::metadata::{Deadline, Section, SectionError};
use super::procedure::Procedure;
use super::request::{Request, RequestError};
use super::response::{RespondError, Response};
use super::sniff::{Opening, sniff};
use super::stream::{FrameReader, FrameWriter, Next, ReadError};
use super::system::VERSION_CHECK;
use crate::base::cause::Chain;
use crate::compress::{CompressError, Compression, Unavailable};
use crate::metadata::Metadata;

/// How long a connection may be silent before a Go server closes it.
pub const IDLE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1200);
/// Bytes of responses above which no further request is taken before they are sent.
const MAX_UNSENT: usize = 256 * 1024;

/// What a [`Server`] holds itself to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The compression; `None` takes any, as the peer's first bytes tell. Default `None`.
    pub compression: Option<Compression>,
    /// Longest frame, in bytes before compression. Default 16 MiB, at most
    /// [`HIGHEST_MAX_FRAME_LEN`].
    pub max_frame_len: usize,
    /// Most requests without a response. Default 64.
    pub max_in_flight: usize,
    /// Bytes of requests without a response, and of responses that wait for those before them, above
    /// which no further request is taken. Default 16 MiB.
    pub max_in_flight_len: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            compression: None,
            max_frame_len: DEFAULT_MAX_FRAME_LEN,
            max_in_flight: 64,
            max_in_flight_len: 16 * 1024 * 1024,
        }
    }
}

/// A request that has arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// What [`Server::respond`] wants to know it by.
    pub id: u64,
    /// What it asks for.
    pub request: Request,
    /// Its headers, names in lower case; empty where they are not for the receiver.
    pub metadata: Metadata,
    /// When its sender gives up, by the sender's clock.
    pub deadline: Option<Deadline>,
}

/// One connection that was taken. Pure: bytes and responses in, requests and bytes out.
#[derive(Debug)]
pub struct Server {
    config: ServerConfig,
    streams: Option<(FrameReader, FrameWriter)>,
    /// Requests without a response, and responses that wait for those before them. The first one is
    /// never answered.
    slots: VecDeque<Slot>,
    first_id: u64,
    in_flight_len: usize,
    /// Bytes of responses that wait for those before them.
    waiting_len: usize,
    has_more: bool,
    /// The peer has looked which version this is.
    has_checked: bool,
    is_closing: bool,
}

#[derive(Debug)]
struct Slot {
    procedure: Procedure,
    len: usize,
    response: Option<Vec<u8>>,
}

impl Server {
    /// A connection that nothing has been read from.
    pub fn new(mut config: ServerConfig) -> Self {
        config.max_frame_len = config.max_frame_len.min(HIGHEST_MAX_FRAME_LEN);
        Self {
            config,
            streams: None,
            slots: VecDeque::new(),
            first_id: 0,
            in_flight_len: 0,
            waiting_len: 0,
            has_more: false,
            has_checked: false,
            is_closing: false,
        }
    }

    /// The next request, taken off the front of `unread`. `Ok(None)` means: send what
    /// [`Server::poll_transmit`] has, then come back, with more bytes unless [`Server::is_full`] or
    /// [`Server::has_more`].
    ///
    /// Without compression, payloads are parts of `unread` and keep its memory.
    ///
    /// # Errors
    /// [`ServerError`], once. Nothing is read after that: wait until [`Server::is_idle`], send, close.
    pub fn poll_request(&mut self, unread: &mut BytesMut) -> Result<Option<Incoming>, ServerError> {
        self.has_more = false;
        if self.is_closing {
            unread.clear();
            return Ok(None);
        }
        let result = self.read_request(unread);
        self.is_closing = result.is_err();
        result
    }

    fn read_request(&mut self, unread: &mut BytesMut) -> Result<Option<Incoming>, ServerError> {
        if !self.open(unread)? {
            return Ok(None);
        }
        while !self.is_full()
            && let Some((reader, _)) = &mut self.streams
        {
            match reader.step(unread)? {
                Next::Frame(frame) => {
                    if let Some(incoming) = self.handle_frame(frame)? {
                        return Ok(Some(incoming));
                    }
                }
                Next::Missing => break,
                Next::Pause => {
                    self.has_more = true;
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Whether a request has arrived so far that was complete and well-formed.
    pub fn has_taken_request(&self) -> bool {
        self.first_id > 0 || !self.slots.is_empty()
    }

    /// Sets up both streams, once it is known what they are.
    fn open(&mut self, unread: &[u8]) -> Result<bool, ServerError> {
        if self.streams.is_some() {
            return Ok(true);
        }
        let Some(found) = sniff(unread) else { return Ok(false) };
        let compression = match (found, self.config.compression) {
            (Opening::GoAkt(found), None) => found,
            (Opening::GoAkt(found), Some(wanted)) if found == wanted => found,
            (found, wanted) => return Err(ServerError::Opening { found, wanted }),
        };
        let reader = FrameReader::new(compression, self.config.max_frame_len)?;
        self.streams = Some((reader, FrameWriter::new(compression)?));
        Ok(true)
    }

    /// Takes a request in, or answers it at once.
    fn handle_frame(&mut self, frame: Frame) -> Result<Option<Incoming>, ServerError> {
        let Some(procedure) = Procedure::from_request_name(frame.name()) else {
            let name = frame.name();
            let is_first = !self.has_taken_request() && !self.has_checked;
            if is_first && name == VERSION_CHECK.as_bytes() {
                self.has_checked = true;
                return Ok(None);
            }
            let shown = name.get(..name.len().min(100)).unwrap_or_default();
            return Err(ServerError::Unknown { name: String::from_utf8_lossy(shown).into_owned() });
        };
        let (mut metadata, mut deadline) = (Ok(Metadata::new()), None);
        if let Some(section) = frame.metadata() {
            let section = Section::decode(section)?;
            deadline = section.deadline;
            if procedure.takes_headers() {
                metadata = section.headers();
            }
        }
        let len = frame.total_len();
        let mut version = None;
        let request = match Request::decode(procedure, frame.into_body()) {
            // Its messages are not understood, its requests and their answers are.
            Err(RequestError::Malformed(Malformed::Version)) => {
                let error = ServerError::Version { procedure };
                let answer = GoError::new(ErrorCode::FailedPrecondition, error.to_string());
                version = Some(error);
                Err(answer)
            }
            Err(RequestError::Malformed(source)) => {
                return Err(ServerError::Malformed { procedure, source });
            }
            Err(RequestError::Refused(refused)) => Err(refused),
            Ok(_) if procedure.is_cluster_only() => Err(GoError::cluster_off()),
            Ok(request) => Ok(request),
        };
        let id = self.first_id.saturating_add(self.slots.len() as u64);
        self.slots.push_back(Slot { procedure, len, response: None });
        self.in_flight_len = self.in_flight_len.saturating_add(len);
        let refused = match (request, metadata) {
            (Ok(request), Ok(metadata)) => {
                return Ok(Some(Incoming { id, request, metadata, deadline }));
            }
            (Ok(_), Err(error)) => {
                GoError::new(ErrorCode::InvalidArgument, Chain(&error).to_string())
            }
            (Err(refused), _) => refused,
        };
        self.respond(id, &Response::Error(refused))
            .expect("it waits, and an error fits every frame");
        version.map_or(Ok(None), Err)
    }

    /// The response to a request. It goes out once all requests before it have theirs.
    ///
    /// # Errors
    /// [`RespondError`]. After [`RespondError::TooLarge`] the request is answered all the same, with an
    /// error.
    pub fn respond(&mut self, id: u64, response: &Response<'_>) -> Result<(), RespondError> {
        let unknown = RespondError::Unknown(id);
        let Some((_, writer)) = &mut self.streams else { return Err(unknown) };
        let at = id.checked_sub(self.first_id).and_then(|at| usize::try_from(at).ok());
        let Some((at, slot)) = at.and_then(|at| Some((at, self.slots.get_mut(at)?))) else {
            return Err(unknown);
        };
        if slot.response.is_some() {
            return Err(unknown);
        }
        let mut own = Vec::new();
        let out = if at == 0 { writer.plain() } else { &mut own };
        let max_len = self.config.max_frame_len;
        let result = response.encode(slot.procedure, out, max_len);
        match &result {
            Ok(()) => {}
            Err(error @ RespondError::TooLarge { .. }) => {
                let error = GoError::new(ErrorCode::InternalError, error.to_string());
                Response::Error(error).encode(slot.procedure, out, usize::MAX)?;
            }
            Err(_) => return result,
        }
        self.in_flight_len = self.in_flight_len.saturating_sub(slot.len).saturating_add(own.len());
        self.waiting_len = self.waiting_len.saturating_add(own.len());
        slot.len = own.len();
        slot.response = Some(own);
        self.release();
        result
    }

    /// Lets all responses go that wait for no other.
    fn release(&mut self) {
        let Some((_, writer)) = &mut self.streams else { return };
        while let Some(Slot { response: Some(response), .. }) = self.slots.front() {
            writer.plain().extend_from_slice(response);
            self.in_flight_len = self.in_flight_len.saturating_sub(response.len());
            self.waiting_len = self.waiting_len.saturating_sub(response.len());
            self.slots.pop_front();
            self.first_id = self.first_id.saturating_add(1);
        }
    }

    /// Appends all responses that may go to `out`; false when there are none.
    ///
    /// # Errors
    /// [`CompressError`], after which the connection is of no use.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Result<bool, CompressError> {
        self.streams.as_mut().map_or(Ok(false), |(_, writer)| writer.transmit(out))
    }

    /// Whether no further request is taken before others have their responses, or those are sent.
    pub fn is_full(&self) -> bool {
        let unsent = self.streams.as_ref().map_or(0, |(_, writer)| writer.len());
        self.slots.len() >= self.config.max_in_flight.max(1)
            || self.in_flight_len >= self.config.max_in_flight_len.max(1)
            || unsent >= MAX_UNSENT
    }

    /// Whether [`Server::poll_request`] stopped in the middle of a large frame that it decompresses, of
    /// which it does 64 KiB at a time. It then goes on without further bytes.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Bytes that have been decompressed so far, which is what most of the work for a large frame is.
    pub fn decompressed(&self) -> u64 {
        self.streams.as_ref().map_or(0, |(reader, _)| reader.decompressed())
    }

    /// Whether every request has its response.
    pub fn is_idle(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many requests wait for their responses.
    pub fn in_flight(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of responses that have not been taken by [`Server::poll_transmit`], before compression.
    pub fn unsent_len(&self) -> usize {
        let unsent = self.streams.as_ref().map_or(0, |(_, writer)| writer.len());
        unsent.saturating_add(self.waiting_len)
    }

    /// Bytes that are held of what has been read and decompressed: the beginning of a frame, and
    /// what compression takes up: [what the decoder may have to repeat](super::stream::StreamDecoder::memory),
    /// and [the encoder](super::stream::StreamEncoder::memory). The rest is in `unread`.
    pub fn held_len(&self) -> (usize, usize) {
        self.streams.as_ref().map_or((0, 0), |(reader, writer)| {
            let (partial, decoder) = reader.held_len();
            (partial, decoder.saturating_add(writer.encoder_memory()))
        })
    }

    /// What the connection is compressed with, once that is known.
    pub fn compression(&self) -> Option<Compression> {
        self.streams.as_ref().map(|(reader, _)| reader.compression())
    }

    /// Takes no further requests: the peer has closed its side, or the node goes down.
    pub fn close(&mut self) {
        self.is_closing = true;
    }

    /// Appends what is left to send, and the end of the stream, to `out`. Nothing may follow.
    ///
    /// # Errors
    /// [`CompressError`], which makes no difference any more.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CompressError> {
        self.is_closing = true;
        self.poll_transmit(out)?;
        self.streams.as_mut().map_or(Ok(()), |(_, writer)| writer.finish(out))
    }
}

/// Why a connection that was taken ends. The peer is not told, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The first bytes are of another protocol, or of another compression than this side is set to.
    #[error("the peer starts with {found}{}", hint(*wanted))]
    Opening {
        /// What they look like.
        found: Opening,
        /// The compression that this side is set to, if it is set to one.
        wanted: Option<Compression>,
    },
    /// The peer uses a compression that this build does not contain.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The bytes are not frames.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The metadata of a frame is malformed.
    #[error(transparent)]
    Metadata(#[from] SectionError),
    /// No request has this name.
    #[error("{name:?} is not a request of GoAkt v3")]
    Unknown {
        /// The name, cut if it is long.
        name: String,
    },
    /// The peer is of GoAkt v4. It is told so.
    #[error("{procedure} has the form of GoAkt v4: GoAkt v3.14 is needed on both sides")]
    Version {
        /// The request.
        procedure: Procedure,
    },
    /// The body of a request does not decode.
    #[error("{procedure} is malformed")]
    Malformed {
        /// The request.
        procedure: Procedure,
        /// What is wrong with it.
        source: Malformed,
    },
}

fn hint(wanted: Option<Compression>) -> String {
    let hint = |wanted| format!(", this side is set to {wanted}: both must be set alike");
    wanted.map(hint).unwrap_or_default()
}
