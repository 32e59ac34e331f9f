use bytes::BufMut;
use rakt_wire::native::{
    Event, FrameKind, HEADER_ALLOWANCE, Inbound, Limits, LinkError, MAX_CONTROL_LEN,
    MAX_REASON_LEN, MAX_STREAMS, Role,
};
use rakt_wire::{DecodeError, MAX_DETAIL_LEN, Metadata, put_string, put_varint};

use super::{On, frame};

const LIMITS: Limits = Limits { max_frame_len: 64 * 1024, max_message_len: 100_000, ..Limits::MIN };

/// What an acceptor makes of these frames: how many events, and how it ends.
fn accept(frames: &[Vec<u8>]) -> (usize, Result<usize, LinkError>) {
    read(Role::Acceptor, frames)
}

fn read(role: Role, frames: &[Vec<u8>]) -> (usize, Result<usize, LinkError>) {
    let (bytes, mut count) = (frames.concat(), 0);
    let mut sink = On::new(&bytes, |_| count += 1);
    let result = Inbound::new(role, LIMITS).handle_bytes(&bytes, &mut sink);
    (count, result)
}

fn definitions() -> Vec<u8> {
    [
        frame(FrameKind::Receiver, b"\0\0\x01a"),
        frame(FrameKind::Sender, b"\0\x01b"),
        frame(FrameKind::Type, b"\0\x01c"),
    ]
    .concat()
}

fn first(stream: u64, inner: FrameKind, total: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, stream);
    body.push(inner.as_u8());
    put_varint(&mut body, total);
    body.extend_from_slice(bytes);
    frame(FrameKind::First, &body)
}

fn more(stream: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    put_varint(&mut body, stream);
    body.extend_from_slice(bytes);
    frame(FrameKind::More, &body)
}

/// A tell to receiver 0 from sender 0 of type 0, without payload.
const TELL: &[u8] = b"\0\0\x01\0";

#[test]
fn a_frame_above_the_limit_is_refused_by_its_header() {
    let header = |len: u32| [&[FrameKind::Tell.as_u8()][..], &len.to_be_bytes()].concat();
    assert_eq!(accept(&[header(64 * 1024)]).1, Ok(0));
    let expected = LinkError::FrameTooLong { len: 64 * 1024 + 1, limit: 64 * 1024 };
    assert_eq!(accept(&[header(64 * 1024 + 1)]).1, Err(expected));
}

#[test]
fn a_control_frame_is_short() {
    for kind in [FrameKind::Ping, FrameKind::Receiver, FrameKind::Cancel, FrameKind::Close] {
        let header = |len: u32| [&[kind.as_u8()][..], &len.to_be_bytes()].concat();
        assert_eq!(accept(&[header(MAX_CONTROL_LEN)]).1, Ok(0));
        let len = MAX_CONTROL_LEN + 1;
        let expected = LinkError::FrameTooLong { len, limit: MAX_CONTROL_LEN };
        assert_eq!(accept(&[header(len)]).1, Err(expected));
    }
}

#[test]
fn an_unknown_frame_ends_the_link_at_its_first_byte() {
    let error = accept(&[vec![0x7f, 0, 0, 0, 1]]).1.unwrap_err();
    assert_eq!(error, LinkError::UnknownFrame { kind: 0x7f });
}

#[test]
fn a_frame_in_the_wrong_direction_ends_the_link() {
    for kind in FrameKind::ALL {
        for role in [Role::Dialer, Role::Acceptor] {
            let result = read(role, &[vec![kind.as_u8(), 0, 0, 0, 1]]).1;
            let expected = if kind.may_come_from(role.peer()) {
                Ok(0)
            } else {
                Err(LinkError::Direction { kind })
            };
            assert_eq!(result, expected);
        }
    }
}

