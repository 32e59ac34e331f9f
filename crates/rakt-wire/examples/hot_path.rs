//! What does a small message cost the processor, without a socket?
//!
//! ```text
//! cargo run --release -p rakt-wire --example hot_path
//! ```
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock and prints"
)]

use std::hint::black_box;
use std::time::Instant;

use rakt_wire::native::{
    Budget, Event, Head, Inbound, Limits, MessageKind, Outbound, Payload, Role, Sink,
};
use rakt_wire::{Encode, EncodeError};

/// Messages between two writes.
const BATCH: u64 = 1_000;

struct Bytes64([u8; 64]);

impl Encode for Bytes64 {
    fn encoded_len(&self) -> Option<usize> {
        Some(self.0.len())
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

/// Reads every payload's length, as little as a node would do.
#[derive(Default)]
struct Count {
    messages: u64,
    bytes: usize,
}

impl Sink for Count {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Message(message) => {
                self.messages += 1;
                self.bytes += message.body.len();
            }
            Event::Reply { body, .. } => {
                self.messages += 1;
                self.bytes += body.len();
            }
            _ => {}
        }
    }
}

impl Budget for Count {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

/// Prints the best of some rounds: what is slower than that is the machine's doing.
fn measure(name: &str, messages: u64, mut round: impl FnMut()) {
    round();
    let best = (0..20)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    let nanos = best.as_secs_f64() * 1e9 / messages as f64;
    println!("{name:<28} {nanos:6.1} ns a message");
}

fn tell(outbound: &mut Outbound, kind: MessageKind, payload: &Bytes64) {
    let head = Head { receiver: 0, sender: Some(0), type_id: 0, remaining: None, metadata: None };
    outbound.message(black_box(kind), &head, Payload::Encode(payload)).expect("it fits");
}

fn run(batches: u64) -> u64 {
    let payload = Bytes64([7; 64]);
    let limits = Limits::default();
    let messages = batches * BATCH;
    let mut written = Vec::new();

    let mut dialer = Outbound::new(Role::Dialer, limits);
    dialer.receiver("orders/worker-1", None);
    dialer.sender("rakt://shop@127.0.0.1:3321/clerk");
    dialer.message_type("shop.Order");
    let mut definitions = Vec::new();
    dialer.poll_transmit(&mut definitions);
    let kinds = |corr| [("tell", MessageKind::Tell), ("ask", MessageKind::Ask { corr })];

    let mut counted = 0;
    for (name, kind) in kinds(77) {
        measure(&format!("{name}: encode"), messages, || {
            for _ in 0..batches {
                for _ in 0..BATCH {
                    tell(&mut dialer, kind, &payload);
                }
                written.clear();
                dialer.poll_transmit(&mut written);
                black_box(&written);
            }
        });
        let mut inbound = Inbound::new(Role::Acceptor, limits);
        let mut count = Count::default();
        inbound.handle_bytes(&definitions, &mut count).expect("our own bytes");
        measure(&format!("{name}: decode"), messages, || {
            for _ in 0..batches {
                inbound.handle_bytes(black_box(&written), &mut count).expect("our own bytes");
            }
        });
        counted += black_box(count).messages;
    }

    let mut acceptor = Outbound::new(Role::Acceptor, limits);
    measure("reply: encode", messages, || {
        for _ in 0..batches {
            for corr in 0..BATCH {
                acceptor.reply(corr, Payload::Encode(&payload)).expect("it fits");
            }
            written.clear();
            acceptor.poll_transmit(&mut written);
            black_box(&written);
        }
    });
    let mut inbound = Inbound::new(Role::Dialer, limits);
    let mut count = Count::default();
    measure("reply: decode", messages, || {
        for _ in 0..batches {
            inbound.handle_bytes(black_box(&written), &mut count).expect("our own bytes");
        }
    });
    counted + count.messages
}

fn main() {
    run(1_000);
}

#[test]
fn runs() {
    assert_eq!(run(1), 3 * 21 * BATCH);
}
