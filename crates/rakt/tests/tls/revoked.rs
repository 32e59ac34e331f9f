//! Lists of revoked certificates: whom they shut out, in both directions, and which are of no use.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rakt::error::Chain;
use rakt::remote::{Tls, Verify};
use rcgen::SerialNumber;

use crate::certificates::{Ca, Issued, uri};
use crate::handshake::{node, ping};
use crate::support::lines::Lines;

/// A file with a list, gone with the test.
pub(crate) struct List(PathBuf);

impl List {
    pub(crate) fn new(text: &str) -> Self {
        static LISTS: AtomicU64 = AtomicU64::new(0);
        let n = LISTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("rakt-revoked-{}-{n}.crl", std::process::id());
        let path = std::env::temp_dir().join(name);
        let list = Self(path);
        list.put(text);
        list
    }

    /// Replaces it.
    pub(crate) fn put(&self, text: &str) {
        std::fs::write(&self.0, text).expect("there is room");
    }

    pub(crate) fn of(&self, tls: Tls) -> Tls {
        tls.crl(&self.0)
    }
}

impl Drop for List {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

const DAY: Duration = Duration::from_secs(86_400);
const SERIAL: &[u8] = &[0x12, 0x34];

fn with_serial(ca: &Ca, name: &str) -> Issued {
    let names = vec![uri(&format!("spiffe://prod.example/rakt/{name}"))];
    ca.issue(name, |params| {
        params.serial_number = Some(SerialNumber::from_slice(SERIAL));
        params.subject_alt_names.retain(|name| !matches!(name, rcgen::SanType::URI(_)));
        params.subject_alt_names.extend(names);
    })
}

/// What one hears that has the certificate and meets one that has the list, and the same the other way round.
async fn refused(ca: &Ca, revoked: &Issued, list: &List, verify: &Verify) {
    let (log, _guard) = Lines::capture();
    let with_list = |name| list.of(good(ca, name)).verify(verify.clone());
    let has_list = node("has-list", with_list("has-list")).await.expect("it is not on it");
    let tls = || revoked.tls(&ca.pem).verify(verify.clone());
    let heard = ping(tls(), has_list.advertised()).await.expect_err("it was revoked");
    assert!(heard.contains("this node's certificate was revoked"), "{heard}");
    let line = log.with("refused a peer").await;
    assert!(line.contains("its certificate was revoked"), "{line}");
    let is_on_it = node("client", tls()).await.expect("it knows nothing of the list");
    let heard = ping(with_list("client"), is_on_it.advertised()).await.expect_err("it was revoked");
    assert!(heard.contains("its certificate was revoked"), "{heard}");
    let line = log.with("a peer refuses this node").await;
    assert!(line.contains("this node's certificate was revoked"), "{line}");
    // All others talk.
    let other = good(ca, "client").verify(verify.clone());
    assert_eq!(ping(other, has_list.advertised()).await, Ok(()));
}

fn good(ca: &Ca, name: &str) -> Tls {
    let names = vec![uri(&format!("spiffe://prod.example/rakt/{name}"))];
    let issued = ca.issue(name, |params| {
        params.subject_alt_names.retain(|name| !matches!(name, rcgen::SanType::URI(_)));
        params.subject_alt_names.extend(names);
    });
    issued.tls(&ca.pem)
}

fn both() -> [Verify; 2] {
    [Verify::host(), Verify::uri("spiffe://prod.example/rakt/*")]
}

#[tokio::test]
async fn a_revoked_certificate_is_refused_in_both_directions() {
    let ca = Ca::new("ca");
    let list = List::new(&ca.revokes(&[&[1], SERIAL], SystemTime::now() + DAY));
    for verify in both() {
        refused(&ca, &with_serial(&ca, "client"), &list, &verify).await;
    }
}

#[tokio::test]
async fn so_is_one_whose_ca_was_revoked() {
    let ca = Ca::new("ca");
    let between = ca.below_with("between", |params| {
        params.serial_number = Some(SerialNumber::from_slice(&[9]));
    });
    let list = List::new(&ca.revokes(&[&[9]], SystemTime::now() + DAY));
    for verify in both() {
        refused(&ca, &with_serial(&between, "client"), &list, &verify).await;
    }
}

/// Whoever keeps a node from getting a new list must not be able to bring back whom the last one has shut out; nor
/// does a list that was not renewed stop the cluster.
#[tokio::test]
async fn a_list_that_has_expired_still_counts() {
    let ca = Ca::new("ca");
    let list = List::new(&ca.revokes(&[SERIAL], SystemTime::now() - DAY));
    refused(&ca, &with_serial(&ca, "client"), &list, &Verify::host()).await;
}

#[tokio::test]
async fn a_list_of_another_ca_shuts_nobody_out() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let list = List::new(&other.revokes(&[SERIAL], SystemTime::now() + DAY));
    let server = node("server", list.of(ca.tls("server"))).await.expect("it is good");
    let client = with_serial(&ca, "client").tls(&ca.pem);
    assert_eq!(ping(client, server.advertised()).await, Ok(()));
}

#[tokio::test]
async fn a_list_that_is_none_is_refused_at_the_start() {
    let ca = Ca::new("ca");
    let pem = |text: &str| format!("-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n");
    // Signed by another CA that has taken the name of this one.
    let forged = Ca::new("ca").revokes(&[SERIAL], SystemTime::now() + DAY);
    for (text, why) in [
        (pem("MAAwADAA"), "provided CRL could not be parsed"),
        (pem("AAAA"), "provided CRL could not be parsed"),
        (pem("%%%%"), "cannot be used"),
        ("nothing".to_owned(), "holds no list of revoked certificates in PEM"),
        (forged, "no valid signature of the CA that it names"),
    ] {
        let list = List::new(&text);
        let started = node("server", list.of(ca.tls("server"))).await;
        let error = Chain(&*started.expect_err("it is no list")).to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}
