//! The bound of a mailbox, and what happens at it.

use rakt::prelude::*;
use rakt::{AskError, DeadLetter, Event, Refusal};

use crate::support::{Gate, begun, event, within};
use crate::{drained, system};

#[derive(Debug, PartialEq)]
struct Note(u32);
struct Notes;
struct Hold;

rakt::messages! {
    Note => u32,
    Notes => Vec<u32>,
    Hold,
}

#[derive(Default)]
struct Notebook {
    notes: Vec<u32>,
    gate: Gate,
}

impl Actor for Notebook {}

impl Handler<Note> for Notebook {
    async fn handle(&mut self, Note(n): Note, _: &mut Context<Self>) -> Result<u32> {
        self.notes.push(n);
        Ok(n)
    }
}

impl Handler<Notes> for Notebook {
    async fn handle(&mut self, _: Notes, _: &mut Context<Self>) -> Result<Vec<u32>> {
        Ok(self.notes.clone())
    }
}

impl Handler<Hold> for Notebook {
    async fn handle(&mut self, _: Hold, _: &mut Context<Self>) -> Result {
        self.gate.pass().await;
        Ok(())
    }
}

/// An actor that stands at the gate, in front of it an empty mailbox.
async fn held(system: &ActorSystem, mailbox: Mailbox) -> (ActorRef<Notebook>, Gate) {
    let gate = Gate::default();
    let of_actor = gate.clone();
    let notebook = system
        .spawn("notebook", move || Notebook { gate: of_actor.clone(), notes: Vec::new() })
        .mailbox(mailbox)
        .await
        .expect("it starts");
    notebook.tell(Hold).await.expect("there is room");
    gate.entered().await;
    (notebook, gate)
}

