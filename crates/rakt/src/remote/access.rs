//! What the peer of a connection may do here: the one place that decides it.
//!
//! Every message and every operation of a peer passes here, in each dialect, before the actor is looked up that it is
//! for: what is denied is denied in the same words whether there is such an actor or not.

use std::fmt;
use std::sync::Arc;

use rakt_wire::{Operation, Shown, Verb};

use super::policy::Rights;
use super::resources::Resources;
use super::serve::{find, relay};
use crate::error::Refusal;
use crate::events::Event;
use crate::peer::Peer;
use crate::system::ActorSystem;

/// Why somebody is denied what is for members of the node's cluster.
const NO_MEMBER: &str = ", which is no member of this cluster";

/// What one peer may do.
pub(crate) struct Access {
    resources: Arc<Resources>,
    peer: Peer,
    rights: Rights,
}

impl Access {
    pub(crate) fn new(resources: Arc<Resources>, peer: Peer) -> Self {
        let rights = resources.policies.rights(peer.identity());
        Self { resources, peer, rights }
    }

    /// Takes over a policy that has come since; says whether there is one. What was allowed until then is to be asked
    /// again.
    pub(crate) fn renew(&mut self) -> bool {
        let is_newer = self.resources.policies.is_newer(&self.rights);
        if is_newer {
            self.rights = self.resources.policies.rights(self.peer.identity());
        }
        is_newer
    }

    /// Whether the peer may do this. `what` is the name of the message, or of the kind to be spawned.
    ///
    /// # Errors
    /// It may not, which has been told to whoever listens here.
    pub(crate) fn may(&self, verb: Verb, path: &str, what: &str) -> Result<(), Refusal> {
        if !self.rights.allow(verb, path, what) {
            return Err(self.deny(verb, path, what));
        }
        match self.resources.for_members.admit(&self.peer, path) {
            true => Ok(()),
            false => Err(self.deny_for(NO_MEMBER, verb, path, what)),
        }
    }

    /// Whether the sender of a message has to be looked at.
    pub(crate) fn limits_senders(&self) -> bool {
        self.rights.limit_senders()
    }

    /// Whether the peer may send a message in the name of an actor that is not on its own node.
    ///
    /// # Errors
    /// It may not, which has been told to whoever listens here.
    pub(crate) fn may_as(
        &self,
        sender: &str,
        (verb, path, name): (Verb, &str, &str),
    ) -> Result<(), Refusal> {
        match self.rights.allow_as_anybody(verb, path, name) {
            true => Ok(()),
            false => {
                let why = format!(" in the name of {}", Shown(sender));
                Err(self.deny_for(&why, verb, path, name))
            }
        }
    }

    /// Whether the peer may have an operation carried out. Where that depends on who has spawned the actor, the
    /// operation is narrowed to the life of it that was looked at.
    ///
    /// # Errors
    /// It may not.
    pub(crate) fn permit(
        &self,
        system: &ActorSystem,
        operation: &mut Operation,
    ) -> Result<(), Refusal> {
        let verb = operation.verb();
        // Members of a cluster only talk to what is for them: without it the node is deaf.
        let path = match &*operation {
            Operation::Stop { path, .. }
            | Operation::Respawn { path, .. }
            | Operation::Reinstate { path, .. } => Some(path),
            _ => None,
        };
        if let Some(path) = path.filter(|path| self.resources.for_members.has(path)) {
            return Err(self.deny(verb, path, ""));
        }
        match operation {
            Operation::Stop { path, uid }
            | Operation::Respawn { path, uid }
            | Operation::Reinstate { path, uid } => self.may_manage(system, verb, path, uid),
            Operation::Lookup { path } | Operation::Watch { path, .. } => self.may(verb, path, ""),
            // Whoever may spawn by that name or not: there is no such actor.
            Operation::Spawn { path, .. } if path.contains('/') => {
                let text = format!("{path:?} is a child's path; peers spawn at the top");
                Err(Refusal::InvalidArgument { source: text.into() })
            }
            Operation::Spawn { path, kind, .. } => self.may(verb, path, kind),
            Operation::Ping | Operation::Kinds => self.may(verb, "", ""),
            // It gives up what it has.
            Operation::Unwatch { .. } => Ok(()),
            _ => Err(self.deny(verb, "", "")),
        }
    }

