//! Room that senders here and messages of peers wait for, and what must not pile up.

use std::future::Future;

use bytes::Bytes;

use tokio::sync::oneshot;

use super::rare::MANY;
use super::*;
use crate::context::{ActorCell, Dispatch};
use crate::dispatch::dispatch;
use crate::mailbox::Mailbox;
use crate::mailbox::arrivals::tests::Numbers;
use crate::message::{Codec, CodecError};
use crate::reference::{ActorRef, Target};
use crate::{Accepts, Actor, Context, Handler};

/// A message that peers may send; `true` is handled only once the test says so.
#[derive(Debug)]
struct Knock(bool);

enum Byte {}

impl Codec<Knock> for Byte {
    fn encoded_len(_: &Knock) -> Option<usize> {
        Some(1)
    }
    fn encode(Knock(waits): &Knock, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.push((*waits).into());
        Ok(())
    }
    fn decode(bytes: Bytes) -> Result<Knock, CodecError> {
        Ok(Knock(bytes.first() == Some(&1)))
    }
}

impl Codec<()> for Byte {
    fn encoded_len((): &()) -> Option<usize> {
        Some(0)
    }
    fn encode((): &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }
    fn decode(_: Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}

crate::messages! { Knock as "rakt.cell.tests.Knock" with Byte }

struct Door(Arc<tokio::sync::Semaphore>, tokio::sync::mpsc::UnboundedSender<()>);

impl Actor for Door {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Knock>();
    }
}

impl Handler<Knock> for Door {
    async fn handle(&mut self, Knock(waits): Knock, _: &mut Context<Self>) -> crate::Result {
        self.1.send(())?;
        if waits {
            self.0.acquire().await?.forget();
        }
        Ok(())
    }
}

fn from_peer() -> Box<dyn Arrivals> {
    Numbers::new(&Arc::default(), [0])
}

fn cell(actor: &ActorRef<Door>) -> &ActorCell<Door> {
    match actor.target() {
        Target::Local(cell) => cell.as_any().downcast_ref().expect("a door"),
        _ => unreachable!("it lives here"),
    }
}

/// Room that was kept for a sender here passes to a peer, whose message has to wake the actor.
#[test]
fn what_nobody_waits_for_any_more_does_not_pile_up() {
    let mut rare = Rare::default();
    for _ in 0..10_000 {
        rare.add_signal(Signal::Respawn(oneshot::channel().0));
        rare.add_signal(Signal::Reinstate(oneshot::channel().0));
        rare.add_signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
        rare.add_watcher(Watcher::Once(oneshot::channel().0));
        assert!(rare.signals.len() <= MANY, "{} signals", rare.signals.len());
        assert!(rare.watchers.len() <= MANY, "{} watchers", rare.watchers.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_gets_in_for_a_sender_that_went_away_is_handled() -> crate::Result {
    let system = ActorSystem::builder("tests").start().await?;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let of_door = gate.clone();
    let door = system
        .spawn("door", move || Door(of_door.clone(), sender.clone()))
        .mailbox(Mailbox::bounded(1))
        .await?;
    door.tell(Knock(true)).await?;
    seen.recv().await;
    door.tell(Knock(false)).await?;
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(door.tell(Knock(false)))).collect();
    for one in &mut waiting {
        let polled = std::future::poll_fn(|cx| Poll::Ready(one.as_mut().poll(cx)));
        assert!(polled.await.is_pending());
    }
    cell(&door).push_arrivals(from_peer());
    gate.add_permits(1);
    // After this one the actor has nothing to do: the room is for the first that waits.
    seen.recv().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let resting = cell(&door);
    assert!(matches!(resting.state.lock().phase, Phase::Resting(_)));
    drop(waiting);
    let limit = Duration::from_secs(10);
    let seen = tokio::time::timeout(limit, seen.recv()).await;
    seen.expect("the peer's message is handled").expect("the door is there");
    Ok(())
}

/// The same where the sender is still there, but is not polled any more.
#[tokio::test(start_paused = true)]
async fn what_gets_in_for_a_sender_that_does_not_come_back_is_handled() -> crate::Result {
    let system = ActorSystem::builder("tests").start().await?;
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    let door = system
        .spawn("door", move || Door(gate.clone(), sender.clone()))
        .mailbox(Mailbox::bounded(1))
        .await?;
    door.tell(Knock(false)).await?;
    let mut waiting = Box::pin(door.tell(Knock(false)));
    let polled = std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx)));
    assert!(polled.await.is_pending());
    cell(&door).push_arrivals(from_peer());
    for _ in 0..2 {
        let seen = tokio::time::timeout(Duration::from_secs(10), seen.recv()).await;
        seen.expect("the first, and the peer's").expect("the door is there");
    }
    Ok(())
}

/// The same where all that wait are told to try again, as after a restart.
#[test]
fn what_gets_in_for_senders_that_were_sent_away_is_handled() {
    let mut queue = Queue::<Dispatch<Door>>::new();
    let bounds = Mailbox::bounded(1);
    assert!(queue.offer_arrivals(from_peer(), bounds).is_empty());
    let mut ticket = None;
    let offer = |queue: &mut Queue<Dispatch<Door>>, ticket: &mut Option<u64>| {
        let letter = crate::mailbox::letter::Letter {
            message: Knock(false),
            asker: crate::mailbox::letter::Asker(None),
            sender: None,
            about: None,
        };
        let dispatch = Dispatch(dispatch::<Door, Knock>);
        queue.offer(&mut Some(letter), dispatch, bounds, Some((ticket, Waker::noop())))
    };
    assert!(matches!(offer(&mut queue, &mut ticket), Offer::Waiting));
    assert!(queue.offer_arrivals(from_peer(), bounds).is_empty());
    assert_eq!(queue.take(&mut WorkBatch::default(), bounds).len(), 1, "its turn");
    assert!(queue.is_empty());
    assert_eq!(queue.wake_waiters(bounds).len(), 0, "it was woken");
    assert!(!queue.is_empty(), "nobody else would see to it");
}
