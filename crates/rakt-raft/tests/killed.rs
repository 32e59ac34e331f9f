//! A process is killed while it swaps: all that it was told to be done is there, and nothing that it was not asked.
//!
//! The process is this test binary again, with a test that is ignored otherwise as its role.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rakt::cluster::{Register, Starting, Static, Version};
use rakt::prelude::*;
use rakt_raft::Embedded;

/// Tells the process which directory it has.
const DIR: &str = "RAKT_TEST_RAFT_DIR";
const ROUNDS: u64 = 5;

/// What is written over a version: some bytes to some ten thousand.
fn view(over: u64) -> String {
    format!("{over} ").repeat(1 + (over * 37 % 2_000) as usize)
}

async fn start(dir: &Path) -> Result<(Embedded, ActorSystem)> {
    let register = Embedded::at(dir).expect(1).heartbeat(Duration::from_millis(50));
    let system = ActorSystem::builder("killed").start().await?;
    register.start(Starting::new(system.clone(), Static::default())).await?;
    Ok((register, system))
}

#[tokio::test]
#[ignore = "the process that is killed"]
async fn the_process() -> Result {
    let Ok(dir) = std::env::var(DIR) else { return Ok(()) };
    let (register, _system) = start(dir.as_ref()).await?;
    let mut version = register.read().await?.0;
    loop {
        version = register.swap(version, view(version.0).into()).await?;
        // Out of the process before the next one.
        let mut out = std::io::stdout().lock();
        writeln!(out, "swapped {}", version.0)?;
        out.flush()?;
    }
}

#[tokio::test]
async fn what_a_killed_process_was_told_to_be_swapped_is_there() -> Result {
    let temporary = tempfile::tempdir()?;
    let dir = temporary.path().join("register");
    let mut swapped = 0;
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["the_process", "--exact", "--ignored", "--nocapture"])
            .env(DIR, &dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("it has an output")?).lines();
        let mut told = 0;
        while let Some(line) = lines.next().transpose()? {
            let Some(version) = line.strip_prefix("swapped ") else { continue };
            let version = version.parse()?;
            assert!(version > swapped, "{version} after {swapped}");
            swapped = version;
            told += 1;
            if told == 20 + 7 * round {
                child.kill()?;
                // What it has said before is still read.
            }
        }
        assert!(told >= 20 + 7 * round, "the process ended by itself: {:?}", child.wait());
        child.wait()?;
        let (register, system) = start(&dir).await?;
        let (Version(version), found) = register.read().await?;
        // One more may have been under way.
        assert!((swapped..=swapped + 1).contains(&version), "{version} and not {swapped}");
        assert!(found == view(version - 1), "not what was swapped");
        register.stop().await;
        system.shutdown().await;
        swapped = version;
    }
    Ok(())
}
