//! The store with a real server, which the tests start: `.ci/run stores`.
//!
//! | file | asks |
//! | --- | --- |
//! | here | does it keep the promises of a store, and say what is wrong? |
//! | `lost.rs` | what becomes of calls whose connection is lost, and of a server that is killed? |
//! | `server.rs` | the server |
#![cfg(unix)]

mod lost;
mod server;

use std::time::{Duration, Instant};

use rakt::error::Chain;
use rakt::grain::{ClaimError, Epoch, GrainId, GrainStore, SaveError, Writer};
use rakt::testkit::store;
use rakt_postgres::{PostgresStore, TABLES};
use server::Server;

const WRITER: Writer = Writer { incarnation: [1; 16], uid: 1 };

fn epoch(counter: u64) -> Epoch {
    Epoch { generation: 1, view: 1, counter }
}

fn grain(n: u64) -> GrainId {
    GrainId::new("cart", &n.to_string()).expect("it is valid")
}

async fn store_of(server: &Server) -> PostgresStore {
    let store = PostgresStore::connect(server.config()).await.expect("the server is there");
    store.create_tables().await.expect("the user may");
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a PostgreSQL server: .ci/run stores"]
async fn it_keeps_its_promises() {
    let server = Server::start().await;
    store::check(|| store_of(&server)).await;
    // Whatever the server is told to do for others.
    let client = server.client().await;
    let other = "ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'; \
        ALTER DATABASE postgres SET bytea_output = 'escape'";
    client.batch_execute(other).await.expect("the superuser may");
    store::check(|| store_of(&server)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a PostgreSQL server: .ci/run stores"]
async fn nodes_that_start_together_make_the_tables_once() {
    let server = Server::start().await;
    let nodes = (0..8).map(|_| PostgresStore::connect(server.config()));
    let mut making = tokio::task::JoinSet::new();
    for node in nodes {
        let store = node.await.expect("the server is there");
        making.spawn(async move { store.create_tables().await });
    }
    while let Some(made) = making.join_next().await {
        made.expect("no panic").expect("the others are waited for");
    }
    // A user who may only use them can start as well, where they are there.
    server.client().await.batch_execute(TABLES).await.expect("they are left as they are");
}

#[tokio::test]
#[ignore = "starts a PostgreSQL server: .ci/run stores"]
async fn what_is_wrong_is_told() -> rakt::Result {
    let mut server = Server::start().await;
    let start = Instant::now();
    let mut config = server.config();
    let error = PostgresStore::connect(config.dbname("nowhere").clone()).await;
    let text = Chain(&error.expect_err("there is no such database")).to_string();
    assert!(text.contains("database \"nowhere\" does not exist"), "{text}");

    let store = PostgresStore::connect(server.config()).await?;
    let error = store.claim(&grain(1), epoch(1), WRITER).await.expect_err("there are no tables");
    let text = Chain(&error).to_string();
    assert!(text.contains("relation \"rakt_grains\" does not exist"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(10), "it was not worth waiting for");

    // A table that is full, or whatever else the server refuses, is known not to be written.
    store.create_tables().await?;
    store.claim(&grain(1), epoch(1), WRITER).await?;
    let client = server.client().await;
    client.batch_execute("ALTER TABLE rakt_grains ADD CHECK (version < 2)").await?;
    let claim = (epoch(1), WRITER);
    assert_eq!(store.save(&grain(1), claim, 0, Some("fits".into())).await?, 1);
    let error = store.save(&grain(1), claim, 1, Some("not any more".into())).await;
    assert!(matches!(error, Err(SaveError::NotSaved { .. })), "{error:?}");
    client.batch_execute("ALTER DATABASE postgres SET default_transaction_read_only = on").await?;
    drop(client);
    let standby = PostgresStore::connect(server.config()).await?;
    let error = standby.claim(&grain(1), epoch(2), WRITER).await;
    assert!(matches!(error, Err(ClaimError::Store(_))), "{error:?}");
    let client = server.client().await;
    client.batch_execute("SET default_transaction_read_only = off").await?;
    client.batch_execute("ALTER DATABASE postgres RESET default_transaction_read_only").await?;
    // It has left the connection that did not write.
    standby.claim(&grain(1), epoch(2), WRITER).await?;

    server.kill();
    let impatient = PostgresStore::builder(server.config()).timeout(Duration::from_millis(50));
    let error = impatient.connect().await.expect_err("it is gone");
    let text = Chain(&error).to_string();
    assert!(text.contains("error connecting to server"), "{text}");
    Ok(())
}
