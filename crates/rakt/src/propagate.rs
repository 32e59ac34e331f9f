//! Carrying context, such as a trace, along with messages.

use std::any::Any;

use crate::error::BoxError;
use rakt_wire::Metadata;

/// Turns context into the metadata of outgoing messages, and metadata of incoming ones into context.
///
/// Give it to [`SystemBuilder::context_propagator`](crate::SystemBuilder::context_propagator). What
/// [`extract`](Self::extract) puts into the extensions of a message is what
/// [`inject`](Self::inject) finds when that message's handler sends on.
pub trait ContextPropagator: Send + Sync + 'static {
    /// Writes context into the metadata of a message that is about to be sent.
    ///
    /// `current` belongs to the message whose handler sends, and is empty for messages sent from
    /// outside an actor; task-locals of the sender can be read here as well.
    ///
    /// # Errors
    /// An error means that the message is not sent.
    fn inject(&self, current: &Extensions, carrier: &mut Metadata) -> Result<(), BoxError>;

    /// Reads the metadata of a message that is about to be handled.
    ///
    /// # Errors
    /// An error means that the message is refused and not handled.
    fn extract(&self, carrier: &Metadata, current: &mut Extensions) -> Result<(), BoxError>;
}

/// Values that travel with a message inside a process, at most one of each type.
///
/// A [`ContextPropagator`] fills them from a message's metadata,
/// and turns them into metadata again when the handler sends on.
#[derive(Default)]
pub struct Extensions(Vec<Box<dyn Any + Send + Sync>>);

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extensions").field("len", &self.0.len()).finish()
    }
}

impl Extensions {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value; an earlier one of the same type is replaced.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.retain(|other| !other.is::<T>());
        self.0.push(Box::new(value));
    }

    /// The value of this type.
    pub fn find<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }
}
