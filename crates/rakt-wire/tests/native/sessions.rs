//! Both sides of a connection with small hosts: what one sends, and what becomes of it on the other.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rakt_wire::native::{
    Arrivals, CloseCode, Dialing, FrameKind, Freed, Head, Limits, LinkError, MessageKind, Need,
    NotSent, Outbound, Outgoing, Payload, Refused, Replies, Role, Settled, Side,
};
use rakt_wire::{Code, Failure, Wish};

use super::far::{Far, Room, read_back, read_there, session};

const WINDOW: u32 = 1024;

/// What a request was about, and the payload of its reply or why there is none.
type Answer = (&'static str, Result<Bytes, Failure>);

/// The side that dialed, with messages that wait to be sent.
struct Near {
    dialing: Dialing<&'static str>,
    replies: Replies,
    room: Room,
    waiting: VecDeque<(Waiting, Option<Need>)>,
    answers: Vec<Answer>,
    refused: Vec<Refused>,
    /// Numbers of the requests that were sent.
    requests: Vec<u64>,
}

struct Waiting {
    wish: Wish,
    path: &'static str,
    payload: Bytes,
}

struct Pair {
    near: Near,
    far: Far,
    arrivals: Arrivals<Far>,
    /// What was read and not taken, on the far side and on the near one.
    unread: Vec<u8>,
    unheard: Vec<u8>,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        Self::of(limits, limits)
    }

    /// A pair of which one side does not keep to the other's limits.
    fn of(near: Limits, far: Limits) -> Self {
        let (near, far) = (session(near), session(far));
        Self {
            near: Near {
                dialing: Dialing::new(&near),
                replies: Replies::new(&near),
                room: Room::unlimited(),
                waiting: VecDeque::new(),
                answers: Vec::new(),
                refused: Vec::new(),
                requests: Vec::new(),
            },
            far: Far::new(&far),
            arrivals: Arrivals::new(&far),
            unread: Vec::new(),
            unheard: Vec::new(),
        }
    }

    /// Carries bytes both ways, `cut` at a time, until there are none.
    fn settle(&mut self, cut: usize) {
        loop {
            self.near.go_on();
            let there = self.near.poll_transmit();
            for piece in there.chunks(cut) {
                self.handle_bytes(piece).expect("the peer keeps to the protocol");
            }
            if there.is_empty() & !self.carry_back(cut) {
                break;
            }
        }
    }

    /// What the near side has to say is read all at once.
    fn carry_there(&mut self) -> Result<(), LinkError> {
        let bytes = self.near.poll_transmit();
        self.handle_bytes(&bytes)
    }

    /// Whether there was anything to carry.
    fn carry_back(&mut self, cut: usize) -> bool {
        let mut back = Vec::new();
        self.far.accepting.poll_transmit(&mut back);
        let Near { dialing, replies, room, answers, refused, .. } = &mut self.near;
        for piece in back.chunks(cut) {
            read_back(replies, room, &mut self.unheard, piece, |replies, block| {
                let settled = dialing.settle(replies, |settled| match settled {
                    Settled::Reply { kept, body, .. } => {
                        answers.push((kept, Ok(Bytes::copy_from_slice(body.bytes(block)))));
                    }
                    Settled::Failed { kept, failure } => answers.push((kept, Err(failure))),
                    Settled::Refused(tells) => refused.push(tells),
                    other => panic!("{other:?}"),
                });
                settled.expect("the peer answers only what it was asked");
            });
        }
        !back.is_empty()
    }

    /// Reads as a connection does: an error is told to the peer.
    fn handle_bytes(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        let result = read_there(&mut self.arrivals, &mut self.far, &mut self.unread, bytes);
        if let Err(error) = &result {
            let (code, text) = (error.close_code(), error.close_text());
            self.far.accepting.writer_mut().say_goodbye(code, &text, true);
        }
        result
    }

    /// How many messages arrive of these frames, one at a time, and the first error.
    fn carry_frames(&mut self, bytes: &[u8]) -> (usize, Option<LinkError>) {
        let mut rest = bytes;
        while let Some((header, after)) = rest.split_first_chunk::<5>() {
            let len = 5 + u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            assert!(after.len() + 5 >= len, "only whole frames");
            if let Err(error) = self.handle_bytes(&rest[..len]) {
                return (self.far.arrived.len(), Some(error));
            }
            rest = &rest[len..];
        }
        (self.far.arrived.len(), None)
    }

    /// An actor takes the oldest message: its path and payload.
    fn take(&mut self) -> Option<(String, Bytes)> {
        let letter = self.far.arrived.pop_front()?;
        self.far.accepting.consumed(letter.from, letter.cost);
        Some((letter.path.to_string(), letter.payload()))
    }

    fn in_flight(&self) -> (usize, i64) {
        (self.near.dialing.in_flight(), self.far.accepting.in_flight())
    }
}

