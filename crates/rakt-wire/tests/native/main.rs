//! The native protocol from the outside: one file per capability.
//!
//! | file | asks |
//! | --- | --- |
//! | `golden.rs` | is the same written today as yesterday? |
//! | `handshake.rs` | who is let in, and what is everybody else told? |
//! | `limits.rs` | does every bound hold? Each test fails without its bound. |
//! | `outbound.rs` | what goes out when, and what is taken back? |
//! | `roundtrip.rs` | does every frame arrive as it was sent, however it is cut? |
//! | `sessions.rs` | what becomes of messages between the two sides of a connection?
//! | `text.rs` | what can the text of a peer do where it is shown? |

#[expect(dead_code, reason = "the fuzz target uses the rest")]
#[path = "../support/far.rs"]
mod far;

mod golden;
mod handshake;
mod limits;
mod outbound;
mod roundtrip;
mod sessions;
mod text;

use bytes::Bytes;
use rakt_wire::native::{Body, Budget, Event, FrameKind, HEADER_LEN, Sink};

/// Hands every event to a closure, with its payload copied out of the buffer.
struct On<F> {
    buf: Vec<u8>,
    room: usize,
    held: usize,
    call: F,
}

impl<F: FnMut(Event<'_>)> On<F> {
    fn new(buf: &[u8], call: F) -> Self {
        Self { buf: buf.to_vec(), room: usize::MAX, held: 0, call }
    }
}

impl<F: FnMut(Event<'_>)> Sink for On<F> {
    fn event(&mut self, mut event: Event<'_>) {
        if let Event::Message(message) = &mut event {
            message.body = whole(&message.body, &self.buf);
        }
        if let Event::Reply { body, .. } = &mut event {
            *body = whole(body, &self.buf);
        }
        (self.call)(event);
    }
}

impl<F: FnMut(Event<'_>)> Budget for On<F> {
    fn admit(&mut self, bytes: usize) -> bool {
        let admitted = self.held + bytes <= self.room;
        self.held += if admitted { bytes } else { 0 };
        admitted
    }

    fn release(&mut self, bytes: usize) {
        self.held = self.held.checked_sub(bytes).expect("only what was admitted is released");
    }

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

fn whole(body: &Body, buf: &[u8]) -> Body {
    Body::Whole(Bytes::copy_from_slice(body.bytes(buf)))
}

/// A frame by hand.
fn frame(kind: FrameKind, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("a test's frame is short");
    [&[kind.as_u8()][..], &len.to_be_bytes(), body].concat()
}

/// The kinds of the frames in `bytes`, with the lengths of their bodies.
fn kinds(mut bytes: &[u8]) -> Vec<(FrameKind, usize)> {
    let mut kinds = Vec::new();
    while let Some((&[kind, ref len @ ..], rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
        let len = u32::from_be_bytes(*len) as usize;
        kinds.push((FrameKind::from_u8(kind).expect("a known kind"), len));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty(), "only whole frames");
    kinds
}
