//! Certificates that nobody should accept, shown by whoever connects and by whoever is dialed: each is refused with a
//! reason of its own, and both ends are told.

use std::time::{Duration, SystemTime};

use rakt::remote::Tls;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyPair, NameConstraints, PublicKeyData,
};

use crate::certificates::{Ca, Issued, dns, uri};
use crate::handshake::{node, ping};
use crate::strangers::{Server, client, refused, server};
use crate::support::lines::Lines;

/// How it is to be with a certificate.
struct Case {
    what: &'static str,
    issued: Issued,
    /// The name by which its owner is dialed, if not its address.
    dialed: Option<&'static str>,
    /// What is told of one that connects and shows it; `None` if it is taken.
    as_client: Option<&'static str>,
    /// What one that dials is told; `None` if it gets as far as the greeting.
    as_server: Option<&'static str>,
    /// What the peer hears, as an alert.
    alert: &'static str,
}

fn case(what: &'static str, issued: Issued, why: &'static str, alert: &'static str) -> Case {
    Case { what, issued, dialed: None, as_client: Some(why), as_server: Some(why), alert }
}

impl Case {
    fn dialed_as(self, name: &'static str) -> Self {
        Self { dialed: Some(name), ..self }
    }

    /// Whoever connects may have any name, or any purpose but this one.
    fn but_clients_are_taken(self) -> Self {
        Self { as_client: None, ..self }
    }

    fn but_servers_are_taken(self) -> Self {
        Self { as_server: None, ..self }
    }

    async fn run(self, ca: &Ca) {
        let (what, (log, _guard)) = (self.what, Lines::capture());
        let node = node("server", ca.tls("server")).await.expect("it is a good one");
        if let Some(why) = self.as_client {
            let heard = refused(node.advertised().1, client(Some(&self.issued))).await;
            assert!(heard.contains(self.alert), "{what}: {heard}");
            let line = log.with("refused a peer").await;
            assert!(line.contains(why) && line.contains("from=127.0.0.1"), "{what}: {line}");
            assert!(line.len() < 1000, "{what}: a line of {} bytes", line.len());
        }
        let stranger = Server::start(server(&self.issued, None)).await;
        let mut tls = ca.tls("client");
        if let Some(name) = self.dialed {
            tls = tls.server_name("127.0.0.1", name);
        }
        let heard = ping(tls, ("127.0.0.1", stranger.port)).await.expect_err("it is no node");
        // What has shaken hands leaves before it greets.
        let why = self.as_server.unwrap_or("the peer left without a word");
        assert!(heard.contains(why), "{what}: {heard}");
        assert!(heard.len() < 1000, "{what}: a text of {} bytes", heard.len());
        assert!(!heard.contains(char::is_control), "{what}: {heard:?}");
        node.shutdown().await;
    }
}

const BEFORE: Duration = Duration::from_secs(2 * 3600 + 60);

fn expired(params: &mut CertificateParams) {
    params.not_before = (SystemTime::now() - 2 * BEFORE).into();
    params.not_after = (SystemTime::now() - BEFORE).into();
}

fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = (SystemTime::now() + BEFORE).into();
}

#[tokio::test]
async fn a_time_or_a_purpose_that_is_not_right_is_named() {
    let ca = Ca::new("ca");
    let only = |purpose| ca.issue("node", |params| params.extended_key_usages = vec![purpose]);
    let (as_server, as_client) =
        (only(ExtendedKeyUsagePurpose::ServerAuth), only(ExtendedKeyUsagePurpose::ClientAuth));
    let mail = only(ExtendedKeyUsagePurpose::EmailProtection);
    let cases = [
        case("expired", ca.issue("node", expired), "has expired 2 h ago", "CertificateExpired"),
        case(
            "not yet valid",
            ca.issue("node", not_yet_valid),
            "not valid before 2 h from now",
            "CertificateExpired",
        ),
        case(
            "for servers only",
            as_server,
            "is not for client authentication: a node's needs both",
            "UnsupportedCertificate",
        )
        .but_servers_are_taken(),
        case(
            "for clients only",
            as_client,
            "is not for server authentication: a node's needs both",
            "UnsupportedCertificate",
        )
        .but_clients_are_taken(),
        case("for mail", mail, "authentication: a node's needs both", "UnsupportedCertificate"),
    ];
    for case in cases {
        case.run(&ca).await;
    }
}

