//! Actors that are there once in the whole cluster: by their names, and as grains that are kept alive.

use rakt::SpawnError;
use rakt::cluster::Config;
use rakt::grain::{Grain, GrainKind, MemoryStore};
use rakt::prelude::*;

use crate::nodes::{Common, Where};
use crate::support::within;

/// Knows on which node it is.
struct Clock(u64);

impl Actor for Clock {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Where>();
    }
}

impl Handler<Where> for Clock {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Result<u64> {
        Ok(self.0)
    }
}

impl Grain for Clock {
    const KIND: &'static str = "clock";
}

/// Waits until `found` finds something.
async fn until<T, F: Future<Output = Option<T>>>(mut find: impl FnMut() -> F) -> T {
    within(async {
        loop {
            match find().await {
                Some(found) => return found,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_all_that_claim_a_name_one_has_it_and_everybody_finds_that() -> Result {
    let nodes = Common::default().nodes(3).await?;
    for round in 0..20 {
        let name = format!("clock-{}", round % 4);
        assert_eq!(within(nodes[round % 3].lookup_anywhere::<Clock>(&name)).await?, None);
        let claim = |at: u64| {
            let spawn = nodes[at as usize].spawn(&name, move || Clock(at)).cluster_wide();
            within(spawn.into_future())
        };
        let (one, two, three) = tokio::join!(claim(0), claim(1), claim(2));
        let mut winners = Vec::new();
        for (at, claim) in (0..).zip([one, two, three]) {
            match claim {
                Ok(clock) => winners.push((at, clock)),
                Err(SpawnError::NameTaken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let [(winner, clock)] = winners.as_slice() else { return Err("one has it".into()) };
        for node in &nodes {
            let found = within(node.lookup_anywhere::<Clock>(&name)).await?.ok_or("it is there")?;
            assert_eq!(within(found.ask(Where {})).await?, *winner);
        }
        within(clock.stop()).await?;
        until(|| async {
            let found = nodes[(round + 1) % 3].lookup_anywhere::<Clock>(&name).await;
            found.is_ok_and(|found| found.is_none()).then_some(())
        })
        .await;
    }
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_goes_with_its_node() -> Result {
    let nodes = Common::default().nodes(2).await?;
    let clock = within(nodes[0].spawn("clock", || Clock(0)).cluster_wide().into_future()).await?;
    let taken = within(nodes[1].spawn("clock", || Clock(1)).cluster_wide().into_future()).await;
    let Err(SpawnError::NameTaken { at: Some(at), .. }) = &taken else { panic!("{taken:?}") };
    assert_eq!(at, &clock.address());
    assert!(taken.as_ref().is_err_and(|error| error.to_string().ends_with(&at.to_string())));
    within(nodes[0].shutdown()).await;
    within(nodes[1].spawn("clock", || Clock(1)).cluster_wide().into_future()).await?;
    let found = within(nodes[1].lookup_anywhere::<Clock>("clock")).await?.ok_or("it is there")?;
    assert_eq!(within(found.ask(Where {})).await?, 1);
    within(nodes[1].shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_no_cluster_has_no_names_of_one() -> Result {
    let system = ActorSystem::builder("alone").start().await?;
    let error = system.spawn("clock", || Clock(0)).cluster_wide().await.expect_err("in none");
    let error = rakt::error::Chain(&error).to_string();
    assert!(error.contains("the system is in no cluster"), "{error}");
    assert!(system.lookup_anywhere::<Clock>("clock").await.is_err());
    assert_eq!(system.find("clock"), None, "nothing is left of it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grain_that_is_kept_alive_is_somewhere_whoever_leaves() -> Result {
    let common = Common::default();
    let node = async |at: u64| {
        let kind = GrainKind::built_by(move || Clock(at)).store(MemoryStore::new());
        let system = ActorSystem::builder("cluster")
            .remoting(remote::Config::new("127.0.0.1", 0))
            .cluster(common.config())
            .grain(kind.keep_alive("main"));
        within(system.start()).await
    };
    let mut nodes = vec![node(0).await?, node(1).await?];
    for at in 2..5 {
        // Without a message.
        let lives = |node: &ActorSystem| node.grains().iter().any(|kind| kind.active > 0);
        until(|| async { nodes.iter().any(lives).then_some(()) }).await;
        nodes.push(node(at).await?);
        let host = nodes.iter().position(lives).unwrap_or(0);
        let leaves = nodes.remove(host);
        within(leaves.shutdown()).await;
        until(|| async { nodes.iter().any(lives).then_some(()) }).await;
    }
    let alone = GrainKind::built_by(|| Clock(9)).keep_alive("main");
    let alone = ActorSystem::builder("alone").cluster(Config::alone()).grain(alone).start().await?;
    until(|| async { alone.grains().iter().any(|kind| kind.active > 0).then_some(()) }).await;
    within(alone.shutdown()).await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}
