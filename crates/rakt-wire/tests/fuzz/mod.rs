//! What the fuzz targets run. Each target is one line in `fuzz/`, which includes this file; `tests/corpus/`
//! runs the corpus through the same functions on stable. Whoever depends on the crate compiles none of it.
//!
//! None of these may panic, whatever the bytes. Where something is accepted, it must read back.

#[path = "../support/far.rs"]
mod far;
#[cfg(feature = "goakt")]
pub mod goakt;
mod sessions;

use bytes::{BufMut, Bytes, BytesMut};

use rakt_wire::native::{
    Body, Budget, Event, Handshake, HandshakeError, Hello, Inbound, Limits, Message, NO_TLS_HERE,
    Role, Sink, put_failure, put_operation, put_outcome, put_terminated, read_failure,
    read_operation, read_outcome, read_terminated,
};
use rakt_wire::{Address, Chain, Compression, Compressor, Metadata, Reader, controls_at};

pub use sessions::sessions;

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
    ("metadata", metadata),
    ("operations", operations),
    ("sessions", sessions),
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

/// What is shown of a peer holds no control character.
fn is_harmless(shown: &str) {
    assert_eq!(controls_at(shown), None, "{shown:?}");
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
                is_harmless(&failure.to_string());
                is_harmless(&Chain(&failure.cause()).to_string());
                assert_eq!(read_failure(&mut Reader::new(&bytes)), Ok(failure));
            }
        }
        _ => {
            if let Ok(reason) = read_terminated(&mut reader) {
                put_terminated(&mut bytes, &reason);
                is_harmless(&reason.to_string());
                assert_eq!(read_terminated(&mut Reader::new(&bytes)), Ok(reason));
            }
        }
    }
}

/// A hello that decodes reads back, and a stranger at the door gets no answer but that there is no TLS.
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
        match &result {
            Err(error @ HandshakeError::NotRakt { .. })
                if error.is_told() && handshake.role() == Role::Acceptor =>
            {
                assert_eq!(answer.as_deref(), Some(&NO_TLS_HERE[..]));
            }
            Ok(None) | Err(HandshakeError::NotRakt { .. } | HandshakeError::RefusedByPeer(_)) => {
                assert_eq!(answer, None);
            }
            Ok(Some(session)) => {
                assert_eq!(session.limits.below_minimum(), None);
                assert_eq!(answer.is_some(), handshake.role() == Role::Acceptor);
            }
            Err(_) => assert!(answer.is_some()),
        }
        result.inspect_err(|error| is_harmless(&error.to_string())).ok();
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
                is_harmless(&error.close_text());
                record.events.push(error.close_text());
                break;
            }
        }
        assert!(inbound.wanted() <= limits.max_frame_len as usize);
        assert_eq!(inbound.held(), record.held);
    }
    inbound.clear(&mut record);
    assert_eq!((record.held, record.heads), (0, 0));
    record.events
}

/// Writes down what happened, in a form that does not depend on where in the buffer it lay.
#[derive(Default)]
struct Record {
    buf: Vec<u8>,
    events: Vec<String>,
    held: usize,
    heads: usize,
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
}

impl Budget for Record {
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

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.heads += bytes;
        Ok(())
    }

    fn release_head(&mut self, bytes: usize) {
        self.heads = self.heads.checked_sub(bytes).expect("only what was admitted is released");
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
