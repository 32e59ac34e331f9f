//! Certificates that a node makes itself: from a secret, or in a directory for development.

use rakt::error::Chain;
use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config, Secret, Tls};

use crate::support::within;

async fn node(name: &str, config: Config) -> Result<ActorSystem> {
    Ok(ActorSystem::builder(name).remoting(config).start().await?)
}

/// What a client hears that pings a node.
async fn ping(tls: Tls, host: &str, node: &ActorSystem) -> std::result::Result<(), String> {
    let client = Client::new("client", ClientConfig::new().tls(tls)).expect("it is valid");
    let pinged = within(client.node(host, node.advertised().1).ping()).await;
    client.close().await;
    pinged.map(drop).map_err(|error| Chain(&error).to_string())
}

fn local() -> Config {
    Config::new("127.0.0.1", 0)
}

#[tokio::test]
async fn holders_of_a_secret_talk_and_others_do_not() -> Result {
    let (secret, other) = (Secret::generate(), Secret::generate());
    // By whatever name it is reached: all that hold the secret are equal.
    let config = local().advertised_host("shop.example").tls(Tls::from_secret(secret.clone()));
    let server = node("server", config).await?;
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(ping(Tls::from_secret(secret.clone()), host, &server).await, Ok(()));
    }
    let heard = ping(Tls::from_secret(other), "127.0.0.1", &server).await.expect_err("another one");
    assert!(heard.contains("another secret"), "{heard}");
    Ok(())
}

#[tokio::test]
async fn one_secret_takes_the_place_of_another_without_a_gap() -> Result {
    let (old, new) = (Secret::generate(), Secret::generate());
    let stages = [
        Tls::from_secret(old.clone()),
        Tls::from_secret(old.clone()).also_trust(new.clone()),
        Tls::from_secret(new.clone()).also_trust(old.clone()),
        Tls::from_secret(new.clone()),
    ];
    // Nodes are changed one after the other, so that those of two stages that follow each other must talk.
    for (at, tls) in stages.iter().enumerate() {
        let server = node("server", local().tls(tls.clone())).await?;
        for (from, other) in stages.iter().enumerate() {
            let talks = ping(other.clone(), "127.0.0.1", &server).await.is_ok();
            assert_eq!(talks, at.abs_diff(from) <= 1, "{from} -> {at}");
        }
        server.shutdown().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_directory_for_development_is_made_when_it_is_needed() -> Result {
    let path = std::env::temp_dir().join(format!("rakt-tls-{}-dev", std::process::id()));
    let (tls, other) = (Tls::dev(&path), Tls::dev(path.join("other")));
    let server = node("server", local().tls(tls.clone())).await?;
    assert_eq!(ping(tls, "127.0.0.1", &server).await, Ok(()));
    assert!(ping(other, "127.0.0.1", &server).await.is_err());
    let mut files: Vec<_> = std::fs::read_dir(&path)?
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    for file in ["ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"] {
        assert!(files.iter().any(|found| found == file), "{file} is not in {files:?}");
    }
    std::fs::remove_dir_all(&path)?;
    Ok(())
}

#[tokio::test]
async fn a_name_stands_for_a_host_that_is_not_in_the_certificate() -> Result {
    let ca = crate::certificates::Ca::new("ca");
    let issued = ca.issue("server", |params| {
        params.subject_alt_names =
            vec![rcgen::SanType::DnsName("shop.example".try_into().expect("a name"))];
    });
    let server = node("server", local().tls(issued.tls(&ca.pem))).await?;
    let heard = ping(ca.tls("client"), "127.0.0.1", &server).await.expect_err("another name");
    assert!(heard.contains("not for the IP address 127.0.0.1"), "{heard}");
    assert!(
        heard.contains("but for shop.example") && heard.contains("Tls::server_name"),
        "{heard}"
    );
    let named = ca.tls("client").server_name("127.0.0.1", "shop.example");
    assert_eq!(ping(named, "127.0.0.1", &server).await, Ok(()));
    let wrong =
        Client::new("c", ClientConfig::new().tls(ca.tls("c").server_name("a", "not a name")));
    assert!(
        wrong.is_err_and(|error| error.to_string().contains("\"not a name\" is no name of a host"))
    );
    Ok(())
}
