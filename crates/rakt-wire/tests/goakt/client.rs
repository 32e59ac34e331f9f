//! The side that opened a connection.

use std::time::Duration;

use rakt_wire::goakt::{
    Answer, AnswerError, Call, ClientError, EncodeError, GoError, HIGHEST_MAX_FRAME_LEN, Lost,
    MAX_SETUP_LEN, Opening, Payload, Procedure, Request, Response, SendError, proto,
};
use rakt_wire::{Code, Compression, MAX_KINDS, Metadata};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn lookup() -> Call<'static> {
    let target = proto::Target { host: "127.0.0.1".into(), port: 4001, name: "echo".into() };
    Call::Lookup(target)
}

/// A client with some lookups under way, and a server that has taken them.
fn pair(compression: Compression, count: u64) -> (Client, Server) {
    let (mut client, mut server) = (client(compression), server());
    for n in 0..count {
        assert_eq!(client.send(&lookup(), &Metadata::new(), None, start() + SECOND), Ok(n));
    }
    let mut wire = Vec::new();
    assert_eq!(client.poll_transmit(start(), &mut wire), Ok(count > 0));
    assert_eq!(client.poll_transmit(start(), &mut wire), Ok(false));
    assert_eq!(requests(&mut server, &wire).expect("our own requests").len() as u64, count);
    (client, server)
}

fn answers(client: &mut Client, bytes: &[u8]) -> Result<Vec<(u64, Answer)>, ClientError> {
    let (mut unread, mut list) = (BytesMut::from(bytes), Vec::new());
    while let Some((id, answer)) = client.poll_answer(&mut unread)? {
        list.push((id, answer.expect("without fences each is given out as it comes")));
    }
    Ok(list)
}

#[test]
fn answers_are_matched_in_order_under_every_compression() {
    for compression in Compression::ALL {
        let (mut client, mut server) = pair(compression, 3);
        for (id, address) in [(2, "third"), (0, "first"), (1, "second")] {
            server.respond(id, &Response::Address(address)).unwrap();
        }
        let list = answers(&mut client, &transmitted(&mut server)).unwrap();
        let expected = [(0, "first"), (1, "second"), (2, "third")];
        assert_eq!(list, expected.map(|(id, text)| (id, Answer::Address(text.into()))));
        assert_eq!((client.in_flight(), client.poll_timeout()), (0, None));
        assert!(client.is_usable());
    }
}

#[test]
fn a_request_that_runs_out_of_time_takes_the_connection_with_it() {
    let now = start();
    let mut client = client(Compression::None);
    let mut send = |after: u32| {
        client.send(&lookup(), &Metadata::new(), None, now + SECOND * after).unwrap();
    };
    send(3);
    send(1);
    assert_eq!(client.poll_timeout(), Some(now + SECOND));
    client.poll_transmit(start(), &mut Vec::new()).unwrap();
    client.send(&lookup(), &Metadata::new(), None, now + SECOND * 9).unwrap();
    assert_eq!(client.handle_timeout(now + SECOND / 2), Ok(()));
    let error = client.handle_timeout(now + SECOND).unwrap_err();
    assert_eq!(error, ClientError::TimedOut { id: 1 });
    assert!(!client.is_usable());
    assert_eq!(client.poll_timeout(), None);
    let sent = client.send(&lookup(), &Metadata::new(), None, now);
    assert_eq!(sent, Err(SendError::Closed));
    assert_eq!(client.poll_transmit(start(), &mut Vec::new()), Ok(false));
    let lost: Vec<_> = client.take_lost().collect();
    let of = |id, is_sent| Lost { id, procedure: Procedure::Lookup, is_sent };
    assert_eq!(lost, [of(0, true), of(1, true), of(2, false)]);
    assert_eq!(client.take_lost().count(), 0);
}

