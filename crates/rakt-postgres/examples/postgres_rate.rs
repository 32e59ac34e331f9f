//! How many claims and saves a second does this server take? One grain after another, and many at once.
//!
//! `cargo run --release -p rakt-postgres --example postgres_rate -- "host=/run/postgresql user=me dbname=me"`
//!
//! It needs a database without tables of rakt: it makes them, and leaves grains of the kind `bench`.

use std::time::{Duration, Instant};

use rakt::grain::{Epoch, GrainId, GrainStore, Writer};
use rakt_postgres::PostgresStore;

const LEN: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> rakt::Result {
    let config = std::env::args().nth(1).ok_or("it needs to know how to reach the server")?;
    for connections in [4, 8, 16] {
        let builder = PostgresStore::builder(config.parse()?).connections(connections);
        let store = builder.connect().await?;
        store.create_tables().await?;
        for at_once in [1, 16, 256] {
            let rate = rate(&store, at_once, connections).await?;
            println!(
                "{connections} connections, {at_once} at once: {rate:.0} claims and saves a second"
            );
        }
    }
    Ok(())
}

/// Each claims a grain of its own and saves it once, again and again; a state has 1,000 bytes.
async fn rate(store: &PostgresStore, at_once: u64, connections: usize) -> rakt::Result<f64> {
    let start = Instant::now();
    let workers = (0..at_once).map(|worker| {
        let store = store.clone();
        tokio::spawn(async move {
            let writer = Writer { incarnation: [1; 16], uid: worker };
            let mut calls = 0_u32;
            while start.elapsed() < LIMIT {
                let epoch = Epoch { generation: 1, view: at_once, counter: calls.into() };
                let grain = GrainId::new(
                    "bench",
                    &format!("{connections}-{at_once}-{worker}-{}", calls % 1_000),
                )?;
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
