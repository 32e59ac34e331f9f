use std::panic::{AssertUnwindSafe, catch_unwind};

use rakt_wire::native::{
    Alias, BUSY_CAPACITY, CHUNK_HEADER_LEN, CHUNK_LEN, CloseCode, Event, FrameKind, Head,
    IDLE_CAPACITY, Inbound, Limits, MessageKind, Outbound, Payload, Role, Segments, SendError,
    TRANSMIT_TARGET,
};
use rakt_wire::{
    Cause, Code, Encode, EncodeError, Failure, Metadata, Operation, Outcome, SpawnArgument,
    Terminated, cost,
};

use super::{On, kinds};

fn dialer(limits: Limits) -> Outbound {
    let mut outbound = Outbound::new(Role::Dialer, limits);
    outbound.receiver("a", None);
    outbound.receiver("b", None);
    outbound.sender("rakt://s@h:1/x");
    outbound.message_type("t");
    outbound
}

fn head(receiver: u32) -> Head<'static> {
    Head { receiver, sender: None, type_id: 0, remaining: None, metadata: None }
}

fn send(
    outbound: &mut Outbound,
    kind: MessageKind,
    receiver: u32,
    payload: &[u8],
) -> Result<(), SendError> {
    outbound.message(kind, &head(receiver), Payload::Encode(&payload))
}

fn tell(outbound: &mut Outbound, receiver: u32, payload: &[u8]) {
    send(outbound, MessageKind::Tell, receiver, payload).expect("it is accepted");
}

fn alias(id: u32) -> Alias {
    Alias { id, epoch: 0 }
}

/// One write.
fn poll(outbound: &mut Outbound) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(outbound.poll_transmit(&mut out), !out.is_empty());
    out
}

