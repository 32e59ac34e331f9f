//! Nodes of different versions of rakt: a version says by a number, its level, what it can do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rakt::cluster::{Config, MemoryRegister, Register};
use rakt::error::Chain;
use rakt::grain::GrainKind;
use rakt::prelude::*;

use crate::nodes::{Add, Common, Counter};
use crate::support::within;

/// A node that is a version ahead of what is tested here.
async fn newer(common: &Common, node: u64) -> Result<ActorSystem> {
    let activations = common.activations.clone();
    let kind = GrainKind::built_by(move || Counter::at(node, &activations));
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(common.config().level(2))
        .grain(kind.store(common.store.clone()));
    Ok(within(system.start()).await?)
}

/// Why a node does not become a member, if it does not.
async fn refused(config: Config) -> Option<String> {
    let system = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0))
        .cluster(config.join_timeout(Duration::from_secs(2)));
    match within(system.start()).await {
        Ok(system) => {
            within(system.shutdown()).await;
            None
        }
        Err(error) => Some(Chain(&error).to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_live_side_by_side_until_all_are_new() -> Result {
    let common = Common::default();
    let mut old = common.nodes(2).await?;
    let mut new = vec![newer(&common, 2).await?];
    for key in 0..30 {
        let key = key.to_string();
        for (n, node) in (1..).zip(old.iter().chain(&new)) {
            assert_eq!(within(node.grain::<Counter>(&key).ask(Add { n: 1 })).await?, n);
        }
    }
    assert_eq!(common.activations.load(Ordering::Relaxed), 30);
    // An old one may come as long as there is another.
    old.push(common.node(3).await?);
    for node in old {
        within(node.shutdown()).await;
        new.push(newer(&common, 4).await?);
    }
    for key in 0..30 {
        let grain = new[1].grain::<Counter>(key.to_string());
        assert_eq!(within(grain.ask(Add { n: 0 })).await?, 3, "it has all it had");
    }
    // The others may be about to find that they are all new.
    let error = within(async {
        loop {
            if let Some(error) = refused(common.config()).await {
                return error;
            }
        }
    });
    let error = error.await;
    assert!(error.contains("level 2") && error.contains("newer version of rakt"), "{error}");
    for node in &new {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_read_the_view_says_so() -> Result {
    let register = MemoryRegister::new();
    let (version, _) = register.read().await?;
    register.swap(version, (&[99, 1, 2, 3][..]).into()).await?;
    let error = refused(Config::on(register)).await.ok_or("it is a member")?;
    assert!(error.contains("the view in the register cannot be read"), "{error}");
    assert!(error.contains("format"), "{error}");
    Ok(())
}
