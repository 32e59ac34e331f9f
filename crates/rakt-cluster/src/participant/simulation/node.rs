//! A node: what lies between a participant and the world, and those on it that look for grains.

use std::time::Duration;

use super::register::{Answered, Asked};
use super::state::{Event, Life, Said, Use, World};
use crate::directory::Grain;
use crate::epoch::Epoch;
use crate::participant::{Do, Envelope, Found, Message, Participant, Refused};

/// Who waits for an answer to what it sent to a grain gives up after this, and looks again.
const ANSWER: Duration = Duration::from_millis(700);

impl World {
    /// Tells a participant something, and does what it wants done.
    pub(super) fn tell(
        &mut self,
        at: usize,
        what: impl FnOnce(&mut Participant, Duration) -> Vec<Do>,
    ) {
        let node = &mut self.nodes[at];
        if !node.runs {
            return;
        }
        let now = node.clock.at(self.now);
        let mut wanted = what(&mut node.participant, now);
        if node.is_eager {
            node.polls += 1;
            wanted.extend(node.participant.poll(now));
        }
        for one in wanted {
            self.carry_out(at, one);
        }
        self.check_seat(at);
        self.set_timer(at);
    }

    pub(super) fn poll(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.runs {
            node.polls += 1;
            let wanted = node.participant.poll(node.clock.at(self.now));
            for one in wanted {
                self.carry_out(at, one);
            }
            self.check_seat(at);
            self.set_timer(at);
        }
    }

    fn set_timer(&mut self, at: usize) {
        let late = self.random.millis((0, 2));
        let node = &mut self.nodes[at];
        let due = node.clock.when(node.participant.deadline(node.clock.at(self.now)));
        node.timer += 1;
        let (timer, least) = (node.timer, self.now + Duration::from_millis(1));
        self.plan(due.max(least).saturating_add(late), Event::Poll(at, timer));
    }

    pub(super) fn is_timer(&self, at: usize, timer: u64) -> bool {
        self.nodes[at].timer == timer
    }

    fn carry_out(&mut self, at: usize, wanted: Do) {
        if !self.nodes[at].runs {
            return;
        }
        match wanted {
            Do::Read => self.ask(at, Asked::Read),
            Do::Confirm(version) => self.ask(at, Asked::Confirm(version)),
            Do::Swap(attempt) => self.ask(at, Asked::Swap(attempt)),
            Do::Send { to, envelope } => self.send(at, to.1, &envelope),
            Do::Host(until) => {
                let now = self.now;
                let node = &mut self.nodes[at];
                let is_back = !node.hosts(now, Duration::ZERO);
                node.hosts_until = node.hosts_until.max(Some(until));
                let left = until.saturating_sub(node.clock.at(now));
                if left > self.lease {
                    self.broken(|| format!("node {at} may host for {left:?}"));
                }
                self.check_alone(at);
                if is_back && self.is_available {
                    self.end_strays(at);
                }
            }
            Do::Start { grain, epoch } => self.begin(at, grain, epoch),
            Do::EndAll => {
                self.note(|| format!("{at} ends all"));
                let is_available = self.is_available;
                let node = &mut self.nodes[at];
                node.lives.retain(|_, _| is_available);
                (node.hosts_until, node.drains) = (None, false);
            }
            Do::InPlace(_) | Do::Raised { .. } => {}
            Do::TookOver { node, slots, grains } => {
                self.note(|| format!("{at} has {slots} slots and {grains} grains of {node:?}"));
                self.checks.taken.push((at, node.1, slots, grains));
            }
            Do::Duplicate { grain, granted, living } => {
                let text = || format!("{grain:?} was granted as {granted} to {at} and is {living}");
                self.broken(text);
            }
            Do::Drain => self.drain(at),
            Do::Found { ticket, found } => self.found(at, ticket, found),
            Do::View(view) => {
                self.note(|| format!("{at} knows {view:?}"));
                self.check_view(at, &view);
            }
            Do::Alarm(_) if self.nodes[at].clock.rate.abs_diff(1_000_000) > 50_000 => {
                self.note(|| format!("{at} has found out that its clock runs wrong"));
            }
            Do::Alarm(what) if what.contains("newer version of rakt") => {
                self.note(|| format!("{at} is too old"));
                self.checks.too_old.insert(at);
            }
            Do::Alarm(what) => {
                self.note(|| format!("{at} alarms: {what}"));
                // But for clocks and liars nothing is wrong in this world.
                if !what.contains("clock") && !what.contains("is not believed") {
                    self.broken(|| format!("{at} alarms, and nothing is wrong: {what}"));
                }
            }
            Do::Left => {
                self.note(|| format!("{at} has left"));
                if !self.nodes[at].lives.is_empty() && !self.is_available {
                    self.broken(|| format!("node {at} has left, and hosts"));
                }
                if !self.nodes[at].leaves {
                    self.broken(|| format!("node {at} has left, and nobody wished that"));
                }
                self.nodes[at].runs = false;
            }
        }
    }

