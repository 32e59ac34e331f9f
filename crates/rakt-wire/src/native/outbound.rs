//! What is to be sent on one connection.
//!
//! ```text
//!   requests, credit, heartbeats ──► control ─┐
//!   definitions, messages, replies ► data ────┼──► poll_transmit
//!   bodies above CHUNK_LEN ────────► large ───┘    in this order; large ones a chunk at a time
//! ```
//!
//! All senders of a connection share one [`Outbound`] behind a mutex, so every method is quick: small
//! payloads are encoded straight into the buffer that the socket will be given.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::bounds::{CHUNK_HEADER_LEN, CHUNK_LEN, HEADER_ALLOWANCE, MAX_REASON_LEN};
use super::error::CloseCode;
use super::frame::{Draft, FrameKind, begin_frame, end_frame, put_nonce, requests_in};
use super::hello::Limits;
use super::large::{Large, Queue};
use super::message::{self, FLAG_COMPRESSED, FLAG_METADATA, Head, MessageKind, put_head};
use super::nacks::Nacks;
use super::operations::{put_failure, put_operation, put_outcome, put_terminated};
use super::payload::{Payload, SendError};
use super::pieces::{Pieces, hand_over};
use super::role::Role;
use super::tables::{Alias, Full, Tables, key_of};
use super::tells::Tells;
use super::transmit::Transmit;
use crate::base::encode::cost;
use crate::base::text::cut_text;
use crate::base::varint::{micros, put_string, put_varint};
use crate::failure::{Failure, Terminated};
use crate::metadata::Metadata;
use crate::operation::{Operation, Outcome};

/// Once this many bytes are ready, no more chunks are added to them.
pub const TRANSMIT_TARGET: usize = 256 * 1024;
/// Largest buffer that is kept while there is nothing to send, in bytes: a part of the few KiB that an idle
/// connection holds. 8 KiB.
pub const IDLE_CAPACITY: usize = 8 * 1024;
/// Room that is made at once for what is likely to be as much as the last time, at most. 64 KiB.
const EXPECTED_LEN: usize = 64 * 1024;
/// Largest buffer that is kept between two writes, in bytes.
pub const BUSY_CAPACITY: usize = 256 * 1024;

/// The sending half of a link. `Debug` shows how much there is to send, not what.
pub struct Outbound {
    role: Role,
    pub(super) limits: Limits,
    pub(super) chunk_len: usize,
    /// A body of so many bytes is neither cut into chunks nor too large, whatever is its payload.
    pub(super) short_len: usize,
    pub(super) tables: Tables,
    pub(super) control: Vec<u8>,
    pub(super) data: Vec<u8>,
    /// Parts of `data` that are not written there.
    pub(super) pieces: Pieces,
    /// How much of `data` was given out last.
    expected: usize,
    pub(super) large: Queue,
    /// CLOSE, which waits for everything else.
    pub(super) close: Vec<u8>,
    /// Only the last ping is answered, so a peer that only pings does not make this side hoard answers.
    pub(super) pong: Option<u64>,
    /// A ping is to go behind everything.
    pub(super) wants_fence: bool,
    pub(super) nacks: Nacks,
    pub(super) tells: Tells,
}

impl Outbound {
    /// The sending half for `role`, with the limits of the session.
    pub fn new(role: Role, limits: Limits) -> Self {
        let frame_len = usize::try_from(limits.max_frame_len).unwrap_or(usize::MAX);
        let chunk_len = CHUNK_LEN.min(frame_len.saturating_sub(CHUNK_HEADER_LEN));
        let message_len = usize::try_from(limits.max_message_len).unwrap_or(usize::MAX);
        Self {
            role,
            limits,
            chunk_len,
            short_len: chunk_len.min(message_len),
            tables: Tables::new(limits),
            control: Vec::new(),
            data: Vec::new(),
            pieces: Pieces::default(),
            expected: 0,
            large: Queue::new(chunk_len),
            close: Vec::new(),
            pong: None,
            wants_fence: false,
            nacks: Nacks::default(),
            tells: Tells::default(),
        }
    }

    /// Changes whenever all aliases become invalid.
    pub fn epoch(&self) -> u32 {
        self.tables.epoch()
    }

    /// Whether an alias is of the current epoch.
    pub fn is_current(&self, alias: Alias) -> bool {
        alias.epoch == self.tables.epoch()
    }

