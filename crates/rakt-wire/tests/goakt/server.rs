//! The side that took a connection.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rakt_wire::goakt::{
    Call, Deadline, GoError, HIGHEST_MAX_FRAME_LEN, NO_SENDER, Payload, Procedure, Purpose,
    Request, RespondError, Response, ServerConfig, grain, proto,
};
use rakt_wire::{Code, Compression, Metadata, Operation, SpawnArgument};

use super::*;

fn encoded(call: &Call<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    call.encode(&mut out, &Metadata::new(), None, MAX).expect("it fits");
    out
}

fn target(name: &str) -> proto::Target {
    proto::Target { host: "127.0.0.1".into(), port: 4001, name: name.into() }
}

#[test]
fn responses_go_out_in_the_order_of_their_requests() {
    let mut bytes = Vec::new();
    for name in ["a", "b", "c"] {
        bytes.extend(encoded(&Call::Lookup(target(name))));
    }
    let mut server = server();
    let list = requests(&mut server, &bytes).unwrap();
    let ids: Vec<_> = list.iter().map(|incoming| incoming.id).collect();
    assert_eq!(ids, [0, 1, 2]);
    server.respond(2, &Response::Address("third")).unwrap();
    server.respond(1, &Response::Error(GoError::not_found("b"))).unwrap();
    assert_eq!(transmitted(&mut server), b"", "the first one holds them up");
    assert_eq!(server.respond(1, &Response::Done), Err(RespondError::Unknown(1)));
    server.respond(0, &Response::Address("first")).unwrap();
    let sent: Vec<_> =
        frames(&transmitted(&mut server)).into_iter().map(|(name, _)| name).collect();
    let address = Procedure::Lookup.response_name();
    assert_eq!(sent, [address, "internalpb.Error", address]);
    assert!(server.is_idle());
    assert_eq!(server.respond(0, &Response::Done), Err(RespondError::Unknown(0)));
    assert_eq!(server.respond(3, &Response::Done), Err(RespondError::Unknown(3)));
}

#[test]
fn no_frame_may_be_so_long_that_it_could_begin_something_else() {
    let one = encoded(&Call::Lookup(target("a")));
    let config = ServerConfig { max_frame_len: usize::MAX, ..ServerConfig::default() };
    for (claim, taken) in [(HIGHEST_MAX_FRAME_LEN, true), (HIGHEST_MAX_FRAME_LEN + 1, false)] {
        let mut server = Server::new(config.clone());
        let mut unread = BytesMut::from(&[&one[..], &(claim as u32).to_be_bytes()].concat()[..]);
        assert!(server.poll_request(&mut unread).unwrap().is_some());
        let next = server.poll_request(&mut unread);
        assert_eq!(next.is_ok(), taken, "{next:?}");
    }
}

#[test]
fn the_number_and_the_size_of_open_requests_are_bounded() {
    let one = encoded(&Call::Lookup(target("a")));
    let mut unread = BytesMut::from(&one.repeat(5)[..]);
    let mut server = Server::new(ServerConfig { max_in_flight: 2, ..ServerConfig::default() });
    for _ in 0..2 {
        assert!(server.poll_request(&mut unread).unwrap().is_some());
    }
    assert!(server.is_full());
    assert_eq!(server.poll_request(&mut unread), Ok(None));
    assert_eq!(unread.len(), one.len() * 3, "what is not taken stays");
    server.respond(0, &Response::Address("a")).unwrap();
    assert!(server.poll_request(&mut unread).unwrap().is_some());

    let config = ServerConfig { max_in_flight_len: one.len() + 1, ..ServerConfig::default() };
    let mut server = Server::new(config);
    let mut unread = BytesMut::from(&one.repeat(3)[..]);
    assert_eq!(requests(&mut server, &unread.split()).unwrap().len(), 2);
    assert!(server.is_full());
    // A response that waits counts too.
    server.respond(1, &Response::Address(&"x".repeat(100))).unwrap();
    assert!(server.is_full());
    server.respond(0, &Response::Address("a")).unwrap();
    assert!(!server.is_full());
}

