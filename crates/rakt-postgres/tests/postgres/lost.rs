//! Connections that are lost, statements that hang, and a server that is killed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rakt::error::Chain;
use rakt::grain::{Epoch, GrainStore, SaveError, Writer};
use rakt::testkit::{LIMIT, within};
use rakt_postgres::PostgresStore;
use rakt_postgres::tokio_postgres::Client;
use tokio::sync::mpsc;

use crate::server::Server;
use crate::{WRITER, epoch, grain, store_of};

/// Holds the rows of all grains, until the client is told otherwise.
async fn hold(client: &Client) {
    client
        .batch_execute("BEGIN; SELECT 1 FROM rakt_grains FOR UPDATE")
        .await
        .expect("nobody has them");
}

/// Ends the connections that wait for a row, as soon as there are any.
async fn terminate(server: &Server) {
    // In a transaction it would see the same again and again.
    let client = server.client().await;
    let waiting = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE wait_event_type = 'Lock' AND application_name = 'rakt'";
    let found = async {
        while client.query(waiting, &[]).await.expect("the superuser may").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(found).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a PostgreSQL server: .ci/run stores"]
async fn a_save_whose_answer_is_lost_is_unknown_and_a_claim_is_repeated() -> rakt::Result {
    let server = Server::start().await;
    let (store, client) = (store_of(&server).await, server.client().await);
    let claim = (epoch(1), WRITER);
    store.claim(&grain(1), claim.0, claim.1).await?;

    hold(&client).await;
    let saving = tokio::spawn({
        let store = store.clone();
        async move { store.save(&grain(1), claim, 0, Some("lost".into())).await }
    });
    terminate(&server).await;
    let lost = saving.await?;
    assert!(matches!(lost, Err(SaveError::Unknown { .. })), "{lost:?}");

    let claiming = tokio::spawn({
        let store = store.clone();
        async move { store.claim(&grain(1), epoch(2), WRITER).await }
    });
    terminate(&server).await;
    client.batch_execute("COMMIT").await?;
    assert_eq!(claiming.await??, None);
    // The save is over, and so is its claim.
    let late = store.save(&grain(1), claim, 0, None).await;
    assert!(matches!(late, Err(SaveError::Fenced)), "{late:?}");
    store.save(&grain(1), (epoch(2), WRITER), 0, Some("new".into())).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a PostgreSQL server: .ci/run stores"]
async fn a_statement_that_takes_too_long_is_undone() -> rakt::Result {
    let server = Server::start().await;
    let client = server.client().await;
    store_of(&server).await;
    let limit = Duration::from_secs(2);
    let builder = PostgresStore::builder(server.config()).connections(1).timeout(limit);
    let store = builder.connect().await?;
    let claim = (epoch(1), WRITER);
    store.claim(&grain(1), claim.0, claim.1).await?;

    hold(&client).await;
    let late = store.save(&grain(1), claim, 0, Some("late".into())).await;
    let Err(SaveError::NotSaved { source }) = late else { panic!("the server knows: {late:?}") };
    assert!(Chain(source.get_ref()).to_string().contains("statement timeout"), "{source:?}");
    // Whoever has the only connection holds up the others, but not for ever.
    let both = [(), ()].map(|()| {
        let store = store.clone();
        tokio::spawn(async move { store.save(&grain(1), claim, 0, None).await })
    });
    for save in both {
        let save = save.await?;
        assert!(matches!(save, Err(SaveError::NotSaved { .. })), "{save:?}");
    }
    client.batch_execute("COMMIT").await?;
    // A call that is given up frees its place, whatever the server still does.
    hold(&client).await;
    let given_up = tokio::time::timeout(limit / 20, store.save(&grain(1), claim, 0, None)).await;
    assert!(given_up.is_err(), "it waits for the row");
    client.batch_execute("COMMIT").await?;
    let stored = store.claim(&grain(1), epoch(2), WRITER).await?;
    assert!(stored.is_none_or(|stored| stored.version == 1 && stored.state.is_none()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts a PostgreSQL server: .ci/run stores"]
async fn what_a_killed_server_has_answered_is_there_when_it_is_back() -> rakt::Result {
    const GRAINS: u64 = 6;
    let mut server = Server::start().await;
    store_of(&server).await;
    // For others it may answer before it has written anything.
    let for_others = "ALTER DATABASE postgres SET synchronous_commit = off; \
        ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf()";
    let client = server.client().await;
    for statement in for_others.split(';') {
        client.batch_execute(statement).await?;
    }
    drop(client);
    // Whatever the machine is busy with, the server is back by then.
    let builder = PostgresStore::builder(server.config()).timeout(LIMIT);
    let store = builder.connect().await?;
    let mut saved: HashMap<u64, u64> = HashMap::new();
    for round in 1..=3_u64 {
        let claim = (Epoch { generation: round, ..epoch(1) }, Writer { uid: round, ..WRITER });
        let (acknowledged, mut answers) = mpsc::unbounded_channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let mut saving = tokio::task::JoinSet::new();
        for n in 0..GRAINS {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            let stopped = stopped.clone();
            saving.spawn(async move {
                let found = store.claim(&grain(n), claim.0, claim.1).await.expect("it is back");
                let mut version = found.map_or(0, |stored| stored.version);
                while !stopped.load(Ordering::Relaxed) {
                    let state = format!("{n} {}", version + 1).repeat(100);
                    match store.save(&grain(n), claim, version, Some(state.into())).await {
                        Ok(next) => version = next,
                        Err(error) => return Some(error),
                    }
                    acknowledged.send((n, version)).expect("the test is there");
                }
                None
            });
        }
        drop(acknowledged);
        let mut count = 0;
        while let Some((n, version)) = answers.recv().await {
            saved.insert(n, version);
            count += 1;
            if count == 60 * round {
                server.kill();
                // Those who meet no server wait for it, and go on.
                server.run().await;
            }
            if count == 60 * round + 200 {
                stopped.store(true, Ordering::Relaxed);
            }
        }
        for error in saving.join_all().await.into_iter().flatten() {
            // The server is back within the time that a call waits for it, so that nothing else can happen.
            assert!(matches!(error, SaveError::Unknown { .. }), "{error:?}");
        }
        for (&n, &version) in &saved {
            let next = Epoch { counter: 2, ..claim.0 };
            let stored = store.claim(&grain(n), next, claim.1).await?.ok_or("it was saved")?;
            let most = version + 1;
            assert!((version..=most).contains(&stored.version), "{version}: {}", stored.version);
            let expected = format!("{n} {}", stored.version).repeat(100);
            assert_eq!(stored.state.as_deref(), Some(expected.as_bytes()));
        }
    }
    Ok(())
}
