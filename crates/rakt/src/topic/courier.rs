//! How messages get to a subscriber on another node: its connection may have to be made first, or have no room.

use std::sync::Arc;

use rakt_wire::Metadata;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::error::{Bound, Refusal};
use crate::events::DeadLetter;
use crate::message::allowance::Kept;
use crate::message::{Message, message_name};
use crate::peer::Peer;
use crate::reference::{ActorRef, Recipient, Takes};
use crate::send::Tell;
use crate::system::ActorSystem;

/// Messages that wait for one subscriber.
const WAITING: usize = 1024;
/// Messages that wait for all of one topic: a peer that subscribes many actors which take nothing must not have each of
/// its messages kept for all of them.
const ALL_WAITING: usize = 65_536;

/// The room for what waits, of all couriers of a topic.
pub(super) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(ALL_WAITING))
}

/// A message on its way to one subscriber. Dropped before it was given to that, it is a dead letter.
pub(super) struct Parcel<M: Message> {
    pub(super) to: Recipient<M>,
    pub(super) message: Option<M>,
    pub(super) about: About,
    pub(super) kept: Option<Kept>,
    /// Its place among all that wait.
    pub(super) place: Option<OwnedSemaphorePermit>,
    pub(super) system: ActorSystem,
    /// Why it was not taken.
    pub(super) refusal: Refusal,
}

/// What comes with a message.
#[derive(Clone)]
pub(super) struct About {
    pub(super) sender: Option<ActorRef>,
    pub(super) peer: Option<Peer>,
    pub(super) metadata: Option<Metadata>,
}

impl<M: Message> Parcel<M> {
    fn tell(&mut self) -> Option<Tell<'static, Takes<M>, M>> {
        let tell = Tell::owned(self.to.clone(), self.message.take()?);
        let mut tell = tell.of_peer(self.about.peer.clone());
        if let Some(sender) = &self.about.sender {
            tell = tell.sender(sender);
        }
        if let Some(metadata) = self.about.metadata.take() {
            tell = tell.metadata(metadata);
        }
        Some(tell)
    }

    /// Gives it to its receiver, if that takes no waiting.
    pub(super) fn give(mut self) {
        let kept = self.kept.take();
        let told = self.tell().map(|tell| tell.keeping(kept).now());
        if let Some(Err(error)) = told {
            (self.message, self.refusal) = (Some(error.message), error.refusal);
        }
    }

    /// The same, with waiting.
    async fn bring(mut self) {
        let Some(tell) = self.tell() else { return };
        if let Err(error) = tell.await {
            (self.message, self.refusal) = (Some(error.message), error.refusal);
        }
    }
}

impl<M: Message> Drop for Parcel<M> {
    fn drop(&mut self) {
        if self.message.take().is_none() {
            return;
        }
        let Self { to, about, system, refusal, .. } = self;
        system.dead_letter(|| DeadLetter {
            target: to.address().into(),
            sender: about.sender.as_ref().map(ActorRef::address),
            message: message_name::<M>().to_owned(),
            reason: refusal.clone(),
            count: 1,
        });
    }
}

/// Brings messages to one subscriber, one after the other. Dropped, it brings nothing more: what waits are dead letters.
pub(super) struct Courier<M: Message> {
    waiting: mpsc::Sender<Parcel<M>>,
    room: Arc<Semaphore>,
    task: AbortHandle,
}

impl<M: Message> Courier<M> {
    pub(super) fn start(system: &ActorSystem, room: &Arc<Semaphore>) -> Self {
        let (waiting, mut parcels) = mpsc::channel::<Parcel<M>>(WAITING);
        let task = system.runtime().spawn(async move {
            while let Some(parcel) = parcels.recv().await {
                parcel.bring().await;
            }
        });
        Self { waiting, room: room.clone(), task: task.abort_handle() }
    }

    pub(super) fn take(&self, mut parcel: Parcel<M>) {
        let Ok(place) = self.room.clone().try_acquire_owned() else {
            parcel.refusal = too_many(ALL_WAITING);
            return;
        };
        parcel.place = Some(place);
        if let Err(TrySendError::Full(mut parcel)) = self.waiting.try_send(parcel) {
            parcel.refusal = too_many(WAITING);
        }
    }
}

impl<M: Message> Drop for Courier<M> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn too_many(limit: usize) -> Refusal {
    Refusal::ResourceExhausted { bound: Bound::OutboundBuffer, limit: limit as u64 }
}
