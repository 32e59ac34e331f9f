//! What an actor has taken out of its mailbox, and the loop that hands it to the handlers.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;

use super::arrivals::Arrivals;
use super::letter::{AnyRun, Reply, Run};
use crate::actor::{Actor, Handler};
use crate::context::{Context, Current};
use crate::error::{BoxError, Cause, Refusal};
use crate::message::Message;

/// Messages in the queue: of one type from this process, or those that a connection brought together.
pub(crate) enum Item<A: Actor> {
    Local { run: Box<dyn AnyRun>, dispatch: Dispatch<A> },
    Remote(Box<dyn Arrivals>),
}

impl<A: Actor> Item<A> {
    /// How many messages this is.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Local { run, .. } => run.len(),
            Self::Remote(arrivals) => arrivals.len(),
        }
    }
}

/// Handles messages of one type from the front of the hand, and those that come after; until another
/// type is there, nothing comes for a while, something urgent came up, or a handler failed.
///
/// So a boxed future is made when the type changes, not for each message.
pub(crate) type Dispatch<A> =
    for<'a> fn(
        &'a mut A,
        &'a mut Context<A>,
        &'a mut InHand<A>,
    ) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;

pub(crate) fn dispatch<'a, A: Handler<M>, M: Message>(
    actor: &'a mut A,
    ctx: &'a mut Context<A>,
    hand: &'a mut InHand<A>,
) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>> {
    Box::pin(async move {
        loop {
            while let Some((message, reply)) = hand.next::<M>(ctx) {
                if let Err(refusal) = ctx.extract() {
                    if !reply.is_wanted() {
                        ctx.lose::<M>(&refusal);
                    }
                    reply.send(Err(refusal));
                } else {
                    match actor.handle(message, ctx).await {
                        Ok(value) => reply.send(Ok(value)),
                        Err(error) if error.is::<Deferred>() => ctx.settle::<M>(reply),
                        Err(error) => {
                            let source = Cause::described(&*error);
                            reply.send(Err(Refusal::HandlerFailed { source }));
                            return Err(error);
                        }
                    }
                }
                if ctx.count_message() {
                    return Ok(());
                }
            }
            if ctx.is_to_look_up() || !hand.is_empty() || !ctx.more(hand).await {
                return Ok(());
            }
        }
    })
}

/// What a handler returns in place of a reply that is given elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the reply is given later")]
pub(crate) struct Deferred;

/// The messages that an actor works through.
pub(crate) struct InHand<A: Actor> {
    /// None of them is empty of letters.
    items: VecDeque<Item<A>>,
    /// A run that has been worked through, for its memory.
    spare: Option<Box<dyn AnyRun>>,
}

impl<A: Actor> Default for InHand<A> {
    fn default() -> Self {
        Self { items: VecDeque::new(), spare: None }
    }
}

impl<A: Actor> InHand<A> {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is in hand, to be exchanged for more.
    pub(super) fn items(&mut self) -> &mut VecDeque<Item<A>> {
        &mut self.items
    }

    pub(crate) fn push_back(&mut self, item: Item<A>) {
        self.items.push_back(item);
    }

    pub(crate) fn push_front(&mut self, item: Item<A>) {
        self.items.push_front(item);
    }

    pub(crate) fn pop_back(&mut self) -> Option<Item<A>> {
        self.items.pop_back()
    }

    pub(crate) fn pop_front(&mut self) -> Option<Item<A>> {
        self.items.pop_front()
    }

    /// An empty run, if there is one.
    pub(crate) fn take_spare(&mut self) -> Option<Box<dyn AnyRun>> {
        self.spare.take()
    }

    /// The function for the message at the front.
    pub(crate) fn front(&mut self, ctx: &Context<A>) -> Option<Dispatch<A>> {
        loop {
            match self.items.front()? {
                Item::Local { dispatch, .. } => return Some(*dispatch),
                Item::Remote(arrivals) => match arrivals.first() {
                    Some(entry) => return Some(ctx.entry(entry).dispatch),
                    None => drop(self.items.pop_front()),
                },
            }
        }
    }

    /// Takes the first `M` from the front that is still wanted, and has the context tell of it. Those
    /// that are not count as well: however many there are, others get their turn.
    fn next<M: Message>(&mut self, ctx: &mut Context<A>) -> Option<(M, Reply<M::Reply>)> {
        loop {
            let taken = match self.items.front_mut()? {
                Item::Local { run, .. } => {
                    let run = (&mut **run as &mut dyn Any).downcast_mut::<Run<M>>()?;
                    let letter = run.next();
                    if run.is_empty()
                        && let Some(Item::Local { run, .. }) = self.items.pop_front()
                    {
                        self.spare = Some(run);
                    }
                    letter.map(|letter| letter.open(&mut ctx.current))
                }
                Item::Remote(arrivals) => match arrivals.first() {
                    None => {
                        self.items.pop_front();
                        continue;
                    }
                    Some(entry) if ctx.entry(entry).type_id != std::any::TypeId::of::<M>() => {
                        return None;
                    }
                    Some(_) => open(&mut **arrivals, &mut ctx.current),
                },
            };
            if let Some((message, reply)) = taken {
                let unwanted = if reply.is_wanted() { ctx.why_unwanted() } else { None };
                let Some(refusal) = unwanted else { return Some((message, reply)) };
                reply.send(Err(refusal));
            }
            if ctx.count_message() {
                return None;
            }
        }
    }
}

/// Takes the first of those that a connection brought; `None` if it cannot be read.
fn open<M: Message>(
    arrivals: &mut dyn Arrivals,
    current: &mut Current,
) -> Option<(M, Reply<M::Reply>)> {
    let wire = M::wire().expect("only messages with a wire type are accepted from peers");
    let decode = |payload| {
        wire.message.decode(payload).map_err(|error| Refusal::Undecodable { source: error.into() })
    };
    match arrivals.payload().and_then(decode) {
        Ok(message) => {
            let asker = arrivals.take(current);
            Some((
                message,
                asker.map_or(Reply::nowhere(), |asker| Reply::remote(asker, &wire.reply)),
            ))
        }
        Err(refusal) => {
            arrivals.refuse_first(&refusal);
            None
        }
    }
}