#[test]
fn definitions_are_dense() {
    for (kind, body) in [
        (FrameKind::Receiver, &b"\x01\0\x01a"[..]),
        (FrameKind::Sender, b"\x01\x01a"),
        (FrameKind::Type, b"\x01\x01a"),
    ] {
        let expected = LinkError::NotDense { kind, alias: 1, expected: 0 };
        assert_eq!(accept(&[frame(kind, body)]), (0, Err(expected)));
    }
}

#[test]
fn definitions_are_counted_until_a_reset() {
    for kind in [FrameKind::Receiver, FrameKind::Sender, FrameKind::Type] {
        let define = |id: u8| {
            let flag = if kind == FrameKind::Receiver { &[0][..] } else { &[] };
            frame(kind, &[&[id], flag, b"\x01a"].concat())
        };
        let mut frames: Vec<_> = (0..4).map(define).collect();
        assert!(accept(&frames).1.is_ok());
        frames.push(define(4));
        assert_eq!(accept(&frames), (4, Err(LinkError::TableFull { kind, limit: 4 })));
        frames[4] = frame(FrameKind::Reset, b"");
        frames.push(define(0));
        assert_eq!(accept(&frames).0, 6);
    }
}

#[test]
fn a_message_speaks_only_of_what_is_defined() {
    let tell = |body: &[u8]| accept(&[definitions(), frame(FrameKind::Tell, body)]);
    assert!(tell(TELL).1.is_ok());
    for (body, what) in
        [(b"\0\x01\x01\0", "receiver"), (b"\0\0\x02\0", "sender"), (b"\0\0\x01\x01", "type")]
    {
        let expected = LinkError::Undefined { kind: FrameKind::Tell, what, alias: 1, count: 1 };
        assert_eq!(tell(body).1, Err(expected));
    }
    let after_reset = [definitions(), frame(FrameKind::Reset, b""), frame(FrameKind::Tell, TELL)];
    assert!(matches!(accept(&after_reset).1, Err(LinkError::Undefined { count: 0, .. })));
}

#[test]
fn unknown_flags_end_the_link() {
    for bit in 3..8 {
        let tell = frame(FrameKind::Tell, &[1 << bit, 0, 1, 0]);
        let source = DecodeError::Unknown { what: "flags", value: 1 << bit };
        let expected = LinkError::Malformed { kind: FrameKind::Tell, source };
        assert_eq!(accept(&[definitions(), tell]).1, Err(expected));
    }
}

#[test]
fn a_payload_is_bounded_raw_and_compressed() {
    let claim = |raw_len: u64| {
        let mut body = b"\x02\0\x01\0".to_vec();
        put_varint(&mut body, raw_len);
        accept(&[definitions(), frame(FrameKind::Tell, &body)]).1
    };
    assert!(claim(100_000).is_ok());
    let expected = LinkError::TooLong { what: "a raw payload", len: 100_001, limit: 100_000 };
    assert_eq!(claim(100_001), Err(expected));

    let limits = Limits { max_message_len: 1024, ..LIMITS };
    let tell = |len: usize| {
        let body = [TELL, &vec![0; len]].concat();
        let bytes = [definitions(), frame(FrameKind::Tell, &body)].concat();
        Inbound::new(Role::Acceptor, limits).handle_bytes(&bytes, &mut On::new(&bytes, |_| ()))
    };
    assert!(tell(1024).is_ok());
    let expected = LinkError::TooLong { what: "a payload", len: 1025, limit: 1024 };
    assert_eq!(tell(1025), Err(expected));
}