#[tokio::test]
async fn a_chain_that_does_not_lead_to_the_ca_is_refused() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    const OTHER: &str = "not issued by a CA that this node trusts";
    let (between, mut deep) = (ca.below("between"), ca.below("1"));
    for n in 2..10 {
        deep = deep.below(&n.to_string());
    }
    let mut headless = between.node("node");
    headless.certificate = first(&headless.certificate);
    // One of the same name, whose key is another: neither it nor what it has issued is of the CA.
    let namesake = Ca::new("ca");
    let flat = ca.below_with("flat", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let no_ca = ca.below_with("node", |params| params.is_ca = IsCa::NoCa);
    let mut long = ca.node("node");
    let rest = &other.pem;
    long.certificate.extend(std::iter::repeat_n(rest.as_str(), 48 * 1024 / 400));
    let mut longer = ca.node("node");
    longer.certificate.extend(std::iter::repeat_n(rest.as_str(), 80 * 1024 / 300));
    let cases = [
        case("of another CA", other.node("node"), OTHER, "UnknownCA"),
        case("without its intermediate", headless, OTHER, "UnknownCA"),
        case(
            "of a namesake",
            namesake.node("node"),
            "has the name of one that this node trusts, and another key",
            "DecryptError",
        ),
        case(
            "of ten CAs",
            deep.node("node"),
            "a chain of 10 certificates; 5 are the limit",
            "CertificateUnknown",
        ),
        case(
            "of a CA that may have none below",
            flat.below("below").node("node"),
            "may not issue CAs so far below",
            "CertificateUnknown",
        ),
        case("that of the CA", ca.as_leaf(), "is that of a CA", "CertificateUnknown"),
        case("that of one below", between.as_leaf(), "is that of a CA", "CertificateUnknown"),
        case(
            "issued by what is no CA",
            no_ca.node("node"),
            "was issued with a certificate that is not that of a CA",
            "CertificateUnknown",
        ),
        case("48 KiB", long, "a chain of", "CertificateUnknown"),
        case("more than 64 KiB", longer, "64 KiB", ""),
    ];
    for case in cases {
        case.run(&ca).await;
    }
    // What is as it should be.
    let server = node("server", between.node("server").tls(&ca.pem)).await.expect("it is good");
    assert_eq!(ping(ca.tls("client"), server.advertised()).await, Ok(()));
}

fn first(chain: &str) -> String {
    let end = chain.find("-----END CERTIFICATE-----").expect("a certificate") + 26;
    chain[..end].to_owned()
}

#[tokio::test]
async fn what_a_name_stands_for_is_not_stretched() {
    let ca = Ca::new("ca");
    let named =
        |names: Vec<rcgen::SanType>| ca.issue("node", |params| params.subject_alt_names = names);
    let raw = |names: &[(u8, &[u8])]| {
        let san = subject_alt_name(names);
        ca.issue("node", |params| {
            params.subject_alt_names.clear();
            params.custom_extensions.push(san);
        })
    };
    let wrong = |what, issued, why| case(what, issued, why, "").but_clients_are_taken();
    let inside = |change: fn(&mut NameConstraints)| {
        ca.below_with("constrained", |params| {
            let mut constraints =
                NameConstraints { permitted_subtrees: vec![], excluded_subtrees: vec![] };
            change(&mut constraints);
            params.name_constraints = Some(constraints);
        })
    };
    let permitted = inside(|constraints| {
        constraints.permitted_subtrees.push(GeneralSubtree::DnsName("inside.test".into()));
    });
    let excluded = inside(|constraints| {
        constraints.excluded_subtrees.push(GeneralSubtree::DnsName("localhost".into()));
    });
    const CONSTRAINED: &str = "names that its CA may not give";
    let cases = [
        wrong(
            "another name",
            named(vec![dns("other.test")]),
            "not for the IP address 127.0.0.1, by which it was dialed, but for other.test",
        ),
        wrong("no name", named(vec![]), "but for no name at all"),
        wrong("a wildcard of one label", named(vec![dns("*.a.test")]), "not for \"x.y.a.test\"")
            .dialed_as("x.y.a.test"),
        wrong("a wildcard of all", named(vec![dns("*")]), "not for \"a\"").dialed_as("a"),
        wrong("a wildcard in the middle", named(vec![dns("x.*.test")]), "not for \"x.a.test\"")
            .dialed_as("x.a.test"),
        wrong("an address as the name of a host", named(vec![dns("127.0.0.1")]), "127.0.0.1"),
        wrong("a URI", named(vec![uri("rakt://tests/node")]), "not for the IP address"),
        wrong("a NUL", raw(&[(2, b"localhost\0.evil.test")]), "not for \"localhost\"")
            .dialed_as("localhost"),
        wrong("four letters for an address", raw(&[(7, b"1270")]), "not for the IP address"),
        wrong("a line break", raw(&[(6, b"rakt://a/b\nWARN c")]), "but for rakt://a/b\\nWARN c"),
        case(
            "outside of what is permitted",
            permitted.node("node"),
            CONSTRAINED,
            "CertificateUnknown",
        ),
        case("in what is excluded", excluded.node("node"), CONSTRAINED, "CertificateUnknown"),
    ];
    for case in cases {
        case.run(&ca).await;
    }
    let many = (0..2000).map(|n| dns(&format!("n{n}.test"))).collect();
    wrong("2000 names", named(many), "and 1992 more").run(&ca).await;
    // Hosts have no case.
    let server = node("server", named(vec![dns("LOCALHOST"), uri("rakt://a/server")]).tls(&ca.pem));
    let server = server.await.expect("it is good");
    let tls = ca.tls("client").server_name("127.0.0.1", "localhost");
    assert_eq!(ping(tls, server.advertised()).await, Ok(()));
}

