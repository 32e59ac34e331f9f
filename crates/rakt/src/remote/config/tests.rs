//! Tests of the options and their ranges.

use super::options::LONGEST;
use super::*;
use crate::remote::Role;
#[cfg(feature = "_tls")]
use crate::remote::Verify;

type Set<T> = fn(Config, T) -> Config;
type Get<T> = fn(&Options) -> T;
/// An option, how it is set, and what it may be and may not.
type Row = (&'static str, Set<u32>, &'static [u32], &'static [u32]);

fn refused(config: Config) -> &'static str {
    config.check().map(drop).expect_err("out of range").option
}

#[test]
fn an_option_is_taken_at_its_limit_and_refused_beyond_it() {
    const KIB: u32 = 1024;
    const MIB: u32 = 1024 * KIB;
    let config = || Config::new("127.0.0.1", 0);
    assert!(config().check().is_ok());
    assert_eq!(refused(Config::new("", 0)), "host");
    let set: [Row; 16] = [
        ("backlog", Config::backlog, &[1, u32::MAX], &[0]),
        (
            "max_frame_size",
            Config::max_frame_size,
            &[16 * KIB, 16 * MIB],
            &[16 * KIB - 1, 16 * MIB + 1],
        ),
        // As large as a frame at least, and a quarter of the memory budget at most.
        (
            "max_message_size",
            |config, size| config.memory_budget(256 * u64::from(MIB)).max_message_size(size),
            &[16 * MIB, 64 * MIB],
            &[16 * MIB - 1, 64 * MIB + 1],
        ),
        ("memory_budget", |c, n| c.memory_budget(n.into()), &[MIB], &[MIB - 1]),
        ("max_decoded", |c, n| c.max_decoded(n.into()), &[MIB, u32::MAX], &[MIB - 1]),
        ("min_rate", Config::min_rate, &[0, MIB], &[MIB + 1]),
        ("control_rate", Config::control_rate, &[0, 100, u32::MAX], &[1, 99]),
        ("receiver_window", Config::receiver_window, &[KIB, u32::MAX], &[KIB - 1]),
        ("max_in_flight", Config::max_in_flight, &[1, 65_536], &[0, 65_537]),
        ("max_connections", Config::max_connections, &[1, u32::MAX], &[0]),
        ("max_connections_per_source", Config::max_connections_per_source, &[1, u32::MAX], &[0]),
        ("max_ungreeted_per_source", Config::max_ungreeted_per_source, &[1, u32::MAX], &[0]),
        ("max_idle_conns", Config::max_idle_conns, &[1, 1024], &[0, 1025]),
        ("max_spawned", Config::max_spawned, &[1, u32::MAX], &[0]),
        ("max_spawned_per_peer", Config::max_spawned_per_peer, &[1, u32::MAX], &[0]),
        ("max_spawn_rate", Config::max_spawn_rate, &[1, u32::MAX], &[0]),
    ];
    for (option, set, within, beyond) in set {
        for value in within {
            assert!(set(config(), *value).check().is_ok(), "{option}: {value}");
        }
        for value in beyond {
            assert_eq!(refused(set(config(), *value)), option, "{value}");
        }
    }
    let error = config().max_idle_conns(1025).check().map(drop).expect_err("too many");
    assert_eq!(error.to_string(), "max_idle_conns is 1025, but must be at most 1024");
}

#[test]
fn a_policy_has_patterns_that_match_something_and_the_roles_that_it_grants() {
    let policies = [
        (Policy::new().role("a", Role::new().may_manage("/a")), "neither begins nor ends"),
        (Policy::new().role("a", Role::new().may_manage("a**")), "a whole name"),
        (Policy::new().role("a", Role::new().messages("a.*")), "follow a rule"),
        (Policy::new().role("a", Role::new()).grant("", "a"), "not empty"),
        (Policy::new().grant("dns:one", "b"), "a role of the policy where it is granted"),
    ];
    for (policy, allowed) in policies {
        let config = Config::new("127.0.0.1", 0).policy(policy);
        let error = config.check().map(drop).expect_err("it is wrong");
        assert_eq!(error.option, "policy", "{error}");
        assert!(error.to_string().contains(allowed), "{error}");
    }
    let policy = Policy::new().role("a", Role::new().may_manage("a/**")).grant("dns:*.one", "a");
    assert!(Config::new("127.0.0.1", 0).policy(policy).check().is_ok());
}

