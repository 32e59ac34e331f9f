//! Whom does a slow actor hold back?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::GoAkt;
use rakt::{Mailbox, Metadata};
use rakt_wire::goakt::{Answer, Call, Deadline, ErrorCode as E, proto};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::goakt::{Node, Peer, Say, Sent, echoes, error, outgoing};

const SECOND: Duration = Duration::from_secs(1);
const KIB: usize = 1024;
/// What may wait for one receiver.
const WINDOW: usize = 256 * KIB;
/// What a payload of 64 KiB counts, with the length that its message has before it.
const COST: usize = 64 * KIB + 4 + 256;

/// A node whose receivers have a small window.
async fn node() -> Node {
    Node::with(|config| config.goakt(GoAkt::new()).receiver_window(WINDOW as u32)).await
}

fn large(peer: &Peer, path: &str) -> Sent {
    peer.say(path, &"x".repeat(64 * KIB))
}

/// A connection whose ask keeps an actor busy until the gate opens.
async fn busy(node: &Node, name: &str) -> Peer {
    node.spawn_with(name, Mailbox::unbounded()).await;
    let mut holder = node.dial().await;
    let hold = holder.hold(name);
    holder.send_ask(&[hold], 10_000 * SECOND).await;
    node.gate.entered().await;
    holder
}

/// Tells an actor so much that nothing more finds room.
async fn fill(node: &Node, name: &str) {
    let mut peer = node.dial().await;
    let large = large(&peer, name);
    for _ in 0..WINDOW / COST {
        assert_eq!(peer.tell(std::slice::from_ref(&large)).await, Answer::Done);
    }
}

/// Takes 2 ms for each message.
struct Slow {
    handled: Arc<AtomicUsize>,
}

impl Actor for Slow {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Say>();
    }
}

impl Handler<Say> for Slow {
    async fn handle(&mut self, _: Say, _: &mut Context<Self>) -> Result {
        self.handled.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(2)).await;
        Ok(())
    }
}

/// More than the node has room for passes through the mailbox, and never more than the window waits there.
#[tokio::test(start_paused = true)]
async fn a_slow_actor_holds_back_those_who_tell_it_and_nobody_else() {
    const TELLERS: usize = 32;
    const TELLS: usize = 20;
    let node = Node::with(|config| {
        let config = config.goakt(GoAkt::new()).receiver_window(WINDOW as u32);
        config.memory_budget(16 * 1024 * KIB as u64)
    })
    .await;
    let (handled, acknowledged) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let shared = handled.clone();
    let spawn = node.system.spawn("slow", move || Slow { handled: shared.clone() });
    spawn.mailbox(Mailbox::unbounded()).await.expect("it starts");
    let mut tellers = JoinSet::new();
    for _ in 0..TELLERS {
        let mut peer = node.dial().await;
        let (handled, acknowledged) = (handled.clone(), acknowledged.clone());
        tellers.spawn(async move {
            let large = large(&peer, "slow");
            for _ in 0..TELLS {
                peer.send_tell(std::slice::from_ref(&large)).await;
                assert_eq!(peer.next().await, Some(Answer::Done));
                let told = acknowledged.fetch_add(1, Ordering::SeqCst) + 1;
                let waiting = told.saturating_sub(handled.load(Ordering::SeqCst));
                // Besides those that it is about to take.
                assert!(waiting <= WINDOW / COST + 1, "{waiting} wait");
            }
        });
    }
    let (mut peer, start) = (node.dial().await, Instant::now());
    while !tellers.is_empty() {
        let (echo, before) = (peer.echo("other", "at once"), Instant::now());
        assert_eq!(echoes(peer.ask(&[echo]).await), ["at once"]);
        assert_eq!(before.elapsed(), Duration::ZERO);
        let over = tokio::time::timeout(Duration::from_millis(3), tellers.join_next()).await;
        over.ok().flatten().transpose().expect("no teller fails");
    }
    assert_eq!(acknowledged.load(Ordering::SeqCst), TELLERS * TELLS);
    assert!(start.elapsed() < 2 * SECOND, "nobody waits for anything but the actor");
}

