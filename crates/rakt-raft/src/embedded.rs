//! The register as it is given to a cluster.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{Register, RegisterError, Seed, Starting, SwapError, Version};
use rakt::error::Cause;

use crate::names::{Id, Place, Shown};
use crate::node::Node;
use crate::options::Options;

/// Keeps the view of a cluster in the nodes themselves: by the consensus of a few of them, the voters, each of which has a log in a directory of its own.
///
/// It is new, and tried out with faults of many kinds: ten thousand runs of it in a faulty network kept every rule.
///
/// ```no_run
/// # fn registers() {
/// let register = rakt_raft::Embedded::at("/var/lib/shop/register").expect(3);
/// # }
/// ```
#[derive(Debug)]
pub struct Embedded {
    options: Options,
    running: RwLock<Option<Arc<Node>>>,
}

/// A voter of a cluster: random, made with its directory, and kept there. Its text is 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoterId(pub(crate) Id);

impl fmt::Display for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(self.0).fmt(f)
    }
}

impl fmt::Debug for VoterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoterId({self})")
    }
}

impl FromStr for VoterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Id::from_str_radix(text, 16).map(Self)
    }
}

/// The voters were not asked, or were not changed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the voters of the cluster could not be asked or changed")]
#[non_exhaustive]
pub struct VotersError {
    /// Why.
    pub source: Cause,
}

impl VotersError {
    fn new(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { source: Cause::new(source) }
    }
}

/// It is asked before it was started, or after it was stopped.
#[derive(Debug, thiserror::Error)]
#[error("the register does not run")]
struct NotRunning;

impl Embedded {
    /// A register whose node keeps what it has to in this directory, which one node has at a time. It is made where
    /// there is none.
    ///
    /// The directory belongs to one node for good, on a local disk. With it goes the vote of the node: a node with a new
    /// directory is another one.
    ///
    /// Without [`expect`](Self::expect) the node founds no cluster, and joins the one that its discovery leads to.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { options: Options::new(dir.into()), running: RwLock::default() }
    }

    /// Founds a cluster with so many nodes, 1 to 100, if there is none yet.
    ///
    /// All of them have to be told the same number, and no more nodes than these: it is founded when exactly so many are
    /// seen by each of them, and every address that a discovery lists is one of theirs, for [a while](Self::settle). Nodes
    /// that come later are to leave it out; a node that has a cluster does not look at it. One node alone needs no
    /// discovery and no remoting.
    ///
    /// Of one or two nodes one votes, of three or four three, of more five: those with the lowest ids. With one voter the
    /// cluster stands still while that is down.
    #[must_use]
    pub fn expect(mut self, nodes: u32) -> Self {
        self.options.expect = Some(nodes);
        self
    }

    /// How long all have to see the same nodes before they found a cluster. Default 5 s; less is for tests.
    #[must_use]
    pub fn settle(mut self, time: Duration) -> Self {
        self.options.settle = time;
        self
    }

    /// How often the leader is heard of by the others, 10 ms to 60 s. Default 300 ms.
    ///
    /// Without it for three to six of these, another one is elected, after up to twice that time in all; after two to four where
    /// the leader's port refuses connections, as where its process was killed. A voter has to answer within one, its disk
    /// included.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.options.heartbeat = interval;
        self
    }

    /// How long a read, a confirmation or a swap may take. Default 5 s: a leader that has gone is replaced within it.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.options.request_timeout = limit;
        self
    }

    /// How long [`start`](Register::start) waits for a cluster. Default 10 min.
    #[must_use]
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.options.start_timeout = limit;
        self
    }

    /// How long the leader waits between two replacements of voters. Default 1 min; less is for tests.
    #[must_use]
    pub fn change_interval(mut self, interval: Duration) -> Self {
        self.options.change_interval = interval;
        self
    }

    /// The node, once it has started.
    fn node(&self) -> Option<Arc<Node>> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        running.clone().filter(|node| node.has_begun())
    }

    /// The id of this node, once it has started: what it would vote by.
    pub fn id(&self) -> Option<VoterId> {
        self.node().map(|node| VoterId(node.voter_id()))
    }

    /// The voters, and where the log has them.
    ///
    /// # Errors
    /// There is no leader.
    pub async fn voters(&self) -> Result<Vec<(VoterId, Seed)>, VotersError> {
        let node = self.node().ok_or_else(|| VotersError::new(NotRunning))?;
        let voters = node.voters().await.map_err(VotersError::new)?;
        Ok(voters.into_iter().map(shown).collect())
    }

    /// The voter that leads, as it says itself: whatever is asked of the register, it answers.
    ///
    /// # Errors
    /// There is no leader, or there was none in time.
    pub async fn leader(&self) -> Result<(VoterId, Seed), VotersError> {
        let node = self.node().ok_or_else(|| VotersError::new(NotRunning))?;
        node.leader().await.map(shown).map_err(VotersError::new)
    }

    /// Has this node take the place of a voter that is gone, or is to go; returns the voters after that.
    ///
    /// This node has to be a member of the cluster and no voter. All other voters have to be up to date, and it is done once a
    /// minute at most. Nothing does it by itself, least of all a shutdown.
    ///
    /// # Errors
    /// It was refused, or it is not known whether it was done: then do it again.
    pub async fn replace(&self, old: VoterId) -> Result<Vec<(VoterId, Seed)>, VotersError> {
        self.change(Some(old)).await
    }

    /// Has this node become one more voter, of five at most; returns the voters after that. The same holds as for
    /// [`replace`](Self::replace).
    ///
    /// With an even number of voters no more of them may fail than with one fewer: go on to the next odd one.
    ///
    /// # Errors
    /// It was refused, or it is not known whether it was done: then do it again.
    pub async fn become_voter(&self) -> Result<Vec<(VoterId, Seed)>, VotersError> {
        self.change(None).await
    }

    async fn change(&self, old: Option<VoterId>) -> Result<Vec<(VoterId, Seed)>, VotersError> {
        let node = self.node().ok_or_else(|| VotersError::new(NotRunning))?;
        let voters = node.take_over(old.map(|old| old.0)).await.map_err(VotersError::new)?;
        Ok(voters.into_iter().map(shown).collect())
    }
}

