//! What the fuzz targets of this dialect run; see `mod.rs`.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use rakt_wire::goakt::{
    Answer, Call, Client, ClientConfig, Frame, GoAddress, GoError, GrainIdentity, Local, MAX_STEP,
    NO_SENDER, Outgoing, Payload, Procedure, RemoteMessage, Request, Response, Section, Server,
    ServerConfig, StreamDecoder, StreamEncoder, SystemMessage, proto,
};
use rakt_wire::{Compression, Metadata};

/// Small, so that the limit is met.
const MAX_FRAME_LEN: usize = 64 * 1024;

/// Frames mean the same however they are cut, and their parts lie within them.
pub fn frame(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else { return };
    let whole = frames(data, data.len().max(1));
    assert_eq!(frames(data, usize::from(cut).max(1)), whole);
}

fn frames(data: &[u8], cut: usize) -> Vec<String> {
    let (mut buf, mut list) = (BytesMut::new(), Vec::new());
    for piece in data.chunks(cut) {
        buf.extend_from_slice(piece);
        loop {
            match Frame::decode(&mut buf, MAX_FRAME_LEN) {
                Ok(Some(frame)) => {
                    let total = frame.total_len();
                    assert!(total <= MAX_FRAME_LEN);
                    let parts = format!("{:?} {:?}", frame.name(), frame.metadata());
                    list.push(format!("{total} {parts} {:?}", frame.into_body()));
                }
                Ok(None) => break,
                Err(error) => {
                    list.push(error.to_string());
                    return list;
                }
            }
        }
    }
    list
}

/// Headers that can be held are written and read back.
pub fn metadata(data: &[u8]) {
    let Ok(section) = Section::decode(data) else { return };
    let Ok(headers) = section.headers() else { return };
    let mut out = Vec::new();
    Call::Tell(&[])
        .encode(&mut out, &headers, section.deadline, usize::MAX)
        .expect("what was read can be written");
    let frame = Frame::decode(&mut BytesMut::from(&out[..]), usize::MAX);
    let frame = frame.expect("our own bytes").expect("all of them");
    let again = Section::decode(frame.metadata().unwrap_or_default()).expect("our own bytes");
    assert_eq!(again.deadline, section.deadline);
    assert_eq!(again.headers(), Ok(headers));
}

/// Requests that decode are well-behaved: lists are as long as they say, and addresses read back.
pub fn request(data: &[u8]) {
    let Some((&which, body)) = data.split_first() else { return };
    let Some(&procedure) = Procedure::ALL.get(usize::from(which)) else { return };
    let body = Bytes::copy_from_slice(body);
    let Ok(request) = Request::decode(procedure, body) else { return };
    assert_eq!(request.procedure(), procedure);
    let local = Local::new("s", "h", 1);
    drop(local.admit(&request));
    drop(request.purpose());
    if let Ok(identity) = GrainIdentity::parse(request.subject()) {
        assert_eq!(GrainIdentity::parse(&identity.to_string()), Ok(identity));
    }
    let (Request::Tell(messages) | Request::Ask { messages, .. }) = &request else { return };
    assert_eq!(messages.iter().count(), messages.len());
    for message in messages.iter() {
        for text in [message.sender, message.receiver] {
            if let Ok(address) = GoAddress::parse(text) {
                assert_eq!(GoAddress::parse(&address.to_string()), Ok(address));
                assert!(address.path.matches('/').count() <= 1, "a parent at the most");
            }
        }
        drop(SystemMessage::read(&message.message));
    }
    resend(messages.iter().collect());
}

