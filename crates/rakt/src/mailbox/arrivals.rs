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

/// The messages for one actor that a connection brought together, in the order they are handled. What is
/// taken or refused counts as consumed; the rest is given back to the connection's account as this is
/// dropped.
///
/// `payload`, `take`, `take_plain` and `refuse_first` are called only while there is a first one. What they,
/// `refuse_plain` and `refuse_all` do, they do outside of locks; all else is called under the lock of a mailbox: it must be quick, and wake nobody
/// but the driver of a connection.
#[allow(dead_code, reason = "for the remote half, which is a feature")]
pub(crate) trait Arrivals: Send {
    /// How many there are.
    fn len(&self) -> usize;

    /// Where the type of the first one is in the actor's list; `None` if there is none.
    fn first(&self) -> Option<u16>;

    /// The payload of the first one, to be decoded before that is taken.
    fn payload(&self) -> Result<Bytes, Refusal>;

    /// Room for what payloads become when they are decoded.
    fn room(&self) -> &dyn Room;

    /// Takes the first one off, and has `current` tell of it. Returns who waits for the reply, if anybody
    /// does.
    fn take(&mut self, current: &mut Current) -> Option<RemoteAsker>;

    /// Takes the first one off, if it is small, nothing came with it and nobody waits for its outcome, and has `current`
    /// tell of it. Returns its payload, to be decoded next: if that fails, it is [refused](Self::refuse_plain).
    fn take_plain(&mut self, current: &mut Current) -> Option<Bytes> {
        let _ = current;
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

        fn payload(&self) -> Result<Bytes, Refusal> {
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