    fn ask(&mut self, at: usize, asked: Asked) {
        if self.nodes[at].operation.is_some() {
            self.broken(|| format!("node {at} asks the register twice at once"));
        }
        self.note(|| match &asked {
            Asked::Swap(attempt) => format!("{at} swaps over {:?}", attempt.over),
            other => format!("{at} asks {other:?}"),
        });
        let port = self.nodes[at].port;
        let number = self.register.begin(at, asked);
        self.nodes[at].operation = Some(number);
        if let Some(after) = self.network.reach_register(port, &mut self.random) {
            let late = if self.random.chance(self.network.register_loss / 3) { 10 } else { 1 };
            self.plan(self.now + after * late, Event::AtRegister(number));
        }
        let limit = Duration::from_secs(2).min(self.lease / 4);
        self.plan(self.now + limit, Event::Answered(at, number, false));
    }

    pub(super) fn at_register(&mut self, number: u64) {
        if self.register.apply(number) {
            self.check_register();
        }
        let Some(operation) = self.register.open.get(&number) else { return };
        let at = operation.node;
        let port = self.nodes[at].port;
        if let Some(after) = self.network.reach_register(port, &mut self.random) {
            self.plan(self.now + after, Event::Answered(at, number, true));
        }
    }

    pub(super) fn answered(&mut self, at: usize, number: u64, in_time: bool) {
        if self.nodes[at].operation != Some(number) || !self.nodes[at].runs {
            return;
        }
        self.nodes[at].operation = None;
        let Some(operation) = self.register.open.get(&number) else { return };
        let unknown = operation.asked.unknown();
        let answer = operation.answer.clone().filter(|_| in_time).unwrap_or(unknown);
        self.note(|| match &answer {
            Answered::Read(read) => format!("{at} has read {:?}", read.as_ref().map(|r| r.0)),
            other => format!("{at} hears {other:?}"),
        });
        self.tell(at, |participant, now| match answer {
            Answered::Read(read) => participant.read(read, now),
            Answered::Confirm(confirmed) => participant.confirmed(confirmed, now),
            Answered::Swap(swapped) => participant.swapped(swapped, now),
        });
    }

    fn send(&mut self, at: usize, port: u16, envelope: &Envelope) {
        let bytes = envelope.encode();
        match Envelope::decode(&bytes) {
            Ok(read) if read == *envelope => {}
            read => self.broken(|| format!("{envelope:?} is read as {read:?}")),
        }
        let from = self.nodes[at].port;
        let mut times = self.network.carry(from, port, &mut self.random);
        let asks = |message: &Message| {
            use Message::{Join, Leave, Over, Ready};
            matches!(message, Join(_) | Ready | Leave | Over)
        };
        if !self.asks_are_heard && asks(&envelope.message) {
            times.clear();
        }
        self.note(|| format!("{at} > {port}: {:?}{}", envelope.message, lost(&times)));
        for after in times {
            self.plan(self.now + after, Event::Heard(port, bytes.clone()));
        }
    }

    pub(super) fn heard(&mut self, at: usize, bytes: &[u8]) {
        match Envelope::decode(bytes) {
            Ok(envelope) => self.tell(at, |participant, now| participant.heard(envelope, now)),
            Err(error) => self.broken(|| format!("a message cannot be read: {error}")),
        }
    }