    /// Whether the peer may stop, respawn or reinstate an actor, and if that is for having spawned it, which life.
    pub(crate) fn may_manage(
        &self,
        system: &ActorSystem,
        verb: Verb,
        path: &str,
        uid: &mut Option<u64>,
    ) -> Result<(), Refusal> {
        if self.rights.allow(verb, path, "") {
            return Ok(());
        }
        if !self.rights.allow_own(path) {
            return Err(self.deny(verb, path, ""));
        }
        match find(system, path, *uid) {
            Ok(cell) if cell.spawner().is_some_and(|peer| peer.is_alike(&self.peer)) => {
                *uid = Some(cell.uid());
                Ok(())
            }
            // A grain that is not here may live on another node, and nobody has spawned it there.
            Err(_) if relay(system, path).is_some() => Err(self.deny(verb, path, "")),
            // Who may look it up knows anyway that it is not there.
            Err(refusal) if self.rights.allow(Verb::Lookup, path, "") => Err(refusal),
            _ => Err(self.deny(verb, path, "")),
        }
    }

    /// Of these kinds, those that the peer may spawn.
    pub(crate) fn kinds(&self, mut names: Vec<String>) -> Vec<String> {
        names.retain(|kind| self.rights.allow_kind(kind));
        names
    }

    #[cold]
    fn deny(&self, verb: Verb, path: &str, what: &str) -> Refusal {
        self.deny_for("", verb, path, what)
    }

    /// Tells everybody concerned that something is denied. `why` is the end of the sentence.
    #[cold]
    fn deny_for(&self, why: &str, verb: Verb, path: &str, what: &str) -> Refusal {
        let identity = self.peer.identity();
        let text = format!("{}{why}", Denial { verb, path, what, by: identity });
        let Resources { outlet, .. } = &*self.resources;
        crate::metrics::denied(verb.name());
        outlet.publish(|| Event::Denied {
            peer: self.peer.clone(),
            verb,
            path: path.to_owned(),
            what: what.to_owned(),
        });
        // Of all peers together: what one does is of no other interest than what the next does.
        if self.resources.may_log("denied", "") {
            tracing::warn!(from = self.peer.from(), "denied: {text}");
        }
        Refusal::Denied { source: text.into() }
    }
}

/// What is denied to whom.
struct Denial<'a, T> {
    verb: Verb,
    path: &'a str,
    what: &'a str,
    by: T,
}

impl<T: fmt::Display> fmt::Display for Denial<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, path, what, by } = self;
        let (path, what) = (Shown(format_args!("{path:?}")), Shown(format_args!("{what:?}")));
        match verb {
            Verb::Tell => write!(f, "{path} may not be told {what} by {by}"),
            Verb::Ask => write!(f, "{path} may not be asked {what} by {by}"),
            Verb::Lookup => write!(f, "{path} may not be looked up by {by}"),
            Verb::Watch => write!(f, "{path} may not be watched by {by}"),
            Verb::Ping => write!(f, "this node may not be pinged by {by}"),
            Verb::Kinds => write!(f, "this node may not be asked for its kinds by {by}"),
            Verb::Spawn => write!(f, "{path} may not be spawned as {what} by {by}"),
            Verb::Stop => write!(f, "{path} may not be stopped by {by}"),
            Verb::Respawn => write!(f, "{path} may not be respawned by {by}"),
            Verb::Reinstate => write!(f, "{path} may not be reinstated by {by}"),
            verb => write!(f, "{path} is beyond the reach of {by}: {verb}"),
        }
    }
}
