//! What participants say to each other: probes, accusations, words of directories.

use std::borrow::Cow;
use std::time::Duration;

use super::message::{Envelope, Message};
use super::{Do, EARLY, LONGEST, OUTSIDE, PROPOSERS, Participant};
use crate::clock::{Off, Reading};
use crate::directory::{Guard, Word};
use crate::failure;
use crate::node::Seat;
use crate::propose::{Change, Newcomer};
use crate::view::{Member, State, View};

impl Participant {
    /// Tells the others that this node has brought about a view over that one: also those that are gone by it, as this may be.
    pub(super) fn spread(&self, before: Option<&View>, view: &View, out: &mut Vec<Do>) {
        let before = before.unwrap_or(view);
        let (id, incarnation) = (self.settings.me.id, self.settings.me.incarnation);
        let mut me = [view, before].into_iter().filter_map(|view| view.node(id)).map(Member::seat);
        let Some(from) = me.find(|me| me.incarnation == incarnation) else { return };
        let is_gone = |member: &&Member| {
            !matches!(member.state, State::Dead { .. }) && view.state(member.seat()).is_none()
        };
        let gone = before.members().iter().filter(is_gone);
        for to in view.members().iter().chain(gone).filter(|to| to.seat() != from) {
            out.push(sent((from, to), view, Message::Changed));
        }
    }

    pub(super) fn say(&self, to: Seat, message: Message, out: &mut Vec<Do>) {
        if let Some(from) = self.seat() {
            self.say_as(from, to, message, out);
        }
    }

    pub(super) fn say_as(&self, from: Seat, to: Seat, message: Message, out: &mut Vec<Do>) {
        let Some(view) = self.view() else { return };
        let Some(member) = view.member(to) else { return };
        out.push(sent((from, member), view, message));
    }

    pub(super) fn say_word(&self, to: Seat, word: Word, out: &mut Vec<Do>) {
        for word in word.split(LONGEST) {
            self.say(to, Message::Word(word), out);
        }
    }

    pub(super) fn probe(&mut self, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &mut self.listed else { return };
        if now < listed.detector.deadline() {
            return;
        }
        let me = listed.lease.seat();
        for wanted in listed.detector.poll(now) {
            match wanted {
                failure::Do::Probe(to) => {
                    self.say(to, Message::Probe { back: None, asked: now }, out);
                }
                failure::Do::Through { via, to } => self.say(via, Message::ProbeFor { to }, out),
                failure::Do::Bad(seat) => {
                    if let Some(listed) = &mut self.listed {
                        listed.evidence.bad_link(me, seat, now);
                    }
                    self.say_to_proposers(&Message::Bad { link: seat }, seat, out);
                }
                failure::Do::Accuse(seat) => self.testify((me, seat), true, now, out),
                failure::Do::Withdraw(seat) => self.testify((me, seat), false, now, out),
            }
        }
    }

    /// Nothing listens any more where a member did: whoever is there is accused soon, if others say so too.
    pub fn refused(&mut self, host: &str, port: u16, now: Duration) {
        let Some(view) = self.view().cloned() else { return };
        let Some(listed) = &mut self.listed else { return };
        let at = view.members().iter().filter(|member| member.host == host && member.port == port);
        for member in at.filter(|member| member.state.hosts()) {
            if listed.detector.refused(member.seat(), now) {
                listed.evidence.refused(member.seat());
            }
        }
    }

    /// Looks whether the clock of this node runs as those of others do. If it does not, no lease by it is good: it has itself
    /// removed, and stays outside for a while.
    pub(super) fn measure(&mut self, now: Duration, out: &mut Vec<Do>) {
        let holds = self.guards.hold(Guard::Rates);
        let Some(listed) = self.listed.as_mut().filter(|_| holds) else { return };
        let Some(off) = listed.rates.poll(now).filter(|_| !listed.is_off) else { return };
        listed.is_off = true;
        self.outside_until = now.saturating_add(OUTSIDE);
        let way = if off == Off::Fast { "faster" } else { "slower" };
        let text = format!(
            "the clock of this node runs {way} than those of the others: it hosts nothing by it"
        );
        self.sound(text, out);
    }