fn shown((id, Place { host, port }): (Id, Place)) -> (VoterId, Seed) {
    (VoterId(id), Seed { host, port })
}

/// A swap that is sent to several leaders, as the first does not answer, has its effect once: what is told is what became of
/// it, and [`SwapError::Unknown`] where that cannot be found out in time. A view has 1 MiB at most.
impl Register for Embedded {
    /// Returns when the node has a cluster. The log may have no leader yet.
    ///
    /// # Errors
    /// With a [`StartError`](crate::StartError) as its source.
    async fn start(&self, starting: Starting) -> Result<(), RegisterError> {
        let node = Node::open(self.options.clone(), starting).await.map_err(RegisterError::new)?;
        // From here on it is to be stopped, also where this is dropped.
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Some(node.clone());
        let begun = node.begin().await;
        if begun.is_err() {
            self.stop().await;
        }
        begun.map_err(RegisterError::new)
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        self.node().ok_or_else(|| RegisterError::new(NotRunning))?.read().await
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        self.node().ok_or_else(|| RegisterError::new(NotRunning))?.confirm(seen).await
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        let node = self.node().ok_or_else(|| SwapError::Unknown(RegisterError::new(NotRunning)))?;
        node.swap(over, view).await
    }

    async fn changed(&self, seen: Version) {
        match self.node() {
            Some(node) => node.changed(seen).await,
            None => std::future::pending().await,
        }
    }

