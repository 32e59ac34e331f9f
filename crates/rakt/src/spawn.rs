//! Starting actors.

use std::future::IntoFuture;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rakt_wire::{MAX_PATH_LEN, validate_name, validate_path};

use crate::actor::Actor;
use crate::cell::{AnyCell, Cell, Options, Setup};
use crate::error::{BoxError, Refusal, SpawnError};
use crate::events::StopReason;
use crate::life::Life;
use crate::mailbox::Mailbox;
use crate::reference::ActorRef;
use crate::supervision::{Fault, Supervision};
use crate::system::ActorSystem;

/// An actor about to be started: set what differs from the defaults, then await it.
///
/// ```
/// # use rakt::prelude::*;
/// # #[derive(Default)] struct Worker; impl Actor for Worker {}
/// # #[tokio::main] async fn main() -> Result {
/// # let system = ActorSystem::builder("doc").start().await?;
/// use rakt::supervision::{Directive, Supervision};
/// use std::time::Duration;
///
/// let worker = system
///     .spawn("worker", Worker::default)
///     .mailbox(Mailbox::bounded(100).overflow(Overflow::Refuse))
///     .supervision(Supervision::always(Directive::Suspend))
///     .passivate_after(Duration::from_secs(120))
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "an actor is started when this is awaited"]
pub struct Spawn<'a, A: Actor> {
    system: ActorSystem,
    path: String,
    setup: Setup<A>,
    parent: Option<Parent<'a>>,
}

/// The parent of a child, and where it keeps its children.
pub(crate) type Parent<'a> = (Arc<dyn AnyCell>, &'a mut Vec<Arc<dyn AnyCell>>);

impl<'a, A: Actor> Spawn<'a, A> {
    pub(crate) fn new(
        system: ActorSystem,
        path: String,
        factory: impl Fn() -> A + Send + Sync + 'static,
        parent: Option<Parent<'a>>,
    ) -> Self {
        let setup =
            Setup { factory: Box::new(factory), mailbox: Mailbox::default(), options: None };
        Self { system, path, setup, parent }
    }

    /// The mailbox. Default: 8192 messages, senders wait when it is full.
    pub fn mailbox(mut self, mailbox: Mailbox) -> Self {
        self.setup.mailbox = mailbox;
        self
    }

    /// What happens when the actor fails. Default: see [`Supervision`].
    pub fn supervision(mut self, supervision: Supervision) -> Self {
        self.options().supervision = Some(supervision);
        self
    }

    /// Stops the actor once it has had no message for this long, at least 1 ms. Default: never.
    pub fn passivate_after(mut self, idle: Duration) -> Self {
        self.options().passivate_after = Some(idle.max(Duration::from_millis(1)));
        self
    }

    pub(crate) fn kind(mut self, kind: Arc<str>) -> Self {
        self.options().kind = Some(kind);
        self
    }

    fn options(&mut self) -> &mut Options {
        self.setup.options.get_or_insert_default()
    }

    /// Starts the actor: reserves the name, then runs [`Actor::started`] here.
    ///
    /// The same as awaiting the value, without boxing the future.
    ///
    /// # Errors
    /// [`SpawnError`]: the name is invalid or taken, or the actor did not start.
    ///
    /// # Cancel safety
    /// If the future is dropped while `started` runs, nothing is left of the actor.
    pub async fn start(self) -> Result<ActorRef<A>, SpawnError> {
        let unstarted = self.reserve()?;
        match Life::start(unstarted.cell().clone()).await {
            Ok(()) => Ok(ActorRef::local(unstarted.defuse())),
            Err(fault) => Err(unstarted.failed(fault)),
        }
    }

    /// The actor's cell, at its place in the registry and among its parent's children.
    fn reserve(self) -> Result<Unstarted<A>, SpawnError> {
        let Self { system, path, setup, parent } = self;
        check_name(&path, parent.as_ref().map(|(parent, _)| &**parent))?;
        let accepts = system
            .accepts_of::<A>()
            .map_err(|source| SpawnError::DuplicateName { name: path.clone(), source })?;
        let (parent, children) = parent.unzip();
        let path = path.into_boxed_str();
        let cell = Cell::new(system.clone(), path, system.next_uid(), accepts, setup, parent);
        system.register(cell.clone())?;
        if let Some(children) = children {
            children.push(cell.clone());
        }
        Ok(Unstarted(Some(cell)))
    }
}

impl<'a, A: Actor> IntoFuture for Spawn<'a, A> {
    type Output = Result<ActorRef<A>, SpawnError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// The name is all that follows the parent's path: with a `/` in it, it would pose as the child of
/// an actor that knows nothing of it.
fn check_name(path: &str, parent: Option<&dyn AnyCell>) -> Result<(), SpawnError> {
    let name = match parent {
        Some(parent) => &path[parent.path().len() + 1..],
        None => path,
    };
    // The parent's path is valid, so with the name's only the length of both is left to look at.
    let validated = match path.len() {
        ..=MAX_PATH_LEN => validate_name(name),
        _ => validate_name(name).and_then(|()| validate_path(path)),
    };
    validated.map_err(|source| SpawnError::InvalidName { name: path.to_owned(), source })
}

/// An actor that has not finished starting: gone without a trace unless it does.
struct Unstarted<A: Actor>(Option<Arc<Cell<A>>>);

impl<A: Actor> Unstarted<A> {
    const IS_THERE: &str = "the cell is taken out at the end alone";

    fn cell(&self) -> &Arc<Cell<A>> {
        self.0.as_ref().expect(Self::IS_THERE)
    }

    fn defuse(mut self) -> Arc<Cell<A>> {
        self.0.take().expect(Self::IS_THERE)
    }

    fn failed(self, fault: Fault) -> SpawnError {
        let name = self.cell().path.to_string();
        let source: BoxError = match fault {
            Fault::Error(error) => error,
            other => other.to_string().into(),
        };
        SpawnError::Start { name, source }
    }
}

impl<A: Actor> Drop for Unstarted<A> {
    fn drop(&mut self) {
        let Some(cell) = self.0.take() else { return };
        cell.abandon(&Refusal::Stopped);
        cell.system.forget(&*cell);
        cell.end(&StopReason::Failed("it did not start".to_owned()));
        if let Some(parent) = &cell.parent {
            parent.signal(crate::cell::Signal::ChildGone { uid: cell.uid });
        }
    }
}
