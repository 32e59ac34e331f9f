//! What nodes achieve that lie to the clients of a cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rakt::cluster::Static;
use rakt::error::Chain;
use rakt::prelude::*;
use rakt_wire::native::{FrameKind, HEADER_LEN, Handshake, Hello, put_failure};
use rakt_wire::{Code, Failure, Reader, put_varint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::hostile::frame;
use crate::nodes::{Add, Counter};
use crate::support::within;

/// What a lying node does with each ask.
#[derive(Clone, Copy)]
enum Lie {
    Silence,
    Refuse(Code),
}

/// A node that greets as one of the cluster, and then lies. It counts what it is asked.
struct Liar {
    port: u16,
    asked: Arc<AtomicU64>,
}

impl Liar {
    async fn new(lie: Lie) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, asked) = (listener.local_addr()?.port(), Arc::new(AtomicU64::new(0)));
        let counts = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counts = counts.clone();
                tokio::spawn(async move {
                    let _ = Self::serve(stream, lie, &counts).await;
                });
            }
        });
        Ok(Self { port, asked })
    }

    async fn serve(mut stream: TcpStream, lie: Lie, asked: &AtomicU64) -> Result {
        let mut hello = Hello::new("cluster", [77; 16]);
        hello.compressions.clear();
        let (mut handshake, mut read) = (Handshake::accept(hello), BytesMut::new());
        loop {
            stream.read_buf(&mut read).await?;
            let session = handshake.handle_bytes(&mut read)?;
            if let Some(bytes) = handshake.poll_transmit() {
                stream.write_all(&bytes).await?;
            }
            if session.is_some() {
                break;
            }
        }
        loop {
            while let Some(&[kind, ref len @ ..]) = read.first_chunk::<HEADER_LEN>() {
                let len = u32::from_be_bytes(*len) as usize;
                if read.len() < HEADER_LEN + len {
                    break;
                }
                let body = read.split_to(HEADER_LEN + len).freeze().slice(HEADER_LEN..);
                if kind != FrameKind::Ask.as_u8() {
                    continue;
                }
                asked.fetch_add(1, Ordering::Relaxed);
                let corr = Reader::new(&body).varint("corr")?;
                match lie {
                    Lie::Silence => {}
                    Lie::Refuse(code) => {
                        let mut body = Vec::new();
                        put_varint(&mut body, corr);
                        put_failure(&mut body, &Failure::new(code));
                        stream.write_all(&frame(FrameKind::Fail.as_u8(), &body)).await?;
                    }
                }
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        }
    }
}

fn client() -> Result<remote::Client> {
    Ok(remote::Client::new("client", remote::ClientConfig::new())?)
}

fn at(ports: impl IntoIterator<Item = u16>) -> Static {
    Static::new(ports.into_iter().map(|port| ("127.0.0.1", port)))
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_refuse_everything_are_not_asked_without_a_pause() -> Result {
    for code in [Code::Fenced, Code::ShuttingDown] {
        let liars = [Liar::new(Lie::Refuse(code)).await?, Liar::new(Lie::Refuse(code)).await?];
        let client = client()?;
        let ports: Vec<u16> = liars.iter().map(|liar| liar.port).collect();
        let grain = client.cluster("cluster", at(ports.clone())).grain::<Counter>("a");
        let asked = grain.ask(Add { n: 1 }).timeout(Duration::from_millis(500));
        let error = within(asked).await.expect_err("both refuse it");
        let text = Chain(&error).to_string();
        let asked: Vec<u64> = liars.iter().map(|l| l.asked.load(Ordering::Relaxed)).collect();
        for port in ports {
            assert!(text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
        }
        assert!(asked.iter().all(|asked| (1..30).contains(asked)), "{asked:?}");
        within(client.close()).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_asks_that_nobody_waits_for_nothing_is_left() -> Result {
    let liar = Liar::new(Lie::Silence).await?;
    let before = tasks();
    let client = client()?;
    let cluster = client.cluster("cluster", at([liar.port]));
    let mut asking = tokio::task::JoinSet::new();
    for key in 0..1000 {
        let grain = cluster.grain::<Counter>(key.to_string());
        asking.spawn(async move {
            let ask = grain.ask(Add { n: 1 });
            match key % 2 {
                // Dropped, and late.
                0 => drop(tokio::time::timeout(Duration::from_millis(100), ask).await),
                _ => drop(ask.timeout(Duration::from_millis(200)).await),
            }
        });
    }
    within(async { while asking.join_next().await.is_some() {} }).await;
    assert!(liar.asked.load(Ordering::Relaxed) > 0);
    within(client.close()).await;
    drop(cluster);
    within(async {
        while tasks() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    Ok(())
}
