//! Kinds: what peers may spawn here, by name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::actor::{Accepts, Actor};
use crate::cell::Setup;
use crate::error::{Cause, Refusal, SpawnError};
use crate::mailbox::Mailbox;
use crate::mailbox::arrivals::Reachable;
use crate::mailbox::current::Exclusive;
use crate::message::allowance::Decoded;
use crate::message::reader::reading;
use crate::message::{DuplicateName, WireMessage, claim_name};
use crate::spawn::Spawn;
use crate::supervision::Supervision;
use crate::system::core::{ActorSystem, Argument, Changes, Lease, Recipe, Spawned};

/// A recipe for actors that peers may spawn: how to build one, and how it is run.
///
#[cfg_attr(all(feature = "remote", feature = "prost"), doc = "```")]
#[cfg_attr(not(all(feature = "remote", feature = "prost")), doc = "```ignore")]
/// use rakt::prelude::*;
/// use std::time::Duration;
///
/// #[derive(Clone, PartialEq, prost::Message, Message)]
/// #[rakt(name = "doc.Greeting", reply = String)]
/// struct Greeting {
///     #[prost(string, tag = "1")]
///     text: String,
/// }
///
/// struct Greeter(String);
///
/// impl Actor for Greeter {
///     fn accepts(accepts: &mut Accepts<Self>) {
///         accepts.remote::<Greeting>();
///     }
/// }
///
/// impl Handler<Greeting> for Greeter {
///     async fn handle(&mut self, greeting: Greeting, _: &mut Context<Self>) -> Result<String> {
///         Ok(format!("{}, {}", self.0, greeting.text))
///     }
/// }
///
/// # #[tokio::main] async fn main() -> Result {
/// // The node that has the actors.
/// let kind = Kind::with_argument(|first: &Greeting| Greeter(first.text.clone()));
/// let system = ActorSystem::builder("doc")
///     .register("greeter", kind.passivate_after(Duration::from_secs(60)))
///     .remoting(remote::Config::new("127.0.0.1", 0))
///     .start()
///     .await?;
///
/// // One that spawns them there.
/// let client = remote::Client::new("client", remote::ClientConfig::new())?;
/// let (host, port) = system.advertised();
/// let hello = Greeting { text: "hello".into() };
/// let greeter = client.node(host, port).spawn::<Greeter>("one", "greeter").argument(&hello).await?;
/// assert_eq!(greeter.ask(Greeting { text: "you".into() }).await?, "hello, you");
/// # client.close().await;
/// # system.shutdown().await;
/// # Ok(()) }
/// ```
#[must_use = "it has an effect only where it is registered"]
pub struct Kind {
    factory: Box<dyn Factory>,
    setup: Setup,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("accepts", &self.factory.wire_names().ok()).finish()
    }
}

trait Factory: Send + Sync {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        argument: Option<Argument<'_>>,
        setup: Setup,
    ) -> Spawned;
    /// What peers may send to such actors.
    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName>;
    fn argument_name(&self) -> Option<&'static str>;
}

impl Kind {
    /// Actors that `factory` builds.
    pub fn new<A: Actor>(factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self { factory: Box::new(Plain(Arc::new(factory))), setup: Setup::default() }
    }

    /// Actors that `factory` builds from an argument that the spawning node gives.
    ///
    /// `M` is any message that crosses the wire; its reply is of no concern here. The argument is kept
    /// for restarts.
    pub fn with_argument<M: WireMessage + Sync, A: Actor>(
        factory: impl Fn(&M) -> A + Send + Sync + 'static,
    ) -> Self {
        Self { factory: Box::new(WithArgument(Arc::new(factory))), setup: Setup::default() }
    }

    /// The mailbox of such actors. See [`Spawn::mailbox`](crate::Spawn::mailbox).
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.setup.mailbox = mailbox;
        self
    }

    /// The supervision of such actors. See [`Spawn::supervision`](crate::Spawn::supervision).
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.setup.options().supervision = Some(Arc::new(supervision));
        self
    }

    /// Stops such actors when idle. See [`Spawn::passivate_after`](crate::Spawn::passivate_after).
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.setup.options().passivate_after = Some(idle);
        self
    }

    /// How long a handler of such actors may take. See [`Spawn::handler_timeout`](crate::Spawn::handler_timeout).
    pub fn handler_timeout(mut self, limit: Duration) -> Self {
        self.setup.options().handler_timeout = Some(limit);
        self
    }
}

