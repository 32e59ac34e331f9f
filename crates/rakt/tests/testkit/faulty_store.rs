//! A store that fails when the test says so.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rakt::grain::{
    ClaimError, Epoch, GrainId, GrainStore, MemoryStore, Reminder, SaveError, StoreError, Stored,
    Writer,
};
use rakt::prelude::*;
use rakt::testkit::store::{self, Call, Fault, Odds};
use rakt::testkit::{FaultyStore, Gate, within};
use tokio::time::{Instant, timeout};

use crate::MS;

const OLD: (Epoch, Writer) = claim(1);
const NEW: (Epoch, Writer) = claim(2);

const fn claim(n: u64) -> (Epoch, Writer) {
    (Epoch { generation: 1, view: 1, counter: n }, Writer { incarnation: [n as u8; 16], uid: n })
}

fn grain() -> GrainId {
    GrainId::new("cart", "42").expect("it is valid")
}

fn state(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from(text))
}

async fn claimed(store: &impl GrainStore, claim: (Epoch, Writer)) -> Option<Stored> {
    store.claim(&grain(), claim.0, claim.1).await.expect("it is the latest")
}

#[tokio::test]
async fn without_a_word_it_does_as_the_other_one() {
    let store = FaultyStore::new(MemoryStore::new());
    store::check(|| async { store.clone() }).await;
    store.assert_fenced();
    assert!(store.calls(Call::Claim) > 100 && store.writes().len() > 100);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_is_of_a_write_and_a_failure_of_none() {
    let store = FaultyStore::new(MemoryStore::new());
    store.next(Call::Save, Fault::LoseReply);
    store.next(Call::Claim, Fault::Fail);
    store.next(Call::Claim, Fault::LoseReply);
    store.next(Call::Save, Fault::Fail);
    for claims in [0, 1] {
        let failed = store.claim(&grain(), OLD.0, OLD.1).await;
        assert!(matches!(failed, Err(ClaimError::Store(_))), "{failed:?}");
        assert_eq!(store.writes().len(), claims);
    }
    let lost = store.save(&grain(), OLD, 0, state("lost")).await;
    assert!(matches!(lost, Err(SaveError::Unknown { .. })), "{lost:?}");
    let failed = store.save(&grain(), OLD, 1, state("failed")).await;
    assert!(matches!(failed, Err(SaveError::NotSaved { .. })), "{failed:?}");
    let stored = claimed(&store, OLD).await.expect("it was saved once");
    assert_eq!((stored.version, stored.state), (1, state("lost")));
    let written = store.writes();
    let written: Vec<_> = written.iter().map(|write| (write.over, write.version)).collect();
    assert_eq!(written, [(None, 0), (Some(0), 1), (None, 1)]);
    assert_eq!(
        (store.calls(Call::Claim), store.calls(Call::Save), store.calls(Call::Due)),
        (3, 2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn every_call_fails_while_it_is_down() {
    let store = FaultyStore::new(MemoryStore::new());
    store.set_down(true);
    let reminder = Reminder { due: SystemTime::UNIX_EPOCH, every: None };
    let failed = |outcome: Result<(), StoreError>| outcome.expect_err("it is down").to_string();
    let text = failed(store.remind(&grain(), "name", reminder).await);
    assert_eq!(text, "the store of the grains failed");
    failed(store.forget(&grain(), "name").await);
    failed(store.due("cart", SystemTime::now(), 1).await.map(drop));
    assert!(store.claim(&grain(), OLD.0, OLD.1).await.is_err());
    // What is said of one call comes first.
    store.next(Call::Remind, Fault::Pass);
    store.remind(&grain(), "name", reminder).await.expect("this one is passed on");
    store.set_down(false);
    let due = store.due("cart", SystemTime::now(), 9).await.expect("it is back");
    store.next(Call::Settle, Fault::LoseReply);
    failed(store.settle(&due[0], None).await);
    assert_eq!(store.due("cart", SystemTime::now(), 9).await.map_or(9, |due| due.len()), 0);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_is_late_or_held_is_fenced_by_a_claim_before_it() {
    let store = FaultyStore::new(MemoryStore::new());
    claimed(&store, OLD).await;
    store.next(Call::Save, Fault::Late(500 * MS));
    let unknown = store.save(&grain(), OLD, 0, state("late")).await;
    assert!(matches!(unknown, Err(SaveError::Unknown { .. })), "{unknown:?}");
    let gate = Gate::default();
    store.next(Call::Save, Fault::Hold(gate.clone()));
    let (grain, behind) = (grain(), store.clone());
    let held = tokio::spawn(async move { behind.save(&grain, OLD, 0, state("held")).await });
    gate.entered().await;
    assert_eq!(claimed(&store, NEW).await, None);
    gate.open();
    assert!(matches!(within(held).await, Ok(Err(SaveError::Fenced))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(claimed(&store, NEW).await, None);
    store.assert_fenced();

    // Without a claim in between it is there in the end.
    store.next(Call::Save, Fault::Late(500 * MS));
    let _ = store.save(&self::grain(), NEW, 0, state("late")).await;
    assert_eq!(claimed(&store, NEW).await, None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(claimed(&store, NEW).await.and_then(|stored| stored.state), state("late"));
}

#[tokio::test(start_paused = true)]
async fn time_passes_before_a_call_that_is_delayed_or_hangs() {
    let store = FaultyStore::new(MemoryStore::new());
    let start = Instant::now();
    store.next(Call::Claim, Fault::Delay(70 * MS));
    claimed(&store, OLD).await;
    assert_eq!(start.elapsed(), 70 * MS);
    store.next(Call::Save, Fault::Hang);
    let waited = timeout(60 * 60 * 1_000 * MS, store.save(&grain(), OLD, 0, state("hung"))).await;
    assert!(waited.is_err(), "it never ends");
    assert_eq!(claimed(&store, OLD).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_seed_makes_the_same_faults_again() {
    let odds = Odds::none().lost(0.2).failed(0.2).late(0.1, 9 * MS).delayed(0.2, 50 * MS);
    let run = async |seed| {
        let store = FaultyStore::seeded(MemoryStore::new(), seed, odds);
        let (start, mut log) = (Instant::now(), Vec::new());
        for n in 1..100 {
            let outcome = store.claim(&grain(), claim(n).0, claim(n).1).await;
            log.push((outcome.is_ok(), start.elapsed()));
        }
        store.assert_fenced();
        store.set_odds(Odds::none());
        assert!(store.claim(&grain(), NEW.0, NEW.1).await.is_err(), "a later one has it");
        log
    };
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    let failed = first.iter().filter(|(done, _)| !done).count();
    assert!((20..80).contains(&failed), "{failed} of 99 failed, of which about half were to");
}

/// Takes whatever it is given.
struct Fenceless;

impl GrainStore for Fenceless {
    async fn claim(&self, _: &GrainId, _: Epoch, _: Writer) -> Result<Option<Stored>, ClaimError> {
        Ok(None)
    }
    async fn save(
        &self,
        _: &GrainId,
        _: (Epoch, Writer),
        over: u64,
        _: Option<Bytes>,
    ) -> Result<u64, SaveError> {
        Ok(over + 1)
    }
    async fn remind(&self, _: &GrainId, _: &str, _: Reminder) -> Result<(), StoreError> {
        Ok(())
    }
    async fn forget(&self, _: &GrainId, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
    async fn due(
        &self,
        _: &str,
        _: SystemTime,
        _: usize,
    ) -> Result<Vec<rakt::grain::DueReminder>, StoreError> {
        Ok(Vec::new())
    }
    async fn settle(
        &self,
        _: &rakt::grain::DueReminder,
        _: Option<Reminder>,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn what_was_not_fenced_is_told() -> Result {
    let told = |store: &FaultyStore<Fenceless>| {
        let panic = catch_unwind(AssertUnwindSafe(|| store.assert_fenced())).err()?;
        panic.downcast::<String>().ok().map(|text| *text)
    };
    let store = FaultyStore::new(Fenceless);
    store.save(&grain(), NEW, 0, state("new")).await?;
    assert_eq!(told(&store), None);
    store.save(&grain(), OLD, 1, state("old")).await?;
    let text = told(&store).expect("an older epoch wrote later");
    assert!(text.contains("epoch 1.1.1 replaced version 1 of cart/42, of epoch 1.1.2"), "{text}");

    let store = FaultyStore::new(Fenceless);
    store.save(&grain(), OLD, 0, state("one")).await?;
    store.save(&grain(), OLD, 0, state("two")).await?;
    let text = told(&store).expect("one of them is lost");
    assert!(text.contains("version 0 of cart/42 was replaced twice"), "{text}");

    let store = FaultyStore::new(Fenceless);
    for writer in [OLD.1, NEW.1] {
        store.claim(&grain(), OLD.0, writer).await?;
    }
    let text = told(&store).expect("nobody can tell them apart");
    assert!(text.contains("two writers had cart/42 in epoch 1.1.1"), "{text}");
    Ok(())
}
