//! The accepting side of a connection on a small host, for tests that join two sessions without a network.
//!
//! The tests of `native` stand on it and the fuzz target of the sessions does, which is not in the package;
//! this is.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes};

use rakt_wire::native::{
    Accepting, Alias, Arrivals, Body, Budget, Hello, Host, Limits, LinkError, Message, MessageKind,
    NamedReceiver, Names, Replies, ReplyBudget, Request, Session,
};
use rakt_wire::{Code, Compression, Failure};

/// A host with one queue for all its actors.
pub(crate) struct Far {
    pub(crate) accepting: Accepting<Room>,
    /// For bodies that are under way.
    pub(crate) room: Room,
    /// For what the peer has named.
    pub(crate) names: Room,
    /// In the order of their arrival.
    pub(crate) arrived: VecDeque<Letter>,
    /// Why messages were refused for which the peer had no credit.
    pub(crate) refused: Vec<Failure>,
    pub(crate) cancelled: Vec<u64>,
    /// Numbers of the operations that were asked for.
    pub(crate) operations: VecDeque<u64>,
    /// The type of message that no actor accepts.
    pub(crate) not_accepted: &'static str,
}

/// A message in the queue.
pub(crate) struct Letter {
    pub(crate) path: Box<str>,
    pub(crate) uid: Option<u64>,
    pub(crate) from: Alias,
    pub(crate) kind: MessageKind,
    pub(crate) cost: u64,
    body: Body,
}

/// Bytes that may be held.
pub(crate) struct Room {
    pub(crate) held: usize,
    pub(crate) heads: usize,
    pub(crate) most: usize,
}

/// The session of either side, as agreed in a handshake.
pub(crate) fn session(limits: Limits) -> Session {
    let (compression, peer) = (Compression::None, Hello::new("test", [1; 16]));
    Session { version: 1, limits, compression, features: Vec::new(), peer }
}

/// Reads as a connection does: what belongs to a chunk goes there. What is left over stays in `unread`.
pub(crate) fn read_there(
    arrivals: &mut Arrivals<Far>,
    far: &mut Far,
    unread: &mut Vec<u8>,
    mut bytes: &[u8],
) -> Result<(), LinkError> {
    while !bytes.is_empty()
        && let Some(mut room) = arrivals.inbound().room()
    {
        assert!(unread.is_empty(), "all of it was taken");
        let (piece, rest) = bytes.split_at(bytes.len().min(room.remaining_mut()));
        room.put_slice(piece);
        bytes = rest;
        arrivals.handle_filled(far)?;
        arrivals.finish(Bytes::new(), far)?;
    }
    unread.extend_from_slice(bytes);
    let taken = arrivals.handle_bytes(unread, far);
    let block: Bytes = match &taken {
        Ok(taken) => unread.drain(..*taken).collect(),
        Err(_) => std::mem::take(unread).into(),
    };
    let finished = arrivals.finish(block, far);
    taken.and(finished)
}

/// The same on the side that dialed, from a peer that keeps to the protocol. `settle` is called with what
/// replies are in.
pub(crate) fn read_back(
    replies: &mut Replies,
    room: &mut Room,
    unread: &mut Vec<u8>,
    mut bytes: &[u8],
    mut settle: impl FnMut(&mut Replies, &[u8]),
) {
    while !bytes.is_empty()
        && let Some(mut place) = replies.inbound().room()
    {
        assert!(unread.is_empty(), "all of it was taken");
        let (piece, rest) = bytes.split_at(bytes.len().min(place.remaining_mut()));
        place.put_slice(piece);
        bytes = rest;
        replies.handle_filled(room).expect("the peer keeps to the protocol");
        settle(replies, &[]);
    }
    unread.extend_from_slice(bytes);
    let taken = replies.handle_bytes(unread, room);
    settle(replies, unread);
    drop(unread.drain(..taken.expect("the peer keeps to the protocol")));
}

