//! A peer that leaves while its requests wait, with more behind them than is handled.

use std::time::Duration;

use rakt::Event;
use rakt::Metadata;
use rakt::error::Chain;
use rakt::remote::GoAkt;
use rakt_wire::goakt::{Answer, Call};

use crate::goakt::{Node, Peer, echoes, outgoing};
use crate::support::event;

const LONG: Duration = Duration::from_secs(24 * 60 * 60);
/// Tells behind an ask; together they have far more bytes than are read to be handled.
const TELLS: usize = 1000;
const TELL_LEN: usize = 1000;

async fn node() -> Node {
    Node::with(|config| config.goakt(GoAkt::new().max_pipelined(1))).await
}

/// A peer whose ask has no answer yet, with a mebibyte of tells behind it.
async fn waiting_peer(node: &Node) -> Peer {
    let mut peer = node.dial().await;
    let hold = peer.hold("probe");
    peer.send_ask(&[hold], LONG).await;
    node.gate.entered().await;
    for n in 0..TELLS {
        let say = [peer.say("other", &format!("{n:>TELL_LEN$}"))];
        peer.queue(&Call::Tell(&outgoing(&say)), &Metadata::new(), None);
    }
    peer.flush().await;
    peer
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_goes_is_missed_although_much_of_it_is_unread() {
    let node = node().await;
    let mut events = node.system.events();
    drop(waiting_peer(&node).await);
    let down = event(&mut events, |event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    });
    assert_eq!(down.await, "the peer closed the connection");
}

#[tokio::test(start_paused = true)]
async fn what_is_read_to_hear_of_that_is_handled_in_its_turn() {
    let mut node = node().await;
    let mut peer = waiting_peer(&node).await;
    node.gate.open();
    assert_eq!(echoes(peer.answer().await), ["held"]);
    for n in 0..TELLS {
        assert_eq!(peer.answer().await, Answer::Done);
        assert_eq!(node.seen().await.text, format!("{n:>TELL_LEN$}"));
    }
}
