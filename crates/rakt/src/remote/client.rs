//! Calls to other nodes: from an actor system, or from a [`Client`] without one.

use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rakt_wire::{
    Address, Dialect, Operation, Outcome, SpawnArgument, validate_name, validate_system_name,
};

use super::config::{Config, ConfigError};
use super::conn::{Conn, Expected};
use super::endpoint::{CONTROL, Endpoint};
#[cfg(feature = "goakt")]
use super::goakt;
use super::net::{Net, Owner};
use super::node::CLOSE_TIMEOUT;
use super::target::{Life, RemoteTarget, Unreachable};
use crate::actor::AnyActor;
use crate::error::{OperationError, Refusal};
use crate::events::{EVENT_CAPACITY, Events};
use crate::message::Message;
use crate::reference::{ActorRef, Target};
use crate::send::{Ask, DEFAULT_ASK_TIMEOUT, Tell};
use crate::system::ActorSystem;

/// Talks to actors on other nodes, without an actor system of its own.
///
/// Cheap to clone; reuse it, since its connections are pooled. Actors cannot answer it other than by
/// the reply to an `ask`: it has no address.
#[derive(Clone)]
pub struct Client {
    net: Arc<Net>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("name", &self.net.name()).finish_non_exhaustive()
    }
}

impl Config {
    /// The options of a [`Client`], which listens nowhere: those that concern listening have no effect.
    pub fn client() -> Self {
        Self::new("127.0.0.1", 0)
    }
}

