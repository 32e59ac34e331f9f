#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod error;
mod line;
mod messages;
mod watcher;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{Register, RegisterError, Starting, SwapError, Version};
use rakt::error::Chain;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

pub use self::error::EtcdError;
use self::line::{Line, Lined};
use self::messages::{Compare, KeyValue, Op, Put, Range, Txn};
use self::watcher::News;

/// The default of [`Etcd::timeout`].
const TIMEOUT: Duration = Duration::from_secs(3);
/// The default of [`Etcd::connect_timeout`].
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The default of [`Etcd::start_timeout`].
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it is until an etcd that was not reached at the start is tried again.
const START_PAUSE: Duration = Duration::from_millis(100);

/// Keeps the view of a cluster in etcd, as one key.
///
/// A [`read`](Register::read) is a linearizable one, a [`confirm`](Register::confirm) is the same without the value, a
/// [`swap`](Register::swap) is a transaction on the revision of the key, and that revision is the version. No leases, no locks.
///
/// # Cancel safety
/// A call whose future is dropped may have its effect all the same.
///
/// # Panics
/// Every call does outside of a tokio runtime with I/O and timers.
pub struct Etcd {
    options: Options,
    line: OnceLock<Lined>,
    watching: Mutex<Option<Watching>>,
}

struct Watching {
    news: watch::Receiver<News>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
pub(crate) struct Options {
    endpoints: Vec<String>,
    prefix: String,
    cluster: String,
    user: Option<(String, String)>,
    #[cfg(feature = "_tls")]
    ca: Option<Vec<u8>>,
    #[cfg(feature = "_tls")]
    certificate: Option<(Vec<u8>, Vec<u8>)>,
    timeout: Duration,
    connect_timeout: Duration,
    start_timeout: Duration,
}

impl Options {
    fn key(&self) -> Bytes {
        format!("{}/{}/view", self.prefix, self.cluster).into()
    }
}

impl Etcd {
    /// At these endpoints, such as `http://10.0.0.1:2379`: the members of one etcd, or some of them. They are used one at a time,
    /// and the next one when it fails. Without a port it is 2379. Whether they can be used shows at the start.
    pub fn at<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        let options = Options {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: "/rakt".into(),
            cluster: "default".into(),
            user: None,
            #[cfg(feature = "_tls")]
            ca: None,
            #[cfg(feature = "_tls")]
            certificate: None,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            start_timeout: START_TIMEOUT,
        };
        Self { options, line: OnceLock::new(), watching: Mutex::default() }
    }

    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        // What was looked at with other options counts no more.
        self.line = OnceLock::new();
        self
    }

    /// The name of the cluster: nodes with the same one are one cluster. Default `default`. It is a part of the key,
    /// `/rakt/NAME/view`.
    #[must_use]
    pub fn cluster(self, name: impl Into<String>) -> Self {
        self.with(|options| options.cluster = name.into())
    }

    /// What the key begins with. Default `/rakt`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.with(|options| options.prefix = prefix.into())
    }

    /// The user that etcd knows, and its password; the role of that user has to allow reading and writing the key. Default:
    /// none.
    #[must_use]
    pub fn user(self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.with(|options| options.user = Some((name.into(), password.into())))
    }

    /// The certificates that the server's is checked with, in PEM; all endpoints are `https://` then, which needs it. The name
    /// or address in the endpoint has to be one of the server's certificate. Default: no TLS.
    #[cfg(feature = "_tls")]
    #[must_use]
    pub fn ca(self, pem: impl Into<Vec<u8>>) -> Self {
        self.with(|options| options.ca = Some(pem.into()))
    }

    /// The certificate of this client and its key, in PEM, for an etcd with `--client-cert-auth`. Default: none.
    #[cfg(feature = "_tls")]
    #[must_use]
    pub fn certificate(self, pem: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.with(|options| options.certificate = Some((pem.into(), key.into())))
    }

    /// How long a call takes at most. Default 3 s, at least 10 ms. Reads and confirmations that one endpoint has not answered
    /// in half of that are asked of the next one. It has to be shorter than the lease of the cluster.
    #[must_use]
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|options| options.timeout = limit.max(Duration::from_millis(10)))
    }

    /// How long it takes at most until a connection is ready, as a part of the time of the call. Default 1 s, at least 10 ms.
    #[must_use]
    pub fn connect_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.connect_timeout = limit.max(Duration::from_millis(10)))
    }

    /// How long a node that starts waits for an etcd that is not there yet, or has no leader. Default 30 s. What waiting does not
    /// mend, such as a wrong password, is told at once.
    #[must_use]
    pub fn start_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.start_timeout = limit)
    }

    /// Sees whether etcd is there and lets this user in, within the [`start_timeout`](Self::start_timeout). A node that
    /// starts does it; it changes nothing.
    ///
    /// # Errors
    /// What etcd said, or why it is not reached.
    pub async fn connect(&self) -> Result<(), EtcdError> {
        self.connect_within(self.options.start_timeout).await
    }

    async fn connect_within(&self, limit: Duration) -> Result<(), EtcdError> {
        let until = Instant::now() + limit;
        let mut is_told = false;
        loop {
            match self.found(true).await {
                Ok(_) => return Ok(()),
                Err(error) if error.may_pass() && Instant::now() + START_PAUSE < until => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(error = %Chain(&error), "waits for etcd");
                    }
                    sleep(START_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn line(&self) -> Result<&Arc<Line>, EtcdError> {
        let line = self.line.get_or_init(|| Line::new(self.options.clone()).map(Arc::new));
        line.as_ref().map_err(Clone::clone)
    }

    async fn found(&self, keys_only: bool) -> Result<Option<KeyValue>, EtcdError> {
        let call = Range { key: self.options.key(), keys_only };
        Ok(self.line()?.ask(call, true).await?.found.pop())
    }

    fn watching(&self) -> MutexGuard<'_, Option<Watching>> {
        self.watching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The news, for which one watch is there however many wait.
    fn news(&self) -> Option<watch::Receiver<News>> {
        let line = self.line().ok()?;
        let mut watching = self.watching();
        // It ends with its runtime.
        if watching.as_ref().is_none_or(|watching| watching.task.is_finished()) {
            let (sender, news) = watch::channel(News::default());
            let task = tokio::spawn(watcher::watch(line.clone(), sender));
            *watching = Some(Watching { news, task });
        }
        watching.as_ref().map(|watching| watching.news.clone())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        if let Some(watching) = self.watching().take() {
            watching.task.abort();
        }
    }
}

/// Without the password.
impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.get().and_then(|line| line.as_ref().ok());
        f.debug_struct("Etcd")
            .field("endpoints", &self.options.endpoints)
            .field("key", &self.options.key())
            .field("user", &self.options.user.as_ref().map(|(user, _)| user))
            .field("line", &line)
            .finish_non_exhaustive()
    }
}