    fn begin(&mut self, at: usize, grain: Grain, epoch: Epoch) {
        self.note(|| format!("{at} begins {grain:?} under {epoch}"));
        self.check_epoch(at, &grain, epoch);
        self.nodes[at].lives.insert((grain.clone(), epoch), Life::Begins);
        self.check_alone(at);
        // Who may begin one by itself does not wait for that.
        let slow = self.random.chance(50) && !self.is_available;
        let after = self.random.millis(if slow { (500, 4000) } else { (0, 200) });
        self.plan(self.now + after, Event::Begun(at, grain, epoch));
    }

    pub(super) fn begun(&mut self, at: usize, grain: Grain, epoch: Epoch) {
        let fails = self.random.chance(self.failing);
        let node = &mut self.nodes[at];
        let Some(life) = node.lives.get_mut(&(grain.clone(), epoch)) else { return };
        if fails {
            node.lives.remove(&(grain.clone(), epoch));
            self.note(|| format!("{at}: {grain:?} fails under {epoch}"));
            return self.tell(at, |participant, now| {
                participant.failed(&grain, epoch, "as planned".to_owned());
                participant.finished(&grain, epoch, now)
            });
        }
        node.uids += 1;
        let uid = node.uids;
        *life = Life::Lives(uid);
        let (incarnation, drains) = (node.incarnation, node.drains);
        self.checks.lives.insert((incarnation, uid), grain.clone());
        self.note(|| format!("{at}: {grain:?} lives under {epoch} as {uid}"));
        let known = grain.clone();
        self.tell(at, |participant, now| participant.started(&known, epoch, uid, now));
        let after = match (drains, self.random.chance(self.fleeting)) {
            (true, _) => Duration::ZERO,
            (_, true) => self.random.millis((1, 2000)),
            _ => self.random.millis(self.lasts),
        };
        self.plan(self.now + after, Event::Ends(at, grain, epoch));
    }

    pub(super) fn ends(&mut self, at: usize, grain: Grain, epoch: Epoch) {
        let Some(life) = self.nodes[at].lives.get_mut(&(grain.clone(), epoch)) else { return };
        if matches!(life, Life::Lives(_)) {
            *life = Life::Ends;
            let after = self.random.millis((0, 600));
            self.plan(self.now + after, Event::Ended(at, grain, epoch));
        }
    }

    pub(super) fn ended(&mut self, at: usize, grain: &Grain, epoch: Epoch) {
        if self.nodes[at].lives.remove(&(grain.clone(), epoch)).is_some() {
            self.note(|| format!("{at}: {grain:?} is over under {epoch}"));
            self.tell(at, |participant, now| participant.finished(grain, epoch, now));
        }
    }

    fn drain(&mut self, at: usize) {
        self.nodes[at].drains = true;
        let lives: Vec<_> = self.nodes[at].lives.keys().cloned().collect();
        for (grain, epoch) in lives {
            let after = self.random.millis((0, 300));
            self.plan(self.now + after, Event::Ends(at, grain, epoch));
        }
    }

    /// Somebody on this node wants to use a grain; `must` it be, it is tried until it is.
    pub(super) fn wish(&mut self, at: usize, grain: Grain, must: bool) {
        self.tickets += 1;
        let (since, number) = (self.now, self.tickets);
        self.nodes[at].wishes.insert(number, since);
        self.look(at, Use { grain, since, tries: 5, number, must, spoke_to: None }, None);
    }

    fn look(&mut self, at: usize, mut one: Use, refused: Option<Refused>) {
        if !one.must && one.tries == 0 {
            self.nodes[at].wishes.remove(&one.number);
            return;
        }
        one.tries = one.tries.saturating_sub(1);
        one.spoke_to = None;
        self.tickets += 1;
        let (ticket, grain) = (self.tickets, one.grain.clone());
        self.note(|| format!("{at} looks for {grain:?} as {ticket}, {refused:?}"));
        let one_must = one.must;
        self.nodes[at].uses.insert(ticket, one);
        // Some only want to know where it lives.
        if !one_must && refused.is_none() && self.random.chance(50) {
            return self.tell(at, |participant, now| participant.look_for(ticket, grain, now));
        }
        self.tell(at, |participant, now| participant.find(ticket, grain, refused, now));
    }

