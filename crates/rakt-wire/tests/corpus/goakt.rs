//! Seeds of the GoAkt dialect.

use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::goakt::{
    Call, Deadline, Frame, GoError, NO_SENDER, Outgoing, Payload, Procedure, Response, Server,
    ServerConfig, StreamEncoder, grain, proto,
};
use rakt_wire::{Compression, Metadata, Operation, SpawnArgument};

use super::{Seeds, named};

const MAX: usize = 64 * 1024;

/// One request of each kind, as a frame.
fn requests() -> Vec<(Procedure, Vec<u8>)> {
    let payload = Payload { type_name: "shop.Order", bytes: b"\x08\x2a" };
    let sender = "goakt://shop@127.0.0.1:3321/parent/clerk";
    let receiver = "goakt://s@h:1/orders";
    let pill = Payload { type_name: "goaktpb.PoisonPill", bytes: b"" };
    let asynchronous = proto::AsyncRequest {
        correlation_id: "c1".into(),
        reply_to: sender.into(),
        message: Some(proto::Any::pack("shop.Order", b"\x08\x2a".to_vec().into())),
    }
    .to_bytes();
    let wrapped = Payload { type_name: "internalpb.AsyncRequest", bytes: &asynchronous };
    let messages = [
        Outgoing { sender, receiver, payload },
        Outgoing { sender: NO_SENDER, receiver, payload: pill },
        Outgoing { sender, receiver, payload: wrapped },
    ];
    let operation = |operation| Call::from_operation(&operation, "h", 1).expect("it is known");
    let path = || "orders".to_owned();
    let argument = SpawnArgument { type_name: "start".into(), payload: b"x".to_vec().into() };
    let kind = "main.orders".to_owned();
    let grain = Box::new(grain("main.cart", "42", "h", 1));
    let timeout = Duration::from_millis(1500);
    let calls = [
        Call::Tell(&messages),
        Call::Ask { messages: &messages, timeout },
        operation(Operation::Lookup { path: path() }),
        operation(Operation::Spawn { path: path(), kind, argument: Some(argument) }),
        operation(Operation::Respawn { path: path(), uid: None }),
        operation(Operation::Stop { path: path(), uid: None }),
        operation(Operation::Reinstate { path: path(), uid: None }),
        Call::AskGrain { grain: grain.clone(), message: payload, timeout },
        Call::TellGrain { grain: grain.clone(), message: payload },
        Call::ActivateGrain(grain),
        Call::GetNodeMetric(proto::NodeRequest { node_address: "h:1".into() }),
        Call::GetKinds(proto::NodeRequest { node_address: "h:1".into() }),
    ];
    let mut headers = Metadata::new();
    headers.append("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-01").expect("it fits");
    let deadline = Deadline::from_unix_nanos(4_102_444_800_123_456_789);
    let encode = |call: &Call<'_>| {
        let mut out = Vec::new();
        call.encode(&mut out, &headers, deadline, MAX).expect("it is short");
        (call.procedure(), out)
    };
    calls.iter().map(encode).collect()
}

/// The response to one request of each kind, as a frame.
fn responses() -> Vec<(Procedure, Vec<u8>)> {
    let payload = Payload { type_name: "shop.Receipt", bytes: b"\x08\x2a" };
    let respond = |(procedure, bytes): (Procedure, Vec<u8>)| {
        let mut server = Server::new(ServerConfig::default());
        let incoming = server.poll_request(&mut BytesMut::from(&bytes[..])).expect("our own");
        let response = match procedure {
            Procedure::Ask => Response::Replies(&[payload, payload]),
            Procedure::Lookup => Response::Address("goakt://s@h:1/orders"),
            Procedure::AskGrain => Response::GrainReply(Some(payload)),
            Procedure::Stop => Response::Error(GoError::not_found("orders")),
            _ => Response::Done,
        };
        if let Some(incoming) = incoming {
            server.respond(incoming.id, &response).expect("it fits");
        }
        let mut out = Vec::new();
        server.poll_transmit(&mut out).expect("there is memory");
        (procedure, out)
    };
    requests().into_iter().map(respond).collect()
}

fn number(procedure: Procedure) -> u8 {
    let at = Procedure::ALL.iter().position(|known| *known == procedure);
    u8::try_from(at.expect("all are listed")).expect("there are few")
}

fn all_of(list: Vec<(Procedure, Vec<u8>)>) -> Vec<u8> {
    list.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

fn with_first(first: u8, rest: &[u8]) -> Vec<u8> {
    [&[first], rest].concat()
}

fn packed(compression: Compression, frames: &[u8]) -> Vec<u8> {
    let (mut out, mut encoder) =
        (Vec::new(), StreamEncoder::new(compression).expect("run with --all-features"));
    for frame in frames.chunks(200) {
        encoder.encode(frame, &mut out).expect("there is memory");
    }
    encoder.finish(&mut out).expect("there is memory");
    out
}

pub(super) fn seeds() -> Vec<(&'static str, Seeds)> {
    let (sent, answered) = (all_of(requests()), all_of(responses()));
    let read = |bytes: &[u8]| {
        Frame::decode(&mut BytesMut::from(bytes), MAX).expect("our own").expect("it is whole")
    };
    let metadata = read(&sent).metadata().expect("it has headers").to_vec();
    let by_procedure = |list: Vec<(Procedure, Vec<u8>)>, is_body: bool| -> Seeds {
        let seed = |(procedure, bytes): (Procedure, Vec<u8>)| {
            let rest = if is_body { read(&bytes).into_body().to_vec() } else { bytes };
            (format!("{procedure:?}").to_lowercase(), with_first(number(procedure), &rest))
        };
        list.into_iter().map(seed).collect()
    };
    let each = |bytes: &[u8], keep_number: bool| -> Seeds {
        let seed = |compression: Compression| {
            let first = if keep_number { compression.as_u8() | 0xf8 } else { 61 };
            (compression.to_string(), with_first(first, &packed(compression, bytes)))
        };
        Compression::ALL.into_iter().map(seed).collect()
    };
    vec![
        ("goakt-client", each(&answered, true)),
        (
            "goakt-frame",
            named([
                ("requests", with_first(7, &sent)),
                ("responses", with_first(50, &answered)),
                ("too-long", vec![0, 1, 0, 0, 1, 0, 0, 0, 0]),
                ("too-short", vec![0, 0, 0, 0, 7, 0, 0, 0, 0]),
            ]),
        ),
        (
            "goakt-metadata",
            named([
                ("empty", vec![0; 10]),
                ("header", metadata),
                ("lying-count", vec![0, 9, 0, 1, b'a']),
            ]),
        ),
        ("goakt-request", by_procedure(requests(), true)),
        ("goakt-response", by_procedure(responses(), false)),
        ("goakt-server", each(&sent, false)),
        ("goakt-stream", each(&sent, true)),
    ]
}
