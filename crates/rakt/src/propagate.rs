//! Carrying context, such as a trace, along with messages.

use crate::context::Extensions;
use crate::error::BoxError;
pub use rakt_wire::Metadata;

/// Turns context into the metadata of outgoing messages, and metadata of incoming ones into context.
///
/// Give it to [`Builder::context_propagator`](crate::Builder::context_propagator). What
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