impl Client {
    /// A client that peers know as `name`.
    ///
    /// # Errors
    /// [`ConfigError`] if the name or an option is out of its range.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(name: &str, config: Config) -> Result<Self, ConfigError> {
        let options = config.check()?;
        if validate_system_name(name).is_err() {
            return Err(ConfigError {
                option: "name",
                value: format!("{name:?}"),
                allowed: "letters, digits, -, _ and ., beginning with a letter or digit",
            });
        }
        let owner = Owner::Client {
            name: name.to_owned(),
            events: tokio::sync::broadcast::Sender::new(EVENT_CAPACITY),
            dead_letters: AtomicU64::new(0),
        };
        let propagator = options.propagator.clone();
        Ok(Self { net: Net::new(owner, options, propagator, DEFAULT_ASK_TIMEOUT) })
    }

    pub(crate) fn of_node(net: Arc<Net>) -> Self {
        Self { net }
    }

    /// Links up and down, and the dead letters of messages that were sent from here.
    pub fn events(&self) -> Events {
        match &self.net.owner {
            Owner::Client { events, .. } => Events(events.subscribe()),
            // A client with an owner is never handed out.
            Owner::System { .. } => Events(tokio::sync::broadcast::channel(1).1),
        }
    }

    /// How many messages sent from here have become dead letters so far.
    pub fn dead_letter_count(&self) -> u64 {
        match &self.net.owner {
            Owner::Client { dead_letters, .. } => dead_letters.load(Ordering::Relaxed),
            Owner::System { .. } => 0,
        }
    }

    /// A reference to whoever has this address, now or later. Nothing is sent yet.
    pub fn actor(&self, address: &Address) -> ActorRef {
        self.reference(address.clone(), None)
    }

    fn reference<A>(&self, address: Address, life: Option<Life>) -> ActorRef<A> {
        let (host, port) = (address.host(), address.port());
        let target = match address.dialect() {
            #[cfg(feature = "goakt")]
            Dialect::GoAkt => RemoteTarget::goakt(&self.net.goakt_endpoint(host, port), address),
            #[cfg(not(feature = "goakt"))]
            Dialect::GoAkt => RemoteTarget::unreachable(address, Unreachable::NoGoAkt),
            _ => RemoteTarget::new(self.net.endpoint(host, port), address, life),
        };
        ActorRef::from_target(Target::Remote(target))
    }

    /// Tells whoever has this address. See [`ActorRef::tell`].
    pub fn tell<M: Message>(&self, to: &Address, message: M) -> Tell<'static, AnyActor, M> {
        Tell::owned(self.actor(to), message)
    }

    /// Asks whoever has this address. See [`ActorRef::ask`].
    pub fn ask<M: Message>(&self, to: &Address, message: M) -> Ask<'static, AnyActor, M> {
        Ask::owned(self.actor(to), message)
    }

    /// Finds the actor called `name` on the node at `host` and `port`; `None` if there is none.
    ///
    /// The reference is to this life of the actor. `A` is its type, which the caller vouches for:
    /// the actor itself refuses what it does not accept.
    ///
    /// # Errors
    /// [`OperationError`]: the node could not be asked, or the name is not for peers.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn lookup<A>(
        &self,
        host: &str,
        port: u16,
        name: &str,
    ) -> Result<Option<ActorRef<A>>, OperationError> {
        let operation = Operation::Lookup { path: name.to_owned() };
        let at = At::new(self, host, port, name);
        match at.request("lookup", &operation).await? {
            (by, Outcome::Found { uid, .. }) => at.reference(by, uid).map(Some),
            _ => Ok(None),
        }
    }

    /// Starts an actor called `name` of the registered `kind` on the node at `host` and `port`.
    ///
    /// Await the result, after giving it the argument of the kind, if that takes one. The reference is
    /// to this life of the actor, whose type the caller vouches for.
    ///
    /// # Errors
    /// [`OperationError`], when awaited: the node could not be asked, has no such kind, or its actor did
    /// not start.
    ///
    /// # Cancel safety
    /// If the future is dropped after its first poll, the actor may have been started.
    pub fn spawn_on<A>(&self, host: &str, port: u16, name: &str, kind: &str) -> SpawnOn<A> {
        SpawnOn {
            client: Some(self.clone()),
            host: host.to_owned(),
            port,
            name: name.to_owned(),
            kind: kind.to_owned(),
            argument: Ok(None),
            actor: PhantomData,
        }
    }

    /// Stops whoever has this address. See [`ActorRef::stop`].
    ///
    /// # Errors
    /// As [`ActorRef::stop`].
    pub async fn stop(&self, address: &Address) -> Result<(), OperationError> {
        self.actor(address).stop().await
    }

    /// Builds whoever has this address anew. See [`ActorRef::respawn`].
    ///
    /// # Errors
    /// As [`ActorRef::respawn`].
    pub async fn respawn(&self, address: &Address) -> Result<(), OperationError> {
        self.actor(address).respawn().await
    }

    /// Reinstates whoever has this address. See [`ActorRef::reinstate`].
    ///
    /// # Errors
    /// As [`ActorRef::reinstate`].
    pub async fn reinstate(&self, address: &Address) -> Result<(), OperationError> {
        self.actor(address).reinstate().await
    }

    /// Asks the node itself whether it is there; returns how long the answer took, the time for
    /// connecting included where there was no connection.
    ///
    /// # Errors
    /// [`OperationError`]: it could not be asked, or did not answer.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ping(&self, host: &str, port: u16) -> Result<Duration, OperationError> {
        let before = tokio::time::Instant::now();
        At::new(self, host, port, "").request("ping", &Operation::Ping).await?;
        Ok(before.elapsed())
    }

    /// The names of the kinds that the node lets peers spawn.
    ///
    /// # Errors
    /// [`OperationError`]: it could not be asked, or did not answer.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn kinds_on(&self, host: &str, port: u16) -> Result<Vec<String>, OperationError> {
        match At::new(self, host, port, "").request("kinds", &Operation::Kinds).await? {
            (_, Outcome::Kinds(kinds)) => Ok(kinds),
            _ => Ok(Vec::new()),
        }
    }

    /// Closes all connections, once what was sent is written and Go nodes have acknowledged what they were
    /// told, which is waited for 5 s at most. Further calls are refused, of clones too.
    ///
    /// # Cancel safety
    /// The connections close even if the future is dropped after its first poll.
    pub async fn close(&self) {
        let conns = self.net.close("the client closes");
        let all_over = async {
            for conn in conns {
                conn.gone().await;
            }
            #[cfg(feature = "goakt")]
            self.net.goakt_gone().await;
        };
        drop(tokio::time::timeout(CLOSE_TIMEOUT, all_over).await);
    }
}

/// A place on another node.
struct At<'a> {
    peer: Peer,
    host: &'a str,
    port: u16,
    client: &'a Client,
    name: &'a str,
}

/// How a node is reached.
enum Peer {
    Native(Arc<Endpoint>),
    #[cfg(feature = "goakt")]
    GoAkt(Arc<goakt::Endpoint>),
}

