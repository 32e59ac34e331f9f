//! Checking a node that listens.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, SystemTime};

use rakt::remote::certificate::{Authority, Request};
use rakt::{ActorSystem, remote};

use crate::support::{Done, Node, Place};

const RAKT: Option<&[u8]> = Some(b"rakt/1");
const BOTH: &str = "--ca certs/ca.pem --cert certs/two.pem --key certs/two.key";

/// Two nodes of one authority in `certs`, and one of another in `other`.
fn place(test: &str) -> Place {
    let place = Place::new(test);
    place.ok("cert dev one two");
    place.ok("cert dev stranger --dir other");
    place
}

fn check(place: &Place, node: SocketAddr, options: &str) -> Done {
    place.rakt(&format!("cert check {node} {options}"))
}

#[track_caller]
fn refused(done: &Done, reason: &str, mend: &str) {
    let verdict = done.out.find("no: ").map_or("", |at| &done.out[at..]);
    assert!(done.code == 1 && verdict.contains(reason), "{reason} is not in {done:?}");
    assert!(verdict.contains("mend: ") && verdict.contains(mend), "{mend} is not in {done:?}");
}

#[test]
fn nodes_of_one_authority_accept_each_other() {
    let place = place("accepted");
    let node =
        Node { place: &place, certificate: "certs/one", clients: Some("certs/ca"), protocol: RAKT };
    let done = check(&place, node.start(), BOTH);
    assert_eq!(done.code, 0, "{done:?}");
    for part in [
        "CN=one",
        "is accepted as rakt://dev/one, for 90 days more",
        "it accepts certs/two.pem as rakt://dev/two",
        "it greets as the system \"one\", reached by 127.0.0.1:",
    ] {
        assert!(done.out.contains(part), "{part} is not in {done:?}");
    }
}

#[test]
fn a_node_that_asks_for_no_certificate_is_told() {
    let place = place("anonymous");
    let node = Node { place: &place, certificate: "certs/one", clients: None, protocol: RAKT };
    let done = check(&place, node.start(), "--ca certs/ca.pem");
    assert!(done.code == 0 && done.out.contains("asks clients for no certificate"), "{done:?}");
}

#[test]
fn a_client_without_a_certificate_or_of_another_authority_is_refused() {
    let place = place("clients");
    let node =
        Node { place: &place, certificate: "certs/one", clients: Some("certs/ca"), protocol: RAKT };
    let node = node.start();
    refused(&check(&place, node, "--ca certs/ca.pem"), "asks for a certificate", "--cert FILE");
    let stranger = "--ca certs/ca.pem --cert other/stranger.pem --key other/stranger.key";
    refused(&check(&place, node, stranger), "does not trust the authority", "that authority too");
    let mixed = check(&place, node, "--ca certs/ca.pem --cert certs/two.pem --key certs/one.key");
    assert!(
        mixed.code == 1 && mixed.err.contains("certs/one.key is not the key of certs/two.pem"),
        "{mixed:?}"
    );
}

#[test]
fn a_node_of_another_authority_is_not_accepted() {
    let place = place("authority");
    let node = Node { place: &place, certificate: "other/stranger", clients: None, protocol: RAKT };
    let done = check(&place, node.start(), BOTH);
    refused(&done, "does not come from the authority of certs/ca.pem", "give --ca");
    assert!(done.out.contains("CN=stranger"), "{done:?}");
}

#[test]
fn a_node_that_is_dialed_by_another_name_is_not_accepted() {
    let place = place("names");
    place.ok("cert node shop-1 --host shop-1.example --dir certs");
    let node = Node { place: &place, certificate: "certs/shop-1", clients: None, protocol: RAKT };
    let node = node.start();
    let done = check(&place, node, "--ca certs/ca.pem");
    refused(
        &done,
        "is not for \"127.0.0.1\": its names are dns:shop-1.example",
        "--host 127.0.0.1",
    );
    let named = check(&place, node, "--ca certs/ca.pem --server-name shop-1.example");
    assert_eq!(named.code, 0, "{named:?}");
}

#[test]
fn a_certificate_of_another_time_is_not_accepted() {
    let place = place("time");
    let day = Duration::from_secs(24 * 60 * 60);
    let authority = Authority::from_pem(&place.read("certs/ca.pem"), &place.read("certs/ca.key"));
    let authority = authority.expect("an authority");
    let issue = |name: &str, start| {
        let request = Request::new(name).host("127.0.0.1").valid_from(start).life(day);
        let issued = authority.issue(&request).expect("a certificate");
        let path = |kind| place.path(&format!("{name}.{kind}"));
        issued.write_new(path("pem"), path("key")).expect("files");
        let node = Node { place: &place, certificate: name, clients: None, protocol: RAKT };
        check(&place, node.start(), "--ca certs/ca.pem")
    };
    let ended = issue("ended", SystemTime::now() - 3 * day);
    refused(&ended, "has ended on ", "issue a new one");
    assert!(ended.out.contains("(ended 2 days ago)"), "{ended:?}");
    refused(&issue("later", SystemTime::now() + day), "not valid yet", "clocks");
}

#[test]
fn another_protocol_is_told_apart() {
    let place = place("protocols");
    let node = |protocol| {
        Node { place: &place, certificate: "certs/one", clients: None, protocol }.start()
    };
    refused(
        &check(&place, node(Some(b"h2")), BOTH),
        "does not speak rakt/1",
        "the port of the node",
    );
    let go = node(None);
    refused(&check(&place, go, BOTH), "does not name the protocol", "--goakt");
    let done = check(&place, go, &format!("{BOTH} --goakt"));
    assert_eq!(done.code, 0, "{done:?}");
}

