//! How a world comes to be, and what happens in it, in order of time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::network::Network;
use super::random::{Clock, Random};
use super::register::Register;
use super::state::{Checks, Event, Node, World};
use crate::directory::{Grain, Guard, Guards};
use crate::node::{Incarnation, NodeId};
use crate::participant::{Participant, Placing, Settings};
use crate::placement::Placement;
use crate::propose::Newcomer;
use crate::slots::{Slot, SlotRule};

/// So many lines of a trace are kept.
const LINES: usize = 20_000;

impl World {
    /// An empty world.
    pub(super) fn new(seed: u64) -> Self {
        let kinds = ["cart", "near", "any", "round"];
        let grain = |at: usize| Grain::new(kinds[at % kinds.len()], &format!("g{at}"));
        let grains: Vec<Grain> = (0..12).map(grain).collect();
        let mut slots: Vec<Slot> = grains.iter().map(|grain| grain.slot(SlotRule::One)).collect();
        slots.sort_unstable();
        slots.dedup();
        Self {
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            planned: 0,
            random: Random(seed),
            network: Network::new(),
            register: Register::default(),
            nodes: Vec::new(),
            at_port: BTreeMap::new(),
            checks: Checks::default(),
            tickets: 0,
            ports: 0,
            grains,
            slots: slots.into(),
            lease: Duration::from_secs(8),
            lasts: (500, 20_000),
            fleeting: 300,
            failing: 50,
            wishes: Some((50, 1500)),
            guards: Guards::default(),
            overstays: Duration::ZERO,
            off: 20_000,
            asks_are_heard: true,
            level: 1,
            is_available: false,
            used: 0,
            slowest: Duration::ZERO,
            trace: None,
        }
    }

