//! A router: passes messages on to actors that it is given.

use std::fmt;

use rakt_wire::Dialect;

use super::route::{Member, Route, Size};
use super::strategy::{Strategy, hash_of};
use crate::actor::{Accepts, Actor, Handler};
use crate::context::Context;
use crate::error::Result;
use crate::events::Terminated;
use crate::message::Message;
use crate::reference::Recipient;

/// An actor that passes every message on to one of its members, or to all of them.
///
/// ```
/// # use rakt::prelude::*;
/// use rakt::routing::{Add, Router, Strategy};
///
/// # #[derive(Message)] struct Alarm;
/// # struct Pager; impl Actor for Pager {}
/// # impl Handler<Alarm> for Pager { async fn handle(&mut self, _: Alarm, _: &mut Context<Self>) -> Result { Ok(()) } }
/// # #[tokio::main] async fn main() -> Result {
/// # let system = ActorSystem::builder("doc").start().await?;
/// # let (day, night) = (system.spawn("day", || Pager).await?, system.spawn("night", || Pager).await?);
/// let pagers: Vec<Recipient<Alarm>> = vec![day.recipient()];
/// let router = move || Router::new(Strategy::round_robin(), pagers.clone());
/// let router = system.spawn("pagers", router).await?;
/// router.ask(Add(night.recipient())).await?;
/// router.tell(Alarm).await?;
/// # Ok(()) }
/// ```
///
/// A member that has ended, or whose node is lost, drops out; without members messages are declined. Nobody hears of the
/// end of an actor of a Go node, so such a member stays until it is removed, and its messages are refused. [`Add`] and
/// [`Remove`] change the members, [`Size`] counts them; a reference without a life is there the same actor as one with
/// a life at its address. If the router is restarted it has those again that it was
/// spawned with. Peers may send it `M` where that has a name on the wire.
pub struct Router<M: Message> {
    route: Route<M>,
    /// Who is a member from the start.
    given: Vec<Recipient<M>>,
}

impl<M: Message> fmt::Debug for Router<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("members", &self.route.members.len()).finish_non_exhaustive()
    }
}

impl<M: Message> Router<M> {
    /// A router with these members.
    pub fn new(strategy: Strategy<M>, members: impl IntoIterator<Item = Recipient<M>>) -> Self {
        Self { route: Route::new(strategy), given: members.into_iter().collect() }
    }

    fn add(&mut self, recipient: Recipient<M>, ctx: &mut Context<Self>) {
        let (who, address) = (recipient.portable(), recipient.address());
        if self.route.members.iter().any(|member| member.recipient.portable().is_same(&who)) {
            return;
        }
        let watch = (address.dialect() != Dialect::GoAkt).then(|| ctx.watch(&recipient));
        let number = hash_of(&address);
        self.route.members.push(Member::new(recipient, watch, number));
    }
}

impl<M: Message> Actor for Router<M> {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.known::<M>();
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        for recipient in std::mem::take(&mut self.given) {
            self.add(recipient, ctx);
        }
        Ok(())
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        self.route.members.retain(|member| member.watch != Some(terminated.watch));
        Ok(())
    }
}

impl<M: Message> Handler<M> for Router<M> {
    async fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result<M::Reply> {
        self.route.pass_on(message, ctx).await
    }
}

/// Makes an actor a member of a [`Router`], unless it is one. The reply is how many there are then.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is the reference that it holds")]
pub struct Add<M>(pub Recipient<M>);

#[diagnostic::do_not_recommend]
impl<M: Message> Message for Add<M> {
    type Reply = usize;
}

impl<M: Message> Handler<Add<M>> for Router<M> {
    async fn handle(&mut self, Add(member): Add<M>, ctx: &mut Context<Self>) -> Result<usize> {
        self.add(member, ctx);
        Ok(self.route.members.len())
    }
}

/// Takes an actor out of a [`Router`]. It is not stopped. The reply is how many are left.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is the reference that it holds")]
pub struct Remove<M>(pub Recipient<M>);

#[diagnostic::do_not_recommend]
impl<M: Message> Message for Remove<M> {
    type Reply = usize;
}

impl<M: Message> Handler<Remove<M>> for Router<M> {
    async fn handle(&mut self, Remove(gone): Remove<M>, ctx: &mut Context<Self>) -> Result<usize> {
        let who = gone.portable();
        let is_meant = |member: &mut Member<M>| member.recipient.portable().is_same(&who);
        for gone in self.route.members.extract_if(.., is_meant) {
            if let Some(watch) = gone.watch {
                ctx.unwatch(watch);
            }
        }
        Ok(self.route.members.len())
    }
}

impl<M: Message> Handler<Size<M>> for Router<M> {
    async fn handle(&mut self, _: Size<M>, _: &mut Context<Self>) -> Result<usize> {
        Ok(self.route.members.len())
    }
}
