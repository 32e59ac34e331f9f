//! Both sides of a connection, joined by a pipe that cuts, stalls and breaks.
//!
//! Senders on one side, actors on the other, and a history of bytes that says who does something next.
//! Whatever the history: every request has exactly one outcome, messages of one sender to one receiver
//! keep their order, nobody waits for ever, and when all is done every counter is back at zero.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use rakt_wire::native::{
    Accepting, Alias, Arrivals, Dialing, Limits, MessageKind, Need, NotSent, Outgoing, Payload,
    Replies, Sender, Settled, Side, Unanswered,
};
use rakt_wire::{Code, Failure, Operation, Outcome, Wish, cost};

use super::far::{Far, Letter, Room, read_back, read_there, session};

/// How many steps a history has at most.
const MAX_STEPS: usize = 600;
const SENDERS: usize = 4;
/// Bytes of bodies that each side may hold, and of replies that wait.
const BUDGET: usize = 512 * 1024;
const REPLIES: usize = 400 * 1024;
const TYPES: [&str; 6] = ["type-0", "type-1", "type-2", "type-3", "type-4", "refused"];

/// Runs a history.
pub fn sessions(history: &[u8]) {
    let Some((&setup, steps)) = history.split_first() else { return };
    let mut pair = Pair::new(setup);
    for step in steps.chunks_exact(2).take(MAX_STEPS) {
        if pair.is_cut {
            break;
        }
        pair.step(step[0], step[1]);
    }
    pair.finish();
}

struct Pair {
    near: Near,
    far: Far,
    arrivals: Arrivals<Far>,
    actors: Actors,
    to_far: Pipe,
    to_near: Pipe,
    is_cut: bool,
}

/// The side that dialed, with what waits to be sent.
struct Near {
    dialing: Dialing<u64>,
    replies: Replies,
    room: Room,
    senders: Vec<Line>,
    next_number: u64,
    /// What is known of each message by its number.
    outcomes: BTreeMap<u64, Fate>,
    /// Requests without an outcome: the number by which each is cancelled.
    open: BTreeMap<u64, u64>,
    refused: u64,
    /// Tells that had not left when the connection ended, and those that may not have been taken.
    left: (u64, u64),
    cancelled: BTreeSet<u64>,
    watched: u64,
}

/// One sender: its messages go one after the other.
#[derive(Default)]
struct Line {
    queue: VecDeque<Envelope>,
    need: Option<Need>,
    /// The number that the connection gave the last receiver.
    known: Option<(u8, Alias)>,
}

struct Envelope {
    number: u64,
    wish: Wish,
    receiver: u8,
    type_name: &'static str,
    has_sender: bool,
    payload: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Replied,
    Failed,
    Done,
    Lost,
    Cancelled,
    NotSent,
}

/// Those of the side that accepted.
#[derive(Default)]
struct Actors {
    mailboxes: BTreeMap<(Box<str>, Option<u64>), VecDeque<Letter>>,
    /// Numbers of messages in the order in which they arrived, by receiver.
    arrived: BTreeMap<Box<str>, Vec<u64>>,
}

/// Bytes under way, and what was read of them and not handled.
#[derive(Default)]
struct Pipe {
    bytes: Vec<u8>,
    unread: Vec<u8>,
}

impl Pair {
    fn new(setup: u8) -> Self {
        let mut limits = Limits { max_message_len: 256 * 1024, ..Limits::default() };
        if setup & 1 == 0 {
            // Small tables are reset often.
            limits = Limits { max_message_len: 256 * 1024, ..Limits::MIN };
        }
        limits.max_in_flight = if setup & 2 == 0 { 3 } else { 65_536 };
        limits.receiver_window = if setup & 4 == 0 { 4 * 1024 } else { 256 * 1024 };
        let session = session(limits);
        let near = Near {
            dialing: Dialing::new(&session),
            replies: Replies::new(&session),
            room: Room::of(BUDGET),
            senders: (0..SENDERS).map(|_| Line::default()).collect(),
            next_number: 0,
            outcomes: BTreeMap::new(),
            open: BTreeMap::new(),
            refused: 0,
            left: (0, 0),
            cancelled: BTreeSet::new(),
            watched: 0,
        };
        let mut far = Far::new(&session);
        far.accepting = Accepting::new(&session, Room::of(REPLIES));
        far.room = Room::of(BUDGET);
        far.not_accepted = TYPES[5];
        let arrivals = Arrivals::new(&session);
        Self {
            near,
            far,
            arrivals,
            actors: Actors::default(),
            to_far: Pipe::default(),
            to_near: Pipe::default(),
            is_cut: false,
        }
    }

