use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rakt_wire::native::{
    Body, CloseCode, Event, Head, Inbound, Limits, Message, MessageKind, Outbound, Payload, Role,
    put_failure, put_operation, put_outcome, put_terminated, read_failure, read_operation,
    read_outcome, read_terminated,
};
use rakt_wire::{
    Address, Code, Dialect, Failure, Metadata, Operation, Outcome, Reader, SpawnArgument,
    Terminated,
};

use super::On;

fn any_metadata() -> impl Strategy<Value = Metadata> {
    vec((".{0,12}", ".{0,30}"), 1..6).prop_map(|pairs| {
        let mut metadata = Metadata::new();
        for (key, value) in pairs {
            metadata.append(key, value).expect("few and short");
        }
        metadata
    })
}

fn any_failure() -> impl Strategy<Value = Failure> {
    let code = proptest::sample::select(&Code::ALL[..]);
    (code, ".{0,40}", any::<u64>(), any::<u64>()).prop_map(|(code, detail, size, limit)| Failure {
        code,
        detail,
        size,
        limit,
    })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let path = || "[a-z/]{1,40}";
    let uid = || option::of(any::<u64>());
    let argument = ("[a-z.]{0,20}", vec(any::<u8>(), 0..100))
        .prop_map(|(type_name, payload)| SpawnArgument { type_name, payload: payload.into() });
    prop_oneof![
        path().prop_map(|path| Operation::Lookup { path }),
        (path(), "[A-Z][a-z]{0,20}", option::of(argument))
            .prop_map(|(path, kind, argument)| Operation::Spawn { path, kind, argument }),
        (path(), uid()).prop_map(|(path, uid)| Operation::Stop { path, uid }),
        (path(), uid()).prop_map(|(path, uid)| Operation::Respawn { path, uid }),
        (path(), uid()).prop_map(|(path, uid)| Operation::Reinstate { path, uid }),
        (path(), uid(), any::<u64>()).prop_map(|(path, uid, watch_id)| Operation::Watch {
            path,
            uid,
            watch_id
        }),
        any::<u64>().prop_map(|watch_id| Operation::Unwatch { watch_id }),
        Just(Operation::Ping),
        Just(Operation::Kinds),
    ]
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (any::<u64>(), "[A-Z][a-z]{0,20}").prop_map(|(uid, kind)| Outcome::Found { uid, kind }),
        Just(Outcome::Absent),
        Just(Outcome::Done),
        any::<u64>().prop_map(|uid| Outcome::Spawned { uid }),
        vec("[A-Z][a-z]{0,20}", 0..20).prop_map(Outcome::Kinds),
    ]
}

fn any_terminated() -> impl Strategy<Value = Terminated> {
    prop_oneof![
        ".{0,40}".prop_map(|text| Terminated::Failed(text.into())),
        proptest::sample::select(vec![
            Terminated::Stopped,
            Terminated::Passivated,
            Terminated::NotFound,
            Terminated::StaleIncarnation,
            Terminated::NodeLost,
            Terminated::Shutdown,
        ]),
    ]
}

fn any_remaining() -> impl Strategy<Value = Option<Duration>> {
    option::of((1..u64::MAX).prop_map(Duration::from_micros))
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..100),
        1 => (65_000..200_000_usize).prop_map(|len| vec![7; len]),
    ]
}

/// Something a dialer sends.
#[derive(Clone, Debug)]
enum FromDialer {
    Message {
        kind: MessageKind,
        path: String,
        uid: Option<u64>,
        sender: Option<String>,
        type_name: String,
        remaining: Option<Duration>,
        metadata: Option<Metadata>,
        raw_len: Option<u32>,
        payload: Vec<u8>,
    },
    Request(u64, Option<Duration>, Option<Metadata>, Operation),
    Cancel(u64),
    Ping(u64),
    GoAway(String),
}

/// Something an acceptor sends.
#[derive(Clone, Debug)]
enum FromAcceptor {
    Reply(u64, Option<u32>, Vec<u8>),
    Fail(u64, Failure),
    Nack(u32, Option<u32>, u32, u32, Failure),
    Respond(u64, Outcome),
    Terminated(u64, Terminated),
    Grant(u32, u32, u64),
    Pong(u64),
    Close(String),
}

