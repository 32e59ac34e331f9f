//! Clusters over TLS, and who is heard as a member.

use std::time::Duration;

use bytes::Bytes;
use rakt::cluster::{
    Config, MemoryRegister, Register, RegisterError, Starting, SwapError, Version,
};
use rakt::error::Chain;
use rakt::grain::GrainKind;
use rakt::prelude::*;
use rakt::remote::certificate::{Authority, Request};
use rakt::remote::{Secret, Tls, Verb};
use rakt::{Event, Refusal};

use crate::nodes::{Add, Common, Counter};
use crate::support::{event, within};

async fn node(common: &Common, at: u64, secret: &Secret, config: Config) -> Result<ActorSystem> {
    let activations = common.activations.clone();
    let kind = GrainKind::built_by(move || Counter::at(at, &activations));
    let remoting = remote::Config::new("127.0.0.1", 0).tls(Tls::from_secret(secret.clone()));
    let builder = ActorSystem::builder("cluster").remoting(remoting).cluster(config);
    Ok(builder.grain(kind.store(common.store.clone())).start().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn members_talk_over_tls() -> Result {
    let (common, secret) = (Common::default(), Secret::generate());
    let config = || common.config().members("secret:*");
    let nodes =
        [node(&common, 0, &secret, config()).await?, node(&common, 1, &secret, config()).await?];
    for key in 0..10 {
        for (n, node) in (1..).zip(&nodes) {
            let grain = node.grain::<Counter>(key.to_string());
            assert_eq!(within(grain.ask(Add { n: 1 })).await?, n);
        }
    }
    for node in &nodes {
        within(node.shutdown()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_member_by_its_name_is_not_let_in() -> Result {
    let (common, secret) = (Common::default(), Secret::generate());
    let strict = common.config().members("spiffe://prod.example/rakt/shop-*");
    let first = node(&common, 0, &secret, strict).await?;
    let config = common.config().join_timeout(Duration::from_secs(3));
    let error = within(node(&common, 1, &secret, config)).await.expect_err("nobody hears it");
    let error = Chain(&*error).to_string();
    assert!(error.contains("the node was no member within 3s"), "{error}");
    let members = first.members().ok_or("it is in one")?;
    assert_eq!(members.up().count(), 1, "{members}");
    assert_eq!(within(first.grain::<Counter>("a").ask(Add { n: 1 })).await?, 1, "it goes on");
    within(first.shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_members_are_those_with_a_name_of_the_node_itself() -> Result {
    let (common, secret) = (Common::default(), Secret::generate());
    let nodes = [
        node(&common, 0, &secret, common.config()).await?,
        node(&common, 1, &secret, common.config()).await?,
    ];
    assert_eq!(nodes[0].members().ok_or("it is in one")?.up().count(), 2, "both hold the secret");
    for node in &nodes {
        within(node.shutdown()).await;
    }

    let (authority, common) = (Authority::generate("prod")?, Common::default());
    let of = |name: &str| -> Result<Tls> {
        let request = Request::new("node").uri(name).host("127.0.0.1");
        let issued = authority.issue(&request)?;
        Ok(Tls::from_pem(issued.certificate_pem(), issued.key_pem(), authority.certificate_pem()))
    };
    let start = |tls: Tls| {
        let remoting = remote::Config::new("127.0.0.1", 0).tls(tls);
        let config = common.config().join_timeout(Duration::from_secs(3));
        ActorSystem::builder("cluster").remoting(remoting).cluster(config).start()
    };
    let first = start(of("rakt://prod/cluster")?).await?;
    let error = within(start(of("rakt://prod/console/cluster")?)).await;
    let error = Chain(&error.expect_err("nobody hears it")).to_string();
    assert!(error.contains("the node was no member within 3s"), "{error}");
    let second = within(start(of("rakt://prod/cluster")?)).await?;
    assert_eq!(second.members().ok_or("it is in one")?.up().count(), 2);
    within(second.shutdown()).await;
    within(first.shutdown()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_member_is_denied_and_all_concerned_are_told() -> Result {
    let (common, secret) = (Common::default(), Secret::generate());
    let strict = common.config().members("spiffe://prod.example/rakt/shop-*");
    let node = node(&common, 0, &secret, strict).await?;
    let mut events = node.events();
    let config = remote::ClientConfig::new().tls(Tls::from_secret(secret.clone()));
    let client = remote::Client::new("console", config)?;
    let (host, port) = node.advertised();
    let ear: Address = format!("rakt://cluster@{host}:{port}/cluster/member").parse()?;
    let told = within(client.tell(&ear, Add { n: 1 }).confirmed()).await;
    let error = told.expect_err("it is no member");
    assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error:?}");
    let (verb, path) = event(&mut events, |event| match event {
        Event::Denied { verb, path, .. } => Some((verb, path)),
        _ => None,
    })
    .await;
    assert_eq!((verb, &*path), (Verb::Tell, "cluster/member"));
    // The others of its actors hear it.
    let grain: Address = format!("rakt://cluster@{host}:{port}/grains/counter/a").parse()?;
    assert_eq!(within(client.ask(&grain, Add { n: 1 })).await?, 1);
    within(client.close()).await;
    within(node.shutdown()).await;
    Ok(())
}

/// A register that has an actor of its own, and one below that.
struct Lives(MemoryRegister);

impl Register for Lives {
    async fn start(&self, starting: Starting) -> Result<(), RegisterError> {
        starting.only_for_members("register");
        let spawned = starting.system.spawn("register", Door::default).await;
        spawned.map(drop).map_err(RegisterError::new)
    }

    async fn read(&self) -> Result<(Version, Bytes), RegisterError> {
        self.0.read().await
    }

    async fn swap(&self, over: Version, view: Bytes) -> Result<Version, SwapError> {
        self.0.swap(over, view).await
    }
}

#[derive(Default)]
struct Door;

impl Actor for Door {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Add>();
    }

    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        if ctx.path() == "register" {
            ctx.spawn("below", Self::default).await?;
        }
        Ok(())
    }
}

impl Handler<Add> for Door {
    async fn handle(&mut self, Add { n }: Add, _: &mut Context<Self>) -> Result<u64> {
        Ok(n)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_register_has_for_members_is_denied_to_others() -> Result {
    let (common, secret, other) = (Common::default(), Secret::generate(), Secret::generate());
    let config = common.configured(Lives(common.register.clone()));
    let tls = Tls::from_secret(secret.clone()).also_trust(other.clone());
    let kind = GrainKind::built_by(|| Counter::at(0, &Common::default().activations));
    let node = ActorSystem::builder("cluster")
        .remoting(remote::Config::new("127.0.0.1", 0).tls(tls).policy(remote::Policy::open()))
        .cluster(config.members(&secret.identity()?))
        .grain(kind)
        .start()
        .await?;
    let mut events = node.events();
    let client = |tls| remote::Client::new("console", remote::ClientConfig::new().tls(tls));
    let member = client(Tls::from_secret(secret.clone()))?;
    let stranger = client(Tls::from_secret(other).also_trust(secret))?;
    let (host, port) = node.advertised();
    for path in ["register", "register/below"] {
        let door: Address = format!("rakt://cluster@{host}:{port}/{path}").parse()?;
        assert_eq!(within(member.ask(&door, Add { n: 1 })).await?, 1);
        let error = within(stranger.ask(&door, Add { n: 1 })).await.expect_err("it is no member");
        assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error:?}");
        let text = Chain(&error).to_string();
        assert!(text.contains(", which is no member of this cluster"), "{text}");
        let found = within(stranger.node(host, port).lookup::<Door>(path)).await;
        let error = found.expect_err("nor looked up");
        assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error:?}");
        // Not even a member ends it.
        let error = within(member.actor(&door).stop()).await.expect_err("it is needed");
        assert!(matches!(error.refusal(), Some(Refusal::Denied { .. })), "{error:?}");
        for expected in [Verb::Ask, Verb::Lookup, Verb::Stop] {
            let denied = event(&mut events, |event| match event {
                Event::Denied { verb, path, .. } => Some((verb, path)),
                _ => None,
            });
            assert_eq!(denied.await, (expected, path.to_owned()));
        }
    }
    // What is called alike is for everybody.
    node.spawn("registers", Door::default).await?;
    let door: Address = format!("rakt://cluster@{host}:{port}/registers").parse()?;
    assert_eq!(within(stranger.ask(&door, Add { n: 1 })).await?, 1);
    within(member.close()).await;
    within(stranger.close()).await;
    within(node.shutdown()).await;
    Ok(())
}
