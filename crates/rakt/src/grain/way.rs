//! The way of a message to a grain.
//!
//! A message goes to the activation that takes in messages, as to any actor. If that has closed meanwhile the message comes
//! back, and goes to the one after it. In a cluster that may be on another node: what is asked there is kept until it is
//! answered, since a refusal does not bring it back.

use std::any::TypeId;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll, Waker, ready};

use rakt_wire::Address;
use tokio::sync::OwnedSemaphorePermit;

use super::Grain;
use super::id::GRAINS;
use super::place::Place;
use super::room::{make_room, room};
use crate::call_options::CallOptions;
use crate::error::{Bound, Refusal};
use crate::hosting::May;
use crate::reference::{ActorRef, AnyCell, AnyGrain, Life, Looking, Target, Way};
use crate::system::core::{Activating, ActorSystem, Clustering, Finding, Refused, Whereabouts};

/// A grain as those see it who send to it.
pub(super) struct Sought<G: Grain> {
    pub(super) system: ActorSystem,
    /// Where it lives, here or elsewhere.
    pub(super) place: Result<Arc<Place<G>>, Refusal>,
    path: OnceLock<Box<str>>,
    /// Makes what a message goes through of a life of it, where it does not go there as it is.
    door: Option<fn(&Target) -> Target>,
}

impl<G: Grain> Sought<G> {
    pub(super) fn new(system: ActorSystem, place: Result<Arc<Place<G>>, Refusal>) -> Self {
        Self { system, place, path: OnceLock::new(), door: None }
    }

    fn through_door(&self, found: Target) -> Target {
        match self.door {
            None => found,
            Some(door) => door(&found),
        }
    }

    /// Of a cluster: where it is known to live. `is_new` says that this was found out just now.
    ///
    /// # Errors
    /// It lives here, and stands still.
    fn known_in(
        &self,
        cluster: &dyn Clustering,
        refused: Option<Life>,
        is_new: bool,
    ) -> Result<Option<Target>, Refusal> {
        let place = self.place.as_ref().map_err(Clone::clone)?;
        let known = place.known(refused);
        let (is_available, cut_off) =
            (place.kind.terms.are_available(), || cluster.may() != May::Run);
        match known {
            Some(Target::Local(_)) if !is_available && cut_off() => Err(Refusal::Fenced),
            // Who is there may be on the other side of a cut, and whoever keeps track of it knows more.
            Some(Target::Remote(_)) if is_available && !is_new && cut_off() => Ok(None),
            known => Ok(known),
        }
    }
}

impl<G: Grain> AnyGrain for Sought<G> {
    fn path(&self) -> &str {
        self.path.get_or_init(|| match &self.place {
            Ok(place) => place.id.path().into(),
            Err(_) => GRAINS.into(),
        })
    }

    fn address(&self) -> Address {
        self.system.address_of(self.path())
    }

    fn call_options(&self) -> &CallOptions {
        self.system.call_options()
    }

    fn actor_type(&self) -> TypeId {
        TypeId::of::<G>()
    }

    fn living(&self) -> Option<Arc<dyn AnyCell>> {
        // Whoever waited for its end hears of that before its place does.
        let living = self.place.as_ref().ok()?.living().filter(|cell| !cell.has_ended())?;
        Some(living)
    }

    fn known(&self) -> Option<Target> {
        let known = match self.system.cluster() {
            None => Target::Local(self.living()?),
            Some(cluster) => self.known_in(&**cluster, None, false).ok()??,
        };
        Some(self.through_door(known))
    }

    fn way(self: Arc<Self>, sent_to: Option<&Target>) -> Box<dyn Way> {
        let sent_to = sent_to.and_then(Target::life);
        let last = sent_to.map(|life| life.uid);
        let (room, finding, hosting, refused_by) = Default::default();
        Box::new(WayTo { grain: self, last, room, finding, hosting, sent_to, refused_by })
    }

    fn through(&self, door: fn(&Target) -> Target) -> Arc<dyn AnyGrain> {
        let (system, place) = (self.system.clone(), self.place.clone());
        Arc::new(Self { system, place, path: OnceLock::new(), door: Some(door) })
    }

    fn look(self: Arc<Self>) -> Looking {
        Box::pin(async move {
            let place = self.place.as_ref().map_err(Clone::clone)?;
            let here = || self.living().map(Target::Local);
            let Some(cluster) = self.system.cluster() else { return Ok(here()) };
            if let Some(here) = here() {
                return Ok(Some(here));
            }
            Ok(match cluster.clone().look(&place.id).await? {
                Some(Whereabouts::There(found)) => Some(found.target().clone()),
                Some(Whereabouts::Here) => here(),
                None => None,
            })
        })
    }
}

/// The way of one message.
struct WayTo<G: Grain> {
    grain: Arc<Sought<G>>,
    /// The number of the activation that it was sent to last, where there is no cluster.
    last: Option<u64>,
    room: Option<Pin<Box<dyn Future<Output = OwnedSemaphorePermit> + Send>>>,
    /// Where it is looked for, in a cluster.
    finding: Option<Finding>,
    /// Is over when the node may host again, where the grain stands still or nobody can say where it lives.
    hosting: Option<Activating>,
    /// The life that it was sent to last, and that which has refused it.
    sent_to: Option<Life>,
    refused_by: Option<Refused>,
}

