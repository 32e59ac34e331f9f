//! A reference to another node, and the operations on it.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rakt_wire::{
    Address, AddressError, Operation, Outcome, SpawnArgument, validate_host, validate_name,
};

use super::caller::Caller;
#[cfg(feature = "goakt")]
use super::goakt;
use super::native::{CONTROL, Conn, Dialed, Endpoint, Expected};
use super::request::{Concern, NodeRequest};
use super::serve::{carry_out, lookup};
use super::transport::unbracketed;
use crate::call_options::DEFAULT_ASK_TIMEOUT;
use crate::dispatch::ActorType;
use crate::error::{Cause, Destination, OperationError, Refusal};
use crate::inside::{is_inside, is_inside_family};
use crate::message::WireMessage;
use crate::operation::stopped;
use crate::reference::{ActorRef, Life, Target};
use crate::system::ActorSystem;

/// A reference to the node that listens on a host and port, for operations on it: made by
/// [`ActorSystem::node`](crate::ActorSystem::node) and [`Client::node`](super::Client::node).
///
/// Cheap to clone. Nothing is sent before an operation is awaited, and whoever listens there then is
/// meant. It is spoken to as a node of rakt, unless the options name it as a
/// [Go node](super::Config::goakt). Each operation waits as long as an `ask` does by default, 5 s unless
/// [the system](crate::SystemBuilder::ask_timeout) says otherwise.
///
/// An operation by name concerns whoever has the name on that node, and keeps no order with messages
/// that were sent before; for that, and for one life of an actor, use its [`ActorRef`].
#[derive(Clone)]
pub struct NodeRef {
    host: Arc<str>,
    port: u16,
    /// `None` where there is no remoting.
    reach: Option<(Arc<Caller>, Peer)>,
}

/// How a node is reached.
#[derive(Clone)]
enum Peer {
    /// Not at all: it is this one.
    Own(ActorSystem),
    Native(Arc<Endpoint>),
    #[cfg(feature = "goakt")]
    GoAkt(Arc<goakt::Endpoint>),
}

/// Who answered a request.
enum By {
    Own(ActorSystem),
    Native(Arc<Conn<Dialed>>),
    /// A Go node; where the actor is, if that was asked.
    #[cfg(feature = "goakt")]
    GoAkt(Option<Address>),
}

impl fmt::Debug for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeRef({self})")
    }
}

/// `host:port`.
impl fmt::Display for NodeRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl NodeRef {
    /// Without a caller, every operation is refused.
    pub(crate) fn new(caller: Option<&Arc<Caller>>, host: &str, port: u16) -> Self {
        let reach = caller.map(|caller| (caller.clone(), Peer::of(caller, host, port)));
        Self { host: host.into(), port, reach }
    }

    /// The node of this system itself, which is not dialed.
    pub(crate) fn own(system: &ActorSystem, caller: &Arc<Caller>) -> Self {
        let (host, port) = system.advertised();
        let reach = Some((caller.clone(), Peer::Own(system.clone())));
        Self { host: host.into(), port, reach }
    }