fn only_kinds(bytes: &[u8]) -> Vec<FrameKind> {
    kinds(bytes).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn a_name_is_sent_once() {
    let mut outbound = Outbound::new(Role::Dialer, Limits::default());
    let a = outbound.receiver("a", None);
    let a_life = outbound.receiver("a", Some(7));
    assert_eq!((a.id, a_life.id), (0, 1));
    assert_eq!((outbound.receiver("a", None), outbound.receiver("a", Some(7))), (a, a_life));
    assert_eq!(outbound.sender("x"), outbound.sender("x"));
    assert_eq!(outbound.message_type("t"), outbound.message_type("t"));
    let expected = [FrameKind::Receiver, FrameKind::Receiver, FrameKind::Sender, FrameKind::Type];
    assert_eq!(only_kinds(&poll(&mut outbound)), expected);
}

#[test]
fn a_full_table_begins_a_new_epoch() {
    let mut outbound = dialer(Limits { max_receivers: 2, ..Limits::default() });
    let (a, t) = (outbound.receiver("a", None), outbound.message_type("t"));
    let c = outbound.receiver("c", None);
    assert_eq!((c.id, c.epoch, outbound.epoch()), (0, 1, 1));
    assert!(outbound.is_current(c) && !outbound.is_current(a) && !outbound.is_current(t));
    assert_eq!(outbound.credit(a), 0);
    assert_eq!(outbound.message_type("t"), Alias { id: 0, epoch: 1 });
    let sent = only_kinds(&poll(&mut outbound));
    assert_eq!(sent[4..], [FrameKind::Reset, FrameKind::Receiver, FrameKind::Type]);
}

#[test]
fn an_alias_that_is_not_defined_is_refused() {
    let mut outbound = dialer(Limits::default());
    let head = Head { sender: Some(0), ..head(0) };
    for wrong in [
        Head { receiver: 2, ..head },
        Head { sender: Some(1), ..head },
        Head { type_id: 1, ..head },
    ] {
        let sent = outbound.message(MessageKind::Tell, &wrong, Payload::Encode(&&b""[..]));
        assert_eq!(sent, Err(SendError::Undefined));
    }
    let sent = outbound.message(MessageKind::Tell, &head, Payload::Encode(&&b""[..]));
    assert_eq!(sent, Ok(()));
}

#[test]
fn a_message_costs_its_raw_length_and_a_bit() {
    let mut outbound = dialer(Limits { receiver_window: 2_000, ..Limits::default() });
    tell(&mut outbound, 0, &[0; 100]);
    assert_eq!(cost(100), 356);
    assert_eq!(outbound.credit(alias(0)), 2_000 - 356);
    assert_eq!(outbound.credit(alias(1)), 2_000);
    let packed = Payload::Ready { bytes: vec![0; 10].into(), raw_len: Some(5_000) };
    outbound.message(MessageKind::Tell, &head(0), packed).unwrap();
    assert_eq!(outbound.credit(alias(0)), 2_000 - 356 - 5_256);
}

#[test]
fn credit_comes_back_up_to_the_window_and_only_in_its_epoch() {
    let mut outbound = dialer(Limits { receiver_window: 2_000, ..Limits::default() });
    tell(&mut outbound, 0, &[0; 1000]);
    assert!(outbound.handle_credit(0, 0, 100));
    assert_eq!(outbound.credit(alias(0)), 2_000 - 1_256 + 100);
    assert!(outbound.handle_credit(0, 0, u64::MAX));
    assert_eq!(outbound.credit(alias(0)), 2_000);
    assert!(!outbound.handle_credit(0, 1, 5), "another epoch");
    assert!(!outbound.handle_credit(2, 0, 5), "no such receiver");
}

#[test]
fn control_goes_before_data() {
    let mut outbound = dialer(Limits::default());
    tell(&mut outbound, 0, b"x");
    outbound.request(1, None, None, &Operation::Ping).unwrap();
    outbound.ping(1);
    let sent = only_kinds(&poll(&mut outbound));
    assert_eq!(sent[..2], [FrameKind::Request, FrameKind::Ping]);
    assert_eq!(sent.last(), Some(&FrameKind::Tell));

    let mut outbound = Outbound::new(Role::Acceptor, Limits::default());
    outbound.reply(1, Payload::Encode(&&b"x"[..])).unwrap();
    outbound.fail(2, &Failure::new(Code::Denied));
    outbound.respond(3, &Outcome::Done);
    outbound.terminated(4, &Terminated::Stopped);
    outbound.grant(0, 0, 1);
    outbound.goaway(CloseCode::ShuttingDown, "");
    outbound.pong(5);
    use FrameKind::{Credit, Fail, GoAway, Pong, Reply, Response, Terminated as Ended};
    let expected = [Response, Ended, Credit, GoAway, Pong, Reply, Fail];
    assert_eq!(only_kinds(&poll(&mut outbound)), expected);
}

#[test]
fn close_is_the_last_word() {
    let large = vec![0; 3 * TRANSMIT_TARGET];
    let mut outbound = Outbound::new(Role::Acceptor, Limits::default());
    outbound.close(CloseCode::Normal, "");
    outbound.reply(1, Payload::Encode(&&large[..])).unwrap();
    outbound.fail(2, &Failure::new(Code::Denied));
    let mut sent = Vec::new();
    while !outbound.is_empty() {
        sent.extend(only_kinds(&poll(&mut outbound)));
    }
    assert_eq!(sent.iter().filter(|kind| **kind == FrameKind::More).count(), 12);
    assert_eq!(sent.last(), Some(&FrameKind::Close));

    outbound.reply(1, Payload::Encode(&&large[..])).unwrap();
    outbound.fail(2, &Failure::new(Code::Denied));
    outbound.close_now(CloseCode::Protocol, "");
    assert_eq!(only_kinds(&poll(&mut outbound)), [FrameKind::Fail, FrameKind::Close]);
    assert!(outbound.is_empty());
}

#[test]
fn a_flood_of_pings_is_answered_once() {
    let mut outbound = Outbound::new(Role::Acceptor, Limits::default());
    (0..1_000_000).for_each(|nonce| outbound.pong(nonce));
    assert!(!outbound.is_empty());
    let bytes = poll(&mut outbound);
    assert_eq!(bytes, super::frame(FrameKind::Pong, &999_999_u64.to_be_bytes()));
    assert!(outbound.is_empty());
}

#[test]
fn what_is_too_long_for_the_peer_is_cut() {
    let (long, most) = ("x".repeat(3000), 1024);
    let failure = Failure::with_detail(Code::Internal, long.clone());
    let mut outbound = Outbound::new(Role::Acceptor, Limits::default());
    outbound.fail(1, &failure);
    outbound.nack(0, None, 0, 0, &failure);
    outbound.terminated(1, &Terminated::Failed(long.as_str().into()));
    outbound.respond(2, &Outcome::Kinds(vec!["kind".to_owned(); most + 1]));
    outbound.goaway(CloseCode::ShuttingDown, &long);
    outbound.close(CloseCode::ShuttingDown, &long);
    let (bytes, mut lens) = (poll(&mut outbound), Vec::new());
    let mut sink = On::new(&bytes, |event| {
        lens.push(match event {
            Event::Fail { failure, .. } | Event::Nack { failure, .. } => failure.detail.len(),
            Event::Terminated { reason: Terminated::Failed(cause), .. } => cause.to_string().len(),
            Event::Response { outcome: Outcome::Kinds(kinds), .. } => kinds.len(),
            Event::GoAway { text, .. } | Event::Close { text, .. } => text.len(),
            other => panic!("{other:?}"),
        });
    });
    let taken = Inbound::new(Role::Dialer, Limits::default()).handle_bytes(&bytes, &mut sink);
    assert_eq!((taken, lens), (Ok(bytes.len()), vec![most; 6]));
}

#[test]
fn equal_nacks_in_a_row_become_one() {
    let mut outbound = Outbound::new(Role::Acceptor, Limits::default());
    let full = Failure::new(Code::MailboxFull);
    for receiver in [0, 0, 0, 1, 0] {
        outbound.nack(receiver, None, 0, 0, &full);
    }
    outbound.nack(0, None, 0, 0, &Failure::new(Code::Dropped));
    let (bytes, mut counts) = (poll(&mut outbound), Vec::new());
    let mut sink = On::new(&bytes, |event| match event {
        Event::Nack { receiver, count, failure, .. } => {
            counts.push((receiver, count, failure.code));
        }
        other => panic!("{other:?}"),
    });
    Inbound::new(Role::Dialer, Limits::default()).handle_bytes(&bytes, &mut sink).unwrap();
    let full = Code::MailboxFull;
    assert_eq!(counts, [(0, 3, full), (1, 1, full), (0, 1, full), (0, 1, Code::Dropped)]);
}

#[test]
fn large_messages_take_turns_and_let_small_ones_by() {
    let mut outbound = dialer(Limits::default());
    poll(&mut outbound);
    tell(&mut outbound, 0, &[0; 3 * TRANSMIT_TARGET]);
    tell(&mut outbound, 1, &[0; 2 * TRANSMIT_TARGET]);
    assert!(outbound.is_receiver_busy(alias(0)) && outbound.is_receiver_busy(alias(1)));
    let c = outbound.receiver("c", None);
    use FrameKind::{First, More, Receiver, Tell};
    let begun = [Receiver, First, First, More, More, More, More];
    assert_eq!(only_kinds(&poll(&mut outbound)), begun);
    tell(&mut outbound, c.id, b"small");
    assert_eq!(only_kinds(&poll(&mut outbound)), [Tell, More, More, More, More]);
    poll(&mut outbound);
    assert!(outbound.is_receiver_busy(alias(0)) && outbound.is_receiver_busy(alias(1)));
    poll(&mut outbound);
    assert!(outbound.is_receiver_busy(alias(0)) && !outbound.is_receiver_busy(alias(1)));
    assert_eq!(only_kinds(&poll(&mut outbound)), [More, More, More]);
    assert!(!outbound.is_receiver_busy(alias(0)));
    assert!(outbound.is_empty());
}

#[test]
fn one_write_holds_a_bounded_number_of_chunks() {
    let mut outbound = Outbound::new(Role::Dialer, Limits::default());
    outbound.message_type("t");
    for n in 0..40 {
        let receiver = outbound.receiver(&format!("r{n}"), None);
        tell(&mut outbound, receiver.id, &[0; 2 * TRANSMIT_TARGET]);
    }
    while !outbound.is_empty() {
        assert!(poll(&mut outbound).len() < TRANSMIT_TARGET + CHUNK_LEN + CHUNK_HEADER_LEN);
    }
    assert_eq!(outbound.buffered(), 0);
}

#[test]
fn a_message_does_not_overtake_a_large_one_to_its_receiver() {
    let mut outbound = dialer(Limits::default());
    tell(&mut outbound, 0, &[0; CHUNK_LEN]);
    assert_eq!(send(&mut outbound, MessageKind::Tell, 0, b"x"), Err(SendError::Busy));
    assert_eq!(send(&mut outbound, MessageKind::Tell, 1, b"x"), Ok(()));
    while !poll(&mut outbound).is_empty() {}
    assert_eq!(send(&mut outbound, MessageKind::Tell, 0, b"x"), Ok(()));
}

#[test]
fn chunks_respect_the_frame_limit() {
    let limits = Limits { max_frame_len: Limits::MIN.max_frame_len, ..Limits::default() };
    let mut outbound = dialer(limits);
    let mut metadata = Metadata::new();
    metadata.append("k", "v".repeat(15_000)).unwrap();
    let head = Head { metadata: Some(&metadata), ..head(0) };
    let payload = vec![7; 100_000];
    outbound.message(MessageKind::Tell, &head, Payload::Encode(&&payload[..])).unwrap();
    let mut inbound = Inbound::new(Role::Acceptor, limits);
    let mut arrived = 0;
    loop {
        let bytes = poll(&mut outbound);
        if bytes.is_empty() {
            break;
        }
        assert!(kinds(&bytes).iter().all(|(_, len)| *len <= limits.max_frame_len as usize));
        let mut sink = On::new(&bytes, |event| {
            if let Event::Message(message) = event {
                assert_eq!(message.metadata.as_deref(), Some(&metadata));
                arrived += message.body.len();
            }
        });
        sink.held = inbound.held();
        inbound.handle_bytes(&bytes, &mut sink).unwrap();
    }
    assert_eq!(arrived, 100_000);

    // A header part that fits no frame is refused where it was made.
    let mut metadata = Metadata::new();
    metadata.append("k", "v".repeat(16 * 1024 - 5)).unwrap();
    let head = Head { metadata: Some(&metadata), ..head };
    let sent = outbound.message(MessageKind::Tell, &head, Payload::Encode(&&b""[..]));
    assert!(matches!(sent, Err(SendError::TooLarge { .. })));
}

#[test]
fn an_epoch_ends_after_its_large_messages() {
    let limits = Limits { max_receivers: 2, ..Limits::default() };
    let mut outbound = dialer(limits);
    tell(&mut outbound, 0, &[1; 3 * CHUNK_LEN]);
    let mut bytes = poll(&mut outbound);
    tell(&mut outbound, 1, &[2; 2 * CHUNK_LEN]);
    let c = outbound.receiver("c", None);
    assert!(!outbound.is_receiver_busy(c));
    while outbound.poll_transmit(&mut bytes) {}
    assert!(outbound.is_empty());

    let mut seen = Vec::new();
    let mut sink = On::new(&bytes, |event| match event {
        Event::Message(message) => seen.push(message.body.len()),
        Event::Reset => seen.push(0),
        _ => {}
    });
    Inbound::new(Role::Acceptor, limits).handle_bytes(&bytes, &mut sink).unwrap();
    assert_eq!(seen, [3 * CHUNK_LEN, 2 * CHUNK_LEN, 0]);
}

#[test]
fn cancelling_a_large_ask_drops_its_rest_and_returns_its_credit() {
    let mut outbound = dialer(Limits::default());
    poll(&mut outbound);
    let window = outbound.credit(alias(0));
    let ask = MessageKind::Ask { corr: 5 };
    send(&mut outbound, ask, 0, &[0; 3 * TRANSMIT_TARGET]).unwrap();
    poll(&mut outbound);
    assert!(outbound.credit(alias(0)) < window);
    outbound.cancel(5);
    assert_eq!(outbound.credit(alias(0)), window);
    assert!(!outbound.is_receiver_busy(alias(0)));
    assert_eq!(only_kinds(&poll(&mut outbound)), [FrameKind::Abort]);

    // Nothing of it is out: nothing needs to be said.
    send(&mut outbound, ask, 0, &[0; 3 * TRANSMIT_TARGET]).unwrap();
    outbound.cancel(5);
    assert!(outbound.is_empty());

    // A peer that granted more than it was owed gets no more than its window for it.
    send(&mut outbound, ask, 0, &[0; 3 * CHUNK_LEN]).unwrap();
    outbound.handle_credit(0, 0, u64::MAX);
    outbound.cancel(5);
    assert_eq!(outbound.credit(alias(0)), window);

    // All of it is out: the peer has to be told.
    send(&mut outbound, ask, 0, b"small").unwrap();
    outbound.cancel(5);
    assert_eq!(only_kinds(&poll(&mut outbound)), [FrameKind::Ask, FrameKind::Cancel]);
}

#[test]
fn an_acceptor_can_drop_the_rest_of_a_large_reply() {
    let mut outbound = Outbound::new(Role::Acceptor, Limits::default());
    outbound.reply(5, Payload::Encode(&&[0; 2 * TRANSMIT_TARGET][..])).unwrap();
    poll(&mut outbound);
    outbound.cancel(5);
    assert_eq!(only_kinds(&poll(&mut outbound)), [FrameKind::Abort]);
    outbound.cancel(5);
    assert!(outbound.is_empty(), "an acceptor never sends CANCEL");
}

#[test]
fn a_large_body_counts_whole_until_its_last_chunk_is_given_out() {
    let mut outbound = dialer(Limits::default());
    poll(&mut outbound);
    tell(&mut outbound, 0, &[0; 3 * TRANSMIT_TARGET]);
    let whole = outbound.buffered();
    assert!(whole >= 3 * TRANSMIT_TARGET);
    let mut polls = 0;
    while outbound.is_receiver_busy(alias(0)) {
        assert_eq!((outbound.buffered(), outbound.buffered_large()), (whole, whole));
        assert!(!poll(&mut outbound).is_empty());
        polls += 1;
    }
    assert_eq!((outbound.buffered(), outbound.is_empty(), polls), (0, true, 3));
}

struct Fails;

impl Encode for Fails {
    fn encoded_len(&self) -> Option<usize> {
        None
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(b"half a payload");
        Err(EncodeError::from(Cause::from("the other half is missing")))
    }
}

struct Panics;

impl Encode for Panics {
    fn encoded_len(&self) -> Option<usize> {
        None
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(b"half a payload");
        panic!("a bug in a codec");
    }
}

/// Does not say beforehand how long it is.
struct Surprise(usize);

impl Encode for Surprise {
    fn encoded_len(&self) -> Option<usize> {
        None
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.resize(out.len() + self.0, 7);
        Ok(())
    }
}

#[test]
fn a_payload_that_fails_or_panics_leaves_nothing_behind() {
    let mut outbound = dialer(Limits::default());
    poll(&mut outbound);
    let credit = outbound.credit(alias(0));
    let failed = outbound.message(MessageKind::Tell, &head(0), Payload::Encode(&Fails));
    assert_eq!(
        failed,
        Err(SendError::Encode(EncodeError::from(Cause::from("the other half is missing"))))
    );
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        outbound.message(MessageKind::Tell, &head(0), Payload::Encode(&Panics))
    }));
    assert!(panicked.is_err());
    assert!(outbound.is_empty());
    assert_eq!(outbound.credit(alias(0)), credit);
    tell(&mut outbound, 0, b"x");
    assert_eq!(kinds(&poll(&mut outbound)), [(FrameKind::Tell, 5)]);
}

