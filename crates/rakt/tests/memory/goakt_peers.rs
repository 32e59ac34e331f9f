//! What connections of Go nodes keep in memory.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use rakt::prelude::*;
use rakt::remote::Compression;
use rakt::{Mailbox, Metadata};
use rakt_wire::goakt::{Answer, Call};

use crate::allocator::here;
use crate::goakt::{self, Node, Peer, Sent, outgoing};
use crate::{TURN, support};

const KIB: usize = 1024;

/// Its payload is kept where its first byte is 1.
#[derive(Clone, PartialEq, prost::Message)]
struct Keep {
    #[prost(bytes = "bytes", tag = "1")]
    payload: Bytes,
}

rakt::messages! { Keep as "test.Keep" }

#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<Vec<Bytes>>>);

impl Actor for Keeper {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Keep>();
    }
}

impl Handler<Keep> for Keeper {
    async fn handle(&mut self, keep: Keep, _: &mut Context<Self>) -> Result {
        if keep.payload.first() == Some(&1) {
            self.0.lock().expect("not poisoned").push(keep.payload);
        }
        Ok(())
    }
}

/// A node with a keeper, and what that keeps.
async fn keeping() -> (Node, Arc<Mutex<Vec<Bytes>>>) {
    let node = Node::start().await;
    let keeper = Keeper::default();
    let kept = keeper.0.clone();
    let spawn = node.system.spawn("keeper", move || keeper.clone());
    spawn.mailbox(Mailbox::bounded(100_000)).await.expect("an actor starts");
    (node, kept)
}

fn keep(peer: &Peer, first: u8, len: usize) -> Sent {
    let mut payload = vec![7; len];
    payload[0] = first;
    peer.message("keeper", &Keep { payload: payload.into() })
}

async fn have_been_kept(kept: &Mutex<Vec<Bytes>>, count: usize) {
    support::within(async {
        while kept.lock().expect("not poisoned").len() < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until nothing is left in the mailbox.
async fn drained(actor: &ActorRef) {
    support::within(async {
        while actor.queue_len() != Some(0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// The windows of the others grow for a long time.
fn compressions() -> impl Iterator<Item = Compression> {
    [Compression::None, Compression::Zstd].into_iter().filter(|c| c.is_available())
}

#[tokio::test]
async fn a_payload_that_is_kept_does_not_keep_the_large_frame_before_it() {
    let _turn = TURN.lock().await;
    for compression in compressions() {
        let (node, kept) = keeping().await;
        let mut peer = node.dial_with(compression).await;
        let large =
            Sent { receiver: goakt::address(peer.port, "absent"), ..keep(&peer, 0, 2 * KIB * KIB) };
        let mut before = 0;
        for round in 0..9 {
            let small = keep(&peer, 1, 20 * KIB);
            for message in [&large, &small] {
                let messages = outgoing(std::slice::from_ref(message));
                peer.queue(&Call::Tell(&messages), &Metadata::new(), None);
            }
            peer.flush().await;
            assert!(matches!(peer.answer().await, Answer::Error(_)));
            assert_eq!(peer.answer().await, Answer::Done);
            have_been_kept(&kept, round + 1).await;
            if round == 0 {
                before = here();
            }
        }
        let grown = here() - before;
        assert!(
            grown < (8 * 256 * KIB) as i64,
            "{compression}: {grown} bytes for 8 payloads of 20 KiB"
        );
        node.system.shutdown().await;
    }
}

#[tokio::test]
async fn a_payload_that_is_kept_does_not_keep_the_batch_it_came_in() {
    let _turn = TURN.lock().await;
    for compression in compressions() {
        let (node, kept) = keeping().await;
        let mut peer = node.dial_with(compression).await;
        let batch: Vec<_> = (0..4000).map(|n| keep(&peer, u8::from(n == 0), 500)).collect();
        let mut before = 0;
        for round in 0..5 {
            assert_eq!(peer.tell(&batch).await, Answer::Done);
            have_been_kept(&kept, round + 1).await;
            drained(&node.system.find("keeper").expect("it is there")).await;
            if round == 0 {
                before = here();
            }
        }
        let grown = here() - before;
        assert!(
            grown < (4 * 256 * KIB) as i64,
            "{compression}: {grown} bytes for 4 payloads of 500"
        );
        node.system.shutdown().await;
    }
}

#[tokio::test]
async fn an_idle_connection_keeps_no_buffer() {
    let _turn = TURN.lock().await;
    let node = Node::start().await;
    let mut peers = Vec::new();
    let mut before = 0;
    for n in 0..65 {
        let mut peer = node.dial().await;
        for _ in 0..3 {
            assert_eq!(peer.ask_echo("x").await, "x");
        }
        peers.push(peer);
        if n == 0 {
            before = here();
        }
    }
    let each = (here() - before) / 64;
    assert!(each < (24 * KIB) as i64, "{each} bytes");
}

/// Comes to life when the test lets it.
struct Late(support::Gate);

impl Actor for Late {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Keep>();
    }
}

impl Grain for Late {
    const KIND: &'static str = "main.late";

    async fn activate(&mut self, _: &mut Context<Self>) -> Result {
        self.0.pass().await;
        Ok(())
    }
}

impl Handler<Keep> for Late {
    async fn handle(&mut self, _: Keep, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// Messages to grains that do not come to life, or for which there is no room, wait: what they take up is what is
/// counted for them.
#[tokio::test]
async fn what_waits_for_grains_is_counted() -> Result {
    let _turn = TURN.lock().await;
    const CALLS: usize = 30;
    const LEN: usize = 1000;
    for limit in [1, 1000] {
        let gate = support::Gate::default();
        let at_gate = gate.clone();
        let kind = GrainKind::built_by(move || Late(at_gate.clone())).limit(limit);
        let set = |config: remote::Config| config.goakt(remote::GoAkt::new());
        let node = Node::built(set, |builder| builder.grain(kind)).await;
        let mut peer = node.dial().await;
        let keep = Keep { payload: vec![7; LEN].into() };
        let (type_name, bytes) = ("test.Keep", prost::Message::encode_to_vec(&keep));
        // A connection that has been used.
        gate.open();
        let call = |key: String| {
            let grain = rakt_wire::goakt::grain("main.late", &key, "127.0.0.1", peer.port);
            let message = rakt_wire::goakt::Payload { type_name, bytes: &bytes };
            Call::TellGrain { grain: Box::new(grain), message }
        };
        let first = call("first".into());
        let rest: Vec<_> = (0..CALLS).map(|n| call(format!("k{n}"))).collect();
        assert_eq!(peer.call(&first).await, Answer::Done);
        gate.entered().await;
        let before = here();
        for call in &rest {
            peer.send(call).await;
        }
        // All are on their way: of one kind that many live, of the other all wait for room.
        for _ in 0..if limit == 1 { 0 } else { CALLS } {
            gate.entered().await;
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let held = (here() - before) as usize / CALLS;
        println!("bytes of a message of {LEN} that waits, with {limit} grains: {held}");
        // A task of 3 KiB counts besides the payload, and what of a grain is there counts for the limit of its kind.
        assert!(held < LEN + 3 * KIB + if limit == 1 { 0 } else { 3 * KIB }, "{held}");
        for _ in 0..CALLS {
            gate.open();
        }
        // Each makes room for the next, long before their 5 s are over.
        for _ in 0..CALLS {
            assert_eq!(peer.answer().await, Answer::Done);
        }
    }
    Ok(())
}