    /// The host, as it was given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Finds the actor at `path`; `None` if there is none.
    ///
    /// The reference is to this life of the actor. `A` is its type, which the caller vouches for:
    /// the actor itself refuses what it does not accept. On the node of one's own, an actor of another type is
    /// not what was looked for: `None`.
    ///
    /// # Errors
    /// [`OperationError`]: the node could not be asked, or the name is not for peers.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn lookup<A: ActorType>(
        &self,
        path: &str,
    ) -> Result<Option<ActorRef<A>>, OperationError> {
        let operation = Operation::Lookup { path: path.to_owned() };
        let target = At { node: self, path };
        let request = target.request(&operation);
        match self.send(request).await? {
            (By::Own(system), Outcome::Found { .. }) => {
                Ok(system.find(path).and_then(|found| found.of_type()))
            }
            (by, Outcome::Found { uid, .. }) => {
                let found = self.reference(path, by, uid);
                found.map(Some).map_err(|refusal| request.refused(refusal))
            }
            _ => Ok(None),
        }
    }

    /// Starts an actor called `name` of the registered `kind`.
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
    pub fn spawn<A>(&self, name: impl Into<String>, kind: impl Into<String>) -> SpawnOn<A> {
        SpawnOn {
            node: self.clone(),
            name: name.into(),
            kind: kind.into(),
            argument: Ok(None),
            or_existing: false,
            actor: PhantomData,
        }
    }

    /// Stops the actor at `path` once it has handled what is queued, and waits for its end. One that
    /// is not there counts as stopped. See [`ActorRef::stop`].
    ///
    /// # Errors
    /// [`OperationError`]: the node could not be asked, did not answer, or the name is not for peers.
    ///
    /// # Cancel safety
    /// The actor may stop even if the future is dropped.
    pub async fn stop(&self, path: &str) -> Result<(), OperationError> {
        let operation = Operation::Stop { path: path.to_owned(), uid: None };
        stopped(self.request(path, &operation).await)
    }

    /// Builds the actor at `path` anew. See [`ActorRef::respawn`].
    ///
    /// # Errors
    /// [`OperationError`]: the node could not be asked, or has no such actor, or its `started` hook
    /// failed.
    ///
    /// # Cancel safety
    /// The actor may be built anew even if the future is dropped.
    pub async fn respawn(&self, path: &str) -> Result<(), OperationError> {
        let operation = Operation::Respawn { path: path.to_owned(), uid: None };
        self.request(path, &operation).await.map(drop)
    }

    /// Lets the actor at `path` take messages again if it is suspended. See [`ActorRef::reinstate`].
    ///
    /// # Errors
    /// [`OperationError`]: the node could not be asked, or has no such actor.
    ///
    /// # Cancel safety
    /// The actor may be reinstated even if the future is dropped.
    pub async fn reinstate(&self, path: &str) -> Result<(), OperationError> {
        let operation = Operation::Reinstate { path: path.to_owned(), uid: None };
        self.request(path, &operation).await.map(drop)
    }

    /// Asks the node itself whether it is there; returns how long the answer took, the time for
    /// connecting included where there was no connection.
    ///
    /// # Errors
    /// [`OperationError`]: it could not be asked, or did not answer.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn ping(&self) -> Result<Duration, OperationError> {
        let before = tokio::time::Instant::now();
        self.request("", &Operation::Ping).await?;
        Ok(before.elapsed())
    }

    /// The names of the kinds that the node lets peers spawn.
    ///
    /// # Errors
    /// [`OperationError`]: it could not be asked, or did not answer.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn kinds(&self) -> Result<Vec<String>, OperationError> {
        match self.request("", &Operation::Kinds).await? {
            Outcome::Kinds(kinds) => Ok(kinds),
            _ => Ok(Vec::new()),
        }
    }

    async fn request(&self, path: &str, operation: &Operation) -> Result<Outcome, OperationError> {
        let target = At { node: self, path };
        self.send(target.request(operation)).await.map(|(_, outcome)| outcome)
    }

    async fn send(&self, request: NodeRequest<'_>) -> Result<(By, Outcome), OperationError> {
        let names = validate_host(unbracketed(&self.host));
        if let Err(error) = names.and_then(|()| request.operation.check_names()) {
            return Err(request.not_sent(invalid(error)));
        }
        if self.port == 0 {
            let source = "the port is 0".into();
            return Err(request.not_sent(Refusal::InvalidArgument { source }));
        }
        match &self.reach {
            None => Err(request.not_sent(Refusal::RemotingOff)),
            Some((_, Peer::Own(system))) => {
                let outcome = on_own_node(system, request).await?;
                Ok((By::Own(system.clone()), outcome))
            }
            Some((_, Peer::Native(endpoint))) => {
                let asked = endpoint.request(request, CONTROL, Expected::Anyone).await;
                asked.map(|(conn, outcome)| (By::Native(conn), outcome))
            }
            #[cfg(feature = "goakt")]
            Some((_, Peer::GoAkt(endpoint))) => {
                let asked = endpoint.request(request).await;
                asked.map(|(address, outcome)| (By::GoAkt(address), outcome))
            }
        }
    }

    /// A reference to the life `uid` of the actor at `path`.
    fn reference<A: ActorType>(
        &self,
        path: &str,
        by: By,
        uid: u64,
    ) -> Result<ActorRef<A>, Refusal> {
        let (caller, _) = self.reach.as_ref().ok_or(Refusal::RemotingOff)?;
        let (address, life) = match by {
            By::Own(system) => {
                let found = system.find(path).and_then(|found| found.of_type());
                return found.ok_or(Refusal::NotFound);
            }
            By::Native(conn) => {
                let peer = &conn.peer;
                let address = Address::new(path, peer.system(), &*self.host, self.port);
                let life = Life { uid, incarnation: peer.incarnation };
                (address.map_err(invalid)?, Some(life))
            }
            #[cfg(feature = "goakt")]
            By::GoAkt(Some(address)) => (address, None),
            #[cfg(feature = "goakt")]
            By::GoAkt(None) => {
                let source = "the node did not say where the actor is".into();
                return Err(Refusal::Internal { source });
            }
        };
        Ok(caller.reference(address, life))
    }
}

