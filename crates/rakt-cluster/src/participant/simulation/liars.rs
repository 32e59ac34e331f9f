//! Somebody who is no member, and says all that members say.

use std::time::Duration;

use super::state::{Event, World};
use crate::directory::{Entry, Living, Word};
use crate::epoch::{Epoch, Stamp};
use crate::node::{Incarnation, NodeId, Seat};
use crate::participant::{Answer, Envelope, Message, Wish};
use crate::view::View;

/// So much is said at once.
const MUCH: usize = 60;

impl World {
    /// A liar says all sorts of things to a node: by the view that this knows as one that is in none, and in the name of others
    /// by views that never were.
    pub(super) fn lie(&mut self, at: usize) {
        let participant = &self.nodes[at].participant;
        let (Some(view), Some(to)) = (participant.view().cloned(), participant.seat()) else {
            return;
        };
        self.note(|| format!("somebody lies to {at}"));
        let port = self.nodes[at].port;
        for _ in 0..MUCH {
            let (from, stamp) = self.pretend(&view);
            let message = self.lie_of(&view, from, to, stamp);
            let envelope = Envelope { cluster: view.cluster(), from, to, at: stamp, message };
            let after = self.random.millis((0, 3000));
            self.plan(self.now + after, Event::Heard(port, envelope.encode()));
        }
    }

    fn pretend(&mut self, view: &View) -> (Seat, Stamp) {
        let seats: Vec<Seat> = view.members().iter().map(|member| member.seat()).collect();
        let Stamp { generation, version } = view.stamp();
        if let Some(from) = self.random.pick(&seats).filter(|_| self.random.chance(500)) {
            let far = [(0, 1_000_000), (1, 1_000_000), (1 << 40, 0)];
            let (more, later) = self.random.pick(&far).expect("there are some");
            return (from, Stamp { generation: generation + more, version: version + later });
        }
        let from = Seat {
            id: NodeId(u128::from(self.random.next())),
            incarnation: Incarnation(u128::from(self.random.next())),
            joined: version.saturating_sub(self.random.below(3)) + 1,
        };
        (from, Stamp { generation, version: version + self.random.below(2) })
    }

    fn lie_of(&mut self, view: &View, from: Seat, to: Seat, at: Stamp) -> Message {
        let which = self.random.below(self.grains.len() as u64) as usize;
        let grain = self.grains[which].clone();
        let counters = [1, 1000, u64::MAX - 1, u64::MAX];
        let epoch = Epoch { stamp: at, counter: self.random.pick(&counters).expect("some") };
        let living = Living { grain: grain.clone(), epoch, uid: Some(1) };
        let entry = Entry { host: to, epoch, uid: Some(1) };
        let slots = self.slots.to_vec();
        let ticket = self.tickets.saturating_sub(self.random.below(5));
        let members: Vec<Seat> = view.members().iter().map(|member| member.seat()).collect();
        let other = self.random.pick(&members).unwrap_or(from);
        let wish = Wish { refused: None, wakes: true };
        match self.random.below(18) {
            0 => Message::Word(Word::Activate { grain, epoch, host: to }),
            1 | 2 => Message::Word(Word::Question { grain, epoch, at: view.stamp() }),
            3 => Message::Word(Word::Lives(living)),
            4 => Message::Word(Word::Ended { grain, epoch }),
            5 => Message::Word(Word::Pull { at, slots }),
            6 => Message::Word(Word::Ask { at, slots }),
            7 => {
                let report = slots.iter().map(|slot| (*slot, vec![living.clone()]));
                Message::Word(Word::Report { at, slots: report.collect() })
            }
            8 => {
                let given = slots.iter().map(|slot| (*slot, Some([(grain.clone(), entry)].into())));
                Message::Word(Word::Given { at, slots: given.collect() })
            }
            9 => Message::Word(Word::Newer { at }),
            10 => Message::Find { ticket, grain, wish },
            // Where the slot is another's, that is asked again; the owner is believed.
            11 if view.state(from).is_none() => {
                Message::Found { ticket, grain, answer: Answer::Route(entry) }
            }
            12 => Message::Failed { grain, epoch, why: "a lie".into() },
            13 => Message::Ack { back: None, asked: self.now, theirs: self.now, load: u64::MAX },
            14 if view.state(from).is_none() => Message::Accuse { accused: other, accuses: true },
            15 if view.state(from).is_none() => Message::Greeted,
            16 => Message::Probe { back: Some(other), asked: Duration::ZERO },
            _ => Message::Changed,
        }
    }
}
