//! Messages from other nodes, as an actor and its mailbox see them.
//!
//! How they are written, counted and answered is the affair of the dialect that brought them.

use std::sync::Arc;

use bytes::Bytes;

use super::current::Current;
use super::reply::RemoteAsker;
use crate::error::Refusal;
use crate::message::allowance::Room;
use crate::peer::Peer;
use crate::reference::AnyCell;
use crate::signal::WatchKey;

/// An actor as connections from other nodes see it.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) trait Reachable: AnyCell {
    /// The kind by which a peer had it started.
    fn kind(&self) -> Option<&Arc<str>>;
    /// The peer that had it started.
    fn spawner(&self) -> Option<&Peer>;
    /// Whether peers may send the message of that name, and its place in the actor's list.
    fn accepted(&self, wire_name: &str) -> Option<u16>;
    /// The messages that peers may send, in the order of the list.
    fn wire_names(&self) -> Vec<&'static str>;
    /// Whether the payload of a message can be decoded.
    fn check(&self, entry: u16, payload: Bytes, room: &dyn Room) -> Result<(), Refusal>;
    fn push_arrivals(&self, arrivals: Box<dyn Arrivals>);
    /// Removes the watcher that is called.
    fn unwatch_call(&self, key: WatchKey);
    /// Closes the mailbox for good and turns down what is queued.
    fn abandon(&self, refusal: &Refusal);
}

/// Where the type of a message is in an actor's list, and whether the message is plain. One look tells both.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plain(u32);

impl Plain {
    /// No message has this.
    pub(crate) const UNKNOWN: Self = Self(u32::MAX);
    const NOT: u32 = 1 << 16;

    #[inline]
    pub(crate) fn of(entry: u16) -> Self {
        Self(entry.into())
    }

    /// The same place, with a message that is not plain.
    #[inline]
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn unless(self, is_plain: bool) -> Self {
        Self(self.0 | if is_plain { 0 } else { Self::NOT })
    }

    /// Where the type is in the list.
    #[inline]
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn entry(self) -> u16 {
        self.0 as u16
    }
}

/// Where a small payload is in the block that was read. Two words, which a function returns in registers.
#[derive(Clone, Copy)]
pub(crate) struct InBlock<'a> {
    pub(crate) block: &'a Bytes,
    place: u64,
}

impl<'a> InBlock<'a> {
    #[inline]
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn new(block: &'a Bytes, start: u32, len: u32) -> Self {
        Self { block, place: u64::from(start) << 32 | u64::from(len) }
    }

    /// Where it begins, and how long it is.
    #[inline]
    pub(crate) fn place(self) -> (usize, usize) {
        ((self.place >> 32) as usize, self.place as u32 as usize)
    }
}

/// The messages for one actor that a connection brought together, in the order they are handled. What is
/// taken or refused counts as consumed; the rest is given back to the connection's account as this is
/// dropped.
///
/// `payload`, `take` and `refuse_first` are called only while there is a first one. What they, `take_plain`,
/// `refuse_plain` and `refuse_all` do, they do outside of locks; all else is called under the lock of a mailbox: it must
/// be quick, and wake nobody but the driver of a connection.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) trait Arrivals: Send {
    /// How many there are.
    fn len(&self) -> usize;

    /// Where the type of the first one is in the actor's list; `None` if there is none.
    fn first(&self) -> Option<u16>;

    /// The payload of the first one, to be decoded before that is taken. To be asked for once.
    fn payload(&mut self) -> Result<Bytes, Refusal>;

    /// Room for what payloads become when they are decoded.
    fn room(&self) -> &dyn Room;

    /// Who waits to hear that the first one is in a mailbox. It is told by whoever takes that off: by a
    /// [confirmation](super::reply::ReplyTo::confirm) or a refusal.
    fn confirmer(&mut self) -> Option<RemoteAsker> {
        None
    }

    /// Takes the first one off, and has `current` tell of it. Returns who waits for the reply, if anybody
    /// does.
    fn take(&mut self, current: &mut Current) -> Option<RemoteAsker>;

    /// Takes the first one off, if there is one and it is `plain`: its type is at that place of the actor's list, it is
    /// small, nothing came with it and nobody waits for its outcome. Has `current` tell of it, and returns its payload, to
    /// be decoded next: if that fails, it is [refused](Self::refuse_plain).
    fn take_plain(&mut self, plain: Plain, current: &mut Current) -> Option<InBlock<'_>> {
        let _ = (plain, current);
        None
    }

    /// The one that was just taken as a plain one cannot be read.
    fn refuse_plain(&mut self, refusal: &Refusal) {
        let _ = refusal;
    }

    /// Takes the first one off, which cannot be read.
    fn refuse_first(&mut self, refusal: &Refusal);

    /// Takes the first `n` off, as arrivals of their own; all if there are no more.
    fn take_first(&mut self, n: usize) -> Box<dyn Arrivals>;

    /// They have to wait: lets go of memory that is not theirs.
    fn compact(&mut self);

    /// All of them are in the mailbox now: tells those senders who want to hear of that, once.
    fn confirm_all(&mut self);

    /// None of them is going to be handled, and why.
    fn refuse_all(self: Box<Self>, refusal: &Refusal);
}

/// Arrivals for tests.
#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::mailbox::reply::Cancellation;
    use crate::message::allowance::tests::TestRoom;

    /// Confirmed tells that are nothing but a number, and who hears of their confirmation.
    pub(crate) struct Numbers {
        pub(crate) numbers: VecDeque<u32>,
        pub(crate) confirmed: Arc<Mutex<Vec<u32>>>,
        is_confirmed: bool,
        room: TestRoom,
    }

    impl Numbers {
        pub(crate) fn new(
            confirmed: &Arc<Mutex<Vec<u32>>>,
            numbers: impl IntoIterator<Item = u32>,
        ) -> Box<Self> {
            let (numbers, confirmed) = (numbers.into_iter().collect(), confirmed.clone());
            let room = TestRoom::default();
            Box::new(Self { numbers, confirmed, is_confirmed: false, room })
        }
    }

    impl Arrivals for Numbers {
        fn len(&self) -> usize {
            self.numbers.len()
        }

        fn first(&self) -> Option<u16> {
            self.numbers.front().map(|_| 0)
        }

        fn payload(&mut self) -> Result<Bytes, Refusal> {
            Ok(Bytes::copy_from_slice(&self.numbers[0].to_be_bytes()))
        }

        fn room(&self) -> &dyn Room {
            &self.room
        }

        fn take(&mut self, current: &mut Current) -> Option<RemoteAsker> {
            self.numbers.pop_front();
            current.begin(None, None, None, Cancellation::Never);
            None
        }

        fn refuse_first(&mut self, _: &Refusal) {
            self.numbers.pop_front();
        }

        fn take_first(&mut self, n: usize) -> Box<dyn Arrivals> {
            let numbers = self.numbers.drain(..n.min(self.numbers.len())).collect();
            let (confirmed, is_confirmed) = (self.confirmed.clone(), self.is_confirmed);
            let room = TestRoom::default();
            Box::new(Self { numbers, confirmed, is_confirmed, room })
        }

        fn compact(&mut self) {}

        fn confirm_all(&mut self) {
            if !std::mem::replace(&mut self.is_confirmed, true) {
                self.confirmed.lock().expect("not poisoned").extend(&self.numbers);
            }
        }

        fn refuse_all(self: Box<Self>, _: &Refusal) {}
    }
}
