//! The suite for stores, and what else the file promises.

use rakt::error::Chain;
use rakt::grain::{Epoch, GrainId, GrainStore, Reminder, SaveError, Stored, Writer};
use rakt::testkit::store;
use rakt_redb::{OpenError, RedbStore};
use std::time::{Duration, SystemTime};

const EPOCH: Epoch = Epoch { generation: 1, view: 0, counter: 1 };
const WRITER: Writer = Writer { incarnation: [1; 16], uid: 1 };

fn grain(key: &str) -> GrainId {
    GrainId::new("cart", key).expect("it is valid")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_its_promises() -> rakt::Result {
    let dir = tempfile::tempdir()?;
    for quick in [false, true] {
        let store =
            RedbStore::builder().quick_repair(quick).open(dir.path().join("grains")).await?;
        store::check(|| async { store.clone() }).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_was_saved_is_there_when_the_file_is_opened_again() -> rakt::Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("grains");
    let reminder = Reminder { due: SystemTime::UNIX_EPOCH, every: Some(Duration::from_secs(1)) };
    for version in 0..5_u64 {
        // It is released with the last answer: the next one to open it does not wait.
        let store = RedbStore::open(&path).await?;
        let stored = store.claim(&grain("1"), EPOCH, WRITER).await?;
        assert_eq!(stored.map_or(0, |stored| stored.version), version);
        let due = store.due("cart", SystemTime::now(), 9).await?;
        assert_eq!(due.len() as u64, version.min(1));
        store.remind(&grain("1"), "hourly", reminder).await?;
        store.save(&grain("1"), (EPOCH, WRITER), version, Some("state".into())).await?;
    }
    let stored = RedbStore::open(&path).await?.claim(&grain("1"), EPOCH, WRITER).await?;
    assert_eq!(stored, Some(Stored { version: 5, state: Some("state".into()) }));
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_in_use_or_none_of_its_own_is_refused() -> rakt::Result {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("grains");
    let store = RedbStore::open(&path).await?;
    let impatient = RedbStore::builder().lock_timeout(Duration::ZERO);
    let error = impatient.open(&path).await.expect_err("it is open");
    assert!(matches!(&error, OpenError::InUse { path: named } if *named == path), "{error}");
    // The next one waits for those who are about to let go, as for what nobody waits for any more.
    let next = tokio::spawn({
        let path = path.clone();
        async move { RedbStore::builder().lock_timeout(rakt::testkit::LIMIT).open(path).await }
    });
    let given_up = store.due("cart", SystemTime::now(), 1);
    drop(tokio::time::timeout(Duration::ZERO, given_up).await);
    for n in 0..20 {
        store.claim(&grain(&n.to_string()), EPOCH, WRITER).await?;
    }
    drop(store);
    drop(next.await??);

    let other = dir.path().join("other");
    std::fs::write(&other, "something else entirely")?;
    let error = RedbStore::open(&other).await.expect_err("it is no database");
    let text = Chain(&error).to_string();
    assert!(
        matches!(error, OpenError::Failed { .. }) && text.contains("other cannot be opened: "),
        "{text}"
    );

    let newer = redb::Database::open(&path)?;
    let writing = newer.begin_write()?;
    let meta = redb::TableDefinition::<&str, u64>::new("rakt");
    writing.open_table(meta)?.insert("format", 2)?;
    writing.commit()?;
    drop(newer);
    let error = RedbStore::open(&path).await.expect_err("it is of a later version");
    assert!(error.to_string().ends_with("is of format 2, and this version reads 1"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_write_at_once_and_some_give_up() -> rakt::Result {
    let dir = tempfile::tempdir()?;
    let store = RedbStore::open(dir.path().join("grains")).await?;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let grain = grain(&n.to_string());
            store.claim(&grain, EPOCH, WRITER).await.expect("nobody else has it");
            let state = Some(n.to_string().into());
            if n.is_multiple_of(3) {
                // What it was asked is done all the same, as nobody can take it back.
                let saving = store.save(&grain, (EPOCH, WRITER), 0, state);
                tokio::select! { biased; _ = saving => {}, () = std::future::ready(()) => {} }
            } else {
                let saved = store.save(&grain, (EPOCH, WRITER), 0, state).await;
                assert_eq!(saved.expect("it has the claim"), 1);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done?;
    }
    for n in 0..500_u64 {
        let grain = grain(&n.to_string());
        let stored = store.claim(&grain, EPOCH, WRITER).await?.expect("it was saved");
        assert_eq!(stored.state.as_deref(), Some(n.to_string().as_bytes()));
        let again = store.save(&grain, (EPOCH, WRITER), 0, None).await;
        assert!(matches!(again, Err(SaveError::Fenced)), "{again:?}");
    }
    Ok(())
}
