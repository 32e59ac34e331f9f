//! The members of a router or a pool, and how a message gets to one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::strategy::{Rule, Strategy, key_of, weight};
use crate::actor::Actor;
use crate::context::Context;
use crate::error::{Declined, Result};
use crate::events::WatchId;
use crate::message::Message;
use crate::reference::Recipient;

/// Asks a router or a pool how many members it has.
pub struct Size<M>(PhantomData<fn(M)>);

impl<M> Size<M> {
    /// How many there are now.
    pub fn now() -> Self {
        Self(PhantomData)
    }
}

impl<M> fmt::Debug for Size<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Size")
    }
}

#[diagnostic::do_not_recommend]
impl<M: Message> Message for Size<M> {
    type Reply = usize;
}

/// One of those that messages are passed on to.
pub(super) struct Member<M> {
    pub(super) recipient: Recipient<M>,
    /// None for one whose end nobody hears of.
    pub(super) watch: Option<WatchId>,
    /// Tells it from the others, for the keys that it has.
    pub(super) number: u64,
    /// Shared with each message that was passed on and is not handled yet.
    under_way: Arc<()>,
}

impl<M: Message> Member<M> {
    pub(super) fn new(recipient: Recipient<M>, watch: Option<WatchId>, number: u64) -> Self {
        Self { recipient, watch, number, under_way: Arc::default() }
    }

    /// That it has ended may be known here before the news of it has come.
    fn is_there(&self) -> bool {
        self.recipient.is_alive() != Some(false)
    }

    /// What it has to do, if that is known.
    fn load(&self) -> usize {
        let under_way = Arc::strong_count(&self.under_way) - 1;
        self.recipient.queue_len().map_or(usize::MAX, |queued| queued.max(under_way))
    }
}

/// The members, and how one is chosen.
pub(super) struct Route<M> {
    strategy: Strategy<M>,
    pub(super) members: Vec<Member<M>>,
    /// Whose turn it is, in some round.
    turn: usize,
}

impl<M: Message> Route<M> {
    pub(super) fn new(strategy: Strategy<M>) -> Self {
        Self { strategy, members: Vec::new(), turn: 0 }
    }

    /// Passes a message on. Its handler returns what this returns.
    pub(super) async fn pass_on<A: Actor>(
        &mut self,
        message: M,
        ctx: &mut Context<A>,
    ) -> Result<M::Reply> {
        if let Rule::Broadcast(clone) = self.strategy.0 {
            return self.pass_to_all(clone, message, ctx).await;
        }
        let member = self.choose(&message)?;
        ctx.forward_counted(&member.recipient, message, Some(&member.under_way)).await
    }

    fn choose(&mut self, message: &M) -> Result<&Member<M>, Declined> {
        self.turn = self.turn.wrapping_add(1);
        let (before, after) = self.members.split_at(self.turn % self.members.len().max(1));
        let mut there = after.iter().chain(before).filter(|member| member.is_there());
        let chosen = match &self.strategy.0 {
            Rule::RoundRobin | Rule::Broadcast(_) => there.next(),
            Rule::LeastBusy => there.min_by_key(|member| member.load()),
            Rule::ByKey(key) => {
                let key = key_of(&**key, message)?;
                there.max_by_key(|member| weight(key, member.number))
            }
        };
        chosen.ok_or_else(nobody)
    }

    async fn pass_to_all<A: Actor>(
        &self,
        clone: fn(&M) -> M,
        message: M,
        ctx: &mut Context<A>,
    ) -> Result<M::Reply> {
        let mut there = self.members.iter().filter(|member| member.is_there());
        let first = there.next().ok_or_else(nobody)?;
        for member in there {
            let copy = clone(&message);
            let tell = member.recipient.tell(copy).carrying(ctx.current.extensions());
            let mut tell = tell.of_peer(ctx.peer().cloned());
            if let Some(sender) = ctx.sender() {
                tell = tell.sender(sender);
            }
            if let Err(error) = tell.until(ctx.deadline()).await {
                ctx.lose::<M>(&error.refusal);
            }
        }
        ctx.forward(&first.recipient, message).await
    }
}

fn nobody() -> Declined {
    Declined::new("there are no members to pass the message on to")
}