    /// With a rule taken out.
    pub(super) fn without(mut self, without: &'static [Guard]) -> Self {
        self.guards = Guards { without };
        self
    }

    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace
            && self.checks.broken.is_none()
        {
            if trace.len() >= LINES {
                trace.drain(..LINES / 2);
            }
            trace.push(format!("{:10.4} {}", self.now.as_secs_f64(), line()));
        }
    }

    pub(super) fn plan(&mut self, at: Duration, event: Event) {
        self.planned += 1;
        self.queue.insert((at, self.planned), event);
    }

    /// A node starts at this port, as nobody that ever was.
    pub(super) fn start(&mut self, port: u16) -> usize {
        let off = u64::from(self.off);
        let rate = 1_000_000 - self.off + self.random.below(2 * off + 1) as u32;
        self.start_with(port, rate)
    }

    /// One whose clock counts so many millionths of a second in a second.
    pub(super) fn start_with(&mut self, port: u16, rate: u32) -> usize {
        let at = self.nodes.len();
        let origin = self.random.millis((0, 1_000_000));
        let wide =
            |random: &mut Random| u128::from(random.next()) << 64 | u128::from(random.next());
        let me = Newcomer {
            id: NodeId(wide(&mut self.random)),
            incarnation: Incarnation(wide(&mut self.random)),
            host: "h".into(),
            port,
            roles: Default::default(),
            zone: String::new(),
            weight: 100,
            level: self.level,
        };
        let is_available = self.is_available;
        let placing = |placement| Placing { placement, role: None, is_available };
        let cart = is_available.then_some(("cart", Placement::Owner));
        let kinds = [
            ("near", Placement::Local),
            ("any", Placement::Random),
            ("round", Placement::RoundRobin),
        ];
        let settings = Settings {
            me,
            probe: Duration::from_secs(1),
            lease: self.lease,
            cluster: wide(&mut self.random),
            seconds: 1000,
            kinds: kinds
                .into_iter()
                .chain(cart)
                .map(|(kind, how)| (kind.into(), placing(how)))
                .collect(),
            seed: self.random.next(),
        };
        let participant = Participant::guarded(settings, self.guards, self.slots.clone());
        let (clock, is_eager) = (Clock { origin, rate }, self.random.chance(500));
        self.nodes.push(Node::new(participant, port, clock, is_eager));
        self.at_port.entry(port).or_default().push(at);
        self.note(|| format!("{at} starts at {port}, at a rate of {rate}"));
        self.poll(at);
        if let Some(wishes) = self.wishes {
            let after = self.random.millis(wishes);
            self.plan(self.now + after, Event::Wish(at));
        }
        at
    }

    /// Those that run, paused or not.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|at| self.nodes[*at].runs)
    }

    /// A port at which nobody ever listened.
    pub(super) fn port(&mut self) -> u16 {
        self.ports += 1;
        self.ports
    }

    pub(super) fn listens(&self, port: u16) -> Option<usize> {
        self.at_port.get(&port)?.iter().copied().find(|at| self.nodes[*at].runs)
    }

    /// As `kill -9`.
    pub(super) fn kill(&mut self, at: usize) {
        self.note(|| format!("{at} is killed"));
        self.nodes[at].runs = false;
        self.nodes[at].uses.clear();
        self.nodes[at].wishes.clear();
    }

    pub(super) fn pause(&mut self, at: usize, lasts: Duration) {
        self.note(|| format!("{at} is paused for {lasts:?}"));
        let node = &mut self.nodes[at];
        node.paused_until = node.paused_until.max(self.now + lasts);
    }

    pub(super) fn leave(&mut self, at: usize) {
        self.note(|| format!("{at} is to leave"));
        self.nodes[at].leaves = true;
        self.tell(at, |participant, now| {
            participant.leave();
            participant.poll(now)
        });
    }

    /// Goes on for so long, or until something does not hold.
    pub(super) fn run(&mut self, lasts: Duration) {
        self.run_until(lasts, |_| false);
    }

    /// Goes on until that is so, for so long at most. Says whether it is.
    pub(super) fn run_until(&mut self, most: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + most;
        while self.checks.broken.is_none() {
            if done(self) {
                return true;
            }
            match self.queue.first_key_value() {
                Some(((at, _), _)) if *at <= end => {}
                _ => break,
            }
            let Some(((at, _), event)) = self.queue.pop_first() else { break };
            self.now = self.now.max(at);
            self.happens(event);
        }
        self.now = self.now.max(end);
        false
    }

    /// Whose matter it is.
    pub(super) fn whose(&self, event: &Event) -> Option<usize> {
        match event {
            Event::Poll(at, _)
            | Event::Answered(at, ..)
            | Event::Begun(at, ..)
            | Event::Ends(at, ..)
            | Event::Ended(at, ..)
            | Event::Wish(at)
            | Event::Look(at, _)
            | Event::Unanswered(at, _) => Some(*at),
            Event::Heard(port, _) | Event::Spoken(port, ..) => self.listens(*port),
            Event::AtRegister(_) | Event::Fault(_) | Event::Resume(_) => None,
        }
    }

    pub(super) fn happens(&mut self, event: Event) {
        let whose = self.whose(&event);
        if let Some(at) = whose {
            if !self.nodes[at].runs {
                return;
            }
            let until = self.nodes[at].paused_until;
            if until > self.now {
                if self.nodes[at].backlog.is_empty() {
                    self.plan(until, Event::Resume(at));
                }
                return self.nodes[at].backlog.push(event);
            }
        }
        match (event, whose) {
            (Event::Poll(at, timer), _) if self.is_timer(at, timer) => self.poll(at),
            (Event::Answered(at, number, in_time), _) => self.answered(at, number, in_time),
            (Event::Begun(at, grain, epoch), _) => self.begun(at, grain, epoch),
            (Event::Ends(at, grain, epoch), _) => self.ends(at, grain, epoch),
            (Event::Ended(at, grain, epoch), _) => self.ended(at, &grain, epoch),
            (Event::Wish(at), _) => {
                if let Some(wishes) = self.wishes {
                    let which = self.random.below(self.grains.len() as u64) as usize;
                    if self.nodes[at].uses.len() < 20 {
                        self.wish(at, self.grains[which].clone(), false);
                    }
                    let after = self.random.millis(wishes);
                    self.plan(self.now + after, Event::Wish(at));
                }
            }
            (Event::Look(at, of), _) => self.look_again(at, of.0, of.1),
            (Event::Unanswered(at, ticket), _) => self.refused(at, ticket, false),
            (Event::Heard(_, bytes), Some(at)) => self.heard(at, &bytes),
            (Event::Spoken(_, from, said), Some(at)) => self.spoken(at, from, said),
            (Event::Resume(at), _) => {
                let until = self.nodes[at].paused_until;
                if until > self.now {
                    return self.plan(until, Event::Resume(at));
                }
                for event in std::mem::take(&mut self.nodes[at].backlog) {
                    self.happens(event);
                }
            }
            (Event::AtRegister(number), _) => self.at_register(number),
            (Event::Fault(fault), _) => self.strike(fault),
            (Event::Poll(..) | Event::Heard(..) | Event::Spoken(..), _) => {}
        }
    }

    /// All who run use all grains, within so long.
    pub(super) fn use_all(&mut self, within: Duration) {
        let (running, grains) = (self.running().collect::<Vec<_>>(), self.grains.clone());
        for at in running {
            for grain in &grains {
                self.wish(at, grain.clone(), true);
            }
        }
        let began = self.now;
        self.run(within);
        self.check_searches(began + Duration::from_nanos(1));
    }
}