/// Who answered a request.
enum By {
    Native(Arc<Conn>),
    /// A Go node; where the actor is, if that was asked.
    #[cfg(feature = "goakt")]
    GoAkt(Option<Address>),
}

impl<'a> At<'a> {
    fn new(client: &'a Client, host: &'a str, port: u16, name: &'a str) -> Self {
        Self { peer: Peer::of(&client.net, host, port), host, port, client, name }
    }

    fn target(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.name)
    }

    async fn request(
        &self,
        name: &'static str,
        operation: &Operation,
    ) -> Result<(By, Outcome), OperationError> {
        let (target, limit) = (self.target(), self.client.net.ask_timeout);
        match &self.peer {
            Peer::Native(endpoint) => {
                let expected = Expected::Anyone;
                let asked = endpoint.request(name, &target, CONTROL, expected, operation, limit);
                asked.await.map(|(conn, outcome)| (By::Native(conn), outcome))
            }
            #[cfg(feature = "goakt")]
            Peer::GoAkt(endpoint) => {
                let asked = endpoint.request(name, &target, operation, limit).await;
                asked.map(|(address, outcome)| (By::GoAkt(address), outcome))
            }
        }
    }

    /// A reference to the life `uid` of the actor at this place.
    fn reference<A>(&self, by: By, uid: u64) -> Result<ActorRef<A>, OperationError> {
        let failed = |refusal| OperationError::Refused {
            operation: "lookup",
            target: self.target(),
            refusal,
        };
        let (address, life) = match by {
            By::Native(conn) => {
                let peer = &conn.peer;
                let address = Address::new(self.name, peer.system(), self.host, self.port)
                    .map_err(|error| {
                        failed(Refusal::InvalidArgument { detail: error.to_string() })
                    })?;
                (address, Some(Life { uid, incarnation: peer.incarnation }))
            }
            #[cfg(feature = "goakt")]
            By::GoAkt(Some(address)) => (address, None),
            #[cfg(feature = "goakt")]
            By::GoAkt(None) => {
                let detail = "the node did not say where the actor is".to_owned();
                return Err(failed(Refusal::Internal { detail }));
            }
        };
        Ok(self.client.reference(address, life))
    }
}

impl Peer {
    /// A Go node where the options say so.
    fn of(net: &Net, host: &str, port: u16) -> Self {
        #[cfg(feature = "goakt")]
        if net.options.goakt.as_ref().is_some_and(|goakt| goakt.peer_at(host, port).is_some()) {
            return Self::GoAkt(net.goakt_endpoint(host, port));
        }
        Self::Native(net.endpoint(host, port))
    }
}

/// An actor about to be started on another node.
#[must_use = "an actor is started when this is awaited"]
pub struct SpawnOn<A> {
    client: Option<Client>,
    host: String,
    port: u16,
    name: String,
    kind: String,
    argument: Result<Option<SpawnArgument>, Refusal>,
    actor: PhantomData<fn() -> A>,
}

impl<A> SpawnOn<A> {
    /// Gives the kind the argument that it takes. One that cannot be encoded is an error when this is
    /// awaited.
    pub fn argument<M: Message>(mut self, argument: &M) -> Self {
        self.argument = match M::wire() {
            None => Err(Refusal::NoCodec { message: std::any::type_name::<M>().to_owned() }),
            Some(wire) => {
                let mut payload = Vec::new();
                match wire.message.encode(argument, &mut payload) {
                    Ok(()) => Ok(Some(SpawnArgument {
                        type_name: wire.name().to_owned(),
                        payload: payload.into(),
                    })),
                    Err(error) => Err(Refusal::Unencodable { detail: error.0 }),
                }
            }
        };
        self
    }

    async fn send(self) -> Result<ActorRef<A>, OperationError> {
        let target = format!("{}:{}/{}", self.host, self.port, self.name);
        let not_sent = |refusal| OperationError::NotSent {
            operation: "spawn",
            target: target.clone(),
            refusal,
        };
        let client = self.client.ok_or_else(|| not_sent(Refusal::RemotingOff))?;
        let argument = self.argument.map_err(not_sent)?;
        validate_name(&self.name)
            .map_err(|error| not_sent(Refusal::InvalidArgument { detail: error.to_string() }))?;
        let at = At::new(&client, &self.host, self.port, &self.name);
        let (path, kind) = (self.name.clone(), self.kind);
        match at.request("spawn", &Operation::Spawn { path, kind, argument }).await? {
            (by, Outcome::Spawned { uid }) => at.reference(by, uid),
            (_, other) => Err(OperationError::Refused {
                operation: "spawn",
                target,
                refusal: Refusal::Internal { detail: format!("unexpected outcome {other:?}") },
            }),
        }
    }
}

