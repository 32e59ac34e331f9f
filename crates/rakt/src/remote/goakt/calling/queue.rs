//! Messages that wait for the driver of a connection.
//!
//! What is told to one receiver in a row, of one type and by one sender, becomes one request while it
//! waits here: the node answers all of it at once, and reads the names of all of it once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use rakt_wire::goakt::{Outgoing, Payload};
use rakt_wire::{Address, Metadata};

use crate::answer::Fate;
use crate::slot::Slot;

/// Most messages in one request.
const MAX_JOINED: usize = 256;
/// Bytes of a request beyond which no message is joined to it. 64 KiB.
const MAX_JOINED_LEN: usize = 64 * 1024;
/// Memory that is kept for the next messages, in bytes.
const KEPT_CAPACITY: usize = 256 * 1024;

/// A receiver, as all references to it share it.
pub(super) struct ReceiverEntry {
    /// Its address as Go nodes read it.
    pub(super) address: Arc<str>,
    pub(super) place: Address,
    /// Which of the outboxes is its own.
    pub(super) outbox: usize,
    /// The number of the last request with a message to it.
    pub(super) last: AtomicU64,
}

/// Messages that become one request.
pub(super) struct Group {
    pub(super) receiver: Arc<ReceiverEntry>,
    pub(super) sender: Arc<str>,
    pub(super) type_name: &'static str,
    pub(super) headers: Option<Box<Metadata>>,
    /// Who waits for the confirmation.
    pub(super) slot: Option<Arc<Slot<Fate>>>,
    pub(super) count: usize,
    /// Bytes that it takes up in a request, or a little more.
    pub(super) len: usize,
    /// A payload that lies on its own.
    pub(super) large: Option<Vec<u8>>,
    /// Where the first payload begins in the arena, and which of the ends is its own.
    start: usize,
    first: usize,
}

#[derive(Default)]
pub(super) struct Queue {
    groups: VecDeque<Group>,
    /// Small payloads, one behind the other.
    arena: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    /// Bytes of all that waits.
    len: usize,
}

/// A message to be queued.
pub(super) struct Tell<'a> {
    pub(super) receiver: &'a Arc<ReceiverEntry>,
    pub(super) sender: &'a Arc<str>,
    pub(super) type_name: &'static str,
    pub(super) headers: Option<&'a Metadata>,
    pub(super) slot: Option<Arc<Slot<Fate>>>,
}

impl Tell<'_> {
    /// Bytes that the message takes up besides its payload, at most: texts, and what frames them.
    pub(super) fn overhead(&self) -> usize {
        let headers = self.headers.map_or(0, |headers| headers.encoded_len() + 4 * headers.len());
        self.receiver.address.len() + self.sender.len() + self.type_name.len() + headers + 128
    }

    /// Whether it may be part of the request.
    fn joins(&self, group: &Group) -> bool {
        self.slot.is_none()
            && group.slot.is_none()
            && self.headers.is_none()
            && group.headers.is_none()
            && group.large.is_none()
            && group.count < MAX_JOINED
            && Arc::ptr_eq(self.receiver, &group.receiver)
            && Arc::ptr_eq(self.sender, &group.sender)
            && std::ptr::eq(self.type_name, group.type_name)
    }
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Where a small payload is written before it is [pushed](Self::push_small).
    pub(super) fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.arena
    }

    /// The end of what was pushed.
    pub(super) fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Queues the message whose payload was written to the arena. True if it begins a request.
    pub(super) fn push_small(&mut self, tell: Tell<'_>, max_frame_len: usize) -> bool {
        let start = self.end();
        let len = self.arena.len() - start + tell.overhead();
        self.len += len;
        let first = self.ends.len();
        self.ends.push(self.arena.len());
        let most = MAX_JOINED_LEN.min(max_frame_len / 2);
        if let Some(last) = self.groups.back_mut()
            && tell.joins(last)
            && last.len + len <= most
        {
            last.count += 1;
            last.len += len;
            return false;
        }
        self.groups.push_back(Group { start, first, ..Group::new(tell, len, None) });
        true
    }

    /// Queues a message with a payload of its own.
    pub(super) fn push_large(&mut self, tell: Tell<'_>, payload: Vec<u8>) {
        let len = payload.len() + tell.overhead();
        self.len += len;
        self.groups.push_back(Group::new(tell, len, Some(payload)));
    }

    /// Takes out the first request; its payloads stay until all are taken.
    pub(super) fn pop(&mut self) -> Option<Group> {
        let group = self.groups.pop_front()?;
        self.len -= group.len;
        Some(group)
    }

    /// Forgets the payloads of what was taken, when that is everything.
    pub(super) fn tidy(&mut self) {
        if self.groups.is_empty() {
            self.arena.clear();
            self.arena.shrink_to(KEPT_CAPACITY);
            self.ends.clear();
            self.ends.shrink_to(KEPT_CAPACITY / size_of::<usize>());
        }
    }

    /// The messages of a request that was taken out, as they go out.
    pub(super) fn messages<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = Outgoing<'a>> {
        let mut start = group.start;
        let ends = self.ends.get(group.first..group.first + group.count).unwrap_or_default();
        let small = ends.iter().map(move |end| {
            let payload = self.arena.get(start..*end).unwrap_or_default();
            start = *end;
            payload
        });
        let small = small.filter(|_| group.large.is_none());
        small.chain(group.large.as_deref()).map(|bytes| group.message(bytes))
    }
}

impl Group {
    fn new(tell: Tell<'_>, len: usize, large: Option<Vec<u8>>) -> Self {
        Self {
            receiver: tell.receiver.clone(),
            sender: tell.sender.clone(),
            type_name: tell.type_name,
            headers: tell.headers.cloned().map(Box::new),
            slot: tell.slot,
            count: 1,
            len,
            large,
            start: 0,
            first: 0,
        }
    }

    fn message<'a>(&'a self, bytes: &'a [u8]) -> Outgoing<'a> {
        Outgoing {
            sender: &self.sender,
            receiver: &self.receiver.address,
            payload: Payload { type_name: self.type_name, bytes },
        }
    }
}
