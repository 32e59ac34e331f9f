//! What is known of the message at hand.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use rakt_wire::Metadata;

use super::reply::Cancellation;
use crate::message::allowance::Kept;
use crate::propagate::Extensions;
use crate::reference::ActorRef;
use crate::sync::Mutex;

/// What is known of the message at hand.
#[derive(Default)]
pub(crate) struct Current {
    pub(crate) sender: Option<ActorRef>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: Cancellation,
    pub(crate) attached: Option<Box<Attached>>,
}

/// What few messages have.
#[derive(Default)]
pub(crate) struct Attached {
    pub(crate) metadata: Option<Metadata>,
    pub(crate) extensions: Extensions,
    /// See [`About`](super::letter::About).
    pub(crate) token: Option<Arc<()>>,
    /// A `Handoff` for the reply, or a `Letter` to be stashed with it.
    pub(crate) deferred: Exclusive<Option<Box<dyn Any + Send>>>,
    /// What counts for the message as long as it is here.
    pub(crate) kept: Exclusive<Option<Kept>>,
}

/// What only a `&mut Context` reaches. It lets handlers keep a `&Context` across an await although
/// messages need not be `Sync`.
#[derive(Default)]
pub(crate) struct Exclusive<T>(Mutex<T>);

impl<T> Exclusive<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// The value; the lock is never taken.
    pub(crate) fn reach(&mut self) -> &mut T {
        self.0.get_mut()
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

    pub(crate) fn attached(&mut self) -> &mut Attached {
        self.attached.get_or_insert_default()
    }

    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        self.attached.as_ref()?.metadata.as_ref()
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        static NONE: Extensions = Extensions::new();
        self.attached.as_ref().map_or(&NONE, |attached| &attached.extensions)
    }
}
