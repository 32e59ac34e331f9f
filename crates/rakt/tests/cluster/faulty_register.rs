//! A register that fails when the test says so.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{MemoryRegister, Register, SwapError, Version};
use rakt::error::Chain;
use rakt::testkit::register::{self, Call, Fault, History, Odds, Recorded};
use rakt::testkit::{FaultyRegister, Gate, within};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const MS: Duration = Duration::from_millis(1);
const NOTHING: Version = Version(0);

fn faulty() -> FaultyRegister<MemoryRegister> {
    FaultyRegister::new(MemoryRegister::new())
}

fn unknown(outcome: &Result<Version, SwapError>) -> bool {
    matches!(outcome, Err(SwapError::Unknown(_)))
}

#[tokio::test(start_paused = true)]
async fn without_a_word_it_does_as_the_other_one() {
    let registers: Mutex<HashMap<String, FaultyRegister<MemoryRegister>>> = Mutex::default();
    let open = async |name: String| {
        registers.lock().expect("no panic").entry(name).or_insert_with(faulty).clone()
    };
    register::check(open).await;
    let registers = registers.into_inner().expect("no panic");
    let count = |of: fn(&FaultyRegister<MemoryRegister>) -> usize| {
        registers.values().map(of).sum::<usize>()
    };
    assert!(count(|register| register.calls(Call::Read)) > 300);
    assert!(count(|register| register.calls(Call::Swap)) > 300);
    assert!(count(|register| register.swaps().len()) > 100);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_of_a_swap_and_a_failure_of_none() {
    let register = faulty();
    register.next(Call::Swap, Fault::LoseReply);
    register.next(Call::Swap, Fault::Fail);
    register.next(Call::Read, Fault::LoseReply);
    register.next(Call::Confirm, Fault::Fail);
    let lost = register.swap(NOTHING, "lost".into()).await;
    assert!(unknown(&lost), "{lost:?}");
    let error = register.read().await.expect_err("the answer is lost");
    assert!(Chain(&error).to_string().ends_with("the test has lost the answer"), "{error:?}");
    let (version, view) = register.read().await.expect("nothing more was said of reads");
    assert_eq!(view, "lost");
    // The same answer for what was not written: nobody can tell.
    let failed = register.swap(version, "failed".into()).await;
    assert!(unknown(&failed), "{failed:?}");
    register.confirm(version).await.expect_err("it fails");
    assert!(register.confirm(version).await.expect("nothing more was said"));
    // Who tries again without a look meets its own.
    let again = register.swap(NOTHING, "lost".into()).await;
    assert!(matches!(again, Err(SwapError::Conflict)), "{again:?}");
    let swaps = register.swaps();
    assert_eq!(swaps.len(), 1);
    assert_eq!(
        (swaps[0].over, swaps[0].version, &swaps[0].view[..]),
        (NOTHING, version, &b"lost"[..])
    );
}

#[tokio::test(start_paused = true)]
async fn a_swap_may_come_late_or_twice() {
    let register = faulty();
    register.next(Call::Swap, Fault::Late(10 * MS));
    register.next(Call::Swap, Fault::Again(10 * MS));
    let late = register.swap(NOTHING, "late".into()).await;
    assert!(unknown(&late), "{late:?}");
    assert_eq!(register.read().await.expect("it is up").0, NOTHING);
    within(register.behind().changed(NOTHING)).await;
    let (version, view) = register.read().await.expect("it is up");
    assert_eq!(view, "late");
    // The second of them replaces nothing any more.
    let next = register.swap(version, "twice".into()).await.expect("the first is told");
    tokio::time::sleep(20 * MS).await;
    assert_eq!(register.read().await.expect("it is up"), (next, "twice".into()));
    assert_eq!(register.swaps().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_as_the_test_says() {
    let (register, start) = (faulty(), Instant::now());
    register.next(Call::Read, Fault::Delay(7 * MS));
    register.next(Call::Swap, Fault::DelayReply(7 * MS));
    register.next(Call::Confirm, Fault::Hang);
    register.read().await.expect("it is late");
    assert_eq!(start.elapsed(), 7 * MS);
    let swapping = register.swap(NOTHING, "view".into());
    assert!(timeout(MS, swapping).await.is_err(), "the answer is under way");
    // It had its effect before.
    assert_eq!(register.behind().read().await.expect("it is in memory").1, "view");
    let never = timeout(1_000 * MS, register.confirm(NOTHING)).await;
    assert!(never.is_err(), "{never:?}");
    let gate = Gate::default();
    register.next(Call::Read, Fault::Hold(gate.clone()));
    let reading = tokio::spawn({
        let register = register.clone();
        async move { register.read().await }
    });
    gate.entered().await;
    gate.open();
    assert_eq!(within(reading).await.expect("no panic").expect("it is up").1, "view");
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_of_all_calls() {
    let register = faulty();
    let hint = tokio::spawn({
        let register = register.clone();
        async move { register.changed(NOTHING).await }
    });
    tokio::task::yield_now().await;
    register.set_down(true);
    register.read().await.expect_err("it is down");
    register.confirm(NOTHING).await.expect_err("it is down");
    let swap = register.swap(NOTHING, "view".into()).await;
    assert!(unknown(&swap), "{swap:?}");
    let lost = register.changed(NOTHING);
    register.set_down(false);
    assert!(register.confirm(NOTHING).await.expect("it is up"), "nothing was written");
    register.swap(NOTHING, "view".into()).await.expect("it is up");
    within(hint).await.expect("no panic");
    // One that is asked for later is there at once.
    within(lost).await;
    within(register.changed(NOTHING)).await;
}

#[tokio::test(start_paused = true)]
async fn hints_are_lost_or_come_for_nothing() {
    let register = faulty();
    register.next(Call::Changed, Fault::Fail);
    within(register.changed(NOTHING)).await;
    assert_eq!(register.read().await.expect("it is up").0, NOTHING);
    register.next(Call::Changed, Fault::Hang);
    let lost = register.changed(NOTHING);
    register.swap(NOTHING, "view".into()).await.expect("it is up");
    assert!(timeout(1_000 * MS, lost).await.is_err(), "it was to be lost");
    register.set_odds(Odds::none().hints(0.0, 1.0));
    let (version, _) = register.read().await.expect("it is up");
    within(register.changed(version)).await;
}

/// What nodes do that want to write, each over what it knows.
async fn work(register: Recorded<FaultyRegister<MemoryRegister>>, node: usize) {
    let mut known = NOTHING;
    for n in 0..40 {
        let limit = 50 * MS;
        let view = Bytes::from(format!("node {node}, {n}"));
        match timeout(limit, register.swap(known, view)).await {
            Ok(Ok(version)) => known = version,
            // In doubt it is read.
            _ => {
                if let Ok(Ok((version, _))) = timeout(limit, register.read()).await {
                    known = version;
                }
            }
        }
        drop(timeout(limit, register.confirm(known)).await);
    }
}

async fn run(seed: u64) -> (String, usize) {
    let (history, memory) = (History::default(), MemoryRegister::new());
    let odds = Odds::none()
        .lost(0.1)
        .failed(0.05)
        .late(0.1, 30 * MS)
        .again(0.1, 30 * MS)
        .delayed(0.2, 30 * MS);
    let mut working = JoinSet::new();
    for node in 0..4 {
        let faulty = FaultyRegister::seeded(memory.clone(), seed + node as u64, odds);
        working.spawn(work(history.node(faulty), node));
    }
    working.join_all().await;
    let last = history.node(memory).read().await.expect("it is in memory");
    assert_eq!(history.fault(), None, "seed {seed}");
    (format!("{last:?}"), history.swapped())
}

#[tokio::test(start_paused = true)]
async fn whatever_is_lost_or_late_the_answers_are_one_order() {
    for seed in 0..20 {
        let (last, swapped) = run(seed * 100).await;
        assert!(swapped > 20, "seed {seed}: {swapped} were answered");
        // A seed makes the same again.
        assert_eq!(run(seed * 100).await, (last, swapped));
    }
}