#[test]
fn a_payload_above_the_limit_is_refused_with_size_and_limit() {
    let limits = Limits { max_message_len: 100_000, ..Limits::default() };
    let mut outbound = dialer(limits);
    poll(&mut outbound);
    let too_large = |size| Err(SendError::TooLarge { size, limit: 100_000 });
    let ready = |len: usize, raw_len| Payload::Ready { bytes: vec![0; len].into(), raw_len };
    let known = vec![0; 100_001];
    for (payload, size) in [
        (Payload::Encode(&&known[..]), 100_001),
        (Payload::Encode(&Surprise(100_002)), 100_002),
        (ready(100_003, None), 100_003),
        (ready(10, Some(100_004)), 100_004),
    ] {
        let sent = outbound.message(MessageKind::Tell, &head(0), payload);
        assert_eq!(sent, too_large(size));
        assert!(outbound.is_empty());
    }
    let sent = outbound.message(MessageKind::Tell, &head(0), Payload::Encode(&Surprise(100_000)));
    assert_eq!(sent, Ok(()));
    let sent = outbound.message(MessageKind::Tell, &head(1), ready(10, Some(100_000)));
    assert_eq!(sent, Ok(()));

    let mut acceptor = Outbound::new(Role::Acceptor, limits);
    assert_eq!(acceptor.reply(1, ready(100_001, None)), too_large(100_001));
    assert!(acceptor.is_empty());
}