impl<A: 'static> IntoFuture for SpawnOn<A> {
    type Output = Result<ActorRef<A>, OperationError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// Calls to other nodes. Without [remoting](crate::Builder::remoting) all of them are refused with
/// [`Refusal::RemotingOff`].
impl ActorSystem {
    /// A reference to whoever has this address, now or later, here or on another node.
    pub fn actor(&self, address: &Address) -> ActorRef {
        let is_own = address.system() == self.name()
            && (address.host(), address.port()) == self.advertised();
        if is_own && let Some(found) = self.find(address.path()) {
            return found;
        }
        match self.node() {
            Some(node) => node.client().actor(address),
            None => ActorRef::from_target(Target::Remote(RemoteTarget::unreachable(
                address.clone(),
                Unreachable::RemotingOff,
            ))),
        }
    }

    /// Tells whoever has this address. See [`ActorRef::tell`].
    pub fn tell<M: Message>(&self, to: &Address, message: M) -> Tell<'static, AnyActor, M> {
        Tell::owned(self.actor(to), message)
    }

    /// Asks whoever has this address. See [`ActorRef::ask`].
    pub fn ask<M: Message>(&self, to: &Address, message: M) -> Ask<'static, AnyActor, M> {
        Ask::owned(self.actor(to), message)
    }

    /// Finds the actor called `name` on the node at `host` and `port`. See [`Client::lookup`].
    ///
    /// # Errors
    /// As [`Client::lookup`].
    pub async fn lookup<A: 'static>(
        &self,
        host: &str,
        port: u16,
        name: &str,
    ) -> Result<Option<ActorRef<A>>, OperationError> {
        self.remote("lookup", host, port)?.lookup(host, port, name).await
    }

    /// Starts an actor of a registered kind on the node at `host` and `port`. See
    /// [`Client::spawn_on`].
    pub fn spawn_on<A>(&self, host: &str, port: u16, name: &str, kind: &str) -> SpawnOn<A> {
        SpawnOn {
            client: self.node().map(|node| node.client().clone()),
            host: host.to_owned(),
            port,
            name: name.to_owned(),
            kind: kind.to_owned(),
            argument: Ok(None),
            actor: PhantomData,
        }
    }

    /// Stops whoever has this address. See [`ActorRef::stop`].
    ///
    /// # Errors
    /// As [`ActorRef::stop`].
    pub async fn stop(&self, address: &Address) -> Result<(), OperationError> {
        self.actor(address).stop().await
    }

    /// Builds whoever has this address anew. See [`ActorRef::respawn`].
    ///
    /// # Errors
    /// As [`ActorRef::respawn`].
    pub async fn respawn(&self, address: &Address) -> Result<(), OperationError> {
        self.actor(address).respawn().await
    }

    /// Reinstates whoever has this address. See [`ActorRef::reinstate`].
    ///
    /// # Errors
    /// As [`ActorRef::reinstate`].
    pub async fn reinstate(&self, address: &Address) -> Result<(), OperationError> {
        self.actor(address).reinstate().await
    }

    /// Asks a node itself whether it is there. See [`Client::ping`].
    ///
    /// # Errors
    /// As [`Client::ping`].
    pub async fn ping(&self, host: &str, port: u16) -> Result<Duration, OperationError> {
        self.remote("ping", host, port)?.ping(host, port).await
    }

    /// The kinds that a node lets peers spawn. See [`Client::kinds_on`].
    ///
    /// # Errors
    /// As [`Client::kinds_on`].
    pub async fn kinds_on(&self, host: &str, port: u16) -> Result<Vec<String>, OperationError> {
        self.remote("kinds", host, port)?.kinds_on(host, port).await
    }

    fn remote(
        &self,
        operation: &'static str,
        host: &str,
        port: u16,
    ) -> Result<&Client, OperationError> {
        self.node().map(|node| node.client()).ok_or_else(|| OperationError::NotSent {
            operation,
            target: format!("{host}:{port}"),
            refusal: Refusal::RemotingOff,
        })
    }
}