/// Messages that were read are read again once they have been written.
fn resend(messages: Vec<RemoteMessage<'_>>) {
    let outgoing: Vec<_> = messages
        .iter()
        .map(|message| {
            let type_name = message.message.type_name();
            let payload = Payload { type_name, bytes: &message.message.value };
            Outgoing { sender: message.sender, receiver: message.receiver, payload }
        })
        .collect();
    let mut out = Vec::new();
    Call::Tell(&outgoing)
        .encode(&mut out, &Metadata::new(), None, usize::MAX)
        .expect("there is no limit");
    let frame = Frame::decode(&mut BytesMut::from(&out[..]), usize::MAX);
    let body = frame.expect("our own bytes").expect("all of them").into_body();
    let Ok(Request::Tell(again)) = Request::decode(Procedure::Tell, body) else {
        panic!("what was written is read")
    };
    let key = |message: &RemoteMessage<'_>| {
        let type_name = message.message.type_name().to_owned();
        let ends = [message.sender, message.receiver].map(str::to_owned);
        (ends, type_name, message.message.value.clone())
    };
    let again: Vec<_> = again.iter().map(|message| key(&message)).collect();
    assert_eq!(again, messages.iter().map(key).collect::<Vec<_>>());
}

/// Responses that decode are well-behaved.
pub fn response(data: &[u8]) {
    let Some((&which, bytes)) = data.split_first() else { return };
    let Some(&procedure) = Procedure::ALL.get(usize::from(which)) else { return };
    let Ok(Some(frame)) = Frame::decode(&mut BytesMut::from(bytes), MAX_FRAME_LEN) else { return };
    match Answer::decode(procedure, frame) {
        Ok(Answer::Replies(replies)) => {
            for reply in replies.iter() {
                assert!(!reply.type_name().contains('/'));
            }
            assert_eq!(replies.iter().count(), replies.len());
        }
        Ok(answer) => {
            if let Err(failure) = answer.into_result(procedure) {
                super::is_harmless(&failure.to_string());
            }
        }
        Err(error) => super::is_harmless(&error.to_string()),
    }
}

/// A stream gives no more than is asked for, the same in whatever pieces it comes, and what it gave can
/// be packed again.
pub fn stream(data: &[u8]) {
    let Some((&setup, data)) = data.split_first() else { return };
    let Some(compression) = Compression::from_u8(setup & 3) else { return };
    if !compression.is_available() {
        return;
    }
    let (Ok(whole) | Err(whole)) = unpack(compression, data, data.len().max(1), MAX_STEP);
    let room = usize::from(setup >> 2).saturating_add(1);
    let (Ok(pieces) | Err(pieces)) = unpack(compression, data, room, room);
    // A library may notice damage before or after it gives what is there.
    assert!(whole.starts_with(&pieces) || pieces.starts_with(&whole));

    let (mut packed, mut encoder) =
        (Vec::new(), StreamEncoder::new(compression).expect("it is there"));
    encoder.encode(&whole, &mut packed).expect("there is memory");
    encoder.finish(&mut packed).expect("there is memory");
    assert_eq!(unpack(compression, &packed, packed.len().max(1), MAX_STEP), Ok(whole));
}

fn unpack(
    compression: Compression,
    data: &[u8],
    cut: usize,
    room: usize,
) -> Result<Vec<u8>, Vec<u8>> {
    const ENOUGH: usize = 1 << 20;
    let mut decoder = StreamDecoder::new(compression).expect("it is there");
    let (mut input, mut out) = (BytesMut::new(), BytesMut::new());
    for piece in data.chunks(cut) {
        input.extend_from_slice(piece);
        loop {
            let before = out.len();
            match decoder.decode(&mut input, &mut out, room.min(ENOUGH.saturating_sub(before))) {
                Ok(_) if out.len() >= ENOUGH => return Ok(out.to_vec()),
                Ok(true) => assert!(out.len().saturating_sub(before) <= room),
                Ok(false) => break,
                Err(_) => return Err(out.to_vec()),
            }
        }
    }
    Ok(out.to_vec())
}

