//! How much a flood of peers writes to the log.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::remote::Transport;
use rakt_wire::native::{CloseCode, Hello, Outbound, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::farewell::{dial, dial_as};
use crate::memory::Memory;
use crate::nodes::{config, link_down, node_with};
use crate::support::lines::keep_interest;
use crate::support::within;

/// The lines of a log, each with the second of the paused clock in which it was written.
#[derive(Clone)]
struct Lines {
    start: Instant,
    lines: Arc<Mutex<BTreeMap<u128, Vec<String>>>>,
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes).into_owned();
        let at = self.start.elapsed().as_millis();
        self.lines.lock().expect("no panic").entry(at).or_default().push(line);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// All that has been written so far on this thread.
    fn capture() -> (Self, tracing::subscriber::DefaultGuard) {
        keep_interest();
        let lines = Self { start: Instant::now(), lines: Arc::default() };
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (lines, tracing::subscriber::set_default(subscriber))
    }

    /// Most lines in any second.
    fn most_a_second(&self) -> usize {
        let lines = self.lines.lock().expect("no panic");
        let within = |first: u128| lines.range(first..first + 1000).map(|(_, lines)| lines.len());
        lines.keys().map(|first| within(*first).sum()).max().unwrap_or(0)
    }

    fn texts(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").values().flatten().cloned().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_bad_greetings_writes_at_most_20_lines_a_second() {
    let (lines, _guard) = Lines::capture();
    let network = Memory::default();
    let node = node_with("flooded", config().transport(network.clone())).await;
    let port = node.advertised().1;
    // Ten thousand a second for three seconds.
    for _ in 0..300 {
        for n in 0..100 {
            let stream = network.dial("127.0.0.1", port, Duration::ZERO).await;
            let mut stream = stream.expect("the node listens");
            let greeting = [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\xf7rakt\n\x09\x09"][n % 2];
            stream.write_all(greeting).await.expect("it is taken");
            drop(stream.read_to_end(&mut Vec::new()).await);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(lines.most_a_second() <= 20, "{} lines", lines.most_a_second());
    let texts = lines.texts();
    let of = |what: &str| texts.iter().filter(|text| text.contains(what)).count();
    assert!(of("refused a peer") >= 3 * 10, "some are told every second: {texts:#?}");
    assert!(of("some were left out") >= 3, "{texts:#?}");
    let left_out: u64 = texts.iter().filter_map(|text| count_in(text)).sum();
    let written = texts.iter().filter(|text| text.contains("WARN") && count_in(text).is_none());
    assert_eq!(left_out + written.count() as u64, 30_000, "every one is told or counted");
}

/// How many lines of refused peers were left out, as a line of the log tells.
fn count_in(text: &str) -> Option<u64> {
    let (_, count) = text.split_once("lines=")?;
    count.split(' ').next()?.parse().ok()
}

/// As load balancers look whether a port is open.
#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_and_goes_is_no_warning() {
    let (lines, _guard) = Lines::capture();
    let network = Memory::default();
    let node = node_with("here", config().transport(network.clone())).await;
    let (host, port) = node.advertised();
    for _ in 0..5 {
        let stream = network.dial(host, port, Duration::ZERO).await.expect("it listens");
        drop(stream);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let texts = lines.texts();
    assert!(texts.iter().all(|line| !line.contains("WARN")), "{texts:?}");
}

/// A peer that calls itself something else each time is one peer all the same.
#[tokio::test(start_paused = true)]
async fn a_peer_with_many_names_has_the_lines_of_one() {
    let (lines, _guard) = Lines::capture();
    let network = Memory::default();
    let node = node_with("flooded", config().transport(network.clone())).await;
    let port = node.advertised().1;
    let mut held = Vec::new();
    for n in 0..50_u8 {
        let mut hello = Hello::new(format!("peer{n}"), [n; 16]);
        hello.advertised = Some((format!("10.0.0.{n}"), 1000 + u16::from(n)));
        held.push(within(dial_as(&network, port, hello)).await.expect("it is taken"));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let texts = lines.texts();
    assert_eq!(texts.iter().filter(|text| text.contains("link up")).count(), 10, "{texts:#?}");
}

/// The goodbye of a peer is text of a stranger.
#[tokio::test(start_paused = true)]
async fn the_goodbye_of_a_peer_is_shown_in_one_harmless_line() {
    let (lines, _guard) = Lines::capture();
    let network = Memory::default();
    let node = node_with("polite", config().transport(network.clone())).await;
    let mut events = node.events();
    let (mut stream, session) =
        within(dial(&network, node.advertised().1)).await.expect("it is taken");
    let mut outbound = Outbound::new(Role::Dialer, session.limits);
    outbound.close(CloseCode::Normal, "bye\n\u{1b}[2J\u{9b}1m\u{202e}INFO all is well");
    let mut bytes = Vec::new();
    outbound.poll_transmit(&mut bytes);
    within(stream.write_all(&bytes)).await.expect("the node reads");
    let reason = link_down(&mut events).await;
    assert!(reason.contains("bye") && reason.contains("all is well"), "{reason}");
    let texts = lines.texts();
    assert!(texts.iter().any(|text| text.contains("all is well")), "{texts:#?}");
    for text in texts.iter().map(|text| text.trim_end_matches('\n')).chain([&*reason]) {
        let is_harmless = |c: char| !c.is_control() && c != '\u{202e}';
        assert!(text.chars().all(is_harmless), "{text:?}");
    }
}
