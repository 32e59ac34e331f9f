//! What participants say to each other: probes, accusations, views, words of directories.

use std::sync::Arc;
use std::time::Duration;

use super::message::{Envelope, Message};
use super::{CATCH_UP, Do, EARLY, LONGEST, OUTSIDE, PROPOSERS, Participant};
use crate::clock::{Off, Reading};
use crate::directory::{Guard, Word};
use crate::failure;
use crate::node::Seat;
use crate::register::Version;
use crate::view::{State, View};

impl Participant {
    /// Tells the others of a view that this node has brought about.
    pub(super) fn spread(&mut self, view: &Arc<View>, version: Version, out: &mut Vec<Do>) {
        let Some(me) = self.seat() else { return };
        let bytes = Arc::<[u8]>::from(view.encode());
        let others = view.members().iter().map(|member| member.seat());
        let others: Vec<Seat> = others.filter(|to| *to != me).collect();
        for to in others {
            self.say(to, Message::View { version, bytes: bytes.clone() }, out);
        }
    }

    pub(super) fn say(&self, to: Seat, message: Message, out: &mut Vec<Do>) {
        let (Some(view), Some(from)) = (self.view(), self.seat()) else { return };
        let Some(member) = view.member(to) else { return };
        let at = (member.host.clone(), member.port);
        let (cluster, stamp) = (view.cluster(), view.stamp());
        let envelope = Box::new(Envelope { cluster, from, to, at: stamp, message });
        out.push(Do::Send { to: at, envelope });
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

    /// Takes what another participant says.
    pub fn heard(&mut self, envelope: Envelope, now: Duration) -> Vec<Do> {
        let Envelope { cluster, from, to, at, message } = envelope;
        let mut out = Vec::new();
        let Some((view, _)) = self.known.clone() else { return out };
        if self.seat() != Some(to) || view.cluster() != cluster {
            return out;
        }
        if at > view.stamp() && !matches!(message, Message::View { .. }) {
            self.catch_up(from, now, &mut out);
        }
        let is_over = match view.state(from) {
            Some(State::Dead { .. }) => true,
            Some(_) => false,
            None => from.joined <= view.stamp().version,
        };
        if is_over && !matches!(message, Message::View { .. }) {
            // It may not know that.
            self.show(from, &mut out);
            return out;
        }
        // What strangers say takes up no room.
        let is_listed = |seat| view.state(seat).is_some();
        let hosts = |seat| view.state(seat).is_some_and(State::hosts);
        if let Some(listed) = &mut self.listed
            && is_listed(from)
        {
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
                    if is_listed(from) {
                        listed.evidence.answered(from, now);
                    }
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
                if let Some(listed) = &mut self.listed
                    && is_listed(from)
                {
                    listed.greeted.insert(from);
                    self.consider_at = Duration::ZERO;
                }
            }
            Message::Want => self.show(from, &mut out),
            Message::View { version, bytes } => match View::decode(&bytes) {
                Ok(view) => {
                    if self.known.as_ref().is_none_or(|(known, _)| known.stamp() < view.stamp()) {
                        self.take(Arc::new(view), Some(version), now, &mut out);
                    }
                }
                Err(error) => self.sound(format!("{from} has sent no view: {error}"), &mut out),
            },
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
        match listed.directory.handle(from, word.clone(), &listed.lease, now) {
            Ok(commands) => self.carry_out(commands, now, out),
            Err(_) => {
                if listed.early.len() < EARLY {
                    listed.early.push((from, word));
                }
                return self.catch_up(from, now, out);
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

    /// Asks for a newer view, of whom seems to know one.
    pub(super) fn catch_up(&mut self, from: Seat, now: Duration, out: &mut Vec<Do>) {
        if self.asked_for_view.is_some_and(|at| now.saturating_sub(at) < CATCH_UP) {
            return;
        }
        self.asked_for_view = Some(now);
        // One that has just come is in no view that is known here: then the register has to tell.
        match self.view().is_some_and(|view| view.member(from).is_some()) {
            true => self.say(from, Message::Want, out),
            false => self.hint(now),
        }
    }

    /// Tells of the newest view.
    pub(super) fn show(&self, to: Seat, out: &mut Vec<Do>) {
        let Some((view, Some(version))) = &self.known else { return };
        self.say(to, Message::View { version: *version, bytes: view.encode().into() }, out);
    }
}