#[test]
fn cluster_requests_are_answered_and_a_flood_of_them_waits_to_be_sent() {
    let mut bytes = plain(Procedure::PersistPeerState.request_name(), b"\x0a\x00");
    let node = proto::NodeRequest { node_address: "127.0.0.1:4001".into() };
    bytes.extend(encoded(&Call::GetKinds(node.clone())));
    bytes.extend(encoded(&Call::GetNodeMetric(node)));
    let mut server = server();
    assert_eq!(requests(&mut server, &bytes).unwrap(), []);
    let sent = frames(&transmitted(&mut server));
    assert_eq!(sent.len(), 3);
    for (name, body) in sent {
        assert_eq!(
            (name.as_str(), body),
            ("internalpb.Error", Bytes::from_static(b"\x08\x05\x12\x16cluster is not enabled",))
        );
    }

    let mut flood = BytesMut::from(&bytes.repeat(10_000)[..]);
    assert_eq!(server.poll_request(&mut flood), Ok(None));
    assert!(server.is_full() && !flood.is_empty());
    assert!(transmitted(&mut server).len() < 300 * 1024);
    let mut count = 1;
    while !flood.is_empty() {
        assert_eq!(server.poll_request(&mut flood), Ok(None));
        transmitted(&mut server);
        count += 1;
    }
    assert!(count > 3, "{count}");
}

/// A few bytes may stand for a large frame.
#[test]
fn a_large_frame_is_decompressed_a_piece_at_a_time() {
    for compression in [Compression::Zstd, Compression::Gzip, Compression::Brotli] {
        let mut client = client(compression);
        let large = vec![0; 1 << 20];
        let messages = [outgoing("t", &large)];
        client.send(&Call::Tell(&messages), &Metadata::new(), None, start()).unwrap();
        let mut bytes = Vec::new();
        while client.poll_transmit(start(), &mut bytes).unwrap() {}
        assert!(bytes.len() < 8 * 1024);
        let (mut server, mut unread, mut pieces) = (server(), BytesMut::from(&bytes[..]), 0);
        while server.poll_request(&mut unread).unwrap().is_none() {
            assert!(server.has_more(), "{compression}");
            pieces += 1;
            assert!(server.decompressed() <= pieces * 128 * 1024, "{compression}");
        }
        assert!(pieces >= 8, "{compression}: {pieces}");
        assert!(!server.has_more() && server.decompressed() > 1 << 20);
        // Nothing is left to do once it takes no more.
        server.close();
        assert_eq!(server.poll_request(&mut unread), Ok(None));
        assert!(!server.has_more());
    }
}

#[test]
fn after_an_error_what_is_open_is_still_answered() {
    let mut bytes = encoded(&Call::Lookup(target("a")));
    bytes.extend(hex("0000000e00000006666f6f2e4261"));
    bytes.extend(encoded(&Call::Lookup(target("b"))));
    let mut server = server();
    let mut unread = BytesMut::from(&bytes[..]);
    assert!(server.poll_request(&mut unread).unwrap().is_some());
    server.poll_request(&mut unread).unwrap_err();
    assert_eq!(server.poll_request(&mut unread), Ok(None), "nothing is read after it");
    assert!(!server.is_idle());
    server.respond(0, &Response::Address("a")).unwrap();
    assert!(server.is_idle());
    let mut out = Vec::new();
    server.finish(&mut out).unwrap();
    assert_eq!(frames(&out).len(), 1);
}

#[test]
fn a_response_above_the_limit_becomes_an_error() {
    let ask = Call::Ask { messages: &[outgoing("t", b"")], timeout: Duration::from_secs(1) };
    let mut server = Server::new(ServerConfig { max_frame_len: 200, ..ServerConfig::default() });
    requests(&mut server, &encoded(&ask)).unwrap();
    let large = [0; 200];
    let replies = [Payload { type_name: "t", bytes: &large }];
    let error = server.respond(0, &Response::Replies(&replies)).unwrap_err();
    assert!(matches!(error, RespondError::TooLarge { size: 265, limit: 200 }), "{error}");
    let sent = frames(&transmitted(&mut server));
    assert_eq!(sent[0].0, "internalpb.Error");
    assert!(server.is_idle());
}

#[test]
fn a_response_of_another_kind_is_refused_and_the_request_still_waits() {
    let mut server = server();
    requests(&mut server, &encoded(&Call::Lookup(target("a")))).unwrap();
    let error = server.respond(0, &Response::Replies(&[])).unwrap_err();
    assert_eq!(error, RespondError::Mismatch(Procedure::Lookup));
    server.respond(0, &Response::Address("a")).unwrap();
}

