//! Runs that a seed repeats.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use rakt::prelude::*;
use rakt::testkit::{Simulation, simulate, simulate_seed, within};
use tokio::time::{Instant, sleep};

use crate::{Add, Counter, MS};

/// Counts while the line is harmed, and writes down what happens and when.
async fn trouble(sim: Simulation, log: &Mutex<Vec<String>>) -> Result {
    let start = Instant::now();
    let note = |text: String| {
        log.lock().expect("not poisoned").push(format!("{:?} {text}", start.elapsed()));
    };
    let here = sim.node("here").await?;
    let there = sim.node("there").await?;
    there.spawn("counter", Counter::default).await?;
    let counter = here.actor(&there.address("counter")?);
    let network = sim.network();
    for _ in 0..60 {
        match sim.random(0..8) {
            0 => network.reset("here", "there"),
            1 => network.cut("here", "there"),
            2 => network.stall("here", "there"),
            3 => network.delay("here", "there", sim.random(0..50) as u32 * MS, 20 * MS),
            4 => network.lose("there", "here"),
            _ => network.heal_all(),
        }
        let ask = counter.ask(Add { n: 1 }).timeout(Duration::from_secs(1));
        note(match within(ask).await {
            Ok(sum) => format!("{sum}"),
            Err(error) => rakt::error::Chain(&error).to_string(),
        });
        sleep(sim.random(0..300) as u32 * MS).await;
    }
    Ok(())
}

/// What happened in the run of a seed.
fn run_of(seed: u64) -> Vec<String> {
    let log = Mutex::new(Vec::new());
    simulate_seed(seed, async |sim| trouble(sim, &log).await);
    log.into_inner().expect("not poisoned")
}

#[test]
fn the_same_seed_makes_the_same_run_and_another_seed_another() {
    for seed in 0..4 {
        let first = run_of(seed);
        assert!(first.len() == 60 && first.iter().any(|line| line.contains("lost")), "{first:?}");
        assert_eq!(first, run_of(seed));
    }
    assert_ne!(run_of(1), run_of(2));
}

#[test]
fn a_node_that_crashed_comes_up_again_at_its_address() {
    simulate(2, async |sim| {
        let (here, first) = (sim.node("here").await?, sim.node("there").await?);
        let counter = first.spawn("counter", Counter::default).await?;
        let address = first.address("counter")?;
        assert_eq!(here.ask::<Add>(&address, Add { n: 1 }).await?, 1);
        sim.crash(&first);
        assert!(here.ask::<Add>(&address, Add { n: 1 }).await.is_err());
        within(counter.ended()).await;
        let second = sim.node("there").await?;
        second.spawn("counter", Counter::default).await?;
        // Longer than any pause between two dials.
        sleep(Duration::from_secs(5)).await;
        assert_eq!(here.ask::<Add>(&address, Add { n: 1 }).await?, 1, "its state was lost");
        Ok(())
    });
}

#[test]
fn a_scenario_that_fails_waits_for_ever_or_panics_names_its_seed() {
    let text = |run: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it fails");
        panic.downcast_ref::<String>().cloned().expect("it says why")
    };
    let failed = text(&|| simulate_seed(7, async |_| Err("on purpose".into())));
    assert_eq!(failed, "the simulation failed; RAKT_SEED=7 repeats it: on purpose");
    let stuck = text(&|| simulate_seed(8, async |_| std::future::pending().await));
    assert_eq!(stuck, "the simulation did not end within 86400s; RAKT_SEED=8 repeats it");
    let panicked = text(&|| simulate_seed(9, async |sim| panic!("with {}", sim.seed())));
    assert_eq!(panicked, "with 9");
}

/// Run by the test below.
#[test]
#[ignore = "it fails on purpose"]
fn fails_on_purpose() {
    simulate(1000, async |sim| Err(format!("in the run of {}", sim.seed()).into()));
}

#[test]
fn the_environment_says_which_seed_is_run() -> Result {
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.args(["--exact", "simulation::fails_on_purpose", "--ignored", "--nocapture"]);
    let output = child.env("RAKT_SEED", "12345").output()?;
    let text = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
    assert!(text.contains("RAKT_SEED=12345 repeats it: in the run of 12345"), "{text}");
    let output = child.env("RAKT_SEED", "abc").output()?;
    let text = String::from_utf8(output.stderr)? + &String::from_utf8(output.stdout)?;
    assert!(text.contains("RAKT_SEED is \"abc\", and a seed is a number"), "{text}");
    Ok(())
}