    async fn stop(&self) {
        let node = self.running.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(node) = node {
            node.stop().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use openraft::EntryPayload;
    use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
    use rakt::ActorSystem;
    use rakt::cluster::{Discovery, Static};

    use super::*;
    use crate::document::{Change, Document, SwapId};
    use crate::store::{Directory, Log};
    use crate::types::{At, Entry};

    const ENTRIES: u64 = 100_000;

    async fn started(dir: &std::path::Path) -> (Embedded, ActorSystem, Version, Duration) {
        let register = Embedded::at(dir).expect(1);
        let system = ActorSystem::builder("start").start().await.expect("it starts");
        let since = Instant::now();
        register.start(Starting::new(system.clone(), Static::default())).await.expect("it starts");
        let version = register.read().await.expect("it leads").0;
        (register, system, version, since.elapsed())
    }

    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).expect("a directory");
        for file in ["lock", "raft.redb"] {
            std::fs::copy(from.join(file), to.join(file)).expect("it is there");
        }
    }

    /// Nobody, which it tells when it is asked.
    struct Nobody(Arc<tokio::sync::Notify>);

    impl Discovery for Nobody {
        async fn find(&self) -> Result<Vec<Seed>, rakt::cluster::DiscoveryError> {
            self.0.notify_one();
            Ok(Vec::new())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_start_that_is_given_up_leaves_the_directory_to_the_next() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("register");
        let (register, asked) = (Embedded::at(&path).expect(3), Arc::default());
        let system = ActorSystem::builder("start").start().await.expect("it starts");
        let starting = Starting::new(system.clone(), Nobody(Arc::clone(&asked)));
        tokio::select! {
            started = register.start(starting) => panic!("there are no others: {started:?}"),
            () = asked.notified() => {}
        }
        register.stop().await;
        assert!(system.find("rakt-raft").is_none());
        let (next, ..) = started(&path).await;
        next.stop().await;
    }

    /// `cargo test --release -p rakt-raft --lib how_long_a_start_takes -- --ignored --nocapture`
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "a measurement"]
    async fn how_long_a_start_takes() {
        let temporary = tempfile::tempdir().expect("a directory");
        let path = temporary.path().join("register");
        let (register, system, ..) = started(&path).await;
        register.stop().await;
        system.shutdown().await;
        drop(register);
        // A view of about a hundred members, each time with another one.
        let dir = Directory::open(&path).expect("it is free");
        let mut log = Log::new(dir.clone());
        let state = log.get_log_state().await.expect("a log");
        let last = state.last_log_id.expect("it was begun");
        let mut document = Document::default();
        let mut view: Vec<u8> =
            (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut at = last;
        while at.index < ENTRIES {
            let mut entries = Vec::new();
            for _ in 0..1_000 {
                at = At::new(last.leader_id, at.index + 1);
                let from = (at.index as usize * 101) % (view.len() - 100);
                view[from..from + 100].fill(at.index as u8);
                view[..8].copy_from_slice(&at.index.to_be_bytes());
                let change = Change::Swap(document.swap_for(SwapId([at.index as u8; 16]), &view));
                document.apply(change.clone()).expect("it is its own");
                entries.push(Entry { log_id: at, payload: EntryPayload::Normal(change) });
            }
            log.save_committed(Some(at)).await.expect("it is noted");
            log.blocking_append(entries).await.expect("it is written");
        }
        drop((log, dir));
        let len =
            |path: &std::path::Path| path.join("raft.redb").metadata().map(|file| file.len() >> 20);
        println!("{} entries, {} MiB", at.index + 1, len(&path).expect("it is there"));

        let (register, system, version, took) = started(&path).await;
        assert_eq!(version.0, document.version());
        println!("all of the log: {took:?}");
        // As a kill leaves it.
        let killed = temporary.path().join("killed");
        copy(&path, &killed);
        register.stop().await;
        system.shutdown().await;
        drop(register);
        for (what, path) in
            [("from where it was written down", &path), ("the same after a kill", &killed)]
        {
            let (register, system, version, took) = started(path).await;
            assert_eq!(version.0, document.version());
            println!("{what}: {took:?}");
            register.stop().await;
            system.shutdown().await;
        }
    }
}