#[tokio::test(start_paused = true)]
async fn those_held_back_get_in_one_after_another_and_others_on_their_connection_wait_with_them() {
    let mut node = node().await;
    let mut holder = busy(&node, "slow").await;
    fill(&node, "slow").await;
    let mut late = Vec::new();
    for n in 0..3 {
        let mut peer = node.dial().await;
        let text = format!("{n}{}", "x".repeat(64 * KIB));
        let batch = [peer.say("slow", &text), peer.say("other", &format!("behind {n}"))];
        peer.send_tell(&batch).await;
        assert_eq!(peer.answer_by_now().await, None, "there is no room");
        late.push(peer);
    }
    assert_eq!(node.seen_by_now(), None);
    // It is another receiver's window.
    let mut peer = node.dial().await;
    let large = large(&peer, "probe");
    assert_eq!(peer.tell(&[large]).await, Answer::Done);
    assert_eq!(node.seen().await.path, "probe");

    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    for peer in &mut late {
        assert_eq!(peer.answer().await, Answer::Done);
    }
    let mut texts = Vec::new();
    while texts.len() < WINDOW / COST + 6 {
        let seen = node.seen().await;
        texts.push(seen.text.chars().take(8).collect::<String>());
    }
    let slow: Vec<_> =
        texts.iter().filter(|text| text.ends_with('x') && !text.starts_with('x')).collect();
    assert_eq!(slow, ["0xxxxxxx", "1xxxxxxx", "2xxxxxxx"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_held_back_waits_no_longer_than_it_wants_to() {
    let mut node = node().await;
    let mut holder = busy(&node, "slow").await;
    fill(&node, "slow").await;
    let (mut teller, mut asker) = (node.dial().await, node.dial().await);
    let start = Instant::now();
    let told = [large(&teller, "slow")];
    let deadline = Deadline::after(std::time::SystemTime::now(), 1000 * SECOND);
    teller.queue(&Call::Tell(&outgoing(&told)), &Metadata::new(), Some(deadline));
    teller.flush().await;
    let asked = asker.echo("slow", &"x".repeat(64 * KIB));
    asker.send_ask(&[asked], 2000 * SECOND).await;
    let late = |answer: Option<Answer>| error(answer.expect("the connection is there")).0;
    assert_eq!(late(teller.next().await), E::DeadlineExceeded);
    // The deadline is a time of day, and that goes on.
    assert!((900..=1000).contains(&start.elapsed().as_secs()));
    assert_eq!(late(asker.next().await), E::DeadlineExceeded);
    assert_eq!(start.elapsed().as_secs(), 2000);
    // Their connections go on, and so does the line without them.
    assert_eq!(teller.ask_echo("teller").await, "teller");
    assert_eq!(asker.ask_echo("asker").await, "asker");
    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    node.is_idle("slow").await;
    for _ in 0..WINDOW / COST {
        node.seen().await;
    }
    assert_eq!(node.seen_by_now(), None);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_it_is_held_back_gives_its_place_away() {
    let mut node = node().await;
    let mut holder = busy(&node, "slow").await;
    fill(&node, "slow").await;
    let (mut first, mut second) = (node.dial().await, node.dial().await);
    first.send_tell(&[first.say("slow", &"1".repeat(64 * KIB))]).await;
    assert_eq!(first.answer_by_now().await, None);
    second.send_tell(&[second.say("slow", &"2".repeat(64 * KIB))]).await;
    assert_eq!(second.answer_by_now().await, None);
    drop(first);
    // A connection that is held back looks for that after a moment.
    tokio::time::sleep(2 * SECOND).await;
    node.gate.open();
    assert_eq!(second.answer().await, Answer::Done);
    assert_eq!(echoes(holder.answer().await), ["held"]);
    node.is_idle("slow").await;
    for _ in 0..WINDOW / COST {
        assert!(node.seen().await.text.starts_with('x'));
    }
    assert!(node.seen().await.text.starts_with('2'));
    assert_eq!(node.seen_by_now(), None);
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_the_window_takes_all_of_it() {
    let mut node = node().await;
    let mut holder = busy(&node, "slow").await;
    let mut peer = node.dial().await;
    let huge = peer.say("slow", &"x".repeat(2 * WINDOW));
    assert_eq!(peer.tell(std::slice::from_ref(&huge)).await, Answer::Done);
    peer.send_tell(&[huge]).await;
    let mut other = node.dial().await;
    other.send_tell(&[other.say("slow", "small")]).await;
    assert_eq!(other.answer_by_now().await, None);
    assert_eq!(peer.answer_by_now().await, None);
    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    assert_eq!((peer.answer().await, other.answer().await), (Answer::Done, Answer::Done));
    for len in [2 * WINDOW, 2 * WINDOW, 5] {
        assert_eq!(node.seen().await.text.len(), len);
    }
}

/// They are told in the name of somebody who wants the answer as a message.
#[tokio::test(start_paused = true)]
async fn asynchronous_requests_are_held_back_as_well() {
    let node = node().await;
    let mut holder = busy(&node, "slow").await;
    let mut peer = node.dial().await;
    let mut request = large(&peer, "slow");
    let asked = proto::AsyncRequest {
        correlation_id: "1".to_owned(),
        reply_to: "goakt://go@127.0.0.1:9/nobody".to_owned(),
        message: Some(proto::Any::pack("test.Say", request.bytes.into())),
    };
    request.bytes = asked.to_bytes();
    request.type_name = "internalpb.AsyncRequest".to_owned();
    for _ in 0..WINDOW / COST {
        assert_eq!(peer.tell(std::slice::from_ref(&request)).await, Answer::Done);
    }
    peer.send_tell(&[request]).await;
    assert_eq!(peer.answer_by_now().await, None);
    node.gate.open();
    assert_eq!(echoes(holder.answer().await), ["held"]);
    assert_eq!(peer.answer().await, Answer::Done);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_those_who_are_held_back() {
    let node = Node::built(
        |config| config.goakt(GoAkt::new()).receiver_window(WINDOW as u32),
        |builder| builder.shutdown_timeout(SECOND),
    )
    .await;
    node.spawn_with("slow", Mailbox::unbounded()).await;
    let mut peer = node.dial().await;
    // The actor takes out all of it at once, and goes on with the first one beyond the shutdown.
    let large = large(&peer, "slow");
    let mut batch = vec![peer.hold("slow")];
    batch.resize(1 + WINDOW / COST, large.clone());
    assert_eq!(peer.tell(&batch).await, Answer::Done);
    node.gate.entered().await;
    peer.send_tell(&[large]).await;
    assert_eq!(peer.answer_by_now().await, None);
    let start = Instant::now();
    node.system.shutdown().await;
    // The time for actors to end, and for peers to take what they are told last.
    assert!(start.elapsed() <= 2 * SECOND);
    let (code, text) = error(peer.answer().await);
    assert_eq!(code, E::FailedPrecondition, "{text}");
}