fn from_dialer() -> impl Strategy<Value = FromDialer> {
    let kind = prop_oneof![
        Just(MessageKind::Tell),
        any::<u64>().prop_map(|corr| MessageKind::Confirm { corr }),
        any::<u64>().prop_map(|corr| MessageKind::Ask { corr }),
    ];
    let names = ("[a-d]", option::of(0..3_u64), option::of("[a-f]"), "[a-e]");
    let rest =
        (any_remaining(), option::of(any_metadata()), option::of(0..16_000_000_u32), any_body());
    prop_oneof![
        6 => (kind, names, rest).prop_map(|(kind, (path, uid, sender, type_name), rest)| {
            let (remaining, metadata, raw_len, payload) = rest;
            let raw_len = raw(raw_len, &payload);
            FromDialer::Message {
                kind, path, uid, sender, type_name, remaining, metadata, raw_len, payload,
            }
        }),
        1 => (any::<u64>(), any_remaining(), option::of(any_metadata()), any_operation())
            .prop_map(|(corr, remaining, metadata, operation)| {
                FromDialer::Request(corr, remaining, metadata, operation)
            }),
        1 => any::<u64>().prop_map(FromDialer::Cancel),
        1 => any::<u64>().prop_map(FromDialer::Ping),
        1 => ".{0,40}".prop_map(FromDialer::GoAway),
    ]
}

/// A compressed payload is not longer than it was.
fn raw(raw_len: Option<u32>, payload: &[u8]) -> Option<u32> {
    raw_len.map(|len| len.max(payload.len() as u32))
}

fn from_acceptor() -> impl Strategy<Value = FromAcceptor> {
    let raw_len = option::of(0..16_000_000_u32);
    let nack = (any::<u32>(), option::of(0..u32::MAX), any::<u32>(), any::<u32>(), any_failure());
    prop_oneof![
        (any::<u64>(), raw_len, any_body()).prop_map(|(corr, raw_len, body)| FromAcceptor::Reply(
            corr,
            raw(raw_len, &body),
            body
        )),
        (any::<u64>(), any_failure()).prop_map(|(corr, why)| FromAcceptor::Fail(corr, why)),
        nack.prop_map(|(a, b, c, d, why)| FromAcceptor::Nack(a, b, c, d, why)),
        (any::<u64>(), any_outcome()).prop_map(|(a, b)| FromAcceptor::Respond(a, b)),
        (any::<u64>(), any_terminated()).prop_map(|(a, b)| FromAcceptor::Terminated(a, b)),
        (any::<u32>(), any::<u32>(), any::<u64>())
            .prop_map(|(a, b, c)| FromAcceptor::Grant(a, b, c)),
        any::<u64>().prop_map(FromAcceptor::Pong),
        ".{0,40}".prop_map(FromAcceptor::Close),
    ]
}

/// Compares what arrives with what is expected, one event after the other.
fn expect(role: Role, limits: Limits, bytes: &[u8], cut: usize, expected: Vec<Event<'_>>) {
    let mut expected = VecDeque::from(expected);
    let mut inbound = Inbound::new(role, limits);
    let mut buf = Vec::new();
    for piece in bytes.chunks(cut) {
        buf.extend_from_slice(piece);
        let mut sink = On::new(&buf, |event| {
            let definition = matches!(
                event,
                Event::Receiver { .. } | Event::Sender { .. } | Event::Type { .. } | Event::Reset
            );
            if !definition {
                assert_eq!(Some(event), expected.pop_front());
            }
        });
        // Partial bodies outlive one sink here; what they hold is checked elsewhere.
        sink.held = inbound.held();
        let taken = inbound.handle_bytes(&buf, &mut sink).expect("our own bytes");
        buf.drain(..taken);
    }
    assert!(buf.is_empty() && expected.is_empty(), "{expected:?} did not arrive");
}

fn body(bytes: &[u8]) -> Body {
    Body::Whole(Bytes::copy_from_slice(bytes))
}

