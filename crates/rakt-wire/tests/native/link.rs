use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use rakt_wire::native::link::{ClosedReason, Envelope, Link, LinkEvent, PARTIAL_BUDGET};
use rakt_wire::native::{CloseCode, FrameKind, Hello, Limits, LinkError, MessageKind, Payload};
use rakt_wire::{Code, Metadata};

const TIMEOUT: Duration = Duration::from_secs(10);

/// Two links that have greeted each other.
fn connected(limits: Limits) -> (Instant, Link, Link) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do to start from")]
    let now = Instant::now();
    let hello = Hello { limits, ..Hello::new("test", [1; 16]) };
    let mut near = Link::dial(now, hello.clone(), TIMEOUT);
    let mut far = Link::accept(now, hello, TIMEOUT);
    settle(now, &mut near, &mut far, usize::MAX);
    assert!(matches!(near.poll_event(), Some(LinkEvent::Opened(_))));
    assert!(matches!(far.poll_event(), Some(LinkEvent::Opened(_))));
    (now, near, far)
}

/// Carries bytes both ways, `cut` at a time, until there are none.
fn settle(now: Instant, near: &mut Link, far: &mut Link, cut: usize) {
    loop {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        near.poll_transmit(&mut there);
        far.poll_transmit(&mut back);
        if there.is_empty() && back.is_empty() {
            break;
        }
        there.chunks(cut).for_each(|piece| far.handle_bytes(now, piece));
        back.chunks(cut).for_each(|piece| near.handle_bytes(now, piece));
    }
}

fn envelope(path: &str, payload: impl Into<Bytes>) -> Envelope {
    Envelope {
        kind: MessageKind::Tell,
        path: path.into(),
        uid: None,
        sender: None,
        type_name: "t".into(),
        remaining: None,
        metadata: Metadata::new(),
        payload: payload.into(),
    }
}

