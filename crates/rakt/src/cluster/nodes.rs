//! The nodes of a cluster, as those know them who are no members of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rakt_wire::{Address, AddressError};

use super::discovery::{AnyDiscovery, Discovery, DiscoveryError, Seed};
use crate::call_options::CallOptions;
use crate::error::{Cause, Chain, Refusal};
use crate::log::may_log;
use crate::reference::{ActorRef, AnyActor, RemoteActor, Target};
use crate::remote::caller::Caller;
use crate::sync::Mutex;
use crate::timers::now;

/// Of what a discovery finds so many are asked, others with each client.
pub(super) const MOST_NODES: usize = 64;
/// So many are named in an error.
const MOST_NAMED: usize = 8;
/// What was found is as good as new for so long.
const FRESH: Duration = Duration::from_millis(500);

/// The nodes of a cluster, and which of them is asked.
pub(super) struct Nodes {
    /// The name of the cluster.
    pub(super) system: String,
    discovery: Box<dyn AnyDiscovery>,
    /// `None` where there is no remoting.
    caller: Option<Arc<Caller>>,
    /// Its own, which tell references to one cluster from those to another.
    pub(super) options: Arc<CallOptions>,
    known: Mutex<Known>,
    /// One at a time looks for them.
    finding: tokio::sync::Mutex<()>,
    /// One is looked for, for those who do not wait.
    pub(super) is_looked_for: AtomicBool,
}

#[derive(Default)]
struct Known {
    /// When they were looked for last, and what was wrong if nothing was found.
    looked: Option<(Instant, Result<(), DiscoveryError>)>,
    /// In the order in which they are tried, which is another with each client.
    nodes: Vec<Arc<Seed>>,
    /// The one that is asked, as long as it is of use.
    current: Option<Arc<Seed>>,
}

impl Nodes {
    pub(super) fn new(
        system: &str,
        discovery: impl Discovery,
        caller: Option<Arc<Caller>>,
        options: &CallOptions,
    ) -> Arc<Self> {
        let (known, finding, is_looked_for) = Default::default();
        Arc::new(Self {
            system: system.to_owned(),
            discovery: Box::new(discovery),
            caller,
            options: Arc::new(options.clone()),
            known,
            finding,
            is_looked_for,
        })
    }

    /// What connections are made by.
    ///
    /// # Errors
    /// There is no remoting, or it is over.
    pub(super) fn caller(&self) -> Result<&Arc<Caller>, Refusal> {
        match &self.caller {
            None => Err(Refusal::RemotingOff),
            Some(caller) if caller.dialer.is_closed() => Err(Refusal::Closed),
            Some(caller) => Ok(caller),
        }
    }

    /// The address of an actor by way of a node.
    pub(super) fn address(&self, path: &str, node: &Seed) -> Result<Address, AddressError> {
        Address::new(path, &*self.system, &*node.host, node.port)
    }

    /// An actor by way of a node.
    pub(super) fn reach(&self, path: &str, node: &Seed) -> Result<Arc<dyn RemoteActor>, Refusal> {
        let invalid = |error| Refusal::InvalidArgument { source: Cause::new(error) };
        let address = self.address(path, node).map_err(invalid)?;
        let actor: ActorRef<AnyActor> = self.caller()?.reference(address, None);
        match actor.target() {
            Target::Remote(remote) => Ok(remote.clone()),
            Target::Local(_) | Target::Grain(_) => Err(Refusal::RemotingOff),
        }
    }

    pub(super) fn current(&self) -> Option<Arc<Seed>> {
        self.known.lock().current.clone()
    }

    /// From now on this one is asked.
    ///
    /// `why` tells what was wrong with others.
    pub(super) fn set_current(
        &self,
        node: &Arc<Seed>,
        why: impl FnOnce() -> Vec<(Arc<Seed>, Refusal)>,
    ) {
        let mut known = self.known.lock();
        if known.current.as_ref() == Some(node) {
            return;
        }
        let before = known.current.replace(node.clone());
        drop(known);
        let topic = "another node of the cluster is asked";
        if let Some(before) = before
            && may_log(topic, &self.system)
        {
            let why = why().into_iter().find(|(node, _)| *node == before);
            let why = why.map(|(_, refusal)| Chain(&refusal).to_string());
            let why = why.unwrap_or_default();
            tracing::info!(cluster = self.system, from = %before, to = %node, why, "{topic}");
        }
    }

    /// The node to try next, which is none of these: the one that is asked, or the one after it.
    pub(super) fn next(&self, but: impl Fn(&Arc<Seed>) -> bool) -> Option<Arc<Seed>> {
        let known = self.known.lock();
        if let Some(current) = known.current.as_ref().filter(|node| !but(node)) {
            return Some(current.clone());
        }
        let at = known.nodes.iter().position(|node| Some(node) == known.current.as_ref());
        let (before, after) = known.nodes.split_at(at.unwrap_or(0));
        after.iter().chain(before).find(|node| !but(node)).cloned()
    }

    /// Looks for nodes, unless somebody has done so just now.
    ///
    /// # Errors
    /// The discovery failed, and nothing was found before.
    pub(super) async fn find(&self) -> Result<(), DiscoveryError> {
        let _alone = self.finding.lock().await;
        if let Some((at, found)) = &self.known.lock().looked
            && now().saturating_duration_since(*at) < FRESH
        {
            return found.clone();
        }
        let found = self.discovery.find().await;
        let mut known = self.known.lock();
        let found = match found {
            Ok(found) => {
                let mut nodes: Vec<Arc<Seed>> = found.into_iter().map(Arc::new).collect();
                nodes.sort_unstable();
                nodes.dedup();
                if let Some(caller) = &self.caller {
                    caller.dialer.random.shuffle(&mut nodes);
                }
                nodes.truncate(MOST_NODES);
                known.nodes = nodes;
                Ok(())
            }
            // Those that were there may be there yet.
            Err(_) if !known.nodes.is_empty() => Ok(()),
            Err(error) => Err(error),
        };
        known.looked = Some((now(), found.clone()));
        found
    }

    /// Nothing is heard of the cluster, for this reason.
    pub(super) fn unreachable(&self, source: impl Into<Cause>) -> Refusal {
        Refusal::Unreachable { peer: self.system.as_str().into(), source: source.into() }
    }

    /// The same, where these nodes were tried.
    pub(super) fn untaken(&self, tried: Vec<(Arc<Seed>, Refusal)>) -> Refusal {
        self.unreachable(Cause::new(Untaken { tried }))
    }
}

/// None of the nodes of a cluster has taken a message.
#[derive(Debug)]
struct Untaken {
    tried: Vec<(Arc<Seed>, Refusal)>,
}

/// All that were tried, each with its reason.
impl fmt::Display for Untaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of its nodes has taken it")?;
        for (at, (node, why)) in self.tried.iter().take(MOST_NAMED).enumerate() {
            let between = if at == 0 { ": " } else { "; " };
            // Whoever is unreachable is named by that.
            match why {
                Refusal::Unreachable { source, .. } => {
                    write!(f, "{between}{node}: {}", Chain(source))?
                }
                why => write!(f, "{between}{node}: {}", Chain(why))?,
            }
        }
        match self.tried.len().saturating_sub(MOST_NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for Untaken {}
