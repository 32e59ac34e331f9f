//! Strangers in great numbers: those who say nothing, those who begin handshakes and do not end them, and those whose
//! certificate is no good. Who has a good one goes on.
//!
//! The node, the honest peer and the strangers are a process each: this program, run once more. So what is measured is
//! the node, and not who shares its threads.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::certificates::{Ca, Issued};
use crate::strangers::client;

#[derive(Clone, PartialEq, prost::Message, Message)]
#[rakt(name = "tests.Hello", reply = u64)]
struct Hello {}

struct Greeter;

impl Actor for Greeter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Hello>();
    }
}

impl Handler<Hello> for Greeter {
    async fn handle(&mut self, _: Hello, _: &mut Context<Self>) -> Result<u64> {
        Ok(1)
    }
}

/// What the processes are told: what they show and trust, and what else each needs.
const CERTIFICATE: &str = "RAKT_FLOOD_CERTIFICATE";
const KEY: &str = "RAKT_FLOOD_KEY";
const ROOTS: &str = "RAKT_FLOOD_ROOTS";
const PORT: &str = "RAKT_FLOOD_PORT";
const SILENT: &str = "RAKT_FLOOD_SILENT";
const SOURCES: &str = "RAKT_FLOOD_SOURCES";
const THREADS: &str = "RAKT_FLOOD_THREADS";
/// What stands before what they tell.
const TOLD: &str = "told: ";

/// Strangers that show a wrong certificate, and as many that begin a handshake and break off.
const INSISTENT: usize = 8;

fn told<T: std::str::FromStr>(name: &str) -> T {
    let value = std::env::var(name).ok().and_then(|value| value.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is what the first process tells"))
}

fn own() -> Issued {
    Issued { certificate: told(CERTIFICATE), key: told(KEY) }
}

fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().expect("a runtime")
}

/// Until the first process says something, or is gone.
fn wait() -> bool {
    std::io::stdin().read_line(&mut String::new()).is_ok_and(|len| len > 0)
}

#[test]
#[ignore = "a process of the tests below"]
fn role_of_the_node() {
    let runtime = threads(told(THREADS));
    let node = runtime.block_on(async {
        // Strangers have other addresses than the honest, and one of them has few places.
        let config = Config::new("127.0.0.1", 0).tls(own().tls(&told::<String>(ROOTS)));
        let config = config.limit_loopback_sources(true);
        let node = ActorSystem::builder("server").remoting(config).start().await;
        let node = node.expect("it is good");
        node.spawn("greeter", || Greeter).await.expect("it is there");
        node
    });
    println!("{TOLD}{}", node.advertised().1);
    wait();
    runtime.block_on(node.shutdown());
}

/// Asks as long as it is told to, again and again: none of it may fail.
#[test]
#[ignore = "a process of the tests below"]
fn role_of_the_honest() {
    let runtime = threads(1);
    let config = ClientConfig::new().tls(own().tls(&told::<String>(ROOTS)));
    let client = runtime.block_on(async { Client::new("client", config) }).expect("it is valid");
    let address = Address::new("greeter", "server", "127.0.0.1", told(PORT)).expect("an address");
    println!("{TOLD}ready");
    while wait() {
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let (client, address) = (client.clone(), address.clone());
        let asking = runtime.spawn(async move {
            let mut asked = Vec::new();
            while stopped.try_recv().is_err() {
                let start = Instant::now();
                let answer = client.ask(&address, Hello {}).timeout(Duration::from_secs(20)).await;
                assert_eq!(answer.expect("it is answered"), 1);
                asked.push(start.elapsed());
            }
            asked
        });
        wait();
        let _ = stop.send(());
        let mut asked = runtime.block_on(asking).expect("none has failed");
        asked.sort_unstable();
        let of = |percent: usize| asked[(asked.len() - 1) * percent / 100].as_micros();
        println!("{TOLD}{} {} {}", asked.len(), of(50), of(99));
    }
}

/// Where the strangers come from: addresses of loopback, one after another, but not the one of the honest.
struct Sources {
    port: u16,
    count: u64,
    next: AtomicU64,
}