impl<G: Grain> WayTo<G> {
    /// An activation that takes in messages, as far as is known.
    fn poll_enter(&mut self, waker: Option<&Waker>) -> Poll<Result<Target, Refusal>> {
        let (system, mut permit) = (&self.grain.system, None);
        let place = self.grain.place.as_ref().map_err(Clone::clone)?;
        loop {
            if let Some(cell) = place.enter(system, self.last, &mut permit)? {
                (self.room, self.last) = (None, Some(cell.uid));
                return Poll::Ready(Ok(Target::Local(cell)));
            }
            let Some(waker) = waker else {
                make_room(&place.kind, 1);
                return Poll::Ready(Err(no_room(place)));
            };
            let room =
                self.room.get_or_insert_with(|| Box::pin(room(place.kind.clone(), system.clone())));
            permit = Some(ready!(room.as_mut().poll(&mut TaskContext::from_waker(waker))));
        }
    }

    /// Where it lives in the cluster, as far as is known.
    fn poll_find(
        &mut self,
        cluster: &Arc<dyn Clustering>,
        waker: Option<&Waker>,
    ) -> Poll<Result<Target, Refusal>> {
        let place = self.grain.place.as_ref().map_err(Clone::clone)?;
        let mut is_new = false;
        loop {
            if let (Some(hosting), Some(waker)) = (&mut self.hosting, waker) {
                ready!(hosting.as_mut().poll(&mut TaskContext::from_waker(waker)))?;
                self.hosting = None;
            }
            // What was sent before is to arrive before.
            if waker.is_some() && !place.has_passed_on(waker) {
                return Poll::Pending;
            }
            let refused = self.refused_by;
            let life = refused.map(|refused| refused.life);
            match self.grain.known_in(&**cluster, life, is_new) {
                Ok(Some(known)) => return Poll::Ready(Ok(known)),
                Ok(None) => {}
                Err(Refusal::Fenced) if waker.is_some() => {
                    self.hosting = Some(cluster.clone().until_hosting());
                    continue;
                }
                Err(refusal) => return Poll::Ready(Err(refusal)),
            }
            let find = || cluster.clone().find(&place.id, refused);
            let Some(waker) = waker else {
                self.find_for_others(find());
                let source = "where it lives is not known yet".into();
                let peer = place.id.to_string().into();
                return Poll::Ready(Err(Refusal::Unreachable { peer, source }));
            };
            let finding = self.finding.get_or_insert_with(find);
            let found = ready!(finding.as_mut().poll(&mut TaskContext::from_waker(waker)));
            self.finding = None;
            is_new = true;
            match found {
                Err(Refusal::Fenced) => {
                    self.hosting = Some(cluster.clone().until_hosting());
                    waker.wake_by_ref();
                    return Poll::Pending;
                }
                Err(refusal) => return Poll::Ready(Err(refusal)),
                // It is in there now, unless it has ended already.
                Ok(Whereabouts::Here) => {}
                Ok(Whereabouts::There(found)) => {
                    let found = ActorRef::from_target(found.target().clone());
                    place.note_elsewhere(found, |run| cluster.is_gone(run));
                    // Whoever has refused is asked again, if it is known to live since.
                    self.refused_by = None;
                }
            }
            if place.known(self.refused_by.map(|refused| refused.life)).is_none() {
                waker.wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Has it be known the next time where the grain lives.
    fn find_for_others(&self, finding: Finding) {
        let Ok(place) = self.grain.place.clone() else { return };
        let Some(cluster) = self.grain.system.cluster().cloned() else { return };
        let limit = self.grain.system.ask_timeout();
        self.grain.system.runtime().spawn(async move {
            if let Ok(Ok(Whereabouts::There(found))) = tokio::time::timeout(limit, finding).await {
                let found = ActorRef::from_target(found.target().clone());
                place.note_elsewhere(found, |run| cluster.is_gone(run));
            }
        });
    }
}

fn no_room<G: Grain>(place: &Place<G>) -> Refusal {
    Refusal::ResourceExhausted { bound: Bound::Grains, limit: place.kind.limit as u64 }
}

impl<G: Grain> Way for WayTo<G> {
    fn poll(&mut self, waker: Option<&Waker>) -> Poll<Result<Target, Refusal>> {
        let found = match self.grain.system.cluster().cloned() {
            None => ready!(self.poll_enter(waker))?,
            Some(cluster) => ready!(self.poll_find(&cluster, waker))?,
        };
        self.sent_to = found.life();
        Poll::Ready(Ok(self.grain.through_door(found)))
    }

    /// In a cluster the refusal of one life says nothing of the next.
    fn go_on(&mut self, refusal: &Refusal) -> Option<Target> {
        let is_clustered = self.grain.system.cluster().is_some();
        let is_over = match refusal {
            Refusal::Stopped => true,
            Refusal::NotFound | Refusal::StaleIncarnation | Refusal::ShuttingDown
                if is_clustered =>
            {
                true
            }
            Refusal::Fenced | Refusal::Unreachable { .. } if is_clustered => false,
            _ => return None,
        };
        let life = self.sent_to.take()?;
        if is_clustered {
            self.refused_by = Some(Refused { life, ended: is_over });
        }
        Some(Target::Grain(self.grain.clone()))
    }

    fn why_waiting(&self) -> Option<Refusal> {
        let place = self.grain.place.as_ref().ok()?;
        match (&self.room, &self.hosting) {
            (Some(_), _) => Some(no_room(place)),
            (None, Some(_)) => Some(Refusal::Fenced),
            (None, None) => None,
        }
    }
}
