//! Calls to other nodes: from an actor system, or from a [`Client`] without one.

use std::sync::{Arc, Weak};

use rakt_wire::{Address, validate_system_name};

use super::caller::Caller;
use super::config::ClientConfig;
use super::dialer::Dialer;
use super::handshake::hello;
use super::node::{CLOSE_TIMEOUT, Node};
use super::node_ref::NodeRef;
use super::policy::Policy;
use super::random::Random;
use super::refuse::refuse;
use super::resources::Resources;
use crate::call_options::{CallOptions, DEFAULT_ASK_TIMEOUT, next_reader};
use crate::error::policy::PolicyError;
#[cfg(feature = "_tls")]
use crate::error::tls::TlsError;
use crate::events::{Events, Outlet};
use crate::message::Message;
use crate::portable::{PortableRef, resolve_by};
use crate::reference::{ActorRef, AnyActor};
use crate::send::{Ask, Tell};
use crate::system::{ActorSystem, ConfigError, StartError};
use crate::ticks::Ticks;

/// Talks to actors on other nodes, without an actor system of its own.
///
/// Cheap to clone; reuse it, since its connections are pooled, and keep one: references in replies cannot be read
/// once the last is gone. Actors cannot answer it other than by
/// the reply to an `ask`: it has no address. An `ask`, a confirmed `tell` and an operation on a node
/// wait 5 s where they do not say.
///
#[cfg_attr(feature = "prost", doc = "```")]
#[cfg_attr(not(feature = "prost"), doc = "```ignore")]
/// use rakt::prelude::*;
///
/// #[derive(Clone, PartialEq, prost::Message, Message)]
/// #[rakt(name = "doc.Double", reply = u64)]
/// struct Double {
///     #[prost(uint64, tag = "1")]
///     n: u64,
/// }
/// # struct Doubler;
/// # impl Actor for Doubler {
/// #     fn accepts(accepts: &mut Accepts<Self>) { accepts.remote::<Double>(); }
/// # }
/// # impl Handler<Double> for Doubler {
/// #     async fn handle(&mut self, double: Double, _: &mut Context<Self>) -> Result<u64> { Ok(2 * double.n) }
/// # }
/// # #[tokio::main] async fn main() -> Result {
/// # let system = ActorSystem::builder("doc").remoting(remote::Config::new("127.0.0.1", 0)).start().await?;
/// # system.spawn("doubler", || Doubler).await?;
/// # let (host, port) = system.advertised();
///
/// let client = remote::Client::new("client", remote::ClientConfig::new())?;
/// let doubler = client.node(host, port).lookup::<Doubler>("doubler").await?.ok_or("not there")?;
/// assert_eq!(doubler.ask(Double { n: 21 }).await?, 42);
/// client.close().await;
/// # system.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    caller: Arc<Caller>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.caller.dialer.hello.system;
        f.debug_struct("Client").field("name", name).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that peers know as `name`.
    ///
    /// # Errors
    /// [`StartError`] if the name or an option is out of its range, or a certificate or a key cannot be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(name: &str, config: ClientConfig) -> Result<Self, StartError> {
        crate::metrics::describe();
        #[allow(unused_mut, reason = "for encryption, which is a feature")]
        let (mut options, propagator) = config.check()?;
        if validate_system_name(name).is_err() {
            let allowed = "letters, digits, -, _ and ., beginning with a letter or digit";
            return refuse("name", &name, allowed)?;
        }
        #[cfg(feature = "_tls")]
        options.start_tls(name, &[])?;
        let random = Random::new(options.seed);
        let hello = hello(name, &options, &random);
        let call_options = CallOptions {
            ask_timeout: DEFAULT_ASK_TIMEOUT,
            propagator,
            ticks: Ticks::new(tokio::runtime::Handle::current()),
            reader: next_reader(),
        };
        let dialer = Dialer::new(Resources::new(options, Arc::default()), hello, random);
        let caller = Caller::new(dialer, Arc::new(call_options));
        let resolver: Weak<Caller> = Arc::downgrade(&caller);
        resolve_by(&caller.options, resolver);
        Ok(Self { caller })
    }

    /// As [`ActorSystem::reload_tls`].
    ///
    /// # Errors
    /// What is there cannot be used; all stays as it was.
    ///
    /// # Cancel safety
    /// It is carried out all the same when the future is dropped.
    #[cfg(feature = "_tls")]
    pub async fn reload_tls(&self) -> Result<bool, TlsError> {
        self.caller.dialer.reload_tls().await
    }

    pub(crate) fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    fn outlet(&self) -> &Outlet {
        &self.caller.dialer.resources.outlet
    }

    /// Links up and down, and the dead letters of messages that were sent from here, until the client is
    /// closed.
    pub fn events(&self) -> Events {
        self.outlet().subscribe()
    }

    /// How many messages sent from here have become dead letters so far.
    pub fn dead_letter_count(&self) -> u64 {
        self.outlet().dead_letter_count()
    }

    /// A reference to whoever has this address, now or later. Nothing is sent yet.
    pub fn actor(&self, address: &Address) -> ActorRef {
        self.caller.actor(address)
    }

    /// The reference that was made [portable](ActorRef::portable) elsewhere. Nothing is sent yet.
    pub fn resolve(&self, portable: &PortableRef) -> ActorRef {
        self.caller.resolve(portable)
    }

    /// The node that listens on `host` and `port`, for operations on it. Nothing is sent yet.
    pub fn node(&self, host: &str, port: u16) -> NodeRef {
        NodeRef::new(Some(&self.caller), host, port)
    }

    /// Tells whoever has this address. See [`ActorRef::tell`].
    pub fn tell<M: Message>(&self, to: &Address, message: M) -> Tell<'static, AnyActor, M> {
        Tell::owned(self.actor(to), message)
    }

    /// Asks whoever has this address. See [`ActorRef::ask`].
    pub fn ask<M: Message>(&self, to: &Address, message: M) -> Ask<'static, AnyActor, M> {
        Ask::owned(self.actor(to), message)
    }

    /// Closes all connections, once what was sent is written, native peers have answered what they were
    /// asked, which is waited for 2 s at most, and Go nodes have acknowledged what they were told, which is
    /// waited for 5 s at most. Further calls are refused, of clones too.
    ///
    /// # Cancel safety
    /// The connections close even if the future is dropped after its first poll.
    pub async fn close(&self) {
        let gone = self.caller.close("the client closes");
        drop(tokio::time::timeout(CLOSE_TIMEOUT, gone).await);
        self.outlet().close();
    }
}