    /// Tells who may propose that this node accuses another, or does so no longer.
    pub(super) fn testify(
        &mut self,
        (me, accused): (Seat, Seat),
        accuses: bool,
        now: Duration,
        out: &mut Vec<Do>,
    ) {
        let Some(view) = self.view().cloned() else { return };
        // Who is not let in yet may not reach anybody.
        if !view.state(me).is_some_and(State::hosts) {
            return;
        }
        let Some(listed) = &mut self.listed else { return };
        if accuses {
            listed.accused.insert(accused);
            listed.evidence.accuse(me, accused, now);
        } else {
            listed.accused.remove(&accused);
            listed.evidence.withdraw(me, accused);
        }
        self.say_to_proposers(&Message::Accuse { accused, accuses }, accused, out);
    }

    /// To the first that do not stand accused by this node: one of them proposes.
    fn say_to_proposers(&self, message: &Message, but: Seat, out: &mut Vec<Do>) {
        let (Some(view), Some(listed)) = (self.view(), &self.listed) else { return };
        let me = listed.lease.seat();
        let up = view.up().map(|member| member.seat());
        let up = up.filter(|up| ![me, but].contains(up) && !listed.accused.contains(up));
        for to in up.take(PROPOSERS) {
            self.say(to, message.clone(), out);
        }
    }

    /// Takes what another participant says. Whoever is not in the view that is known here is not listened to: one that has just
    /// come is in the next one, and says it again.
    pub fn heard(&mut self, envelope: Envelope, now: Duration) -> Vec<Do> {
        let Envelope { cluster, from, to, at, message } = envelope;
        let mut out = Vec::new();
        let Some(view) = self.view().cloned() else { return out };
        let Newcomer { id, incarnation, .. } = self.settings.me;
        let is_meant = match self.seat() {
            Some(seat) => seat == to,
            // It is in a view that it does not know yet.
            None => (id, incarnation) == (to.id, to.incarnation),
        };
        if !is_meant || from == to || view.cluster() != cluster {
            return out;
        }
        self.hear_of_view(from, at);
        if self.listed.is_none() {
            return out;
        }
        match view.state(from) {
            None => {
                if let Message::Join(new) = message {
                    self.hear_of_join(from, new, now);
                }
                return out;
            }
            Some(State::Dead { .. }) => {
                // It may not know that.
                self.say(from, Message::Changed, &mut out);
                return out;
            }
            Some(_) => {}
        }
        let is_listed = |seat| view.state(seat).is_some();
        let hosts = |seat| view.state(seat).is_some_and(State::hosts);
        if let Some(listed) = &mut self.listed {
            listed.evidence.heard(from, now);
            if hosts(from) {
                listed.since = now;
            }
        }
        match message {
            // Who has been without the register for long is of no use to anyone, and is to be removed as one that is gone.
            Message::Probe { .. } if self.is_lost(now) => {}
            Message::Probe { back, asked } => {
                let load = self.load;
                self.say(from, Message::Ack { back, asked, theirs: now, load }, &mut out);
            }
            Message::ProbeFor { to } => {
                let is_good = self.listed.as_ref().is_some_and(|l| l.detector.health().is_good());
                if is_good {
                    self.say(to, Message::Probe { back: Some(from), asked: now }, &mut out);
                }
            }
            Message::Ack { back: Some(asker), .. } if Some(asker) != self.seat() => {
                self.say(asker, Message::AckOf { whose: from }, &mut out);
            }
            Message::Ack { back, asked, theirs, load } => {
                if let Some(listed) = &mut self.listed
                    && back.is_none()
                {
                    listed.evidence.answered(from, now);
                    let reading = Reading { asked, answered: now, theirs };
                    listed.rates.answered(from, reading);
                    listed.loads.insert(from, (load, now));
                }
                self.answered(from, now, &mut out);
            }
            Message::AckOf { whose } => {
                let listed = self.listed.as_mut();
                let of = listed.and_then(|listed| listed.detector.answered_through(whose));
                self.withdraw(of, now, &mut out);
            }
            Message::Bad { link } => {
                if let Some(listed) = &mut self.listed
                    && hosts(from)
                    && hosts(link)
                {
                    listed.evidence.bad_link(from, link, now);
                }
            }
            Message::Accuse { accused, accuses } => {
                if let Some(listed) = &mut self.listed
                    && hosts(from)
                    && is_listed(accused)
                {
                    match accuses {
                        true => listed.evidence.accuse(from, accused, now),
                        false => listed.evidence.withdraw(from, accused),
                    }
                }
            }
            // Who is greeted answers only whom it can reach itself: over its own link.
            Message::Greet => self.say(from, Message::Greeted, &mut out),
            Message::Greeted => {
                if let Some(listed) = &mut self.listed {
                    listed.greeted.insert(from);
                    self.consider_at = Duration::ZERO;
                }
            }
            Message::Ready => self.hear_of_change(from, Change::Up(from), now),
            Message::Leave => self.hear_of_change(from, Change::Leave(from), now),
            Message::Over => self.hear_of_change(from, Change::Gone(from), now),
            // By which view it speaks is taken note of already.
            Message::Changed | Message::Join(_) => {}
            Message::Word(word) => self.hear_word(from, word, now, &mut out),
            Message::Find { .. } | Message::Found { .. } | Message::Failed { .. } => {
                self.hear_of_search(from, message, now, &mut out);
            }
        }
        self.note_place(now, &mut out);
        out
    }

