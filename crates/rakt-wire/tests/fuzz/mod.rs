//! What the fuzz targets run. Each target is one line in `fuzz/`, which includes this file; `tests/corpus/`
//! runs the corpus through the same functions on stable. Whoever depends on the crate compiles none of it.
//!
//! None of these may panic, whatever the bytes. Where something is accepted, it must read back.

#[cfg(feature = "goakt")]
pub mod goakt;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use rakt_wire::native::link::{Envelope, Link, LinkEvent};
use rakt_wire::native::{
    Body, Event, Handshake, HandshakeError, Hello, Inbound, Limits, Message, MessageKind, Payload,
    Role, Sink, put_failure, put_operation, put_outcome, put_terminated, read_failure,
    read_operation, read_outcome, read_terminated,
};
use rakt_wire::{
    Address, Code, Compression, Compressor, Failure, Metadata, Operation, Outcome, Reader,
};

/// Takes any bytes, and panics only when a promise is broken.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder in `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("address", address),
    ("brotli", brotli),
    #[cfg(feature = "goakt")]
    ("goakt-client", goakt::client),
    #[cfg(feature = "goakt")]
    ("goakt-frame", goakt::frame),
    #[cfg(feature = "goakt")]
    ("goakt-metadata", goakt::metadata),
    #[cfg(feature = "goakt")]
    ("goakt-request", goakt::request),
    #[cfg(feature = "goakt")]
    ("goakt-response", goakt::response),
    #[cfg(feature = "goakt")]
    ("goakt-server", goakt::server),
    #[cfg(feature = "goakt")]
    ("goakt-stream", goakt::stream),
    ("gzip", gzip),
    ("hello", hello),
    ("inbound", inbound),
    ("link", link),
    ("metadata", metadata),
    ("operations", operations),
    ("zstd", zstd),
];

/// An address that parses reads back from its text.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(address) = text.parse::<Address>() else { return };
    assert_eq!(address.to_string().parse(), Ok(address));
}

/// Metadata that decodes reads back.
pub fn metadata(data: &[u8]) {
    let Ok(metadata) = Metadata::decode(data) else { return };
    let mut bytes = Vec::new();
    metadata.encode(&mut bytes);
    assert_eq!(bytes.len(), metadata.encoded_len());
    assert_eq!(Metadata::decode(&bytes), Ok(metadata));
}

/// Operations, outcomes, failures and endings that decode read back.
pub fn operations(data: &[u8]) {
    let Some((which, data)) = data.split_first() else { return };
    let mut bytes = Vec::new();
    let mut reader = Reader::new(data);
    match which % 4 {
        0 => {
            if let Ok(Ok(operation)) = read_operation(&mut reader) {
                put_operation(&mut bytes, &operation);
                let again = read_operation(&mut Reader::new(&bytes));
                assert_eq!(again, Ok(Ok(operation)));
            }
        }
        1 => {
            if let Ok(outcome) = read_outcome(&mut reader) {
                put_outcome(&mut bytes, &outcome);
                assert_eq!(read_outcome(&mut Reader::new(&bytes)), Ok(outcome));
            }
        }
        2 => {
            if let Ok(failure) = read_failure(&mut reader) {
                put_failure(&mut bytes, &failure);
                assert_eq!(read_failure(&mut Reader::new(&bytes)), Ok(failure));
            }
        }
        _ => {
            if let Ok(reason) = read_terminated(&mut reader) {
                put_terminated(&mut bytes, &reason);
                assert_eq!(read_terminated(&mut Reader::new(&bytes)), Ok(reason));
            }
        }
    }
}

/// A hello that decodes reads back, and a stranger at the door gets no answer.
pub fn hello(data: &[u8]) {
    if let Ok(hello) = Hello::decode(data) {
        let mut bytes = Vec::new();
        hello.encode(&mut bytes);
        assert_eq!(Hello::decode(&bytes), Ok(hello));
    }
    let ours = Hello::new("fuzz", [7; 16]);
    for mut handshake in [Handshake::dial(ours.clone()), Handshake::accept(ours)] {
        // The dialer's own greeting goes out first.
        handshake.poll_transmit();
        let (front, back) = data.split_at(data.len() / 2);
        let mut buf = BytesMut::from(front);
        let mut result = handshake.handle_bytes(&mut buf);
        if let Ok(None) = result {
            buf.extend_from_slice(back);
            result = handshake.handle_bytes(&mut buf);
        }
        let answer = handshake.poll_transmit();
        match result {
            Ok(None) | Err(HandshakeError::NotRakt { .. } | HandshakeError::RefusedByPeer(_)) => {
                assert_eq!(answer, None);
            }
            Ok(Some(session)) => {
                assert_eq!(session.limits.below_minimum(), None);
                assert_eq!(answer.is_some(), handshake.role() == Role::Acceptor);
            }
            Err(_) => assert!(answer.is_some()),
        }
    }
}

