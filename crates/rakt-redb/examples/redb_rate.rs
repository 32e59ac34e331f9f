//! How many claims and saves a second does this disk take? One grain after another, and many at once.
//!
//! `cargo run --release -p rakt-redb --example redb_rate -- [DIRECTORY]`

use std::time::{Duration, Instant};

use rakt::grain::{Epoch, GrainId, GrainStore, Writer};
use rakt_redb::RedbStore;

const LEN: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> rakt::Result {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::tempdir_in(parent)?;
    for quick in [false, true] {
        let path = dir.path().join(if quick { "quick" } else { "plain" });
        let store = RedbStore::builder().quick_repair(quick).open(path).await?;
        for at_once in [1, 16, 256] {
            let rate = rate(&store, at_once).await?;
            println!(
                "quick_repair {quick}, {at_once} at once: {rate:.0} claims and saves a second"
            );
        }
    }
    Ok(())
}

/// Each claims a grain of its own and saves it once, again and again; a state has 1,000 bytes.
async fn rate(store: &RedbStore, at_once: u64) -> rakt::Result<f64> {
    let start = Instant::now();
    let workers = (0..at_once).map(|worker| {
        let store = store.clone();
        tokio::spawn(async move {
            let writer = Writer { incarnation: [1; 16], uid: worker };
            let mut calls = 0_u32;
            while start.elapsed() < LIMIT {
                let epoch = Epoch { generation: 1, view: at_once, counter: calls.into() };
                let grain =
                    GrainId::new("bench", &format!("{at_once}-{worker}-{}", calls % 1_000))?;
                let found = store.claim(&grain, epoch, writer).await?;
                let over = found.map_or(0, |stored| stored.version);
                store.save(&grain, (epoch, writer), over, Some(vec![7; LEN].into())).await?;
                calls += 2;
            }
            Ok::<_, rakt::BoxError>(calls)
        })
    });
    let mut calls = 0;
    for worker in workers.collect::<Vec<_>>() {
        calls += worker.await??;
    }
    Ok(f64::from(calls) / start.elapsed().as_secs_f64())
}
