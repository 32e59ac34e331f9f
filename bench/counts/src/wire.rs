//! The protocol alone, without actors and sockets.

use std::hint::black_box;

use bytes::Bytes;
use rakt_wire::native::{
    self, Accepting, Alias, Arrivals, Budget, Dialing, Event, Head, Hello, Inbound, Limits,
    Message, MessageKind, NamedReceiver, Names, Outbound, Outgoing, Payload, Replies, ReplyBudget,
    Request, Role, Session, Settled, Side, Sink,
};
use rakt_wire::{Code, Compression, Encode, Failure, Wish, cost};

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
    let mut sides = Sides::default();
    for _ in 0..count / BATCH {
        for _ in 0..BATCH {
            sides.send(black_box(Wish::Tell))?;
        }
        sides.settle()?;
    }
    expect(sides.host.arrived, count)
}

pub(crate) fn link_ask(count: u64) -> Result {
    let mut sides = Sides::default();
    for _ in 0..count {
        sides.send(black_box(Wish::Ask))?;
        sides.settle()?;
    }
    expect(sides.answered, count)
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

/// Takes what arrived as little further as a node can.
#[derive(Default)]
struct Counter(u64);

impl Sink for Counter {
    fn event(&mut self, event: Event<'_>) {
        black_box(event);
    }

    fn message(&mut self, message: Message) {
        black_box(message);
        self.0 += 1;
    }
}

impl Budget for Counter {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

/// Both sides of a connection, as a node has them but for locks and actors.
struct Sides {
    dialing: Dialing<()>,
    replies: Replies,
    arrivals: Arrivals<Host>,
    host: Host,
    known: Option<Alias>,
    answered: u64,
    bytes: Vec<u8>,
}

/// Takes messages as they come, and answers asks with their payload.
struct Host {
    accepting: Accepting<Unbounded>,
    arrived: u64,
}

struct Unbounded;

impl ReplyBudget for Unbounded {
    fn replace(&mut self, _: u64, _: u64) -> bool {
        true
    }

    fn limit(&self) -> u64 {
        u64::MAX
    }
}

impl Default for Sides {
    fn default() -> Self {
        let session = Session {
            version: 1,
            limits: Limits::default(),
            compression: Compression::None,
            features: Vec::new(),
            peer: Hello::new("counts", [1; 16]),
        };
        let accepting = Accepting::new(&session, Unbounded);
        Self {
            dialing: Dialing::new(&session),
            replies: Replies::new(&session),
            arrivals: Arrivals::new(&session),
            host: Host { accepting, arrived: 0 },
            known: None,
            answered: 0,
            bytes: Vec::new(),
        }
    }
}

impl Sides {
    fn send(&mut self, wish: Wish) -> Result {
        let message = Outgoing {
            wish,
            path: "orders/worker-1",
            uid: None,
            known: self.known,
            type_name: "shop.Order",
            sender: None,
            remaining: None,
            metadata: None,
        };
        let sent = self.dialing.send(&message, Payload::Encode(&PAYLOAD), || ());
        self.known = Some(sent.map_err(|error| format!("{error:?}"))?.receiver);
        Ok(())
    }

    /// Carries bytes there, and the answers back.
    fn settle(&mut self) -> Result {
        let Self { dialing, replies, arrivals, host, bytes, answered, .. } = self;
        bytes.clear();
        dialing.poll_transmit(bytes);
        arrivals.handle_bytes(bytes, host)?;
        arrivals.finish(Bytes::copy_from_slice(bytes), host)?;
        bytes.clear();
        host.accepting.poll_transmit(bytes);
        replies.handle_bytes(bytes, &mut Counter::default())?;
        dialing.settle(replies, |settled| {
            *answered += u64::from(matches!(black_box(settled), Settled::Reply { .. }));
        })?;
        while dialing.poll_freed().is_some() {}
        Ok(())
    }
}

impl native::Host for Host {
    type Receiver = Vec<Message>;
    type Sender = ();
    type Replies = Unbounded;

    fn accepting<T>(&mut self, f: impl FnOnce(&mut Accepting<Unbounded>) -> T) -> T {
        f(&mut self.accepting)
    }

    fn cancelled(&mut self, _: u64) {}

    fn count_name(&mut self, _: usize) -> std::result::Result<(), u64> {
        Ok(())
    }

    fn forget_names(&mut self) {}

    fn take(
        &mut self,
        receiver: &mut NamedReceiver<Vec<Message>>,
        _: &mut Names<()>,
        message: Message,
        _: u64,
    ) -> std::result::Result<(), Failure> {
        receiver.kept.push(message);
        Ok(())
    }

    fn deliver(
        &mut self,
        from: Alias,
        receiver: &mut NamedReceiver<Vec<Message>>,
        block: Bytes,
        _: Option<Failure>,
    ) {
        for message in receiver.kept.drain(..) {
            self.arrived += 1;
            let payload = black_box(message.body.slice(&block));
            self.accepting.consumed(from, cost(payload.len()));
            if let Some(corr) = message.kind.corr() {
                let payload = Payload::Ready { bytes: payload, raw_len: None };
                self.accepting.reply(corr, payload).expect("there is room");
            }
        }
    }

    fn operate(&mut self, _: Request) {}

    fn no_room(&self) -> Failure {
        Failure::new(Code::ResourceExhausted)
    }
}

impl Budget for Host {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}
