//! Nodes with a register each, in this process.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rakt::cluster::{Discovery, DiscoveryError, Register, Seed, Starting, SwapError, Version};
use rakt::prelude::*;
use rakt_raft::{Embedded, VoterId};

/// After this a test is hung.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the nodes of a test are by now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Vec<Seed>>>);

impl Shared {
    fn add(&self, seed: Seed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seed);
    }

    fn remove(&self, seed: &Seed) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| other != seed);
    }
}

impl Discovery for Shared {
    async fn find(&self) -> std::result::Result<Vec<Seed>, DiscoveryError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// As fast as a loaded machine allows.
pub(crate) fn quick(dir: &Path) -> Embedded {
    Embedded::at(dir)
        .settle(Duration::from_millis(200))
        .heartbeat(Duration::from_millis(100))
        .request_timeout(Duration::from_secs(4))
        .start_timeout(Duration::from_secs(40))
        .change_interval(Duration::ZERO)
}

pub(crate) struct Node {
    pub(crate) system: ActorSystem,
    pub(crate) register: Arc<Embedded>,
    pub(crate) dir: PathBuf,
    known: Shared,
}

impl Node {
    /// A system whose port others know, before its register starts.
    pub(crate) async fn listen(known: &Shared, register: Embedded, dir: &Path) -> Result<Self> {
        Self::listen_at(0, known, register, dir).await
    }

    pub(crate) async fn listen_at(
        port: u16,
        known: &Shared,
        register: Embedded,
        dir: &Path,
    ) -> Result<Self> {
        let config = remote::Config::new("127.0.0.1", port);
        let system = ActorSystem::builder("cluster").remoting(config).start().await?;
        let node = Self {
            system,
            register: Arc::new(register),
            dir: dir.to_owned(),
            known: known.clone(),
        };
        known.add(node.seed());
        Ok(node)
    }

    pub(crate) fn seed(&self) -> Seed {
        let (host, port) = self.system.advertised();
        Seed { host: host.to_owned(), port }
    }

    pub(crate) async fn start(&self) -> Result {
        let starting = Starting::new(self.system.clone(), self.known.clone());
        Ok(within(self.register.start(starting)).await?)
    }

    pub(crate) fn id(&self) -> VoterId {
        self.register.id().expect("it has started")
    }

    /// Gone, as far as the others can tell.
    pub(crate) async fn end(self) -> PathBuf {
        self.known.remove(&self.seed());
        within(self.register.stop()).await;
        within(self.system.shutdown()).await;
        self.dir
    }

    pub(crate) async fn read(&self) -> Result<(Version, String)> {
        let (version, view) = within(self.register.read()).await?;
        Ok((version, String::from_utf8(view.to_vec())?))
    }

    pub(crate) async fn swap(
        &self,
        over: Version,
        view: &str,
    ) -> std::result::Result<Version, SwapError> {
        within(self.register.swap(over, view.to_owned().into())).await
    }

    /// Until it is done: while there is no leader it is not known whether it was.
    pub(crate) async fn write(&self, view: &str) -> Result<Version> {
        let since = Instant::now();
        loop {
            let over = match self.register.read().await {
                Ok((version, there)) if there == view => return Ok(version),
                Ok((version, _)) => version,
                Err(error) if since.elapsed() > LIMIT => return Err(error.into()),
                Err(_) => continue,
            };
            if let Ok(version) = self.swap(over, view).await {
                return Ok(version);
            }
        }
    }
}

/// Nodes that found a cluster.
pub(crate) async fn founded(dir: &Path, known: &Shared, n: usize) -> Result<Vec<Node>> {
    let mut nodes = Vec::new();
    for at in 0..n {
        let dir = dir.join(at.to_string());
        nodes.push(Node::listen(known, quick(&dir).expect(n as u32), &dir).await?);
    }
    start(&nodes).await?;
    Ok(nodes)
}

pub(crate) async fn start(nodes: &[Node]) -> Result {
    let starting = nodes.iter().map(|node| {
        let starting = Starting::new(node.system.clone(), node.known.clone());
        let register = node.register.clone();
        tokio::spawn(async move { register.start(starting).await })
    });
    for starting in starting.collect::<Vec<_>>() {
        within(starting).await??;
    }
    Ok(())
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("the test hangs")
}