/// Sends one thing and returns the event that it must become. Everything is flushed in between, since
/// control goes before data otherwise.
fn send_from_dialer<'a>(out: &mut Outbound, sent: &'a FromDialer) -> Event<'a> {
    match sent {
        FromDialer::Message {
            kind,
            path,
            uid,
            sender,
            type_name,
            remaining,
            metadata,
            raw_len,
            payload,
        } => {
            // Twice: a reset in the first round outdates what came before it.
            let mut resolve = || {
                (
                    out.receiver(path, *uid).id,
                    sender.as_ref().map(|sender| out.sender(sender).id),
                    out.message_type(type_name).id,
                )
            };
            resolve();
            let (receiver, sender, type_id) = resolve();
            let metadata = metadata.as_ref();
            let head = Head { receiver, sender, type_id, remaining: *remaining, metadata };
            let bytes = Bytes::copy_from_slice(payload);
            out.message(*kind, &head, Payload::Ready { bytes, raw_len: *raw_len })
                .expect("it fits");
            Event::Message(Message {
                kind: *kind,
                receiver,
                sender,
                type_id,
                remaining: *remaining,
                metadata: metadata.cloned().map(Box::new),
                raw_len: *raw_len,
                body: body(payload),
            })
        }
        FromDialer::Request(corr, remaining, metadata, operation) => {
            out.request(*corr, *remaining, metadata.as_ref(), operation).expect("it fits");
            Event::Request {
                corr: *corr,
                remaining: *remaining,
                metadata: metadata.clone(),
                operation: operation.clone(),
            }
        }
        FromDialer::Cancel(corr) => {
            out.cancel(*corr);
            Event::Cancel { corr: *corr }
        }
        FromDialer::Ping(nonce) => {
            out.ping(*nonce);
            Event::Ping { nonce: *nonce }
        }
        FromDialer::GoAway(text) => {
            out.goaway(CloseCode::ShuttingDown, text);
            Event::GoAway { code: CloseCode::ShuttingDown, text }
        }
    }
}