impl Near {
    fn say(&mut self, wish: Wish, path: &'static str, payload: impl Into<Bytes>) {
        self.waiting.push_back((Waiting { wish, path, payload: payload.into() }, None));
        self.go_on();
    }

    fn tell(&mut self, path: &'static str, payload: impl Into<Bytes>) {
        self.say(Wish::Tell, path, payload);
    }

    /// Sends what may go, in order for each receiver.
    fn go_on(&mut self) {
        while let Some(freed) = self.dialing.poll_freed() {
            for (_, need) in &mut self.waiting {
                *need = need.filter(|need| !freed.meets(*need));
            }
        }
        let mut held_up = Vec::new();
        for (waiting, need) in std::mem::take(&mut self.waiting) {
            let need = match need {
                _ if held_up.contains(&waiting.path) => None,
                None => self.send(&waiting),
                Some(need) => Some(need),
            };
            if need.is_some() || held_up.contains(&waiting.path) {
                held_up.push(waiting.path);
                self.waiting.push_back((waiting, need));
            }
        }
    }

    fn send(&mut self, Waiting { wish, path, payload }: &Waiting) -> Option<Need> {
        match self.try_send(*wish, path, payload.clone()) {
            Ok(corr) => self.requests.extend(corr),
            Err(NotSent::Wait(need, _)) => return Some(need),
            Err(other) => panic!("{other:?}"),
        }
        None
    }

    fn try_send(
        &mut self,
        wish: Wish,
        path: &'static str,
        bytes: Bytes,
    ) -> Result<Option<u64>, NotSent<'static>> {
        let message = Outgoing {
            wish,
            path,
            uid: None,
            known: None,
            type_name: "t",
            sender: None,
            remaining: None,
            metadata: None,
        };
        let payload = Payload::Ready { bytes, raw_len: None };
        self.dialing.send(&message, payload, || path).map(|sent| sent.corr)
    }

    fn poll_transmit(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.dialing.poll_transmit(&mut bytes);
        self.dialing.handle_written();
        bytes
    }
}

fn small_window() -> Limits {
    Limits { receiver_window: WINDOW, ..Limits::default() }
}

fn reply(pair: &mut Pair, corr: u64, text: &'static str) {
    let bytes = Bytes::from_static(text.as_bytes());
    let replied = pair.far.accepting.reply(corr, Payload::Ready { bytes, raw_len: None });
    replied.expect("it is small");
}

#[test]
fn a_receiver_that_takes_nothing_holds_up_only_its_own() {
    let mut pair = Pair::new(small_window());
    for n in 0..10_u8 {
        pair.near.tell("slow", vec![n; 300]);
    }
    // 300 + 256 bytes each: the second message overdraws the credit, the third has to wait.
    pair.settle(usize::MAX);
    assert_eq!(pair.near.waiting.len(), 8);
    pair.near.tell("quick", vec![b'x']);
    pair.settle(usize::MAX);
    let mut arrived = Vec::new();
    while let Some((path, payload)) = pair.take() {
        arrived.push((path, payload[0]));
        pair.settle(usize::MAX);
    }
    let slow = |n| ("slow".to_owned(), n);
    assert_eq!(arrived[..3], [slow(0), slow(1), ("quick".to_owned(), b'x')]);
    assert_eq!(arrived[3..], (2..10).map(slow).collect::<Vec<_>>());
    assert_eq!(pair.near.waiting.len(), 0);
}