fn next_message(link: &mut Link) -> Option<Envelope> {
    match link.poll_event()? {
        LinkEvent::Message(envelope) => Some(*envelope),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_receiver_that_takes_nothing_holds_up_only_its_own() {
    let limits = Limits { receiver_window: 1024, ..Limits::default() };
    let (now, mut near, mut far) = connected(limits);
    for n in 0..10_u8 {
        near.send(envelope("slow", vec![n; 300])).unwrap();
    }
    // 300 + 256 bytes each: the second message overdraws the credit, the third has to wait.
    settle(now, &mut near, &mut far, usize::MAX);
    assert_eq!(near.waiting(), 8);
    near.send(envelope("quick", b"x".to_vec())).unwrap();
    settle(now, &mut near, &mut far, usize::MAX);
    let mut arrived = Vec::new();
    while let Some(envelope) = next_message(&mut far) {
        arrived.push((envelope.path, envelope.payload[0]));
        settle(now, &mut near, &mut far, usize::MAX);
    }
    let slow = |n| ("slow".to_owned(), n);
    assert_eq!(arrived[..3], [slow(0), slow(1), ("quick".to_owned(), b'x')]);
    assert_eq!(arrived[3..], (2..10).map(slow).collect::<Vec<_>>());
    assert_eq!(near.waiting(), 0);
}

#[test]
fn a_peer_that_ignores_credit_is_thrown_out() {
    let limits = Limits { receiver_window: 1024, ..Limits::default() };
    let (now, mut near, mut far) = connected(limits);
    let mut bytes = Vec::new();
    let outbound = near.outbound().unwrap();
    let (receiver, type_id) = (outbound.receiver("a", None).id, outbound.message_type("t").id);
    let head = rakt_wire::native::Head {
        receiver,
        type_id,
        sender: None,
        remaining: None,
        metadata: None,
    };
    for _ in 0..5 {
        outbound.message(MessageKind::Tell, &head, Payload::Encode(&&[0; 200][..])).unwrap();
    }
    near.poll_transmit(&mut bytes);
    far.handle_bytes(now, &bytes);
    let events: Vec<_> = std::iter::from_fn(|| far.poll_event()).collect();
    assert_eq!(events.len(), 4, "three messages fit: {events:?}");
    assert_eq!(events[3], LinkEvent::Closed(ClosedReason::Credit { receiver }));
}

#[test]
fn unfinished_messages_share_a_budget() {
    const MIB: usize = 1024 * 1024;
    let (now, mut near, mut far) = connected(Limits::default());
    let outbound = near.outbound().unwrap();
    outbound.receiver("a", None);
    outbound.message_type("t");
    settle(now, &mut near, &mut far, usize::MAX);
    let mut send = |kind, stream: u8, body: &[u8]| {
        far.handle_bytes(now, &super::frame(kind, &[&[stream], body].concat()));
        let mut answer = Vec::new();
        far.poll_transmit(&mut answer);
        near.handle_bytes(now, &answer);
        near.poll_event()
    };
    let last = (PARTIAL_BUDGET / (16 * MIB)) as u8;
    let chunk = vec![0; MIB];
    for stream in 0..=last {
        // A tell of 16 MiB with a header of four bytes; one chunk of each never comes.
        let first = [&[FrameKind::Tell.as_u8()][..], b"\x84\x80\x80\x08", &[0; 4]].concat();
        assert_eq!(send(FrameKind::First, stream, &first), None);
        let chunks = if stream == last { usize::from(last) } else { 15 };
        for _ in 0..chunks {
            assert_eq!(send(FrameKind::More, stream, &chunk), None);
        }
    }
    match send(FrameKind::More, last, b"x") {
        Some(LinkEvent::Nack { count: 1, failure }) => {
            assert_eq!(failure.code, Code::ResourceExhausted);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_protocol_error_is_told_to_the_peer() {
    let (now, mut near, mut far) = connected(Limits::default());
    far.handle_bytes(now, &super::frame(FrameKind::Tell, b"\0\0\0\0"));
    let error =
        LinkError::Undefined { kind: FrameKind::Tell, what: "receiver", alias: 0, count: 0 };
    let expected = ClosedReason::Protocol(error.clone());
    assert_eq!(far.poll_event(), Some(LinkEvent::Closed(expected)));
    assert!(far.is_closed() && far.poll_timeout().is_none());
    settle(now, &mut near, &mut far, usize::MAX);
    let told = ClosedReason::ByPeer { code: CloseCode::Protocol, text: error.to_string() };
    assert_eq!(near.poll_event(), Some(LinkEvent::Closed(told)));
}

#[test]
fn a_silent_peer_is_pinged_and_an_answer_keeps_the_link() {
    let (mut now, mut near, mut far) = connected(Limits::default());
    for _ in 0..3 {
        now += TIMEOUT;
        near.handle_timeout(now);
        assert!(!near.is_closed());
        settle(now, &mut near, &mut far, usize::MAX);
    }
    for _ in 0..2 {
        now += TIMEOUT;
        near.handle_timeout(now);
    }
    assert_eq!(near.poll_event(), Some(LinkEvent::Closed(ClosedReason::Dead)));
    settle(now, &mut near, &mut far, usize::MAX);
    let last = std::iter::from_fn(|| far.poll_event()).last();
    let by_peer = |reason: &ClosedReason| {
        matches!(reason, ClosedReason::ByPeer { code: CloseCode::Timeout, .. })
    };
    assert!(matches!(last, Some(LinkEvent::Closed(reason)) if by_peer(&reason)));
}

#[test]
fn a_peer_that_says_nothing_at_all_does_not_keep_us_waiting() {
    #[expect(clippy::disallowed_methods, reason = "any instant will do to start from")]
    let mut now = Instant::now();
    let mut link = Link::accept(now, Hello::new("test", [1; 16]), TIMEOUT);
    for _ in 0..2 {
        now = link.poll_timeout().unwrap().max(now);
        link.handle_timeout(now);
    }
    assert_eq!(link.poll_event(), Some(LinkEvent::Closed(ClosedReason::Dead)));
}

#[test]
fn a_payload_that_does_not_unpack_ends_the_link() {
    let (now, mut near, mut far) = connected(Limits::default());
    let outbound = near.outbound().unwrap();
    let (receiver, type_id) = (outbound.receiver("a", None).id, outbound.message_type("t").id);
    let head = rakt_wire::native::Head {
        receiver,
        type_id,
        sender: None,
        remaining: None,
        metadata: None,
    };
    let payload = Payload::Ready { bytes: b"not compressed".to_vec().into(), raw_len: Some(99) };
    outbound.message(MessageKind::Tell, &head, payload).unwrap();
    settle(now, &mut near, &mut far, usize::MAX);
    assert!(matches!(far.poll_event(), Some(LinkEvent::Closed(ClosedReason::Payload(_)))));
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
        messages in vec((0..5_u8, any_payload()), 0..24),
        cut in prop_oneof![1..64_usize, 64..100_000_usize],
    ) {
        let limits = Limits { max_receivers: 4, ..Limits::default() };
        let (now, mut near, mut far) = connected(limits);
        for (receiver, payload) in &messages {
            near.send(envelope(&format!("r{receiver}"), payload.clone()))?;
        }
        let mut arrived = Vec::new();
        loop {
            settle(now, &mut near, &mut far, cut);
            let before = arrived.len();
            arrived.extend(std::iter::from_fn(|| next_message(&mut far)));
            if arrived.len() == before {
                break;
            }
        }
        for receiver in 0..5 {
            let path = format!("r{receiver}");
            let sent = messages.iter().filter(|(to, _)| *to == receiver).map(|(_, body)| body);
            let here = arrived.iter().filter(|message| message.path == path);
            prop_assert!(sent.eq(here.map(|message| &message.payload)));
        }
        prop_assert_eq!(arrived.len(), messages.len());
    }
}
