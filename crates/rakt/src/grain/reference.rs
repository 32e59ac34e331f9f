//! References to grains.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rakt_wire::Address;
use tokio::sync::OwnedSemaphorePermit;

use super::Grain;
use super::id::{GRAINS, GrainId};
use super::place::{Kind, Place};
use crate::context::ActorCell;
use crate::error::{AddressError, Refusal};
use crate::events::StopReason;
use crate::reference::ended;
use crate::signal::{Signal, Signalled};
use crate::system::core::ActorSystem;

/// A reference to a grain: it never goes stale, and needs no grain to live.
///
/// Made by [`ActorSystem::grain`]. Cheap to clone; it does not keep the grain alive.
pub struct GrainRef<G: Grain> {
    pub(super) system: ActorSystem,
    key: Arc<str>,
    place: Result<Arc<Place<G>>, Refusal>,
}

impl<G: Grain> Clone for GrainRef<G> {
    fn clone(&self) -> Self {
        Self { system: self.system.clone(), key: self.key.clone(), place: self.place.clone() }
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
        Arc::ptr_eq(&self.system.0, &other.system.0) && self.key == other.key
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
        GrainRef { system: self.clone(), key, place }
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

    /// Has the grain end once it has handled what is queued, and waits for that: it is passivated. Where it does not live
    /// nothing happens. A message that comes meanwhile brings it to life again.
    ///
    /// # Cancel safety
    /// The grain ends even if the future is dropped after its first poll.
    pub async fn deactivate(&self) {
        let living = self.place.as_ref().ok().and_then(|place| place.living());
        if let Some(cell) = living {
            cell.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
            ended(&*cell).await;
        }
    }

    /// Whether the grain lives at this moment, here.
    pub fn is_active(&self) -> bool {
        self.place.as_ref().is_ok_and(|place| place.living().is_some())
    }

    /// What errors call it.
    pub(super) fn address(&self) -> Address {
        let path = match &self.place {
            Ok(place) => place.id.path(),
            Err(_) => GRAINS.to_owned(),
        };
        self.system.address_of(&path)
    }

    /// The activation to send to, if there is one or room for one.
    pub(super) fn enter(
        &self,
        closed: Option<u64>,
        permit: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Option<Arc<ActorCell<G>>>, Refusal> {
        let place = self.place.as_ref().map_err(Clone::clone)?;
        place.enter(&self.system, closed, permit)
    }

    /// Where it lives, here or elsewhere.
    pub(super) fn place(&self) -> Result<&Arc<Place<G>>, Refusal> {
        self.place.as_ref().map_err(Clone::clone)
    }

    /// The grains of the kind that live here, where they do.
    pub(super) fn kind(&self) -> Option<&Arc<Kind<G>>> {
        self.place.as_ref().ok().map(|place| &place.kind)
    }
}
