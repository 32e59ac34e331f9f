//! A process is killed while it saves: all that it was told to be saved is there.
//!
//! The process is this test binary again, with a test that is ignored otherwise as its role.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use rakt::grain::{Epoch, GrainId, GrainStore, Writer};
use rakt_redb::{OpenError, RedbStore};

/// Tells the process which file to open.
const FILE: &str = "RAKT_TEST_REDB_FILE";
const GRAINS: u64 = 8;
const ROUNDS: u64 = 6;

fn claim(round: u64) -> (Epoch, Writer) {
    let epoch = Epoch { generation: round, view: 0, counter: 1 };
    (epoch, Writer { incarnation: [round as u8; 16], uid: 1 })
}

fn grain(n: u64) -> GrainId {
    GrainId::new("cart", &n.to_string()).expect("it is valid")
}

/// What a version is saved as: some hundred to some ten thousand bytes.
fn state(n: u64, version: u64) -> String {
    format!("{n} {version} ").repeat(20 + (version * 37 % 2_000) as usize)
}

#[tokio::test]
#[ignore = "the process that is killed"]
async fn the_process() -> rakt::Result {
    let Ok(path) = std::env::var(FILE) else { return Ok(()) };
    let round = std::env::var("RAKT_TEST_ROUND")?.parse()?;
    let quick = round % 2 == 0;
    let store = RedbStore::builder().quick_repair(quick).open(path).await?;
    let saving = (0..GRAINS).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let (epoch, writer) = claim(round);
            let found = store.claim(&grain(n), epoch, writer).await.expect("it is the latest");
            let mut version = found.map_or(0, |stored| stored.version);
            for _ in 0..1_000_000 {
                let state = state(n, version + 1).into();
                let saved = store.save(&grain(n), (epoch, writer), version, Some(state)).await;
                version = saved.expect("nobody else has it");
                // Out of the process before the next one.
                let mut out = std::io::stdout().lock();
                writeln!(out, "saved {n} {version}")
                    .and_then(|()| out.flush())
                    .expect("it is read");
            }
        })
    });
    for saving in saving.collect::<Vec<_>>() {
        saving.await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_killed_process_was_told_to_be_saved_is_there() -> rakt::Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("grains");
    let mut saved: HashMap<u64, u64> = HashMap::new();
    for round in 1..=ROUNDS {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["the_process", "--exact", "--ignored", "--nocapture"])
            .env(FILE, &path)
            .env("RAKT_TEST_ROUND", round.to_string())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("it has an output")?).lines();
        let mut told = 0;
        while let Some(line) = lines.next().transpose()? {
            let Some((n, version)) =
                line.strip_prefix("saved ").and_then(|line| line.split_once(' '))
            else {
                continue;
            };
            saved.insert(n.parse()?, version.parse()?);
            told += 1;
            if told == 40 + 13 * round {
                let impatient = RedbStore::builder().lock_timeout(Duration::ZERO);
                let error = impatient.open(&path).await.expect_err("the process has it");
                assert!(matches!(error, OpenError::InUse { .. }), "{error}");
                child.kill()?;
                // What it has said before is still read.
            }
        }
        assert!(told >= 40 + 13 * round, "the process ended by itself: {:?}", child.wait());
        child.wait()?;
        // Looked at as the next one to have them, which the process of the next round comes after.
        let store = RedbStore::open(&path).await?;
        let (epoch, writer) = claim(round);
        let epoch = Epoch { counter: 2, ..epoch };
        for (&n, &version) in &saved {
            let stored = store.claim(&grain(n), epoch, writer).await?.ok_or("it was saved")?;
            assert!(stored.version >= version, "{version} of {n} is lost: {}", stored.version);
            let expected = state(n, stored.version);
            assert_eq!(stored.state.as_deref(), Some(expected.as_bytes()), "version {version}");
        }
        let stale = store.save(&grain(0), claim(round), saved[&0], None).await;
        assert!(stale.is_err(), "the claim of the killed process is over: {stale:?}");
    }
    Ok(())
}
