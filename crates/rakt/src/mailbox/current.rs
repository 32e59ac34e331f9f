//! What is known of the message at hand.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use rakt_wire::Metadata;

use super::reply::Cancellation;
use crate::message::allowance::Kept;
use crate::peer::Peer;
use crate::propagate::Extensions;
use crate::reference::ActorRef;
use crate::sync::Mutex;

/// What is known of the message at hand.
#[derive(Default)]
pub(crate) struct Current {
    pub(crate) sender: Option<ActorRef>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancellation: Cancellation,
    /// There may be something of that. Most messages have nothing, as the one before: to begin one costs one look.
    has_any: bool,
    extra: Extra,
}

/// What not every message has. One word tells that a message has nothing of it, as those of this process have not as a
/// rule: to begin one costs one look.
#[derive(Default)]
enum Extra {
    #[default]
    Nothing,
    /// The peer that it came from. It stays from one message of a batch to the next.
    From(Peer),
    More(Box<Attached>),
}

/// What few messages have.
#[derive(Default)]
pub(crate) struct Attached {
    /// The peer that the message came from, if it came from one.
    peer: Option<Peer>,
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
        self.has_any = true;
        self.sender = sender;
        self.deadline = deadline;
        self.cancellation = cancellation;
        if !matches!(self.extra, Extra::Nothing) {
            self.extra = Extra::Nothing;
        }
        if metadata.is_some() {
            self.attached().metadata = metadata;
        }
    }

    /// The next message, with nothing but perhaps a sender.
    #[inline(always)]
    pub(crate) fn begin_plain(&mut self, sender: Option<ActorRef>) {
        if sender.is_some() || self.has_any {
            self.begin_of(sender);
        }
        if !matches!(self.extra, Extra::Nothing) {
            self.extra = Extra::Nothing;
        }
    }

    fn begin_of(&mut self, sender: Option<ActorRef>) {
        self.has_any = sender.is_some();
        (self.sender, self.deadline) = (sender, None);
        self.cancellation = Cancellation::Never;
    }

    /// The next message, which came from a peer. Where the one before came from it too, nothing is counted.
    #[inline]
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn begin_from(
        &mut self,
        peer: &Peer,
        sender: Option<ActorRef>,
        deadline: Option<Instant>,
        metadata: Option<Metadata>,
        cancellation: Cancellation,
    ) {
        let before = match std::mem::take(&mut self.extra) {
            Extra::Nothing => None,
            Extra::From(before) => Some(before),
            Extra::More(attached) => attached.peer,
        };
        let peer = before.filter(|before| before.is(peer)).unwrap_or_else(|| peer.clone());
        self.begin(sender, deadline, None, cancellation);
        self.extra = Extra::From(peer);
        if metadata.is_some() {
            self.attached().metadata = metadata;
        }
    }

    /// Whether the message at hand came from that peer, and nothing with it.
    #[inline]
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn is_plain_from(&self, peer: &Peer) -> bool {
        !self.has_any && matches!(&self.extra, Extra::From(before) if before.is(peer))
    }

    /// The next message, which came from a peer, and nothing with it.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn begin_plain_from(&mut self, peer: &Peer) {
        self.begin_from(peer, None, None, None, Cancellation::Never);
        self.has_any = false;
    }

    /// The message at hand came from a peer at first.
    pub(super) fn set_peer(&mut self, peer: Peer) {
        match &mut self.extra {
            Extra::More(attached) => attached.peer = Some(peer),
            extra => *extra = Extra::From(peer),
        }
    }

    /// The peer that the message came from.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.extra {
            Extra::Nothing => None,
            Extra::From(peer) => Some(peer),
            Extra::More(attached) => attached.peer.as_ref(),
        }
    }

    pub(crate) fn attached(&mut self) -> &mut Attached {
        if !matches!(self.extra, Extra::More(_)) {
            let peer = match std::mem::take(&mut self.extra) {
                Extra::From(peer) => Some(peer),
                _ => None,
            };
            self.extra = Extra::More(Box::new(Attached { peer, ..Attached::default() }));
        }
        self.attached_mut().expect("it was just made")
    }

    /// What the message has of that, if anything.
    pub(crate) fn attached_mut(&mut self) -> Option<&mut Attached> {
        match &mut self.extra {
            Extra::More(attached) => Some(attached),
            Extra::Nothing | Extra::From(_) => None,
        }
    }

    fn attached_ref(&self) -> Option<&Attached> {
        match &self.extra {
            Extra::More(attached) => Some(attached),
            Extra::Nothing | Extra::From(_) => None,
        }
    }

    pub(crate) fn metadata(&self) -> Option<&Metadata> {
        self.attached_ref()?.metadata.as_ref()
    }

    pub(crate) fn extensions(&self) -> &Extensions {
        static NONE: Extensions = Extensions::new();
        self.attached_ref().map_or(&NONE, |attached| &attached.extensions)
    }
}
