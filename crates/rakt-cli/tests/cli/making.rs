//! Making certificates and secrets.

use crate::support::{Done, Place};

#[test]
fn two_nodes_for_development_take_one_command() {
    let place = Place::new("dev");
    let out = place.ok("cert dev one two --host dev.example --also goakt.internal");
    for line in [
        ".tls(Tls::from_files(\"certs/one.pem\", \"certs/one.key\", \"certs/ca.pem\"));",
        "ActorSystem::builder(\"one\").remoting(remoting).start().await?;",
        ".tls(Tls::from_files(\"certs/two.pem\", \"certs/two.key\", \"certs/ca.pem\"));",
        "ActorSystem::builder(\"two\").remoting(remoting).start().await?;",
        "tls.RequireAndVerifyClientCert",
        "\"goakt.internal\", // in the certificates of all nodes",
    ] {
        assert!(out.contains(line), "{line} is not in\n{out}");
    }
    let shown = place.ok("cert show certs/one.pem");
    let names =
        "rakt://dev/one, dns:dev.example, dns:goakt.internal, dns:localhost, ip:127.0.0.1, ip:::1";
    for part in [
        "certificate 1 of 1",
        "CN=one",
        names,
        "(90 days left)",
        "CN=rakt development",
        "server, client",
        "ECDSA, P-256",
    ] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    assert!(place.ok("cert show certs/ca.pem").contains("an authority"));
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("modes");
    place.ok("cert dev one");
    place.ok("cert node two --host two.example --dir certs");
    place.rakt_with(
        "cert from-secret three --host three.example --dir other",
        "",
        Some(&secret(&place)),
    );
    for file in ["certs/ca.key", "certs/one.key", "certs/two.key", "other/three.key"] {
        let mode = std::fs::metadata(place.path(file)).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[test]
fn no_key_is_overwritten_and_an_authority_is_used_again() {
    let place = Place::new("again");
    place.ok("cert dev one");
    let (authority, key) = (place.read("certs/ca.pem"), place.read("certs/one.key"));
    let Done { code, err, .. } = place.rakt("cert node one --host one.example --dir certs");
    assert!(code == 1 && err.contains("one.pem is there already"), "{code} {err}");
    let out = place.ok("cert dev new one --host one.example --host 127.0.0.1");
    assert!(
        out.contains("new: certs/new.pem and certs/new.key\n"),
        "what is missing is made: {out}"
    );
    assert!(out.contains("one: certs/one.pem was there, and is as it was: 90 days left"), "{out}");
    assert!(out.contains("it is not for one.example: remove it and its key"), "{out}");
    assert!(
        place
            .ok("cert show certs/new.pem")
            .contains("dns:one.example, dns:localhost, ip:127.0.0.1, ip:::1\n")
    );
    assert_eq!(place.read("certs/one.key"), key);
    std::fs::remove_file(place.path("certs/one.pem")).expect("it was there");
    let Done { code, err, .. } = place.rakt("cert dev one");
    assert!(code == 1 && err.contains("one.key is there already"), "{code} {err}");
    place.ok("cert dev two");
    assert_eq!((place.read("certs/ca.pem"), place.read("certs/one.key")), (authority, key));
}

#[test]
fn a_node_has_the_names_and_the_life_that_were_asked_for() {
    let place = Place::new("node");
    place.ok("cert dev one");
    place.ok("cert node shop-1 --host shop-1.example --host 10.0.0.8 --uri spiffe://prod.example/rakt/shop-1 --days 7");
    let shown = place.ok("cert show shop-1.pem");
    for part in
        ["spiffe://prod.example/rakt/shop-1, dns:shop-1.example, ip:10.0.0.8\n", "(7 days left)"]
    {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
}

#[test]
fn a_fault_names_what_is_wrong_and_a_senseless_line_is_another_code() {
    let place = Place::new("faults");
    place.ok("cert dev one");
    for (line, code, text) in [
        ("cert node a --host http://a", 1, "\"http://a\" is neither a DNS name nor an IP address"),
        ("cert node a --uri nothing", 1, "\"nothing\" is no URI"),
        ("cert node a", 1, "would name no host and no URI"),
        ("cert node a --host a --days 5000", 1, "ask for a shorter life"),
        ("cert node a --host a --ca nowhere.pem", 1, "nowhere.pem cannot be read"),
        ("cert node a --host a --ca-key certs/one.key", 1, "the key is not that of the authority"),
        ("cert node a --host a --ca certs/one.pem --ca-key certs/one.key", 1, "is a node's"),
        ("cert show certs/one.key", 1, "mend: it is a private key, which is not shown"),
        ("cert show nowhere", 1, "nowhere cannot be read"),
        ("cert show", 2, "required"),
        ("cert from-secret a --host a", 1, "mend: put the secret into a file"),
        ("cert from-secret a --host a", 1, "variable RAKT_SECRET is not set"),
        (
            "cert from-secret a --host a --secret-file certs/one.pem",
            1,
            "certs/one.pem cannot be used: this is not a secret",
        ),
        (
            "cert check a:1 --ca certs/ca.pem --cert certs/one.pem --key certs/ca.pem",
            1,
            "mend: it is a certificate: give the key",
        ),
        (
            "cert check a:1 --ca certs/ca.pem --cert certs/one.pem --key certs/ca.key",
            1,
            "certs/ca.key is not the key of certs/one.pem\nmend: give the two files",
        ),
        ("cert check a:1", 1, "mend: give --ca FILE or --secret-file FILE, or set RAKT_SECRET"),
        ("secret new --out certs/one.pem", 1, "certs/one.pem is there already"),
        ("secret new --out nowhere/secret", 1, "nowhere/secret cannot be written"),
        ("cert dev ../one", 2, "files are named after it"),
        ("cert dev", 2, "required"),
        ("cert check nowhere --ca certs/ca.pem", 2, "a port is missing"),
        ("cert check https://a:1 --ca certs/ca.pem", 2, "the host and the port alone"),
        ("cert check a:1 --cert certs/one.pem --key certs/one.key", 2, "--ca"),
        ("cert check ::1:3321 --ca certs/ca.pem", 2, "brackets"),
        ("cert check a:1 --ca certs/ca.pem --cert certs/one.pem", 2, "--key"),
        ("nonsense", 2, "unrecognized"),
    ] {
        let done = place.rakt(line);
        assert!(done.code == code && done.err.contains(text), "rakt {line}: {done:?}");
        assert_eq!(done.out, "", "rakt {line}");
    }
}

#[test]
fn several_files_are_shown_and_what_is_none_is_told() {
    let place = Place::new("several");
    place.ok("cert dev one two");
    let shown = place.ok("cert show certs/one.pem certs/ca.pem");
    assert!(shown.contains("certs/one.pem, certificate 1 of 1"), "{shown}");
    assert!(shown.contains("certs/ca.pem, certificate 1 of 1"), "{shown}");
    let mixed = place.rakt("cert show nowhere certs/one.key certs/two.pem");
    assert!(
        mixed.code == 1 && mixed.out.contains("certs/two.pem, certificate 1 of 1"),
        "{mixed:?}"
    );
    for part in ["nowhere cannot be read", "error: there is no certificate in certs/one.key"] {
        assert!(mixed.err.contains(part), "{mixed:?}");
    }
}

#[test]
fn a_secret_in_a_file_is_shown_to_nobody() {
    let place = Place::new("secret-file");
    let done = place.ok("secret new --out rakt.secret");
    let secret = place.read("rakt.secret");
    assert!(secret.starts_with("rk1-") && secret.trim().len() == 56, "{secret}");
    assert!(done.contains("rakt.secret") && !done.contains(&secret[4..12]), "{done}");
    place.ok("cert from-secret go --host go.example --secret-file rakt.secret");
    let again = place.rakt("secret new --out rakt.secret");
    assert!(again.code == 1 && again.err.contains("is there already"), "{again:?}");
    assert_eq!(place.read("rakt.secret"), secret);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            std::fs::metadata(place.path("rakt.secret")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn what_is_damaged_is_told_and_no_key_is_shown() {
    let place = Place::new("damaged");
    place.ok("cert dev one");
    let (pem, key) = (place.read("certs/one.pem"), place.read("certs/one.key"));
    place.write("half.pem", &pem[..pem.len() / 2]);
    place.write("half.key", &key[..key.len() / 2]);
    let shown = place.rakt("cert show half.pem");
    assert!(shown.code == 1 && shown.err.contains("half.pem is damaged"), "{shown:?}");
    let made = place.rakt("cert node a --host a --ca-key half.key");
    let line = key.lines().nth(1).expect("a line of the key");
    assert!(
        made.code == 1 && made.err.contains("openssl pkcs8") && !made.err.contains(&line[..20]),
        "{made:?}"
    );
}

fn secret(place: &Place) -> String {
    place.ok("secret new").trim().to_owned()
}

#[test]
fn a_secret_gives_go_nodes_their_files_and_is_taken_from_no_argument() {
    let place = Place::new("secret");
    let text = secret(&place);
    assert!(text.starts_with("rk1-") && text.len() == 56, "{text}");
    assert_ne!(text, secret(&place));
    place.write("secret", &format!("{text}\n"));
    for (name, line, input, variable) in [
        ("file", "--secret-file secret", "", None),
        ("input", "--secret-file -", text.as_str(), None),
        ("variable", "", "", Some(text.as_str())),
    ] {
        let line = format!("cert from-secret {name} --host {name}.example {line}");
        let done = place.rakt_with(&line, input, variable);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{line}");
        assert!(done.out.contains("\"rakt.internal\", // in the cert"), "{}", done.out);
        assert!(!done.out.contains(&text[4..]), "{}", done.out);
        let shown = place.ok(&format!("cert show certs/{name}.pem"));
        assert!(
            shown.contains("CN=rakt secret")
                && shown.contains(&format!("dns:{name}.example, dns:rakt.internal")),
            "{shown}"
        );
    }
    // The same on each machine.
    let trusted = place.read("certs/ca.pem");
    let again = place.rakt_with("cert from-secret a --host a --dir other", "", Some(&text));
    assert_eq!((again.code, place.read("other/ca.pem")), (0, trusted));
    let other = secret(&place);
    let mixed = place.rakt_with("cert from-secret b --host b --dir other", "", Some(&other));
    assert!(
        mixed.code == 1 && mixed.err.contains("other/ca.pem is of another authority"),
        "{mixed:?}"
    );
    let guessed = place.rakt_with("cert from-secret b --host b", "hunter2", Some("hunter2"));
    assert!(guessed.code == 1 && guessed.err.contains("rakt secret new"), "{guessed:?}");
    assert!(guessed.err.contains("variable RAKT_SECRET cannot be used"), "{guessed:?}");
    assert!(!guessed.err.contains("hunter2"), "{guessed:?}");
}

#[test]
fn completions_name_the_commands() {
    let place = Place::new("completions");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = place.ok(&format!("completions {shell}"));
        assert!(script.contains("from-secret"), "{shell}: {script}");
    }
}

#[test]
fn processes_that_start_at_once_have_one_authority() {
    let place = Place::new("race");
    let names: Vec<_> = (0..6).map(|i| format!("node-{i}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let place = &place;
            scope.spawn(move || place.ok(&format!("cert dev {name}")));
        }
    });
    let shown = |file: &str| place.ok(&format!("cert show certs/{file}.pem"));
    let issuer = |text: &str| text.lines().find(|line| line.contains("issuer")).map(str::to_owned);
    let authority = issuer(&shown("ca"));
    assert!(names.iter().all(|name| issuer(&shown(name)) == authority), "{authority:?}");
}