/// Operations on other nodes. Without [remoting](crate::SystemBuilder::remoting) all of them are refused with
/// [`Refusal::RemotingOff`](crate::Refusal::RemotingOff).
impl ActorSystem {
    /// The node that listens on `host` and `port`, for operations on it. Nothing is sent yet. The node of this
    /// system, under the host and port that it advertises, is not dialed.
    pub fn node(&self, host: &str, port: u16) -> NodeRef {
        match self.caller() {
            Some(caller) if (host, port) == self.advertised() => NodeRef::own(self, caller),
            caller => NodeRef::new(caller, host, port),
        }
    }

    /// Looks at once whether certificates, keys, CAs or lists of revoked certificates have changed, as this node does
    /// [every 10 s](super::Tls::reload_every), and takes them if they have. Connections whose peers are not trusted any
    /// more end at once. Returns whether anything has changed; it has not without TLS.
    ///
    /// # Errors
    /// What is there cannot be used; all stays as it was.
    ///
    /// # Cancel safety
    /// It is carried out all the same when the future is dropped.
    #[cfg(feature = "_tls")]
    pub async fn reload_tls(&self) -> Result<bool, TlsError> {
        match self.caller() {
            Some(caller) => caller.dialer.reload_tls().await,
            None => Ok(false),
        }
    }

    /// Replaces the [policy](super::Config::policy) of this node. Peers that are connected are held to it with what is
    /// read next of them, and lose the watches that it does not allow them; what was read before is handled. Without
    /// remoting nothing happens.
    ///
    /// A policy [from a file](Policy::from_file) is looked after from then on, also where the one before was in the code;
    /// and the file of the one before is not looked at any more: what is set here is not undone by a file.
    ///
    /// # Errors
    /// A pattern of it is not one, or a role is granted that it does not have, or it was read from a file and something
    /// was added to it since; the old policy stays.
    pub fn set_policy(&self, policy: Policy) -> Result<(), ConfigError> {
        policy.check()?;
        if let Some(caller) = self.caller() {
            caller.dialer.set_policy(policy);
        }
        Ok(())
    }

    /// Looks at once whether the [file](Policy::from_file) of the policy has changed, as this node does every 10 s, and takes
    /// what it says if it has. Returns whether it has; it has not where the policy is from no file.
    ///
    /// # Errors
    /// The file cannot be used; the old policy stays.
    ///
    /// # Cancel safety
    /// It is carried out all the same when the future is dropped.
    pub async fn reload_policy(&self) -> Result<bool, PolicyError> {
        match self.caller() {
            Some(caller) => caller.dialer.reload_policy().await,
            None => Ok(false),
        }
    }

    pub(crate) fn caller(&self) -> Option<&Arc<Caller>> {
        self.remoting()?.as_any().downcast_ref::<Node>().map(Node::caller)
    }
}
