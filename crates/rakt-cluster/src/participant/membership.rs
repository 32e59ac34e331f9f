//! How a participant comes, stays and goes: what it would have changed in the view, and what a view makes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::message::Message;
use super::{AGAIN, Do, HAND_OVER, Listed, PATIENCE, Participant, Settings, TURN};
use crate::clock::Rates;
use crate::directory::Directory;
use crate::failure::{Detector, Evidence};
use crate::lease::Lease;
use crate::node::Seat;
use crate::propose::{Change, Newcomer};
use crate::takeover::Waits;
use crate::view::{Member, State, View};

impl Participant {
    /// What it would have changed in the view that it knows.
    pub(super) fn wants(&mut self, now: Duration) -> Vec<Change> {
        let Some((view, _)) = self.known.clone() else { return Vec::new() };
        let Some(listed) = &mut self.listed else {
            return self.wants_outside(&view, now).into_iter().collect();
        };
        let patience = patience(&self.settings, &view);
        let seat = listed.lease.seat();
        let mut wants = Vec::new();
        if listed.is_off {
            return vec![Change::Dead(seat)];
        }
        match view.state(seat) {
            Some(State::Joining) if self.leaving => wants.push(Change::Gone(seat)),
            Some(State::Joining) => {
                let silent: Vec<Seat> = view
                    .up()
                    .map(|member| member.seat())
                    .filter(|up| !listed.greeted.contains(up))
                    .collect();
                let since = listed.since.max(self.steady);
                let waited = now.saturating_sub(since) >= patience.saturating_mul(2);
                if silent.is_empty() {
                    wants.push(Change::Up(seat));
                } else if waited {
                    // Everything was restarted under new names: no member is left that could accuse another, or turn this one
                    // away.
                    wants.extend(view.hosts().map(Change::Dead));
                }
            }
            Some(State::Up) if self.leaving => wants.push(Change::Leave(seat)),
            Some(State::Up) => {
                let above = self.raise_above.filter(|above| view.stamp().generation <= *above);
                wants.extend(above.map(|above| Change::Raise { above }));
                // What only newer versions can do begins once all are.
                let least = view.members().iter().map(|member| member.level).min();
                let risen = least.filter(|least| *least > view.level());
                wants.extend(risen.map(Change::Level));
                let mut gone =
                    listed.would_go(&view, (self.settings.probe, patience), self.steady, now);
                // All want the same, and the first of them proposes; the next do where that comes to nothing.
                let dead = |up: &Seat| gone.get(up).is_some_and(|(_, change)| is_death(change));
                let before = view.up().map(|member| member.seat()).filter(|up| !dead(up));
                let before = before.take_while(|up| *up != seat).count();
                let turn = self.settings.probe.saturating_mul(TURN).saturating_mul(before as u32);
                gone.retain(|_, (since, _)| now.saturating_sub(*since) >= turn);
                wants.extend(gone.into_values().map(|(_, change)| change));
            }
            Some(State::Leaving) => {
                let late = self.drained_at.is_some_and(|at| now.saturating_sub(at) >= HAND_OVER);
                let is_drained = self.drained_at.is_some();
                if is_drained && (late || !listed.directory.has_to_give()) {
                    wants.push(Change::Gone(seat));
                }
            }
            Some(State::Dead { .. }) | None => {}
        }
        wants.extend(self.asked_for(&view, now));
        wants
    }

    /// What it would have changed while it has no seat.
    fn wants_outside(&self, view: &View, now: Duration) -> Option<Change> {
        let me = &self.settings.me;
        if self.leaving || now < self.outside_until {
            return None;
        }
        let Some(node) = view.node(me.id) else { return Some(Change::Join(me.clone(), None)) };
        match node.state {
            // It waits as whoever takes what was its, which may be nobody: all others may be gone.
            State::Dead { .. } => {
                let mut over = self.waits.droppable(now);
                over.find(|over| over.seat() == node.seat()).map(Change::Drop)
            }
            // An earlier run of this node.
            _ => {
                let waited = |since| now.saturating_sub(since) >= patience(&self.settings, view);
                self.ousted.is_some_and(waited).then(|| Change::Dead(node.seat()))
            }
        }
    }

