//! Names in certificates stay in one line of a log, and in it nothing is obeyed or turned around: whoever issues one may
//! write into it what it likes.

use rakt::error::Chain;
use rakt::prelude::*;
#[cfg(feature = "goakt")]
use rakt::remote::GoAkt;
use rakt::remote::{Client, ClientConfig, Config, Policy, Tls, Verify};
use rcgen::{CertificateParams, CustomExtension, DnType};

use crate::certificates::{Ca, Issued};
use crate::handshake::ping;
use crate::renewal::{Add, Counter};
use crate::strangers::{Server, client, refused, server};
use crate::support::lines::{Lines, TEXTS, is_harmless};
use crate::support::within;

/// The names of a certificate as they are on the wire, which a library for issuing them would not all take.
fn raw_names(names: &[(u8, Vec<u8>)]) -> CustomExtension {
    let mut body = Vec::new();
    for (tag, name) in names {
        body.extend([0x80 | tag, u8::try_from(name.len()).expect("it is short")]);
        body.extend(name);
    }
    let [high, low] = u16::try_from(body.len()).expect("they are few").to_be_bytes();
    let mut names = match (high, low) {
        (0, ..0x80) => vec![0x30, low],
        (0, _) => vec![0x30, 0x81, low],
        _ => vec![0x30, 0x82, high, low],
    };
    names.extend(body);
    CustomExtension::from_oid_content(&[2, 5, 29, 17], names)
}

/// The text in all names that there are: of a mailbox, a host and as URIs. With `more` a peer can be dialed, or has an
/// identity.
fn named(ca: &Ca, text: &str, more: &[(u8, &str)]) -> Issued {
    let (mail, host, uri) = (1, 2, 6);
    let mut names: Vec<_> = more.iter().map(|(tag, name)| (*tag, name.as_bytes().into())).collect();
    names.extend([
        (mail, text.into()),
        (host, text.into()),
        (host, format!("{text}.example").into()),
    ]);
    for start in ["", "rakt://tests/", "spiffe://tests/"] {
        names.push((uri, format!("{start}{text}").into()));
    }
    names.push((host, b"a\xff\x1b[2J".to_vec()));
    ca.issue("stranger", |params: &mut CertificateParams| {
        params.subject_alt_names.clear();
        params.custom_extensions.push(raw_names(&names));
        params.distinguished_name.push(DnType::CommonName, text);
        params.distinguished_name.push(DnType::OrganizationName, text);
    })
}

async fn node(tls: Tls, policy: Policy) -> ActorSystem {
    let config = Config::new("127.0.0.1", 0).tls(tls).policy(policy);
    #[cfg(feature = "goakt")]
    let config = config.goakt(GoAkt::new());
    let system = ActorSystem::builder("server").remoting(config).start().await.expect("it is good");
    system.spawn("counter", Counter::default).await.expect("it starts");
    system
}

/// What a peer hears that is accepted and may do nothing, in either dialect.
async fn denied(system: &ActorSystem, tls: Tls) -> Vec<String> {
    let (host, port) = system.advertised();
    let client = Client::new("client", ClientConfig::new().tls(tls)).expect("it is valid");
    let (asked, looked_up) = {
        let actor =
            client.actor(&format!("rakt://server@{host}:{port}/counter").parse().expect("one"));
        let asked = within(actor.ask(Add { n: 1 })).await.expect_err("it may not");
        let looked_up = within(client.node(host, port).lookup::<Counter>("counter")).await;
        (asked, looked_up.expect_err("it may not"))
    };
    let mut heard = vec![Chain(&asked).to_string(), Chain(&looked_up).to_string()];
    if cfg!(feature = "goakt") {
        let address = format!("goakt://server@{host}:{port}/counter").parse().expect("one");
        let told = within(client.actor(&address).tell(Add { n: 1 }).confirmed()).await;
        heard.push(Chain(&told.expect_err("it may not")).to_string());
    }
    client.close().await;
    heard
}