/// A payload costs its raw length, whatever it takes up here.
#[test]
fn a_compressed_payload_is_not_longer_than_its_raw_length() {
    let expected = |len| LinkError::TooLong { what: "a compressed payload", len, limit: 3 };
    for (kind, head, role) in [
        (FrameKind::Tell, &b"\x02\0\x01\0\x03"[..], Role::Acceptor),
        (FrameKind::Reply, b"\x05\x02\x03", Role::Dialer),
    ] {
        let definitions = if role == Role::Acceptor { definitions() } else { Vec::new() };
        let whole = |payload: &[u8]| {
            read(role, &[definitions.clone(), frame(kind, &[head, payload].concat())]).1
        };
        assert!(whole(b"abc").is_ok());
        assert_eq!(whole(b"abcd"), Err(expected(4)));
        let chunked = |total: usize| {
            let mut body = vec![0, kind.as_u8()];
            put_varint(&mut body, (head.len() + total) as u64);
            body.extend([head, b"a"].concat());
            read(role, &[definitions.clone(), frame(FrameKind::First, &body)]).1
        };
        assert!(chunked(3).is_ok());
        assert_eq!(chunked(9), Err(expected(9)));
    }
}

#[test]
fn a_reply_is_bounded_like_a_message() {
    let reply = |raw_len: u64| {
        let mut body = b"\x05\x02".to_vec();
        put_varint(&mut body, raw_len);
        read(Role::Dialer, &[frame(FrameKind::Reply, &body)]).1
    };
    assert!(reply(100_000).is_ok());
    assert!(matches!(reply(100_001), Err(LinkError::TooLong { len: 100_001, .. })));
}

#[test]
fn names_are_bounded() {
    let define = |kind, front: &[u8], name: &str| {
        let mut body = front.to_vec();
        put_string(&mut body, name);
        accept(&[frame(kind, &body)]).1
    };
    let path = |len: usize| "a/".repeat(len / 2 - 1) + &"b".repeat(2 + len % 2);
    for (kind, front, limit) in [
        (FrameKind::Receiver, &b"\0\0"[..], 1024),
        (FrameKind::Sender, b"\0", 2048),
        (FrameKind::Type, b"\0", 255),
    ] {
        assert!(define(kind, front, &path(limit)).is_ok(), "{kind}");
        let result = define(kind, front, &path(limit + 1));
        assert!(matches!(result, Err(LinkError::Malformed { .. })), "{kind}: {result:?}");
    }
}

#[test]
fn texts_are_bounded() {
    let text = |front: &[u8], len: usize| {
        let mut body = front.to_vec();
        put_string(&mut body, &"x".repeat(len));
        body
    };
    for (kind, front, what, limit) in [
        (FrameKind::Fail, &b"\0\x01\0\0"[..], "detail", MAX_DETAIL_LEN),
        (FrameKind::Nack, b"\0\0\0\0\x01\x01\0\0", "detail", MAX_DETAIL_LEN),
        (FrameKind::Terminated, b"\0\x02", "detail", MAX_DETAIL_LEN),
        (FrameKind::GoAway, b"\0", "text", MAX_REASON_LEN),
        (FrameKind::Close, b"\0", "text", MAX_REASON_LEN),
    ] {
        let read = |len| read(Role::Dialer, &[frame(kind, &text(front, len))]);
        assert_eq!(read(limit).0, 1, "{kind} {what}: {:?}", read(limit).1);
        let source = DecodeError::TooLarge { what, value: limit as u64 + 1, limit: limit as u64 };
        assert_eq!(read(limit + 1).1, Err(LinkError::Malformed { kind, source }));
    }
}

#[test]
fn a_receivers_path_is_valid() {
    for path in ["", "/a", "a//b", "a b", "../a"] {
        let mut body = vec![0, 0];
        put_string(&mut body, path);
        let result = accept(&[frame(FrameKind::Receiver, &body)]).1;
        assert!(matches!(result, Err(LinkError::Malformed { .. })), "{path:?}");
    }
}

