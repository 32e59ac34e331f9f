//! Golden frames: what is written today must be what was written yesterday, and what the protocol's
//! description says. A change here is a change of the protocol.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rakt_wire::native::{
    Budget, CloseCode, Event, FrameKind, HEADER_LEN, Handshake, Head, Hello, Inbound, Limits,
    MessageKind, Outbound, Payload, RefuseReason, Role, Sink,
};
use rakt_wire::{
    Bound, Cause, Code, Compression, Failure, Metadata, Operation, Outcome, SpawnArgument,
    Terminated,
};

/// Name and bytes in hex, in the order of the description.
const GOLDEN: &[(&str, &str)] = &[
    (
        "preface and HELLO",
        "f772616b740a01010100000045010473686f70021030313233343536373839616263646566030c093132372e302e302e310cf904020201050006178080800880808008808080028080048080048020808004",
    ),
    ("preface and REFUSE: incompatible version", "f772616b740a01010200000006010101020300"),
    (
        "preface and REFUSE: denied",
        "f772616b740a0101020000001304000000000d6e6f742066726f6d2068657265",
    ),
    ("RECEIVER", "100000000c0100096f72646572732f3433"),
    ("RECEIVER with uid", "100000001401010102030405060708096f72646572732f3432"),
    ("SENDER", "1100000020011e72616b743a2f2f73686f70403132372e302e302e313a333332312f626f62"),
    ("TYPE", "120000000b010973686f702e42696c6c"),
    ("TELL", "20000000090000010068656c6c6f"),
    ("TELL without sender", "20000000090000000068656c6c6f"),
    ("TELL compressed", "200000000802000100ac02aabb"),
    ("CONFIRM", "210000000bac020000010068656c6c6f"),
    (
        "ASK with time remaining and metadata",
        "220000001c0705000100c096b1020d010674656e616e740461636d6568656c6c6f",
    ),
    ("CANCEL", "260000000107"),
    ("REQUEST lookup", "300000000e08000001096f72646572732f3432"),
    (
        "REQUEST spawn",
        "300000003409c096b102010d010674656e616e740461636d6502096f72646572732f3433054f72646572010a73686f702e5374617274020801",
    ),
    ("REQUEST watch", "30000000180a000006096f72646572732f343201000000000000000501"),
    ("PING", "41000000080102030405060708"),
    ("FIRST, MORE: the TELL above in two chunks", "28000000080020090000010068290000000500656c6c6f"),
    ("ABORT", "2a0000000100"),
    ("RESET, TYPE", "1300000000120000000c000a73686f702e4f72646572"),
    ("REPLY", "23000000060700646f6e65"),
    ("REPLY compressed", "23000000060702ac02aabb"),
    ("FAIL", "2400000008070d000003627567"),
    ("FAIL with size and limit", "24000000070709ac02c80100"),
    (
        "FAIL with a bound",
        "2400000020070605091b6d656d6f727920666f72206d657373616765732028627974657329",
    ),
    ("FAIL with a cause", "2400000016070d0000116e6f206f726465720a6e6f2073746f636b"),
    ("NACK", "2500000009000100000205000000"),
    ("RESPONSE found", "310000001008010000000000000005054f72646572"),
    ("RESPONSE kinds", "310000000e0805020443617274054f72646572"),
    ("TERMINATED", "3200000006010203627567"),
    ("CREDIT", "40000000050000c0843d"),
    ("PONG", "42000000080102030405060708"),
    ("GOAWAY", "43000000050203627965"),
    ("CLOSE", "44000000190317756e6b6e6f776e206672616d65206b696e642030783766"),
];

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

fn hello() -> Hello {
    Hello {
        system: "shop".into(),
        incarnation: *b"0123456789abcdef",
        advertised: Some(("127.0.0.1".into(), 3321)),
        compressions: vec![Compression::Zstd, Compression::Gzip],
        features: Vec::new(),
        limits: Limits::default(),
        auth: Bytes::new(),
        lane: None,
    }
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.append("tenant", "acme").expect("it fits");
    metadata
}

