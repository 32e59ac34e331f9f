//! Kinds: what peers may spawn here, by name.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rakt_wire::SpawnArgument;

use crate::actor::{Accepts, Actor};
use crate::cell::AnyCell;
use crate::error::{Cause, Refusal, SpawnError};
use crate::mailbox::Mailbox;
use crate::message::{DuplicateName, WireMessage, claim_name};
use crate::reference::Target;
use crate::spawn::Spawn;
use crate::supervision::Supervision;
use crate::system::ActorSystem;

/// A recipe for actors that peers may spawn: how to build one, and how it is run.
pub struct Kind {
    recipe: Box<dyn Recipe>,
    options: Options,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kind").field("accepts", &self.recipe.wire_names().ok()).finish()
    }
}

#[derive(Clone, Default)]
struct Options {
    mailbox: Mailbox,
    supervision: Option<Supervision>,
    passivate_after: Option<Duration>,
}

type Spawned = Pin<Box<dyn Future<Output = Result<Arc<dyn AnyCell>, Refusal>> + Send>>;

trait Recipe: Send + Sync {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        kind: Arc<str>,
        argument: Option<SpawnArgument>,
        options: Options,
    ) -> Spawned;
    /// What peers may send to such actors.
    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName>;
    fn argument_name(&self) -> Option<&'static str>;
}

impl Kind {
    /// Actors that `factory` builds.
    pub fn new<A: Actor>(factory: impl Fn() -> A + Send + Sync + 'static) -> Self {
        Self { recipe: Box::new(Plain(Arc::new(factory))), options: Options::default() }
    }

    /// Actors that `factory` builds from an argument that the spawning node gives.
    ///
    /// `M` is any message that crosses the wire; its reply is of no concern here. The argument is kept
    /// for restarts.
    pub fn with_argument<M: WireMessage + Sync, A: Actor>(
        factory: impl Fn(&M) -> A + Send + Sync + 'static,
    ) -> Self {
        Self { recipe: Box::new(WithArgument(Arc::new(factory))), options: Options::default() }
    }

    /// The mailbox of such actors. See [`Spawn::mailbox`](crate::Spawn::mailbox).
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.options.mailbox = mailbox;
        self
    }

    /// The supervision of such actors. See [`Spawn::supervision`](crate::Spawn::supervision).
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.options.supervision = Some(supervision);
        self
    }

    /// Stops such actors when idle. See [`Spawn::passivate_after`](crate::Spawn::passivate_after).
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.options.passivate_after = Some(idle);
        self
    }
}

struct Plain<A>(Arc<dyn Fn() -> A + Send + Sync>);

impl<A: Actor> Recipe for Plain<A> {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        kind: Arc<str>,
        argument: Option<SpawnArgument>,
        options: Options,
    ) -> Spawned {
        if let Some(argument) = argument {
            let text = format!("the kind takes no argument, {:?} was given", argument.type_name);
            return Box::pin(async { Err(Refusal::InvalidArgument { source: text.into() }) });
        }
        let factory = self.0.clone();
        spawn(system, path, kind, options, move || factory())
    }

    fn wire_names(&self) -> Result<Vec<&'static str>, DuplicateName> {
        Ok(Accepts::<A>::of_actor()?.wire_names().collect())
    }

    fn argument_name(&self) -> Option<&'static str> {
        None
    }
}

struct WithArgument<M, A>(Arc<dyn Fn(&M) -> A + Send + Sync>);

impl<M: WireMessage + Sync, A: Actor> Recipe for WithArgument<M, A> {
    fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        kind: Arc<str>,
        argument: Option<SpawnArgument>,
        options: Options,
    ) -> Spawned {
        match read_argument::<M>(argument) {
            Ok(argument) => {
                let factory = self.0.clone();
                spawn(system, path, kind, options, move || factory(&argument))
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

fn read_argument<M: WireMessage>(argument: Option<SpawnArgument>) -> Result<M, Refusal> {
    let wire = M::wire_type();
    let invalid = |text: String| Err(Refusal::InvalidArgument { source: text.into() });
    match argument {
        None => invalid(format!("the kind takes an argument of type {:?}", wire.name())),
        Some(given) if given.type_name != wire.name() => invalid(format!(
            "the kind takes an argument of type {:?}, {:?} was given",
            wire.name(),
            given.type_name
        )),
        Some(given) => wire
            .message
            .decode(given.payload)
            .map_err(|error| Refusal::Undecodable { source: error.into() }),
    }
}

fn spawn<A: Actor>(
    system: ActorSystem,
    path: String,
    kind: Arc<str>,
    options: Options,
    factory: impl Fn() -> A + Send + Sync + 'static,
) -> Spawned {
    Box::pin(async move {
        let mut spawn = Spawn::new(system, path, factory, None).mailbox(options.mailbox).kind(kind);
        if let Some(supervision) = options.supervision {
            spawn = spawn.supervision(supervision);
        }
        if let Some(idle) = options.passivate_after {
            spawn = spawn.passivate_after(idle);
        }
        match spawn.start().await {
            Ok(actor) => match actor.target().clone() {
                Target::Local(cell) => Ok(cell),
                #[cfg(feature = "remote")]
                Target::Remote(_) => unreachable!("it was spawned here"),
            },
            Err(error) => Err(refusal(error)),
        }
    })
}

/// What a peer hears of a spawn that failed here.
fn refusal(error: SpawnError) -> Refusal {
    match error {
        SpawnError::NameTaken { .. } => Refusal::NameTaken,
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

/// The kinds of a system. Names are compared trimmed and without regard to case.
#[derive(Default)]
pub(crate) struct Kinds(BTreeMap<String, (Arc<str>, Kind)>);

/// What peers may spawn, and send to what they spawned: one line for each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The name of the kind.
    pub kind: String,
    /// The wire name of the argument it takes.
    pub argument: Option<&'static str>,
    /// The wire names of the messages its actors accept from peers.
    pub accepts: Vec<&'static str>,
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argument = self.argument.unwrap_or_default();
        write!(f, "{}({argument}) accepts {}", self.kind, self.accepts.join(", "))
    }
}

impl Kinds {
    /// Adds a kind; false if the name is taken.
    pub(crate) fn add(&mut self, name: &str, kind: Kind) -> bool {
        let name = name.trim();
        self.0.insert(name.to_lowercase(), (name.into(), kind)).is_none()
    }

    /// Checks that no two message types of these kinds claim one wire name.
    pub(crate) fn check(&self) -> Result<(), DuplicateName> {
        self.0.values().try_for_each(|(_, kind)| kind.recipe.wire_names().map(drop))
    }

    pub(crate) fn exposed(&self) -> Vec<Exposed> {
        let line = |(name, kind): &(Arc<str>, Kind)| Exposed {
            kind: name.to_string(),
            argument: kind.recipe.argument_name(),
            accepts: kind.recipe.wire_names().unwrap_or_default(),
        };
        self.0.values().map(line).collect()
    }

    pub(crate) fn spawn(
        &self,
        system: ActorSystem,
        path: String,
        kind: &str,
        argument: Option<SpawnArgument>,
    ) -> Spawned {
        match self.0.get(&kind.trim().to_lowercase()) {
            Some((name, kind)) => {
                kind.recipe.spawn(system, path, name.clone(), argument, kind.options.clone())
            }
            None => {
                let kind = kind.to_owned();
                Box::pin(async { Err(Refusal::KindNotRegistered { kind }) })
            }
        }
    }
}
