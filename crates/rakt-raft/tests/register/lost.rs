//! Most voters are lost for good.

use std::time::Duration;

use rakt::cluster::{Register, Version};
use rakt::prelude::*;
use rakt_cluster::propose::{Newcomer, found};
use rakt_cluster::{Incarnation, NodeId, State, View};
use rakt_raft::{RecoverError, recover};

use crate::support::{Node, Shared, founded, quick, within};

fn view() -> Result<View> {
    let founders = (1..=3).map(|n| Newcomer {
        id: NodeId(n),
        incarnation: Incarnation(n),
        host: format!("node{n}"),
        port: 3320,
        roles: Default::default(),
        zone: String::new(),
        weight: 100,
        level: 1,
    });
    Ok(found(7, 1_000, None, Duration::from_secs(1), founders.collect())?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_one_voter_becomes_a_new_cluster_in_which_all_are_dead() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let nodes = founded(dir.path(), &known, 3).await?;
    let written = within(nodes[0].register.swap(Version(0), view()?.encode().into())).await?;
    let late =
        Node::listen(&known, quick(&dir.path().join("late")), &dir.path().join("late")).await?;
    late.start().await?;
    let mut dirs = Vec::new();
    for node in nodes {
        dirs.push(node.end().await);
    }
    let none = recover(late.end().await, Duration::ZERO);
    assert!(matches!(none, Err(RecoverError::NoVoter { .. })), "{none:?}");

    let recovered = recover(&dirs[0], Duration::from_secs(20))?;
    assert_eq!(recovered.found, written);
    assert!(recovered.version > written && recovered.generation > 1_000);
    let only = Node::listen(&known, quick(&dirs[0]), &dirs[0]).await?;
    only.start().await?;
    let (version, found) = within(only.register.read()).await?;
    assert_eq!(version, recovered.version);
    let found = View::decode(&found)?;
    assert!(found.members().iter().all(|member| matches!(member.state, State::Dead { .. })));
    assert_eq!(found.stamp().generation, recovered.generation);
    assert_eq!(found.members().len(), recovered.members);

    // One that was a voter of the lost cluster stays away, with its directory.
    let old = Node::listen(&known, quick(&dirs[1]), &dirs[1]).await?;
    old.start().await?;
    assert!(within(old.register.read()).await.is_err(), "its cluster is lost");
    old.end().await;
    // With an empty one it joins, and becomes one again.
    let mut others = Vec::new();
    for dir in &dirs[1..] {
        std::fs::remove_dir_all(dir)?;
        let node = Node::listen(&known, quick(dir), dir).await?;
        node.start().await?;
        within(node.register.become_voter()).await?;
        others.push(node);
    }
    let mut voters: Vec<_> =
        others.iter().chain([&only]).map(|node| (node.id(), node.seed())).collect();
    voters.sort_by_key(|(id, _)| *id);
    // That of the one that was recovered listens elsewhere is in no log.
    assert_eq!(within(others[0].register.voters()).await?, voters);
    assert_eq!(within(others[1].register.leader()).await?, (only.id(), only.seed()));
    let next = within(others[1].register.swap(version, "next".into())).await?;
    only.end().await;
    // The two elect a leader first, which may take longer than one answer may.
    let read = within(async {
        loop {
            if let Ok(read) = others[0].read().await {
                break read;
            }
        }
    });
    assert_eq!(read.await, (next, "next".to_owned()));
    Ok(())
}