fn send_from_acceptor<'a>(out: &mut Outbound, sent: &'a FromAcceptor) -> Event<'a> {
    match sent {
        FromAcceptor::Reply(corr, raw_len, payload) => {
            let bytes = Bytes::copy_from_slice(payload);
            out.reply(*corr, Payload::Ready { bytes, raw_len: *raw_len }).expect("it fits");
            Event::Reply { corr: *corr, raw_len: *raw_len, body: body(payload) }
        }
        FromAcceptor::Fail(corr, failure) => {
            out.fail(*corr, failure);
            Event::Fail { corr: *corr, failure: failure.clone() }
        }
        FromAcceptor::Nack(receiver, sender, type_id, epoch, failure) => {
            let (receiver, sender, type_id, epoch) = (*receiver, *sender, *type_id, *epoch);
            out.nack(receiver, sender, type_id, epoch, failure);
            let failure = failure.clone();
            Event::Nack { receiver, sender, type_id, epoch, count: 1, failure }
        }
        FromAcceptor::Respond(corr, outcome) => {
            out.respond(*corr, outcome);
            Event::Response { corr: *corr, outcome: outcome.clone() }
        }
        FromAcceptor::Terminated(watch_id, reason) => {
            out.terminated(*watch_id, reason);
            Event::Terminated { watch_id: *watch_id, reason: reason.clone() }
        }
        FromAcceptor::Grant(receiver, epoch, bytes) => {
            out.grant(*receiver, *epoch, *bytes);
            Event::Credit { receiver: *receiver, epoch: *epoch, bytes: *bytes }
        }
        FromAcceptor::Pong(nonce) => {
            out.pong(*nonce);
            Event::Pong { nonce: *nonce }
        }
        FromAcceptor::Close(text) => {
            out.close(CloseCode::Denied, text);
            Event::Close { code: CloseCode::Denied, text }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_a_dialer_sends_arrives(sent in vec(from_dialer(), 0..20), cut in 1..4_000_usize) {
        let limits = Limits { max_receivers: 5, max_senders: 4, max_types: 4, ..Limits::default() };
        let mut out = Outbound::new(Role::Dialer, limits);
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for one in &sent {
            expected.push(send_from_dialer(&mut out, one));
            while out.poll_transmit(&mut bytes) {}
        }
        expect(Role::Acceptor, limits, &bytes, cut, expected);
    }

    #[test]
    fn what_an_acceptor_sends_arrives(sent in vec(from_acceptor(), 0..20), cut in 1..4_000_usize) {
        let mut out = Outbound::new(Role::Acceptor, Limits::default());
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for one in &sent {
            expected.push(send_from_acceptor(&mut out, one));
            while out.poll_transmit(&mut bytes) {}
        }
        expect(Role::Dialer, Limits::default(), &bytes, cut, expected);
    }

    #[test]
    fn operations_read_back(operation in any_operation(), outcome in any_outcome()) {
        let mut bytes = Vec::new();
        put_operation(&mut bytes, &operation);
        prop_assert_eq!(read_operation(&mut Reader::new(&bytes)), Ok(Ok(operation)));
        bytes.clear();
        put_outcome(&mut bytes, &outcome);
        prop_assert_eq!(read_outcome(&mut Reader::new(&bytes)), Ok(outcome));
    }

    #[test]
    fn addresses_read_back(
        path in "[a-z][a-zA-Z0-9._-]{0,20}(/[0-9][a-z]{0,9}){0,3}",
        system in "[A-Z][a-z0-9]{0,20}",
        host in prop_oneof!["[a-z0-9.-]{1,30}", any::<u128>().prop_map(|bits| {
            std::net::Ipv6Addr::from_bits(bits).to_string()
        })],
        port: u16,
    ) {
        let address = Address::new(path, system, host, port).unwrap();
        prop_assert_eq!(address.to_string().parse(), Ok(address.clone()));
        let goakt = address.with_dialect(Dialect::GoAkt);
        prop_assert_eq!(goakt.to_string().parse(), Ok(goakt));
    }
}

#[test]
fn an_operation_of_a_newer_peer_can_be_answered() {
    let bytes = super::frame(rakt_wire::native::FrameKind::Request, b"\x07\0\0\xc8what?");
    let mut seen = Vec::new();
    let mut sink = On::new(&bytes, |event| seen.push(format!("{event:?}")));
    Inbound::new(Role::Acceptor, Limits::default()).handle_bytes(&bytes, &mut sink).unwrap();
    assert_eq!(seen, ["Unsupported { corr: 7, code: 200 }"]);
}

#[test]
fn what_newer_peers_say_is_read_as_far_as_possible() {
    let failure = [200, 0, 0, 3, b'n', b'e', b'w'];
    let read = read_failure(&mut Reader::new(&failure));
    assert_eq!(read, Ok(Failure::with_detail(Code::Internal, "new")));
    let ending = [200, 3, b'n', b'e', b'w'];
    let read = read_terminated(&mut Reader::new(&ending));
    assert_eq!(read, Ok(Terminated::Failed("new".into())));
}

#[test]
fn operations_are_bounded() {
    let read = |operation: &Operation| {
        let mut bytes = Vec::new();
        put_operation(&mut bytes, operation);
        read_operation(&mut Reader::new(&bytes)).is_ok()
    };
    let lookup = |len: usize| Operation::Lookup { path: "a".repeat(len) };
    assert!(read(&lookup(1024)) && !read(&lookup(1025)));
    let spawn = |kind: usize, type_name: usize| Operation::Spawn {
        path: "a".into(),
        kind: "k".repeat(kind),
        argument: Some(SpawnArgument { type_name: "t".repeat(type_name), payload: Bytes::new() }),
    };
    assert!(read(&spawn(255, 255)) && !read(&spawn(256, 255)) && !read(&spawn(255, 256)));

    let kinds = |count: u16| {
        let mut bytes = vec![5];
        rakt_wire::put_varint(&mut bytes, u64::from(count));
        bytes.extend(vec![0; usize::from(count)]);
        read_outcome(&mut Reader::new(&bytes)).is_ok()
    };
    assert!(kinds(1024) && !kinds(1025));
}

#[test]
fn details_are_cut_at_1024_bytes() {
    let mut bytes = Vec::new();
    let long = "ä".repeat(600);
    put_failure(&mut bytes, &Failure::with_detail(Code::Denied, long.clone()));
    let failure = read_failure(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(failure.detail, "ä".repeat(512));
    bytes.clear();
    put_terminated(&mut bytes, &Terminated::Failed(long.into()));
    let reason = read_terminated(&mut Reader::new(&bytes)).unwrap();
    assert_eq!(reason, Terminated::Failed("ä".repeat(512).into()));
    let too_long = [&[1, 0, 0, 0x81, 8][..], &[b'x'; 1025]].concat();
    assert!(read_failure(&mut Reader::new(&too_long)).is_err());
}