#[test]
fn a_request_or_response_above_the_limit_is_refused() {
    let limits = Limits { max_message_len: 1024, ..Limits::default() };
    let mut dialer = Outbound::new(Role::Dialer, limits);
    let spawn = |len: usize| Operation::Spawn {
        path: "a".into(),
        kind: "K".into(),
        argument: Some(SpawnArgument { type_name: "t".into(), payload: vec![0; len].into() }),
    };
    assert_eq!(dialer.request(1, None, None, &spawn(1024)), Ok(()));
    let refused = dialer.request(1, None, None, &spawn(40_000));
    assert!(matches!(refused, Err(SendError::TooLarge { limit: 33_792, .. })));

    let mut acceptor = Outbound::new(Role::Acceptor, limits);
    acceptor.respond(1, &Outcome::Kinds(vec!["k".repeat(255); 1024]));
    assert_eq!(only_kinds(&poll(&mut acceptor)), [FrameKind::Fail]);
}

#[test]
fn large_requests_and_responses_come_in_chunks() {
    let argument = SpawnArgument { type_name: "t".into(), payload: vec![7; 200_000].into() };
    let spawn = Operation::Spawn { path: "a".into(), kind: "K".into(), argument: Some(argument) };
    let kinds_outcome = Outcome::Kinds(vec!["k".repeat(255); 1024]);
    let mut dialer = Outbound::new(Role::Dialer, Limits::default());
    dialer.request(1, None, None, &spawn).unwrap();
    let mut acceptor = Outbound::new(Role::Acceptor, Limits::default());
    acceptor.respond(1, &kinds_outcome);
    let mut arrived = 0;
    for (mut outbound, role) in [(dialer, Role::Acceptor), (acceptor, Role::Dialer)] {
        let mut bytes = Vec::new();
        while outbound.poll_transmit(&mut bytes) {}
        assert_eq!(kinds(&bytes)[0].0, FrameKind::First);
        let mut sink = On::new(&bytes, |event| {
            match event {
                Event::Request { operation, .. } => assert_eq!(operation, spawn),
                Event::Response { outcome, .. } => assert_eq!(outcome, kinds_outcome),
                other => panic!("{other:?}"),
            }
            arrived += 1;
        });
        Inbound::new(role, Limits::default()).handle_bytes(&bytes, &mut sink).unwrap();
        assert_eq!(sink.held, 0);
    }
    assert_eq!(arrived, 2);
}