#[test]
fn metadata_is_bounded() {
    let tell = |claim: u64, metadata: &[u8]| {
        let mut body = b"\x01\0\x01\0".to_vec();
        put_varint(&mut body, claim);
        body.extend_from_slice(metadata);
        accept(&[definitions(), frame(FrameKind::Tell, &body)]).1
    };
    let mut metadata = Metadata::new();
    metadata.append("k", "v".repeat(16 * 1024 - 5)).unwrap();
    let mut bytes = Vec::new();
    metadata.encode(&mut bytes);
    assert!(tell(bytes.len() as u64, &bytes).is_ok());
    bytes.push(0);
    let source = DecodeError::TooLarge { what: "metadata", value: 16_385, limit: 16_384 };
    let expected = LinkError::Malformed { kind: FrameKind::Tell, source };
    assert_eq!(tell(bytes.len() as u64, &bytes), Err(expected));
}

#[test]
fn a_chunked_body_is_bounded_by_its_claim() {
    let limit = 100_000 + HEADER_ALLOWANCE as u64;
    let claim = |total| accept(&[definitions(), first(1, FrameKind::Tell, total, TELL)]).1;
    // The claim includes the header part, the payload alone must still fit.
    assert!(claim(100_004).is_ok());
    assert!(matches!(claim(100_005), Err(LinkError::TooLong { len: 100_001, .. })));
    let expected = LinkError::TooLong { what: "a chunked body", len: limit + 1, limit };
    assert_eq!(claim(limit + 1), Err(expected));
    let request = |total| accept(&[first(1, FrameKind::Request, total, b"\x01")]).1;
    assert!(request(limit).is_ok());
    assert!(request(limit + 1).is_err());
}

#[test]
fn streams_are_counted() {
    let mut frames = vec![definitions()];
    frames.extend((0..MAX_STREAMS as u64).map(|n| first(n, FrameKind::Tell, 5, TELL)));
    assert!(accept(&frames).1.is_ok());
    frames.push(first(MAX_STREAMS as u64, FrameKind::Tell, 5, TELL));
    let expected = LinkError::TooManyStreams { limit: MAX_STREAMS };
    assert_eq!(accept(&frames).1, Err(expected));
    // One that ends makes room for the next.
    let last = frames.len() - 1;
    frames.insert(last, more(3, b"x"));
    assert!(accept(&frames).1.is_ok());
}

