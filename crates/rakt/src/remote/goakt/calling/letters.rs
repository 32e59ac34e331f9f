//! How tells end: who waits for one hears of it, and those that fail for nobody are dead letters.

use std::sync::Arc;

use rakt_wire::goakt::NO_SENDER;

use super::node::GoNode;
use super::queue::{Group, ReceiverEntry};
use super::sender::parsed;
use crate::answer::Fate;
use crate::error::{Chain, Refusal};
use crate::events::{DeadLetter, Outlet};

/// Ends a request.
pub(super) fn answer(group: Group, fate: Fate) {
    if let Some(slot) = group.slot {
        crate::metrics::requests_ended(fate.outcome(), 1);
        // Nobody may wait any more.
        drop(slot.answer(fate));
    }
}

/// Ends a request that failed.
pub(super) fn refuse(outlet: &Outlet, group: Group, refusal: Refusal) {
    let mut letters = Letters::new(outlet, refusal.clone());
    letters.add(&group);
    letters.flush();
    answer(group, Fate::Refused(refusal));
}

/// Requests of which the node has left one or more unanswered, and it cannot be known which.
pub(super) struct Missing<'a> {
    letters: Letters<'a>,
    peer: &'a str,
    requests: u64,
}

impl<'a> Missing<'a> {
    const WHY: &'static str =
        "the node left this message, or one sent shortly before or after it, without an answer";

    pub(super) fn new(node: &'a GoNode) -> Self {
        let letters = Letters::new(node.outlet(), node.unreachable(Self::WHY));
        Self { letters, peer: &node.peer, requests: 0 }
    }

    pub(super) fn add(&mut self, group: Group) {
        self.requests += 1;
        self.letters.add(&group);
        answer(group, Fate::Lost(Self::WHY.into()));
    }

    pub(super) fn tell(mut self) {
        let Self { peer, requests, .. } = self;
        let topic = "the node left at least one of these without an answer";
        if self.letters.outlet.peer_log.allows(topic, peer) {
            tracing::warn!(peer, requests, "{topic}");
        }
        self.letters.flush();
    }
}

/// Tells that have failed, those that are alike in a row as one.
pub(super) struct Letters<'a> {
    outlet: &'a Outlet,
    reason: Refusal,
    next: Option<(Arc<ReceiverEntry>, Arc<str>, &'static str, u64)>,
}

impl<'a> Letters<'a> {
    pub(super) fn new(outlet: &'a Outlet, reason: Refusal) -> Self {
        Self { outlet, reason, next: None }
    }

    pub(super) fn add(&mut self, group: &Group) {
        if group.slot.is_some() {
            // Whoever waits for it hears of it.
            return;
        }
        let Group { receiver, sender, type_name, count, .. } = group;
        if let Some((known, by, name, sum)) = &mut self.next
            && Arc::ptr_eq(known, receiver)
            && Arc::ptr_eq(by, sender)
            && std::ptr::eq(*name, *type_name)
        {
            *sum += *count as u64;
            return;
        }
        self.flush();
        self.next = Some((receiver.clone(), sender.clone(), type_name, *count as u64));
    }

    pub(super) fn flush(&mut self) {
        let Some((receiver, sender, message, count)) = self.next.take() else { return };
        let reason = &self.reason;
        tracing::debug!(target = %receiver.address, count, reason = %Chain(reason), "messages failed");
        self.outlet.dead_letters(count, || DeadLetter {
            target: receiver.place.clone().into(),
            sender: Some(&*sender).filter(|sender| *sender != NO_SENDER).and_then(parsed),
            message: message.to_owned(),
            reason: reason.clone(),
            count,
        });
    }
}
