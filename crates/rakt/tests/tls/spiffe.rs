//! Identities of SPIFFE: whom `Verify::uri` accepts, in both directions.

use rakt::remote::Verify;
use rcgen::SanType;

use crate::certificates::{Ca, dns, uri};
use crate::handshake::{node, ping};
use crate::strangers::{Server, client, refused, server};
use crate::support::lines::Lines;

#[tokio::test]
async fn one_uri_of_the_trust_domain_is_what_it_takes() {
    let ca = Ca::new("ca");
    let named = |names: Vec<SanType>| ca.issue("node", |params| params.subject_alt_names = names);
    let own = |name: &str| {
        let issued = named(vec![uri(&format!("spiffe://prod.example/rakt/{name}"))]);
        issued.tls(&ca.pem).verify(Verify::uri("spiffe://prod.example/rakt/*"))
    };
    let (log, _guard) = Lines::capture();
    let here = node("server", own("server")).await.expect("it is good");
    let good = "spiffe://prod.example/rakt/client";
    let wrong = [
        ("another trust domain", vec![uri("spiffe://test.example/rakt/client")]),
        ("one that begins alike", vec![uri("spiffe://prod.example.evil/rakt/client")]),
        ("one with a user", vec![uri("spiffe://prod.example@evil/rakt/client")]),
        ("another path", vec![uri("spiffe://prod.example/web/client")]),
        ("a longer path", vec![uri("spiffe://prod.example/rakt/client/root")]),
        ("a way out of the path", vec![uri("spiffe://prod.example/rakt/../client")]),
        ("another case", vec![uri("spiffe://PROD.example/rakt/client")]),
        ("two identities", vec![uri(good), uri("spiffe://prod.example/rakt/server")]),
        ("a second URI of any kind", vec![uri(good), uri("https://prod.example/")]),
        ("a second URI that is no URL", vec![uri(good), uri("urn:uuid:1")]),
        ("the same as the name of a host", vec![dns("spiffe.prod.example")]),
        ("no name", vec![]),
    ];
    for (what, names) in wrong {
        let issued = named(names);
        // Each has lines of its own, which are limited.
        let here = node("server", own("server")).await.expect("it is good");
        let heard = refused(here.advertised().1, client(Some(&issued))).await;
        assert!(heard.contains("CertificateUnknown"), "{what}: {heard}");
        let line = log.with("refused a peer").await;
        assert!(
            line.contains("its certificate is of somebody else: its names are"),
            "{what}: {line}"
        );
        assert!(line.contains("spiffe://prod.example/rakt/*"), "{what}: {line}");
        let stranger = Server::start(server(&issued, None)).await;
        let heard = ping(own("client"), ("127.0.0.1", stranger.port)).await.expect_err(what);
        assert!(heard.contains("its certificate is of somebody else"), "{what}: {heard}");
    }
    // Whose it is says the name of the system, whatever its hello says.
    let heard = ping(own("another"), here.advertised()).await.expect_err("it calls itself client");
    assert!(heard.contains("is for \"another\", the hello says \"client\""), "{heard}");
    assert_eq!(ping(own("client"), here.advertised()).await, Ok(()));
}
