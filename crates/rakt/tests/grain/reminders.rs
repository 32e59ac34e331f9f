//! Whether a reminder finds a grain that does not live.

use std::time::{Duration, SystemTime};

use rakt::grain::{GrainId, GrainStore, MemoryStore, Reminder};
use rakt::testkit::FaultyStore;
use rakt::testkit::store::{Call, Fault};
use tokio::sync::mpsc;

use super::*;
use crate::support::within;

/// Tells of its reminders.
struct Sleeper {
    told: mpsc::UnboundedSender<(String, String)>,
    fails: Arc<Mutex<u32>>,
}

#[derive(Message)]
struct Remind(&'static str, Duration, Option<Duration>);

#[derive(Message)]
struct Forget(&'static str);

impl Actor for Sleeper {}

impl Grain for Sleeper {
    const KIND: &'static str = "sleeper";

    async fn reminded(&mut self, reminder: &str, ctx: &mut Context<Self>) -> Result {
        self.told.send((ctx.grain_id().key().to_owned(), reminder.to_owned()))?;
        let mut fails = self.fails.lock().expect("not poisoned");
        if *fails > 0 {
            *fails -= 1;
            return Err("not now".into());
        }
        Ok(())
    }
}

impl Handler<Remind> for Sleeper {
    async fn handle(
        &mut self,
        Remind(name, after, every): Remind,
        ctx: &mut Context<Self>,
    ) -> Result {
        ctx.remind(name, after, every).await?;
        ctx.stop();
        Ok(())
    }
}

impl Handler<Forget> for Sleeper {
    async fn handle(&mut self, Forget(name): Forget, ctx: &mut Context<Self>) -> Result {
        ctx.forget_reminder(name).await?;
        Ok(())
    }
}

struct Kit {
    hears: mpsc::UnboundedReceiver<(String, String)>,
    kind: GrainKind<Sleeper>,
    fails: Arc<Mutex<u32>>,
}

fn kit() -> Kit {
    let (told, hears) = mpsc::unbounded_channel();
    let fails = Arc::new(Mutex::new(0));
    let fails_too = fails.clone();
    let sleeper = move || Sleeper { told: told.clone(), fails: fails_too.clone() };
    let kind = GrainKind::built_by(sleeper).reminder_interval(Duration::from_millis(5));
    Kit { hears, kind, fails }
}

#[tokio::test]
async fn a_reminder_wakes_a_grain_also_after_a_restart_of_the_node() {
    let store = Arc::new(MemoryStore::new());
    let Kit { mut hears, kind, .. } = kit();
    let first = system(kind.store(store.clone())).await;
    let grain = first.grain::<Sleeper>("a");
    grain.ask(Remind("now", Duration::ZERO, None)).await.expect("it is noted");
    assert_eq!(within(hears.recv()).await, Some(("a".into(), "now".into())));
    grain.ask(Remind("later", Duration::from_millis(1500), None)).await.expect("it is noted");
    first.shutdown().await;
    assert!(hears.try_recv().is_err());

    let Kit { mut hears, kind, .. } = kit();
    let second = system(kind.store(store.clone())).await;
    assert_eq!(within(hears.recv()).await, Some(("a".into(), "later".into())));
    second.shutdown().await;
    assert!(hears.try_recv().is_err(), "it comes once");
    let far = SystemTime::now() + Duration::from_secs(1 << 20);
    assert_eq!(store.due("sleeper", far, 10).await.expect("it answers"), []);
}

#[tokio::test]
async fn a_reminder_repeats_itself_until_it_is_taken_back() {
    let Kit { mut hears, kind, .. } = kit();
    let system = system(kind.store(MemoryStore::new())).await;
    let grain = system.grain::<Sleeper>("a");
    let every = Some(Duration::from_millis(5));
    grain.ask(Remind("again", Duration::ZERO, every)).await.expect("it is noted");
    for _ in 0..3 {
        assert_eq!(within(hears.recv()).await, Some(("a".into(), "again".into())));
    }
    within(async {
        grain.ask(Forget("again")).await.expect("it is taken back");
        // One may be on its way, and put the next one in its place no more.
        let quiet = Duration::from_millis(100);
        while tokio::time::timeout(quiet, hears.recv()).await.is_ok() {}
    })
    .await;
}

/// At least once: a grain that fails at a reminder has it again, and those of others come meanwhile.
#[tokio::test]
async fn a_reminder_that_fails_comes_again() {
    let store = Arc::new(MemoryStore::new());
    let Kit { mut hears, kind, fails } = kit();
    *fails.lock().expect("not poisoned") = 1;
    let system = system(kind.store(store.clone())).await;
    let due = SystemTime::now();
    let id = GrainId::new("sleeper", "a").expect("it is valid");
    store.remind(&id, "x", Reminder { due, every: None }).await.expect("it is noted");
    assert_eq!(within(hears.recv()).await, Some(("a".into(), "x".into())));
    let far = SystemTime::now() + Duration::from_secs(3600);
    let noted = within(async {
        loop {
            let all = store.due("sleeper", far, 10).await.expect("it answers");
            match &*all {
                [due] if due.reminder.due > SystemTime::now() => break due.reminder,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    })
    .await;
    assert_eq!(noted.every, None, "it is the same one, later");
    system.shutdown().await;
}

#[tokio::test]
async fn what_is_no_reminder_is_refused() {
    let Kit { kind, .. } = kit();
    let system = system(kind.store(MemoryStore::new())).await;
    let grain = system.grain::<Sleeper>("a");
    for remind in [
        Remind("", Duration::ZERO, None),
        Remind(Box::leak("x".repeat(256).into_boxed_str()), Duration::ZERO, None),
        Remind("x", Duration::ZERO, Some(Duration::ZERO)),
        Remind("x", Duration::MAX, None),
    ] {
        grain.ask(remind).await.expect_err("it is none");
    }
}

/// A store that tells what is due, and moves nothing on: all of it comes again with the next look, not at once and for ever.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_moved_on_waits_for_the_next_look() {
    const MANY: usize = 200;
    let store = Arc::new(FaultyStore::new(MemoryStore::new()));
    let Kit { mut hears, kind, .. } = kit();
    let hour = Duration::from_secs(3600);
    let system = system(kind.store(store.clone()).reminder_interval(hour)).await;
    let due = SystemTime::now();
    for n in 0..MANY {
        let id = GrainId::new("sleeper", &n.to_string()).expect("it is valid");
        store.remind(&id, "x", Reminder { due, every: None }).await.expect("it is noted");
    }
    for _ in 0..100 * MANY {
        store.next(Call::Settle, Fault::Fail);
    }
    tokio::time::sleep(hour + hour / 2).await;
    let mut heard = 0;
    while hears.try_recv().is_ok() {
        heard += 1;
    }
    assert_eq!(heard, 64, "those of one look");
    system.shutdown().await;
}
