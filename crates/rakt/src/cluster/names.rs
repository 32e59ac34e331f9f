//! Names in a whole cluster: an actor that has one is there once.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use crate::actor::Actor;
use crate::error::{Refusal, SpawnError};
use crate::reference::ActorRef;
use crate::spawn::Spawn;
use crate::system::core::{ActorSystem, Unclaimed};

const IN_NO_CLUSTER: &str = "the system is in no cluster";
/// What is said where the cluster is silent.
const NOT_GRANTED: &str =
    "the cluster has not granted the name, which a dead node may have until its lease is over,";

/// An actor about to be started under a name that no other has in the cluster: made by [`Spawn::cluster_wide`].
#[must_use = "an actor is started when this is awaited"]
pub struct SpawnClusterWide<'a, A: Actor>(Spawn<'a, A>);

impl<A: Actor> fmt::Debug for SpawnClusterWide<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'a, A: Actor> Spawn<'a, A> {
    /// Claims the name in the whole cluster before the actor starts: of several nodes that do so at once, one has it, and the
    /// others hear that it is [taken](SpawnError::NameTaken). The actor stays on its node; whoever asks the cluster
    /// [finds](ActorSystem::lookup_anywhere) it. The name is free again once it has ended, or its node is dead and the wait for
    /// that is over. As a grain it stands still on a node that is cut off, from the end of the node's lease on; it goes on
    /// where it was if that is confirmed again, and is ended without another word where others have removed the node.
    ///
    /// # Errors
    /// As [`Spawn::start`], and [`SpawnError::Start`] with a [`Refusal`] where the cluster did not grant the name, or the
    /// system is in no cluster.
    pub fn cluster_wide(self) -> SpawnClusterWide<'a, A> {
        SpawnClusterWide(self)
    }
}

impl<'a, A: Actor> IntoFuture for SpawnClusterWide<'a, A> {
    type Output = Result<ActorRef<A>, SpawnError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self(spawn) = self;
        let (name, system) = spawn.place();
        let (name, cluster) = (name.to_owned(), system.cluster().cloned());
        Box::pin(spawn.start_claimed(|cell| async move {
            let claimed = match cluster {
                Some(cluster) => cluster.claim(&name, cell).await,
                None => Err(Refusal::Unsupported { source: IN_NO_CLUSTER.into() }.into()),
            };
            claimed.map_err(|why| match why {
                Unclaimed::Taken(at) => SpawnError::NameTaken { name, at },
                Unclaimed::Refused(refusal) => SpawnError::Start { name, source: refusal.into() },
                Unclaimed::Late(limit) => {
                    let source = format!("{NOT_GRANTED} within {limit:?} (ask_timeout)").into();
                    SpawnError::Start { name, source }
                }
            })
        }))
    }
}

impl ActorSystem {
    /// The actor that has this name in the whole [cluster](Spawn::cluster_wide), on whichever node it is: a reference to
    /// that life of it. `None` if nobody has the name. As with any lookup by name, whoever asks says of what type it is.
    ///
    /// # Errors
    /// [`Refusal::Fenced`] if nobody who knows has a lease, [`Refusal::DeadlineExceeded`] if there was no answer within the
    /// [`ask_timeout`](crate::SystemBuilder::ask_timeout) of the system, [`Refusal::Unsupported`] if that is in no
    /// cluster.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn lookup_anywhere<A: Actor>(
        &self,
        name: &str,
    ) -> Result<Option<ActorRef<A>>, Refusal> {
        let none = || Refusal::Unsupported { source: IN_NO_CLUSTER.into() };
        let found = self.member().ok_or_else(none)?.look_up(name);
        let found = tokio::time::timeout(self.ask_timeout(), found).await;
        let Some(found) = found.map_err(|_| Refusal::DeadlineExceeded)?? else { return Ok(None) };
        Ok(match found.is_local() {
            true => found.typed::<A>(),
            // As with a lookup on one node, its type is the caller's word.
            false => Some(ActorRef::from_target(found.target().clone())),
        })
    }
}
