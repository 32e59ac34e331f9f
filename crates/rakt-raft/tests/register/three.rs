//! Several nodes, of which three vote.

use rakt::cluster::{Register, SwapError, Version};
use rakt::prelude::*;

use crate::support::{Node, Shared, founded, quick, start, within};

fn voters(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node.id().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_found_one_register_and_agree() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let nodes = founded(dir.path(), &known, 3).await?;
    let version = nodes[0].write("one").await?;
    for node in &nodes {
        assert_eq!(node.read().await?, (version, "one".to_owned()));
        assert!(within(node.register.confirm(version)).await?);
        assert!(!within(node.register.confirm(Version(0))).await?);
    }
    // Of many at once over one version, one comes true.
    let swaps = (0..12).map(|n| {
        let register = nodes[n % 3].register.clone();
        tokio::spawn(async move { register.swap(version, format!("two by {n}").into()).await })
    });
    let mut won = Vec::new();
    for (n, swap) in swaps.collect::<Vec<_>>().into_iter().enumerate() {
        match within(swap).await? {
            Ok(version) => won.push((version, format!("two by {n}"))),
            Err(SwapError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(nodes[2].read().await?, won[0]);
    let mut expected = voters(&nodes);
    expected.sort();
    let found = within(nodes[1].register.voters()).await?;
    assert_eq!(found.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>(), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_of_three_the_others_go_on_and_one_alone_does_not() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let mut nodes = founded(dir.path(), &known, 3).await?;
    let first = nodes[0].write("one").await?;
    // One after the other, so that the leader is among them.
    for round in 0..3 {
        let ended = nodes.remove(0);
        let dir = ended.end().await;
        let before = nodes[0].read().await?;
        assert!(before.0 >= first);
        nodes[1].write(&format!("without {round}")).await?;
        let back = Node::listen(&known, quick(&dir), &dir).await?;
        back.start().await?;
        assert_eq!(back.read().await?.1, format!("without {round}"));
        nodes.push(back);
    }
    let seen = nodes[2].write("all of them").await?;
    for _ in 0..2 {
        nodes.remove(0).end().await;
    }
    let alone = &nodes[0];
    let (read, confirmed, swapped) =
        tokio::join!(alone.read(), within(alone.register.confirm(seen)), alone.swap(seen, "alone"));
    assert!(read.is_err() && confirmed.is_err(), "others may have swapped");
    assert!(matches!(swapped, Err(SwapError::Unknown(_))), "{swapped:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_them_start_anew_at_other_addresses_and_go_on() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let nodes = founded(dir.path(), &known, 3).await?;
    let version = nodes[0].write("one").await?;
    let ids = voters(&nodes);
    let mut dirs = Vec::new();
    for node in nodes {
        dirs.push(node.end().await);
    }
    let mut nodes = Vec::new();
    for dir in &dirs {
        nodes.push(Node::listen(&known, quick(dir).expect(3), dir).await?);
    }
    start(&nodes).await?;
    assert_eq!(voters(&nodes), ids);
    assert_eq!(nodes[1].read().await?, (version, "one".to_owned()));
    nodes[2].write("two").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_later_asks_the_voters() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let nodes = founded(dir.path(), &known, 3).await?;
    let version = nodes[0].write("one").await?;
    let late =
        Node::listen(&known, quick(&dir.path().join("late")), &dir.path().join("late")).await?;
    late.start().await?;
    assert_eq!(late.read().await?, (version, "one".to_owned()));
    assert_eq!(within(late.register.voters()).await?.len(), 3);
    let changed = tokio::spawn({
        let register = late.register.clone();
        async move { register.changed(version).await }
    });
    let second = within(late.register.swap(version, "two".into())).await?;
    within(changed).await?;
    assert_eq!(nodes[1].read().await?, (second, "two".to_owned()));
    // It knows its cluster also when the discovery finds nobody.
    let dir = late.end().await;
    let nobody = Shared::default();
    let late = Node::listen(&nobody, quick(&dir), &dir).await?;
    late.start().await?;
    assert_eq!(late.read().await?, (second, "two".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_with_a_new_disk_is_another_node_and_takes_its_place_only_when_told_to() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let mut nodes = founded(dir.path(), &known, 3).await?;
    let version = nodes[0].write("one").await?;
    let ended = nodes.remove(0);
    let (old, port) = (ended.id(), ended.seed().port);
    let gone = ended.end().await;
    std::fs::remove_dir_all(&gone)?;
    let mut events = nodes[0].system.events();
    // At the same address, and told to found.
    let new = Node::listen_at(port, &known, quick(&gone).expect(3), &gone).await?;
    new.start().await?;
    assert_ne!(new.id(), old);
    assert_eq!(new.read().await?, (version, "one".to_owned()));
    let voters = within(new.register.voters()).await?;
    let is_in =
        |voters: &[(rakt_raft::VoterId, _)], id| voters.iter().any(|(voter, _)| *voter == id);
    assert!(is_in(&voters, old) && !is_in(&voters, new.id()));
    let alarm = events.find(|event| match event {
        rakt::Event::ClusterAlarm { what } => Some(what),
        _ => None,
    });
    let alarm = within(alarm).await.ok_or("nobody is told")?;
    assert!(alarm.contains("its directory is lost") && alarm.contains(&old.to_string()), "{alarm}");

    let voters = within(new.register.replace(old)).await?;
    assert!(!is_in(&voters, old) && is_in(&voters, new.id()) && voters.len() == 3);
    // What is done is done.
    assert_eq!(within(new.register.replace(old)).await?.len(), 3);
    // It counts: with one of the others gone there is a majority.
    nodes.remove(0).end().await;
    let second = new.write("two").await?;
    assert_eq!(nodes[0].read().await?, (second, "two".to_owned()));
    let error = within(new.register.replace(nodes[0].id())).await.expect_err("it is a voter");
    let text = rakt::error::Chain(&error).to_string();
    assert!(text.contains("is a voter already"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_vote_as_one_are_an_alarm() -> Result {
    let (dir, known) = (tempfile::tempdir()?, Shared::default());
    let mut nodes = founded(dir.path(), &known, 3).await?;
    nodes[0].write("one").await?;
    let ended = nodes.remove(0);
    let (id, port) = (ended.id(), ended.seed().port);
    let original = ended.end().await;
    let copy = dir.path().join("copy");
    std::fs::create_dir(&copy)?;
    for file in std::fs::read_dir(&original)? {
        let file = file?;
        std::fs::copy(file.path(), copy.join(file.file_name()))?;
    }
    let mut events = nodes[0].system.events();
    let node = Node::listen_at(port, &known, quick(&original), &original).await?;
    node.start().await?;
    let twin = Node::listen(&known, quick(&copy), &copy).await?;
    twin.start().await?;
    let alarm = events.find(|event| match event {
        rakt::Event::ClusterAlarm { what } => Some(what),
        _ => None,
    });
    let alarm = within(alarm).await.ok_or("nobody is told")?;
    assert!(alarm.contains("a copy of the other's") && alarm.contains(&id.to_string()), "{alarm}");
    Ok(())
}
