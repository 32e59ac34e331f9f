//! The protocol alone, without actors and sockets.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt_wire::{Encode, Metadata};
use rakt_wire::native::{Event, Head, Hello, Inbound, Limits, MessageKind, Outbound, Payload, Role, Sink};
use rakt_wire::native::link::{Envelope, Link, LinkEvent};

use crate::Result;

/// Messages between two writes.
const BATCH: u64 = 100;
const PAYLOAD: &[u8] = &[7; 64];

pub(crate) fn encode(count: u64) -> Result {
    let mut outbound = dialer();
    let mut written = Vec::new();
    for _ in 0..count / BATCH {
        tell_batch(&mut outbound, &mut written)?;
    }
    Ok(())
}

pub(crate) fn decode(count: u64) -> Result {
    let mut outbound = dialer();
    let (mut definitions, mut written) = (Vec::new(), Vec::new());
    outbound.poll_transmit(&mut definitions);
    tell_batch(&mut outbound, &mut written)?;
    let mut inbound = Inbound::new(Role::Acceptor, Limits::default());
    let mut counter = Counter::default();
    inbound.handle_bytes(&definitions, &mut counter)?;
    for _ in 0..count / BATCH {
        inbound.handle_bytes(black_box(&written), &mut counter)?;
    }
    expect(counter.0, count)
}

pub(crate) fn link_tell(count: u64) -> Result {
    let mut links = Links::open()?;
    let mut arrived = 0;
    for _ in 0..count / BATCH {
        for _ in 0..BATCH {
            links.near.send(envelope(MessageKind::Tell))?;
        }
        links.settle();
        while let Some(event) = links.far.poll_event() {
            arrived += u64::from(matches!(black_box(event), LinkEvent::Message(_)));
        }
    }
    expect(arrived, count)
}

pub(crate) fn link_ask(count: u64) -> Result {
    let mut links = Links::open()?;
    let mut answered = 0;
    for corr in 0..count {
        links.near.send(envelope(MessageKind::Ask { corr }))?;
        links.settle();
        while let Some(event) = links.far.poll_event() {
            if let LinkEvent::Message(envelope) = event
                && let (Some(corr), Some(out)) = (envelope.kind.corr(), links.far.outbound())
            {
                out.reply(corr, Payload::Ready { bytes: envelope.payload, raw_len: None })?;
            }
        }
        links.settle();
        while let Some(event) = links.near.poll_event() {
            answered += u64::from(matches!(event, LinkEvent::Reply { corr: c, .. } if c == corr));
        }
    }
    expect(answered, count)
}

pub(crate) fn expect(counted: u64, count: u64) -> Result {
    if counted == count {
        return Ok(());
    }
    Err(format!("{counted} of {count} messages arrived").into())
}

fn dialer() -> Outbound {
    let mut outbound = Outbound::new(Role::Dialer, Limits::default());
    outbound.receiver("orders/worker-1", None);
    outbound.sender("rakt://shop@127.0.0.1:3321/clerk");
    outbound.message_type("shop.Order");
    outbound
}

fn tell_batch(outbound: &mut Outbound, written: &mut Vec<u8>) -> Result {
    let payload: &dyn Encode = &PAYLOAD;
    for _ in 0..BATCH {
        let (kind, payload) = (black_box(MessageKind::Tell), Payload::Encode(black_box(payload)));
        let head =
            Head { receiver: 0, sender: Some(0), type_id: 0, remaining: None, metadata: None };
        outbound.message(kind, &head, payload)?;
    }
    written.clear();
    outbound.poll_transmit(written);
    black_box(written);
    Ok(())
}

fn envelope(kind: MessageKind) -> Envelope {
    Envelope {
        kind,
        path: "orders/worker-1".to_owned(),
        uid: None,
        sender: None,
        type_name: "shop.Order".to_owned(),
        remaining: None,
        metadata: Metadata::new(),
        payload: Bytes::from_static(PAYLOAD),
    }
}

/// Takes what arrived as little further as a node can.
#[derive(Default)]
struct Counter(u64);

impl Sink for Counter {
    fn event(&mut self, event: Event<'_>) {
        self.0 += u64::from(matches!(black_box(event), Event::Message(_)));
    }

    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}
}

/// Both ends of a connection.
struct Links {
    now: Instant,
    near: Link,
    far: Link,
    bytes: Vec<u8>,
}

impl Links {
    fn open() -> Result<Self> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let now = Instant::now();
        let hello = Hello::new("counts", [1; 16]);
        let near = Link::dial(now, hello.clone(), TIMEOUT);
        let far = Link::accept(now, hello, TIMEOUT);
        let mut links = Self { now, near, far, bytes: Vec::new() };
        links.settle();
        match (links.near.poll_event(), links.far.poll_event()) {
            (Some(LinkEvent::Opened(_)), Some(LinkEvent::Opened(_))) => Ok(links),
            other => Err(format!("the links did not open: {other:?}").into()),
        }
    }

    /// Carries bytes both ways until there are none.
    fn settle(&mut self) {
        let Self { now, near, far, bytes } = self;
        loop {
            let mut carry = |from: &mut Link, to: &mut Link| {
                bytes.clear();
                let any = from.poll_transmit(bytes);
                to.handle_bytes(*now, bytes);
                any
            };
            let there = carry(near, far);
            let back = carry(far, near);
            if !there && !back {
                return;
            }
        }
    }
}