/// What becomes of an operation on the node of one's own: as for a peer, without the way.
async fn on_own_node(
    system: &ActorSystem,
    request: NodeRequest<'_>,
) -> Result<Outcome, OperationError> {
    let operation = request.operation.clone();
    let done = match &operation {
        Operation::Ping => Ok(Outcome::Done),
        Operation::Kinds => Ok(Outcome::Kinds(system.kinds().names())),
        Operation::Lookup { path } => lookup(system, path),
        operation if waits_for_itself(system, operation) => {
            return Err(request.not_sent(Refusal::WaitsForItself));
        }
        _ => {
            let work = carry_out(system, operation.into(), (None, None), |_| Ok(()));
            match tokio::time::timeout(request.limit, work).await {
                Ok(done) => done,
                Err(_) => return Err(request.timed_out()),
            }
        }
    };
    done.map_err(|refusal| request.refused(refusal))
}

/// Whether the actor's own code would wait for this.
fn waits_for_itself(system: &ActorSystem, operation: &Operation) -> bool {
    let (path, of_family) = match operation {
        Operation::Stop { path, .. } | Operation::Respawn { path, .. } => (path, true),
        Operation::Reinstate { path, .. } => (path, false),
        _ => return false,
    };
    let found = system.find(path);
    match found.as_ref().map(ActorRef::target) {
        Some(Target::Local(cell)) if of_family => is_inside_family(&**cell),
        Some(Target::Local(cell)) => is_inside(&**cell),
        _ => false,
    }
}

/// What a request concerns, as errors call it.
struct At<'a> {
    node: &'a NodeRef,
    /// Empty for the node itself.
    path: &'a str,
}

impl Concern for At<'_> {
    fn destination(&self) -> Destination {
        let (host, port) = (self.node.host.to_string(), self.node.port);
        match self.path {
            "" => Destination::Node { host, port },
            name => Destination::Named { host, port, name: name.to_owned() },
        }
    }
}

impl<'a> At<'a> {
    fn request(&'a self, operation: &'a Operation) -> NodeRequest<'a> {
        let caller = self.node.reach.as_ref().map(|(caller, _)| caller);
        let limit = caller.map_or(DEFAULT_ASK_TIMEOUT, |caller| caller.options.ask_timeout);
        NodeRequest { operation, target: self, limit }
    }
}

/// How often a name that is taken and free in turn is tried for.
const TRIES: u32 = 8;
const TRY_AGAIN: Duration = Duration::from_millis(20);

fn is_taken(error: &OperationError) -> bool {
    matches!(error, OperationError::Refused { refusal: Refusal::NameTaken, .. })
}

