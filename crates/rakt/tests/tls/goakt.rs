//! Nodes that speak GoAkt over encrypted connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Config, GoAkt, Tls};

use crate::certificates::Ca;
use crate::renewal::{Add, Counter, Files, brief};
use crate::support::within;

async fn node(name: &str, tls: Tls) -> Result<ActorSystem> {
    let remoting = Config::new("127.0.0.1", 0).tls(tls).goakt(GoAkt::new());
    Ok(ActorSystem::builder(name).remoting(remoting).start().await?)
}

/// Both nodes get a certificate every two seconds that is good for four, and connections never rest: each has to be
/// replaced while tells are under way on it.
#[tokio::test(flavor = "multi_thread")]
async fn no_tell_is_lost_while_certificates_are_renewed() -> Result {
    let ca = Ca::new("ca");
    let issue = |name| brief(&ca, name, 4);
    let files =
        ["one", "other"].map(|name| Files::new(&format!("go-{name}"), &issue(name), &ca.pem));
    let [one, other] = files;
    let (one, other) = (one?, other?);
    let (server, client) = (node("one", one.tls()).await?, node("other", other.tls()).await?);
    let counter = server.spawn("counter", Counter::default).await?;
    let (host, port) = server.advertised();
    let remote = client.actor(&format!("goakt://one@{host}:{port}/counter").parse()?);
    let is_over = Arc::new(AtomicBool::new(false));
    let tellers: Vec<tokio::task::JoinHandle<Result<u64>>> = (0..8)
        .map(|_| {
            let (remote, is_over) = (remote.clone(), is_over.clone());
            tokio::spawn(async move {
                let mut told = 0;
                while !is_over.load(Ordering::Relaxed) {
                    remote.tell(Add { n: 1 }).await?;
                    remote.tell(Add { n: 1 }).confirmed().await?;
                    told += 2;
                }
                Ok(told)
            })
        })
        .collect();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        for (files, name) in [(&one, "one"), (&other, "other")] {
            files.put(&issue(name), &ca.pem)?;
        }
    }
    is_over.store(true, Ordering::Relaxed);
    let mut told = 0;
    for teller in tellers {
        match within(teller).await? {
            Ok(by_one) => told += by_one,
            Err(error) => panic!("{}", Chain(&*error)),
        }
    }
    // Confirmed tells come behind the others.
    assert_eq!(counter.ask(Add { n: 0 }).await?, told, "each counts once");
    assert_eq!(client.dead_letter_count() + server.dead_letter_count(), 0);
    println!("{told} tells, none lost");
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}
