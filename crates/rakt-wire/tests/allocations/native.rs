//! A small message costs no allocation, on the way out or in.

use rakt_wire::native::{
    Budget, Event, Head, Inbound, Limits, MessageKind, Outbound, Payload, Role, Sink,
};

use crate::{BATCH, COUNT, ROUNDS};

#[derive(Default)]
struct Seen(usize);

impl Sink for Seen {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Message(_) | Event::Reply { .. } = event {
            self.0 += 1;
        }
    }
}

impl Budget for Seen {
    fn admit(&mut self, _: usize) -> bool {
        true
    }

    fn release(&mut self, _: usize) {}

    fn admit_head(&mut self, _: usize) -> Result<(), u64> {
        Ok(())
    }

    fn release_head(&mut self, _: usize) {}
}

const PAYLOAD: &[u8] = &[7; 64];

/// Allocations of some rounds of sending and receiving, once the buffers have grown.
fn allocations(
    near: &mut Outbound,
    far: &mut Inbound,
    mut send: impl FnMut(&mut Outbound),
) -> usize {
    let (mut bytes, mut seen) = (Vec::new(), Seen::default());
    let mut before = 0;
    for round in 0..ROUNDS {
        if round == 10 {
            before = COUNT.get();
        }
        bytes.clear();
        for _ in 0..BATCH {
            send(near);
        }
        near.poll_transmit(&mut bytes);
        far.handle_bytes(&bytes, &mut seen).expect("our own bytes");
    }
    let after = COUNT.get();
    assert_eq!(seen.0, ROUNDS * BATCH);
    after - before
}

#[test]
fn a_tell_an_ask_and_a_reply_allocate_nothing() {
    let limits = Limits::default();
    let mut dialer = Outbound::new(Role::Dialer, limits);
    let receiver = dialer.receiver("orders/42", None).id;
    let sender = Some(dialer.sender("rakt://shop@127.0.0.1:3321/clerk").id);
    let type_id = dialer.message_type("shop.Order").id;
    let remaining = Some(std::time::Duration::from_secs(5));
    let head = Head { receiver, sender, type_id, remaining, metadata: None };
    let mut at_acceptor = Inbound::new(Role::Acceptor, limits);
    for kind in [MessageKind::Tell, MessageKind::Ask { corr: u64::MAX }] {
        let count = allocations(&mut dialer, &mut at_acceptor, |dialer| {
            dialer.message(kind, &head, Payload::Encode(&PAYLOAD)).expect("it fits");
        });
        assert_eq!(count, 0, "{kind:?}");
    }

    let mut acceptor = Outbound::new(Role::Acceptor, limits);
    let mut at_dialer = Inbound::new(Role::Dialer, limits);
    let count = allocations(&mut acceptor, &mut at_dialer, |acceptor| {
        acceptor.reply(u64::MAX, Payload::Encode(&PAYLOAD)).expect("it fits");
    });
    assert_eq!(count, 0, "reply");
}