/// A server that is told anything answers each request once, and holds no more than it may.
pub fn server(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else { return };
    let config = ServerConfig {
        max_frame_len: MAX_FRAME_LEN,
        max_in_flight: 4,
        max_in_flight_len: 16 * 1024,
        ..ServerConfig::default()
    };
    let mut server = Server::new(config);
    let (mut unread, mut out, mut open) = (BytesMut::new(), Vec::new(), Vec::new());
    for piece in data.chunks(usize::from(cut).max(1)) {
        unread.extend_from_slice(piece);
        for _ in 0..1000 {
            match server.poll_request(&mut unread) {
                Ok(Some(incoming)) => open.push((incoming.id, incoming.request.procedure())),
                Ok(None) | Err(_) if open.is_empty() => break,
                Ok(None) | Err(_) => {}
            }
            assert!(server.in_flight() <= 4);
            assert_eq!(open.is_empty(), server.is_idle());
            // The last one first, so that answers wait for each other.
            if server.is_full() || cut & 1 == 0 {
                open.drain(..).rev().for_each(|(id, procedure)| answer(&mut server, id, procedure));
            }
            server.poll_transmit(&mut out).expect("there is memory");
            out.clear();
        }
    }
    open.drain(..).rev().for_each(|(id, procedure)| answer(&mut server, id, procedure));
    assert!(server.is_idle());
    server.finish(&mut out).expect("there is memory");
}

fn answer(server: &mut Server, id: u64, procedure: Procedure) {
    let payload = Payload { type_name: "a.B", bytes: b"reply" };
    let response = match procedure {
        Procedure::Ask => Response::Replies(&[payload]),
        Procedure::Lookup => Response::Address("goakt://s@h:1/a"),
        Procedure::AskGrain => Response::GrainReply(Some(payload)),
        Procedure::Stop => Response::Error(GoError::not_found("a")),
        _ => Response::Done,
    };
    server.respond(id, &response).expect("it waits for that");
}

/// A client that is answered anything has one outcome for each request, with fences and without.
pub fn client(data: &[u8]) {
    let Some((&setup, data)) = data.split_first() else { return };
    let Some(compression) = Compression::from_u8(setup & 3) else { return };
    let is_fenced = setup & 4 != 0;
    let config = ClientConfig {
        compression,
        max_frame_len: MAX_FRAME_LEN,
        max_in_flight: 8,
        fence_after: is_fenced.then_some(Duration::from_secs(1)),
        checks_version: setup & 8 != 0,
    };
    let Ok(mut client) = Client::new(config) else { return };
    #[expect(clippy::disallowed_methods, reason = "any instant will do to start from")]
    let now = Instant::now();
    let messages = [Outgoing {
        sender: NO_SENDER,
        receiver: "goakt://s@h:1/a",
        payload: Payload { type_name: "a.B", bytes: b"message" },
    }];
    let target = proto::Target { host: "h".to_owned(), port: 1, name: "a".to_owned() };
    let calls = [
        Call::Tell(&messages),
        Call::Ask { messages: &messages, timeout: Duration::from_secs(1) },
        Call::Lookup(target),
    ];
    let mut open = Vec::new();
    for call in calls.iter().take(if is_fenced { 1 } else { 3 }).cycle().take(8) {
        open.push(client.send(call, &Metadata::new(), None, now).expect("there is room"));
        // Half of them leave together, so that with fences there is one.
        if open.len().is_multiple_of(4) {
            client.poll_transmit(now, &mut Vec::new()).expect("there is memory");
        }
    }
    assert!(client.is_full());
    let (mut unread, mut ended) = (BytesMut::new(), Vec::new());
    for piece in data.chunks(usize::from(setup >> 3).saturating_add(1)) {
        unread.extend_from_slice(piece);
        while let Ok(Some((id, outcome))) = client.poll_answer(&mut unread) {
            assert!(is_fenced || outcome.is_some(), "each response is that to the next request");
            ended.push(id);
        }
    }
    ended.extend(client.take_lost().map(|lost| lost.id));
    assert_eq!(ended, open, "outcomes come in order");
}