#[test]
fn an_empty_buffer_is_traded_and_a_large_one_is_not_kept() {
    let mut outbound = dialer(Limits::default());
    let mut out = Vec::with_capacity(1000);
    let given = out.as_ptr();
    assert!(outbound.poll_transmit(&mut out));
    assert_ne!(out.as_ptr(), given);
    out.clear();
    tell(&mut outbound, 0, b"x");
    assert!(outbound.poll_transmit(&mut out));
    assert_eq!(out.as_ptr(), given, "the buffer came back");

    for (capacity, kept_busy, kept_idle) in [
        (IDLE_CAPACITY, true, true),
        (BUSY_CAPACITY, true, false),
        (BUSY_CAPACITY + 1, false, false),
    ] {
        let mut outbound = dialer(Limits::default());
        let mut out = Vec::with_capacity(capacity);
        let given = out.as_ptr();
        outbound.poll_transmit(&mut out);
        tell(&mut outbound, 0, b"x");
        let mut next = Vec::new();
        outbound.poll_transmit(&mut next);
        assert_eq!(next.as_ptr() == given, kept_busy, "{capacity}");

        let mut outbound = dialer(Limits::default());
        let mut out = Vec::with_capacity(capacity);
        let given = out.as_ptr();
        outbound.poll_transmit(&mut out);
        assert!(!outbound.poll_transmit(&mut Vec::new()), "now it is idle");
        tell(&mut outbound, 0, b"x");
        let mut next = Vec::new();
        outbound.poll_transmit(&mut next);
        assert_eq!(next.as_ptr() == given, kept_idle, "{capacity}");
    }
}