    fn step(&mut self, what: u8, argument: u8) {
        let len = usize::from(argument >> 3);
        match what % 20 {
            0..=2 => self.near.say(Wish::Tell, argument, len),
            3 => self.near.say(Wish::Confirm, argument, len),
            4 | 5 => self.near.say(Wish::Ask, argument, len),
            6 => self.near.say(Wish::Tell, argument, len * 6_000),
            7 => self.near.say(Wish::Ask, argument, len * 6_000),
            8 => self.near.cancel(argument),
            9 => self.near.operate(argument),
            10 | 11 => drop(self.carry_to_far(usize::from(argument) * 64)),
            12 | 13 => drop(self.carry_to_near(usize::from(argument) * 64)),
            14 | 15 => drop(self.actors.work(&mut self.far, argument)),
            16 => drop(self.near.resume(argument)),
            17 => self.near.dialing.writer_mut().ping(),
            18 => self.far.accepting.writer_mut().ping(),
            _ if argument == 0 => self.cut(),
            _ => {
                self.far.accepting.terminated(u64::from(argument), &rakt_wire::Terminated::Stopped)
            }
        }
        self.near.hear_freed();
    }

    fn carry_to_far(&mut self, len: usize) -> bool {
        if self.to_far.bytes.len() < len {
            self.near.dialing.poll_transmit(&mut self.to_far.bytes);
            self.near.dialing.handle_written();
        }
        if self.far.accepting.is_backed_up() {
            return false;
        }
        let len = len.min(self.to_far.bytes.len());
        let piece: Vec<u8> = self.to_far.bytes.drain(..len).collect();
        let Self { far, arrivals, to_far, actors, .. } = self;
        read_there(arrivals, far, &mut to_far.unread, &piece).expect("the peer is honest");
        assert_eq!(far.refused, [], "the peer keeps to its credit");
        actors.sort(far);
        len > 0
    }

    fn carry_to_near(&mut self, len: usize) -> bool {
        if self.to_near.bytes.len() < len {
            self.far.accepting.poll_transmit(&mut self.to_near.bytes);
        }
        let len = len.min(self.to_near.bytes.len());
        let piece: Vec<u8> = self.to_near.bytes.drain(..len).collect();
        self.near.hear(&mut self.to_near.unread, &piece);
        len > 0
    }

    /// The connection breaks: what is under way is lost.
    fn cut(&mut self) {
        self.is_cut = true;
        self.near.close();
        self.far.accepting.close();
        self.arrivals.clear(&mut self.far);
        self.near.replies.clear(&mut self.near.room);
    }

    /// Lets everybody go on until nobody can, and looks at what is left.
    fn finish(&mut self) {
        // What a side has given out counts as on its way until it is asked for more, so one round in which
        // nothing moves may let the next one go on.
        let mut still = 0;
        // A long history may need more rounds than there are arguments.
        for quiet in (0..=u8::MAX).cycle() {
            self.near.hear_freed();
            let moved = !self.is_cut
                && [
                    self.carry_to_far(usize::MAX),
                    self.carry_to_near(usize::MAX),
                    self.actors.work(&mut self.far, quiet),
                    self.near.resume(quiet),
                ]
                .contains(&true);
            still = if moved { 0 } else { still + 1 };
            if still == 2 {
                break;
            }
        }
        if !self.is_cut {
            self.check_counters();
        }
        self.check_outcomes();
        for room in [&self.near.room, &self.far.room] {
            assert_eq!((room.held, room.heads), (0, 0), "all bytes are released");
        }
    }

    fn check_counters(&mut self) {
        // What crossed with its answer is forgotten with the next read.
        self.near.dialing.writer_mut().ping();
        self.carry_to_far(usize::MAX);
        self.carry_to_near(usize::MAX);
        let (near, far) = (&self.near, &mut self.far);
        assert!(!far.accepting.is_backed_up());
        assert_eq!((near.dialing.in_flight(), far.accepting.in_flight()), (0, 0));
        assert!(near.dialing.writer().is_empty() && far.accepting.writer().is_empty());
        assert!(near.senders.iter().all(|line| line.queue.is_empty()), "nobody waits for ever");
        assert!(near.cancelled.iter().all(|corr| !far.accepting.is_cancelled(*corr)));
        assert!(near.open.is_empty(), "every request has an outcome: {:?}", near.open);
        self.near.close();
        assert_eq!(self.near.left, (0, 0), "the answer to the ping proves that all were taken");
    }

