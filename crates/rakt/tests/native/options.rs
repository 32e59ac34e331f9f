//! Every option of remoting changes what happens.

use std::time::Duration;

use rakt::prelude::*;
use rakt::propagate::{ContextPropagator, Extensions};
use rakt::remote::{Compression, Transport};
use rakt::{AskError, BoxError, Event, Metadata, Refusal, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::cable::Cable;
use crate::memory::Memory;
use crate::messages::Echo;
use crate::nodes::{self, config, node, node_with, remote};
use crate::probe::{self, Blob, Hold, Probe, echo, number};
use crate::support::{self, within};

/// A limit that is waited for. The clock is paused, so the machine has no part in it.
const SOON: Duration = Duration::from_millis(100);

/// Whether `limit` has passed since `before`, and hardly more: timers are no finer than a millisecond.
fn is_on_time(before: Instant, limit: Duration) -> bool {
    (limit..=limit + Duration::from_millis(2)).contains(&before.elapsed())
}

/// Two nodes on a network in memory, of which the first has `options` and one connection at most.
async fn pair(options: remote::Config) -> (Cable, ActorSystem, ActorSystem) {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let options = options.transport(cable.clone()).max_idle_conns(1);
    let there = node_with("there", config().transport(network)).await;
    (cable, node_with("here", options).await, there)
}

fn zeros(len: usize) -> Blob {
    Blob { bytes: vec![0; len], back: false }
}

#[tokio::test]
async fn an_option_out_of_range_keeps_the_system_from_starting() {
    let start = |config| ActorSystem::builder("here").remoting(config).start();
    for (config, option) in [
        (config().max_frame_size(1), "max_frame_size"),
        (config().max_message_size(1), "max_message_size"),
        (config().write_timeout(Duration::ZERO), "write_timeout"),
        (config().max_idle_conns(0), "max_idle_conns"),
        (remote::Config::new("0.0.0.0", 0), "host"),
    ] {
        match start(config).await.expect_err("out of range") {
            StartError::Config(error) => {
                assert_eq!(error.option, option);
                assert!(error.to_string().contains(option), "{error}");
            }
            other => panic!("{other}"),
        }
    }
    let config = remote::ClientConfig::new().dial_timeout(Duration::ZERO);
    let error = remote::Client::new("client", config).expect_err("out of range");
    assert!(matches!(error, StartError::Config(error) if error.option == "dial_timeout"));
}

#[tokio::test]
async fn the_lower_max_frame_size_of_both_sides_counts() -> Result {
    for (mine, yours) in [(50_000, 16_000_000), (16_000_000, 50_000)] {
        let here = node_with("here", config().max_frame_size(mine)).await;
        let there = node_with("there", config().max_frame_size(yours)).await;
        Probe::spawn(&there, "probe").await;
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        within(probe.ask(probe::blob(49_000))).await?;
        let error = within(probe.ask(probe::blob(51_000))).await.expect_err("too large");
        match error.refusal() {
            Some(Refusal::TooLarge { size, limit: 50_000 }) => assert!(*size > 51_000),
            other => panic!("{other:?}"),
        }
    }
    Ok(())
}

#[tokio::test]
async fn max_message_size_lets_a_message_be_larger_than_a_frame() -> Result {
    let small = || config().max_frame_size(50_000);
    let large = || small().max_message_size(500_000);
    for (mine, yours, fits) in
        [(small(), small(), false), (large(), small(), false), (large(), large(), true)]
    {
        let (here, there) = (node_with("here", mine).await, node_with("there", yours).await);
        Probe::spawn(&there, "probe").await;
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        let outcome = within(probe.ask(probe::blob(400_000))).await;
        assert_eq!(outcome.is_ok(), fits, "{:?}", outcome.map(|size| size.len));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_take_our_bytes_is_disconnected_after_the_write_timeout() -> Result {
    let (cable, here, there) = pair(config().write_timeout(SOON)).await;
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.ask(echo("before"))).await?;
    let mut events = here.events();
    cable.allow(0);
    let before = Instant::now();
    let limit = Duration::from_secs(600);
    let error = within(probe.ask(echo("stuck")).timeout(limit)).await.expect_err("it is stuck");
    assert!(matches!(error, AskError::ConnectionLost { .. }), "{error}");
    assert!(is_on_time(before, SOON), "{:?}", before.elapsed());
    let reason = nodes::link_down(&mut events).await;
    assert!(reason.contains("took nothing for 100ms"), "{reason}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_pinged_and_then_dead() -> Result {
    let (cable, here, there) = pair(config().read_idle_timeout(SOON)).await;
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.ask(echo("before"))).await?;
    let (mut events, before) = (here.events(), Instant::now());
    cable.freeze();
    let reason = nodes::link_down(&mut events).await;
    assert!(reason.contains("nothing was heard from the peer for 200ms"), "{reason}");
    assert!(is_on_time(before, 2 * SOON), "{:?}", before.elapsed());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_quiet_connection_to_a_peer_that_answers_pings_stays() -> Result {
    let (cable, here, there) = pair(config().read_idle_timeout(SOON)).await;
    let (_, seen) = Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let held = tokio::spawn({
        let probe = probe.clone();
        async move { probe.ask(Hold {}).timeout(Duration::from_secs(600)).await }
    });
    seen.gate.entered().await;
    // The handler is busy all the while; pings pass it by.
    let written = cable.written();
    tokio::time::sleep(100 * SOON).await;
    assert!(cable.written() >= written + 100, "there was a ping again and again");
    assert!(!held.is_finished());
    seen.gate.open();
    within(held).await??;
    assert_eq!(cable.dial_count(), 1);
    Ok(())
}

/// Bytes that cross the network for a message of a million zeros, and its reply.
async fn bytes_for_zeros(mine: remote::Config, yours: remote::Config) -> Result<u64> {
    let cable = Cable::default();
    let here = node_with("here", mine.transport(cable.clone())).await;
    let there = node_with("there", yours.transport(cable.memory())).await;
    Probe::spawn(&there, "probe").await;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    within(probe.ask(echo("opens the connection"))).await?;
    let before = cable.written();
    let reply = within(probe.ask(Blob { back: true, ..zeros(1_000_000) })).await?;
    assert!(reply.bytes == zeros(1_000_000).bytes, "it arrives as it was, there and back");
    Ok(cable.written() - before)
}

#[tokio::test]
async fn each_compression_makes_what_can_be_compressed_small() -> Result {
    let with = |compression| config().compression(compression);
    for compression in Compression::ALL {
        if !compression.is_available() {
            let refused = ActorSystem::builder("here").remoting(with(compression)).start().await;
            assert!(refused.is_err(), "{compression} is not in this build");
            continue;
        }
        let bytes = bytes_for_zeros(with(compression), with(compression)).await?;
        match compression {
            Compression::None => assert!(bytes > 1_000_000, "{bytes}"),
            _ => assert!(bytes < 50_000, "{compression}: {bytes}"),
        }
    }
    Ok(())
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn a_peer_that_does_not_compress_is_talked_to_without() -> Result {
    let (none, zstd) = (Compression::None, Compression::Zstd);
    for (mine, yours) in [(none, zstd), (zstd, none)] {
        let (mine, yours) = (config().compression(mine), config().compression(yours));
        assert!(bytes_for_zeros(mine, yours).await? > 1_000_000);
    }
    Ok(())
}

#[cfg(all(feature = "zstd", feature = "gzip"))]
#[tokio::test]
async fn peers_with_different_preferences_still_find_a_common_one() -> Result {
    let (mine, yours) = (Compression::Gzip, Compression::Zstd);
    let (mine, yours) = (config().compression(mine), config().compression(yours));
    assert!(bytes_for_zeros(mine, yours).await? < 50_000);
    Ok(())
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn only_what_is_as_large_as_compress_from_is_compressed() -> Result {
    for (from, is_small) in [(10_000, true), (30_000, false)] {
        let cable = Cable::default();
        let options = config().transport(cable.clone()).compress_from(from);
        let here = node_with("here", options).await;
        let there = node_with("there", config().transport(cable.memory())).await;
        Probe::spawn(&there, "probe").await;
        let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
        let before = cable.written();
        assert_eq!(within(probe.ask(zeros(20_000))).await?.len, 20_000);
        let bytes = cable.written() - before;
        assert_eq!(bytes < 10_000, is_small, "from {from}: {bytes} bytes");
    }
    Ok(())
}

/// A trace as it travels in metadata.
#[derive(Clone)]
struct Trace(String);

struct Traces;

impl ContextPropagator for Traces {
    fn inject(&self, current: &Extensions, carrier: &mut Metadata) -> Result<(), BoxError> {
        if let Some(Trace(trace)) = current.find::<Trace>() {
            carrier.insert("traceparent", trace)?;
        }
        Ok(())
    }

    fn extract(&self, carrier: &Metadata, current: &mut Extensions) -> Result<(), BoxError> {
        match carrier.get("traceparent") {
            Some("bad") => return Err("not a trace".into()),
            Some(trace) => current.insert(Trace(trace.to_owned())),
            None => {}
        }
        Ok(())
    }
}

/// Asks the next one, and answers with the trace that it saw itself and what it was answered.
struct Hop(Option<ActorRef>);

impl Actor for Hop {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Echo>();
    }
}

impl Handler<Echo> for Hop {
    async fn handle(&mut self, echo: Echo, ctx: &mut Context<Self>) -> Result<Echo> {
        let trace = ctx.extensions().find::<Trace>().map(|Trace(trace)| trace.clone());
        let mut text = trace.unwrap_or_else(|| "none".to_owned());
        if let Some(next) = &self.0 {
            text = format!("{text} {}", ctx.ask(next, echo).await?.text);
        }
        Ok(Echo { text })
    }
}

#[tokio::test]
async fn a_context_propagator_carries_a_trace_from_node_to_node_and_on() -> Result {
    let traced = |name| {
        let builder = ActorSystem::builder(name).context_propagator(Traces);
        async { builder.remoting(config()).start().await }
    };
    let last = traced("last").await?;
    last.spawn("hop", || Hop(None)).await?;
    let middle = traced("middle").await?;
    let next: ActorRef = remote(&middle, &last, "hop").await;
    middle.spawn("hop", move || Hop(Some(next.clone()))).await?;
    let here = traced("here").await?;
    let hop: ActorRef<Hop> = remote(&here, &middle, "hop").await;
    // And back to the first node, by an actor there that starts the journey.
    let far: ActorRef = remote(&here, &middle, "hop").await;
    let start = here.spawn("start", move || Hop(Some(far.clone()))).await?;

    let mut metadata = Metadata::new();
    metadata.insert("traceparent", "00-abc-01")?;
    let reply = within(start.ask(echo("?")).metadata(metadata.clone())).await?;
    assert_eq!(reply.text, "00-abc-01 00-abc-01 00-abc-01");
    assert_eq!(within(hop.ask(echo("?"))).await?.text, "none none", "a new one has no trace");
    metadata.insert("traceparent", "bad")?;
    let error = within(hop.ask(echo("?")).metadata(metadata)).await.expect_err("it is not read");
    let error = rakt::error::Chain(&error).to_string();
    assert!(error.contains("not a trace"), "{error}");
    Ok(())
}

#[tokio::test]
async fn receivers_are_spread_over_at_most_max_idle_conns_connections() -> Result {
    let mut counts = Vec::new();
    for conns in [1, 2, 4] {
        let cable = Cable::default();
        let options = config().transport(cable.clone()).max_idle_conns(conns);
        let here = node_with("here", options).await;
        let there = node_with("there", config().transport(cable.memory())).await;
        for n in 0..50 {
            let name = format!("probe-{n}");
            Probe::spawn(&there, &name).await;
            let probe: ActorRef<Probe> = remote(&here, &there, &name).await;
            within(probe.ask(echo("x"))).await?;
        }
        counts.push(cable.dial_count());
    }
    assert_eq!(counts, [1, 2, 4]);
    Ok(())
}

/// How many events of links a system has told so far: of those that came up, and of those that went down.
fn links_so_far(events: &mut rakt::Events) -> [usize; 2] {
    let mut counts = [0, 0];
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while let std::task::Poll::Ready(Some(event)) = std::pin::pin!(events.next()).poll(&mut cx) {
        counts[0] += usize::from(matches!(event, Event::LinkUp { .. }));
        counts[1] += usize::from(matches!(event, Event::LinkDown { .. }));
    }
    counts
}

#[tokio::test(start_paused = true)]
async fn several_connections_to_a_peer_are_one_link() -> Result {
    let network = Memory::default();
    let cable = Cable::over(&network);
    let options = config().transport(cable.clone()).max_idle_conns(4).idle_timeout(SOON);
    let there = node_with("there", config().transport(network)).await;
    let here = node_with("here", options).await;
    let (mut events, mut others) = (here.events(), there.events());
    let visit = async |n: u32| {
        let name = format!("probe-{n}");
        Probe::spawn(&there, &name).await;
        let probe: ActorRef<Probe> = remote(&here, &there, &name).await;
        within(probe.ask(echo("x"))).await
    };
    for n in 0..50 {
        visit(n).await?;
    }
    assert_eq!(cable.open_count(), 4);
    assert_eq!(links_so_far(&mut events), [1, 0]);
    assert_eq!(links_so_far(&mut others), [1, 0]);
    // All are idle, one after the other.
    tokio::time::sleep(3 * SOON).await;
    assert_eq!(cable.open_count(), 0);
    assert_eq!(links_so_far(&mut events), [0, 1]);
    assert_eq!(links_so_far(&mut others), [0, 1]);
    visit(50).await?;
    assert_eq!(links_so_far(&mut events), [1, 0]);
    assert_eq!(links_so_far(&mut others), [1, 0]);
    // The other direction is a link of its own.
    let probe: ActorRef<Probe> = {
        Probe::spawn(&here, "back").await;
        remote(&there, &here, "back").await
    };
    within(probe.ask(echo("x"))).await?;
    assert_eq!(links_so_far(&mut events)[0], 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_unused_connection_is_closed_after_the_idle_timeout_and_opened_on_use() -> Result {
    let (cable, here, there) = pair(config().idle_timeout(SOON)).await;
    let (_, mut seen) = Probe::spawn(&there, "probe").await;
    let mut events = here.events();
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    for n in 1..4 {
        within(probe.tell(number(n))).await?;
        assert_eq!(seen.next().await, n);
        let before = Instant::now();
        assert_eq!(nodes::link_down(&mut events).await, "idle");
        assert!(is_on_time(before, SOON), "it was idle for {:?}", before.elapsed());
        assert_eq!(cable.made_count(), n as usize);
    }
    // A request that is not answered yet is use.
    within(probe.tell(number(4))).await?;
    let held = tokio::spawn({
        let probe = probe.clone();
        async move { probe.ask(Hold {}).timeout(Duration::from_secs(600)).await }
    });
    seen.gate.entered().await;
    let down = tokio::time::timeout(3 * SOON, nodes::link_down(&mut events)).await;
    assert!(down.is_err(), "somebody waits for an answer");
    seen.gate.open();
    within(held).await??;
    assert_eq!(nodes::link_down(&mut events).await, "idle");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn dialing_a_peer_that_does_not_greet_ends_after_the_dial_timeout() -> Result {
    // It takes the connection and says nothing.
    let network = Memory::default();
    let mute = network.bind("127.0.0.1", 0).await?;
    let port = mute.port();
    let here = node_with("here", config().transport(network).dial_timeout(SOON)).await;
    let before = Instant::now();
    let error = within(here.node("127.0.0.1", port).ping()).await.expect_err("it does not answer");
    match error.refusal() {
        Some(Refusal::Unreachable { source, .. }) => {
            assert!(source.to_string().contains("100ms"), "{source}");
        }
        other => panic!("{other:?}"),
    }
    assert!(is_on_time(before, SOON), "{:?}", before.elapsed());
    Ok(())
}

/// Whatever limit comes first, the caller reads what was waited for.
#[tokio::test(start_paused = true)]
async fn who_asks_a_peer_that_does_not_greet_reads_what_was_waited_for() -> Result {
    let network = Memory::default();
    let mute = network.bind("127.0.0.1", 0).await?;
    let port = mute.port();
    let address = Address::new("a", "mute", "127.0.0.1", port)?;
    let here = node_with("here", config().transport(network)).await;
    let says = |refusal: Option<&Refusal>| match refusal {
        Some(Refusal::Unreachable { source, .. }) => source.to_string().contains("greeting"),
        _ => false,
    };
    for limit in [SOON, Duration::from_secs(5), Duration::from_secs(6)] {
        let error = within(here.ask(&address, echo("hello")).timeout(limit)).await;
        let error = error.expect_err("it does not answer");
        assert!(says(error.refusal()) && error.is_safe_to_retry(), "{error:?}");
        let error = within(here.tell(&address, echo("hello")).timeout(limit)).await;
        let error = error.expect_err("it does not answer");
        assert!(says(Some(&error.refusal)), "{error:?}");
        let told = here.actor(&address);
        let error = within(told.tell_all([echo("hello")])).await.remove(0);
        assert!(says(error.expect_err("it does not answer").refusal()));
        // The pause after a dial that failed.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let error = within(here.node("127.0.0.1", port).ping()).await.expect_err("no answer");
    assert!(says(error.refusal()), "{error:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_connects_and_does_not_greet_is_let_go_after_the_dial_timeout() -> Result {
    let network = Memory::default();
    let options = config().transport(network.clone()).dial_timeout(SOON);
    let here = node_with("here", options).await;
    let (host, port) = here.advertised();
    let before = Instant::now();
    let mut mute = network.dial(host, port, Duration::ZERO).await?;
    let slow = network.dial(host, port, Duration::ZERO).await?;
    let (mut reader, mut writer) = tokio::io::split(slow);
    let trickle = async {
        for byte in rakt_wire::native::MAGIC.iter().cycle() {
            if writer.write_u8(*byte).await.is_err() {
                break;
            }
            tokio::time::sleep(SOON / 3).await;
        }
        std::future::pending::<()>().await
    };
    let both = async { (mute.read_u8().await.is_err(), reader.read_u8().await.is_err()) };
    tokio::select! {
        closed = within(both) => assert_eq!(closed, (true, true), "both without a word"),
        () = trickle => unreachable!("it never ends"),
    }
    assert!(is_on_time(before, SOON), "{:?}", before.elapsed());
    Ok(())
}

#[tokio::test]
async fn the_keep_alive_interval_is_what_the_transport_is_asked_for() -> Result {
    for (set, expected) in [
        (None, Duration::from_secs(15)),
        (Some(Duration::ZERO), Duration::ZERO),
        (Some(Duration::from_secs(7)), Duration::from_secs(7)),
    ] {
        let cable = Cable::default();
        let options = config().transport(cable.clone());
        let options = set.map_or(options.clone(), |interval| options.keep_alive(interval));
        let here = node_with("here", options).await;
        let there = node_with("there", config().transport(cable.memory())).await;
        let (host, port) = there.advertised();
        within(here.node(host, port).ping()).await?;
        assert_eq!(cable.keep_alives(), [expected]);
    }
    Ok(())
}

#[tokio::test]
async fn a_free_port_is_written_back_and_addresses_show_it() -> Result {
    let here = node("here").await;
    let (host, port) = here.advertised();
    assert_eq!(host, "127.0.0.1");
    assert_ne!(port, 0);
    let (probe, _) = Probe::spawn(&here, "probe").await;
    assert_eq!(probe.to_string(), format!("rakt://here@127.0.0.1:{port}/probe"));
    TcpStream::connect((host, port)).await?.shutdown().await?;
    Ok(())
}

#[tokio::test]
async fn the_advertised_host_and_port_are_what_peers_see() -> Result {
    let there = node("there").await;
    Probe::spawn(&there, "probe").await;
    let options = config().advertised("shop.example", 4000);
    let here = node_with("here", options).await;
    assert_eq!(here.advertised(), ("shop.example", 4000));
    let (mine, _) = Probe::spawn(&here, "mine").await;
    assert_eq!(mine.to_string(), "rakt://here@shop.example:4000/mine");
    let mut events = there.events();
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let peer = support::event(&mut events, |event| match event {
        Event::LinkUp { peer } => Some(peer),
        _ => None,
    })
    .await;
    assert_eq!(peer, "here@shop.example:4000");
    let seen = within(probe.ask(probe::WhoAsks {}).sender(&mine)).await?;
    assert_eq!(seen.text, mine.to_string());

    let here = node_with("other", config().advertised_host("localhost")).await;
    assert_eq!(here.advertised().0, "localhost");
    assert_ne!(here.advertised().1, 0, "the port is the one it listens on");
    Ok(())
}

#[tokio::test]
async fn a_node_on_every_interface_advertises_an_address_that_reaches_it() -> Result {
    let options = remote::Config::new("0.0.0.0", 0).allow_plaintext_beyond_loopback();
    let there = node_with("there", options).await;
    let (host, port) = there.advertised();
    assert_ne!(host, "0.0.0.0");
    let here = node("here").await;
    within(here.node(host, port).ping()).await?;
    within(here.node("127.0.0.1", port).ping()).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_takes_no_more_connections_than_it_may() -> Result {
    let there = node_with("there", config().max_connections(2)).await;
    let (host, port) = there.advertised();
    let one = |name| node_with(name, config().max_idle_conns(1));
    let (a, b, c) = (one("a").await, one("b").await, one("c").await);
    within(a.node(host, port).ping()).await?;
    within(b.node(host, port).ping()).await?;
    let error = within(c.node(host, port).ping()).await.expect_err("two are there");
    assert!(matches!(error.refusal(), Some(Refusal::Unreachable { .. })), "{error}");
    within(a.shutdown()).await;
    within(async {
        while c.node(host, port).ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_ask_waits_as_long_as_its_system_says() -> Result {
    let network = Memory::default();
    let options = || config().transport(network.clone());
    let there = node_with("there", options()).await;
    let (_, seen) = Probe::spawn(&there, "probe").await;
    let here = ActorSystem::builder("here").ask_timeout(SOON).remoting(options()).start().await?;
    let probe: ActorRef<Probe> = remote(&here, &there, "probe").await;
    let before = Instant::now();
    let error = within(probe.ask(Hold {})).await.expect_err("it is held");
    assert!(matches!(error, AskError::Timeout { limit: SOON, .. }), "{error}");
    assert!(is_on_time(before, SOON), "{:?}", before.elapsed());
    seen.gate.open();
    Ok(())
}

/// On one thread, where nothing else runs than what is waited for.
#[tokio::test]
async fn the_port_is_free_when_the_shutdown_is_over() -> Result {
    let system = node("here").await;
    let port = system.advertised().1;
    within(system.shutdown()).await;
    for _ in 0..30 {
        let config = remote::Config::new("127.0.0.1", port);
        let system = ActorSystem::builder("here").remoting(config).start().await?;
        // Somebody is connected, so the port was in use indeed.
        let client = remote::Client::new("client", remote::ClientConfig::new())?;
        within(client.node("127.0.0.1", port).ping()).await?;
        within(system.shutdown()).await;
    }
    Ok(())
}
