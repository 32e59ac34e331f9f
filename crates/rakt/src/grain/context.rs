//! What the code of a grain can do besides what any actor can.

use std::sync::Arc;
use std::time::Duration;

use super::Grain;
use super::activation::Activation;
use super::epoch::Epoch;
use super::id::GrainId;
use super::reference::GrainRef;
use super::store::{SaveError, StoreError};
use crate::context::Context;
use crate::error::{BoxError, Cause};
use crate::message::WireMessage;
use crate::message::reader::reading;

/// A grain was spawned as an actor.
#[derive(Debug, thiserror::Error)]
#[error("{0} is an actor that was spawned, not a grain: see `ActorSystem::grain`")]
struct NoGrain(String);

/// Of an actor that was spawned, although its type is one of grains, there is no state and no key.
impl<G: Grain> Context<G> {
    /// The activation that this is.
    pub(super) fn activation(&self) -> Arc<Activation> {
        self.find_activation().expect("only grains call this")
    }

    fn find_activation(&self) -> Option<Arc<Activation>> {
        self.cell.setup.grain()?.clone().downcast().ok()
    }

    fn grain_activation(&self) -> Result<Arc<Activation>, NoGrain> {
        self.find_activation().ok_or_else(|| NoGrain(self.path().to_owned()))
    }

    /// Which grain this is.
    ///
    /// # Panics
    /// If this was spawned as an actor, and is no grain.
    pub fn grain_id(&self) -> GrainId {
        self.grain_activation()
            .map(|activation| activation.id.clone())
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// The grain that this is, for whoever is to write to it: unlike [`me`](Context::me), which is over with this activation,
    /// it never is.
    ///
    /// # Panics
    /// If this was spawned as an actor, and is no grain.
    pub fn grain_ref(&self) -> GrainRef<G> {
        self.system().grain(self.grain_id().key())
    }

    /// Which life of the grain this is. Greater than those of all lives before.
    ///
    /// # Panics
    /// If this was spawned as an actor, and is no grain.
    pub fn epoch(&self) -> Epoch {
        self.grain_activation()
            .map(|activation| activation.epoch())
            .unwrap_or_else(|e| panic!("{e}"))
    }

    /// The state that is stored, as this activation has read or saved it last; `None` where there is none. It is in
    /// memory: nothing is asked of the store. The name of the type is not stored: what was saved as another one is read as an
    /// `S` where the codec of that takes the bytes.
    ///
    /// # Errors
    /// It cannot be read as an `S`; or this was spawned as an actor.
    pub fn state<S: WireMessage>(&self) -> Result<Option<S>, BoxError> {
        let Some(bytes) = self.grain_activation()?.state() else { return Ok(None) };
        let reader = self.cell.system.call_options().reader;
        let read = reading(reader, || S::wire_type().message.decode_own(bytes));
        Ok(Some(read?))
    }

    /// Saves the state. It is stored as this completes.
    ///
    /// # Errors
    /// [`SaveError`]. After [`Fenced`](SaveError::Fenced) and [`Unknown`](SaveError::Unknown) this activation ends once
    /// the handler has, and the next message has a new one read what is stored.
    ///
    /// # Cancel safety
    /// If the future is dropped, the state may be saved or not, and the next one to be saved is refused: then the
    /// activation ends as above.
    pub async fn save<S: WireMessage>(&mut self, state: &S) -> Result<(), SaveError> {
        let mut bytes = Vec::new();
        let written = S::wire_type().message.encode(state, &mut bytes);
        written.map_err(|error| SaveError::NotSaved { source: error.into() })?;
        self.replace_state(Some(bytes.into())).await
    }

    /// Deletes what is stored, but for the claim and its epoch. Reminders stay.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    ///
    /// # Cancel safety
    /// As [`save`](Self::save).
    pub async fn clear(&mut self) -> Result<(), SaveError> {
        self.replace_state(None).await
    }

    async fn replace_state(&mut self, state: Option<bytes::Bytes>) -> Result<(), SaveError> {
        let activation = self.grain_activation();
        let activation =
            activation.map_err(|error| SaveError::NotSaved { source: Cause::new(error) })?;
        let saved = activation.save(state).await;
        if matches!(saved, Err(SaveError::Fenced | SaveError::Unknown { .. })) {
            self.stop();
        }
        saved
    }

    /// Has the grain [reminded](Grain::reminded) after that time, and `every` so often from then on, whether it lives then
    /// or not: it is brought to life for it, also after the node has started again. Replaces a reminder of that name.
    ///
    /// A reminder comes at least once, and late by up to the [interval](super::GrainKind::reminder_interval), or by as
    /// long as no node was there. One that repeats itself leaves out what it has missed. It is a message to the grain,
    /// and waits behind others.
    ///
    /// # Errors
    /// [`StoreError`]: it may be noted or not; or the kind has no store, the name is empty or longer than 255 bytes, or it is
    /// to repeat itself after no time.
    ///
    /// # Cancel safety
    /// If the future is dropped, it may be noted or not.
    pub async fn remind(
        &mut self,
        name: &str,
        after: Duration,
        every: Option<Duration>,
    ) -> Result<(), StoreError> {
        self.grain_activation().map_err(StoreError::new)?.remind(name, after, every).await
    }

    /// Takes a reminder back. Without one of that name nothing happens. One that is on its way still comes.
    ///
    /// # Errors
    /// [`StoreError`]: it may be there or not; or the kind has no store.
    ///
    /// # Cancel safety
    /// If the future is dropped, it may be there or not.
    pub async fn forget_reminder(&mut self, name: &str) -> Result<(), StoreError> {
        self.grain_activation().map_err(StoreError::new)?.forget(name).await
    }
}
