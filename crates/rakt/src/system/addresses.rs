//! Messages by address, and references that arrive as data.

use std::any::Any;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use rakt_wire::{Address, Operation};

use super::core::{ActorSystem, Inner, Remoting};
use crate::answer::RemoteAnswer;
use crate::call_options::CallOptions;
use crate::error::{OperationError, Refusal};
use crate::events::WatchId;
use crate::message::Message;
use crate::message::reader::reading_at_most;
use crate::operation::operation_name;
use crate::portable::{PortableRef, Resolve};
use crate::reference::{
    ActorRef, AnyActor, Life, Outgoing, RemoteActor, Requested, SendState, Target, unwatchable,
};
use crate::send::{Ask, Tell};
use crate::signal::Signalled;

/// Messages by address. Without remoting those to other nodes are refused with
/// [`Refusal::RemotingOff`](crate::Refusal::RemotingOff).
impl ActorSystem {
    /// A reference to whoever has this address, now or later, here or on another node.
    pub fn actor(&self, address: &Address) -> ActorRef {
        if self.is_own(address)
            && let Some(found) = self.find(address.path())
        {
            return found;
        }
        let there = |node: &Arc<dyn Remoting>| node.actor(address);
        self.remoting()
            .map_or_else(|| self.nobody(address.clone().into(), Refusal::RemotingOff), there)
    }

    /// The reference that was made [portable](ActorRef::portable), here or on another node: to that life of the
    /// actor, or to whoever has the address if it means that.
    pub fn resolve(&self, portable: &PortableRef) -> ActorRef {
        let (address, life) = (portable.address(), portable.life());
        let Some(life) = life else { return self.actor(address) };
        if !self.is_own(address) {
            let there = |node: &Arc<dyn Remoting>| node.reference(portable);
            let off = || self.nobody(portable.clone(), Refusal::RemotingOff);
            return self.remoting().map_or_else(off, there);
        }
        if life.incarnation != self.incarnation() {
            return self.nobody(portable.clone(), Refusal::StaleIncarnation);
        }
        match self.0.registry.find(address.path()) {
            Some(cell) if cell.uid() == life.uid => ActorRef::from_target(Target::Local(cell)),
            _ => self.nobody(portable.clone(), Refusal::Stopped),
        }
    }

    /// Runs code that reads references, such as `serde_json::from_str`: they are references of this system. In messages
    /// that arrive they are that anyway.
    pub fn resolving<T>(&self, read: impl FnOnce() -> T) -> T {
        reading_at_most(u32::MAX, self.call_options().reader, read)
    }

    fn is_own(&self, address: &Address) -> bool {
        let place = (address.host(), address.port());
        address.system() == self.name() && place == self.advertised()
    }

    /// A reference by which nothing can be sent.
    fn nobody(&self, portable: PortableRef, refusal: Refusal) -> ActorRef {
        let options = self.call_options().clone();
        ActorRef::from_target(Target::Remote(Arc::new(Nobody { portable, options, refusal })))
    }

    /// Tells whoever has this address. See [`ActorRef::tell`].
    pub fn tell<M: Message>(&self, to: &Address, message: M) -> Tell<'static, AnyActor, M> {
        Tell::owned(self.actor(to), message)
    }

    /// Asks whoever has this address. See [`ActorRef::ask`].
    pub fn ask<M: Message>(&self, to: &Address, message: M) -> Ask<'static, AnyActor, M> {
        Ask::owned(self.actor(to), message)
    }
}

impl Resolve for Inner {
    fn resolve(self: Arc<Self>, portable: &PortableRef) -> ActorRef {
        ActorSystem(self).resolve(portable)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Whoever is known to be out of reach.
struct Nobody {
    portable: PortableRef,
    options: Arc<CallOptions>,
    refusal: Refusal,
}

impl RemoteActor for Nobody {
    fn address(&self) -> &Address {
        self.portable.address()
    }

    fn life(&self) -> Option<Life> {
        self.portable.life()
    }

    fn call_options(&self) -> &CallOptions {
        &self.options
    }

    fn poll_send(
        &self,
        _: &Outgoing<'_>,
        _: &mut Option<SendState>,
        _: Option<&Waker>,
    ) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
        Poll::Ready(Err(self.refusal.clone()))
    }

    fn request(&self, operation: Operation) -> Requested<'_> {
        let name = operation_name(&operation);
        let (target, refusal) = (self.portable.address().clone().into(), self.refusal.clone());
        Box::pin(async move { Err(OperationError::NotSent { operation: name, target, refusal }) })
    }

    fn watch(self: Arc<Self>, watcher: Weak<dyn Signalled>, watch: WatchId) {
        unwatchable(self.portable.address(), &watcher, watch);
    }

    fn unwatch(&self, _: WatchId) {}
}