#[test]
fn an_answered_request_does_not_time_out() {
    let (mut client, mut server) = pair(Compression::None, 1);
    server.respond(0, &Response::Address("a")).unwrap();
    answers(&mut client, &transmitted(&mut server)).unwrap();
    let later = start() + SECOND * 5;
    client.send(&lookup(), &Metadata::new(), None, later + SECOND).unwrap();
    // It wakes once for the one that is answered, and then for the other.
    assert!(client.poll_timeout().unwrap() < later);
    assert_eq!(client.handle_timeout(later), Ok(()));
    assert_eq!(client.poll_timeout(), Some(later + SECOND));
}

#[test]
fn only_so_many_requests_may_wait() {
    let config =
        ClientConfig { max_in_flight: 1, compression: Compression::None, ..Default::default() };
    let mut client = Client::new(config).unwrap();
    client.send(&lookup(), &Metadata::new(), None, start()).unwrap();
    assert!(client.is_full());
    let sent = client.send(&lookup(), &Metadata::new(), None, start());
    assert_eq!(sent, Err(SendError::Full { limit: 1 }));
}

#[test]
fn no_answer_may_be_so_long_that_it_could_begin_something_else() {
    let (compression, max_frame_len) = (Compression::None, usize::MAX);
    let config = ClientConfig { compression, max_frame_len, ..ClientConfig::default() };
    let mut client = Client::new(config).unwrap();
    for _ in 0..2 {
        client.send(&lookup(), &Metadata::new(), None, start() + SECOND).unwrap();
    }
    client.poll_transmit(start(), &mut Vec::new()).unwrap();
    let (_, mut server) = pair(Compression::None, 1);
    server.respond(0, &Response::Address("a")).unwrap();
    answers(&mut client, &transmitted(&mut server)).unwrap();
    let claim = |len: usize| (len as u32).to_be_bytes();
    assert_eq!(answers(&mut client, &claim(HIGHEST_MAX_FRAME_LEN)), Ok(Vec::new()));
    assert!(answers(&mut client, &claim(HIGHEST_MAX_FRAME_LEN + 1)).is_err());
}

#[test]
fn a_message_above_the_limit_is_refused_before_it_is_sent() {
    let mut client = client(Compression::None);
    let large = vec![0; MAX];
    let messages = [outgoing("t", &large)];
    let sent = client.send(&Call::Tell(&messages), &Metadata::new(), None, start());
    let Err(SendError::Encode(EncodeError::TooLarge { size, limit: MAX })) = sent else {
        panic!("{sent:?}")
    };
    assert!(size > MAX);
    assert_eq!((client.unsent_len(), client.in_flight()), (0, 0));
    // One that fills the frame to its last byte goes.
    let messages = [outgoing("t", &large[..2 * MAX - size])];
    client.send(&Call::Tell(&messages), &Metadata::new(), None, start()).unwrap();
    assert_eq!(client.unsent_len(), MAX);
}

#[test]
fn an_answer_that_nobody_asked_for_or_of_another_kind_breaks_the_connection() {
    let (mut client, mut server) = pair(Compression::None, 1);
    server.respond(0, &Response::Address("a")).unwrap();
    let bytes = transmitted(&mut server).repeat(2);
    assert_eq!(answers(&mut client, &bytes), Err(ClientError::Unasked));
    assert!(!client.is_usable());
    assert_eq!(answers(&mut client, &bytes), Ok(vec![]), "nothing is read after it");

    let (mut client, _) = pair(Compression::None, 1);
    let tell = hex("00000025 0000001d 696e7465726e616c70622e52656d6f746554656c6c526573706f6e7365");
    let error = answers(&mut client, &tell).unwrap_err();
    let found = "internalpb.RemoteTellResponse".to_owned();
    let unexpected = AnswerError::Unexpected { procedure: Procedure::Lookup, found };
    assert_eq!(error, ClientError::Answer(unexpected));
}