    fn check_outcomes(&self) {
        let near = &self.near;
        assert!(near.open.is_empty());
        let mut arrived = BTreeSet::new();
        for (path, numbers) in &self.actors.arrived {
            let mut last = BTreeMap::new();
            for number in numbers {
                assert!(arrived.insert(*number), "{number} arrived twice");
                // Numbers grow; the sender is their remainder.
                let before = last.insert(*number % SENDERS as u64, *number);
                assert!(before < Some(*number), "{path}: {before:?} before {number}");
            }
        }
        let tells = near.outcomes.values().filter(|fate| **fate == Fate::Done).count() as u64;
        let unanswered = arrived.iter().filter(|number| near.outcomes[number] == Fate::Done);
        let unanswered = unanswered.count() as u64;
        if self.is_cut {
            let (unsent, unconfirmed) = near.left;
            assert!(
                unanswered + near.refused + unsent <= tells,
                "what has not left arrives nowhere"
            );
            let most = unanswered + near.refused + unsent + unconfirmed;
            assert!(tells <= most, "{tells} tells, {most} accounted for");
            return;
        }
        assert_eq!(tells, unanswered + near.refused, "a tell arrives or is refused");
        for (number, fate) in &near.outcomes {
            if matches!(fate, Fate::Replied) {
                assert!(arrived.contains(number), "{number} has a reply and did not arrive");
            }
        }
    }
}

impl Near {
    fn say(&mut self, wish: Wish, argument: u8, len: usize) {
        let at = usize::from(argument) % SENDERS;
        self.next_number += SENDERS as u64;
        let number = self.next_number + at as u64;
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(8 + len, argument);
        let envelope = Envelope {
            number,
            wish,
            receiver: argument % 7,
            type_name: TYPES[usize::from(argument) % TYPES.len()],
            has_sender: argument & 32 != 0,
            payload,
        };
        self.senders[at].queue.push_back(envelope);
        if self.senders[at].need.is_none() {
            self.try_send(at);
        }
    }

    fn try_send(&mut self, at: usize) -> bool {
        let mut any = false;
        while let Some(envelope) = self.senders[at].queue.front() {
            let Envelope { number, wish, receiver, type_name, has_sender, ref payload } = *envelope;
            let (path, address) = (format!("worker-{receiver}"), format!("rakt://s@h:1/{at}"));
            let sender =
                Sender { key: (receiver % 2 == 0).then_some(at as u64), address: &address };
            let known = self.senders[at].known;
            let message = Outgoing {
                wish,
                path: &path,
                uid: (receiver % 3 == 0).then_some(9),
                known: known.filter(|(known, _)| *known == receiver).map(|(_, alias)| alias),
                type_name,
                sender: has_sender.then_some(sender),
                remaining: None,
                metadata: None,
            };
            let payload = match payload.len() {
                ..1024 => Payload::Encode(&&payload[..]),
                _ => Payload::Ready { bytes: payload.clone().into(), raw_len: None },
            };
            match self.dialing.send(&message, payload, || number) {
                Ok(sent) => {
                    self.senders[at].known = Some((receiver, sent.receiver));
                    match sent.corr {
                        Some(corr) => drop(self.open.insert(number, corr)),
                        None => self.end(number, Fate::Done),
                    }
                }
                Err(NotSent::Wait(need, _)) => {
                    self.senders[at].need = Some(need);
                    return any;
                }
                Err(NotSent::Failed(error)) => panic!("{error}"),
                Err(NotSent::Closed) => self.end(number, Fate::NotSent),
            }
            any = true;
            self.senders[at].queue.pop_front();
        }
        any
    }

    /// Notes who may go on. They do later, in any order.
    fn hear_freed(&mut self) {
        while let Some(freed) = self.dialing.poll_freed() {
            for line in &mut self.senders {
                line.need = line.need.filter(|need| !freed.meets(*need));
            }
        }
    }

    /// One sender goes on that was told that it may.
    fn resume(&mut self, argument: u8) -> bool {
        (0..SENDERS).any(|n| {
            let at = (n + usize::from(argument)) % SENDERS;
            self.senders[at].need.is_none() && self.try_send(at)
        })
    }

