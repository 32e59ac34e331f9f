//! What is known of the message at hand, and values that travel with it.

use std::any::Any;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rakt_wire::Metadata;

use crate::mailbox::letter::Cancellation;
use crate::reference::ActorRef;

/// What is known of the message at hand.
#[derive(Default)]
pub(crate) struct Current {
    pub(super) sender: Option<ActorRef>,
    pub(super) deadline: Option<Instant>,
    pub(crate) cancellation: Cancellation,
    pub(super) attached: Option<Box<Attached>>,
}

/// What few messages have.
#[derive(Default)]
pub(super) struct Attached {
    pub(super) metadata: Option<Metadata>,
    pub(super) extensions: Extensions,
    /// A `Handoff` for the reply, or a `Letter` to be stashed with it.
    pub(super) deferred: Exclusive<Option<Box<dyn Any + Send>>>,
}

/// What only a `&mut Context` reaches. It lets handlers keep a `&Context` across an await although
/// messages need not be `Sync`.
#[derive(Default)]
pub(super) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    /// The value; the lock is never taken.
    pub(super) fn reach(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Current {
    /// The next message. In place: most of this is as empty as it was for the one before.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        sender: Option<ActorRef>,
        deadline: Option<Instant>,
        metadata: Option<Metadata>,
        cancellation: Cancellation,
    ) {
        self.sender = sender;
        self.deadline = deadline;
        self.cancellation = cancellation;
        if self.attached.is_some() {
            self.attached = None;
        }
        if metadata.is_some() {
            self.attached().metadata = metadata;
        }
    }

    pub(super) fn attached(&mut self) -> &mut Attached {
        self.attached.get_or_insert_default()
    }

    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.attached.as_ref()?.metadata.as_ref()
    }

    pub(super) fn extensions(&self) -> &Extensions {
        static NONE: Extensions = Extensions(Vec::new());
        self.attached.as_ref().map_or(&NONE, |attached| &attached.extensions)
    }
}

/// Values that travel with a message inside a process, at most one of each type.
///
/// A [`ContextPropagator`](crate::propagate::ContextPropagator) fills them from a message's metadata,
/// and turns them into metadata again when the handler sends on.
#[derive(Default)]
pub struct Extensions(Vec<Box<dyn Any + Send + Sync>>);

impl std::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extensions").field("len", &self.0.len()).finish()
    }
}

impl Extensions {
    /// Adds a value; an earlier one of the same type is replaced.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.0.retain(|other| !other.is::<T>());
        self.0.push(Box::new(value));
    }

    /// The value of this type.
    pub fn find<T: 'static>(&self) -> Option<&T> {
        self.0.iter().find_map(|value| value.downcast_ref())
    }
}
