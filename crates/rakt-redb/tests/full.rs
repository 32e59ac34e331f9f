//! A disk that is full: what could not be written is told, and there is nothing to do but to make room.
//!
//! The process with such a disk is this test binary again: it may write files up to some length only, until it has
//! that changed.
#![cfg(target_os = "linux")]

use std::process::Command;

use rakt::error::Chain;
use rakt::grain::{Epoch, GrainId, GrainStore, SaveError, Writer};
use rakt_redb::RedbStore;

const FILE: &str = "RAKT_TEST_REDB_FILE";
const CLAIM: (Epoch, Writer) =
    (Epoch { generation: 1, view: 0, counter: 1 }, Writer { incarnation: [1; 16], uid: 1 });

/// How long a file may become, of this process and in KiB; none: as long as there is room.
fn limit(kib: Option<u64>) -> rakt::Result {
    let len = kib.map_or("unlimited".into(), |kib| (kib << 10).to_string());
    let (limit, process) = (format!("--fsize={len}:unlimited"), std::process::id().to_string());
    let limited = Command::new("prlimit").args(["--pid", &process, &limit]).status()?;
    limited.success().then_some(()).ok_or_else(|| "prlimit failed".into())
}

#[tokio::test]
#[ignore = "the process with the full disk"]
async fn the_process() -> rakt::Result {
    let Ok(path) = std::env::var(FILE) else { return Ok(()) };
    let store = RedbStore::open(&path).await?;
    let grain = GrainId::new("cart", "42")?;
    store.claim(&grain, CLAIM.0, CLAIM.1).await?;
    limit(Some(8_000))?;
    let mut version = 0;
    let error = loop {
        let state = vec![version as u8; 100_000 * (version as usize + 1)];
        match store.save(&grain, CLAIM, version, Some(state.into())).await {
            Ok(next) => version = next,
            Err(error) => break error,
        }
    };
    assert!(version > 2, "it was full too early: {version}");
    let text = Chain(&error).to_string();
    assert!(text.contains("File too large"), "{text}");
    assert!(matches!(error, SaveError::NotSaved { .. } | SaveError::Unknown { .. }), "{text}");
    // Nobody opens it again: the store does.
    limit(None)?;
    let stored = store.claim(&grain, CLAIM.0, CLAIM.1).await?.ok_or("it was saved")?;
    assert!(stored.version == version || matches!(error, SaveError::Unknown { .. }), "{text}");
    store.save(&grain, CLAIM, stored.version, Some(vec![7; 4 << 20].into())).await?;
    assert_eq!(store.due("cart", std::time::SystemTime::now(), 1).await?, []);
    Ok(())
}

#[test]
fn a_full_disk_is_told_and_over_when_there_is_room() -> rakt::Result {
    let dir = tempfile::tempdir()?;
    // The signal that comes with a file too long would end the process.
    let run = "trap '' XFSZ; exec \"$0\" the_process --exact --ignored --nocapture";
    let status = Command::new("sh")
        .args(["-c", run])
        .arg(std::env::current_exe()?)
        .env(FILE, dir.path().join("grains"))
        .status()?;
    assert!(status.success(), "the process says why");
    Ok(())
}