    /// Takes its seat, if the view has one for it.
    pub(super) fn sit_down(&mut self, view: &Arc<View>, now: Duration, out: &mut Vec<Do>) {
        let Newcomer { id, incarnation, .. } = self.settings.me;
        self.waits.learn(view, now);
        let Some(lease) = Lease::new(view, id, incarnation) else {
            let lives = |node: &Member| !matches!(node.state, State::Dead { .. });
            match view.node(id).is_some_and(lives) {
                true => drop(self.ousted.get_or_insert(now)),
                false => self.ousted = None,
            }
            return self.note_gone(out);
        };
        (self.waits, self.ousted) = (Waits::default(), None);
        let (seat, slots, guards) = (lease.seat(), self.slots.clone(), self.guards);
        let (directory, commands) = Directory::guarded(view.clone(), seat, slots, now, guards);
        let mut detector = Detector::new(seat, self.settings.probe, now);
        detector.learn(view);
        let (rates, is_off) = (Rates::new(now), false);
        self.listed = Some(Listed {
            lease,
            directory,
            detector,
            rates,
            loads: BTreeMap::new(),
            is_off,
            evidence: Evidence::default(),
            greeted: BTreeSet::new(),
            greet_at: now,
            greet_pause: AGAIN,
            since: now,
            accused: BTreeSet::new(),
            alone: None,
            wanted: BTreeMap::new(),
            joiners: BTreeMap::new(),
            asked: BTreeMap::new(),
            early: Vec::new(),
            has_drained: false,
            has_settled: false,
            is_moving: false,
            held: 0,
            taking: BTreeMap::new(),
        });
        self.note_members(None, view, now);
        self.note_moves();
        self.carry_out(commands, now, out);
    }

    /// Takes note of whether slots are on their way here.
    pub(super) fn note_moves(&mut self) {
        let is_up = self.state() == Some(State::Up);
        if let Some(Listed { directory, is_moving, has_settled, held, .. }) = &mut self.listed {
            let mut dead = directory.waits().droppable(Duration::MAX);
            let is_settled = !directory.is_moving();
            *is_moving = dead.next().is_some() || !is_settled;
            *has_settled |= is_up && is_settled;
            *held = directory.held();
        }
    }

    /// Takes note of who has come, and whether a member has done anything.
    pub(super) fn note_members(&mut self, before: Option<&View>, view: &View, now: Duration) {
        let Some(listed) = &mut self.listed else { return };
        let joins = |member: &&Member| member.state == State::Joining;
        // That an entry is dropped may be the wish of whose it was.
        let hosts = |view: &View| -> Vec<(Seat, State)> {
            let hosts = view.members().iter().filter(|member| member.state.hosts());
            hosts.map(|member| (member.seat(), member.state)).collect()
        };
        if before.is_none_or(|before| hosts(before) != hosts(view)) {
            (listed.since, listed.alone) = (now, None);
            (listed.greet_at, listed.greet_pause) = (now, AGAIN);
        }
        let joiners = view.members().iter().filter(joins).map(|member| member.seat());
        let mut known = std::mem::take(&mut listed.joiners);
        let seat = listed.lease.seat();
        if before.and_then(|before| before.state(seat)) != Some(State::Up) {
            known.clear();
        }
        let since = |seat: Seat| (seat, known.get(&seat).copied().unwrap_or(now));
        listed.joiners = joiners.map(since).collect();
        listed.accused.retain(|seat| view.state(*seat).is_some_and(State::hosts));
        listed.greeted.retain(|seat| view.state(*seat).is_some());
    }