/// Five tells of 200 bytes to one receiver by somebody who does not look at its credit.
fn without_credit() -> Vec<u8> {
    let (mut out, mut bytes) = (Outbound::new(Role::Dialer, small_window()), Vec::new());
    let (receiver, type_id) = (out.receiver("a", None).id, out.message_type("t").id);
    let head = Head { receiver, type_id, sender: None, remaining: None, metadata: None };
    for _ in 0..5 {
        out.message(MessageKind::Tell, &head, Payload::Encode(&&[0; 200][..])).expect("small");
    }
    out.poll_transmit(&mut bytes);
    bytes
}

#[test]
fn a_peer_that_ignores_credit_is_thrown_out() {
    let mut pair = Pair::new(small_window());
    // 200 + 256 bytes each, and the last may overdraw what is left.
    let thrown_out = LinkError::Window { limit: WINDOW };
    assert_eq!(pair.carry_frames(&without_credit()), (3, Some(thrown_out.clone())));
    assert_eq!(pair.far.refused.len(), 1);
    let refusal = &pair.far.refused[0];
    assert_eq!((refusal.code, refusal.limit), (Code::ResourceExhausted, u64::from(WINDOW)));
    assert!(pair.carry_back(usize::MAX));
    assert_eq!((pair.near.refused.len(), pair.near.refused[0].count), (1, 1));
    let told = (CloseCode::Limit, thrown_out.close_text());
    assert_eq!(pair.near.replies.take_goodbye(), Some(told));
}

#[test]
fn of_one_read_that_ignores_credit_nothing_is_taken() {
    let reset = super::frame(FrameKind::Reset, b"");
    for bytes in [without_credit(), [without_credit(), reset].concat()] {
        let mut pair = Pair::new(small_window());
        assert_eq!(pair.handle_bytes(&bytes), Err(LinkError::Window { limit: WINDOW }));
        assert_eq!((pair.far.arrived.len(), pair.far.refused.len()), (0, 5));
    }
}

#[test]
fn unfinished_messages_share_a_budget() {
    const LEN: usize = 200 * 1024;
    let mut pair = Pair::new(small_window());
    pair.far.room.most = 2 * LEN;
    pair.near.tell("a", vec![1; LEN]);
    pair.near.say(Wish::Ask, "b", vec![2; LEN]);
    pair.near.tell("c", vec![3; LEN]);
    pair.settle(4096);
    // Their chunks take turns. The third gives way, and the others are completed.
    assert_eq!((pair.near.refused.len(), pair.near.answers.len()), (1, 0));
    let Refused { path, count, failure, .. } = &pair.near.refused[0];
    assert_eq!((path.as_deref(), *count), (Some("c"), 1));
    assert_eq!((failure.code, failure.limit), (Code::ResourceExhausted, 2 * LEN as u64));
    let arrived: Vec<_> = pair.far.arrived.iter().map(|letter| &*letter.path).collect();
    assert_eq!((arrived, pair.far.room.held), (vec!["a", "b"], 0));

    // Each was more than all the credit of its receiver: that of the refused one has come back.
    pair.near.tell("b", vec![4]);
    pair.near.tell("c", vec![5]);
    pair.settle(4096);
    let waiting: Vec<_> = pair.near.waiting.iter().map(|(waiting, _)| waiting.path).collect();
    assert_eq!((pair.far.arrived.len(), waiting), (3, vec!["b"]));
}

#[test]
fn a_request_without_room_fails_and_its_credit_comes_back() {
    let mut pair = Pair::new(small_window());
    // The last has no room for just its last byte.
    for (wish, room) in
        [(Wish::Ask, 100_000), (Wish::Confirm, 100_000), (Wish::Ask, 200 * 1024 - 1)]
    {
        pair.far.room.most = room;
        pair.near.say(wish, "a", vec![0; 200 * 1024]);
        pair.settle(usize::MAX);
        assert_eq!(pair.near.waiting.len(), 0, "the credit has come back");
    }
    let codes = pair.near.answers.iter().map(|(_, answer)| answer.as_ref().map_err(|f| f.code));
    assert_eq!(codes.collect::<Vec<_>>(), [Err(Code::ResourceExhausted); 3]);
    assert_eq!((pair.in_flight(), pair.far.room.held), ((0, 0), 0));
}

