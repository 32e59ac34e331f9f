//! A reference to a cluster that one is no member of.

use std::any::TypeId;
use std::fmt;
use std::sync::Arc;

use rakt_wire::validate_system_name;

use super::discovery::Discovery;
use super::distant::Distant;
use super::nodes::Nodes;
use crate::error::{AddressError, Cause, Refusal};
use crate::grain::{Grain, GrainId};
use crate::reference::{ActorRef, AnyActor, Target};
use crate::remote::Client;
use crate::system::ActorSystem;

/// A reference to a cluster that one is no member of, for messages to its grains: made by [`Client::cluster`] and
/// [`ActorSystem::other_cluster`].
///
/// Cheap to clone. What is sent goes to one node, which passes it on to where the grain lives, and brings it to life where it
/// does not. All references of one `ClusterRef` ask the same node as long as that is of use; each client begins with another.
///
/// - **Another node is asked** when the one that was asked cannot be reached, shuts down, is [fenced](Refusal::Fenced) off, or is
///   of another system. A node that is dialed and says nothing for half a second is not waited for either. The message itself goes
///   on to the next if nobody has handled it, by [`is_safe_to_retry`](crate::AskError::is_safe_to_retry); what may have been
///   handled ends as [`ConnectionLost`](crate::AskError::ConnectionLost), and is for the caller to decide on. All else that a node
///   answers is an outcome, also that it [does not know](Refusal::NotFound) the kind.
/// - **When none takes it** all are tried again, with pauses of up to a second, and looked for anew, until the time of the call is
///   over. Then [`Refusal::Unreachable`] names each node that was tried and what was wrong with it, 8 of them at most. Where no
///   nodes are known, and where none can ever take it, that is said at once.
/// - **Order**: what one sender sends to one grain arrives in order as long as the same node is asked. Across a change it may
///   not: what the node before has not yet passed on is overtaken.
/// - **A tell** that is not [confirmed](crate::send::Tell::confirmed) is given to the connection to a node. What that turns down
///   is a [dead letter](crate::Event::DeadLetter), as of any other node, and goes on to no other.
/// - [`try_tell`](ActorRef::try_tell) waits for nothing: it is refused with [`Refusal::Unreachable`] while there is no connection.
/// - [`address`](ActorRef::address) is by way of the node that is asked. A grain never ends: who watches one hears nothing.
///   [`stop`](ActorRef::stop) ends its life, if the policy over there lets this peer do so.
#[derive(Clone)]
pub struct ClusterRef(Arc<Nodes>);

impl fmt::Debug for ClusterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterRef").field("name", &self.0.system).finish_non_exhaustive()
    }
}

impl ClusterRef {
    /// The name of the cluster, which is the system name of its nodes.
    pub fn name(&self) -> &str {
        &self.0.system
    }

    /// The grain of type `G` with this key. Nothing is sent yet: a key that no grain can have, and a name that no system can
    /// have, are errors of what is. The type says which messages compile; the grain refuses what it does not accept.
    pub fn grain<G: Grain>(&self, key: impl AsRef<str>) -> ActorRef<G> {
        self.reference(GrainId::new(G::KIND, key.as_ref()), TypeId::of::<G>())
    }

    /// The same, where the type of the grain is not known here.
    pub fn actor(&self, grain: &GrainId) -> ActorRef {
        self.reference(Ok(grain.clone()), TypeId::of::<AnyActor>())
    }

    fn reference<A>(&self, id: Result<GrainId, AddressError>, actor: TypeId) -> ActorRef<A> {
        let id = validate_system_name(&self.0.system).and(id);
        let invalid = |error| Refusal::InvalidArgument { source: Cause::new(error) };
        let path = id.map(|id| id.path()).map_err(invalid);
        ActorRef::from_target(Target::Grain(Distant::new(self.0.clone(), path, actor)))
    }
}

impl Client {
    /// The cluster of this name, of which the discovery finds nodes: [`Static`](super::Static), [`Dns`](super::Dns), or
    /// whatever else knows some. Nothing is looked for yet, and nothing sent. Keep it: what is learned of its nodes is lost with
    /// the last clone and reference.
    ///
    #[cfg_attr(feature = "prost", doc = "```no_run")]
    #[cfg_attr(not(feature = "prost"), doc = "```ignore")]
    /// use rakt::cluster::Static;
    /// use rakt::prelude::*;
    /// # #[derive(Clone, PartialEq, prost::Message, Message)]
    /// # #[rakt(name = "shop.Put", reply = u64)]
    /// # struct Put {}
    /// # struct Cart;
    /// # impl Actor for Cart {}
    /// # impl Grain for Cart { const KIND: &'static str = "cart"; }
    /// # impl Handler<Put> for Cart {
    /// #     async fn handle(&mut self, _: Put, _: &mut Context<Self>) -> Result<u64> { Ok(1) }
    /// # }
    /// # #[tokio::main] async fn main() -> Result {
    ///
    /// let client = remote::Client::new("console", remote::ClientConfig::new())?;
    /// let shop = client.cluster("shop", Static::new([("10.0.0.1", 3320), ("10.0.0.2", 3320)]));
    /// println!("{} in it", shop.grain::<Cart>("42").ask(Put {}).await?);
    /// # Ok(()) }
    /// ```
    pub fn cluster(&self, name: &str, nodes: impl Discovery) -> ClusterRef {
        let caller = self.caller();
        ClusterRef(Nodes::new(name, nodes, Some(caller.clone()), &caller.options))
    }
}

impl ActorSystem {
    /// As [`Client::cluster`], for a system that is no member of that cluster. A member has its grains by
    /// [`grain`](Self::grain). Without [remoting](crate::SystemBuilder::remoting) all that is sent is refused with
    /// [`Refusal::RemotingOff`].
    pub fn other_cluster(&self, name: &str, nodes: impl Discovery) -> ClusterRef {
        ClusterRef(Nodes::new(name, nodes, self.caller().cloned(), self.call_options()))
    }
}