    fn found(&mut self, at: usize, ticket: u64, found: Found) {
        self.note(|| format!("{at} finds {ticket}: {found:?}"));
        if !self.checks.ended.insert(ticket) {
            self.broken(|| format!("search {ticket} ends twice"));
        }
        let Some(one) = self.nodes[at].uses.remove(&ticket) else {
            return self.broken(|| format!("search {ticket} is not known"));
        };
        match found {
            Found::Here { epoch } => {
                let (node, now) = (&self.nodes[at], self.now);
                let life = node.lives.get(&(one.grain.clone(), epoch));
                let runs = self.is_available || node.hosts(now, Duration::ZERO);
                if matches!(life, Some(Life::Lives(_))) && runs {
                    self.used(at, &one);
                } else {
                    self.look_later(at, one, None);
                }
            }
            Found::There { host, incarnation, uid, .. } => {
                if self.checks.lives.get(&(incarnation, uid)) != Some(&one.grain) {
                    self.broken(|| {
                        format!("{:?} was never there: {incarnation:?} {uid}", one.grain)
                    });
                }
                let grain = one.grain.clone();
                let one = Use { spoke_to: Some((incarnation, uid)), ..one };
                self.nodes[at].uses.insert(ticket, one);
                self.say(at, host.1, Said::Do { grain, incarnation, uid, by: at, ticket });
                self.plan(self.now + ANSWER, Event::Unanswered(at, ticket));
            }
            Found::Alone => {
                self.begin_alone(at, &one.grain);
                self.used(at, &one);
            }
            _ => self.look_later(at, one, None),
        }
    }

    fn used(&mut self, at: usize, one: &Use) {
        self.nodes[at].wishes.remove(&one.number);
        self.used += 1;
        let took = self.now - one.since;
        self.slowest = self.slowest.max(took);
    }

    /// As callers do that want to succeed: after a pause.
    fn look_later(&mut self, at: usize, one: Use, refused: Option<Refused>) {
        let after = self.random.millis((5, 100));
        self.plan(self.now + after, Event::Look(at, Box::new((one, refused))));
    }

    pub(super) fn look_again(&mut self, at: usize, one: Use, refused: Option<Refused>) {
        if self.nodes[at].runs {
            self.look(at, one, refused);
        }
    }

    fn say(&mut self, at: usize, port: u16, said: Said) {
        let from = self.nodes[at].port;
        let times = self.network.carry(from, port, &mut self.random);
        self.note(|| format!("{at} > {port}: {said:?}{}", lost(&times)));
        for after in times {
            self.plan(self.now + after, Event::Spoken(port, at, said.clone()));
        }
    }

    pub(super) fn spoken(&mut self, at: usize, from: usize, said: Said) {
        match said {
            Said::Do { grain, incarnation, uid, by, ticket } => {
                let node = &self.nodes[at];
                let mut lives = node.lives.iter().filter(|((other, _), _)| *other == grain);
                let lives = lives.any(|(_, life)| *life == Life::Lives(uid));
                let here = node.incarnation == incarnation;
                let runs = self.is_available || node.hosts(self.now, Duration::ZERO);
                let answer = match (here && lives, runs) {
                    (true, true) => Said::Done { ticket },
                    (true, false) => Said::Refused { ticket, ended: false },
                    (false, _) => Said::Refused { ticket, ended: true },
                };
                debug_assert_eq!(by, from);
                let port = self.nodes[from].port;
                self.say(at, port, answer);
            }
            Said::Done { ticket } => {
                if let Some(one) = self.nodes[at].uses.remove(&ticket) {
                    self.used(at, &one);
                }
            }
            Said::Refused { ticket, ended } => self.refused(at, ticket, ended),
        }
    }

    /// What was found did not take what was sent to it.
    pub(super) fn refused(&mut self, at: usize, ticket: u64, ended: bool) {
        let known = self.nodes[at].uses.get(&ticket).and_then(|one| one.spoke_to);
        if let Some((incarnation, uid)) = known
            && let Some(one) = self.nodes[at].uses.remove(&ticket)
        {
            self.look_later(at, one, Some(Refused { incarnation, uid, ended }));
        }
    }
}

fn lost(times: &[Duration]) -> &'static str {
    match times {
        [] => " (lost)",
        [_] => "",
        _ => " (twice)",
    }
}