#[test]
fn payloads_do_not_show_in_debug() {
    let mut outbound = dialer(Limits::default());
    tell(&mut outbound, 0, b"s3cret");
    let payload = Payload::Ready { bytes: b"s3cret".to_vec().into(), raw_len: None };
    let large = b"s3cret".repeat(200_000);
    tell(&mut outbound, 1, &large);
    let text = format!("{outbound:?} {payload:?} {:?}", Payload::Encode(&&b"s3cret"[..]));
    assert!(!text.contains("s3cret") && !text.contains("115, 51"), "{text}");

    let mut segments = Segments::default();
    assert!(outbound.poll_transmit(&mut segments) && !segments.is_contiguous());
    let mut text = format!("{segments:?}");
    let bytes = segments.to_vec();
    let mut inbound = Inbound::new(Role::Acceptor, Limits::default());
    let mut sink = On::new(&bytes, |event| text += &format!("{event:?}"));
    inbound.handle_bytes(&bytes, &mut sink).unwrap();
    text += &format!("{inbound:?}");
    assert!(inbound.held() > 0);
    assert!(!text.contains("s3cret") && !text.contains("115, 51"), "{text}");
}

#[test]
fn only_some_large_messages_are_under_way_at_a_time() {
    let mut outbound = Outbound::new(Role::Dialer, Limits::default());
    outbound.message_type("t");
    for n in 0..40 {
        let receiver = outbound.receiver(&format!("r{n}"), None);
        tell(&mut outbound, receiver.id, &[0; 4 * TRANSMIT_TARGET]);
    }
    let (mut first, mut seen) = (0, 0);
    // Long before any is complete, as many as may be have begun.
    while seen < 3 * 32 {
        for kind in only_kinds(&poll(&mut outbound)) {
            first += usize::from(kind == FrameKind::First);
            seen += usize::from(matches!(kind, FrameKind::First | FrameKind::More));
        }
    }
    assert_eq!(first, 32);
    // The others get their turn as well.
    while !poll(&mut outbound).is_empty() {}
    assert!(outbound.is_empty());
}
