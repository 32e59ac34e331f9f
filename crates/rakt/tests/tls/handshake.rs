//! Who gets a connection, and what those hear who do not.

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config, Tls, Verify};

use crate::certificates::{Ca, uri};
use crate::support::within;

/// A node of that name.
pub(crate) async fn node(name: &str, tls: Tls) -> Result<ActorSystem> {
    let config = Config::new("127.0.0.1", 0).tls(tls);
    Ok(ActorSystem::builder(name).remoting(config).start().await?)
}

/// What a client of that name hears that pings a node.
pub(crate) async fn ping(tls: Tls, (host, port): (&str, u16)) -> std::result::Result<(), String> {
    let client = Client::new("client", ClientConfig::new().tls(tls)).expect("it is valid");
    let pinged = within(client.node(host, port).ping()).await;
    client.close().await;
    pinged.map(drop).map_err(|error| Chain(&error).to_string())
}

#[tokio::test]
async fn two_nodes_with_certificates_of_one_ca_talk() -> Result {
    let ca = Ca::new("ca");
    let server = node("server", ca.tls("server")).await?;
    assert_eq!(ping(ca.tls("client"), server.advertised()).await, Ok(()));
    server.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn whoever_is_not_who_it_says_is_refused_by_name() -> Result {
    let ca = Ca::new("ca");
    let server = node("server", ca.tls("server")).await?;
    let heard = ping(ca.tls("another"), server.advertised()).await.expect_err("it is another");
    assert!(heard.contains(r#"certificate is for "another", the hello says "client""#), "{heard}");
    // The same the other way round.
    let liar = node("liar", ca.tls("server")).await?;
    let heard = ping(ca.tls("client"), liar.advertised()).await.expect_err("it is another");
    assert!(heard.contains(r#"certificate is for "server", the hello says "liar""#), "{heard}");
    Ok(())
}

/// Who has no host in its certificate may connect, and not say that others reach it anywhere.
#[tokio::test]
async fn a_node_without_a_host_in_its_certificate_advertises_none() -> Result {
    let ca = Ca::new("ca");
    let server = node("server", ca.tls("server")).await?;
    let (host, port) = server.advertised();
    let tls = |name: &str| {
        let names = vec![uri(&format!("rakt://tests/{name}"))];
        ca.issue(name, |params| params.subject_alt_names = names).tls(&ca.pem)
    };
    assert_eq!(ping(tls("client"), (host, port)).await, Ok(()));
    let other = node("other", tls("other")).await?;
    let pinged = within(other.node(host, port).ping()).await;
    let heard = Chain(&pinged.expect_err("it advertises 127.0.0.1")).to_string();
    let why = r#"this certificate is for rakt://tests/other, the hello says "127.0.0.1""#;
    assert!(heard.contains(why), "{heard}");
    Ok(())
}

#[tokio::test]
async fn another_ca_is_named() -> Result {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let server = node("server", ca.tls("server")).await?;
    let heard = ping(other.tls("client"), server.advertised()).await.expect_err("another CA");
    assert!(heard.contains("not issued by a CA that this node trusts"), "{heard}");
    let heard =
        ping(ca.tls("client"), node("server", other.tls("server")).await?.advertised()).await;
    assert!(heard.is_err_and(|heard| heard.contains("not issued by a CA that this node trusts")));
    // Whoever has the certificate of one CA and trusts the other could talk to nobody.
    let started = node("server", other.node("server").tls(&ca.pem)).await;
    let error = Chain(&*started.expect_err("of no use")).to_string();
    assert!(error.contains("peers would refuse the certificate given"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_uri_is_looked_for_instead_of_the_host() -> Result {
    let ca = Ca::new("ca");
    let issue = |name: &str| {
        let uris = vec![uri(&format!("spiffe://prod.example/rakt/{name}"))];
        ca.issue(name, |params| params.subject_alt_names = uris).tls(&ca.pem)
    };
    let verify = || Verify::uri("spiffe://prod.example/rakt/*");
    let server = node("server", issue("server").verify(verify())).await?;
    assert_eq!(ping(issue("client").verify(verify()), server.advertised()).await, Ok(()));
    let heard = ping(issue("client"), server.advertised()).await.expect_err("by host");
    assert!(
        heard.contains("127.0.0.1") && heard.contains("spiffe://prod.example/rakt/server"),
        "{heard}"
    );
    let elsewhere = Verify::uri("spiffe://test.example/rakt/*");
    let heard = ping(issue("client").verify(elsewhere), server.advertised())
        .await
        .expect_err("another domain");
    assert!(heard.contains("test.example"), "{heard}");
    Ok(())
}