#[test]
fn the_kinds_of_a_node_are_bounded() {
    let answered = |body: &[u8]| {
        let mut client = client(Compression::None);
        let node = proto::NodeRequest { node_address: "127.0.0.1:4001".into() };
        client.send(&Call::GetKinds(node), &Metadata::new(), None, start() + SECOND).unwrap();
        client.poll_transmit(start(), &mut Vec::new()).unwrap();
        answers(&mut client, &plain(Procedure::GetKinds.response_name(), body))
    };
    let list = answered(&b"\x0a\x01k".repeat(MAX_KINDS + 1)).unwrap();
    assert_eq!(list, [(0, Answer::Kinds(vec!["k".to_owned(); MAX_KINDS]))]);

    // An empty kind costs two bytes there, and twenty here.
    assert!(answered(&b"\x0a\0".repeat(MAX_SETUP_LEN / 2)).is_ok());
    let error = answered(&b"\x0a\0".repeat(MAX_SETUP_LEN / 2 + 1)).unwrap_err();
    assert!(matches!(error, ClientError::Answer(AnswerError::Malformed { .. })), "{error}");
}

#[test]
fn an_answer_in_the_form_with_metadata_is_understood() {
    let (mut client, _) = pair(Compression::None, 1);
    let mut bytes = hex("00000000 0000001f 0000000a");
    bytes.extend(b"internalpb.RemoteLookupResponse\0\0\0\0\0\0\0\0\0\0\x0a\x01a");
    bytes[3] = bytes.len() as u8;
    let list = answers(&mut client, &bytes).unwrap();
    assert_eq!(list, [(0, Answer::Address("a".into()))]);
}

#[test]
fn a_node_that_goes_down_is_asked_nothing_more_but_may_finish() {
    let (mut client, mut server) = pair(Compression::None, 2);
    let off = rakt_wire::Failure::new(Code::ShuttingDown);
    let error = GoError::from_failure(Procedure::Lookup, "echo", &off);
    server.respond(0, &Response::Error(error)).unwrap();
    let list = answers(&mut client, &transmitted(&mut server)).unwrap();
    let failure = list[0].1.clone().into_result(Procedure::Lookup).unwrap_err();
    assert_eq!(failure.code, Code::RemotingOff);
    assert!(!client.is_usable());
    server.respond(1, &Response::Address("a")).unwrap();
    assert_eq!(answers(&mut client, &transmitted(&mut server)).unwrap().len(), 1);
}

#[test]
fn a_mismatch_of_compression_is_named() {
    // A Go server that was set to zstd or gzip, and told frames without, ends its own stream.
    for (bytes, found) in [
        ("28b52ffd044801000099e9d851", Compression::Zstd),
        ("1f8b08000000000000ff03000000000000000000", Compression::Gzip),
    ] {
        let (mut client, _) = pair(Compression::None, 1);
        let error = answers(&mut client, &hex(bytes)).unwrap_err();
        let found = Opening::GoAkt(found);
        assert_eq!(error, ClientError::Opening { found, wanted: Compression::None });
        assert!(error.to_string().contains("set to none: both must be set alike"), "{error}");
    }
    let (mut client, _) = pair(Compression::Zstd, 1);
    let error = answers(&mut client, &hex("1503010002")).unwrap_err();
    assert!(matches!(error, ClientError::Opening { .. }), "{error}");
}

#[test]
fn a_connection_closed_without_an_answer_says_what_may_be_wrong() {
    let (mut client, mut server) = pair(Compression::None, 2);
    server.respond(0, &Response::Address("a")).unwrap();
    answers(&mut client, &transmitted(&mut server)).unwrap();
    assert_eq!(client.handle_eof(), Err(ClientError::Closed { is_first: false }));
    assert_eq!(client.handle_eof(), Ok(()), "told once");
    let (mut client, _) = pair(Compression::None, 1);
    let error = client.handle_eof().unwrap_err().to_string();
    assert!(error.contains("compression and TLS"), "{error}");
    let (mut client, _) = pair(Compression::None, 0);
    assert_eq!(client.handle_eof(), Ok(()));
}