/// The extension with names of any kind and form.
fn subject_alt_name(names: &[(u8, &[u8])]) -> CustomExtension {
    let mut inner = Vec::new();
    for (kind, name) in names {
        inner.extend([0x80 | kind, name.len() as u8]);
        inner.extend_from_slice(name);
    }
    let mut outer = vec![0x30, inner.len() as u8];
    outer.append(&mut inner);
    CustomExtension::from_oid_content(&[2, 5, 29, 17], outer)
}

/// A public key that nobody can have.
struct Garbage(&'static rcgen::SignatureAlgorithm, Vec<u8>);

impl PublicKeyData for Garbage {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0
    }
}

#[tokio::test]
async fn a_key_that_is_no_key_or_a_weak_one_ends_nothing_but_the_handshake() {
    let ca = Ca::new("ca");
    let key = KeyPair::generate().expect("a key");
    let algorithms =
        [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256];
    for algorithm in algorithms {
        for garbage in [vec![], vec![0; 32], vec![4; 65], vec![0xff; 8192]] {
            let public = Garbage(algorithm, garbage);
            let issued = ca.issue_to(&public, &key, "node", |_| {});
            case("no key", issued, "has not proven that it holds the key", "").run(&ca).await;
        }
    }
    // The key of another certificate.
    let mut stolen = ca.node("node");
    stolen.key = ca.node("thief").key;
    case("a stolen certificate", stolen, "has not proven that it holds the key", "").run(&ca).await;
    for algorithm in [&rcgen::PKCS_ED25519, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let server = ca.issue_to(&key, &key, "server", |_| {}).tls(&ca.pem);
        let server = node("server", server).await.expect("it is good");
        assert_eq!(ping(ca.tls("client"), server.advertised()).await, Ok(()));
    }
}

const WEAK_CA: &str = include_str!("weak/ca.pem");
const WEAK_KEY: &str = include_str!("weak/rsa1024.key");

/// Its certificates were made by hand: what makes certificates here makes no such keys.
#[tokio::test]
async fn keys_of_rsa_with_1024_bits_sign_nothing() {
    let ca = Ca::new("ca");
    let roots = format!("{}{WEAK_CA}", ca.pem);
    let weak = Issued {
        certificate: include_str!("weak/leaf.pem").to_owned(),
        key: include_str!("weak/leaf.key").to_owned(),
    };
    let (log, _guard) = Lines::capture();
    let server = node("server", ca.node("server").tls(&roots)).await.expect("it is good");
    let heard = refused(server.advertised().1, client(Some(&weak))).await;
    assert!(heard.contains("DecryptError"), "{heard}");
    let line = log.with("refused a peer").await;
    assert!(line.contains("those of RSA need 2048 bits"), "{line}");
    let own = node("weak", Tls::from_pem(&ca.node("weak").certificate, WEAK_KEY, &ca.pem)).await;
    let error = rakt::error::Chain(&*own.expect_err("it is weak")).to_string();
    assert!(error.contains("the key given cannot be used"), "{error}");
    let own = node("weak", weak.tls(WEAK_CA)).await.expect_err("it is of a weak CA");
    let error = rakt::error::Chain(&*own).to_string();
    assert!(error.contains("peers would refuse the certificate given"), "{error}");
}

#[tokio::test]
async fn whoever_shows_nothing_is_told_what_is_asked_for() {
    let (ca, (log, _guard)) = (Ca::new("ca"), Lines::capture());
    let server = node("server", ca.tls("server")).await.expect("it is good");
    // With an empty message where the certificate belongs, as rustls does that has none.
    let heard = refused(server.advertised().1, client(None)).await;
    assert!(heard.contains("CertificateRequired"), "{heard}");
    let line = log.with("refused a peer").await;
    assert!(line.contains("it has shown no certificate"), "{line}");
    assert!(line.contains("`Tls::allow_anonymous_clients`"), "{line}");
}