#[cfg(feature = "_tls")]
#[test]
fn a_limit_of_handshakes_is_one_at_least() {
    let set: [Row; 3] = [
        ("max_handshakes", Config::max_handshakes, &[1, u32::MAX], &[0]),
        ("max_handshakes_per_source", Config::max_handshakes_per_source, &[1, u32::MAX], &[0]),
        ("max_handshake_rate", Config::max_handshake_rate, &[1, u32::MAX], &[0]),
    ];
    for (option, set, within, beyond) in set {
        let config = || Config::new("127.0.0.1", 0);
        assert!(within.iter().all(|value| set(config(), *value).check().is_ok()), "{option}");
        assert!(beyond.iter().all(|value| refused(set(config(), *value)) == option), "{option}");
    }
}

/// What peers could not use is refused here: a node that starts can be reached under its name.
#[test]
fn a_host_is_one_that_peers_can_use() {
    let config = || Config::new("127.0.0.1", 0);
    let hosts = [
        "node-1",
        "node_1.internal.",
        "10.0.0.1",
        "::1",
        "[fe80::1%eth0]",
        "xn--mnchen-3ya.example",
    ];
    for host in hosts {
        assert!(config().advertised_host(host).check().is_ok(), "{host}");
        assert!(config().advertised(host, 1).check().is_ok(), "{host}");
    }
    let wrong = [
        "",
        "10.0.0.1:3321",
        "[::1]:3321",
        "node 1",
        "münchen.example",
        "a/b",
        "0.0.0.0",
        "[::]",
        "\n",
    ];
    for host in wrong {
        assert_eq!(refused(config().advertised_host(host)), "advertised host", "{host:?}");
    }
    assert_eq!(refused(config().advertised("node-1", 0)), "advertised port");
    for host in ["", "localhost:1", "münchen.example"] {
        let config = Config::new(host, 0).allow_plaintext_beyond_loopback();
        assert_eq!(refused(config), "host", "{host:?}");
    }
    // What it listens on is nobody else's concern where it is not what it advertises.
    let config = Config::new("münchen.example", 0).advertised_host("node-1");
    assert!(config.allow_plaintext_beyond_loopback().check().is_ok());
    let error = config_of("node 1").check().map(drop).expect_err("it has a space");
    assert!(error.to_string().contains("without a port"), "{error}");
}

fn config_of(advertised: &str) -> Config {
    Config::new("127.0.0.1", 0).advertised_host(advertised)
}

#[test]
fn a_time_limit_is_more_than_zero_and_at_most_a_year() {
    let config = || Config::new("127.0.0.1", 0);
    let set: [(&str, Set<Duration>, Get<Duration>); 4] = [
        ("write_timeout", Config::write_timeout, |options| options.write_timeout),
        ("read_idle_timeout", Config::read_idle_timeout, |options| options.read_idle_timeout),
        ("idle_timeout", Config::idle_timeout, |options| options.idle_timeout),
        ("dial_timeout", Config::dial_timeout, |options| options.dial_timeout),
    ];
    for (option, set, read) in set {
        assert_eq!(refused(set(config(), Duration::ZERO)), option);
        let (endless, _) = set(config(), Duration::MAX).check().expect("it is taken");
        assert_eq!(read(&endless), LONGEST, "{option}");
    }
    assert!(config().keep_alive(Duration::ZERO).check().is_ok(), "zero turns it off");
}

#[test]
fn plain_text_beyond_loopback_is_asked_for_by_name() {
    assert_eq!(refused(Config::new("0.0.0.0", 0)), "host");
    assert_eq!(refused(Config::new("node-7.internal", 0)), "host");
    let config = Config::new("0.0.0.0", 0).allow_plaintext_beyond_loopback();
    assert!(config.check().is_ok());
    assert!(Config::new("localhost", 0).check().is_ok());
    assert!(Config::new("::1", 0).check().is_ok());
}

#[cfg(feature = "_tls")]
#[test]
fn what_is_encrypted_may_be_anywhere_and_its_options_have_ranges() {
    let tls = || Tls::from_files("node.pem", "node.key", "ca.pem");
    assert!(Config::new("0.0.0.0", 0).tls(tls()).check().is_ok());
    let client = |tls| ClientConfig::new().tls(tls).check().map(drop).map_err(|error| error.option);
    assert_eq!(client(tls()), Ok(()));
    assert_eq!(client(tls().reload_every(Duration::ZERO)), Err("reload_every"));
    let brief = tls().replace_connections_every(Duration::from_millis(999));
    assert_eq!(client(brief), Err("replace_connections_every"));
    assert_eq!(client(tls().replace_connections_every(Duration::from_secs(1))), Ok(()));
    assert_eq!(client(tls().verify(Verify::uri("spiffe://prod/*"))), Ok(()));
    for pattern in ["", "spiffe://prod/", "spiffe://prod/a**", "dns:a", "secret:*", "anonymous"] {
        assert_eq!(client(tls().verify(Verify::uri(pattern))), Err("verify"), "{pattern:?}");
    }
}