impl Recipe for Kind {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        (kind, lease): (Arc<str>, Arc<Lease>),
        argument: Option<Argument<'_>>,
        changes: Changes,
    ) -> Spawned {
        let mut setup = self.setup.clone();
        setup.change(changes);
        setup.options().kind = Some(kind);
        setup.options().lease = Some(lease);
        self.factory.spawn(system, path, argument, setup)
    }

    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName> {
        self.factory.wire_names()
    }

    fn argument_name(&self) -> Option<&'static str> {
        self.factory.argument_name()
    }
}

struct Plain<A>(Arc<dyn Fn() -> A + Send + Sync>);

impl<A: Actor> Factory for Plain<A> {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        argument: Option<Argument<'_>>,
        setup: Setup,
    ) -> Spawned {
        if let Some(Argument { argument, .. }) = argument {
            let text = format!("the kind takes no argument, {:?} was given", argument.type_name);
            return Box::pin(async { Err(Refusal::InvalidArgument { source: text.into() }) });
        }
        let factory = self.0.clone();
        spawn(system, path, setup, move || factory())
    }

    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName> {
        Ok(Accepts::<A>::of_actor()?.wire_names().collect())
    }

    fn argument_name(&self) -> Option<&'static str> {
        None
    }
}

struct WithArgument<M, A>(Arc<dyn Fn(&M) -> A + Send + Sync>);

impl<M: WireMessage + Sync, A: Actor> Factory for WithArgument<M, A> {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        argument: Option<Argument<'_>>,
        setup: Setup,
    ) -> Spawned {
        match reading(system.call_options().reader, || read_argument::<M>(argument)) {
            Ok(Decoded { value, kept }) => {
                // The argument is there for restarts.
                let (factory, argument) = (self.0.clone(), (value, Exclusive::new(kept)));
                spawn(system, path, setup, move || factory(&argument.0))
            }
            Err(refusal) => Box::pin(async { Err(refusal) }),
        }
    }

    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName> {
        claim_name(M::wire_type())?;
        Ok(Accepts::<A>::of_actor()?.wire_names().collect())
    }

    fn argument_name(&self) -> Option<&'static str> {
        Some(M::wire_type().name())
    }
}

fn read_argument<M: WireMessage>(given: Option<Argument<'_>>) -> Result<Decoded<M>, Refusal> {
    let wire = M::wire_type();
    let invalid = |text: String| Err(Refusal::InvalidArgument { source: text.into() });
    let Some(Argument { argument: given, room }) = given else {
        return invalid(format!("the kind takes an argument of type {:?}", wire.name()));
    };
    if given.type_name != wire.name() {
        return invalid(format!(
            "the kind takes an argument of type {:?}, {:?} was given",
            wire.name(),
            given.type_name
        ));
    }
    match room {
        Some(room) => {
            let mut decoded = wire.message.decode(given.payload, room)?;
            if let Some(kept) = &mut decoded.kept {
                kept.count_all()?;
            }
            Ok(decoded)
        }
        None => {
            let value = wire.message.decode_small(given.payload)?;
            Ok(Decoded { value, kept: None })
        }
    }
}

fn spawn<A: Actor>(
    system: ActorSystem,
    path: String,
    setup: Setup,
    factory: impl Fn() -> A + Send + Sync + 'static,
) -> Spawned {
    Box::pin(async move {
        match Spawn::new(system, path, factory, setup, None).start_cell().await {
            Ok(cell) => Ok(cell as Arc<dyn Reachable>),
            Err(error) => Err(refusal(error)),
        }
    })
}

/// What a peer hears of a spawn that failed here.
fn refusal(error: SpawnError) -> Refusal {
    match error {
        SpawnError::NameTaken { .. } | SpawnError::OtherType { .. } => Refusal::NameTaken,
        SpawnError::InvalidName { source, .. } => {
            Refusal::InvalidArgument { source: Cause::new(source) }
        }
        SpawnError::ShuttingDown { .. } => Refusal::ShuttingDown,
        SpawnError::Start { source, .. } => {
            Refusal::HandlerFailed { source: Cause::described(&*source) }
        }
        error @ SpawnError::DuplicateName { .. } => Refusal::Internal { source: Cause::new(error) },
    }
}