    /// The alias of a receiver; defines it when it is new. `uid` names one life of the actor.
    ///
    /// A full table is emptied first, all three of them are, and the epoch changes. So resolve all
    /// aliases of a message, then check with [`Outbound::is_current`] that none is outdated, else redo.
    pub fn receiver(&mut self, path: &str, uid: Option<u64>) -> Alias {
        self.define(|tables, out| tables.receiver(out, path, uid))
    }

    /// The alias of a sender's address; see [`Outbound::receiver`].
    pub fn sender(&mut self, address: &str) -> Alias {
        self.define(|tables, out| tables.senders.define(out, address))
    }

    /// The alias of a sender that the caller knows by a number, which is looked up first.
    #[inline]
    pub(super) fn sender_by(&mut self, key: u64, address: &dyn fmt::Display) -> Alias {
        self.define(|tables, out| tables.senders.define_by(out, key, address))
    }

    /// The alias of a message type; see [`Outbound::receiver`].
    pub fn message_type(&mut self, name: &str) -> Alias {
        self.define(|tables, out| tables.types.define(out, name))
    }

    /// The alias of a message type whose name lives as long as the program: its place in memory is as good as
    /// its text.
    #[inline]
    pub(super) fn static_type(&mut self, name: &'static str) -> Alias {
        self.define(|tables, out| tables.types.define_by(out, key_of(name), &name))
    }

    /// The names of the current epoch.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    #[inline]
    fn define(
        &mut self,
        mut find: impl FnMut(&mut Tables, &mut Vec<u8>) -> Result<u32, Full>,
    ) -> Alias {
        debug_assert_eq!(self.role, Role::Dialer, "only the dialer defines aliases");
        let id = find(&mut self.tables, &mut self.data).or_else(|Full| {
            self.reset();
            find(&mut self.tables, &mut self.data)
        });
        Alias { id: id.unwrap_or(u32::MAX), epoch: self.tables.epoch() }
    }

    /// Large messages speak in aliases of this epoch, so they go out before it ends.
    fn reset(&mut self) {
        self.large.flush_messages(&mut self.data);
        self.tables.reset(&mut self.data);
    }

    /// How many bytes the receiver still takes; 0 for an alias of an earlier epoch.
    ///
    /// A message may be sent while this is above zero, even if it costs more than is left.
    pub fn credit(&self, receiver: Alias) -> i64 {
        match self.tables.get(receiver.id) {
            Some(entry) if self.is_current(receiver) => entry.credit,
            _ => 0,
        }
    }

    /// The receiver has taken `bytes`. False if that was in an earlier epoch, or is about no receiver.
    pub fn handle_credit(&mut self, receiver: u32, epoch: u32, bytes: u64) -> bool {
        let window = self.tables.window();
        if epoch != self.tables.epoch() {
            return false;
        }
        let Some(entry) = self.tables.get_mut(receiver) else { return false };
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        entry.credit = entry.credit.saturating_add(bytes).min(window);
        true
    }

    /// Whether a large message to this receiver is not fully given out. Later ones must wait for it.
    pub fn is_receiver_busy(&self, receiver: Alias) -> bool {
        self.is_current(receiver) && self.tables.get(receiver.id).is_some_and(|entry| entry.is_busy)
    }

    /// Accepts a message and takes its cost off the receiver's credit, which is not checked here.
    ///
    /// # Errors
    /// [`SendError`]; nothing of the message was sent.
    pub fn message(
        &mut self,
        kind: MessageKind,
        head: &Head<'_>,
        payload: Payload<'_>,
    ) -> Result<(), SendError> {
        debug_assert_eq!(self.role, Role::Dialer, "only the dialer sends messages");
        let receiver = self.tables.get(head.receiver).ok_or(SendError::Undefined)?;
        if !self.tables.knows(head.sender, head.type_id) {
            return Err(SendError::Undefined);
        }
        if receiver.is_busy {
            return Err(SendError::Busy);
        }
        let raw_len = payload.raw_len();
        let sent = self.put_payload(kind.frame_kind(), payload, |out| {
            put_head(out, kind, head, raw_len);
        })?;
        let raw_len = raw_len.map_or(sent.payload_len, |len| len as usize);
        let cost = i64::try_from(cost(raw_len)).unwrap_or(i64::MAX);
        if let Some(entry) = self.tables.get_mut(head.receiver) {
            entry.credit = entry.credit.saturating_sub(cost);
            entry.is_busy = sent.large.is_some();
        }
        if let Some(mut large) = sent.large {
            large.receiver = Some((head.receiver, cost));
            large.corr = kind.corr();
            self.large.push(large);
        }
        Ok(())
    }

