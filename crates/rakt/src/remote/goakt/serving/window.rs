//! How much may wait for one receiver.
//!
//! GoAkt has no credit. But a Go node sends nothing further over a connection before it has an answer, so a request
//! that finds no room is kept until there is some, and its connection is not read on meanwhile. That holds back who
//! sends to a slow actor, as a full mailbox does, before it takes up what the node has for the messages of all peers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::remote::weak_map::WeakMap;
use crate::sync::Mutex;

/// The bytes that may wait for one receiver, from all Go nodes together. Who comes first is let in first.
pub(super) type Window = Arc<Semaphore>;

/// The windows of all receivers.
pub(super) struct Windows {
    len: u32,
    /// By the numbers of the receivers' lives, and their paths: grains of a cluster may live anywhere, and have no number here.
    known: Mutex<WeakMap<(u64, Box<str>), Semaphore>>,
}

impl Windows {
    /// Each has `len` bytes.
    pub(super) fn new(len: u32) -> Self {
        Self { len, known: Mutex::default() }
    }

    pub(super) fn of(&self, uid: u64, path: &str) -> Window {
        let receiver = (uid, path.into());
        let mut known = self.known.lock();
        known.get(&receiver).unwrap_or_else(|| {
            let window = Arc::new(Semaphore::new(self.len as usize));
            known.insert(receiver, &window);
            window
        })
    }

    /// What so many bytes take of a window: those of one message may be more than all of it.
    fn bounded(&self, bytes: u64) -> u32 {
        u32::try_from(bytes).map_or(self.len, |bytes| bytes.min(self.len))
    }
}

/// What messages take of the window of their receiver, which is free again when this is dropped.
pub(super) struct Room(OwnedSemaphorePermit);

impl Room {
    /// The room of so many of the bytes, or what is left of it.
    pub(super) fn split(&mut self, bytes: u64) -> Self {
        let left = self.0.num_permits();
        let bytes = usize::try_from(bytes).map_or(left, |bytes| bytes.min(left));
        Self(self.0.split(bytes).expect("no more than is left"))
    }
}

type Entering = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// The place in the line before a window, where a request has to wait there.
#[derive(Default)]
pub(super) struct InLine(Option<Entering>);

impl InLine {
    pub(super) fn is_waiting(&self) -> bool {
        self.0.is_some()
    }

    /// Room for so many bytes, or a place in the line for it; `waker` is woken once there is room.
    pub(super) fn enter(
        &mut self,
        windows: &Windows,
        (window, bytes): (&Window, u64),
        waker: &Waker,
    ) -> Option<Room> {
        let bytes = windows.bounded(bytes);
        let entering = match &mut self.0 {
            Some(entering) => entering,
            None => match window.clone().try_acquire_many_owned(bytes) {
                Ok(permit) => return Some(Room(permit)),
                Err(_) => self.0.insert(Box::pin(window.clone().acquire_many_owned(bytes))),
            },
        };
        match entering.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(permit) => {
                self.0 = None;
                Some(Room(permit.expect("windows are never closed")))
            }
            Poll::Pending => None,
        }
    }
}