#[test]
fn headers_that_cannot_be_held_are_refused_where_they_count() {
    let section = b"\0\x01\0\x01\xff\0\0\0\0\0\0\0\0\0\0";
    let request = |procedure: Procedure| {
        let name = procedure.request_name();
        let total = 12 + name.len() + section.len();
        let mut bytes = (total as u32).to_be_bytes().to_vec();
        bytes.extend((name.len() as u32).to_be_bytes());
        bytes.extend((section.len() as u32).to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(section);
        bytes
    };
    for procedure in [Procedure::Tell, Procedure::Ask, Procedure::AskGrain, Procedure::TellGrain] {
        let mut server = server();
        assert_eq!(requests(&mut server, &request(procedure)).unwrap(), []);
        let sent = frames(&transmitted(&mut server));
        assert_eq!(sent[0].1, &b"\x08\x03\x12\x15a header is not UTF-8"[..]);
    }
    let mut server = server();
    assert_eq!(requests(&mut server, &request(Procedure::Stop)).unwrap().len(), 1);
}

#[test]
fn only_an_absent_timeout_means_the_default() {
    let timeout = |body: &[u8]| {
        let list = requests(&mut server(), &plain(Procedure::Ask.request_name(), body)).unwrap();
        let Request::Ask { timeout, .. } = list[0].request else { panic!() };
        timeout
    };
    assert_eq!(timeout(b""), Duration::from_secs(5));
    assert_eq!(timeout(b"\x12\x00"), Duration::ZERO);
    // Minus one nanosecond.
    assert_eq!(timeout(b"\x12\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Duration::ZERO);
    // The parts of a message that occurs twice come together.
    assert_eq!(timeout(b"\x12\x02\x08\x01\x12\x02\x10\x05"), Duration::new(1, 5));

    let list = requests(&mut server(), &plain(Procedure::AskGrain.request_name(), b"")).unwrap();
    let Request::AskGrain { timeout, message, .. } = &list[0].request else { panic!() };
    assert_eq!((*timeout, message.get().type_name()), (Duration::ZERO, ""));
}

#[test]
fn operations_cross_both_ways() {
    let spawn = |argument: Option<SpawnArgument>| Operation::Spawn {
        path: "cart".into(),
        kind: "main.cart".into(),
        argument,
    };
    let argument = SpawnArgument { type_name: "main.start".into(), payload: Bytes::from("x") };
    for operation in [
        Operation::Lookup { path: "a".into() },
        Operation::Stop { path: "a".into(), uid: None },
        Operation::Respawn { path: "a".into(), uid: None },
        Operation::Reinstate { path: "parent/a".into(), uid: None },
        spawn(None),
        spawn(Some(argument)),
    ] {
        let call = Call::from_operation(&operation, "127.0.0.1", 4001).unwrap();
        let mut server = server();
        let list = requests(&mut server, &encoded(&call)).unwrap();
        let request = &list[0].request;
        assert_eq!(request.purpose(), Purpose::Operation(operation));
        let node = rakt_wire::goakt::Local::new("sys", "127.0.0.1", 4001);
        assert_eq!(node.admit(request), Ok(()));
    }
    let watch = Operation::Watch { path: "a".into(), uid: None, watch_id: 1 };
    let failure = Call::from_operation(&watch, "h", 1).unwrap_err();
    assert_eq!(failure.code, Code::Unsupported);
}

#[test]
fn a_spawn_that_takes_a_cluster_or_unknown_dependencies_is_refused() {
    let spawn = |spawn: proto::SpawnRequest| {
        let list = requests(&mut server(), &encoded(&Call::Spawn(Box::new(spawn)))).unwrap();
        match list[0].request.purpose() {
            Purpose::Operation(operation) => Ok(operation),
            Purpose::Refused(error) => Err(error),
            other => panic!("{other:?}"),
        }
    };
    let singleton = Some(proto::SingletonSpec::default());
    let request = proto::SpawnRequest { singleton, ..Default::default() };
    assert_eq!(spawn(request), Err(GoError::singleton_without_cluster()));
    let dependencies = vec![proto::Dependency::default(); 2];
    let request = proto::SpawnRequest { dependencies, ..Default::default() };
    assert_eq!(spawn(request), Err(GoError::unknown_dependency()));
    let request = proto::SpawnRequest { actor_type: " Main.Cart ".into(), ..Default::default() };
    assert!(matches!(spawn(request), Ok(Operation::Spawn { kind, .. }) if kind == "main.cart"));
}

#[test]
fn lists_that_would_grow_when_read_are_bounded() {
    // 200,000 empty dependencies.
    let body = b"\x42\x00".repeat(200_000);
    let mut server = server();
    assert_eq!(requests(&mut server, &plain(Procedure::Spawn.request_name(), &body)).unwrap(), []);
    let grain = b"\x22\x00".repeat(200_000);
    let mut body = b"\x0a".to_vec();
    body.extend(b"\x80\xb5\x18");
    body.extend(&grain);
    for procedure in [Procedure::AskGrain, Procedure::TellGrain, Procedure::ActivateGrain] {
        assert_eq!(requests(&mut server, &plain(procedure.request_name(), &body)).unwrap(), []);
    }
    let sent = frames(&transmitted(&mut server));
    assert_eq!(sent.len(), 4);
    for (name, body) in sent {
        assert_eq!(name, "internalpb.Error");
        assert!(String::from_utf8_lossy(&body).contains("too large (size"), "{body:?}");
    }
}

#[test]
fn a_grain_is_told_and_asked() {
    let grain = Box::new(grain("Main.Cart", "42", "127.0.0.1", 4001));
    let message = Payload { type_name: "shop.Add", bytes: b"payload" };
    let ask = Call::AskGrain { grain: grain.clone(), message, timeout: Duration::from_millis(20) };
    let tell = Call::TellGrain { grain: grain.clone(), message };
    let activate = Call::ActivateGrain(grain.clone());
    let mut server = server();
    let bytes = [encoded(&ask), encoded(&tell), encoded(&activate)].concat();
    let list = requests(&mut server, &bytes).unwrap();
    let Request::AskGrain { grain: read, message, timeout } = &list[0].request else { panic!() };
    assert_eq!((read, *timeout), (&grain, Duration::from_millis(20)));
    assert_eq!(message.get().type_name(), "shop.Add");
    assert_eq!(message.get().value, &b"payload"[..]);
    assert_eq!(list[0].request.subject(), "main.cart/42");
    assert!(matches!(&list[1].request, Request::TellGrain { .. }));
    assert_eq!(list[2].request, Request::ActivateGrain(grain));
    server.respond(0, &Response::GrainReply(Some(Payload { type_name: "r", bytes: b"" }))).unwrap();
    server.respond(1, &Response::Done).unwrap();
    server.respond(2, &Response::Done).unwrap();
    assert_eq!(frames(&transmitted(&mut server)).len(), 3);
}

fn name() -> impl Strategy<Value = String> {
    "[a-z]{0,12}"
}

proptest! {
    // brotli makes a large context for each case.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn batches_survive_any_compression_and_chunking(
        compression in prop::sample::select(Compression::ALL.to_vec()),
        batches in vec(vec((name(), name(), vec(any::<u8>(), 0..300)), 0..4), 1..5),
        cut in 1_usize..200,
        nanos in 1..i64::MAX,
    ) {
        let (mut client, mut server) = (client(compression), server());
        let mut headers = Metadata::new();
        headers.append("traceparent", "00-0af7").unwrap();
        let deadline = Deadline::from_unix_nanos(nanos);
        for batch in &batches {
            let messages: Vec<_> = batch.iter().map(|(receiver, type_name, bytes)| Outgoing {
                sender: NO_SENDER, receiver, payload: Payload { type_name, bytes },
            }).collect();
            client.send(&Call::Tell(&messages), &headers, deadline, start()).unwrap();
        }
        let mut wire = Vec::new();
        client.poll_transmit(start(), &mut wire).unwrap();
        let (mut unread, mut arrived) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(cut) {
            unread.extend_from_slice(piece);
            while let Some(incoming) = server.poll_request(&mut unread).unwrap() {
                prop_assert_eq!(incoming.deadline, deadline);
                prop_assert_eq!(&incoming.metadata, &headers);
                let Request::Tell(messages) = incoming.request else { panic!() };
                prop_assert_eq!(messages.len(), messages.iter().count());
                arrived.push(messages.iter().map(|message| (
                    message.receiver.to_owned(),
                    message.message.type_name().to_owned(),
                    message.message.value.to_vec(),
                )).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(arrived, batches);
    }

}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), procedure in 0_usize..13) {
        let mut server = server();
        drop(requests(&mut server, &bytes));
        let body = plain(Procedure::ALL[procedure].request_name(), &bytes);
        drop(requests(&mut server, &body));
    }
}