/// What is written for each name, by the code under test.
fn written() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = handshakes();
    let definitions = |out: &mut Outbound| {
        out.receiver("orders/42", None);
        out.sender("rakt://shop@127.0.0.1:3321/clerk");
        out.message_type("shop.Order");
    };
    let mut dialer = |name, act: &dyn Fn(&mut Outbound)| {
        let mut out = Outbound::new(Role::Dialer, Limits::default());
        definitions(&mut out);
        out.poll_transmit(&mut Vec::new());
        act(&mut out);
        all.push((name, drain(&mut out)));
    };
    dialer("RECEIVER", &|out| {
        out.receiver("orders/43", None);
    });
    dialer("RECEIVER with uid", &|out| {
        out.receiver("orders/42", Some(0x0102_0304_0506_0708));
    });
    dialer("SENDER", &|out| {
        out.sender("rakt://shop@127.0.0.1:3321/bob");
    });
    dialer("TYPE", &|out| {
        out.message_type("shop.Bill");
    });
    let head = Head { receiver: 0, sender: Some(0), type_id: 0, remaining: None, metadata: None };
    let send = |out: &mut Outbound, kind, head: &Head<'_>, payload: Payload<'_>| {
        out.message(kind, head, payload).expect("it fits");
    };
    const TEXT: &[u8] = b"hello";
    let text = || Payload::Encode(&TEXT);
    dialer("TELL", &|out| send(out, MessageKind::Tell, &head, text()));
    dialer("TELL without sender", &|out| {
        send(out, MessageKind::Tell, &Head { sender: None, ..head }, text());
    });
    dialer("TELL compressed", &|out| {
        // The bytes stand for any compressed payload.
        let payload = Payload::Ready { bytes: Bytes::from_static(b"\xaa\xbb"), raw_len: Some(300) };
        send(out, MessageKind::Tell, &head, payload);
    });
    dialer("CONFIRM", &|out| send(out, MessageKind::Confirm { corr: 300 }, &head, text()));
    let metadata = metadata();
    let remaining = Some(Duration::from_secs(5));
    dialer("ASK with time remaining and metadata", &|out| {
        let head = Head { remaining, metadata: Some(&metadata), ..head };
        send(out, MessageKind::Ask { corr: 7 }, &head, text());
    });
    dialer("CANCEL", &|out| out.cancel(7));
    dialer("REQUEST lookup", &|out| {
        let operation = Operation::Lookup { path: "orders/42".into() };
        out.request(8, None, None, &operation).expect("it fits");
    });
    dialer("REQUEST spawn", &|out| {
        let argument = SpawnArgument {
            type_name: "shop.Start".into(),
            payload: Bytes::from_static(b"\x08\x01"),
        };
        let operation = Operation::Spawn {
            path: "orders/43".into(),
            kind: "Order".into(),
            argument: Some(argument),
        };
        out.request(9, remaining, Some(&metadata), &operation).expect("it fits");
    });
    dialer("REQUEST watch", &|out| {
        let operation = Operation::Watch { path: "orders/42".into(), uid: Some(5), watch_id: 1 };
        out.request(10, None, None, &operation).expect("it fits");
    });
    dialer("PING", &|out| out.ping(0x0102_0304_0506_0708));
    dialer("ABORT", &|out| {
        let payload = vec![0; 700_000];
        send(out, MessageKind::Ask { corr: 7 }, &head, Payload::Encode(&&payload[..]));
        out.poll_transmit(&mut Vec::new());
        out.cancel(7);
    });
    let mut small = Outbound::new(Role::Dialer, Limits { max_types: 4, ..Limits::default() });
    for n in 0..4 {
        small.message_type(&n.to_string());
    }
    drain(&mut small);
    small.message_type("shop.Order");
    all.push(("RESET, TYPE", drain(&mut small)));
    all.extend(from_acceptor());
    all
}

fn handshakes() -> Vec<(&'static str, Vec<u8>)> {
    let (mut dialer, mut acceptor) = (Handshake::dial(hello()), Handshake::accept(hello()));
    let opening = dialer.poll_transmit().expect("a greeting").to_vec();
    acceptor.handle_bytes(&mut BytesMut::from(&opening[..])).expect("it is welcome");
    let answer = acceptor.poll_transmit().expect("an answer").to_vec();
    assert_eq!(opening, answer, "both speak version 1 only, so they open alike");
    let mut refusing = Handshake::accept(hello());
    let mut future = BytesMut::from(&opening[..]);
    (future[6], future[7]) = (2, 3);
    refusing.handle_bytes(&mut future).expect_err("it comes from the future");
    let refusal = refusing.poll_transmit().expect("a refusal").to_vec();
    let mut denying = Handshake::accept(hello());
    let denied = |_: &Hello| Err(RefuseReason::Denied("not from here".into()));
    denying.handle_bytes_with(&mut BytesMut::from(&opening[..]), denied).expect_err("denied");
    let denial = denying.poll_transmit().expect("a refusal").to_vec();
    vec![
        ("preface and HELLO", opening),
        ("preface and REFUSE: incompatible version", refusal),
        ("preface and REFUSE: denied", denial),
    ]
}

