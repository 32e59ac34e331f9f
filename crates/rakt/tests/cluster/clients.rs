//! What clients that are no members send to grains, through whichever node, where the node of those is killed.

use rakt::error::Chain;
use rakt::prelude::*;
use tokio::task::JoinSet;

use crate::fleet::{Cluster, Count, PATIENCE, ask_all};
use crate::support::within;

/// What has become of one that was sent.
enum Became {
    /// Answered, or confirmed.
    Taken,
    /// It may have been handled.
    Unknown,
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_send_to_grains_of_a_killed_node_reaches_where_they_live_next() -> Result {
    let mut cluster = Cluster::start().await?;
    let grains = cluster.grains(300);
    let before = ask_all(&grains, 0).await?;
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let others: Vec<_> = [1, 3].map(|node| cluster.nodes[&node].port).into();
    let killed = cluster.take(2);
    killed.signal("-KILL");
    let of_two = before.iter().zip(&grains).filter(|(life, _)| life.node == 2);
    let of_two: Vec<_> = of_two.map(|(_, grain)| grain.clone()).collect();
    assert!(of_two.len() > 30, "{} live there", of_two.len());
    let mut sending = JoinSet::new();
    for (at, grain) in of_two.iter().enumerate() {
        // Half of them are asked, and half told, each by one of two nodes.
        let port = others[at / 2 % 2];
        let address = Address::new(grain.id()?.path(), cluster.system.name(), "127.0.0.1", port)?;
        let (to, grain) = (client.actor(&address), grain.clone());
        sending.spawn(async move {
            let count = Count { add: 1 };
            let sent = match at % 2 {
                0 => to.ask(count).timeout(PATIENCE).await.map(drop),
                _ => to.tell(count).timeout(PATIENCE).confirmed().await,
            };
            match sent {
                Ok(()) => {
                    // What is confirmed is in a mailbox: this comes behind it.
                    let life = ask_all(std::slice::from_ref(&grain), 0).await;
                    let total = life.map_err(|error| error.to_string())?[0].total;
                    assert_eq!(total, 1, "{at} is handled once");
                    Ok((at, Became::Taken))
                }
                Err(AskError::ConnectionLost { .. }) => Ok((at, Became::Unknown)),
                Err(error) => Err(Chain(&error).to_string()),
            }
        });
    }
    let mut became = Vec::new();
    while let Some(sent) = within(sending.join_next()).await {
        became.push(sent??);
    }
    let taken = became.iter().filter(|(_, became)| matches!(became, Became::Taken)).count();
    assert!(taken > became.len() / 2, "{taken} of {}", became.len());
    for (at, _) in became {
        let total = ask_all(&of_two[at..=at], 0).await?[0].total;
        assert!(total <= 1, "{at}: {total}");
    }
    within(client.close()).await;
    killed.ended().await?;
    cluster.end().await
}