/// When the dialer gives up on a large ask for which the acceptor has no room.
#[derive(Clone, Copy, Debug, PartialEq)]
enum GivesUp {
    /// Before the acceptor has read anything of it.
    BeforeItIsRead,
    /// After it was refused, and before the dialer hears of that.
    BeforeItHears,
    /// Never: it hears of the refusal while it still sends.
    Never,
}

/// A pair of which the acceptor holds one message of 200 bytes for a receiver, and has had no room for a
/// large ask to the same.
fn after_a_refusal(when: GivesUp, mut pair: Pair) -> Pair {
    pair.far.room.most = 20 * 1024;
    pair.near.tell("a", vec![1; 200]);
    pair.settle(usize::MAX);
    pair.near.say(Wish::Ask, "a", vec![2; 1024 * 1024]);
    let corr = pair.near.requests[0];
    let chunks = pair.near.poll_transmit();
    if when == GivesUp::BeforeItIsRead {
        assert_eq!(pair.near.dialing.cancel(corr), Some("a"));
    }
    pair.handle_bytes(&chunks).expect("the peer keeps to the protocol");
    assert_eq!((pair.far.arrived.len(), pair.far.room.held), (1, 0), "it is refused");
    if when == GivesUp::BeforeItHears {
        assert_eq!(pair.near.dialing.cancel(corr), Some("a"));
    } else {
        assert!(pair.carry_back(usize::MAX));
    }
    pair.settle(usize::MAX);
    assert_eq!(pair.near.answers.len(), usize::from(when == GivesUp::Never));
    assert_eq!((pair.in_flight(), pair.near.waiting.len()), ((0, 0), 0));
    pair
}

/// The dialer may send messages that cost exactly `credit`, and not a byte more.
fn assert_credit(mut pair: Pair, credit: usize, what: GivesUp) {
    let sent =
        |pair: &mut Pair, len| pair.near.try_send(Wish::Tell, "a", vec![0; len].into()).is_ok();
    // Each costs 256 more. One more may go while a byte is left.
    assert!(sent(&mut pair, credit - 256), "{what:?}: {credit} are left");
    assert!(!sent(&mut pair, 0), "{what:?}: no more than {credit} are left");
}

#[test]
fn a_refused_ask_that_is_given_up_leaves_the_dialer_its_exact_credit() {
    for when in [GivesUp::BeforeItIsRead, GivesUp::BeforeItHears, GivesUp::Never] {
        let scene = || after_a_refusal(when, Pair::new(small_window()));
        let left = WINDOW as usize - 456;
        assert_credit(scene(), left, when);
        let mut pair = scene();
        pair.near.tell("a", vec![3; left - 256 - 1]);
        pair.near.tell("a", vec![4; 300]);
        assert_eq!(pair.near.waiting.len(), 0, "{when:?}: a byte was left");
        pair.settle(usize::MAX);
        let arrived: Vec<_> = std::iter::from_fn(|| pair.take()).map(|(_, body)| body[0]).collect();
        assert_eq!(arrived, [1, 3, 4]);
        pair.settle(usize::MAX);
        assert_credit(pair, WINDOW as usize, when);
    }
}

#[test]
fn what_is_unsent_of_a_refused_ask_stays_unsent() {
    let mut pair = Pair::new(small_window());
    pair.far.room.most = 20 * 1024;
    pair.near.say(Wish::Ask, "a", vec![2; 1024 * 1024]);
    let chunks = pair.near.poll_transmit();
    pair.handle_bytes(&chunks).expect("the peer keeps to the protocol");
    assert!(pair.carry_back(usize::MAX));
    let rest = pair.near.poll_transmit();
    assert!(rest.len() < 16, "an ABORT alone: {}", rest.len());
    pair.handle_bytes(&rest).expect("the peer keeps to the protocol");
    assert_eq!((pair.near.answers.len(), pair.in_flight()), (1, (0, 0)));
    assert_credit(pair, WINDOW as usize, GivesUp::Never);
}

