#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod pool;
mod rows;

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rakt::error::Cause;
use rakt::grain::{
    ClaimError, DueReminder, Epoch, GrainId, GrainStore, Reminder, SaveError, StoreError, Stored,
    Writer,
};
/// The client, of which a [`Config`] is needed.
pub use tokio_postgres;
use tokio_postgres::config::Host;
use tokio_postgres::tls::{MakeTlsConnect, NoTls, TlsConnect};
use tokio_postgres::{Config, Socket};

use self::pool::{Failed, Once, Pool};

/// What [`PostgresStore::create_tables`] runs, for who has migrations. It changes nothing where the tables are there. They
/// are where the `search_path` of the user says.
pub const TABLES: &str = include_str!("tables.sql");

/// The default of [`Builder::connections`].
const CONNECTIONS: usize = 8;
/// The default of [`Builder::timeout`]. A grain has 10 s to come to life, and its store ought to say by then why it does not.
const TIMEOUT: Duration = Duration::from_secs(4);
/// The largest state, in bytes: half of what a message to the server can hold.
const MAX_STATE_LEN: usize = 512 << 20;

/// Keeps the state and the reminders of grains in PostgreSQL.
///
/// Clones are the same store, with the same connections.
///
/// # Cancel safety
/// A call whose future is dropped may be carried out all the same. If it was sent already its connection is closed.
///
/// # Panics
/// Every call does outside of a tokio runtime with I/O and timers.
#[derive(Clone, Debug)]
pub struct PostgresStore(std::sync::Arc<Pool>);

/// Options of a [`PostgresStore`].
#[derive(Clone, Debug)]
pub struct Builder<T = NoTls> {
    config: Config,
    tls: T,
    connections: usize,
    timeout: Duration,
}

impl PostgresStore {
    /// Connects to the server, without TLS.
    ///
    /// A `config` with several hosts ought to say `target_session_attrs=read-write`, so that after a failover the one is
    /// found that writes.
    ///
    /// # Errors
    /// What the server said, or why it is not reached within 4 s.
    pub async fn connect(config: Config) -> Result<Self, StoreError> {
        Self::builder(config).connect().await
    }

    /// With TLS, or other options than the default ones.
    pub fn builder(config: Config) -> Builder {
        Builder { config, tls: NoTls, connections: CONNECTIONS, timeout: TIMEOUT }
    }

    /// Makes the tables, [`TABLES`], where they are not there yet. Several nodes may do so at the same time.
    ///
    /// # Errors
    /// What the server said: as a rule that its user may not.
    pub async fn create_tables(&self) -> Result<(), StoreError> {
        Ok(self.0.run_script(TABLES).await?)
    }
}

impl<T> Builder<T> {
    /// With TLS by this connector, as far as `sslmode` of the configuration says. Default: none.
    pub fn tls<U>(self, connector: U) -> Builder<U> {
        let Self { config, connections, timeout, .. } = self;
        Builder { config, tls: connector, connections, timeout }
    }

    /// How many connections there are at most, and so how many calls at the same time; more of them wait for their turn.
    /// Default 8, at least 1. They are made as they are needed. The server has a process for each.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count.max(1);
        self
    }

    /// How long a call waits for a connection, and then again for the answer of the server, which gives up on it
    /// after that time; if it does not even say so it has a second more. Default 4 s, at least 1 ms.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit.max(Duration::from_millis(1));
        self
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// What the server said, or why it is not reached within the [`timeout`](Self::timeout).
    pub async fn connect(self) -> Result<PostgresStore, StoreError>
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let Self { mut config, tls, connections, timeout } = self;
        if config.get_application_name().is_none() {
            config.application_name("rakt");
        }
        let server = server_of(&config);
        let pool = Pool::new(config, tls, connections, timeout);
        let answered = pool.run("SELECT", &[], Once::Repeatable).await;
        let (Failed::Before(source) | Failed::Unknown(source)) = match answered {
            Ok(_) => return Ok(PostgresStore(pool.into())),
            Err(failed) => failed,
        };
        Err(StoreError::new(NotConnected { server, source }))
    }
}

/// There is no connection to a server.
#[derive(Debug, thiserror::Error)]
#[error("no connection to PostgreSQL at {server}")]
struct NotConnected {
    server: String,
    source: Cause,
}

/// The servers that are tried, without user and password.
fn server_of(config: &Config) -> String {
    let ports = config.get_ports();
    let places = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let port = ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(directory) => format!("{}, port {port}", directory.display()),
        }
    });
    let places = places.collect::<Vec<_>>().join("; ");
    if places.is_empty() { "no host: the configuration names none".to_owned() } else { places }
}

impl From<Failed> for StoreError {
    fn from(failed: Failed) -> Self {
        Self::new(failed)
    }
}

impl GrainStore for PostgresStore {
    async fn claim(
        &self,
        grain: &GrainId,
        epoch: Epoch,
        writer: Writer,
    ) -> Result<Option<Stored>, ClaimError> {
        // An epoch that was there a moment ago, and is none now, was taken out of the table by hand.
        let gone = || StoreError::new("the row of the grain comes and goes");
        let claimed = rows::claim(&self.0, grain, epoch, writer).await;
        if let Some(stored) = claimed.map_err(StoreError::from)? {
            return Ok(stored);
        }
        let holder = rows::holder(&self.0, grain).await;
        let by = holder.map_err(StoreError::from)?.ok_or_else(gone)?;
        Err(ClaimError::Superseded { by })
    }

    async fn save(
        &self,
        grain: &GrainId,
        claim: (Epoch, Writer),
        over: u64,
        state: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        if state.as_ref().is_some_and(|state| state.len() > MAX_STATE_LEN) {
            let source = Cause::new(format!("a state has {MAX_STATE_LEN} bytes at most"));
            return Err(SaveError::NotSaved { source });
        }
        match rows::save(&self.0, grain, claim, over, state.as_deref()).await {
            Ok(Some(version)) => Ok(version),
            Ok(None) => Err(SaveError::Fenced),
            Err(Failed::Before(source)) => Err(SaveError::NotSaved { source }),
            Err(Failed::Unknown(source)) => Err(SaveError::Unknown { source }),
        }
    }

    async fn remind(
        &self,
        grain: &GrainId,
        name: &str,
        reminder: Reminder,
    ) -> Result<(), StoreError> {
        Ok(rows::remind(&self.0, grain, name, reminder).await?)
    }

    async fn forget(&self, grain: &GrainId, name: &str) -> Result<(), StoreError> {
        Ok(rows::forget(&self.0, grain, name).await?)
    }

    async fn due(
        &self,
        kind: &str,
        now: SystemTime,
        most: usize,
    ) -> Result<Vec<DueReminder>, StoreError> {
        Ok(rows::due(&self.0, kind, now, most).await?)
    }

    async fn settle(&self, due: &DueReminder, next: Option<Reminder>) -> Result<(), StoreError> {
        Ok(rows::settle(&self.0, due, next).await?)
    }
}

#[cfg(test)]
mod tests {
    use rakt::error::Chain;

    use super::*;

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_and_no_password() {
        let text = "host=127.0.0.1,/nowhere port=1,2 user=shop password=secret";
        let builder = PostgresStore::builder(text.parse().expect("it is well formed"));
        let error = builder.timeout(Duration::from_millis(1)).connect().await;
        let text = Chain(&error.expect_err("nobody listens there")).to_string();
        assert!(
            text.contains("no connection to PostgreSQL at 127.0.0.1:1; /nowhere, port 2"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
    }
}
