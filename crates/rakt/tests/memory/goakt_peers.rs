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
