//! Strangers in great numbers: those who say nothing, those who begin handshakes and do not end them, and those whose
//! certificate is no good. Who has a good one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::certificates::Ca;
use crate::strangers::{client, dial};

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

/// How long each ask of the honest took.
#[derive(Default)]
struct Asked(Vec<Duration>);

impl Asked {
    fn p99(&mut self) -> Duration {
        self.0.sort_unstable();
        self.0[self.0.len() * 99 / 100]
    }
}

/// Asks until it is told to stop: none of it may fail.
async fn ask(tls: Tls, port: u16, stop: Arc<AtomicBool>) -> Asked {
    let client = Client::new("client", ClientConfig::new().tls(tls)).expect("it is valid");
    let address = Address::new("greeter", "server", "127.0.0.1", port).expect("an address");
    let mut asked = Asked::default();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = client.ask(&address, Hello {}).timeout(Duration::from_secs(20)).await;
        assert_eq!(answer.expect("it is answered"), 1);
        asked.0.push(start.elapsed());
    }
    client.close().await;
    asked
}

/// Where the strangers are: they have threads of their own.
fn elsewhere() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Attacks for so long, and tells how many handshakes were refused, and how long the honest took before and while.
fn flood(silent: usize, time: Duration) -> (usize, Duration, Duration) {
    let (near, far, strangers) = (elsewhere(), elsewhere(), elsewhere());
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let node = far.block_on(async {
        let config = Config::new("127.0.0.1", 0).tls(ca.tls("server"));
        let node = ActorSystem::builder("server").remoting(config).start().await;
        let node = node.expect("it is good");
        node.spawn("greeter", || Greeter).await.expect("it is there");
        node
    });
    let port = node.advertised().1;
    let measured = |time, is_enough: &dyn Fn() -> bool| {
        let stop = Arc::<AtomicBool>::default();
        let asking = near.spawn(ask(ca.tls("client"), port, stop.clone()));
        std::thread::sleep(time);
        // A machine that has much else to do needs longer for as much.
        for _ in 0..600 {
            if is_enough() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
        near.block_on(asking).expect("none has failed").p99()
    };
    let alone = measured(time / 4, &|| true);
    let refused = Arc::<AtomicUsize>::default();
    let wrong = other.node("client");
    let attacks = {
        let refused = refused.clone();
        strangers.spawn(async move {
            let mut attacks = JoinSet::new();
            for _ in 0..silent {
                attacks.spawn(async move {
                    loop {
                        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                            drop(stream.read(&mut [0; 16]).await);
                        }
                    }
                });
            }
            for _ in 0..8 {
                let (config, refused) = (client(Some(&wrong)), refused.clone());
                attacks.spawn(async move {
                    loop {
                        if let Ok(mut stream) = dial(port, config.clone()).await
                            && stream.read(&mut [0; 16]).await.is_err()
                        {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
                attacks.spawn(async move {
                    loop {
                        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                            drop(stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).await);
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                });
            }
            attacks.join_all().await;
        })
    };
    let besieged = measured(time, &|| refused.load(Ordering::Relaxed) > 20);
    attacks.abort();
    strangers.shutdown_background();
    far.block_on(node.shutdown());
    (refused.load(Ordering::Relaxed), alone, besieged)
}

fn report(refused: usize, alone: Duration, besieged: Duration) {
    println!(
        "{refused} refused; of 100 asks 99 took {alone:?} at most alone, {besieged:?} in the flood"
    );
}

#[test]
fn whoever_has_a_good_certificate_goes_on_in_a_flood() {
    let (refused, alone, besieged) = flood(500, Duration::from_secs(2));
    report(refused, alone, besieged);
    assert!(refused > 20, "{refused} handshakes are no flood");
}

/// Needs 10,000 file descriptors.
#[test]
#[ignore = "long: for figures"]
fn five_thousand_silent_peers_and_handshakes_for_half_a_minute() {
    let (refused, alone, besieged) = flood(5000, Duration::from_secs(30));
    report(refused, alone, besieged);
}