fn from_acceptor() -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    let mut acceptor = |name, act: &dyn Fn(&mut Outbound)| {
        let mut out = Outbound::new(Role::Acceptor, Limits::default());
        act(&mut out);
        all.push((name, drain(&mut out)));
    };
    acceptor("REPLY", &|out| {
        out.reply(7, Payload::Encode(&&b"done"[..])).expect("it fits");
    });
    acceptor("REPLY compressed", &|out| {
        let payload = Payload::Ready { bytes: Bytes::from_static(b"\xaa\xbb"), raw_len: Some(300) };
        out.reply(7, payload).expect("it fits");
    });
    acceptor("FAIL", &|out| out.fail(7, &Failure::with_detail(Code::HandlerFailed, "bug")));
    acceptor("FAIL with size and limit", &|out| out.fail(7, &Failure::too_large(300, 200)));
    acceptor("FAIL with a bound", &|out| {
        out.fail(7, &Failure::exhausted(&Bound::MessageMemory, 9))
    });
    acceptor("FAIL with a cause", &|out| {
        let cause = Cause::from_lines("no order\nno stock");
        out.fail(7, &Failure::with_cause(Code::HandlerFailed, &cause));
    });
    acceptor("NACK", &|out| {
        let failure = Failure::new(Code::MailboxFull);
        out.nack(0, Some(0), 0, 0, &failure);
        out.nack(0, Some(0), 0, 0, &failure);
    });
    acceptor("RESPONSE found", &|out| {
        out.respond(8, &Outcome::Found { uid: 5, kind: "Order".into() });
    });
    acceptor("RESPONSE kinds", &|out| {
        out.respond(8, &Outcome::Kinds(vec!["Cart".into(), "Order".into()]));
    });
    acceptor("TERMINATED", &|out| out.terminated(1, &Terminated::Failed("bug".into())));
    acceptor("CREDIT", &|out| out.grant(0, 0, 1_000_000));
    acceptor("PONG", &|out| out.pong(0x0102_0304_0506_0708));
    acceptor("GOAWAY", &|out| out.goaway(CloseCode::ShuttingDown, "bye"));
    acceptor("CLOSE", &|out| out.close(CloseCode::Protocol, "unknown frame kind 0x7f"));
    all
}

fn drain(out: &mut Outbound) -> Vec<u8> {
    let mut bytes = Vec::new();
    while out.poll_transmit(&mut bytes) {}
    bytes
}

/// Chunks of a size that nobody would choose, so that they fit the page; a reader takes any size.
const CHUNKED: &str = "FIRST, MORE: the TELL above in two chunks";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hex digits");
        u8::from_str_radix(pair, 16).expect("hex digits")
    };
    text.as_bytes().chunks(2).map(byte).collect()
}

fn golden(name: &str) -> Vec<u8> {
    let found = GOLDEN.iter().find(|(other, _)| *other == name);
    unhex(found.unwrap_or_else(|| panic!("no golden frame {name:?}")).1)
}

#[test]
fn what_is_written_is_golden() {
    let written = written();
    for (name, bytes) in &written {
        assert_eq!(hex(bytes), hex(&golden(name)), "{name}");
    }
    // All but the chunks, which are only read.
    assert_eq!(written.len(), GOLDEN.len() - 1);
}

#[test]
fn every_kind_of_frame_has_a_golden_one() {
    let mut seen = BTreeSet::from([FrameKind::Auth]);
    for (name, text) in GOLDEN {
        let bytes = unhex(text);
        let mut rest = if name.starts_with("preface") { &bytes[8..] } else { &bytes[..] };
        while let Some((&[kind, ref len @ ..], after)) = rest.split_first_chunk::<HEADER_LEN>() {
            seen.insert(FrameKind::from_u8(kind).expect("a known kind"));
            rest = &after[u32::from_be_bytes(*len) as usize..];
        }
        assert!(rest.is_empty(), "{name} holds whole frames");
    }
    assert_eq!(seen, BTreeSet::from(FrameKind::ALL));
}

struct Count {
    events: usize,
    payloads: Vec<Vec<u8>>,
    buf: Vec<u8>,
}

impl Sink for Count {
    fn event(&mut self, event: Event<'_>) {
        self.events += 1;
        if let Event::Message(message) = event {
            self.payloads.push(message.body.bytes(&self.buf).to_vec());
        }
    }
}

impl Budget for Count {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

#[test]
fn golden_frames_are_read() {
    for (name, text) in GOLDEN.iter().filter(|(name, _)| !name.starts_with("preface")) {
        let frames = unhex(text);
        let first = FrameKind::from_u8(frames[0]).expect("a known kind");
        let role = if first.may_come_from(Role::Dialer) { Role::Acceptor } else { Role::Dialer };
        let mut bytes = Vec::new();
        if role == Role::Acceptor {
            let mut out = Outbound::new(Role::Dialer, Limits::default());
            out.receiver("orders/42", None);
            out.sender("rakt://shop@127.0.0.1:3321/clerk");
            out.message_type("shop.Order");
            bytes = drain(&mut out);
        }
        if *name == "ABORT" {
            // It needs a stream to abort: the first of the two chunks.
            bytes.extend(&golden(CHUNKED)[..13]);
        }
        let definitions = if bytes.is_empty() { 0 } else { 3 };
        bytes.extend(frames);
        let mut count = Count { events: 0, payloads: Vec::new(), buf: bytes.clone() };
        let read = Inbound::new(role, Limits::default()).handle_bytes(&bytes, &mut count);
        assert_eq!(read, Ok(bytes.len()), "{name}");
        let expected = match *name {
            "RESET, TYPE" => 2,
            "ABORT" => 0,
            _ => 1,
        };
        assert_eq!(count.events - definitions, expected, "{name}");
        if *name == CHUNKED {
            assert_eq!(count.payloads, [b"hello"]);
        }
    }
}

#[test]
fn the_description_shows_the_same_frames() {
    let rows: Vec<(&str, &str)> = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("## Golden frames"))
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix("` |")?.split_once(" | `"))
        .collect();
    assert_eq!(rows, GOLDEN);
}
