//! What a system reports through the `metrics` facade. The only test in its process, because the
//! recorder is global.

#![cfg(all(feature = "metrics", feature = "remote", feature = "prost"))]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};
use rakt::prelude::*;
use rakt_wire::native::{Handshake, Hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Keeps the current value of everything that is reported, by name and labels, and the names of what was described.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<String, Arc<Value>>>>, Arc<Mutex<BTreeSet<String>>>);

#[derive(Default)]
struct Value(AtomicU64);

impl CounterFn for Value {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Value {
    fn increment(&self, value: f64) {
        self.0.fetch_add(value as u64, Ordering::Relaxed);
    }

    fn decrement(&self, value: f64) {
        self.0.fetch_sub(value as u64, Ordering::Relaxed);
    }

    fn set(&self, value: f64) {
        self.0.store(value as u64, Ordering::Relaxed);
    }
}

impl Kept {
    fn value(&self, key: &Key) -> Arc<Value> {
        let labels: String = key.labels().map(|l| format!(" {}={}", l.key(), l.value())).collect();
        let name = format!("{}{labels}", key.name());
        self.0.lock().expect("no panic").entry(name).or_default().clone()
    }

    /// What was reported, and nobody has said what it is.
    fn undescribed(&self) -> Vec<String> {
        let (values, described) =
            (self.0.lock().expect("no panic"), self.1.lock().expect("no panic"));
        let names = values.keys().map(|name| name.split(' ').next().unwrap_or_default());
        names.filter(|name| !described.contains(*name)).map(str::to_owned).collect()
    }

    fn read(&self, name: &str) -> u64 {
        let values = self.0.lock().expect("no panic");
        values.get(name).map_or(0, |value| value.0.load(Ordering::Relaxed))
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.1.lock().expect("no panic").insert(name.as_str().to_owned());
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.1.lock().expect("no panic").insert(name.as_str().to_owned());
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.value(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.value(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct Note {}

rakt::messages! { Note as "metrics.Note" }

struct Greeter;

impl Actor for Greeter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Note>();
    }
}

impl Handler<Note> for Greeter {
    async fn handle(&mut self, _: Note, _: &mut Context<Self>) -> Result {
        Ok(())
    }
}

/// Tells a peer something that reads it, says nothing and leaves; returns how many tells that leaves unconfirmed.
async fn lose_a_tell() -> Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("rakt://deaf@{}/nobody", listener.local_addr()?);
    let peer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut handshake = Handshake::accept(Hello::new("deaf", [7; 16]));
        let mut read = bytes::BytesMut::new();
        while handshake.handle_bytes(&mut read).is_ok_and(|session| session.is_none()) {
            stream.read_buf(&mut read).await?;
        }
        stream.write_all(&handshake.poll_transmit().unwrap_or_default()).await?;
        stream.read_buf(&mut read).await
    });
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let mut events = client.events();
    client.actor(&address.parse()?).tell(Note {}).await?;
    peer.await??;
    let limit = std::time::Duration::from_secs(60);
    let unconfirmed = events.find(|event| match event {
        rakt::Event::LinkDown { unconfirmed, .. } => Some(unconfirmed),
        _ => None,
    });
    Ok(tokio::time::timeout(limit, unconfirmed).await?.ok_or("the client lives")?)
}

#[tokio::test]
async fn a_system_reports_links_bytes_requests_actors_and_dead_letters() -> Result {
    let kept = Kept::default();
    metrics::set_global_recorder(kept.clone())?;
    let start = |name: &str| {
        ActorSystem::builder(name).remoting(remote::Config::new("127.0.0.1", 0)).start()
    };
    let (near, far) = (start("near").await?, start("far").await?);
    let (host, port) = far.advertised();
    far.spawn("greeter", || Greeter).await?;
    assert_eq!(kept.read("rakt_actors"), 1);

    let greeter = near.node(host, port).lookup::<Greeter>("greeter").await?.ok_or("it is there")?;
    greeter.ask(Note {}).await?;
    assert!(kept.read("rakt_links") >= 2, "one at each end");
    assert!(kept.read("rakt_sent_bytes_total") > 0 && kept.read("rakt_received_bytes_total") > 0);
    assert_eq!(kept.read("rakt_requests_total outcome=reply"), 2, "the lookup and the ask");

    let nobody = near.actor(&format!("rakt://far@{host}:{port}/nobody").parse()?);
    nobody.ask(Note {}).await.expect_err("nobody is there");
    assert_eq!(kept.read("rakt_requests_total outcome=refused"), 1);

    let mut events = near.events();
    nobody.tell(Note {}).await?;
    let is_dead_letter = |event| matches!(event, rakt::Event::DeadLetter(_)).then_some(());
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, events.find(is_dead_letter)).await?.ok_or("the system lives")?;
    assert_eq!(kept.read("rakt_dead_letters_total"), 1);

    greeter.tell(Note {}).await?;
    near.shutdown().await;
    far.shutdown().await;
    assert_eq!(kept.read("rakt_actors"), 0);
    assert_eq!(kept.read("rakt_links"), 0);
    assert_eq!(kept.read("rakt_unconfirmed_tells_total"), 0, "all connections ended in order");

    assert_eq!(lose_a_tell().await?, 1);
    assert_eq!(kept.read("rakt_unconfirmed_tells_total"), 1);
    #[cfg(feature = "cluster")]
    cluster::reports_what_it_does(&kept).await?;
    assert_eq!(kept.undescribed(), [""; 0]);
    Ok(())
}

