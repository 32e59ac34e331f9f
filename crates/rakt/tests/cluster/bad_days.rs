//! What goes wrong at the seams: as nodes start, stop, and pass messages on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{
    Config, MemoryRegister, Register, RegisterError, Starting, SwapError, Version,
};
use rakt::error::Chain;
use rakt::grain::{Epoch, Grain, GrainKind};
use rakt::prelude::*;
use rakt::{Mailbox, Overflow, Refusal};
use tokio::sync::mpsc;

use crate::nodes::{Add, Common, Counter, Where};
use crate::support::within;

/// Tells under which epochs it has lived.
struct Kept(Arc<Mutex<Vec<Epoch>>>);

impl Actor for Kept {}

impl Grain for Kept {
    const KIND: &'static str = "kept";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.0.lock().expect("not poisoned").push(ctx.epoch());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_grain_lives_before_the_cluster_has_granted_it() -> Result {
    for _ in 0..30 {
        let seen: Arc<Mutex<Vec<Epoch>>> = Arc::default();
        let of = seen.clone();
        let kind = GrainKind::built_by(move || Kept(of.clone())).keep_alive("a");
        let builder = ActorSystem::builder("alone").cluster(Config::alone()).grain(kind);
        let system = within(builder.start()).await?;
        within(async {
            while seen.lock().expect("not poisoned").is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        within(system.shutdown()).await;
        let seen = seen.lock().expect("not poisoned");
        assert!(seen.iter().all(|epoch| epoch.view > 0), "{seen:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tell_that_is_passed_on_is_confirmed() -> Result {
    let common = Common::default();
    let nodes = common.nodes(2).await?;
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    for key in 0..4 {
        let grain = nodes[0].grain::<Counter>(key.to_string());
        for (n, node) in (1..).zip(&nodes) {
            let address = node.address(&grain.id()?.path())?;
            within(client.actor(&address).tell(Add { n: 1 }).confirmed()).await?;
            let total = within(async {
                loop {
                    match grain.ask(Add { n: 0 }).await {
                        Ok(total) if total < n => tokio::task::yield_now().await,
                        total => return total,
                    }
                }
            });
            assert_eq!(total.await?, n, "once");
        }
    }
    client.close().await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

/// Panics at its third confirmation.
struct Panics(MemoryRegister, Arc<AtomicU64>);

impl Register for Panics {
    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        self.0.read().await
    }

    async fn confirm(&self, seen: Version) -> Result<bool, RegisterError> {
        assert_ne!(self.1.fetch_add(1, Ordering::Relaxed), 2, "it panics once");
        self.0.confirm(seen).await
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        self.0.swap(over, view).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_panics_is_asked_again() -> Result {
    let (common, confirmed) = (Common::default(), Arc::new(AtomicU64::new(0)));
    let activations = common.activations.clone();
    let kind = GrainKind::built_by(move || Counter::at(0, &activations));
    let register = Panics(common.register.clone(), confirmed.clone());
    let builder = ActorSystem::builder("cluster").cluster(common.configured(register));
    let system = within(builder.grain(kind.store(common.store.clone())).start()).await?;
    within(async {
        while confirmed.load(Ordering::Relaxed) < 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(within(system.grain::<Counter>("a").ask(Add { n: 1 })).await?, 1);
    within(system.shutdown()).await;
    Ok(())
}

/// Does not start, and counts what it is asked all the same.
struct NoStart(Arc<AtomicU64>);

impl Register for NoStart {
    async fn start(&self, _: Starting) -> Result<(), RegisterError> {
        Err(RegisterError::new("its disk is gone"))
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(RegisterError::new("it was not started"))
    }

    async fn swap(&self, _: Version, _: Bytes) -> Result<Version, SwapError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(SwapError::Conflict)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_that_does_not_start_is_an_error_and_is_not_asked() {
    let asked = Arc::new(AtomicU64::new(0));
    let builder = ActorSystem::builder("cluster").cluster(Config::on(NoStart(asked.clone())));
    let error = within(builder.start()).await.expect_err("it has no register");
    let error = Chain(&error).to_string();
    assert!(error.contains("did not join") && error.contains("its disk is gone"), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

/// Never has started: tells that it begins to, that this was given up, and that it is stopped.
struct Hangs(mpsc::UnboundedSender<&'static str>);

struct GivenUp<'a>(&'a Hangs);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        let _ = self.0.0.send("its start is given up");
    }
}

impl Register for Hangs {
    async fn start(&self, _: Starting) -> Result<(), RegisterError> {
        let _given_up = GivenUp(self);
        let _ = self.0.send("it begins");
        std::future::pending().await
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        Err(RegisterError::new("it has not started"))
    }

    async fn swap(&self, _: Version, _: Bytes) -> Result<Version, SwapError> {
        Err(SwapError::Conflict)
    }

    async fn stop(&self) {
        let _ = self.0.send("it stops");
        tokio::task::yield_now().await;
        let _ = self.0.send("it has stopped");
    }
}

const CUT_OFF: [&str; 4] = ["it begins", "its start is given up", "it stops", "it has stopped"];

#[tokio::test(start_paused = true)]
async fn a_register_that_takes_too_long_to_start_is_stopped() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let config = Config::on(Hangs(tell)).join_timeout(Duration::from_secs(1));
    let error = ActorSystem::builder("cluster").cluster(config).start().await;
    let error = Chain(&error.expect_err("it is late")).to_string();
    assert!(error.contains("its register has not started"), "{error}");
    // Nothing of it goes on any more.
    assert_eq!(CUT_OFF.map(|_| told.try_recv().ok()), CUT_OFF.map(Some));
    assert_eq!(told.recv().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_of_a_start_that_is_given_up_is_stopped() {
    let (tell, mut told) = mpsc::unbounded_channel();
    let builder = ActorSystem::builder("cluster").cluster(Config::on(Hangs(tell)));
    let mut heard = Vec::new();
    tokio::select! {
        _ = builder.start() => panic!("it never starts"),
        begins = told.recv() => heard.extend(begins),
    }
    while let Some(said) = within(told.recv()).await {
        heard.push(said);
    }
    assert_eq!(heard, CUT_OFF);
}

struct Step(String);
rakt::messages! { Step }

/// Has grains do something, wherever they live.
struct Works(Arc<AtomicU64>);

impl Actor for Works {}

impl Handler<Step> for Works {
    async fn handle(&mut self, Step(key): Step, ctx: &mut Context<Self>) -> Result {
        ctx.system().grain::<Counter>(&key).ask(Where {}).await?;
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_at_a_shutdown_reaches_its_grains() -> Result {
    let (common, done) = (Common::default(), Arc::new(AtomicU64::new(0)));
    let nodes = common.nodes(2).await?;
    let of = done.clone();
    let works = nodes[0].spawn("works", move || Works(of.clone())).await?;
    for key in 0..100 {
        works.tell(Step(key.to_string())).await?;
    }
    let report = within(nodes[0].shutdown()).await;
    assert_eq!((done.load(Ordering::Relaxed), report.dropped_messages), (100, 0), "{report:?}");
    within(nodes[1].shutdown()).await;
    Ok(())
}

/// Waits until nobody waits for it any more, and says so.
#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Linger")]
struct Linger {}

struct Lingers(u64, mpsc::UnboundedSender<&'static str>);

impl Actor for Lingers {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Linger>().remote::<Where>();
    }
}

impl Grain for Lingers {
    const KIND: &'static str = "lingers";
}

impl Handler<Linger> for Lingers {
    async fn handle(&mut self, _: Linger, ctx: &mut Context<Self>) -> Result {
        self.1.send("asked")?;
        ctx.cancelled().await;
        Ok(self.1.send("given up")?)
    }
}

impl Handler<Where> for Lingers {
    async fn handle(&mut self, _: Where, _: &mut Context<Self>) -> Result<u64> {
        Ok(self.0)
    }
}

/// Two nodes, a grain that lives on the second of them, and what it tells.
async fn lingering(
    mailbox: Mailbox,
) -> Result<([ActorSystem; 2], GrainRef<Lingers>, mpsc::UnboundedReceiver<&'static str>)> {
    let (common, (told, hears)) = (Common::default(), mpsc::unbounded_channel());
    let node = async |at: u64| {
        let told = told.clone();
        let kind = GrainKind::built_by(move || Lingers(at, told.clone())).mailbox(mailbox);
        let system = ActorSystem::builder("cluster")
            .remoting(remote::Config::new("127.0.0.1", 0))
            .cluster(common.config());
        within(system.grain(kind).start()).await
    };
    let nodes = [node(0).await?, node(1).await?];
    let mut keys = (0..).map(|key: u32| key.to_string());
    let grain = loop {
        let grain = nodes[0].grain::<Lingers>(keys.next().ok_or("there are more")?);
        if within(grain.ask(Where {})).await? == 1 {
            break grain;
        }
    };
    Ok((nodes, grain, hears))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_ends_with_its_asker() -> Result {
    let (nodes, grain, mut hears) = lingering(Mailbox::default()).await?;
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    // Through the node where it does not live, for as long as nobody would wait.
    let there = client.actor(&nodes[0].address(&grain.id()?.path())?);
    let hour = Duration::from_secs(3600);
    let asking = tokio::spawn(async move { there.ask(Linger {}).timeout(hour).await });
    assert_eq!(within(hears.recv()).await, Some("asked"));
    asking.abort();
    assert_eq!(within(hears.recv()).await, Some("given up"));
    client.close().await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tell_that_is_passed_on_is_confirmed_by_the_mailbox_that_it_has_reached() -> Result {
    let mailbox = Mailbox::bounded(1).overflow(Overflow::Refuse);
    let (nodes, grain, mut hears) = lingering(mailbox).await?;
    let client = remote::Client::new("client", remote::ClientConfig::new())?;
    let there = client.actor(&nodes[0].address(&grain.id()?.path())?);
    let asked = there.clone();
    let asking = tokio::spawn(async move { asked.ask(Linger {}).await });
    assert_eq!(within(hears.recv()).await, Some("asked"));
    within(there.tell(Where {}).confirmed()).await?;
    let full = within(there.tell(Where {}).confirmed()).await.expect_err("there is room for one");
    assert_eq!(full.refusal(), Some(&Refusal::MailboxFull { capacity: 1 }));
    asking.abort();
    client.close().await;
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}
