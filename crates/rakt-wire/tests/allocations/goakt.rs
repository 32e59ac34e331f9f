//! What the GoAkt dialect allocates: next to nothing for a message, and nothing that a peer only claims.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt_wire::goakt::{
    Answer, Call, Client, ClientConfig, NO_SENDER, Outgoing, Payload, Procedure, Request, Response,
    Server, ServerConfig,
};
use rakt_wire::{Compression, Metadata};

use crate::{BATCH, BYTES, COUNT, ROUNDS};

/// Allocations and allocated bytes of `run`.
fn allocated<T>(run: impl FnOnce() -> T) -> (usize, usize, T) {
    let before = (COUNT.get(), BYTES.get());
    let result = run();
    (COUNT.get() - before.0, BYTES.get() - before.1, result)
}

#[test]
fn a_tell_and_an_ask_with_their_answers_allocate_once_for_each_buffer() {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let now = Instant::now();
    let payload = Payload { type_name: "shop.Order", bytes: &[7; 64] };
    let messages =
        [Outgoing { sender: NO_SENDER, receiver: "goakt://s@127.0.0.1:4001/orders", payload }];
    let tell = Call::Tell(&messages);
    let ask = Call::Ask { messages: &messages, timeout: Duration::from_secs(5) };
    let compression = Compression::None;
    let mut client = Client::new(ClientConfig { compression, ..ClientConfig::default() })
        .expect("it is always there");
    let mut server = Server::new(ServerConfig::default());
    let (mut there, mut back, headers) = (Vec::new(), Vec::new(), Metadata::new());
    let mut counted = 0;
    for round in 0..ROUNDS {
        for n in 0..BATCH {
            let call = if n % 2 == 0 { &tell } else { &ask };
            let (count, ..) =
                allocated(|| client.send(call, &headers, None, now).expect("it fits"));
            counted += if round < 10 { 0 } else { count };
        }
        there.clear();
        client.poll_transmit(now, &mut there).expect("there is memory");

        let mut unread = BytesMut::from(&there[..]);
        let (count, ..) = allocated(|| {
            while let Some(incoming) = server.poll_request(&mut unread).expect("our own bytes") {
                let (Request::Tell(messages) | Request::Ask { messages, .. }) = &incoming.request
                else {
                    panic!("{incoming:?}")
                };
                assert_eq!(
                    messages.iter().map(|message| message.message.value.len()).sum::<usize>(),
                    64
                );
                let response = match incoming.request.procedure() {
                    Procedure::Ask => Response::Replies(&[payload]),
                    _ => Response::Done,
                };
                server.respond(incoming.id, &response).expect("it waits");
            }
            back.clear();
            server.poll_transmit(&mut back).expect("there is memory");
        });
        counted += if round < 10 { 0 } else { count };

        let mut unread = BytesMut::from(&back[..]);
        let (count, ..) = allocated(|| {
            let mut answers = 0;
            while let Some((_, answer)) = client.poll_answer(&mut unread).expect("our own bytes") {
                assert!(matches!(answer, Some(Answer::Done | Answer::Replies(_))));
                answers += 1;
            }
            assert_eq!(answers, BATCH);
        });
        counted += if round < 10 { 0 } else { count };
    }
    // Each of the two buffers of a round becomes shared once, with all of its messages.
    assert_eq!(counted, (ROUNDS - 10) * 2);
}

#[test]
fn a_length_reserves_nothing() {
    let (mut server, mut unread) = (Server::new(ServerConfig::default()), BytesMut::new());
    unread.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 28]);
    unread.extend_from_slice(&[0; 100]);
    let (_, bytes, result) = allocated(|| server.poll_request(&mut unread));
    assert_eq!(result, Ok(None));
    assert!(bytes < 16 * 1024, "{bytes}");
}

#[test]
fn a_frame_full_of_empty_messages_does_not_grow() {
    let name = Procedure::Tell.request_name();
    let body = b"\x0a\x00".repeat(1 << 20);
    let mut frame =
        u32::try_from(8 + name.len() + body.len()).expect("short").to_be_bytes().to_vec();
    frame.extend(u32::try_from(name.len()).expect("short").to_be_bytes());
    frame.extend(name.as_bytes());
    frame.extend(body);
    let (mut server, mut unread) =
        (Server::new(ServerConfig::default()), BytesMut::from(&frame[..]));
    let (_, bytes, count) = allocated(|| {
        let incoming = server.poll_request(&mut unread).expect("it is well-formed");
        let Some(Request::Tell(messages)) = incoming.map(|incoming| incoming.request) else {
            panic!("it is a tell")
        };
        messages.iter().count()
    });
    assert_eq!(count, 1 << 20);
    assert!(bytes < 16 * 1024, "{bytes}");
}
