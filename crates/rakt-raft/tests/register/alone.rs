//! One node.

use rakt::cluster::{Register, Starting, Static, SwapError, Version};
use rakt::error::Chain;
use rakt::prelude::*;
use rakt_raft::Embedded;

use crate::support::{quick, within};

async fn start(register: &Embedded) -> Result<ActorSystem> {
    let system = ActorSystem::builder("alone").start().await?;
    let nobody = Static::new::<String>([]);
    within(register.start(Starting::new(system.clone(), nobody))).await?;
    Ok(system)
}

#[tokio::test]
async fn one_node_needs_neither_remoting_nor_others_and_goes_on_after_a_restart() -> Result {
    let dir = tempfile::tempdir()?;
    let register = quick(dir.path()).expect(1);
    let system = start(&register).await?;
    assert_eq!(register.read().await?, (Version(0), "".into()));
    assert!(register.confirm(Version(0)).await?);
    let first = register.swap(Version(0), "one".into()).await?;
    let conflict = register.swap(Version(0), "two".into()).await;
    assert!(matches!(conflict, Err(SwapError::Conflict)), "{conflict:?}");
    let conflict = register.swap(Version(9), "two".into()).await;
    assert!(matches!(conflict, Err(SwapError::Conflict)), "{conflict:?}");
    let second = register.swap(first, "two".into()).await?;
    assert!(register.confirm(second).await? && !register.confirm(first).await?);
    let (id, voters) = (register.id(), register.voters().await?);
    assert_eq!(voters.iter().map(|(id, _)| Some(*id)).collect::<Vec<_>>(), [id]);
    register.stop().await;
    system.shutdown().await;

    // Without `expect`: it has its cluster.
    let register = quick(dir.path());
    let system = start(&register).await?;
    assert_eq!(register.id(), id);
    assert_eq!(within(register.read()).await?, (second, "two".into()));
    let third = within(register.swap(second, "three".into())).await?;
    assert!(third > second);
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn news_are_told() -> Result {
    let dir = tempfile::tempdir()?;
    let register = quick(dir.path()).expect(1);
    let system = start(&register).await?;
    let (changed, swapped) =
        tokio::join!(within(register.changed(Version(0))), register.swap(Version(0), "one".into()));
    assert_eq!(((), swapped?), (changed, Version(1)));
    within(register.changed(Version(0))).await;
    system.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn what_a_directory_lacks_is_told_with_what_mends_it() -> Result {
    let dir = tempfile::tempdir()?;
    let register = quick(dir.path()).expect(1);
    let system = start(&register).await?;
    let id = register.id().ok_or("it has started")?.to_string();
    let text = |error: rakt::BoxError| Chain(&*error).to_string();
    let told =
        async |register: Embedded| text(start(&register).await.expect_err("it does not start"));

    let in_use = told(quick(dir.path()).expect(1)).await;
    assert!(in_use.contains("is in use"), "{in_use}");
    register.stop().await;
    system.shutdown().await;

    let away = tempfile::tempdir()?;
    std::fs::rename(dir.path().join("raft.redb"), away.path().join("raft.redb"))?;
    let lost = told(quick(dir.path()).expect(1)).await;
    assert!(lost.contains(&id) && lost.contains("has lost the log"), "{lost}");

    let mixed = quick(away.path());
    std::fs::write(away.path().join("lock"), "00000000000000ff\n")?;
    let mixed = told(mixed).await;
    assert!(mixed.contains(&id) && mixed.contains("00000000000000ff"), "{mixed}");
    std::fs::write(away.path().join("lock"), "")?;
    // It is the log that counts.
    let register = quick(away.path());
    let system = start(&register).await?;
    assert_eq!(register.id().map(|id| id.to_string()), Some(id));
    system.shutdown().await;
    register.stop().await;

    std::fs::write(away.path().join("raft.redb"), "nonsense")?;
    let damaged = told(quick(away.path())).await;
    assert!(damaged.contains("the log cannot be opened"), "{damaged}");
    let number = told(quick(&away.path().join("other")).expect(101)).await;
    assert!(number.contains("101"), "{number}");
    Ok(())
}

#[tokio::test]
async fn a_node_that_finds_nobody_tells_what_it_waits_for() -> Result {
    let dir = tempfile::tempdir()?;
    let short = || quick(dir.path()).start_timeout(std::time::Duration::from_millis(300));
    for (register, waits) in
        [(short(), "no node of a cluster"), (short().expect(3), "3 are expected")]
    {
        let error = start(&register).await.expect_err("there is nobody");
        let text = Chain(&*error).to_string();
        assert!(text.contains(waits), "{text}");
        assert!(register.read().await.is_err(), "it has no cluster");
    }
    Ok(())
}