fn invalid(error: AddressError) -> Refusal {
    Refusal::InvalidArgument { source: Cause::new(error) }
}

impl Peer {
    /// A Go node where the options say so.
    fn of(caller: &Caller, host: &str, port: u16) -> Self {
        #[cfg(feature = "goakt")]
        if caller.is_goakt(host, port) {
            return Self::GoAkt(caller.goakt_endpoint(host, port));
        }
        Self::Native(caller.endpoint(host, port))
    }
}

/// An actor about to be started on another node; made by [`NodeRef::spawn`].
#[must_use = "an actor is started when this is awaited"]
pub struct SpawnOn<A> {
    node: NodeRef,
    name: String,
    kind: String,
    argument: Result<Option<SpawnArgument>, Refusal>,
    or_existing: bool,
    actor: PhantomData<fn() -> A>,
}

impl<A> fmt::Debug for SpawnOn<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnOn")
            .field("node", &self.node)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl<A> SpawnOn<A> {
    /// Gives the kind the argument that it takes. One that cannot be encoded is an error when this is
    /// awaited.
    pub fn argument<M: WireMessage>(mut self, argument: &M) -> Self {
        let wire = M::wire_type();
        let mut payload = Vec::new();
        self.argument = match wire.message.encode(argument, &mut payload) {
            Ok(()) => {
                let type_name = wire.name().to_owned();
                Ok(Some(SpawnArgument { type_name, payload: payload.into() }))
            }
            Err(error) => Err(Refusal::Unencodable { source: error.into() }),
        };
        self
    }

    /// Takes the actor that has the name already, if it is of this kind, in place of an error: of several that do
    /// this at once, one starts the actor and all get it. The argument is for the one that starts. An actor that is
    /// about to end may be what is found: it refuses messages as stopped.
    pub fn or_existing(mut self) -> Self {
        self.or_existing = true;
        self
    }

    async fn send(self) -> Result<ActorRef<A>, OperationError>
    where
        A: ActorType,
    {
        let Self { node, name, kind, argument, or_existing, .. } = self;
        let valid = match (&node.reach, argument) {
            (None, _) => Err(Refusal::RemotingOff),
            (Some(_), argument) => argument.and_then(|argument| {
                validate_name(&name).map_err(invalid)?;
                Ok(argument)
            }),
        };
        let (argument, invalid) = match valid {
            Ok(argument) => (argument, None),
            Err(refusal) => (None, Some(refusal)),
        };
        let wanted = or_existing.then(|| kind.trim().to_lowercase());
        let spawn = Operation::Spawn { path: name.clone(), kind, argument };
        let target = At { node: &node, path: &name };
        let request = target.request(&spawn);
        if let Some(refusal) = invalid {
            return Err(request.not_sent(refusal));
        }
        let lookup = Operation::Lookup { path: name.clone() };
        for _ in 0..TRIES {
            let started = match node.send(request).await {
                Ok((by, Outcome::Spawned { uid })) => node.reference(&name, by, uid),
                Ok((_, other)) => {
                    let source = format!("unexpected outcome {other:?}").into();
                    Err(Refusal::Internal { source })
                }
                Err(error) if !is_taken(&error) => return Err(error),
                Err(error) => {
                    let Some(wanted) = &wanted else { return Err(error) };
                    match node.send(target.request(&lookup)).await? {
                        (by, Outcome::Found { uid, kind }) if kind.to_lowercase() == *wanted => {
                            node.reference(&name, by, uid)
                        }
                        (_, Outcome::Found { .. }) => return Err(error),
                        // It has ended meanwhile.
                        _ => {
                            tokio::time::sleep(TRY_AGAIN).await;
                            continue;
                        }
                    }
                }
            };
            return started.map_err(|refusal| request.refused(refusal));
        }
        Err(request.refused(Refusal::NameTaken))
    }
}

impl<A: ActorType> IntoFuture for SpawnOn<A> {
    type Output = Result<ActorRef<A>, OperationError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
