//! What there is in the world, and what may happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::network::Network;
use super::random::{Clock, Random};
use super::register::Register;
use crate::directory::{Grain, Guards};
use crate::epoch::{Epoch, Stamp};
use crate::node::Incarnation;
use crate::participant::{Participant, Refused};
use crate::slots::Slot;
use crate::view::View;

/// All there is.
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) queue: BTreeMap<(Duration, u64), Event>,
    pub(super) planned: u64,
    pub(super) random: Random,
    pub(super) network: Network,
    pub(super) register: Register,
    pub(super) nodes: Vec<Node>,
    /// All that were ever started at a port.
    pub(super) at_port: BTreeMap<u16, Vec<usize>>,
    pub(super) checks: Checks,
    pub(super) tickets: u64,
    pub(super) ports: u16,
    pub(super) grains: Vec<Grain>,
    pub(super) slots: Arc<[Slot]>,
    /// Of the cluster.
    pub(super) lease: Duration,
    /// How long lives last, in milliseconds.
    pub(super) lasts: (u64, u64),
    /// So many of a thousand last two seconds at most.
    pub(super) fleeting: u64,
    /// Of a thousand grains so many do not come to life.
    pub(super) failing: u64,
    /// Between two wishes of a node, in milliseconds; nothing if there are none.
    pub(super) wishes: Option<(u64, u64)>,
    pub(super) guards: Guards,
    /// How long a node hosts on after its lease: a fault, to try out the checks.
    pub(super) overstays: Duration,
    /// How far clocks are off, in millionths.
    pub(super) off: u32,
    /// Members know what those ask that come or leave; with an older version they do not.
    pub(super) asks_are_heard: bool,
    /// What the version can do of nodes that start.
    pub(super) level: u32,
    /// All grains are hosted without a lease as well.
    pub(super) is_available: bool,
    pub(super) used: u64,
    pub(super) slowest: Duration,
    pub(super) trace: Option<Vec<String>>,
}

/// What happens.
#[derive(Debug)]
pub(super) enum Event {
    Poll(usize, u64),
    Heard(u16, Vec<u8>),
    Spoken(u16, usize, Said),
    AtRegister(u64),
    Answered(usize, u64, bool),
    Begun(usize, Grain, Epoch),
    Ends(usize, Grain, Epoch),
    Ended(usize, Grain, Epoch),
    Wish(usize),
    Look(usize, Box<(Use, Option<Refused>)>),
    Unanswered(usize, u64),
    /// A pause is over.
    Resume(usize),
    Fault(Fault),
}

/// A node that runs, or has.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) participant: Participant,
    pub(super) incarnation: Incarnation,
    pub(super) port: u16,
    pub(super) clock: Clock,
    pub(super) runs: bool,
    pub(super) leaves: bool,
    /// It does nothing before that, and its clock goes on.
    pub(super) paused_until: Duration,
    /// What came in that time.
    pub(super) backlog: Vec<Event>,
    /// It polls its participant after all that happens, and not only when that is due.
    pub(super) is_eager: bool,
    pub(super) timer: u64,
    /// The operation of the register that it waits for.
    pub(super) operation: Option<u64>,
    pub(super) hosts_until: Option<Duration>,
    pub(super) lives: BTreeMap<(Grain, Epoch), Life>,
    pub(super) uids: u64,
    pub(super) stamp: Option<Stamp>,
    /// Since when somebody wants to use a grain.
    pub(super) wishes: BTreeMap<u64, Duration>,
    /// By the numbers of their searches.
    pub(super) uses: BTreeMap<u64, Use>,
    pub(super) polls: u64,
    pub(super) drains: bool,
}

/// A life of a grain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Begins,
    Lives(u64),
    Ends,
}

/// Somebody wants to use a grain: it is looked for, spoken to, and looked for again if it is not there.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) grain: Grain,
    pub(super) since: Duration,
    /// How often it may still be looked for.
    pub(super) tries: u32,
    pub(super) number: u64,
    pub(super) must: bool,
    /// The search has ended, and this life was spoken to.
    pub(super) spoke_to: Option<(Incarnation, u64)>,
}

/// What is said to a grain, and back.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Do {
        grain: Grain,
        incarnation: Incarnation,
        uid: u64,
        by: usize,
        ticket: u64,
    },
    Done {
        ticket: u64,
    },
    /// Whether the life is over; else its node has no lease.
    Refused {
        ticket: u64,
        ended: bool,
    },
}

impl Node {
    pub(super) fn new(participant: Participant, port: u16, clock: Clock, is_eager: bool) -> Self {
        Self {
            incarnation: participant.incarnation(),
            participant,
            port,
            clock,
            runs: true,
            leaves: false,
            paused_until: Duration::ZERO,
            backlog: Vec::new(),
            is_eager,
            timer: 0,
            operation: None,
            hosts_until: None,
            lives: BTreeMap::new(),
            uids: 0,
            stamp: None,
            wishes: BTreeMap::new(),
            uses: BTreeMap::new(),
            polls: 0,
            drains: false,
        }
    }

    /// Whether grains run here, by its own clock. `overstays` is how long it hosts on after that, which is a fault.
    pub(super) fn hosts(&self, now: Duration, overstays: Duration) -> bool {
        let until = self.hosts_until.map(|until| until + overstays);
        self.runs && until.is_some_and(|until| self.clock.at(now) < until)
    }
}

/// What is known by the eyes of the test.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// Who was told that it is too old for the cluster.
    pub(super) too_old: BTreeSet<usize>,
    /// All that the register has held.
    pub(super) history: BTreeMap<Stamp, Vec<u8>>,
    pub(super) newest: Option<View>,
    /// The last life of each grain that was begun.
    pub(super) last: BTreeMap<Grain, Epoch>,
    /// All lives that have a number.
    pub(super) lives: BTreeMap<(Incarnation, u64), Grain>,
    /// Searches that have ended.
    pub(super) ended: BTreeSet<u64>,
    pub(super) broken: Option<String>,
    pub(super) begun: u64,
    /// Deaths that the register has held.
    pub(super) deaths: u64,
    /// Takeovers: who has told of one, of the node at which port, and of how many slots and grains.
    pub(super) taken: Vec<(usize, u16, usize, usize)>,
}

/// What goes wrong, or right again.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Another one, and then the next.
    Next(Duration),
    Start(u16),
    Uncut(Vec<(u16, u16)>),
    Reach(u16),
    Outage(bool),
    Calm,
}