#[test]
fn a_refused_ask_that_is_given_up_leaves_the_acceptor_its_exact_account() {
    for when in [GivesUp::BeforeItIsRead, GivesUp::BeforeItHears, GivesUp::Never] {
        // The dialer believes that it may send as much as it likes.
        let generous = Limits { receiver_window: 1024 * 1024, ..small_window() };
        let mut pair = after_a_refusal(when, Pair::of(generous, small_window()));
        // It holds 456 of them, and the last may overdraw: 3 messages of 256 fit, and a fourth does not.
        for _ in 0..4 {
            pair.near.tell("a", Vec::new());
        }
        let bytes = pair.near.poll_transmit();
        let thrown_out = LinkError::Window { limit: WINDOW };
        assert_eq!(pair.carry_frames(&bytes), (4, Some(thrown_out)), "{when:?}");
    }
}

#[test]
fn a_protocol_error_is_told_to_the_peer() {
    let mut pair = Pair::new(Limits::default());
    let (kind, what) = (FrameKind::Tell, "receiver");
    let error = LinkError::Undefined { kind, what, alias: 0, count: 0 };
    let result = pair.handle_bytes(&super::frame(kind, b"\0\0\0\0"));
    assert_eq!(result, Err(error.clone()));
    assert!(pair.carry_back(usize::MAX));
    let told = (CloseCode::Protocol, error.to_string());
    assert_eq!(pair.near.replies.take_goodbye(), Some(told));

    // What is wrong with the frame is told as well.
    let mut pair = Pair::new(Limits::default());
    assert!(pair.handle_bytes(&super::frame(kind, b"")).is_err());
    assert!(pair.carry_back(usize::MAX));
    let told = (CloseCode::Protocol, "malformed TELL: flags is cut short".to_owned());
    assert_eq!(pair.near.replies.take_goodbye(), Some(told));
}

#[test]
fn an_answer_that_crosses_with_its_cancellation_finds_nobody() {
    let mut pair = Pair::new(Limits { max_in_flight: 1, ..Limits::default() });
    pair.near.say(Wish::Ask, "a", "?");
    pair.settle(usize::MAX);
    pair.near.say(Wish::Ask, "b", "?");
    assert_eq!(pair.near.waiting[0].1, Some(Need::InFlight));
    let corr = pair.near.requests[0];
    reply(&mut pair, corr, "late");
    assert_eq!(pair.near.dialing.cancel(corr), Some("a"));
    assert_eq!(pair.near.dialing.cancel(corr), None, "once");
    pair.settle(usize::MAX);
    assert_eq!(pair.near.answers, []);
    assert_eq!(pair.far.cancelled, [], "it has had its answer, and nobody is told");
    // The other request has taken its place, and only its own answer is for it.
    assert_eq!((pair.in_flight(), pair.near.waiting.len()), ((1, 1), 0));
    let corr = pair.near.requests[1];
    assert!(!pair.far.accepting.is_cancelled(corr));
    reply(&mut pair, corr, "in time");
    pair.settle(usize::MAX);
    assert_eq!(pair.near.answers, [("b", Ok(Bytes::from_static(b"in time")))]);
    // What crossed is forgotten with the next read, which brings anything to count.
    pair.near.dialing.writer_mut().ping();
    pair.settle(usize::MAX);
    assert!(pair.near.requests.iter().all(|corr| !pair.far.accepting.is_cancelled(*corr)));
    assert_eq!(pair.in_flight(), (0, 0));
}

#[test]
fn names_without_room_end_the_connection() {
    let mut pair = Pair::new(Limits::default());
    pair.far.names.most = 1000;
    let paths = ["a", "b", "c", "d", "e", "f"];
    for path in paths {
        pair.near.tell(path, "");
    }
    let error = LinkError::Names { limit: 1000 };
    assert_eq!(pair.carry_there(), Err(error.clone()));
    assert!(pair.carry_back(usize::MAX));
    let told = (CloseCode::Limit, error.to_string());
    assert_eq!(pair.near.replies.take_goodbye(), Some(told));
    pair.arrivals.clear(&mut pair.far);
    assert_eq!(pair.far.names.held, 0, "what the peer has named goes with it");
}

