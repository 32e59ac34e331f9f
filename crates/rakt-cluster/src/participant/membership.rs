//! How a participant comes, stays and goes: what it would have changed in the view, and what a view makes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::message::Message;
use super::{AGAIN, Do, HAND_OVER, Listed, Participant};
use crate::directory::Directory;
use crate::failure::{Detector, Evidence};
use crate::lease::Lease;
use crate::node::Seat;
use crate::propose::{Change, Newcomer};
use crate::view::{State, View};

impl Participant {
    /// What it would have changed in the view that it knows.
    pub(super) fn wants(&mut self, now: Duration) -> Vec<Change> {
        let Some((view, _)) = self.known.clone() else { return Vec::new() };
        let Some(listed) = &mut self.listed else {
            let (is_wanted, me) = (!self.leaving, &self.settings.me);
            let join = view.node(me.id).is_none() && is_wanted;
            return join.then(|| Change::Join(me.clone(), None)).into_iter().collect();
        };
        let seat = listed.lease.seat();
        let mut wants = Vec::new();
        match view.state(seat) {
            Some(State::Joining) if self.leaving => wants.push(Change::Gone(seat)),
            Some(State::Joining) => {
                let silent: Vec<Seat> = view
                    .up()
                    .map(|member| member.seat())
                    .filter(|up| !listed.greeted.contains(up))
                    .collect();
                let patience = view.lease().saturating_mul(2);
                let nobody = listed.greeted.is_empty() && !silent.is_empty();
                if silent.is_empty() {
                    wants.push(Change::Up(seat));
                } else if nobody && now.saturating_sub(listed.since) >= patience {
                    // Everything was restarted under new names: no member is left that could accuse another.
                    wants.extend(silent.into_iter().map(Change::Dead));
                }
            }
            Some(State::Up) if self.leaving => wants.push(Change::Leave(seat)),
            Some(State::Up) => {
                let above = self.raise_above.filter(|above| view.stamp().generation <= *above);
                wants.extend(above.map(|above| Change::Raise { above }));
                let fresh = self.settings.probe.saturating_mul(4);
                let dead = listed.evidence.verdict(&view, fresh, now);
                let proposer = view.up().map(|member| member.seat()).find(|up| !dead.contains(up));
                if proposer == Some(seat) {
                    wants.extend(dead.into_iter().map(Change::Dead));
                    wants.extend(listed.directory.waits().droppable(now).map(Change::Drop));
                }
            }
            Some(State::Leaving) => {
                let given = !listed.directory.has_to_give()
                    || self.drained_at.is_some_and(|at| now.saturating_sub(at) >= HAND_OVER);
                if self.drained_at.is_some() && given {
                    wants.push(Change::Gone(seat));
                }
            }
            Some(State::Dead { .. }) | None => {}
        }
        wants
    }

    /// Takes its seat, if the view has one for it.
    pub(super) fn sit_down(&mut self, view: &Arc<View>, now: Duration, out: &mut Vec<Do>) {
        let Newcomer { id, incarnation, .. } = self.settings.me;
        let Some(lease) = Lease::new(view, id, incarnation) else {
            // Its own wish, or nobody's.
            if self.leaving && view.node(id).is_none_or(|node| node.incarnation != incarnation) {
                self.has_left = true;
                out.push(Do::Left);
            }
            return;
        };
        let (seat, slots, guards) = (lease.seat(), self.slots.clone(), self.guards);
        let (directory, commands) = Directory::guarded(view.clone(), seat, slots, now, guards);
        let mut detector = Detector::new(seat, self.settings.probe, now);
        detector.learn(view);
        self.listed = Some(Listed {
            lease,
            directory,
            detector,
            evidence: Evidence::default(),
            greeted: BTreeSet::new(),
            greet_at: now,
            since: now,
            early: Vec::new(),
            has_drained: false,
        });
        self.carry_out(commands, now, out);
    }

    /// It is no member any more: nothing that lives here may go on.
    pub(super) fn end_all(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.listed.take().is_some() {
            (self.hosts_until, self.drained_at) = (None, None);
            self.failures.clear();
            self.finding.forget_waiters();
            out.push(Do::EndAll);
            self.propose_after = now;
        }
        let Newcomer { id, incarnation, .. } = self.settings.me;
        let view = self.view();
        let listed =
            view.and_then(|view| view.node(id)).is_some_and(|n| n.incarnation == incarnation);
        if self.leaving && !listed && !self.has_left {
            self.has_left = true;
            out.push(Do::Left);
        }
    }

    /// Says hello to all that are Up, while this one is Joining.
    pub(super) fn greet(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.state() != Some(State::Joining) {
            return;
        }
        let Some(view) = self.view().cloned() else { return };
        let Some(listed) = &mut self.listed else { return };
        if now < listed.greet_at {
            return;
        }
        listed.greet_at = now.saturating_add(AGAIN);
        let silent = view.up().map(|member| member.seat());
        let silent: Vec<Seat> = silent.filter(|up| !listed.greeted.contains(up)).collect();
        for to in silent {
            self.say(to, Message::Greet, out);
        }
    }

    /// Has what lives here end, once this node is Leaving, and notes when all has.
    pub(super) fn drain(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.state() != Some(State::Leaving) {
            return;
        }
        let Some(listed) = &mut self.listed else { return };
        if !std::mem::replace(&mut listed.has_drained, true) {
            out.push(Do::Drain);
        }
        if listed.directory.lives().next().is_none() {
            self.drained_at.get_or_insert(now);
        }
    }
}