#[test]
fn a_port_where_nobody_listens_or_no_tls_is_spoken_is_told() {
    let place = place("ports");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = listener.local_addr().expect("an address");
    drop(listener);
    let done = check(&place, nobody, BOTH);
    assert!(done.code == 1 && done.err.contains("cannot be reached"), "{done:?}");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let http = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    refused(&check(&place, http, BOTH), "does not speak TLS", "the port of the node");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_tls_is_known_as_one() -> rakt::Result {
    let place = place("plain");
    let config = remote::Config::new("127.0.0.1", 0);
    let done = checked(place, config, |place, node| check(place, node, BOTH)).await?;
    refused(&done, "this node speaks plain rakt, no TLS", "Config::tls");
    Ok(())
}

/// It is greeted as by a peer, so that there is nothing puzzling in its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_tls_takes_the_check_for_a_peer() -> rakt::Result {
    let place = place("plain-greeted");
    let config = remote::Config::new("127.0.0.1", 0);
    let system = ActorSystem::builder("one").remoting(config).start().await?;
    let mut events = system.events();
    let node = SocketAddr::from(([127, 0, 0, 1], system.advertised().1));
    tokio::task::spawn_blocking(move || check(&place, node, BOTH)).await?;
    system.shutdown().await;
    let mut peers = Vec::new();
    while let Some(event) = events.next().await {
        if let rakt::Event::LinkUp { peer } = event {
            peers.push(peer);
        }
    }
    assert!(matches!(&peers[..], [peer] if peer.starts_with("two@")), "{peers:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_refused_that_says_of_itself_what_its_certificate_does_not() -> rakt::Result {
    let tls = |place: &Place, name: &str| {
        let file = |kind: &str| place.path(&format!("certs/{name}.{kind}"));
        remote::Tls::from_files(file("pem"), file("key"), place.path("certs/ca.pem"))
    };
    let place = place("another-system");
    let config = remote::Config::new("127.0.0.1", 0).tls(tls(&place, "two"));
    let done = checked(place, config, |place, node| check(place, node, BOTH)).await?;
    let reason = "as the system \"one\", and its certificate is for the system \"two\"";
    refused(&done, reason, "or name its system \"two\"");
    let place = self::place("advertised");
    let config = remote::Config::new("127.0.0.1", 0).tls(tls(&place, "one"));
    let config = config.advertised_host("shop.example");
    let all = checked(place, config, |place, node| {
        [BOTH, "--ca certs/ca.pem --cert certs/two.pem --key certs/two.key --server-name localhost"]
            .map(|options| check(place, node, options))
    });
    for done in all.await? {
        refused(&done, "it is reached by \"shop.example\"", "--host shop.example");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_rakt_with_tls_says_the_same_as_the_checks() -> rakt::Result {
    let place = place("rakt");
    let file = |name: &str| place.path(&format!("certs/{name}"));
    let tls = remote::Tls::from_files(file("one.pem"), file("one.key"), file("ca.pem"));
    let config = remote::Config::new("127.0.0.1", 0).tls(tls);
    let all = checked(place, config, |place, node| {
        let stranger = "--ca certs/ca.pem --cert other/stranger.pem --key other/stranger.key";
        [BOTH, "--ca certs/ca.pem", stranger].map(|options| check(place, node, options))
    });
    let [accepted, anonymous, stranger] = all.await?;
    assert!(
        accepted.code == 0 && accepted.out.contains("certs/two.pem as rakt://dev/two"),
        "{accepted:?}"
    );
    refused(&anonymous, "asks for a certificate", "--cert FILE");
    refused(&stranger, "does not trust the authority", "that authority too");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_secret_is_checked_by_the_secret_and_by_files_of_it() -> rakt::Result {
    let place = place("with-secret");
    let text = place.ok("secret new");
    place.write("secret", &text);
    place.write("other-secret", &place.ok("secret new"));
    place.ok("cert from-secret go --secret-file secret --dir of-secret");
    let config = remote::Config::new("127.0.0.1", 0).tls(remote::Tls::from_secret(text.parse()?));
    let all = checked(place, config, move |place, node| {
        let files = "--ca of-secret/ca.pem --cert of-secret/go.pem --key of-secret/go.key --server-name rakt.internal";
        let done = ["--secret-file secret", files, "--secret-file other-secret"]
            .map(|options| check(place, node, options));
        let by_variable = place.rakt_with(&format!("cert check {node}"), "", Some(&text));
        (done, by_variable)
    });
    let ([secret, files, other], by_variable) = all.await?;
    assert_eq!((by_variable.code, &by_variable.out), (0, &secret.out), "{by_variable:?}");
    let identity = secret.out.lines().last().and_then(|line| line.rsplit(' ').next());
    let as_files = format!("it accepts of-secret/go.pem as {}", identity.expect("one"));
    assert!(secret.code == 0 && secret.out.contains("accepted as secret:"), "{secret:?}");
    assert!(secret.out.contains("accepts a holder of the secret as secret:"), "{secret:?}");
    assert!(files.code == 0 && files.out.contains(&as_files), "{files:?}");
    refused(&other, "the node has another secret", "give the node this secret");
    Ok(())
}

/// Checks a node of rakt that runs for as long.
async fn checked<T: Send + 'static>(
    place: Place,
    config: remote::Config,
    check: impl FnOnce(&Place, SocketAddr) -> T + Send + 'static,
) -> rakt::Result<T> {
    let system = ActorSystem::builder("one").remoting(config).start().await?;
    let node = SocketAddr::from(([127, 0, 0, 1], system.advertised().1));
    let found = tokio::task::spawn_blocking(move || check(&place, node)).await?;
    system.shutdown().await;
    Ok(found)
}
