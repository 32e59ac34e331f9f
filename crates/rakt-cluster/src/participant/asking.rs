//! How nodes that come or leave have others say so in the view: of many that swap at once all but one would lose.
//!
//! Whoever has lost a swap, or comes or leaves with others, asks the member that came last: of that one it is surest that it lives.
//! All that ask it are in its next proposal. Of whom no view says so by then swaps again, and asks another one if that is lost
//! too: so nobody has to answer, and members that do not know the question do no harm.
//!
//! A member keeps what it was asked for until the view says so, for [`KEPT`] at most. Those that one view lets in have greeted all
//! that were Up before it, and not each other: a link between two of them that is bad is found as any other.
//!
//! What is asked for stays true until it is so: one that leaves never stops to, and one that is Leaving takes nothing on, so that
//! what has ended there has ended. One that is Joining does not ask to be left out, since it may be let in before that is heard.

use std::cmp::Reverse;
use std::time::Duration;

use super::message::Message;
use super::{AGAIN, Do, PROPOSERS, Participant};
use crate::node::Seat;
use crate::propose::{Change, Newcomer};
use crate::view::{MAX_MEMBERS, Member, State, View};

/// What others have asked for is proposed for so long.
const KEPT: Duration = Duration::from_secs(2);

impl Participant {
    /// Asks a member for what this node would have changed, if that is how far it has come itself and it is time for that.
    pub(super) fn ask_for(
        &mut self,
        changes: &[Change],
        view: &View,
        now: Duration,
        out: &mut Vec<Do>,
    ) -> bool {
        let is_mine = |seat: &Seat| Some(*seat) == self.seat();
        let message = match changes {
            [Change::Join(me, _)] if me.id == self.settings.me.id => Message::Join(me.clone()),
            [Change::Up(seat)] if is_mine(seat) => Message::Ready,
            [Change::Leave(seat)] if is_mine(seat) => Message::Leave,
            [Change::Gone(seat)] if is_mine(seat) && self.state() == Some(State::Leaving) => {
                Message::Over
            }
            // It writes for others.
            _ => return false,
        };
        if !std::mem::take(&mut self.asks) {
            return false;
        }
        let mut last: Vec<&Member> = view.members().iter().filter(|member| lives(member)).collect();
        // One that leaves may be gone before it has proposed that.
        let leaves = |member: &Member| member.state == State::Leaving;
        last.sort_by_key(|member| (leaves(member), Reverse(member.joined), member.id));
        last.truncate(PROPOSERS);
        let Newcomer { id, incarnation, .. } = self.settings.me;
        let from = self.seat().unwrap_or(Seat { id, incarnation, joined: 0 });
        let last: Vec<Seat> = last.into_iter().map(Member::seat).collect();
        self.asked.retain(|asked| last.contains(asked));
        if last.len() == self.asked.len() {
            self.asked.clear();
        }
        let to = last.into_iter().find(|to| !self.asked.contains(to));
        // Where that is this node, the others ask it.
        let Some(to) = to.filter(|to| *to != from) else { return false };
        self.asked.push(to);
        self.say_as(from, to, message, out);
        let most = (AGAIN.as_millis() as u64).saturating_mul(1 << self.conflicts.min(4));
        let pause = Duration::from_millis(self.random().checked_rem(most).unwrap_or(0));
        self.propose_after = now.saturating_add(AGAIN.saturating_mul(2)).saturating_add(pause);
        true
    }

    /// It has come further: what others have been first in counts no more.
    pub(super) fn come_further(&mut self, view: &View) {
        let state = self.state().filter(|state| *state != State::Up);
        let mut others = view.members().iter().filter(|member| Some(member.seat()) != self.seat());
        self.asks = others.any(|member| Some(member.state) == state);
        self.asked.clear();
        (self.conflicts, self.propose_after) = (0, Duration::ZERO);
    }

    /// Asks another one at once, if whom it has asked is gone, as one that leaves may be.
    pub(super) fn ask_another(&mut self, view: &View) {
        if self.asked.last().is_some_and(|asked| !view.member(*asked).is_some_and(lives)) {
            self.asked.pop();
            (self.asks, self.propose_after) = (true, Duration::ZERO);
        }
    }

    /// One that is in no view asks to be put into the next one.
    pub(super) fn hear_of_join(&mut self, from: Seat, new: Newcomer, now: Duration) {
        let Some(view) = self.view().cloned() else { return };
        let itself = Seat { id: new.id, incarnation: new.incarnation, joined: 0 };
        if from == itself && view.node(new.id).is_none() {
            self.hear_of_change(from, Change::Join(new, None), now);
        }
    }

    /// Somebody asks for a change that is its own.
    pub(super) fn hear_of_change(&mut self, from: Seat, change: Change, now: Duration) {
        if let Some(listed) = &mut self.listed
            && (listed.asked.len() < MAX_MEMBERS || listed.asked.contains_key(&from.id))
        {
            listed.asked.insert(from.id, (change, now));
            self.consider_at = Duration::ZERO;
        }
    }

    /// What others have asked for, and is not so yet.
    pub(super) fn asked_for(&mut self, view: &View, now: Duration) -> Vec<Change> {
        let Some(listed) = &mut self.listed else { return Vec::new() };
        listed.asked.retain(|id, (change, at)| {
            let is_open = match change {
                Change::Up(seat) => view.state(*seat) == Some(State::Joining),
                Change::Leave(seat) => view.state(*seat) == Some(State::Up),
                Change::Gone(seat) => view.state(*seat) == Some(State::Leaving),
                _ => view.node(*id).is_none(),
            };
            is_open && now.saturating_sub(*at) < KEPT
        });
        listed.asked.values().map(|(change, _)| change.clone()).collect()
    }
}

fn lives(member: &Member) -> bool {
    !matches!(member.state, State::Dead { .. })
}
