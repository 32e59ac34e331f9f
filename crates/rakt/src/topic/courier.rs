//! How messages get to a subscriber on another node: its connection may have to be made first, or have no room.

use rakt_wire::Metadata;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::error::{Bound, Refusal};
use crate::events::DeadLetter;
use crate::message::allowance::Kept;
use crate::message::{Message, message_name};
use crate::reference::{ActorRef, Recipient, Takes};
use crate::send::Tell;
use crate::system::ActorSystem;

/// Messages that wait for one subscriber.
const WAITING: usize = 1024;

/// A message on its way to one subscriber. Dropped before it was given to that, it is a dead letter.
pub(super) struct Parcel<M: Message> {
    pub(super) to: Recipient<M>,
    pub(super) message: Option<M>,
    pub(super) about: About,
    pub(super) kept: Option<Kept>,
    pub(super) system: ActorSystem,
    /// Why it was not taken.
    pub(super) refusal: Refusal,
}

/// What comes with a message.
#[derive(Clone)]
pub(super) struct About {
    pub(super) sender: Option<ActorRef>,
    pub(super) metadata: Option<Metadata>,
}

impl<M: Message> Parcel<M> {
    fn tell(&mut self) -> Option<Tell<'static, Takes<M>, M>> {
        let mut tell = Tell::owned(self.to.clone(), self.message.take()?);
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
    task: AbortHandle,
}

impl<M: Message> Courier<M> {
    pub(super) fn start(system: &ActorSystem) -> Self {
        let (waiting, mut parcels) = mpsc::channel::<Parcel<M>>(WAITING);
        let task = system.runtime().spawn(async move {
            while let Some(parcel) = parcels.recv().await {
                parcel.bring().await;
            }
        });
        Self { waiting, task: task.abort_handle() }
    }

    pub(super) fn take(&self, parcel: Parcel<M>) {
        if let Err(error) = self.waiting.try_send(parcel) {
            let (bound, limit) = (Bound::OutboundBuffer, WAITING as u64);
            error.into_inner().refusal = Refusal::ResourceExhausted { bound, limit };
        }
    }
}

impl<M: Message> Drop for Courier<M> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