#[tokio::test]
async fn senders_wait_for_room_and_all_of_them_get_in() -> Result {
    let (notebook, gate) = held(&system().await, Mailbox::bounded(2)).await;
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..2 {
        notebook.tell(Note(n)).await?;
    }
    for n in 2..100 {
        let notebook = notebook.clone();
        let tell = async move { notebook.tell(Note(n)).await.map_err(|e| e.to_string()) };
        senders.spawn(begun(tell).await);
    }
    assert_eq!(notebook.queue_len(), Some(2), "never more than its capacity");
    gate.open();
    while let Some(sent) = within(senders.join_next()).await {
        sent??;
    }
    let mut notes = within(notebook.ask(Notes)).await?;
    notes.sort_unstable();
    assert_eq!(notes, (0..100).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_mailbox_that_refuses_hands_back_what_finds_it_full() -> Result {
    let mailbox = Mailbox::bounded(2).overflow(Overflow::Refuse);
    let (notebook, gate) = held(&system().await, mailbox).await;
    for n in 0..2 {
        notebook.tell(Note(n)).await?;
    }
    let full = Refusal::MailboxFull { capacity: 2 };
    let error = within(notebook.tell(Note(2))).await.expect_err("it does not wait");
    assert_eq!((error.refusal, error.message), (full.clone(), Note(2)));
    let error = within(notebook.ask(Note(3))).await.expect_err("full");
    assert!(error.is_safe_to_retry());
    assert!(
        matches!(&error, AskError::NotSent { refusal, message: Note(3), .. } if *refusal == full),
        "{error:?}"
    );
    gate.open();
    within(notebook.stop()).await?;
    Ok(())
}

#[tokio::test]
async fn a_mailbox_that_drops_the_oldest_tells_of_it() -> Result {
    let system = system().await;
    let mut events = system.events();
    let mailbox = Mailbox::bounded(2).overflow(Overflow::DropOldest);
    let (notebook, gate) = held(&system, mailbox).await;
    let me = notebook.clone();
    let asker = begun(async move { me.ask(Note(0)).await.expect_err("dropped") }).await;
    for n in 1..=3 {
        notebook.try_tell(Note(n))?;
    }
    assert_eq!(notebook.queue_len(), Some(2));
    let error = within(asker).await;
    assert!(matches!(error, AskError::Refused { refusal: Refusal::Dropped, .. }), "{error:?}");
    for _ in 0..2 {
        let letter: DeadLetter = event(&mut events, |event| match event {
            Event::DeadLetter(letter) => Some(letter),
            _ => None,
        })
        .await;
        assert_eq!(
            (letter.target.address().map(Address::path), letter.reason),
            (Some("notebook"), Refusal::Dropped)
        );
    }
    assert_eq!(system.dead_letter_count(), 2);
    gate.open();
    drained(&notebook).await;
    assert_eq!(within(notebook.ask(Notes)).await?, [2, 3]);
    Ok(())
}

#[tokio::test]
async fn an_unbounded_mailbox_takes_whatever_comes() -> Result {
    let (notebook, gate) = held(&system().await, Mailbox::unbounded()).await;
    for n in 0..100_000 {
        notebook.try_tell(Note(n))?;
    }
    assert_eq!(notebook.queue_len(), Some(100_000));
    gate.open();
    assert_eq!(within(notebook.ask(Notes)).await?.len(), 100_000);
    Ok(())
}

#[tokio::test]
async fn a_mailbox_is_bounded_unless_told_otherwise() -> Result {
    let (notebook, gate) = held(&system().await, Mailbox::default()).await;
    let mut accepted = 0;
    let error = loop {
        match notebook.try_tell(Note(accepted)) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(accepted, Mailbox::DEFAULT_CAPACITY);
    assert_eq!(error.refusal, Refusal::MailboxFull { capacity: accepted.into() });
    gate.open();
    within(notebook.stop()).await?;
    Ok(())
}

#[tokio::test]
async fn a_mailbox_for_nothing_still_holds_one() -> Result {
    let (notebook, gate) = held(&system().await, Mailbox::bounded(0)).await;
    notebook.try_tell(Note(1))?;
    notebook.try_tell(Note(2)).expect_err("full");
    gate.open();
    assert_eq!(within(notebook.ask(Notes)).await?, [1]);
    Ok(())
}

/// Takes revenge when it is thrown away.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a message that panics when dropped");
    }
}

rakt::messages! { Bomb }

impl Handler<Bomb> for Notebook {
    async fn handle(&mut self, bomb: Bomb, _: &mut Context<Self>) -> Result {
        std::mem::forget(bomb);
        Ok(())
    }
}

#[tokio::test]
async fn a_message_that_panics_when_discarded_harms_neither_sender_nor_actor() -> Result {
    let mailbox = Mailbox::bounded(1).overflow(Overflow::DropOldest);
    let (notebook, gate) = held(&system().await, mailbox).await;
    notebook.try_tell(Bomb).map_err(|_| "there is room")?;
    notebook.try_tell(Note(1))?;
    gate.open();
    drained(&notebook).await;
    assert_eq!(within(notebook.ask(Notes)).await?, [1]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_finds_the_mailbox_full_sleeps_until_there_is_room() -> Result {
    let system = system().await;
    let (notebook, gate) = held(&system, Mailbox::bounded(1)).await;
    notebook.tell(Note(1)).await?;
    let polls = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = polls.clone();
    let asker = tokio::spawn(async move {
        let mut ask = std::pin::pin!(notebook.ask(Note(2)).into_future());
        std::future::poll_fn(|cx| {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            ask.as_mut().poll(cx)
        })
        .await
    });
    // Turns enough for a thousand polls by a task that wakes itself; no time passes meanwhile.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(within(asker).await??, 2);
    // The first, one when there is room, and one for the answer.
    let polls = polls.load(std::sync::atomic::Ordering::Relaxed);
    assert!(polls <= 3, "{polls} polls");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_woken_and_not_polled_leaves_its_room_to_others() -> Result {
    let (notebook, gate) = held(&system().await, Mailbox::bounded(1)).await;
    notebook.tell(Note(1)).await?;
    // They are kept, and nobody looks at them.
    let _asleep = [begun(notebook.tell(Note(2))).await, begun(notebook.tell(Note(3))).await];
    let late = begun(notebook.tell(Note(4))).await;
    gate.open();
    // Nobody ever frees the room again that is kept for those.
    within(async { tokio::try_join!(late, notebook.tell(Note(5))) }).await?;
    assert_eq!(within(notebook.ask(Notes)).await?, [1, 4, 5]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_comes_back_late_is_first_in_line() -> Result {
    let (notebook, gate) = held(&system().await, Mailbox::bounded(1)).await;
    notebook.tell(Note(1)).await?;
    let late = begun(notebook.tell(Note(2))).await;
    gate.open();
    drained(&notebook).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    notebook.tell(Hold).await?;
    gate.entered().await;
    notebook.tell(Note(3)).await?;
    let other = begun(notebook.tell(Note(4))).await;
    let late = begun(late).await;
    gate.open();
    within(async { tokio::try_join!(late, other) }).await?;
    assert_eq!(within(notebook.ask(Notes)).await?, [1, 3, 2, 4]);
    Ok(())
}

#[tokio::test]
async fn messages_that_are_turned_down_count_towards_a_turn() -> Result {
    const ASKS: usize = 8000;
    let (notebook, gate) = held(&system().await, Mailbox::default()).await;
    for n in 0..ASKS {
        // Dropped at once, so it is cancelled.
        drop(begun(notebook.ask(Note(n as u32))).await);
    }
    let ask = async move { notebook.ask(Notes).await.map_err(|e| e.to_string()) };
    let asking = tokio::spawn(begun(ask).await);
    gate.open();
    let mut turns = 0;
    while !asking.is_finished() {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert_eq!(asking.await??, [0; 0], "none is handled");
    assert!(turns >= ASKS / 256, "others had {turns} turns");
    Ok(())
}
