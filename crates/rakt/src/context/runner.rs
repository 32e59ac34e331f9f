//! What the runner does with a context.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use super::later::Handoff;
use super::state::{ActorCell, Children, Context, Dispatch, Extra, Work};
use crate::cell::{Doze, Entry};
use crate::error::{Cause, Refusal};
use crate::events::{DeadLetter, RestartReason, StopReason, WatchId};
use crate::mailbox::current::Current;
use crate::mailbox::letter::{Letter, Run};
use crate::mailbox::reply::Reply;
use crate::mailbox::work_batch::Item;
use crate::message::{Message, message_name};
use crate::reference::{ActorRef, AnyCell};
use crate::supervision::Decider;
use crate::timers::now;

/// An actor handles this many messages before other tasks get a turn.
const TURN: u32 = 256;

/// What the runner does with a context.
impl<A: Send + 'static> Context<A> {
    pub(crate) fn new(cell: Arc<ActorCell<A>>, extra: Option<Box<Extra<A>>>) -> Self {
        let current = Current::default();
        Self {
            cell,
            current,
            extra,
            stop_reason: None,
            stop_requested: false,
            unstash_requested: false,
            handled: 0,
            doze: Doze::default(),
            message: None,
        }
    }

    pub(crate) fn entry(&self, index: u16) -> &Entry<Dispatch<A>> {
        &self.cell.class.entries[usize::from(index)]
    }

    pub(crate) fn take_extra(&mut self) -> Option<Box<Extra<A>>> {
        self.extra.take()
    }

    pub(crate) fn set_extra(&mut self, extra: Option<Box<Extra<A>>>) {
        self.extra = extra;
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.stop_requested
            || self.unstash_requested
            || self.cell.interrupted.load(Ordering::Relaxed)
    }

    pub(crate) fn after_message(&mut self) {
        self.current.begin_plain(None);
    }

    /// Takes more messages into the empty work, waiting a little if there are none; says false if there
    /// is something else to do, or nothing at all.
    pub(crate) async fn more(&mut self, work: &mut Work<A>) -> bool {
        self.after_message();
        let (cell, doze) = (&self.cell, &mut self.doze);
        let handled = &mut self.handled;
        doze.is_lone = false;
        let is_there = std::future::poll_fn(|cx| {
            let is_noted = std::mem::take(&mut doze.is_noted) && !cell.is_roused();
            let taken = if is_noted { Poll::Pending } else { cell.poll_take(cx, doze, work) };
            if taken.is_pending() {
                doze.go_on(cell.system.ticks(), cx.waker());
                doze.is_lone = true;
                *handled = 0;
            }
            taken
        });
        let is_there = is_there.await;
        self.doze.has_worked = true;
        is_there
    }

    /// What happened before the next messages are handled may have changed the mailbox: it has to be
    /// looked at again before the actor dozes.
    pub(crate) fn look_up(&mut self) {
        (self.doze.is_noted, self.doze.is_lone) = (false, false);
    }

    /// Counts a message, and says whether the runner is to look up.
    pub(crate) fn count_message(&mut self) -> bool {
        self.handled += 1;
        self.is_to_look_up()
    }

    /// Whether there is something else to do than to handle the next message.
    pub(crate) fn is_to_look_up(&self) -> bool {
        self.handled >= TURN || self.is_interrupted()
    }

    /// Why the message at hand is not to be handled any more, if somebody waits for its reply.
    pub(crate) fn why_unwanted(&self) -> Option<Refusal> {
        if self.is_cancelled() {
            return Some(Refusal::Cancelled);
        }
        // What found the actor with nothing to do has waited for a moment at most, unless all tasks are
        // held up, that of the asker with them: not worth reading the clock.
        let may_be_late = !self.doze.is_lone;
        let is_over = |deadline| may_be_late && deadline <= now();
        self.deadline().is_some_and(is_over).then_some(Refusal::DeadlineExceeded)
    }

    /// Whether it is the turn of other tasks.
    pub(crate) fn take_turn_end(&mut self) -> bool {
        let over = self.handled >= TURN;
        if over {
            self.handled = 0;
        }
        over
    }

    pub(crate) fn take_stop_request(&mut self) -> bool {
        std::mem::take(&mut self.stop_requested)
    }

    /// Notes that an `M` that nobody awaits an answer for is not handled.
    pub(crate) fn lose<M: Message>(&self, reason: &Refusal) {
        self.cell.system.dead_letter(|| DeadLetter {
            target: self.cell.address().into(),
            sender: self.sender().map(ActorRef::address),
            message: message_name::<M>().to_owned(),
            reason: reason.clone(),
            count: 1,
        });
    }

    /// Makes the metadata of the message at hand into extensions.
    #[inline]
    pub(crate) fn extract(&mut self) -> Result<(), Refusal> {
        let Some(attached) = self.current.attached_mut() else { return Ok(()) };
        let Some(metadata) = &attached.metadata else { return Ok(()) };
        let Some(propagator) = self.cell.system.propagator() else { return Ok(()) };
        propagator
            .extract(metadata, &mut attached.extensions)
            .map_err(|error| Refusal::Propagation { source: Cause::new(error) })
    }

    /// Notes why the actor is about to be built anew.
    pub(crate) fn note_restart(&mut self, reason: RestartReason) {
        self.extra.get_or_insert_default().restart_reason = Some(reason);
    }

    /// Notes why the actor is about to end.
    pub(crate) fn note_end(&mut self, reason: StopReason) {
        self.stop_reason = Some(reason);
    }

    /// Whether the actor ends in good order, so that what it knows is worth being kept.
    pub(crate) fn is_to_be_saved(&self) -> bool {
        matches!(&self.stop_reason, Some(reason) if !matches!(reason, StopReason::Failed(_)))
    }

    pub(crate) fn decider(&mut self) -> &mut Decider {
        &mut self.extra.get_or_insert_default().decider
    }

    pub(crate) fn children(&self) -> impl Iterator<Item = &Arc<dyn AnyCell>> {
        self.extra.iter().flat_map(|extra| extra.children.values())
    }

    pub(crate) fn children_mut(&mut self) -> &mut Children {
        &mut self.extra.get_or_insert_default().children
    }

    pub(crate) fn take_children(&mut self) -> Children {
        self.extra.as_mut().map(|extra| std::mem::take(&mut extra.children)).unwrap_or_default()
    }

    pub(crate) fn forget_child(&mut self, uid: u64) {
        if let Some(extra) = &mut self.extra {
            extra.children.remove(&uid);
        }
    }

    /// Ends a watch, and says whether it was still wanted.
    pub(crate) fn end_watch(&mut self, watch: WatchId) -> bool {
        self.extra.as_mut().is_some_and(|extra| extra.watching.remove(&watch).is_some())
    }

    /// Gives a deferred reply its destination.
    pub(crate) fn settle<M: Message>(&mut self, reply: Reply<M::Reply>, dispatch: Dispatch<A>) {
        let Some(attached) = self.current.attached_mut() else { return };
        let Some(deferred) = attached.deferred.reach().take() else { return };
        let deferred = match deferred.downcast::<Handoff<M::Reply>>() {
            Ok(handoff) => return handoff.settle(reply),
            Err(deferred) => deferred,
        };
        if let Ok(mut letter) = deferred.downcast::<Letter<M>>() {
            if let Some(about) = &mut letter.about {
                about.reply = reply;
            }
            let item = Item::Local { run: Run::of(*letter), dispatch };
            self.extra.get_or_insert_default().stash.reach().push(item);
        }
    }

    pub(crate) fn unstash_into(&mut self, work: &mut Work<A>) {
        if std::mem::take(&mut self.unstash_requested) {
            self.give_back_stash(work);
        }
    }

    fn give_back_stash(&mut self, work: &mut Work<A>) {
        if let Some(extra) = &mut self.extra {
            extra.stash.reach().drain(..).rev().for_each(|item| work.push_front(item));
        }
    }

    /// Drops what belonged to an actor that is gone: timers, watches; the stash goes back.
    pub(crate) fn forget_the_past(&mut self, work: &mut Work<A>) {
        self.give_back_stash(work);
        if let Some(extra) = &mut self.extra {
            extra.let_go();
        }
        (self.stop_requested, self.unstash_requested) = (false, false);
    }
}
