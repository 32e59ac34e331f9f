//! References to grains.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use super::Grain;
use super::id::GrainId;
use super::place::{Kind, Place};
use super::way::Sought;
use crate::error::{AddressError, OperationError, Refusal};
use crate::reference::{ActorRef, Target};
use crate::system::core::ActorSystem;

/// A reference to a grain: it never goes stale, and needs no grain to live.
///
/// Made by [`ActorSystem::grain`]. Cheap to clone; it does not keep the grain alive.
///
/// It has all that an [`ActorRef`] has, and goes wherever one does: into [`Context::ask`](crate::Context::ask) and
/// [`forward`](crate::Context::forward), and as a [`recipient`](ActorRef::recipient) into routers and topics. What is sent
/// brings the grain to life where it does not live, on whichever node of a cluster:
///
/// - A tell completes when the message is in the mailbox, or given to the connection to the node of the grain. It waits
///   while that is full, and while so many grains live that there is [no room](super::GrainKind::limit) for one more.
/// - What is in the mailbox of a grain that ends is handled by its next activation. What waits for one that does
///   not come to life is refused with [`Refusal::ActivationFailed`].
/// - What is refused because the grain does not live there any more, and was not handled, is sent to where it lives next,
///   within the limit of the call.
/// - [`try_tell`](ActorRef::try_tell) waits for nothing: in a cluster it is refused with [`Refusal::Unreachable`] until it
///   is known where the grain lives.
/// - A grain never ends: who [watches](crate::Context::watch) one hears nothing. What [stops](ActorRef::stop), kills or
///   respawns it means the life that it has at the moment; where it has none, nothing happens.
pub struct GrainRef<G: Grain> {
    actor: ActorRef<G>,
    sought: Arc<Sought<G>>,
    key: Arc<str>,
}

impl<G: Grain> Clone for GrainRef<G> {
    fn clone(&self) -> Self {
        let Self { actor, sought, key } = self;
        Self { actor: actor.clone(), sought: sought.clone(), key: key.clone() }
    }
}

impl<G: Grain> Deref for GrainRef<G> {
    type Target = ActorRef<G>;

    fn deref(&self) -> &ActorRef<G> {
        &self.actor
    }
}

impl<G: Grain> fmt::Debug for GrainRef<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrainRef({self})")
    }
}

/// Its kind and its key.
impl<G: Grain> fmt::Display for GrainRef<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", G::KIND, self.key.escape_debug())
    }
}

/// Two references are equal if they are to the same grain of the same system.
impl<G: Grain> PartialEq for GrainRef<G> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sought.system.0, &other.sought.system.0) && self.key == other.key
    }
}

impl<G: Grain> Eq for GrainRef<G> {}

impl<G: Grain> Hash for GrainRef<G> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl ActorSystem {
    /// The grain that this names, if it is of the kind of `G`.
    pub fn grain_of<G: Grain>(&self, id: &GrainId) -> Option<GrainRef<G>> {
        (id.kind() == G::KIND).then(|| self.grain(id.key()))
    }

    /// The kind, if grains of it live here.
    fn hosted<G: Grain>(&self) -> Option<Arc<Kind<G>>> {
        self.0.grains.get(G::KIND)?.clone().as_any().downcast().ok()
    }

    /// The grain of type `G` with this key. Nothing happens until it is sent a message: a key that no grain can have, and
    /// a kind that is not [registered](crate::SystemBuilder::grain), are errors of that.
    pub fn grain<G: Grain>(&self, key: impl AsRef<str>) -> GrainRef<G> {
        let key = key.as_ref();
        let not_here = || Refusal::KindNotRegistered { kind: G::KIND.to_owned() };
        let place = self.hosted::<G>().ok_or_else(not_here);
        let place = place.and_then(|kind| Place::of(&kind, key));
        let key = place.as_ref().map_or_else(|_| key.into(), |place| place.id.shared_key());
        let sought = Arc::new(Sought::new(self.clone(), place));
        GrainRef { actor: ActorRef::from_target(Target::Grain(sought.clone())), sought, key }
    }
}

impl<G: Grain> GrainRef<G> {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Kind and key as data, for stores and messages. See [`ActorSystem::grain_of`].
    ///
    /// # Errors
    /// No grain can have that key.
    pub fn id(&self) -> Result<GrainId, AddressError> {
        GrainId::new(G::KIND, &self.key)
    }

    /// Has the grain end once it has handled what is queued, and waits for that: it is passivated, on whichever node it lives.
    /// Where it does not live nothing happens. A message that comes meanwhile brings it to life again. The same as
    /// [`stop`](ActorRef::stop).
    ///
    /// Another node has to allow it: its policy has to let this one manage the path of the grain, by `remote::Role::may_manage`.
    ///
    /// # Errors
    /// As [`stop`](ActorRef::stop); and it could not be found out whether it lives.
    ///
    /// # Cancel safety
    /// As [`stop`](ActorRef::stop): the grain ends even if the future is dropped, once its life was found.
    pub async fn deactivate(&self) -> Result<(), OperationError> {
        self.actor.stop().await
    }

    /// Whether the grain lives at this moment, here.
    pub fn is_active(&self) -> bool {
        self.actor.is_local()
    }
}