#[test]
fn waiters_of_a_connection_that_goes_away_look_elsewhere() {
    let mut pair = Pair::new(Limits { max_in_flight: 1, ..small_window() });
    pair.near.say(Wish::Ask, "a", vec![0; 2000]);
    pair.near.tell("a", "it waits for credit");
    pair.near.say(Wish::Ask, "b", "it waits for a request to end");
    pair.settle(usize::MAX);
    let needs: Vec<_> = pair.near.waiting.iter().map(|(_, need)| *need).collect();
    assert_eq!(needs, [Some(Need::Credit(0)), Some(Need::InFlight)]);

    pair.far.accepting.writer_mut().goaway(CloseCode::ShuttingDown, "the node is shutting down");
    assert!(pair.carry_back(usize::MAX));
    assert_eq!(pair.near.dialing.poll_freed(), Some(Freed::Gone));
    assert!(needs.into_iter().flatten().all(|need| Freed::Gone.meets(need)));
    let sent = pair.near.try_send(Wish::Tell, "a", Bytes::new());
    assert!(matches!(sent, Err(NotSent::Closed)), "{sent:?}");

    // What was accepted before still has its outcome.
    let corr = pair.near.requests[0];
    reply(&mut pair, corr, "done");
    assert!(pair.carry_back(usize::MAX));
    assert_eq!(pair.near.answers, [("a", Ok(Bytes::from_static(b"done")))]);
}

#[test]
fn more_requests_than_agreed_end_the_connection() {
    let agreed = Limits { max_in_flight: 2, ..Limits::default() };
    let mut pair = Pair::of(Limits::default(), agreed);
    pair.near.say(Wish::Ask, "a", "1");
    pair.near.say(Wish::Confirm, "a", "2");
    assert_eq!(pair.carry_there(), Ok(()));
    // One that has its answer leaves its place to another.
    let first = pair.near.requests[0];
    reply(&mut pair, first, "1");
    pair.near.say(Wish::Ask, "a", "3");
    assert_eq!(pair.carry_there(), Ok(()));
    pair.near.say(Wish::Ask, "a", "4");
    let error = LinkError::InFlight { limit: 2 };
    assert_eq!(pair.carry_there(), Err(error.clone()));
    assert!(pair.carry_back(usize::MAX));
    let told = (CloseCode::Limit, error.to_string());
    assert_eq!(pair.near.replies.take_goodbye(), Some(told));
}

const PATHS: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

/// Sends all of it through tables that hold fewer receivers than there are, and compares.
fn survive(messages: &[(usize, Vec<u8>)], cut: usize) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(Limits { max_receivers: 4, ..Limits::default() });
    for (receiver, payload) in messages {
        pair.near.tell(PATHS[*receiver], payload.clone());
    }
    let mut arrived = Vec::new();
    loop {
        pair.settle(cut);
        let before = arrived.len();
        arrived.extend(std::iter::from_fn(|| pair.take()));
        if arrived.len() == before {
            break;
        }
    }
    for (receiver, path) in PATHS.iter().enumerate() {
        let sent = messages.iter().filter(|(to, _)| *to == receiver).map(|(_, body)| body);
        let here = arrived.iter().filter(|(to, _)| to == path);
        prop_assert!(sent.eq(here.map(|(_, payload)| payload)));
    }
    prop_assert_eq!(arrived.len(), messages.len());
    prop_assert_eq!((pair.far.room.held, pair.near.waiting.len()), (0, 0));
    Ok(())
}

#[test]
fn messages_survive_a_cut_at_every_size() {
    let small: Vec<_> = (0..12).map(|n| (n % 5, vec![n as u8; n * n])).collect();
    for cut in 1..=small.iter().map(|(_, body)| body.len() + 20).sum() {
        survive(&small, cut).expect("all of it arrives");
    }
    let large = [(0, vec![1; 70_000]), (1, vec![2; 66_000]), (0, vec![3]), (4, vec![4])];
    for cut in [5, 6, 63, 4096, 16_383, 16_384, 16_390, 65_535, 65_536, 65_545] {
        survive(&large, cut).expect("all of it arrives");
    }
}

fn any_payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => vec(any::<u8>(), 0..64),
        1 => (0..300_000_usize).prop_map(|len| vec![7; len]),
        1 => (0..300_000_usize, any::<u64>()).prop_map(|(len, seed)| {
            (0..len as u64).map(|n| (n.wrapping_mul(seed | 1) >> 29) as u8).collect()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn messages_survive_any_chunking(
        messages in vec((0..5_usize, any_payload()), 0..24),
        cut in prop_oneof![1..64_usize, 64..100_000_usize],
    ) {
        survive(&messages, cut)?;
    }
}
