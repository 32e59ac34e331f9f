//! What clients that are no members send to grains, through whichever node: where the node of those is killed, or the one
//! through which they are sent shuts down, is killed, says nothing, or is cut off.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::cluster::{ClusterRef, Discovery, DiscoveryError, Seed, Static};
use rakt::error::Chain;
use rakt::grain::GrainId;
use rakt::prelude::*;
use tokio::task::JoinSet;

use crate::fleet::{Cluster, Count, PATIENCE, Tally, ask_all};
use crate::nodes::{Add, Common, Counter, Where};
use crate::outage;
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

fn client() -> Result<remote::Client> {
    Ok(remote::Client::new("client", remote::ClientConfig::new())?)
}

fn at(ports: impl IntoIterator<Item = u16>) -> Static {
    Static::new(ports.into_iter().map(|port| ("127.0.0.1", port)))
}

fn ports(nodes: &[ActorSystem]) -> Vec<u16> {
    nodes.iter().map(|node| node.advertised().1).collect()
}

/// A port on which nobody listens.
fn nobody() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Through which node its messages go.
fn port(cluster: &ClusterRef) -> u16 {
    cluster.grain::<Counter>("a").address().port()
}

/// Asks a grain for as long as it takes.
async fn refused<G: Handler<Add>>(grain: ActorRef<G>) -> AskError<Add> {
    within(grain.ask(Add { n: 1 }).timeout(Duration::MAX)).await.expect_err("it is refused")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_by_the_next_node_when_its_own_shuts_down() -> Result {
    let common = Common::default();
    let mut nodes = common.nodes(3).await?;
    let client = client()?;
    let cluster = client.cluster("cluster", at(ports(&nodes)));
    let mut totals = [0; 10];
    // Each of the first two that it asks shuts down while it asks.
    for _ in 0..2 {
        within(cluster.grain::<Counter>("0").ask(Where {})).await?;
        let its = nodes.iter().position(|node| node.advertised().1 == port(&cluster));
        let its = nodes.remove(its.ok_or("it is one of them")?);
        let (before, mut leaving) = (port(&cluster), JoinSet::new());
        leaving.spawn(async move { within(its.shutdown()).await });
        while !leaving.is_empty() || port(&cluster) == before {
            let all = (0..totals.len()).map(|key| {
                let grain = cluster.grain::<Counter>(key.to_string());
                async move {
                    match key % 2 {
                        0 => drop(within(grain.ask(Add { n: 1 }).timeout(PATIENCE)).await?),
                        _ => within(grain.tell(Add { n: 1 }).timeout(PATIENCE).confirmed()).await?,
                    }
                    Ok(())
                }
            });
            let all: JoinSet<Result> = all.collect();
            for sent in within(all.join_all()).await {
                sent?;
            }
            totals.iter_mut().for_each(|total| *total += 1);
            let _ = leaving.try_join_next();
        }
    }
    for (key, total) in totals.iter().enumerate() {
        let grain = cluster.grain::<Counter>(key.to_string());
        assert_eq!(within(grain.ask(Add { n: 0 })).await?, *total, "{key}: each once");
    }
    within(client.close()).await;
    within(nodes[0].shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_by_the_next_node_when_its_own_is_killed() -> Result {
    let mut cluster = Cluster::start().await?;
    let client = client()?;
    let nodes = at(cluster.nodes.values().map(|node| node.port));
    let reached = client.cluster(cluster.system.name(), nodes);
    let keys: Vec<_> = (0..100).map(|key| format!("c{key}")).collect();
    let grains: Vec<_> = keys.iter().map(|key| reached.grain::<Tally>(key)).collect();
    within(grains[0].ask(Count { add: 0 }).timeout(PATIENCE)).await?;
    let its = grains[0].address().port();
    let its = cluster.nodes.iter().find(|(_, node)| node.port == its).map(|(at, _)| *at);
    let killed = cluster.take(its.ok_or("it is one of them")?);
    let mut sending = JoinSet::new();
    for (at, grain) in grains.iter().cloned().enumerate() {
        sending.spawn(async move {
            let (mut taken, mut unknown) = (0, 0);
            for _ in 0..5 {
                match grain.ask(Count { add: 1 }).timeout(PATIENCE).await {
                    Ok(_) => taken += 1,
                    Err(AskError::ConnectionLost { .. }) => unknown += 1,
                    Err(error) => return Err(Chain(&error).to_string()),
                }
            }
            Ok((at, taken, unknown))
        });
    }
    killed.signal("-KILL");
    while let Some(sent) = within(sending.join_next()).await {
        let (at, taken, unknown) = sent??;
        // At most the one that was under way at that moment, and the one after it that its node passes on.
        assert!(unknown <= 2, "{at}: {unknown}");
        let life = ask_all(&[cluster.system.grain::<Tally>(&keys[at])], 0).await?;
        let total = life[0].total;
        assert!((taken..=taken + unknown).contains(&total), "{at}: {total} of {taken} + {unknown}");
    }
    within(client.close()).await;
    killed.ended().await?;
    cluster.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_refuses_for_good_is_an_outcome() -> Result {
    struct Unknown;
    impl Actor for Unknown {}
    impl Grain for Unknown {
        const KIND: &'static str = "unknown";
    }
    impl Handler<Add> for Unknown {
        async fn handle(&mut self, _: Add, _: &mut Context<Self>) -> Result<u64> {
            Ok(0)
        }
    }
    let nodes = Common::default().nodes(2).await?;
    let client = client()?;
    let cluster = client.cluster("cluster", at(ports(&nodes)));
    let error = refused(cluster.grain::<Unknown>("a")).await;
    assert!(matches!(error, AskError::Refused { refusal: Refusal::NotFound, .. }), "{error:?}");
    let key = "k".repeat(300);
    let error = refused(cluster.grain::<Counter>(&key)).await;
    assert!(matches!(error.refusal(), Some(Refusal::InvalidArgument { .. })), "{error:?}");
    // All nodes are of another system.
    let other = client.cluster("other", at(ports(&nodes)));
    let error = refused(other.grain::<Counter>("a")).await;
    assert!(matches!(error, AskError::NotSent { .. }), "{error:?}");
    let text = Chain(&error).to_string();
    for port in ports(&nodes) {
        let node = format!("127.0.0.1:{port}: the node there is of system \"cluster\"");
        assert!(text.contains(&node), "{text}");
    }
    // A client that is closed asks nobody.
    within(client.close()).await;
    let error = refused(cluster.grain::<Counter>("a")).await;
    assert_eq!(error.refusal(), Some(&Refusal::Closed));
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_nodes_that_were_tried() -> Result {
    let client = client()?;
    let nobody = [nobody()?, nobody()?];
    let cluster = client.cluster("cluster", at(nobody));
    let grain = cluster.grain::<Counter>("a");
    assert!(grain.try_tell(Add { n: 1 }).is_err());
    let asked = grain.ask(Add { n: 1 }).timeout(Duration::from_secs(1));
    let error = within(asked).await.expect_err("nobody is there");
    assert!(matches!(error, AskError::NotSent { .. }) && error.is_worth_retrying(), "{error:?}");
    let text = Chain(&error).to_string();
    assert!(text.contains("cluster is unreachable: none of its nodes has taken it: "), "{text}");
    for port in nobody {
        assert!(text.contains(&format!("127.0.0.1:{port}: Connection refused")), "{text}");
    }
    // Where there are none, there is nothing to wait for.
    let cluster = client.cluster("cluster", Static::default());
    let text = Chain(&refused(cluster.grain::<Counter>("a")).await).to_string();
    assert!(text.ends_with("cluster is unreachable: no nodes of it are known"), "{text}");
    within(client.close()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_begin_with_different_nodes_and_wait_for_none_that_says_nothing() -> Result {
    let nodes = Common::default().nodes(2).await?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let mut all = ports(&nodes);
    all.push(silent.local_addr()?.port());
    let mut begun_with = BTreeSet::new();
    for _ in 0..16 {
        let client = client()?;
        let cluster = client.cluster("cluster", at(all.clone()));
        // A node that is dialed may take as long as this ask.
        within(cluster.grain::<Counter>("a").ask(Add { n: 1 })).await?;
        begun_with.insert(port(&cluster));
        within(client.close()).await;
    }
    assert_eq!(begun_with, ports(&nodes).into_iter().collect());
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

/// Finds what it is told, and counts how often it is asked.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<(Vec<u16>, u32)>>);

impl Discovery for Told {
    async fn find(&self) -> Result<Vec<Seed>, DiscoveryError> {
        let mut told = self.0.lock().expect("nobody panics");
        told.1 += 1;
        match &*told.0 {
            [] => Err(DiscoveryError::new("nobody knows them")),
            ports => {
                let seed = |port: &u16| Seed { host: "127.0.0.1".into(), port: *port };
                Ok(ports.iter().map(seed).collect())
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_looked_for_anew_when_those_that_were_known_are_gone() -> Result {
    let (common, told) = (Common::default(), Told::default());
    let client = client()?;
    let cluster = client.cluster("cluster", told.clone());
    let grain = cluster.actor(&GrainId::new("counter", "a")?);
    let grain: ActorRef<Counter> = grain.typed().ok_or("it may be of any type")?;
    let asked = grain.ask(Add { n: 1 }).timeout(Duration::from_millis(200));
    let text = Chain(&within(asked).await.expect_err("nobody is known")).to_string();
    assert!(text.ends_with("no nodes were found to ask: nobody knows them"), "{text}");
    let before = common.node(0).await?;
    told.0.lock().expect("nobody panics").0 = ports(std::slice::from_ref(&before));
    assert_eq!(within(grain.ask(Add { n: 1 }).timeout(PATIENCE)).await?, 1);
    let asked_for = told.0.lock().expect("nobody panics").1;
    for n in 2..100 {
        assert_eq!(within(grain.ask(Add { n: 1 })).await?, n);
    }
    grain.tell(Add { n: 1 }).await?;
    grain.try_tell(Add { n: 1 })?;
    assert_eq!(within(grain.ask(Add { n: 0 })).await?, 101);
    assert_eq!(told.0.lock().expect("nobody panics").1, asked_for, "one that answers is enough");
    let after = common.node(1).await?;
    told.0.lock().expect("nobody panics").0 = ports(std::slice::from_ref(&after));
    within(before.shutdown()).await;
    assert_eq!(within(grain.ask(Add { n: 1 }).timeout(PATIENCE)).await?, 102);
    assert_eq!(port(&cluster), after.advertised().1);
    within(client.close()).await;
    within(after.shutdown()).await;
    Ok(())
}

/// Panics where nobody is known, at once or as it is waited for.
struct Panics {
    told: Told,
    at_once: bool,
}

impl Discovery for Panics {
    fn find(&self) -> impl Future<Output = Result<Vec<Seed>, DiscoveryError>> + Send {
        let is_nobody = self.told.0.lock().expect("nobody panics").0.is_empty();
        assert!(!is_nobody || !self.at_once, "nobody is known");
        async move {
            assert!(!is_nobody, "nobody is known");
            self.told.find().await
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovery_that_panics_has_failed() -> Result {
    let node = Common::default().node(0).await?;
    let client = client()?;
    for at_once in [true, false] {
        let told = Told::default();
        let nodes = Panics { told: told.clone(), at_once };
        let grain = client.cluster("cluster", nodes).grain::<Counter>("a");
        // Has them be looked for, and waits for nothing.
        grain.try_tell(Add { n: 0 }).expect_err("nobody is known");
        let asked = grain.ask(Add { n: 0 }).timeout(Duration::from_millis(200));
        let text = Chain(&within(asked).await.expect_err("nobody is known")).to_string();
        assert!(text.ends_with("found to ask: panicked: nobody is known"), "{text}");
        told.0.lock().expect("nobody panics").0 = ports(std::slice::from_ref(&node));
        within(async {
            while grain.try_tell(Add { n: 0 }).is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    within(client.close()).await;
    within(node.shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_by_the_next_node_when_its_own_is_cut_off() -> Result {
    let (common, is_cut) = (Common::default(), [(); 2].map(|()| Arc::new(AtomicBool::new(false))));
    let nodes =
        [outage::node(&common, 0, &is_cut[0]).await?, outage::node(&common, 1, &is_cut[1]).await?];
    let client = client()?;
    let cluster = client.cluster("cluster", at(ports(&nodes)));
    within(cluster.grain::<Counter>("a").ask(Add { n: 1 })).await?;
    let its = port(&cluster);
    let cut = ports(&nodes).iter().position(|port| *port == its).ok_or("it is one of them")?;
    is_cut[cut].store(true, Ordering::Relaxed);
    // Those that live nowhere yet: what lives there stands still.
    for key in 0.. {
        let grain = cluster.grain::<Counter>(key.to_string());
        match within(grain.ask(Add { n: 1 }).timeout(Duration::from_secs(3))).await {
            Ok(total) => assert_eq!(total, 1),
            // It came to life there at the last moment.
            Err(AskError::Timeout { .. }) => {}
            Err(error) if error.refusal() == Some(&Refusal::DeadlineExceeded) => {}
            Err(error) => return Err(error.into()),
        }
        if port(&cluster) != its {
            break;
        }
    }
    is_cut[cut].store(false, Ordering::Relaxed);
    within(client.close()).await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_is_no_member_reaches_the_grains_of_a_cluster() -> Result {
    let nodes = Common::default().nodes(2).await?;
    let builder = ActorSystem::builder("other").remoting(remote::Config::new("127.0.0.1", 0));
    let other = builder.start().await?;
    let cluster = other.other_cluster("cluster", at(ports(&nodes)));
    let grain = cluster.grain::<Counter>("a");
    let counts: Recipient<Add> = grain.recipient();
    assert_eq!(within(counts.ask(Add { n: 1 })).await?, 1);
    assert_eq!(within(nodes[0].grain::<Counter>("a").ask(Add { n: 1 })).await?, 2);
    assert_ne!(grain, other.other_cluster("cluster", at(ports(&nodes))).grain::<Counter>("a"));
    assert_eq!(grain, cluster.grain::<Counter>("a"));
    // The policy lets peers end what they have spawned.
    let error = within(grain.stop()).await.expect_err("it may not");
    assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error:?}");
    let alone = ActorSystem::builder("alone").start().await?;
    let grain = alone.other_cluster("cluster", at(ports(&nodes))).grain::<Counter>("a");
    let error = within(grain.ask(Add { n: 1 })).await.expect_err("it has no remoting");
    assert_eq!(error.refusal(), Some(&Refusal::RemotingOff));
    within(other.shutdown()).await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}
