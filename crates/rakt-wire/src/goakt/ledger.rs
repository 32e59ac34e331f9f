//! Whose response is it, where a node may leave one out?
//!
//! Responses have no numbers, their order is all there is. But now and then a node of GoAkt v3.14 leaves a
//! request under load without its response, and from there on each would be taken for that of the request
//! before. So where several are under way, a response is held back until it is certain whose it is:
//!
//! - once there is one for every request that has left: then none is missing, or
//! - at a *fence*, a request between the others whose success cannot be mistaken for the response to any
//!   of them. What is in front of that belongs to what was sent in front of the fence, if it is as many. If
//!   it is less, nobody can tell which has none, so none of them has. Behind the fence they are in step again.
//!
//! ```text
//! sent   1 2 3 F 4 5            sent   1 2 3 F 4 5
//! came   r r r f     1 2 3 ok   came   r r f        1 2 3 missing
//! ```
//!
//! Only one fence is under way at a time, so that its success is that of no other. A node that leaves out
//! any number of responses, fences included, can so make requests missing and never answered by mistake.

use std::collections::VecDeque;
use std::time::Instant;

use super::procedure::Procedure;
use super::response::Answer;

/// Requests in the order in which they were sent, and what is known of their responses.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: VecDeque<Entry>,
    /// The number of the first one.
    first: u64,
    /// Of the entries, from the first one: how many have left, how many the peer is through with, and how
    /// many have their own response, or certainly none.
    left: usize,
    through: usize,
    certain: usize,
    /// A fence has no response yet.
    is_fenced: bool,
    /// Somebody waits for the outcome of a request that no fence is behind.
    is_awaited: bool,
    /// When the last fence left.
    fenced: Option<Instant>,
    /// Requests among the entries; the rest are fences.
    requests: usize,
    /// Requests that the peer has been through with.
    done: u64,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    expires: Instant,
    left: Option<Instant>,
    answer: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request(Procedure),
    Fence,
}

impl Ledger {
    pub(super) fn push(&mut self, kind: Kind, expires: Instant) -> u64 {
        let number = self.first.saturating_add(self.entries.len() as u64);
        self.entries.push_back(Entry { kind, expires, left: None, answer: None });
        match kind {
            Kind::Fence => (self.is_fenced, self.is_awaited) = (true, false),
            Kind::Request(_) => self.requests = self.requests.saturating_add(1),
        }
        number
    }

    /// All entries leave, if they have not yet.
    pub(super) fn leave(&mut self, now: Instant) {
        for entry in self.entries.range_mut(self.left..) {
            entry.left = Some(now);
            if entry.kind == Kind::Fence {
                self.fenced = Some(now);
            }
        }
        self.left = self.entries.len();
    }

    /// What the next response is to, if the peer has left none out. `None` if none is due.
    pub(super) fn expected(&self) -> Option<Kind> {
        let entry = self.entries.get(self.through).filter(|_| self.through < self.left);
        entry.map(|entry| entry.kind)
    }

    /// Whether a fence waits for its response.
    pub(super) fn is_fenced(&self) -> bool {
        self.is_fenced
    }

    /// Takes the next response, to what is [expected](Self::expected). `holds` says whether it has to
    /// wait until it is certain that it is.
    pub(super) fn answer(&mut self, answer: Answer, holds: bool) {
        let is_success = !matches!(answer, Answer::Error(_));
        let is_fence = self.expected() == Some(Kind::Fence);
        if let Some(entry) = self.entries.get_mut(self.through) {
            entry.answer = Some(answer);
        }
        self.pass();
        // A fence that fails shows nothing: a message that was left unanswered before may have failed.
        if self.through == self.left || (is_fence && is_success) || !holds {
            self.certain = self.through;
            self.is_awaited &= self.certain < self.entries.len();
        }
    }

    /// The fence has succeeded before its turn: responses to what is before it are missing. False if there
    /// is none that has left.
    pub(super) fn answer_fence_early(&mut self) -> bool {
        let mut waiting = self.entries.range(self.through..self.left);
        if !waiting.any(|entry| entry.kind == Kind::Fence) {
            return false;
        }
        while self.is_fenced {
            self.pass();
        }
        for entry in self.entries.range_mut(self.certain..self.through) {
            entry.answer = None;
        }
        self.certain = self.through;
        true
    }

    /// The peer is through with one more.
    fn pass(&mut self) {
        let Some(entry) = self.entries.get(self.through) else { return };
        self.through = self.through.saturating_add(1);
        match entry.kind {
            Kind::Fence => self.is_fenced = false,
            Kind::Request(_) => self.done = self.done.saturating_add(1),
        }
    }

    /// The first request with a certain end, and its response, if it has one.
    pub(super) fn pop(&mut self) -> Option<(u64, Option<Answer>)> {
        while self.certain > 0 {
            let Entry { kind, answer, .. } = self.entries.pop_front()?;
            let number = self.first;
            self.first = number.saturating_add(1);
            for count in [&mut self.left, &mut self.through, &mut self.certain] {
                *count = count.saturating_sub(1);
            }
            if kind != Kind::Fence {
                self.requests = self.requests.saturating_sub(1);
                return Some((number, answer));
            }
        }
        None
    }

    /// Takes all requests out, with their numbers and whether they have left.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, Procedure, bool)> + use<> {
        let (first, left) = (self.first, self.left);
        let entries = std::mem::take(&mut self.entries);
        *self = Self {
            first: first.saturating_add(entries.len() as u64),
            done: self.done,
            ..Self::default()
        };
        entries.into_iter().zip(first..).enumerate().filter_map(move |(at, (entry, number))| {
            match entry.kind {
                Kind::Request(procedure) => Some((number, procedure, at < left)),
                Kind::Fence => None,
            }
        })
    }

    /// Somebody waits for the outcome of the last request.
    pub(super) fn hurry(&mut self) {
        self.is_awaited = true;
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// Whether some that have left have no certain end, and others are about to follow.
    pub(super) fn is_followed(&self) -> bool {
        (1..self.entries.len()).contains(&self.left)
    }

    /// Since when it has not been known what becomes of the first, counted anew from each fence.
    pub(super) fn uncertain_since(&self) -> Option<Instant> {
        let left = self.entries.front()?.left?;
        Some(self.fenced.map_or(left, |fenced| fenced.max(left)))
    }

    pub(super) fn first_kind(&self) -> Option<Kind> {
        self.entries.front().map(|entry| entry.kind)
    }

    /// When the last one expires.
    pub(super) fn last_expires(&self) -> Option<Instant> {
        self.entries.back().map(|entry| entry.expires)
    }

    /// The first to expire of those that the peer is not through with.
    pub(super) fn first_expires(&self) -> Option<(u64, Instant)> {
        let waiting = self.entries.iter().zip(self.first..).skip(self.through);
        waiting.map(|(entry, number)| (number, entry.expires)).min_by_key(|(_, expires)| *expires)
    }

    /// Requests without a certain end.
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    pub(super) fn done(&self) -> u64 {
        self.done
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
