//! The connections: a fixed number, made when they are needed, and anew when they are lost.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rakt::error::Cause;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Error, Row, Socket};

/// How long it is until a server that was not reached is tried again: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How much longer than the server this side waits: its word is better than none.
const GRACE: Duration = Duration::from_secs(1);

/// Why a call was not carried out.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing was written.
    #[error("nothing was written")]
    Before(#[source] Cause),
    /// It may be written.
    #[error("whether it was written is not known")]
    Unknown(#[source] Cause),
}

/// Whether a statement may be carried out twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Once {
    /// The second time comes to the same.
    Repeatable,
    /// It may not.
    Counts,
}

pub(crate) type Values<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];
type Dialing<'a> = Pin<Box<dyn Future<Output = Result<Client, Error>> + Send + 'a>>;

pub(crate) struct Pool {
    /// The connector is of any type.
    dial: Box<dyn Fn() -> Dialing<'static> + Send + Sync>,
    idle: Mutex<Vec<Client>>,
    places: Semaphore,
    limit: Duration,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("idle", &self.idle().len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Pool {
    pub(crate) fn new<T>(config: Config, tls: T, connections: usize, limit: Duration) -> Self
    where
        T: MakeTlsConnect<Socket> + Clone + Send + Sync + 'static,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let dial = move || -> Dialing<'static> {
            let (config, tls) = (config.clone(), tls.clone());
            Box::pin(async move {
                let (client, connection) = config.connect(tls).await?;
                // It ends with the client. What goes wrong the client tells.
                tokio::spawn(connection);
                client.batch_execute(&session(limit)).await?;
                Ok(client)
            })
        };
        let places = Semaphore::new(connections);
        Self { dial: Box::new(dial), idle: Mutex::default(), places, limit }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out one statement. All that it changes is written with it.
    pub(crate) async fn run(
        &self,
        statement: &str,
        values: Values<'_>,
        once: Once,
    ) -> Result<Vec<Row>, Failed> {
        let (_place, mut client) = self.client().await?;
        let mut answer = self.answer(client.query_typed(statement, values)).await;
        // What came too late once is not tried again: the caller has waited long enough.
        if let Err(Failed::Unknown(cause)) = &answer
            && once == Once::Repeatable
            && cause.get_ref().is::<Error>()
        {
            client = self.connected(Instant::now() + self.limit).await?;
            answer = self.answer(client.query_typed(statement, values)).await;
        }
        self.keep(client, &answer);
        answer
    }

    /// Carries out several statements, all or none.
    pub(crate) async fn run_script(&self, script: &str) -> Result<(), Failed> {
        let (_place, client) = self.client().await?;
        let answer = self.answer(client.batch_execute(script)).await;
        self.keep(client, &answer);
        answer
    }

    async fn answer<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Failed> {
        match timeout(self.limit + GRACE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if was_undone(&error) => Err(Failed::Before(Cause::new(error))),
            Ok(Err(error)) => Err(Failed::Unknown(Cause::new(error))),
            Err(late) => Err(Failed::Unknown(Cause::new(late))),
        }
    }

    /// Keeps a connection that can be used again.
    fn keep<T>(&self, client: Client, answer: &Result<T, Failed>) {
        let is_usable = match answer {
            Ok(_) => true,
            // One that is a standby now: another connection looks for the one that writes.
            Err(Failed::Before(cause)) => {
                let error = cause.get_ref().downcast_ref::<Error>();
                error.and_then(Error::code) != Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
            }
            // Whatever is under way on it would hold up the next call.
            Err(Failed::Unknown(_)) => false,
        };
        if is_usable && !client.is_closed() {
            self.idle().push(client);
        }
    }

    /// A connection, and the right to have one.
    async fn client(&self) -> Result<(SemaphorePermit<'_>, Client), Failed> {
        let until = Instant::now() + self.limit;
        let place = match timeout_at(until, self.places.acquire()).await {
            Ok(place) => place.expect("the places are never closed"),
            Err(_) => {
                let busy = format!("all connections were in use for {:?}", self.limit);
                return Err(Failed::Before(Cause::new(busy)));
            }
        };
        loop {
            // Out of the lock before it is looked at.
            let Some(client) = self.idle().pop() else { break };
            if !client.is_closed() {
                return Ok((place, client));
            }
        }
        Ok((place, self.connected(until).await?))
    }

    /// A new connection, as soon as there is a server that takes one.
    async fn connected(&self, until: Instant) -> Result<Client, Failed> {
        let mut pause = PAUSES.0;
        let mut why = None;
        loop {
            let error = match timeout_at(until, (self.dial)()).await {
                Ok(Ok(client)) => return Ok(client),
                Ok(Err(error)) => error,
                Err(late) => {
                    return Err(Failed::Before(why.unwrap_or_else(|| Cause::new(late))));
                }
            };
            let again = Instant::now() + pause;
            if !may_pass(&error) || again > until {
                return Err(Failed::Before(Cause::new(error)));
            }
            why = Some(Cause::new(error));
            sleep_until(again).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// What a session has to be like, whatever is the custom of the server: an answer says that it is on the disk, a statement
/// waits for another one and looks again, and the server does not go on with what nobody waits for.
fn session(limit: Duration) -> String {
    format!(
        "SELECT set_config('synchronous_commit', 'on', false) \
            WHERE current_setting('synchronous_commit') = 'off'; \
        SET default_transaction_isolation = 'read committed'; \
        SET statement_timeout = {}",
        limit.as_millis().clamp(1, i32::MAX as u128)
    )
}

/// Whether the server says that it has undone the statement. One that says that it ends may have written it.
fn was_undone(error: &Error) -> bool {
    let severity = error.as_db_error().and_then(|error| error.parsed_severity());
    severity == Some(Severity::Error)
}

/// Whether a server that could not be reached may be reached soon: it is not there, starts, ends, or has no place.
fn may_pass(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // The cause of all others is a configuration that is wrong.
        let cause = std::error::Error::source(error);
        return error.is_closed() || cause.is_some_and(|cause| cause.is::<std::io::Error>());
    };
    [
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::TOO_MANY_CONNECTIONS,
    ]
    .contains(code)
}