impl Sources {
    async fn connect(&self) -> std::io::Result<TcpStream> {
        let source = self.next.fetch_add(1, Ordering::Relaxed) % self.count;
        let [high, low] = (source as u16 + 2).to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, high, low], 0).into())?;
        socket.connect(([127, 0, 0, 1], self.port).into()).await
    }
}

/// What became of the handshakes of strangers.
#[derive(Default)]
struct Attempts {
    /// The node has looked at the certificate and refused it.
    refused: AtomicU64,
    /// It has closed the connection before that.
    closed: AtomicU64,
}

#[test]
#[ignore = "a process of the tests below"]
fn role_of_the_strangers() {
    let (runtime, attempts) = (threads(1), Arc::<Attempts>::default());
    let sources = Sources { port: told(PORT), count: told(SOURCES), next: AtomicU64::new(0) };
    let (sources, wrong, silent) = (Arc::new(sources), own(), told::<usize>(SILENT));
    let config = Arc::new(client(Some(&wrong)));
    let (counted, attacked) = (attempts.clone(), sources.clone());
    runtime.spawn(async move {
        let mut attacks = JoinSet::new();
        for _ in 0..silent {
            let sources = attacked.clone();
            attacks.spawn(async move {
                loop {
                    match sources.connect().await {
                        Ok(mut stream) => drop(stream.read(&mut [0; 16]).await),
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            });
        }
        for _ in 0..INSISTENT {
            let (sources, attempts) = (attacked.clone(), counted.clone());
            let connector = TlsConnector::from(config.clone());
            attacks.spawn(async move {
                loop {
                    let Ok(stream) = sources.connect().await else { continue };
                    let name = "localhost".try_into().expect("a name");
                    let counted = match connector.connect(name, stream).await {
                        Ok(mut stream) => match stream.read(&mut [0; 16]).await {
                            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                                &attempts.refused
                            }
                            _ => &attempts.closed,
                        },
                        Err(_) => &attempts.closed,
                    };
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            });
            let sources = attacked.clone();
            attacks.spawn(async move {
                loop {
                    if let Ok(mut stream) = sources.connect().await {
                        drop(stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).await);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        attacks.join_all().await;
    });
    println!("{TOLD}ready");
    while wait() {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        println!("{TOLD}{} {}", of(&attempts.refused), of(&attempts.closed));
    }
    runtime.shutdown_background();
}

/// One of the processes, which ends with the test.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// `before` is the command that starts it, such as one that says on which processors it runs.
    fn start(before: &[&str], role: &str, shown: &Issued, told: &[(&str, &str)]) -> (Self, String) {
        let this = std::env::current_exe().expect("it is known");
        let mut command = match before {
            [] => Command::new(&this),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(&this);
                command
            }
        };
        command.args(["--exact", role, "--ignored", "--nocapture"]).envs(told.iter().copied());
        command.envs([(CERTIFICATE, &shown.certificate), (KEY, &shown.key)]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process starts");
        let input = child.stdin.take().expect("it has one");
        let output = BufReader::new(child.stdout.take().expect("it has one"));
        let mut process = Self { child, input, output };
        let told = process.hear();
        (process, told)
    }

    /// The next that it tells.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let len = self.output.read_line(&mut line).expect("it writes text");
            assert!(len > 0, "a process has ended: its output tells why");
            if let Some((_, told)) = line.split_once(TOLD) {
                return told.trim().to_owned();
            }
        }
    }

    fn tell(&mut self) {
        self.input.write_all(b"\n").expect("it listens");
    }

    /// What it answers, as numbers.
    fn ask<const N: usize>(&mut self) -> [u64; N] {
        self.tell();
        let numbers: Vec<_> =
            self.hear().split(' ').map(|n| n.parse().expect("a number")).collect();
        numbers.try_into().expect("so many numbers")
    }

    /// Time of a processor that it has used. Linux counts it in hundredths of a second.
    fn busy(&self) -> Duration {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("the process is there");
        let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
        let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        Duration::from_millis(10 * (fields[11] + fields[12]))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails if it has ended already, which is as good.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How the honest were served for a while.
struct Served {
    asks: u64,
    /// Of 100 asks so many took no longer, in µs.
    p50: u64,
    p99: u64,
    /// Of the time so much the node was busy, in hundredths of a processor.
    busy: u128,
}

/// What strangers there are, and where all run.
struct Flood<'a> {
    silent: usize,
    /// Addresses that strangers come from.
    sources: usize,
    /// Of the node.
    threads: &'a str,
    /// What starts the processes: the node, the honest peer, the strangers.
    before: [&'a [&'a str]; 3],
    time: Duration,
    /// It goes on until so many have been refused for their certificates.
    least: u64,
}

/// How many were refused for their certificates. None of what the honest ask may fail.
fn flood(flood: &Flood<'_>) -> u64 {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let roots = (ROOTS, ca.pem.as_str());
    let [of_node, of_honest, of_strangers] = flood.before;
    let (shown, threads) = (ca.node("server"), (THREADS, flood.threads));
    let (node, port) =
        Process::start(of_node, "flood::role_of_the_node", &shown, &[roots, threads]);
    let port = (PORT, port.as_str());
    let (mut honest, _) =
        Process::start(of_honest, "flood::role_of_the_honest", &ca.node("client"), &[roots, port]);
    let mut served = |is_enough: &mut dyn FnMut() -> bool| {
        let (since, busy) = (Instant::now(), node.busy());
        honest.tell();
        std::thread::sleep(flood.time);
        // A machine that has much else to do needs longer for as much.
        while !is_enough() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let (busy, time) = (node.busy() - busy, since.elapsed());
        let [asks, p50, p99] = honest.ask();
        Served { asks, p50, p99, busy: busy.as_millis() * 100 / time.as_millis() }
    };
    // The first connects.
    served(&mut || true);
    let alone = served(&mut || true);
    let (silent, sources) = (flood.silent.to_string(), flood.sources.to_string());
    let (mut strangers, _) = Process::start(
        of_strangers,
        "flood::role_of_the_strangers",
        &other.node("client"),
        &[port, (SILENT, &silent), (SOURCES, &sources)],
    );
    let (mut refused, mut closed) = (0, 0);
    let besieged = served(&mut || {
        [refused, closed] = strangers.ask();
        refused >= flood.least
    });
    println!(
        "{refused} refused for their certificates, {closed} before; µs of 50 and of 99 of 100 asks, alone: {} and {} of \
         {}, in the flood: {} and {} of {}; the node was busy for {} % and {} % of a processor",
        alone.p50,
        alone.p99,
        alone.asks,
        besieged.p50,
        besieged.p99,
        besieged.asks,
        alone.busy,
        besieged.busy,
    );
    refused
}

#[test]
fn whoever_has_a_good_certificate_goes_on_in_a_flood() {
    let (time, before): (_, [&[&str]; 3]) = (Duration::from_millis(500), [&[], &[], &[]]);
    let refused = flood(&Flood { silent: 500, sources: 50, threads: "2", before, time, least: 20 });
    assert!(refused >= 20, "{refused} handshakes are no flood");
}

/// Needs 10,000 file descriptors, two processors and `taskset`. The node has a processor of its own. Strangers come from
/// one address, which has few places, and from five hundred.
#[test]
#[ignore = "long: for figures"]
fn five_thousand_silent_peers_and_handshakes_for_half_a_minute() {
    let (node, honest) = (["taskset", "-c", "0"], ["taskset", "-c", "1"]);
    let strangers = ["taskset", "-c", "1", "nice", "-n", "19"];
    for (sources, threads) in [(1, "1"), (500, "1"), (500, "2")] {
        println!("from {sources} addresses, to a node with {threads} threads:");
        let before: [&[&str]; 3] = [&node, &honest, &strangers];
        let time = Duration::from_secs(30);
        flood(&Flood { silent: 5000, sources, threads, before, time, least: 0 });
    }
}
