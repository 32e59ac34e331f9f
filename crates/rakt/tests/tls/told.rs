//! What operators read in the log of either end, and at the start of a node.

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Config, Secret, Tls};

use crate::certificates::{Ca, dns, uri};
use crate::handshake::{node, ping};
use crate::renewal::Files;
use crate::support::lines::Lines;

/// The next line of a topic, which is a warning.
async fn warning(log: &Lines, topic: &str) -> String {
    let line = log.with(topic).await;
    assert!(line.contains("WARN"), "{line}");
    line
}

#[tokio::test]
async fn a_node_that_is_refused_by_whoever_dials_it_warns() -> Result {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let (log, _guard) = Lines::capture();
    // In the handshake of TLS.
    let server = node("server", ca.tls("server")).await?;
    ping(other.tls("client"), server.advertised()).await.expect_err("another CA");
    let line = warning(&log, "a peer refuses this node").await;
    assert!(line.contains("does not trust the CA of this node's certificate"), "{line}");
    assert!(line.contains("from=127.0.0.1"), "{line}");
    // In the greeting.
    let liar = node("liar", ca.tls("server")).await?;
    ping(ca.tls("client"), liar.advertised()).await.expect_err("it is another");
    let line = warning(&log, "a peer refuses this node").await;
    assert!(line.contains(r#"certificate is for "server", the hello says "liar""#), "{line}");
    Ok(())
}

#[tokio::test]
async fn whoever_dials_warns_of_a_refusal_of_either_end() -> Result {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let (log, _guard) = Lines::capture();
    let strange = node("strange", other.tls("strange")).await?;
    ping(ca.tls("client"), strange.advertised()).await.expect_err("this end refuses");
    let line = warning(&log, "no link").await;
    assert!(line.contains("not issued by a CA that this node trusts"), "{line}");
    let both = [ca.pem.as_str(), &other.pem].concat();
    let server = node("server", ca.tls("server")).await?;
    // In the handshake, and in the greeting.
    let refused = [
        (other.node("client").tls(&both), "does not trust the CA"),
        (ca.tls("another"), r#"is for "another", the hello says "client""#),
    ];
    for (tls, why) in refused {
        ping(tls, server.advertised()).await.expect_err("the other end refuses");
        let line = warning(&log, "no link").await;
        assert!(line.contains(why), "{line}");
    }
    // That nobody is there passes by itself.
    let (host, port) = server.advertised();
    let gone = (host.to_owned(), port);
    server.shutdown().await;
    ping(ca.tls("client"), (&gone.0, gone.1)).await.expect_err("nobody is there");
    let line = log.with("no link").await;
    assert!(line.contains("INFO"), "{line}");
    Ok(())
}

#[tokio::test]
async fn another_secret_is_called_that_on_both_ends() -> Result {
    let (log, _guard) = Lines::capture();
    let (one, other) = (Secret::generate(), Secret::generate());
    const ANOTHER: &str = "it has another secret than this node: give both the same";
    let server = node("server", Tls::from_secret(one.clone())).await?;
    let heard = ping(Tls::from_secret(other.clone()), server.advertised()).await;
    let heard = heard.expect_err("another secret");
    assert!(heard.contains(ANOTHER), "{heard}");
    let line = warning(&log, "a peer refuses this node").await;
    assert!(line.contains(ANOTHER), "{line}");
    // The dialer knows both, the acceptor one: it says so only in the greeting.
    let heard = ping(Tls::from_secret(other).also_trust(one), server.advertised()).await;
    let heard = heard.expect_err("another secret");
    assert!(heard.contains(ANOTHER), "{heard}");
    let line = warning(&log, "refused a peer").await;
    assert!(line.contains(ANOTHER), "{line}");
    let heard = ping(Ca::new("ca").tls("client"), server.advertised()).await.expect_err("a CA");
    assert!(heard.contains("not issued by a CA that this node trusts"), "{heard}");
    let line = warning(&log, "a peer refuses this node").await;
    assert!(line.contains("does not go by a secret as this node does"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_node_with_the_certificate_of_another_is_told_what_to_do() -> Result {
    let (log, _guard) = Lines::capture();
    let ca = Ca::new("ca");
    let issued = |names: Vec<rcgen::SanType>| {
        ca.issue("shop", |params| params.subject_alt_names = names).tls(&ca.pem)
    };
    node("cart", issued(vec![uri("rakt://prod/shop"), dns("localhost")])).await?;
    let line = warning(&log, "peers will refuse this node").await;
    for part in [
        r#"the certificate given is for the system "shop", and this one is "cart""#,
        r#"give it a certificate for "cart", or name the system "shop""#,
    ] {
        assert!(line.contains(part), "{line}");
    }
    let config = Config::new("127.0.0.1", 0).advertised_host("shop.example");
    let config = config.tls(issued(vec![dns("localhost")]));
    ActorSystem::builder("shop").remoting(config).start().await?;
    let line = warning(&log, "peers will refuse this node").await;
    for part in ["peers are told to dial \"shop.example\"", "Config::advertised_host"] {
        assert!(line.contains(part), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_another_is_called_what_it_is() -> Result {
    let ca = Ca::new("ca");
    let files = Files::new("swapped", &ca.node("server"), &ca.pem)?;
    #[cfg(unix)]
    {
        // As a certificate mostly is: that is not what is wrong with it.
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(files.at("pem"), mode)?;
    }
    for ([certificate, key, ca], wrong, found) in [
        (["key", "pem", "ca"], "key holds no certificate in PEM", "a private key"),
        (["pem", "pem", "ca"], "pem holds no private key in PEM", "a certificate"),
        (["pem", "key", "key"], "key holds no certificate in PEM", "a private key"),
    ] {
        let tls = Tls::from_files(files.at(certificate), files.at(key), files.at(ca));
        let error = node("server", tls).await.expect_err("they are mixed up");
        let error = Chain(&*error).to_string();
        assert!(error.contains(&format!("{wrong}, but {found}: is it the right file?")), "{error}");
    }
    Ok(())
}

/// By itself, and when it is told to look.
#[tokio::test]
async fn a_renewal_is_told_with_what_has_changed() -> Result {
    let ca = Ca::new("ca");
    let (log, _guard) = Lines::capture();
    let files = Files::new("told-renewal", &ca.node("server"), &ca.pem)?;
    let server = node("server", files.tls()).await?;
    for by_itself in [true, false] {
        let next = ca.node("server");
        files.put(&next, &ca.pem)?;
        if !by_itself {
            // Whether it has looked by itself meanwhile, or does so now.
            server.reload_tls().await?;
        }
        let line = log.with("TLS is renewed").await;
        assert!(
            line.contains("INFO") && line.contains("changed=") && line.contains("server"),
            "{line}"
        );
    }
    Ok(())
}