fn version_of(found: Option<&KeyValue>) -> Version {
    Version(found.map_or(0, |found| found.mod_revision.max(0) as u64))
}

impl Register for Etcd {
    async fn start(&self, starting: Starting) -> Result<(), RegisterError> {
        let own = self.options.start_timeout;
        let limit = starting.limit().map_or(own, |limit| limit.min(own));
        self.connect_within(limit).await.map_err(RegisterError::new)
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        let found = self.found(false).await.map_err(RegisterError::new)?;
        let version = version_of(found.as_ref());
        Ok((version, found.map_or_else(Bytes::new, |found| found.value)))
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        let found = self.found(true).await.map_err(RegisterError::new)?;
        Ok(version_of(found.as_ref()) == seen)
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        let unknown = |error: EtcdError| SwapError::Unknown(RegisterError::new(error));
        let key = self.options.key();
        // No revision is as high as that.
        let Ok(revision) = i64::try_from(over.0) else { return Err(SwapError::Conflict) };
        let compare = match revision {
            0 => Compare::absent(key.clone()),
            revision => Compare::written(key.clone(), revision),
        };
        let put = Op { put: Some(Put { key, value: view }) };
        let call = Txn { compare: vec![compare], success: vec![put] };
        let line = self.line().map_err(unknown)?;
        let done = line.ask(call, false).await.map_err(unknown)?;
        match (done.succeeded, done.header) {
            (true, Some(header)) => Ok(Version(header.revision.max(0) as u64)),
            _ => Err(SwapError::Conflict),
        }
    }

    async fn changed(&self, seen: Version) {
        if let Some(mut news) = self.news() {
            // It ends only with the watch, which is told nowhere else.
            if news.wait_for(|news| news.is_for(seen)).await.is_ok() {
                return;
            }
        }
        std::future::pending().await
    }

    async fn stop(&self) {
        if let Some(watching) = self.watching().take() {
            watching.task.abort();
        }
    }
}