#[test]
fn an_ask_for_several_has_as_many_replies_and_nothing_is_a_reply() {
    let messages = [outgoing("a", b""), outgoing("b", b"")];
    let call = Call::Ask { messages: &messages, timeout: SECOND };
    let (mut client, mut server) = (client(Compression::None), server());
    client.send(&call, &Metadata::new(), None, start() + SECOND).unwrap();
    let mut wire = Vec::new();
    client.poll_transmit(start(), &mut wire).unwrap();
    requests(&mut server, &wire).unwrap();
    let payload = Payload { type_name: "reply", bytes: b"x" };
    let nothing = Payload { type_name: "", bytes: b"" };
    server.respond(0, &Response::Replies(&[payload, nothing])).unwrap();
    let list = answers(&mut client, &transmitted(&mut server)).unwrap();
    let Answer::Replies(replies) = &list[0].1 else { panic!("{list:?}") };
    let read: Vec<_> = replies.iter().map(|any| (any.type_name(), any.value)).collect();
    assert_eq!(read, [("reply", Bytes::from("x")), ("", Bytes::new())]);
}

#[test]
fn a_large_request_is_compressed_in_pieces_and_arrives_whole() {
    const PIECE: usize = 256 * 1024;
    let large: Vec<u8> = (0..1_000_000_u32).flat_map(|n| n.wrapping_mul(n).to_be_bytes()).collect();
    let (mut client, mut server) = (client(Compression::Zstd), server());
    let messages = [outgoing("t", &large)];
    client.send(&Call::Tell(&messages), &Metadata::new(), None, start() + SECOND).unwrap();
    let (len, mut wire) = (client.unsent_len(), Vec::new());
    assert_eq!(client.poll_transmit(start(), &mut wire), Ok(true));
    assert_eq!(client.unsent_len(), len - PIECE);
    // What comes meanwhile is behind it.
    let messages = [outgoing("t", b"small")];
    client.send(&Call::Tell(&messages), &Metadata::new(), None, start() + SECOND).unwrap();
    let mut pieces = 1;
    while client.poll_transmit(start(), &mut wire).unwrap() {
        pieces += 1;
    }
    assert_eq!((pieces, client.unsent_len()), (len.div_ceil(PIECE), 0));
    let values = requests(&mut server, &wire).unwrap().into_iter().map(|incoming| {
        let Request::Tell(messages) = incoming.request else { panic!("a tell") };
        messages.iter().next().expect("one").message.value
    });
    let are_whole = values.eq([Bytes::from(large), Bytes::from("small")]);
    assert!(are_whole, "what arrives is not what was sent");
}

#[test]
fn what_goes_ahead_of_the_first_request_is_skipped_by_a_node_of_the_same_version_alone() {
    let config = ClientConfig {
        compression: Compression::None,
        checks_version: true,
        ..ClientConfig::default()
    };
    let mut client = Client::new(config).unwrap();
    for n in 0..2 {
        assert_eq!(client.send(&lookup(), &Metadata::new(), None, start() + SECOND), Ok(n));
    }
    let mut wire = Vec::new();
    assert_eq!(client.poll_transmit(start(), &mut wire), Ok(true));
    // GoAkt v3.14 knows the name, and has no handler for it; in v4 it is gone, which ends the connection.
    let check = plain("internalpb.HealthCheckRequest", b"");
    assert!(wire.starts_with(&check));
    assert_eq!(frames(&wire).len(), 3, "once a connection");
    assert_eq!(requests(&mut server(), &wire).unwrap().len(), 2);
    let twice = [&check[..], &wire].concat();
    assert!(matches!(requests(&mut server(), &twice), Err(ServerError::Unknown { .. })));
    let late = [&wire[..], &check].concat();
    assert!(matches!(requests(&mut server(), &late), Err(ServerError::Unknown { .. })));
    let text = client.handle_eof().unwrap_err().to_string();
    assert!(text.contains("is it GoAkt v3.14 (v4 hangs up)?"), "{text}");
}