/// Frames mean the same however they are cut, spans stay within their buffer, and every byte that was
/// admitted is released.
pub fn inbound(data: &[u8]) {
    let Some((&setup, data)) = data.split_first() else { return };
    let role = if setup & 1 == 0 { Role::Acceptor } else { Role::Dialer };
    let mut bytes = Vec::new();
    if setup & 2 == 0 && role == Role::Acceptor {
        // With one name of each kind defined, random messages get further.
        bytes.extend_from_slice(
            b"\x10\0\0\0\x04\0\0\x01a\x11\0\0\0\x03\0\x01b\x12\0\0\0\x03\0\x01c",
        );
    }
    bytes.extend_from_slice(data);
    let cut = usize::from(setup >> 2).max(1);
    let at_once = read_all(role, &bytes, bytes.len().max(1), false);
    assert_eq!(at_once, read_all(role, &bytes, cut, false));
    assert_eq!(at_once, read_all(role, &bytes, cut, true));
}

/// With `in_place`, chunks are read to where they belong.
fn read_all(role: Role, data: &[u8], cut: usize, in_place: bool) -> Vec<String> {
    let limits = Limits { max_frame_len: 64 * 1024, max_message_len: 256 * 1024, ..Limits::MIN };
    let mut inbound = Inbound::new(role, limits);
    let mut record = Record::default();
    let mut buf = Vec::new();
    for mut piece in data.chunks(cut) {
        let mut handled = Ok(());
        if in_place && let Some(mut room) = inbound.room() {
            assert!(buf.is_empty(), "all of it was taken");
            let (here, after) = piece.split_at(piece.len().min(room.remaining_mut()));
            room.put_slice(here);
            piece = after;
            handled = inbound.handle_filled(&mut record);
        }
        buf.extend_from_slice(piece);
        record.buf.clone_from(&buf);
        match handled.and_then(|()| inbound.handle_bytes(&buf, &mut record)) {
            Ok(taken) => drop(buf.drain(..taken)),
            Err(error) => {
                record.events.push(error.close_text());
                break;
            }
        }
        assert!(inbound.wanted() <= limits.max_frame_len as usize);
        assert_eq!(inbound.held(), record.held);
    }
    inbound.clear(&mut record);
    assert_eq!(record.held, 0);
    record.events
}

/// Writes down what happened, in a form that does not depend on where in the buffer it lay.
#[derive(Default)]
struct Record {
    buf: Vec<u8>,
    events: Vec<String>,
    held: usize,
}

impl Record {
    fn payload(&self, body: &Body) -> Bytes {
        if let Body::Block(span) = body {
            assert!(span.of(&self.buf).is_some(), "a span stays within its buffer");
        }
        Bytes::copy_from_slice(body.bytes(&self.buf))
    }
}

impl Sink for Record {
    fn event(&mut self, event: Event<'_>) {
        self.events.push(match event {
            Event::Message(message) => {
                let payload = self.payload(&message.body);
                let empty = Body::Whole(Bytes::new());
                format!("{:?} {payload:?}", Message { body: empty, ..message })
            }
            Event::Reply { corr, raw_len, body } => {
                format!("reply {corr} {raw_len:?} {:?}", self.payload(&body))
            }
            other => format!("{other:?}"),
        });
    }

    fn admit(&mut self, bytes: usize) -> bool {
        const BUDGET: usize = 128 * 1024;
        let held = self.held.saturating_add(bytes);
        if held <= BUDGET {
            self.held = held;
        }
        held <= BUDGET
    }

    fn release(&mut self, bytes: usize) {
        self.held = self.held.checked_sub(bytes).expect("only what was admitted is released");
    }
}

/// zstd: exactly what is declared, or an error.
pub fn zstd(data: &[u8]) {
    decompress(Compression::Zstd, data);
}

/// gzip: exactly what is declared, or an error.
pub fn gzip(data: &[u8]) {
    decompress(Compression::Gzip, data);
}

/// brotli: exactly what is declared, or an error.
pub fn brotli(data: &[u8]) {
    decompress(Compression::Brotli, data);
}