#[test]
fn chunks_fit_their_stream() {
    let open = || first(1, FrameKind::Tell, 6, &[TELL, b"x"].concat());
    let ends = |frames: &[Vec<u8>]| {
        let frames = [&[definitions()], frames].concat();
        match accept(&frames).1 {
            Err(LinkError::Stream { what, .. }) => what,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(ends(&[more(1, b"x")]), "it is not open");
    assert_eq!(ends(&[open(), more(2, b"x")]), "it is not open");
    assert_eq!(ends(&[open(), more(1, b"x"), more(1, b"x")]), "it is not open");
    assert_eq!(ends(&[open(), open()]), "it is open already");
    assert_eq!(ends(&[open(), more(1, b"")]), "it is empty");
    assert_eq!(ends(&[open(), more(1, b"xy")]), "it is longer than announced");
    assert_eq!(ends(&[first(1, FrameKind::Tell, 3, TELL)]), "it is longer than announced");
    assert_eq!(ends(&[frame(FrameKind::Abort, b"\x01")]), "it is not open");
    let aborted = frame(FrameKind::Abort, b"\x01");
    assert_eq!(ends(&[open(), aborted.clone(), more(1, b"x")]), "it is not open");
    assert!(accept(&[definitions(), open(), aborted, open()]).1.is_ok());
}

#[test]
fn an_error_leaves_nothing_held() {
    let open = || first(1, FrameKind::Tell, 100, &[TELL, b"held"].concat());
    for bad in [more(1, b""), more(1, &[0; 100]), more(2, b"x"), open(), vec![0xff; 5]] {
        let bytes = [definitions(), open(), bad].concat();
        let mut sink = On::new(&bytes, |_| ());
        let mut inbound = Inbound::new(Role::Acceptor, LIMITS);
        inbound.handle_bytes(&bytes, &mut sink).unwrap_err();
        inbound.clear(&mut sink);
        assert_eq!(sink.held, 0);
    }
}

#[test]
fn only_bodies_with_a_payload_come_in_chunks() {
    for kind in FrameKind::ALL {
        let may = matches!(
            kind,
            FrameKind::Tell | FrameKind::Confirm | FrameKind::Ask | FrameKind::Request
        );
        let result = accept(&[definitions(), first(1, kind, 20, b"\0\0\0\0\0\0")]).1;
        assert_eq!(result.is_ok(), may, "{kind}: {result:?}");
    }
}

#[test]
fn a_reset_within_a_chunked_message_ends_the_link() {
    let open = first(1, FrameKind::Tell, 6, TELL);
    let reset = frame(FrameKind::Reset, b"");
    let result = accept(&[definitions(), open.clone(), reset.clone()]).1;
    assert!(matches!(result, Err(LinkError::Malformed { kind: FrameKind::Reset, .. })));
    assert!(accept(&[definitions(), open, more(1, b"xy"), reset]).1.is_ok());
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let bytes = [definitions(), first(1, FrameKind::Tell, 100_000, TELL)].concat();
    let mut sink = On::new(&bytes, |_| ());
    let mut inbound = Inbound::new(Role::Acceptor, LIMITS);
    inbound.handle_bytes(&bytes, &mut sink).unwrap();
    assert_eq!((inbound.held(), sink.held), (0, 0));
    let chunk = more(1, &[0; 1000]);
    inbound.handle_bytes(&chunk, &mut sink).unwrap();
    assert_eq!((inbound.held(), sink.held), (1000, 1000));
    inbound.clear(&mut sink);
    assert_eq!((inbound.held(), sink.held), (0, 0));
}

#[test]
fn room_for_a_chunk_follows_what_has_arrived_and_ends_with_it() {
    let room = |inbound: &mut Inbound| inbound.room().map_or(0, |room| room.remaining_mut());
    let begin = first(1, FrameKind::Tell, 90_004, &[TELL, &[0; 100][..]].concat());
    let bytes = [definitions(), begin].concat();
    let mut sink = On::new(&bytes, |_| ());
    let mut inbound = Inbound::new(Role::Acceptor, LIMITS);
    inbound.handle_bytes(&bytes, &mut sink).unwrap();
    assert_eq!((room(&mut inbound), inbound.expects_chunk()), (0, true), "no chunk has begun");

    let chunk = more(1, &[0; 50_000]);
    let mut arrived = 100;
    for piece in chunk[..chunk.len() - 1_000].chunks(700) {
        assert_eq!(inbound.handle_bytes(piece, &mut sink), Ok(piece.len()));
        arrived += piece.len() - if arrived == 100 { 6 } else { 0 };
        assert_eq!((inbound.held(), sink.held), (arrived, arrived));
        assert!(room(&mut inbound) <= arrived, "as much again at most");
        assert_eq!(inbound.wanted(), 50_100 - arrived);
    }
    assert_eq!(room(&mut inbound), 1_000, "the next frame belongs elsewhere");
    inbound.room().unwrap().put_slice(&[0; 600]);
    inbound.handle_filled(&mut sink).unwrap();
    assert_eq!((inbound.held(), sink.held), (49_700, 49_700));
    assert_eq!((room(&mut inbound), inbound.expects_chunk()), (400, false));
    inbound.room().unwrap().put_slice(&[0; 400]);
    inbound.handle_filled(&mut sink).unwrap();
    assert_eq!((room(&mut inbound), inbound.expects_chunk()), (0, true));
    inbound.clear(&mut sink);
    assert_eq!(sink.held, 0);
}

#[test]
fn what_was_read_in_place_and_does_not_fit_is_refused() {
    let mut refused = 0;
    let begin = first(1, FrameKind::Tell, 3_004, &[TELL, &[0; 1_000][..]].concat());
    let bytes = [definitions(), begin, more(1, &[0; 2_000])[..506].to_vec()].concat();
    let mut sink =
        On::new(&bytes, |event| refused += u32::from(matches!(event, Event::Refused(_))));
    sink.room = 1_600;
    let mut inbound = Inbound::new(Role::Acceptor, LIMITS);
    assert_eq!(inbound.handle_bytes(&bytes, &mut sink), Ok(bytes.len()));
    let mut room = inbound.room().expect("room has doubled");
    room.put_slice(&[0; 200]);
    inbound.handle_filled(&mut sink).unwrap();
    assert_eq!((sink.held, inbound.held()), (0, 0));
    assert!(inbound.room().is_none(), "the rest is skipped");
    assert_eq!(inbound.handle_bytes(&[0; 1_300], &mut sink), Ok(1_300));
    let again = first(1, FrameKind::Tell, 6, &[TELL, b"xy"].concat());
    assert_eq!(inbound.handle_bytes(&again, &mut sink), Ok(again.len()), "it is over");
    drop(sink);
    assert_eq!(refused, 1);
}

#[test]
fn a_large_message_without_room_is_refused_once_and_skipped() {
    let mut refused = Vec::new();
    let mut others = Vec::new();
    let bytes = [
        definitions(),
        first(1, FrameKind::Ask, 3_005, &[b"\x09\0\0\x01\0", &[0; 1000][..]].concat()),
        more(1, &[0; 1000]),
        more(1, &[0; 1000]),
        frame(FrameKind::Tell, TELL),
        first(1, FrameKind::Tell, 6, &[TELL, b"xy"].concat()),
    ]
    .concat();
    let mut sink = On::new(&bytes, |event| match event {
        Event::Refused(message) => refused.push(message),
        Event::Message(message) => others.push(message.body.len()),
        _ => {}
    });
    sink.room = 1_500;
    let mut inbound = Inbound::new(Role::Acceptor, LIMITS);
    assert_eq!(inbound.handle_bytes(&bytes, &mut sink), Ok(bytes.len()));
    assert_eq!(sink.held, 0);
    let [message] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((message.kind.corr(), message.raw_len), (Some(9), Some(3_000)));
    assert!(message.body.is_empty());
    // The tell after it, and the stream that uses its number again, are not affected.
    assert_eq!(others, [0, 2]);
}

#[test]
fn a_large_request_or_reply_without_room_is_refused_too() {
    let mut events = Vec::new();
    for (role, inner) in [
        (Role::Acceptor, FrameKind::Request),
        (Role::Dialer, FrameKind::Reply),
        (Role::Dialer, FrameKind::Response),
    ] {
        let bytes = [first(1, inner, 5, b"\x07\0x"), more(1, b"yz")].concat();
        let mut sink = On::new(&bytes, |event| events.push(format!("{event:?}")));
        sink.room = 0;
        Inbound::new(role, LIMITS).handle_bytes(&bytes, &mut sink).unwrap();
    }
    let reply = "RefusedReply { corr: 7 }";
    assert_eq!(events, ["RefusedRequest { corr: 7 }", reply, reply]);
}

#[test]
fn wanted_says_what_the_front_frame_needs() {
    let tell = frame(FrameKind::Tell, &[TELL, &[0; 100]].concat());
    let bytes = [definitions(), tell].concat();
    let mut inbound = Inbound::new(Role::Acceptor, LIMITS);
    let part = &bytes[..bytes.len() - 30];
    let taken = inbound.handle_bytes(part, &mut On::new(part, |_| ())).unwrap();
    assert_eq!(taken, definitions().len());
    assert_eq!(inbound.wanted(), 30);
    let rest = &bytes[taken..];
    inbound.handle_bytes(rest, &mut On::new(rest, |_| ())).unwrap();
    assert_eq!(inbound.wanted(), 0);
}
