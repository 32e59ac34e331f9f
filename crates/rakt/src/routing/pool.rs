//! A pool: passes messages on to children of its own.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::route::{Member, Route, Size};
use super::strategy::Strategy;
use crate::actor::{Accepts, Actor, Handler};
use crate::context::Context;
use crate::error::Result;
use crate::events::{StopReason, Terminated};
use crate::message::Message;
use crate::spawn::Spawn;
use crate::supervision::Recent;
use crate::timers::now;

/// An actor that spawns a number of alike actors, its members, and passes every message on to one of them, or to all.
/// See the [module](super) for an example.
///
/// The members are children of the pool, without names of yours. What happens when one fails is a matter of its
/// supervision, which [`each`](Self::each) sets: by default it is restarted. One that has ended, for whatever reason,
/// is replaced at once by a new one, which has the keys of the one before; so there is no point in members that are
/// passivated. If the new one cannot start, or members end more often than they
/// [may](Self::max_replacements), the pool has failed, which is a matter of its own supervision. [`Resize`] changes how
/// many there are; a pool that is restarted has as many as in the beginning. Peers may send it `M` where that has a name
/// on the wire.
pub struct Pool<A: Actor, M: Message> {
    route: Route<M>,
    size: usize,
    factory: Arc<dyn Fn() -> A + Send + Sync>,
    each: Arc<Each<A>>,
    max_replacements: u32,
    window: Duration,
    replacements: Recent,
}

type Each<A> = dyn for<'a> Fn(Spawn<'a, A>) -> Spawn<'a, A> + Send + Sync;

impl<A: Actor, M: Message> fmt::Debug for Pool<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).finish_non_exhaustive()
    }
}

impl<A: Handler<M>, M: Message> Pool<A, M> {
    /// A pool of `size` members (at least 1) that `factory` builds.
    pub fn new(
        strategy: Strategy<M>,
        size: usize,
        factory: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let (route, size) = (Route::new(strategy), size.max(1));
        Self {
            route,
            size,
            factory: Arc::new(factory),
            each: Arc::new(|spawn| spawn),
            max_replacements: 10,
            window: Duration::from_secs(60),
            replacements: Recent::default(),
        }
    }

    /// How often a member may be replaced within `window`, on average: with four members the pool makes four times as
    /// many replacements, and at the next one it fails. Default: 10 times within 60 s.
    #[must_use]
    pub fn max_replacements(mut self, times: u32, window: Duration) -> Self {
        (self.max_replacements, self.window) = (times, window);
        self
    }

    /// Sets what differs from the defaults of [`Spawn`] for each member.
    ///
    /// ```
    /// # use rakt::prelude::*;
    /// # use rakt::routing::{Pool, Strategy};
    /// # #[derive(Message)] struct Job;
    /// # #[derive(Default)] struct Worker; impl Actor for Worker {}
    /// # impl Handler<Job> for Worker { async fn handle(&mut self, _: Job, _: &mut Context<Self>) -> Result { Ok(()) } }
    /// let pool = || {
    ///     let pool = Pool::new(Strategy::<Job>::least_busy(), 4, Worker::default);
    ///     pool.each(|spawn| spawn.mailbox(Mailbox::bounded(16)))
    /// };
    /// # let _ = pool;
    /// ```
    #[must_use]
    pub fn each(
        mut self,
        each: impl for<'a> Fn(Spawn<'a, A>) -> Spawn<'a, A> + Send + Sync + 'static,
    ) -> Self {
        self.each = Arc::new(each);
        self
    }

    /// A member that has the keys of this number.
    async fn member(&self, number: u64, ctx: &mut Context<Self>) -> Result<Member<M>> {
        let factory = self.factory.clone();
        let member = (self.each)(ctx.spawn_anonymous(move || factory())).start().await?;
        let watch = ctx.watch(&member);
        Ok(Member::new(member.recipient(), Some(watch), number))
    }

    /// Refuses one replacement too many: what always ends at once would keep the pool busy for ever.
    fn count_replacement(&mut self) -> Result {
        let members = u32::try_from(self.size).unwrap_or(u32::MAX);
        let most = self.max_replacements.saturating_mul(members);
        match self.replacements.note(most, self.window, now()) {
            Some(_) => Ok(()),
            None => {
                let window = self.window;
                Err(format!("more than {most} members of the pool ended within {window:?}").into())
            }
        }
    }

    /// Spawns members until there are enough; stops those that are too many once they have done what they have.
    async fn fill(&mut self, ctx: &mut Context<Self>) -> Result {
        while let Some(surplus) = self.route.members.pop_if(|last| last.number >= self.size as u64)
        {
            if let Some(watch) = surplus.watch {
                ctx.unwatch(watch);
            }
            tokio::spawn(async move { surplus.recipient.stop().await });
        }
        for number in self.route.members.len()..self.size {
            let member = self.member(number as u64, ctx).await?;
            self.route.members.push(member);
        }
        Ok(())
    }
}

impl<A: Handler<M>, M: Message> Actor for Pool<A, M> {
    fn accepts(accepts: &mut Accepts<Self>) {
        // What peers may send to a member they may send to the pool.
        let is_listed = |listed: Accepts<A>| {
            M::wire().is_some_and(|wire| listed.wire_names().any(|name| name == wire.name()))
        };
        match Accepts::of_actor().is_ok_and(is_listed) {
            true => accepts.known::<M>(),
            false => accepts.local::<M>(),
        };
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        self.fill(ctx).await
    }

    async fn terminated(&mut self, terminated: &Terminated, ctx: &mut Context<Self>) -> Result {
        let watch = Some(terminated.watch);
        let ended = self.route.members.iter().position(|member| member.watch == watch);
        if let Some(index) = ended
            && terminated.reason != StopReason::Shutdown
        {
            self.count_replacement()?;
            let member = self.member(self.route.members[index].number, ctx).await?;
            self.route.members[index] = member;
        }
        Ok(())
    }
}

impl<A: Handler<M>, M: Message> Handler<M> for Pool<A, M> {
    async fn handle(&mut self, message: M, ctx: &mut Context<Self>) -> Result<M::Reply> {
        self.route.pass_on(message, ctx).await
    }
}

/// Changes how many members a [`Pool`] has. The reply is how many there are then. A member that is too many ends once
/// it has handled what it has.
pub struct Resize<M> {
    size: usize,
    message: PhantomData<fn(M)>,
}

impl<M> Resize<M> {
    /// As many as this, at least 1.
    pub fn to(size: usize) -> Self {
        Self { size: size.max(1), message: PhantomData }
    }
}

impl<M> fmt::Debug for Resize<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resize({})", self.size)
    }
}

#[diagnostic::do_not_recommend]
impl<M: Message> Message for Resize<M> {
    type Reply = usize;
}

impl<A: Handler<M>, M: Message> Handler<Resize<M>> for Pool<A, M> {
    async fn handle(&mut self, resize: Resize<M>, ctx: &mut Context<Self>) -> Result<usize> {
        self.size = resize.size;
        self.fill(ctx).await?;
        Ok(self.route.members.len())
    }
}

impl<A: Handler<M>, M: Message> Handler<Size<M>> for Pool<A, M> {
    async fn handle(&mut self, _: Size<M>, _: &mut Context<Self>) -> Result<usize> {
        Ok(self.route.members.len())
    }
}
