//! How often a peer is dialed that is of no use, and how soon one that is.

use std::time::Duration;

use rakt::prelude::*;
use rakt::remote::{Listener, Transport};
use rakt_wire::native::{Handshake, Hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cable::Cable;
use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{config, node_with};
use crate::probe::{Probe, echo};
use crate::support::within;

#[derive(Clone, PartialEq, prost::Message)]
struct Note {}

rakt::messages! { Note as "remote_backoff.Note" }

/// Takes every connection, greets, and ends it at once; says how often.
async fn fickle(mut listener: Box<dyn Listener>, greeted: tokio::sync::watch::Sender<u32>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut handshake = Handshake::accept(Hello::new("fickle", [7; 16]));
        let mut read = bytes::BytesMut::new();
        while let Ok(None) = handshake.handle_bytes(&mut read) {
            if stream.read_buf(&mut read).await.is_ok_and(|n| n == 0) {
                break;
            }
        }
        if let Some(hello) = handshake.poll_transmit() {
            let _ = stream.write_all(&hello).await;
        }
        greeted.send_modify(|count| *count += 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ends_every_connection_is_not_dialed_in_a_loop() -> Result {
    let network = Memory::default();
    let listener = network.bind("127.0.0.1", 0).await?;
    let port = listener.port();
    let (greeted, seen) = tokio::sync::watch::channel(0);
    let peer = tokio::spawn(fickle(listener, greeted));
    let client = remote::Client::new("client", remote::ClientConfig::new().transport(network))?;
    let actor = client.actor(&format!("rakt://fickle@127.0.0.1:{port}/nobody").parse()?);

    // Each ask wants a connection; without a pause there would be thousands of them.
    let until = tokio::time::Instant::now() + Duration::from_secs(1);
    while tokio::time::Instant::now() < until {
        let _ = within(actor.tell(Note {}).timeout(Duration::from_millis(100))).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let dialed = *seen.borrow();
    assert!((2..20).contains(&dialed), "dialed {dialed} times within a second");
    peer.abort();
    Ok(())
}

/// Twice a second for half a minute.
#[tokio::test(start_paused = true)]
async fn a_peer_behind_a_line_that_is_cut_again_and_again_is_there_nearly_all_the_time() -> Result {
    const CUT: Duration = Duration::from_millis(500);
    let memory = Memory::default();
    let cable = Cable::over(&memory);
    let there = node_with("there", config().transport(memory.clone())).await;
    let here = node_with("here", config().transport(cable.clone())).await;
    let (_probe, _seen) = Probe::spawn(&there, "probe").await;
    let probe = there.address("probe")?;
    let (mut asked, mut answered, mut cuts) = (0, 0, 0);
    let mut cut_at = tokio::time::Instant::now() + CUT;
    while cuts < 60 {
        let ask = here.ask::<Echo>(&probe, echo("there?")).timeout(Duration::from_millis(10));
        asked += 1;
        answered += u32::from(within(ask.into_future()).await.is_ok());
        tokio::time::sleep(Duration::from_millis(10)).await;
        if tokio::time::Instant::now() >= cut_at {
            cable.cut();
            cuts += 1;
            cut_at += CUT;
        }
    }
    assert!(answered * 10 >= asked * 9, "{answered} of {asked} were answered");
    within(here.shutdown()).await;
    within(there.shutdown()).await;
    Ok(())
}

/// Asks by address, for a second, of nobody: how often that was dialed.
async fn dials_in_a_second(addresses: &[Address]) -> Result<usize> {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let config = remote::ClientConfig::new().transport(cable.clone());
    let client = remote::Client::new("client", config)?;
    let until = tokio::time::Instant::now() + Duration::from_secs(1);
    while tokio::time::Instant::now() < until {
        for address in addresses {
            within(client.ask(address, echo("hello"))).await.expect_err("nobody is there");
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(cable.dial_count())
}

/// Nobody keeps a reference, so each ask begins with the address alone.
#[tokio::test(start_paused = true)]
async fn an_address_that_nobody_listens_at_is_not_dialed_in_a_loop() -> Result {
    let texts = ["rakt://there@127.0.0.1:1/a", "goakt://there@127.0.0.1:1/a"];
    for text in &texts[..if cfg!(feature = "goakt") { 2 } else { 1 }] {
        let dials = dials_in_a_second(&[text.parse()?]).await?;
        assert!((2..=12).contains(&dials), "{text} was dialed {dials} times");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn many_addresses_that_nobody_listens_at_have_pauses_each() -> Result {
    let address = |port| Address::new("a", "there", "127.0.0.1", port);
    let addresses = (1..=200).map(address).collect::<std::result::Result<Vec<_>, _>>()?;
    let dials = dials_in_a_second(&addresses).await?;
    assert!((400..=2400).contains(&dials), "dialed {dials} times");
    Ok(())
}

/// Several connections of one peer learn from each other: they fail together, and what comes up ends the pause of
/// all.
#[tokio::test(start_paused = true)]
async fn connections_of_one_peer_share_what_they_learn() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let there = node_with("there", config().transport(network.clone())).await;
    let mut names = Vec::new();
    for n in 0..50 {
        let name = format!("probe{n}");
        Probe::spawn(&there, &name).await;
        names.push(there.address(&name)?);
    }
    let here = node_with("here", config().transport(cable.clone())).await;
    cable.unplug();
    for address in &names {
        within(here.ask(address, echo("hello"))).await.expect_err("the line is cut");
    }
    assert_eq!(cable.dial_count(), 1, "the pause of one is that of all");
    tokio::time::sleep(Duration::from_secs(1)).await;
    within(here.ask(&names[0], echo("hello"))).await.expect_err("the line is cut");
    cable.plug();
    tokio::time::sleep(Duration::from_millis(100)).await;
    for address in &names {
        within(here.ask(address, echo("hello"))).await?;
    }
    Ok(())
}