#[tokio::test]
async fn names_in_certificates_stay_in_one_line() {
    let (lines, _guard) = Lines::capture();
    #[cfg(feature = "metrics")]
    let (labels, _recorder) = labels::Labels::capture();
    let ca = Ca::new("ca");
    let mut shown = Vec::new();
    for text in TEXTS {
        let here = node(ca.tls("server"), Policy::new()).await;
        let mut events = here.events();
        // It is accepted, with an identity of its own or by its fingerprint.
        for more in [&[][..], &[(2, "stranger.example")]] {
            let issued = named(&ca, text, more);
            let heard = denied(&here, issued.tls(&ca.pem)).await;
            assert!(heard.iter().all(|heard| heard.contains("denied: ")), "{heard:?}");
            shown.extend(heard);
        }
        here.shutdown().await;
        let mut count = 0;
        while let Some(event) = events.next().await {
            shown.push(format!("{event:?}"));
            count += 1;
        }
        assert!(count > 2, "{count} events");
        // It is of somebody else, or of a CA that nobody knows and that has such a name too.
        let wrong = named(&ca, text, &[(6, "spiffe://prod.example/rakt/stranger")]);
        let by_uri = |tls: Tls| tls.verify(Verify::uri("spiffe://tests/only"));
        let unknown = named(&Ca::new(text), text, &[]);
        for (issued, verify) in [(&wrong, true), (&unknown, false)] {
            let own = |name: &str| {
                let issued = ca.issue(name, |params| {
                    let only = crate::certificates::uri("spiffe://tests/only");
                    params.subject_alt_names.pop();
                    params.subject_alt_names.push(only);
                });
                let tls = issued.tls(&ca.pem);
                if verify { by_uri(tls) } else { tls }
            };
            let here = node(own("server"), Policy::open()).await;
            shown.push(refused(here.advertised().1, client(Some(issued))).await);
            here.shutdown().await;
            // And when it is dialed.
            let stranger = Server::start(server(issued, None)).await;
            let heard = ping(own("client"), ("127.0.0.1", stranger.port)).await;
            shown.push(heard.expect_err("it is not the one"));
        }
        let elsewhere = named(&ca, text, &[(2, "elsewhere.example")]);
        let stranger = Server::start(server(&elsewhere, None)).await;
        let heard =
            ping(ca.tls("client"), ("127.0.0.1", stranger.port)).await.expect_err("it is not");
        assert!(heard.contains("elsewhere.example"), "{heard}");
        shown.push(heard);
    }
    for text in shown {
        assert!(is_harmless(&text), "{text:?}");
    }
    let all = lines.all();
    assert!(all.iter().any(|line| line.contains("its names are")), "{all:#?}");
    for line in all {
        assert!(is_harmless(line.trim_end_matches('\n')), "{line:?}");
    }
    #[cfg(feature = "metrics")]
    labels.check();
}

#[cfg(feature = "metrics")]
mod labels {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder,
        SharedString, Unit,
    };

    /// What this thread has reported metrics under: names and labels.
    #[derive(Clone, Default)]
    pub(super) struct Labels(Arc<Mutex<BTreeSet<String>>>);

    impl Labels {
        pub(super) fn capture() -> (Self, LocalRecorderGuard<'static>) {
            let labels = Self::default();
            let recorder = Box::leak(Box::new(labels.clone()));
            (labels, metrics::set_default_local_recorder(recorder))
        }

        fn note(&self, key: &Key) {
            let mut all = self.0.lock().expect("no panic");
            all.insert(key.name().to_owned());
            all.extend(
                key.labels().flat_map(|label| [label.key().to_owned(), label.value().to_owned()]),
            );
        }

        /// All of them are words of rakt: what a peer has written is in none, however it is shown.
        pub(super) fn check(&self) {
            let all = self.0.lock().expect("no panic");
            assert!(all.contains("rakt_denied_total") && all.contains("ask"), "{all:?}");
            for text in &*all {
                let is_word = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'));
                assert!(is_word && text.len() <= 64, "{text:?}");
            }
        }
    }

    impl Recorder for Labels {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            self.note(key);
            Counter::noop()
        }

        fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
            self.note(key);
            Gauge::noop()
        }

        fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
            self.note(key);
            Histogram::noop()
        }
    }
}