fn decompress(compression: Compression, data: &[u8]) {
    let Ok(mut compressor) = Compressor::new(compression) else { return };
    let Some((raw_len, data)) = data.split_first_chunk::<3>() else { return };
    let [a, b, c] = raw_len.map(usize::from);
    let raw_len = a << 16 | b << 8 | c;
    let mut out = Vec::new();
    let result = compressor.decompress(data, raw_len, &mut out);
    assert_eq!(out.len(), if result.is_ok() { raw_len } else { 0 });
    let mut packed = Vec::new();
    if compressor.compress(&out, &mut packed) == Ok(true) {
        let mut again = Vec::new();
        assert_eq!(compressor.decompress(&packed, raw_len, &mut again), Ok(()));
        assert_eq!(again, out);
    }
}

/// Two honest links, driven by a random list of operations: messages to one receiver arrive once and in
/// order, every ask has one outcome, no link closes, and nothing is left behind.
pub fn link(data: &[u8]) {
    let Some((&setup, steps)) = data.split_first() else { return };
    let mut pair = Pair::new(setup);
    for step in steps.chunks_exact(2).take(400) {
        if let &[what, argument] = step {
            pair.step(what, argument);
        }
    }
    pair.settle();
    pair.check();
}

struct Pair {
    now: Instant,
    near: Link,
    far: Link,
    to_far: Vec<u8>,
    to_near: Vec<u8>,
    next: u64,
    /// Numbers of the messages sent, by path.
    sent: BTreeMap<String, Vec<u64>>,
    arrived: BTreeMap<String, Vec<u64>>,
    open: BTreeSet<u64>,
    cancelled: BTreeSet<u64>,
}

impl Pair {
    fn new(setup: u8) -> Self {
        #[expect(clippy::disallowed_methods, reason = "any instant will do to start from")]
        let now = Instant::now();
        let timeout = Duration::from_secs(10);
        let mut hello = Hello::new("fuzz", [1; 16]);
        if setup & 1 == 0 {
            // Small tables are reset often.
            hello.limits = Limits { max_message_len: 256 * 1024, ..Limits::MIN };
        }
        if setup & 2 == 0 {
            hello.compressions.clear();
        }
        Self {
            now,
            near: Link::dial(now, hello.clone(), timeout),
            far: Link::accept(now, hello, timeout),
            to_far: Vec::new(),
            to_near: Vec::new(),
            next: 0,
            sent: BTreeMap::new(),
            arrived: BTreeMap::new(),
            open: BTreeSet::new(),
            cancelled: BTreeSet::new(),
        }
    }

    fn step(&mut self, what: u8, argument: u8) {
        let small = usize::from(argument >> 3);
        let large = usize::from(argument >> 3).saturating_mul(6_000);
        match what % 12 {
            0 | 1 => self.send(argument, small, false),
            2 | 3 => self.send(argument, small, true),
            4 => self.send(argument, large, false),
            5 => self.send(argument, large, true),
            6 => self.cancel(argument),
            7 | 8 => {
                self.move_bytes(what % 12 == 7, usize::from(argument).saturating_mul(64));
            }
            9 => {
                self.take(argument);
            }
            10 => self.request(argument),
            _ => {
                self.now = self.now.checked_add(Duration::from_millis(1)).unwrap_or(self.now);
                self.near.handle_timeout(self.now);
            }
        }
    }

    fn send(&mut self, argument: u8, len: usize, is_ask: bool) {
        self.next = self.next.saturating_add(1);
        let number = self.next;
        let path = format!("worker-{}", argument % 7);
        let mut payload = number.to_be_bytes().to_vec();
        // Half of the payloads can be compressed.
        let noise = |at: usize| (at.wrapping_mul(at) >> 3) as u8;
        let fill = (0..len).map(|at| if argument & 8 == 0 { 0 } else { noise(at) });
        payload.extend(fill);
        let envelope = Envelope {
            kind: if is_ask { MessageKind::Ask { corr: number } } else { MessageKind::Tell },
            path: path.clone(),
            uid: (argument & 16 != 0).then_some(9),
            sender: (argument & 32 != 0).then(|| format!("rakt://s@h:1/{}", argument % 11)),
            type_name: format!("type-{}", argument % 5),
            remaining: None,
            metadata: Metadata::new(),
            payload: payload.into(),
        };
        let key = format!("{path} {:?}", envelope.uid);
        if self.near.send(envelope).is_ok() {
            self.sent.entry(key).or_default().push(number);
            if is_ask {
                self.open.insert(number);
            }
        }
    }