    fn cancel(&mut self, argument: u8) {
        let open = self.open.iter().nth(usize::from(argument) % self.open.len().max(1));
        let Some((&number, &corr)) = open else { return };
        assert_eq!(self.dialing.cancel(corr), Some(number));
        assert_eq!(self.dialing.cancel(corr), None, "once");
        self.cancelled.insert(corr);
        self.open.remove(&number);
        self.end(number, Fate::Cancelled);
    }

    fn operate(&mut self, argument: u8) {
        self.next_number += SENDERS as u64;
        let number = self.next_number;
        let operation = Operation::Lookup { path: "x/".repeat(usize::from(argument) % 50) + "x" };
        match self.dialing.request(&operation, Duration::from_secs(1), None, || number) {
            Ok(corr) => drop(self.open.insert(number, corr)),
            Err(NotSent::Wait(Need::InFlight, _)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn hear(&mut self, unread: &mut Vec<u8>, piece: &[u8]) {
        let mut ended = Vec::new();
        let Self { dialing, replies, room, refused: count, watched, .. } = self;
        read_back(replies, room, unread, piece, |replies, _| {
            let settled = dialing.settle(replies, |settled| {
                ended.push(match settled {
                    Settled::Reply { kept, .. } => (kept, Fate::Replied),
                    Settled::Outcome { kept, outcome } => {
                        assert_eq!(outcome, Outcome::Absent);
                        (kept, Fate::Failed)
                    }
                    Settled::Failed { kept, .. } | Settled::NoRoom { kept } => (kept, Fate::Failed),
                    Settled::Refused(refused) => {
                        let code = refused.failure.code;
                        assert!(matches!(code, Code::NotAccepted | Code::ResourceExhausted));
                        *count += refused.count;
                        return;
                    }
                    Settled::Terminated { .. } => {
                        *watched += 1;
                        return;
                    }
                });
            });
            settled.expect("the peer answers only what it was asked");
        });
        for (number, fate) in ended {
            assert!(self.open.remove(&number).is_some(), "{number} is open");
            self.end(number, fate);
        }
        assert!(self.replies.is_empty());
    }

    fn end(&mut self, number: u64, fate: Fate) {
        let before = self.outcomes.insert(number, fate);
        assert_eq!(before, None, "{number} has one outcome");
    }

    fn close(&mut self) {
        let left = self.dialing.close();
        self.left = (left.unsent_tells, left.unconfirmed_tells);
        for Unanswered { kept: number, .. } in left.pending {
            assert!(self.open.remove(&number).is_some());
            self.end(number, Fate::Lost);
        }
        self.hear_freed();
        for at in 0..SENDERS {
            assert_eq!(self.senders[at].need, None, "everybody hears of the end");
            self.try_send(at);
        }
    }
}

impl Actors {
    /// Puts what has arrived into the mailboxes.
    fn sort(&mut self, far: &mut Far) {
        for letter in far.arrived.drain(..) {
            let bytes = letter.payload();
            assert_eq!(letter.cost, cost(bytes.len()));
            let number = bytes.first_chunk().copied().map(u64::from_be_bytes);
            let number = number.expect("every payload has a number");
            self.arrived.entry(letter.path.clone()).or_default().push(number);
            if let MessageKind::Confirm { corr } = letter.kind {
                drop(far.accepting.reply(corr, Payload::Encode(&&[][..])));
            }
            let mailbox = self.mailboxes.entry((letter.path.clone(), letter.uid)).or_default();
            mailbox.push_back(letter);
        }
    }

    /// One actor takes a message out of its mailbox, and answers it.
    fn work(&mut self, far: &mut Far, argument: u8) -> bool {
        if let Some(corr) = far.operations.pop_front() {
            far.accepting.respond(corr, &Outcome::Absent);
            return true;
        }
        let mut mailboxes: Vec<_> = self.mailboxes.values_mut().collect();
        let first = usize::from(argument) % mailboxes.len().max(1);
        mailboxes.rotate_left(first);
        let letter = mailboxes.into_iter().find_map(VecDeque::pop_front);
        let Some(letter) = letter else { return false };
        far.accepting.consumed(letter.from, letter.cost);
        if let MessageKind::Ask { corr } = letter.kind {
            let body = Bytes::from(vec![7; usize::from(argument) * 300]);
            let payload = Payload::Ready { bytes: body, raw_len: None };
            match argument % 3 {
                0 => far.accepting.fail(corr, &Failure::new(Code::HandlerFailed)),
                _ => drop(far.accepting.reply(corr, payload)),
            }
        }
        true
    }
}
