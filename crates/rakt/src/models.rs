//! Models of what runs at the same time: loom runs them in every order of their steps, but for orders that take
//! a thread off more than three times.
//!
//! They are the code that ships, with loom's locks and atomics (`sync.rs`). `.ci/run models` runs them.

mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use loom::future::block_on;
    use loom::sync::Notify;
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use crate::cell::{Cell, Class, Next, Setup};
    use crate::events::StopReason;
    use crate::mailbox::Mailbox;
    use crate::mailbox::letter::{Asker, Letter};
    use crate::mailbox::queue::Intake;
    use crate::mailbox::work_batch::WorkBatch;
    use crate::reference::{AnyCell, Push};
    use crate::signal::{Signal, Signalled};
    use crate::slot::{Abandonment, Answer, Slot};
    use crate::sync::Mutex;
    use crate::system::ActorSystem;

    /// Most times that a thread is interrupted in one run; more of them find little and take for ever.
    const PREEMPTIONS: usize = 3;

    fn model(f: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(PREEMPTIONS);
        model.check(f);
    }

    fn first_poll<T>(answer: &mut Answer<T>) -> Poll<T> {
        pin!(answer).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reply_and_a_lost_connection_make_one_outcome() {
        model(|| {
            let (slot, answer) = Slot::new();
            let lost = slot.clone();
            let lost = thread::spawn(move || lost.answer("lost").is_ok());
            let replied = thread::spawn(move || slot.answer("reply").is_ok());
            let outcome = block_on(answer);
            let (lost, replied) =
                (lost.join().expect("no panic"), replied.join().expect("no panic"));
            assert_eq!((lost, replied), (outcome == "lost", outcome == "reply"));
        });
    }

    /// Whose time is up looks once more, and goes.
    #[test]
    fn a_reply_that_meets_a_timeout_is_heard_or_given_back() {
        model(|| {
            let (slot, mut answer) = Slot::new();
            let replying = slot.clone();
            let replied = thread::spawn(move || replying.answer("reply").is_ok());
            let heard = first_poll(&mut answer).is_ready() || first_poll(&mut answer).is_ready();
            drop(answer);
            let taken = replied.join().expect("no panic");
            assert!(taken || !heard);
            assert!(!slot.is_abandoned() || (!taken && !heard));
            assert!(taken || slot.is_abandoned(), "who gives it back can see why");
        });
    }

    #[test]
    fn handlers_that_look_out_for_a_cancellation_hear_of_it() {
        model(|| {
            let (slot, answer) = Slot::<()>::new();
            let watching: Vec<_> = (0..2)
                .map(|_| {
                    let slot = slot.clone();
                    thread::spawn(move || block_on(poll_fn(|cx| slot.poll_abandoned(cx))))
                })
                .collect();
            drop(answer);
            watching.into_iter().for_each(|watching| watching.join().expect("no panic"));
            assert!(slot.is_abandoned() && slot.answer(()).is_err());
        });
    }

    struct Note;
    crate::messages! { Note }

    fn note() -> Option<Letter<Note>> {
        Some(Letter { message: Note, asker: Asker(None), sender: None, about: None })
    }

    /// Where the body of an actor goes when a message finds it resting: its runner waits here.
    struct Home {
        body: Mutex<Option<Box<Body>>>,
        came: Notify,
    }

    struct Body(Arc<Home>);

    type Actor = Cell<Body, ()>;

    fn start(_: Arc<Actor>, body: Box<Body>) {
        let home = body.0.clone();
        let before = home.body.lock().replace(body);
        assert!(before.is_none(), "there is one body");
        home.came.notify();
    }

    /// An actor whose runner is about to look for work, with its body.
    fn actor(capacity: u32) -> (Arc<Actor>, Box<Body>) {
        // Of a runtime that is gone: nothing runs but the threads of the model.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("it starts");
        let (handle, home) =
            (runtime.handle().clone(), Home { body: Mutex::new(None), came: Notify::new() });
        drop(runtime);
        let (_, _, system) = ActorSystem::builder("models").assemble(handle);
        let mut setup = Setup::default();
        setup.mailbox = Mailbox::bounded(capacity);
        let class = Arc::new(Class::new(start));
        let cell = Cell::new(system, "a".into(), 1, class, setup, None);
        (cell, Box::new(Body(Arc::new(home))))
    }

    /// Runs an actor until it has been told to stop and has nothing left; returns how much it handled.
    fn run(cell: &Actor, mut body: Box<Body>) -> usize {
        let (home, mut handled) = (body.0.clone(), 0);
        loop {
            let mut work = WorkBatch::default();
            body = match cell.take_or_rest(body, &mut work) {
                Next::Messages(body) => {
                    while let Some(item) = work.pop_front() {
                        handled += item.count();
                    }
                    body
                }
                Next::Signals(body) => {
                    for signal in cell.take_signals() {
                        assert!(matches!(signal, Signal::Stop { finish: true, .. }));
                        cell.set_intake(Intake::Closed);
                    }
                    body
                }
                Next::Drained(_) => {
                    cell.close(&mut work);
                    assert!(work.is_empty());
                    cell.end(&StopReason::Stopped);
                    return handled;
                }
                Next::Resting => {
                    // It may be woken for nothing.
                    loop {
                        if let Some(body) = home.body.lock().take() {
                            break body;
                        }
                        home.came.wait();
                    }
                }
            };
        }
    }

    fn stop(cell: &Actor) {
        cell.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
    }

    /// Waits until the mailbox has taken a message or is closed, as a `tell` does.
    async fn tell(cell: &Actor) -> bool {
        let (mut letter, mut ticket) = (note(), None);
        poll_fn(|cx| match cell.push(&mut letter, (), Some((&mut ticket, cx.waker()))) {
            Push::Waiting => Poll::Pending,
            Push::Accepted => Poll::Ready(true),
            Push::Refused(_) => Poll::Ready(false),
        })
        .await
    }

    #[test]
    fn what_a_mailbox_took_is_handled_though_the_actor_stops() {
        model(|| {
            let (cell, body) = actor(8);
            let taken = Arc::new(AtomicUsize::new(0));
            let producers: Vec<_> = (0..2)
                .map(|_| {
                    let (cell, taken) = (cell.clone(), taken.clone());
                    thread::spawn(move || {
                        if matches!(cell.push(&mut note(), (), None), Push::Accepted) {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    })
                })
                .collect();
            let runner = thread::spawn({
                let cell = cell.clone();
                move || run(&cell, body)
            });
            stop(&cell);
            producers.into_iter().for_each(|producer| producer.join().expect("no panic"));
            let handled = runner.join().expect("no panic");
            assert_eq!(handled, taken.load(Ordering::Relaxed));
            assert!(cell.has_ended() && cell.queue_len() == 0);
        });
    }

    #[test]
    fn senders_that_wait_for_room_are_let_in_or_hear_of_the_stop() {
        model(|| {
            let (cell, body) = actor(1);
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let cell = cell.clone();
                    thread::spawn(move || usize::from(block_on(tell(&cell))))
                })
                .collect();
            let runner = thread::spawn({
                let cell = cell.clone();
                move || run(&cell, body)
            });
            stop(&cell);
            let sent: usize =
                senders.into_iter().map(|sender| sender.join().expect("no panic")).sum();
            assert_eq!(runner.join().expect("no panic"), sent);
        });
    }

    /// Room that was kept for a sender that has gone away is another's.
    #[test]
    fn a_sender_that_is_dropped_while_it_waits_passes_its_room_on() {
        model(|| {
            let (cell, _body) = actor(1);
            assert!(matches!(cell.push(&mut note(), (), None), Push::Accepted));
            let (mut letter, mut ticket) = (note(), None);
            let noop = Waker::noop();
            let first = cell.push(&mut letter, (), Some((&mut ticket, noop)));
            assert!(matches!(first, Push::Waiting));
            let second = thread::spawn({
                let cell = cell.clone();
                move || assert!(block_on(tell(&cell)), "nobody stops it")
            });
            let dropped = thread::spawn({
                let cell = cell.clone();
                move || cell.forget_waiter(ticket.expect("it waits"))
            });
            let mut work = WorkBatch::default();
            let taken =
                cell.poll_take(&mut Context::from_waker(noop), &mut Default::default(), &mut work);
            assert!(matches!(taken, Poll::Ready(true)));
            dropped.join().expect("no panic");
            second.join().expect("no panic");
            assert_eq!(cell.queue_len(), 1);
        });
    }
}