    fn cancel(&mut self, argument: u8) {
        let corr = self.open.iter().copied().cycle().nth(usize::from(argument));
        // The model has no way to take back a message that still waits in the link itself.
        if let Some(corr) = corr
            && self.near.waiting() == 0
            && let Some(outbound) = self.near.outbound()
        {
            outbound.cancel(corr);
            self.open.remove(&corr);
            self.cancelled.insert(corr);
        }
    }

    fn request(&mut self, argument: u8) {
        self.next = self.next.saturating_add(1);
        let path = "x/".repeat(usize::from(argument) % 50) + "x";
        if let Some(outbound) = self.near.outbound() {
            let operation = Operation::Lookup { path };
            outbound.request(self.next, None, None, &operation).expect("it is small");
            self.open.insert(self.next);
        }
    }

    fn move_bytes(&mut self, to_far: bool, len: usize) -> bool {
        let (from, to, wire) = if to_far {
            (&mut self.near, &mut self.far, &mut self.to_far)
        } else {
            (&mut self.far, &mut self.near, &mut self.to_near)
        };
        if wire.len() < len {
            from.poll_transmit(wire);
        }
        let piece: Vec<u8> = wire.drain(..len.min(wire.len())).collect();
        if !piece.is_empty() {
            to.handle_bytes(self.now, &piece);
        }
        !piece.is_empty()
    }

    /// The far side takes one event and answers it; the near side takes all.
    fn take(&mut self, argument: u8) -> bool {
        let mut progress = false;
        while let Some(event) = self.near.poll_event() {
            progress = true;
            match event {
                LinkEvent::Reply { corr, .. }
                | LinkEvent::Failed { corr, .. }
                | LinkEvent::Response { corr, .. } => {
                    let known = self.open.remove(&corr) || self.cancelled.contains(&corr);
                    assert!(known, "an ask has one outcome");
                }
                LinkEvent::Opened(_) => {}
                other => panic!("unexpected at the near side: {other:?}"),
            }
        }
        let Some(event) = self.far.poll_event() else { return progress };
        match event {
            LinkEvent::Message(envelope) => self.answer(&envelope, argument),
            LinkEvent::Request { corr, operation } => {
                assert!(matches!(operation, Operation::Lookup { .. }));
                let outbound = self.far.outbound().expect("it is open");
                outbound.respond(corr, &Outcome::Absent);
            }
            LinkEvent::Cancelled { corr } => assert!(self.cancelled.contains(&corr)),
            LinkEvent::Opened(_) => {}
            other => panic!("unexpected at the far side: {other:?}"),
        }
        true
    }

    fn answer(&mut self, envelope: &Envelope, argument: u8) {
        let number = envelope.payload.first_chunk().copied().map(u64::from_be_bytes);
        let key = format!("{} {:?}", envelope.path, envelope.uid);
        self.arrived.entry(key).or_default().push(number.expect("every payload has a number"));
        let Some(corr) = envelope.kind.corr() else { return };
        let outbound = self.far.outbound().expect("it is open");
        if argument & 1 == 0 {
            let payload = Payload::Ready { bytes: envelope.payload.clone(), raw_len: None };
            outbound.reply(corr, payload).expect("it fitted before");
        } else {
            outbound.fail(corr, &Failure::new(Code::HandlerFailed));
        }
    }

    fn settle(&mut self) {
        loop {
            let moved = [
                self.move_bytes(true, usize::MAX),
                self.move_bytes(false, usize::MAX),
                self.take(0),
            ];
            if moved == [false; 3] {
                break;
            }
        }
    }

    fn check(&mut self) {
        assert!(!self.near.is_closed() && !self.far.is_closed());
        assert!(self.open.is_empty(), "every ask has an outcome: {:?}", self.open);
        assert_eq!(self.near.waiting(), 0);
        for link in [&mut self.near, &mut self.far] {
            assert!(link.outbound().is_none_or(|outbound| outbound.is_empty()));
        }
        for (path, mut sent) in std::mem::take(&mut self.sent) {
            let arrived = self.arrived.remove(&path).unwrap_or_default();
            // A cancelled ask arrives or not; everything else does, in order.
            sent.retain(|n| !self.cancelled.contains(n) || arrived.contains(n));
            assert_eq!(arrived, sent, "{path}");
        }
        assert!(self.arrived.is_empty());
    }
}