impl Far {
    /// A host with room for all that comes.
    pub(crate) fn new(session: &Session) -> Self {
        Self {
            accepting: Accepting::new(session, Room::unlimited()),
            room: Room::unlimited(),
            names: Room::unlimited(),
            arrived: VecDeque::new(),
            refused: Vec::new(),
            cancelled: Vec::new(),
            operations: VecDeque::new(),
            not_accepted: "not accepted",
        }
    }
}

impl Letter {
    pub(crate) fn payload(&self) -> Bytes {
        self.body.clone().slice(&Bytes::new())
    }
}

impl Host for Far {
    type Receiver = Vec<Letter>;
    type Sender = ();
    type Replies = Room;

    fn accepting<T>(&mut self, f: impl FnOnce(&mut Accepting<Room>) -> T) -> T {
        f(&mut self.accepting)
    }

    fn cancelled(&mut self, corr: u64) {
        assert!(self.accepting.is_cancelled(corr));
        self.cancelled.push(corr);
    }

    fn count_name(&mut self, bytes: usize) -> Result<(), u64> {
        let limit = self.names.most as u64;
        self.names.admit(bytes).then_some(()).ok_or(limit)
    }

    fn forget_names(&mut self) {
        self.names.held = 0;
    }

    fn take(
        &mut self,
        receiver: &mut NamedReceiver<Vec<Letter>>,
        names: &mut Names<()>,
        message: Message,
        cost: u64,
    ) -> Result<(), Failure> {
        if &*names.types[message.type_id as usize] == self.not_accepted {
            return Err(Failure::new(Code::NotAccepted));
        }
        receiver.kept.push(Letter {
            path: receiver.path.clone(),
            uid: receiver.uid,
            from: Alias { id: message.receiver, epoch: 0 },
            kind: message.kind,
            cost,
            body: message.body,
        });
        Ok(())
    }

    fn deliver(
        &mut self,
        from: Alias,
        receiver: &mut NamedReceiver<Vec<Letter>>,
        block: Bytes,
        overrun: Option<Failure>,
    ) {
        for letter in receiver.kept.drain(..) {
            if let Some(failure) = &overrun {
                self.accepting.nack(from, None, 0, failure);
                self.refused.push(failure.clone());
                continue;
            }
            let body = Body::Whole(letter.body.slice(&block));
            self.arrived.push_back(Letter { from, body, ..letter });
        }
    }

    fn operate(&mut self, request: Request) {
        self.operations.push_back(request.corr);
    }

    fn no_room(&self) -> Failure {
        Failure { limit: self.room.most as u64, ..Failure::new(Code::ResourceExhausted) }
    }
}

impl Budget for Far {
    fn admit(&mut self, bytes: usize) -> bool {
        self.room.admit(bytes)
    }

    fn release(&mut self, bytes: usize) {
        self.room.release(bytes);
    }

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.room.admit_head(bytes)
    }

    fn release_head(&mut self, bytes: usize) {
        self.room.release_head(bytes);
    }
}

impl Room {
    pub(crate) fn unlimited() -> Self {
        Self::of(usize::MAX)
    }

    pub(crate) fn of(most: usize) -> Self {
        Self { held: 0, heads: 0, most }
    }
}

impl Budget for Room {
    fn admit(&mut self, bytes: usize) -> bool {
        let has_room = bytes <= self.most - self.held;
        self.held += if has_room { bytes } else { 0 };
        has_room
    }

    fn release(&mut self, bytes: usize) {
        self.held = self.held.checked_sub(bytes).expect("only what was admitted is released");
    }

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.heads += bytes;
        Ok(())
    }

    fn release_head(&mut self, bytes: usize) {
        self.heads = self.heads.checked_sub(bytes).expect("only what was admitted is released");
    }
}

impl ReplyBudget for Room {
    fn replace(&mut self, before: u64, now: u64) -> bool {
        let left = self.held.checked_sub(before as usize).expect("what was there was noted");
        self.held = left + now as usize;
        self.held <= self.most
    }

    fn limit(&self) -> u64 {
        self.most as u64
    }
}