    /// Accepts the reply to an ask, or the empty one to a confirm.
    ///
    /// # Errors
    /// [`SendError`]; nothing of the reply was sent, so [`Outbound::fail`] still can.
    pub fn reply(&mut self, corr: u64, payload: Payload<'_>) -> Result<(), SendError> {
        debug_assert_eq!(self.role, Role::Acceptor, "only the acceptor sends replies");
        let raw_len = payload.raw_len();
        let sent = self.put_payload(FrameKind::Reply, payload, |out| {
            put_varint(out, corr);
            match raw_len {
                None => out.push(0),
                Some(raw_len) => {
                    out.push(FLAG_COMPRESSED);
                    put_varint(out, u64::from(raw_len));
                }
            }
        })?;
        if let Some(mut large) = sent.large {
            large.corr = Some(corr);
            self.large.push(large);
        }
        Ok(())
    }

    /// Writes a frame with a payload to `data`, or makes a [`Large`] of it. Takes everything back when
    /// the payload fails, or panics, or is too large.
    fn put_payload(
        &mut self,
        kind: FrameKind,
        payload: Payload<'_>,
        put_head: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Sent, SendError> {
        let limit = u64::from(self.limits.max_message_len);
        let check = |len: usize| check(len, limit);
        if let Payload::Ready { bytes, raw_len } = &payload {
            check(bytes.len().max(raw_len.map_or(0, |len| len as usize)))?;
        }
        if self.data.capacity() == 0 {
            self.make_room();
        }
        let frame = Draft::begin(&mut self.data, kind);
        put_head(frame.out);
        let head_len = frame.body_len();
        self::check(head_len, self.chunk_len as u64)?;
        let is_large = |len: usize| len.saturating_add(head_len) > self.chunk_len;
        let payload = match payload {
            Payload::Ready { bytes, .. } if is_large(bytes.len()) => bytes,
            Payload::Ready { bytes, .. } => {
                frame.out.extend_from_slice(&bytes);
                frame.end();
                return Ok(Sent { payload_len: bytes.len(), large: None });
            }
            Payload::Encode(payload) => {
                payload.encode(frame.out)?;
                let payload_len = frame.body_len().saturating_sub(head_len);
                if !is_large(payload_len) {
                    check(payload_len)?;
                    frame.end();
                    return Ok(Sent { payload_len, large: None });
                }
                frame.body().get(head_len..).unwrap_or_default().to_vec().into()
            }
        };
        check(payload.len())?;
        let head = frame.body().get(..head_len).unwrap_or_default().to_vec();
        let payload_len = payload.len();
        Ok(Sent { payload_len, large: Some(Large::new(kind, head, payload)) })
    }

    /// The buffer is given up whenever the connection comes to rest. To grow anew step by step takes longer.
    #[cold]
    pub(super) fn make_room(&mut self) {
        self.data.reserve(self.expected.min(EXPECTED_LEN));
    }

    /// Tells the asker that a confirm, ask or request has failed.
    pub fn fail(&mut self, corr: u64, failure: &Failure) {
        let start = begin_frame(&mut self.data, FrameKind::Fail);
        put_varint(&mut self.data, corr);
        put_failure(&mut self.data, failure);
        end_frame(&mut self.data, start);
    }

    /// Tells the sender that a tell has failed. Equal ones in a row go out as one with a count.
    pub fn nack(
        &mut self,
        receiver: u32,
        sender: Option<u32>,
        type_id: u32,
        epoch: u32,
        failure: &Failure,
    ) {
        self.nacks.add(&mut self.data, (receiver, sender, type_id, epoch), failure);
    }

    /// Accepts an operation.
    ///
    /// One that ends or changes an actor stays behind the messages accepted before it, but for large
    /// ones; the others go ahead of messages.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] for a spawn argument above the limit of messages; nothing was sent.
    pub fn request(
        &mut self,
        corr: u64,
        remaining: Option<Duration>,
        metadata: Option<&Metadata>,
        operation: &Operation,
    ) -> Result<(), SendError> {
        debug_assert_eq!(self.role, Role::Dialer, "only the dialer sends requests");
        let is_in_line = matches!(
            operation,
            Operation::Stop { .. } | Operation::Respawn { .. } | Operation::Reinstate { .. }
        );
        self.put_operation(FrameKind::Request, corr, is_in_line, |out| {
            // 0 means "no limit", so what is left of a limit is at least a microsecond.
            put_varint(out, remaining.map_or(0, |remaining| micros(remaining).max(1)));
            match metadata.filter(|metadata| !metadata.is_empty()) {
                None => out.push(0),
                Some(metadata) => {
                    out.push(FLAG_METADATA);
                    message::put_metadata(out, metadata);
                }
            }
            put_operation(out, operation);
        })
    }

    /// Accepts the outcome of an operation. One that is too large for the link goes out as a failure.
    pub fn respond(&mut self, corr: u64, outcome: &Outcome) {
        let put = |out: &mut Vec<u8>| put_outcome(out, outcome);
        if let Err(SendError::TooLarge { size, limit }) =
            self.put_operation(FrameKind::Response, corr, false, put)
        {
            self.fail(corr, &Failure::too_large(size, limit));
        }
    }

    /// Puts an operation in line with messages, or ahead of them.
    fn put_operation(
        &mut self,
        kind: FrameKind,
        corr: u64,
        is_in_line: bool,
        put: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), SendError> {
        let limit = u64::from(self.limits.max_message_len).saturating_add(HEADER_ALLOWANCE as u64);
        let out = if is_in_line { &mut self.data } else { &mut self.control };
        let frame = Draft::begin(out, kind);
        put_varint(frame.out, corr);
        let head_len = frame.body_len();
        put(frame.out);
        check(frame.body_len(), limit)?;
        if frame.body_len() <= self.chunk_len {
            frame.end();
            return Ok(());
        }
        let (head, payload) = frame.body().split_at_checked(head_len).unwrap_or_default();
        let mut large = Large::new(kind, head.to_vec(), Bytes::copy_from_slice(payload));
        large.corr = Some(corr);
        drop(frame);
        self.large.push(large);
        Ok(())
    }

    /// Tells a watcher how the actor ended.
    pub fn terminated(&mut self, watch_id: u64, reason: &Terminated) {
        let start = begin_frame(&mut self.control, FrameKind::Terminated);
        put_varint(&mut self.control, watch_id);
        put_terminated(&mut self.control, reason);
        end_frame(&mut self.control, start);
    }

    /// Lets the peer send `bytes` more to a receiver.
    pub fn grant(&mut self, receiver: u32, epoch: u32, bytes: u64) {
        let start = begin_frame(&mut self.control, FrameKind::Credit);
        put_varint(&mut self.control, u64::from(receiver));
        put_varint(&mut self.control, u64::from(epoch));
        put_varint(&mut self.control, bytes);
        end_frame(&mut self.control, start);
    }

    /// Gives up on a confirm, ask or request; on the acceptor's side, on what is unsent of its reply.
    ///
    /// The unsent rest of a large one is dropped, and what it cost in credit comes back.
    pub fn cancel(&mut self, corr: u64) {
        if !self.abort(corr) && self.role == Role::Dialer {
            let start = begin_frame(&mut self.data, FrameKind::Cancel);
            put_varint(&mut self.data, corr);
            end_frame(&mut self.data, start);
        }
    }

    /// Drops what is unsent of a large body, whose cost in credit comes back; false if nothing is.
    pub fn abort(&mut self, corr: u64) -> bool {
        let Some(large) = self.large.abort(&mut self.data, corr) else { return false };
        let window = self.tables.window();
        if let Some((receiver, cost)) = large.receiver
            && let Some(entry) = self.tables.get_mut(receiver)
        {
            entry.is_busy = false;
            entry.credit = entry.credit.saturating_add(cost).min(window);
        }
        true
    }

    /// Asks whether the peer is there.
    pub fn ping(&mut self, nonce: u64) {
        put_nonce(&mut self.control, FrameKind::Ping, nonce);
    }

    /// Asks whether the peer is there, and what it has taken.
    pub(super) fn ping_for_proof(&mut self) {
        let nonce = self.tells.ping();
        self.ping(nonce);
    }

    /// Asks the peer what it has taken, unless that has been asked.
    pub(super) fn prove(&mut self) {
        if self.tells.unpinged() > 0 {
            self.ping_for_proof();
        }
    }

    /// The same for all that was accepted.
    pub(super) fn prove_all(&mut self) {
        self.tells.await_proof();
        self.prove();
    }

    /// Sends a ping behind all that was accepted, once the last of it is out.
    pub(super) fn fence(&mut self) {
        self.wants_fence = true;
    }

    /// Answers a ping, and with it all earlier ones that have not been answered yet.
    pub fn pong(&mut self, nonce: u64) {
        self.pong = Some(nonce);
    }

    /// Asks the peer to send nothing new. Text above [`MAX_REASON_LEN`] bytes is cut.
    pub fn goaway(&mut self, code: CloseCode, text: &str) {
        put_reason(&mut self.control, FrameKind::GoAway, code, text);
    }

    /// Tells the peer why it ends, once everything else is out. Text above [`MAX_REASON_LEN`] bytes is cut.
    pub fn close(&mut self, code: CloseCode, text: &str) {
        self.close.clear();
        put_reason(&mut self.close, FrameKind::Close, code, text);
    }

    /// Tells the peer why the connection ends, without what is unsent of large bodies.
    pub fn close_now(&mut self, code: CloseCode, text: &str) {
        self.tells.drop_large(self.large.tells());
        self.large.clear();
        self.close(code, text);
    }

    /// The numbers of requests that were not given out to their end.
    pub(super) fn unsent_requests(&self) -> Vec<u64> {
        let small = [requests_in(&self.control), requests_in(&self.data)].concat();
        small.into_iter().chain(self.large.numbers()).collect()
    }

    /// Appends what to write next to `out`; false when there is nothing.
    ///
    /// Control comes first, then small frames, then chunks of the large bodies in turn until [`TRANSMIT_TARGET`] bytes
    /// are ready. With an empty `out` the buffers change places and nothing is copied, so give the used one back
    /// next time. [`Segments`](super::Segments) also share the large bodies instead of copying their chunks.
    #[inline]
    pub fn poll_transmit(&mut self, out: &mut impl Transmit) -> bool {
        // Asked after each read and each write, it mostly has nothing.
        if self.is_at_rest() {
            return false;
        }
        self.transmit(out)
    }

    fn transmit(&mut self, out: &mut impl Transmit) -> bool {
        let before = out.len();
        let has_nacks = self.nacks.flush(&mut self.data);
        if let Some(nonce) = self.pong.take() {
            // It says that what came before the ping is taken or refused, so not before those refusals.
            let out = if has_nacks { &mut self.data } else { &mut self.control };
            put_nonce(out, FrameKind::Pong, nonce);
        }
        hand_over(&mut self.control, out.bytes());
        if !self.data.is_empty() {
            self.expected = self.data.len();
        }
        self.pieces.hand_over(&mut self.data, out);
        let (large, tables) = (&mut self.large, &mut self.tables);
        if !large.is_empty() {
            large.put_chunks(out, before.saturating_add(TRANSMIT_TARGET), |large| {
                let receiver = large.receiver.and_then(|(receiver, _)| tables.get_mut(receiver));
                if let Some(entry) = receiver {
                    entry.is_busy = false;
                }
            });
        }
        if self.tells.give(self.large.tells()) {
            put_nonce(out.bytes(), FrameKind::Ping, self.tells.ping());
        }
        if self.large.is_empty() {
            if std::mem::take(&mut self.wants_fence) {
                put_nonce(out.bytes(), FrameKind::Ping, self.tells.fence());
            }
            hand_over(&mut self.close, out.bytes());
        }
        let is_busy = out.len() > before;
        let keep = if is_busy { BUSY_CAPACITY } else { IDLE_CAPACITY };
        for buffer in [&mut self.control, &mut self.data] {
            if buffer.capacity() > keep {
                *buffer = Vec::new();
            }
        }
        is_busy
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("role", &self.role)
            .field("limits", &self.limits)
            .field("epoch", &self.epoch())
            .field("buffered", &self.buffered())
            .finish_non_exhaustive()
    }
}

/// What became of a payload.
struct Sent {
    payload_len: usize,
    /// Set when it has to go out in chunks.
    large: Option<Large>,
}

#[inline]
fn check(len: usize, limit: u64) -> Result<(), SendError> {
    let size = len as u64;
    if size > limit { Err(SendError::TooLarge { size, limit }) } else { Ok(()) }
}

pub(super) fn put_reason(out: &mut Vec<u8>, kind: FrameKind, code: CloseCode, text: &str) {
    let start = begin_frame(out, kind);
    out.push(code.as_u8());
    put_string(out, cut_text(text, MAX_REASON_LEN));
    end_frame(out, start);
}