    pub(super) fn answered(&mut self, seat: Seat, now: Duration, out: &mut Vec<Do>) {
        let of = self.listed.as_mut().and_then(|listed| listed.detector.answered(seat));
        self.withdraw(of, now, out);
    }

    fn withdraw(&mut self, of: Option<failure::Do>, now: Duration, out: &mut Vec<Do>) {
        if let (Some(failure::Do::Withdraw(seat)), Some(me)) = (of, self.seat()) {
            self.testify((me, seat), false, now, out);
        }
    }

    pub(super) fn hear_word(&mut self, from: Seat, word: Word, now: Duration, out: &mut Vec<Do>) {
        let Some(listed) = &mut self.listed else { return };
        let grain = match &word {
            Word::Lives(living) => Some((living.grain.clone(), living.epoch, true)),
            Word::Ended { grain, epoch } => Some((grain.clone(), *epoch, false)),
            _ => None,
        };
        let comes = matches!(word, Word::Given { .. } | Word::Report { .. });
        let goes = matches!(word, Word::Pull { .. } | Word::Ask { .. });
        let lease = match &word {
            Word::Activate { grain, .. } => self.settings.lease_for(grain, &listed.lease, now),
            _ => Cow::Borrowed(&listed.lease),
        };
        match listed.directory.handle(from, word.clone(), &lease, now) {
            Ok(commands) => self.carry_out(commands, now, out),
            Err(behind) => {
                if listed.early.len() < EARLY {
                    listed.early.push((from, word));
                }
                return self.hear_of_view(from, behind.0);
            }
        }
        if let Some((grain, epoch, lives)) = grain {
            self.hear_of_life(from, (&grain, epoch, lives), now, out);
        }
        if comes || goes {
            self.note_moves();
        }
        if comes {
            self.finding.walk_at = now;
        }
    }

    /// Takes the words again that spoke of a view which was not known then.
    pub(super) fn hear_early(&mut self, now: Duration, out: &mut Vec<Do>) {
        let early = self.listed.as_mut().map(|listed| std::mem::take(&mut listed.early));
        for (from, word) in early.unwrap_or_default() {
            self.hear_word(from, word, now, out);
        }
    }
}

fn sent((from, to): (Seat, &Member), view: &View, message: Message) -> Do {
    let (at, listens) = (view.stamp(), (to.host.clone(), to.port));
    let envelope = Envelope { cluster: view.cluster(), from, to: to.seat(), at, message };
    Do::Send { to: listens, envelope: Box::new(envelope) }
}
