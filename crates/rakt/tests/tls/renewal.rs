//! Certificates over time: renewed, expired, withdrawn.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Config, Tls};
use rakt::{Event, StopReason};

use crate::certificates::{Ca, Issued};
use crate::support::{event, within};

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Add", reply = u64)]
pub(crate) struct Add {
    #[prost(uint64, tag = "1")]
    pub(crate) n: u64,
}

/// Counts, and answers late where it is told to.
#[derive(Default)]
pub(crate) struct Counter(u64);

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Add>();
    }
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, add: Add, _: &mut Context<Self>) -> Result<u64> {
        self.0 += add.n;
        Ok(self.0)
    }
}

/// How long the certificates are good for that are renewed under load, in seconds.
const LIFE: u64 = 9;

/// Says when the counter on the other node ends.
struct Watcher(ActorRef<Counter>, tokio::sync::mpsc::UnboundedSender<StopReason>);

impl Actor for Watcher {
    async fn started(&mut self, ctx: &mut Context<Self>) -> Result {
        ctx.watch(&self.0);
        Ok(())
    }

    async fn terminated(&mut self, terminated: &Terminated, _: &mut Context<Self>) -> Result {
        Ok(self.1.send(terminated.reason.clone())?)
    }
}

/// The files of a node.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(name: &str, issued: &Issued, roots: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("rakt-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        let files = Self(path);
        files.put(issued, roots)?;
        Ok(files)
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Replaces all of them, one after the other.
    pub(crate) fn put(&self, issued: &Issued, roots: &str) -> Result {
        let files = [("pem", &issued.certificate), ("key", &issued.key), ("ca", &roots.to_owned())];
        for (name, text) in files {
            let new = self.at("new");
            std::fs::write(&new, text)?;
            private(&new)?;
            std::fs::rename(&new, self.at(name))?;
        }
        Ok(())
    }

    pub(crate) fn tls(&self) -> Tls {
        let interval = Duration::from_millis(200);
        Tls::from_files(self.at("pem"), self.at("key"), self.at("ca"))
            .reload_every(interval)
            .replace_connections_every(Duration::from_secs(1))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn private(path: &Path) -> Result {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// A certificate for so many seconds from now.
pub(crate) fn brief(ca: &Ca, name: &str, seconds: u64) -> Issued {
    ca.issue(name, |params| {
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(1)).into();
        params.not_after = (now + Duration::from_secs(seconds)).into();
    })
}

async fn node(name: &str, tls: Tls) -> Result<ActorSystem> {
    let remoting = Config::new("127.0.0.1", 0).tls(tls);
    Ok(ActorSystem::builder(name).remoting(remoting).start().await?)
}

async fn counter(server: &ActorSystem, client: &ActorSystem) -> Result<ActorRef<Counter>> {
    server.spawn("counter", Counter::default).await?;
    let (host, port) = server.advertised();
    Ok(client.node(host, port).lookup::<Counter>("counter").await?.ok_or("it is there")?)
}

/// Both nodes get a certificate every two seconds that is good for nine, and a CA now and then: so each connection has to
/// be replaced many times, while asks and tells are under way on it.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_certificates_are_renewed() -> Result {
    let seconds = std::env::var("RAKT_ROTATION_SECONDS").ok().and_then(|text| text.parse().ok());
    let rounds: u64 = seconds.unwrap_or(12_u64).div_ceil(2);
    let mut ca = Ca::new("first");
    let (one, other) = (brief(&ca, "one", LIFE), brief(&ca, "other", LIFE));
    let files = [Files::new("one", &one, &ca.pem)?, Files::new("other", &other, &ca.pem)?];
    let server = node("one", files[0].tls()).await?;
    let client = node("other", files[1].tls()).await?;
    let counter = counter(&server, &client).await?;
    let (ended, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let watched = counter.clone();
    client.spawn("watcher", move || Watcher(watched.clone(), ended.clone())).await?;
    let (is_over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let askers: Vec<tokio::task::JoinHandle<Result>> = (0..16)
        .map(|_| {
            let (counter, is_over, asked) = (counter.clone(), is_over.clone(), asked.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // What is told first is counted first, over whichever connection it goes.
                    counter.tell(Add { n: 1 }).await?;
                    let now = counter.ask(Add { n: 1 }).await?;
                    assert!(now >= last + 2, "an ask has overtaken a tell: {now} after {last}");
                    last = now;
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                Result::Ok(())
            })
        })
        .collect();
    let mut past = [ca.pem.clone(), ca.pem.clone()];
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_secs(2)).await;
        if round % 3 == 2 {
            ca = Ca::new("next");
        }
        // While a CA takes the place of another, both are trusted: before anybody shows a certificate of the new one, and
        // until all connections have been replaced since, twice where the other end had its own a little later.
        let mut roots = past.concat() + &ca.pem;
        if past.iter().all(|pem| *pem == ca.pem) {
            roots.clone_from(&ca.pem);
        }
        past = [past[1].clone(), ca.pem.clone()];
        for (files, system) in files.iter().zip([&server, &client]) {
            std::fs::write(files.at("ca"), &roots)?;
            assert!(system.reload_tls().await.is_ok());
        }
        for (files, name) in files.iter().zip(["one", "other"]) {
            files.put(&brief(&ca, name, LIFE), &roots)?;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    for asker in askers {
        if let Err(error) = within(asker).await? {
            panic!("{}", Chain(&*error));
        }
    }
    let asked = asked.load(Ordering::Relaxed);
    assert_eq!(within(counter.ask(Add { n: 0 })).await?, 2 * asked, "each counts once");
    assert_eq!(client.dead_letter_count() + server.dead_letter_count(), 0);
    assert!(hears.try_recv().is_err(), "it is there all the time");
    server.actor(&counter.address()).stop().await?;
    // It may end while the connection is replaced over which that is told.
    let reason = within(hears.recv()).await;
    assert!(matches!(reason, Some(StopReason::Stopped | StopReason::Gone)), "{reason:?}");
    println!("{asked} asks, {rounds} renewals, none failed");
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_end_with_the_certificate_and_no_other_is_taken() -> Result {
    let ca = Ca::new("ca");
    let server = node("server", ca.tls("server")).await?;
    let client = node("client", brief(&ca, "client", 3).tls(&ca.pem)).await?;
    let mut events = client.events();
    let counter = counter(&server, &client).await?;
    counter.ask(Add { n: 1 }).await?;
    let (names, left) = event(&mut events, |event| match event {
        Event::CertificateEnds { names, left } => Some((names, left)),
        _ => None,
    })
    .await;
    assert!(
        names.contains("rakt://tests/client") && left < Duration::from_secs(2),
        "{names} {left:?}"
    );
    let reason = event(&mut events, |event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    })
    .await;
    assert!(reason.contains("its certificate has expired"), "{reason}");
    let error = within(counter.ask(Add { n: 1 })).await.expect_err("nobody takes it");
    let error = Chain(&error).to_string();
    assert!(error.contains("this node's certificate has expired"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_is_removed_ends_the_connections_at_once() -> Result {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let both = [ca.pem.as_str(), &next.pem].concat();
    let files = Files::new("removed", &next.node("server"), &both)?;
    let server = node("server", files.tls()).await?;
    let client = node("client", ca.node("client").tls(&both)).await?;
    let mut events = client.events();
    let counter = counter(&server, &client).await?;
    counter.ask(Add { n: 1 }).await?;
    std::fs::write(files.at("ca"), &next.pem)?;
    // Whether it looks by itself first, or now.
    server.reload_tls().await?;
    let reason = event(&mut events, |event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    })
    .await;
    assert!(reason.contains("not issued by a CA that this node trusts"), "{reason}");
    let error = within(counter.ask(Add { n: 1 })).await.expect_err("nobody takes it");
    assert!(Chain(&error).to_string().contains("does not trust the CA"), "{}", Chain(&error));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_changes_nothing() -> Result {
    let ca = Ca::new("ca");
    let good = ca.node("server");
    let files = Files::new("broken", &good, &ca.pem)?;
    let server = node("server", files.tls()).await?;
    let client = node("client", ca.tls("client")).await?;
    let counter = counter(&server, &client).await?;
    let half = &good.certificate[..good.certificate.len() / 2];
    let other = Ca::new("other");
    for (file, text, why) in [
        ("pem", half, "it is not whole"),
        ("pem", "", "holds no certificate in PEM"),
        ("pem", &ca.node("server").certificate, "does not belong to"),
        ("key", "", "holds no private key in PEM"),
        ("ca", &other.pem, "peers would refuse"),
    ] {
        std::fs::write(files.at(file), text)?;
        let error = server.reload_tls().await.expect_err("of no use");
        let error = Chain(&error).to_string();
        // What a CA does not go with is the certificate.
        let place = files.at(if file == "ca" { "pem" } else { file }).display().to_string();
        assert!(error.contains(why) && error.contains(&place), "{error}");
        counter.ask(Add { n: 1 }).await?;
        files.put(&good, &ca.pem)?;
        assert!(!server.reload_tls().await?, "it is what is loaded");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told() -> Result {
    let ca = Ca::new("ca");
    let files = Files::new("told", &ca.node("server"), &ca.pem)?;
    let server = node("server", files.tls()).await?;
    let mut events = server.events();
    std::fs::write(files.at("key"), "")?;
    let reason = event(&mut events, |event| match event {
        Event::TlsReloadFailed { reason } => Some(Chain(&reason).to_string()),
        _ => None,
    })
    .await;
    assert!(reason.contains("holds no private key"), "{reason}");
    Ok(())
}

/// A directory with a link that is swapped, as mounted secrets of Kubernetes are.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_link_is_noticed_each_time() -> Result {
    let ca = Ca::new("ca");
    let files = [0, 1, 2].map(|n| Files::new(&format!("swap-{n}"), &ca.node("server"), &ca.pem));
    let [first, second, third] = files;
    let (first, second, third) = (first?, second?, third?);
    let link = std::env::temp_dir().join(format!("rakt-tls-{}-data", std::process::id()));
    let point = |to: &Files| -> Result {
        let new = link.with_extension("new");
        std::os::unix::fs::symlink(&to.0, &new)?;
        Ok(std::fs::rename(new, &link)?)
    };
    point(&first)?;
    let at = |name: &str| link.join(name);
    let tls =
        Tls::from_files(at("pem"), at("key"), at("ca")).reload_every(Duration::from_secs(3600));
    let server = node("server", tls).await?;
    for to in [&second, &third, &first] {
        point(to)?;
        assert!(server.reload_tls().await?);
        assert!(!server.reload_tls().await?);
    }
    std::fs::remove_file(&link)?;
    Ok(())
}

/// The certificate of this node is of the CA that is withdrawn: nobody would accept it, and nobody of that CA is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_is_so_for_a_node_whose_own_certificate_goes_with_it() -> Result {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let both = [ca.pem.as_str(), &next.pem].concat();
    let files = Files::new("withdrawn", &ca.node("server"), &both)?;
    let server = node("server", files.tls()).await?;
    let client = node("client", ca.node("client").tls(&both)).await?;
    let mut events = client.events();
    counter(&server, &client).await?.ask(Add { n: 1 }).await?;
    std::fs::write(files.at("ca"), &next.pem)?;
    let error = server.reload_tls().await.expect_err("it does not trust its own certificate");
    assert!(Chain(&error).to_string().contains("peers would refuse"), "{}", Chain(&error));
    let reason = event(&mut events, |event| match event {
        Event::LinkDown { reason, .. } => Some(Chain(&reason).to_string()),
        _ => None,
    })
    .await;
    assert!(reason.contains("not issued by a CA that this node trusts"), "{reason}");
    Ok(())
}