    /// It has left, if it wished to and has no seat.
    pub(super) fn note_gone(&mut self, out: &mut Vec<Do>) {
        if self.leaving && self.listed.is_none() && !self.has_left {
            self.has_left = true;
            out.push(Do::Left);
        }
    }

    /// It is no member any more: nothing that lives here may go on.
    pub(super) fn end_all(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.listed.take().is_some() {
            let pause = self.random().checked_rem(1000).unwrap_or(0);
            (self.hosts_until, self.drained_at) = (None, None);
            self.failures.clear();
            self.finding.forget_waiters();
            out.push(Do::EndAll);
            self.propose_after = now.saturating_add(Duration::from_millis(pause));
        }
        self.note_gone(out);
    }

    /// Says hello to all that are Up, while this one is Joining.
    pub(super) fn greet(&mut self, now: Duration, out: &mut Vec<Do>) {
        if self.state() != Some(State::Joining) {
            return;
        }
        let Some(view) = self.view().cloned() else { return };
        let most = AGAIN.max(self.settings.probe);
        let Some(listed) = &mut self.listed else { return };
        if now < listed.greet_at {
            return;
        }
        // Where everything was restarted, nobody answers, and there may be many.
        listed.greet_at = now.saturating_add(listed.greet_pause);
        listed.greet_pause = listed.greet_pause.saturating_mul(2).min(most);
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
        match listed.directory.lives().next() {
            None if self.passing_on > 0 => self.drained_at = None,
            None if self.drained_at.is_none() => {
                self.drained_at = Some(now);
                self.consider_at = Duration::ZERO;
            }
            None => {}
            Some(_) => self.drained_at = None,
        }
    }
}

/// How long one waits for what does not come.
pub(super) fn patience(settings: &Settings, view: &View) -> Duration {
    view.lease().max(settings.probe.saturating_mul(PATIENCE))
}

fn is_death(change: &Change) -> bool {
    matches!(change, Change::Dead(_))
}

impl Listed {
    /// Who would have to go, since when, and how.
    fn would_go(
        &mut self,
        view: &View,
        (probe, patience): (Duration, Duration),
        steady: Duration,
        now: Duration,
    ) -> BTreeMap<Seat, (Duration, Change)> {
        let me = self.lease.seat();
        // The others have to be given time to come back, where all were without the register.
        let is_steady = now.saturating_sub(steady) >= probe.saturating_mul(PATIENCE);
        let mut dead = self.evidence.verdict(view, probe.saturating_mul(4), now);
        dead.retain(|_| is_steady);
        // Nobody is left who could accuse another. Were it this node that is cut off, the others would have removed it by now.
        let mut others = view.hosts().filter(|seat| *seat != me).peekable();
        let is_alone = others.peek().is_some() && others.all(|seat| self.accused.contains(&seat));
        match is_alone && is_steady {
            true => drop(self.alone.get_or_insert(now)),
            false => self.alone = None,
        }
        if self.alone.is_some_and(|since| now.saturating_sub(since) >= patience) {
            dead = view.hosts().filter(|seat| *seat != me).collect();
        }
        let waited = |since: &Duration| now.saturating_sub(*since) >= patience;
        let joiners = self.joiners.iter().filter(|(_, since)| waited(since));
        let changes = dead.into_iter().map(|seat| (seat, Change::Dead(seat)));
        let changes = changes
            .chain(
                self.directory.waits().droppable(now).map(|over| (over.seat(), Change::Drop(over))),
            )
            .chain(joiners.map(|(seat, _)| (*seat, Change::Gone(*seat))));
        let known = std::mem::take(&mut self.wanted);
        let since = |seat: &Seat| known.get(seat).copied().unwrap_or(now);
        let wanted: BTreeMap<Seat, (Duration, Change)> =
            changes.map(|(seat, change)| (seat, (since(&seat), change))).collect();
        self.wanted = wanted.iter().map(|(seat, (since, _))| (*seat, *since)).collect();
        wanted
    }
}
