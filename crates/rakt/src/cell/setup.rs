//! What holds for all actors of a type, and what the spawner of one decides.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::Refusal;
use crate::mailbox::Mailbox;
use crate::mailbox::packed::Pack;
use crate::message::allowance::Room;
use crate::supervision::Supervision;
use crate::system::core::{Changes, Lease};

/// What all actors of a type have in common: the messages that they take from peers and through untyped
/// references, and who runs them.
pub(crate) struct Class<D, R> {
    pub(crate) entries: Vec<Entry<D>>,
    pub(super) by_name: HashMap<&'static str, u16>,
    /// Starts a task that runs an actor which rested.
    pub(crate) run: R,
}

/// One line of the list of messages.
pub(crate) struct Entry<D> {
    /// The wire name; peers may send this message exactly when there is one.
    pub(crate) wire_name: Option<&'static str>,
    /// That of its reply, where it has one.
    pub(crate) reply_name: Option<&'static str>,
    pub(crate) rust_name: &'static str,
    pub(crate) type_id: TypeId,
    /// What handles it.
    pub(crate) dispatch: D,
    /// Writes a run of it down, if it is one.
    pub(crate) pack: Pack,
    /// Whether a payload can be decoded; for those who must know before the message is handled.
    pub(crate) check: fn(Bytes, &dyn Room) -> Result<(), Refusal>,
}

impl<D, R> Class<D, R> {
    pub(crate) fn new(run: R) -> Self {
        Self { entries: Vec::new(), by_name: HashMap::new(), run }
    }

    /// The number of the message of that wire name.
    pub(crate) fn accepted(&self, wire_name: &str) -> Option<u16> {
        self.by_name.get(wire_name).copied()
    }

    /// Adds a message, unless it is there; then it has the wire name as well.
    pub(crate) fn add(&mut self, entry: Entry<D>) {
        let known = self.entries.iter().position(|known| known.type_id == entry.type_id);
        if let Some(name) = entry.wire_name {
            let index = known.unwrap_or(self.entries.len());
            self.by_name.insert(name, u16::try_from(index).expect("fewer than 65536 messages"));
        }
        match known.and_then(|known| self.entries.get_mut(known)) {
            Some(known) => known.wire_name = known.wire_name.or(entry.wire_name),
            None => self.entries.push(entry),
        }
    }
}

/// What the spawner decided about an actor, or a kind about all of its actors.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) mailbox: Mailbox,
    options: Option<Box<Options>>,
}

/// What most spawners do not decide.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) supervision: Option<Arc<Supervision>>,
    pub(crate) passivate_after: Option<Duration>,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) kind: Option<Arc<str>>,
    /// What a grain is besides: only its own module knows the type.
    pub(crate) grain: Option<Arc<dyn Any + Send + Sync>>,
    /// What is held for it as long as it lives, where a peer has spawned it.
    pub(crate) lease: Option<Arc<Lease>>,
}

impl Setup {
    pub(crate) fn change(&mut self, changes: Changes) {
        if let Some(supervision) = changes.supervision {
            self.options().supervision = Some(Arc::new(supervision));
        }
        if let Some(idle) = changes.passivate_after {
            self.options().passivate_after = (idle < Duration::MAX).then_some(idle);
        }
    }

    pub(crate) fn options(&mut self) -> &mut Options {
        self.options.get_or_insert_default()
    }

    pub(crate) fn supervision(&self) -> Option<&Supervision> {
        self.options.as_ref()?.supervision.as_deref()
    }

    pub(crate) fn passivate_after(&self) -> Option<Duration> {
        let idle = self.options.as_ref()?.passivate_after?;
        Some(idle.max(Duration::from_millis(1)))
    }

    pub(crate) fn handler_timeout(&self) -> Option<Duration> {
        self.options.as_ref()?.handler_timeout
    }

    pub(crate) fn kind(&self) -> Option<&Arc<str>> {
        self.options.as_ref()?.kind.as_ref()
    }

    pub(crate) fn grain(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.options.as_ref()?.grain.as_ref()
    }

    pub(super) fn lease(&self) -> Option<&Arc<Lease>> {
        self.options.as_ref()?.lease.as_ref()
    }
}
