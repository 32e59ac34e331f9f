//! The register with a real etcd, which the tests start: `.ci/run etcd`.
//!
//! | file | asks |
//! | --- | --- |
//! | here | does it keep the promises of a register, and say what is wrong? |
//! | `lost.rs` | what becomes of calls whose answer is lost, and of an etcd that is killed or frozen? |
//! | `trust.rs` | does it come in with a password or a certificate, and not without? |
//! | `server.rs`, `proxy.rs` | etcd, and a way to it that can be shut |
#![cfg(unix)]

mod lost;
mod proxy;
mod server;
mod trust;

use std::time::Duration;

use rakt::cluster::{Register, RegisterError, SwapError, Version};
use rakt::error::Chain;
use rakt::testkit::{register, within};
use rakt_etcd::{Etcd, EtcdError};
use server::Servers;

const NOTHING: Version = Version(0);
const MS: Duration = Duration::from_millis(1);

fn cause(error: &RegisterError) -> &EtcdError {
    error.source.get_ref().downcast_ref().expect("it comes from etcd")
}

/// What is not known of a swap.
fn unknown(outcome: Result<Version, SwapError>) -> EtcdError {
    match outcome {
        Err(SwapError::Unknown(error)) => cause(&error).clone(),
        other => panic!("its outcome was to be unknown: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn it_keeps_its_promises() {
    let servers = Servers::start(1);
    register::check(async |name| servers.register().cluster(name)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn hints_come_with_news_and_not_without() -> rakt::Result {
    let servers = Servers::start(1);
    let (a, b) = (servers.register(), servers.register());
    let first = a.swap(NOTHING, "first".into()).await?;
    within(b.changed(NOTHING)).await;
    // Its own swap is no news to a node, whatever the watch has told it so far; nor is another key.
    servers.register().cluster("other").swap(NOTHING, "other".into()).await?;
    let for_nothing = tokio::time::timeout(300 * MS, a.changed(first)).await;
    assert!(for_nothing.is_err(), "nothing has changed");
    let hint = a.changed(first);
    let second = b.swap(first, "second".into()).await?;
    within(hint).await;
    // A node that stops gives up its watch, and begins another one if it is asked again.
    a.stop().await;
    b.swap(second, "third".into()).await?;
    within(a.changed(second)).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "starts etcd: .ci/run etcd"]
async fn an_etcd_that_goes_back_is_refused() -> rakt::Result {
    let mut servers = Servers::start(1);
    let (a, b) = (servers.register(), servers.register());
    let mut newest = a.swap(NOTHING, "first".into()).await?;
    for n in 0..3 {
        newest = a.swap(newest, format!("{n}").into()).await?;
    }
    assert!(b.confirm(newest).await?);
    // As if a backup had been restored, of before the first swap.
    servers.forget("first");
    let error = a.read().await.expect_err("it has lost all of it");
    assert!(matches!(cause(&error), EtcdError::WentBack { .. }), "{error:?}");
    // It stays refused, also when it has caught up.
    let new = servers.register();
    let mut again = NOTHING;
    while again < newest {
        again = new.swap(again, format!("again {}", again.0).into()).await?;
    }
    let error = a.read().await.expect_err("it was refused before");
    assert!(matches!(cause(&error), EtcdError::WentBack { .. }), "{error:?}");
    let error = unknown(a.swap(newest, "lost".into()).await);
    assert!(matches!(error, EtcdError::WentBack { .. }), "{error:?}");
    let text = Chain(&error).to_string();
    assert!(text.contains(&servers.endpoints()[0]) && text.contains("backup"), "{text}");
    assert_eq!(new.read().await?.0, again, "nothing was written by it");

    // One that was set up anew has another id: no swap reaches it.
    let (c, empty) = (servers.register(), servers.register());
    c.read().await?;
    servers.forget("second");
    let error = unknown(c.swap(NOTHING, "founded twice".into()).await);
    assert!(matches!(error, EtcdError::OtherCluster { .. }), "{error:?}");
    assert_eq!(empty.read().await?, (NOTHING, "".into()));
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    // Nobody listens at a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr();
    let endpoint = format!("http://{}", port.expect("it is bound"));
    let nobody = Etcd::at([&endpoint]).start_timeout(Duration::ZERO);
    let error = nobody.connect().await.expect_err("nobody is there");
    let text = Chain(&error).to_string();
    assert!(matches!(error, EtcdError::NotReached { .. }), "{text}");
    assert!(text.starts_with(&format!("etcd is not reached at {endpoint}: does it run")), "{text}");
    assert!(text.contains("onnection refused"), "{text}");
    let error = unknown(nobody.swap(NOTHING, "view".into()).await);
    assert!(matches!(error, EtcdError::NotReached { .. }), "{error:?}");

    let none: [&str; 0] = [];
    let mut wrong = vec![
        (Etcd::at(none), "there is no endpoint"),
        (Etcd::at(["10.0.0.1:many"]), "is not like http://10.0.0.1:2379"),
        (Etcd::at(["user@10.0.0.1:2379"]), "is not like http://10.0.0.1:2379"),
        (Etcd::at(["ftp://10.0.0.1"]), "is not like http://10.0.0.1:2379"),
        (Etcd::at(["http://10.0.0.1/v3"]), "is not like http://10.0.0.1:2379"),
    ];
    if cfg!(any(feature = "tls", feature = "tls-ring")) {
        wrong.push((Etcd::at(["https://10.0.0.1"]), "https://10.0.0.1 is with TLS, and needs"));
        let plain = Etcd::at(["10.0.0.1"]).ca("pem");
        wrong.push((plain, "http://10.0.0.1 is without TLS"));
        let no_pem = Etcd::at(["https://10.0.0.1"]).ca("no pem").certificate("none", "none");
        wrong.push((no_pem, "the certificates or the key"));
    }
    for (register, what) in wrong {
        // At once, without waiting for anything.
        let error = register.connect().await.expect_err("it cannot be");
        let text = Chain(&error).to_string();
        assert!(text.contains(what), "{what}: {text}");
    }
    let shown = format!("{:?}", Etcd::at(["a:1"]).user("shop", "sesame"));
    assert!(shown.contains("shop") && !shown.contains("sesame"), "{shown}");
}