/// What nodes of a cluster report besides.
#[cfg(feature = "cluster")]
mod cluster {
    use std::time::{Duration, SystemTime};

    use rakt::cluster::{Config, MemoryRegister};
    use rakt::grain::{Grain, GrainKind};
    use rakt::testkit::{FaultyRegister, within};

    use super::{Greeter, Kept, Note};
    use rakt::prelude::*;

    impl Grain for Greeter {
        const KIND: &'static str = "greeter";
    }

    async fn node(register: &FaultyRegister<MemoryRegister>) -> Result<ActorSystem> {
        let config = Config::on(register.clone());
        let config = config.lease(Duration::from_secs(1)).probe_interval(Duration::from_millis(50));
        let builder = ActorSystem::builder("metrics")
            .remoting(remote::Config::new("127.0.0.1", 0))
            .cluster(config)
            .grain(GrainKind::built_by(|| Greeter));
        Ok(within(builder.start()).await?)
    }

    async fn until(what: &str, is_so: impl Fn() -> bool) {
        within(async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        println!("{what}");
    }

    pub(super) async fn reports_what_it_does(kept: &Kept) -> Result {
        let one = FaultyRegister::new(MemoryRegister::new());
        let two = FaultyRegister::new(one.behind().clone());
        let nodes = [node(&one).await?, node(&two).await?];
        let read = |name: &str| kept.read(&format!("rakt_cluster_{name}"));
        until("both are members", || read("members state=up") == 2).await;
        assert_eq!(read("members state=dead"), 0);
        assert!(read("view_generation") > 0 && read("view_version") > 1);
        until("slots are kept track of", || (1..4096).contains(&read("slots"))).await;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        assert!(read("lease_expiry_timestamp_seconds") >= now.saturating_sub(1));
        assert!(read("register_calls_total call=swap outcome=ok") >= 3, "two came");
        assert!(read("register_calls_total call=read outcome=ok") >= 2);

        let grains: Vec<_> =
            (0..20).map(|key| nodes[0].grain::<Greeter>(key.to_string())).collect();
        for grain in &grains {
            within(grain.ask(Note {})).await?;
        }
        let searches = || {
            let of = |outcome: &str| read(&format!("searches_total outcome={outcome}"));
            assert!(of("there") > 0 && of("failed") == 0);
            of("here") + of("there") + of("not_needed")
        };
        assert_eq!(searches(), 20);
        until("all were granted", || read("grants_total cause=new") == 20).await;
        for grain in &grains {
            within(grain.ask(Note {})).await?;
        }
        assert_eq!(searches(), 20, "a warm one is not looked for");
        assert_eq!(read("relayed_total"), 0);
        let client = remote::Client::new("client", remote::ClientConfig::new())?;
        for grain in &grains {
            let address = nodes[0].address(&grain.id()?.path())?;
            within(client.actor(&address).ask(Note {})).await?;
        }
        assert!((1..20).contains(&read("relayed_total")), "those that live on the other");
        client.close().await;

        assert_eq!((read("fenced_total"), read("takeovers_total")), (0, 0));
        two.set_down(true);
        until("its part is taken over", || read("takeovers_total") == 1).await;
        two.set_down(false);
        until("it hears that it was removed", || read("fenced_total") == 1).await;
        assert!((1..4096).contains(&read("taken_over_slots_total")));
        assert!(read("register_calls_total call=read outcome=failed") > 0);
        for grain in &grains {
            within(grain.ask(Note {}).timeout(Duration::from_secs(50))).await?;
        }
        for node in &nodes {
            within(node.shutdown()).await;
        }
        Ok(())
    }
}
