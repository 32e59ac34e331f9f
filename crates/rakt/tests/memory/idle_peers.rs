//! What a peer costs that is connected and says nothing. Each side has its own threads, so that their memory
//! is told apart.

use rakt::prelude::*;
use rakt::remote::{Client, ClientConfig, Config};
#[cfg(feature = "_tls")]
use rakt::remote::{Secret, Tls};

use crate::TURN;
use crate::allocator::{Side, bytes, runtime};

#[derive(Clone, PartialEq, prost::Message)]
struct Ping {
    #[prost(bytes = "vec", tag = "1")]
    payload: Vec<u8>,
}

rakt::messages! {
    Ping as "links.Ping" => Ping,
}

#[derive(Default)]
struct Echo;

impl Actor for Echo {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Ping>();
    }
}

impl Handler<Ping> for Echo {
    async fn handle(&mut self, ping: Ping, _: &mut Context<Self>) -> Result<Ping> {
        Ok(ping)
    }
}

const PEERS: usize = 200;
/// Heap of the node for each peer. The target is 24 KiB with the kernel's share and all else.
const LIMIT: i64 = 12 * 1024;
/// What TLS adds: the chain of the peer, and what rustls keeps. The keys are with the library for cryptography, whose
/// memory is not seen here.
#[cfg(feature = "_tls")]
const ENCRYPTED_LIMIT: i64 = 5 * 1024;

#[test]
fn an_idle_peer_costs_a_node_little() -> Result {
    let each = bytes_of_a_peer(PEERS, Config::new("127.0.0.1", 0), ClientConfig::new)?;
    println!("bytes of heap for a peer that is idle: {each}");
    assert!(each <= LIMIT, "{each} bytes for an idle peer");
    Ok(())
}

#[cfg(feature = "_tls")]
#[test]
fn an_idle_encrypted_peer_costs_little_more() -> Result {
    let (config, dialing) = (Config::new("127.0.0.1", 0), ClientConfig::new());
    let plain = bytes_of_a_peer(PEERS, config.clone(), || dialing.clone())?;
    let tls = Tls::from_secret(Secret::generate());
    let added =
        bytes_of_a_peer(PEERS, config.tls(tls.clone()), || dialing.clone().tls(tls.clone()))?
            - plain;
    println!("bytes of heap that TLS adds to a peer that is idle: {added}");
    assert!(added <= ENCRYPTED_LIMIT, "{added} bytes for TLS");
    Ok(())
}

/// Bytes of heap that each of so many peers costs a node.
pub(crate) fn bytes_of_a_peer(
    count: usize,
    config: Config,
    dialing: impl Fn() -> ClientConfig,
) -> Result<i64> {
    let _turn = TURN.blocking_lock();
    let (peers, node) = (runtime(Side::Near), runtime(Side::Far));
    let port = node.block_on(node.spawn(async {
        let system = ActorSystem::builder("node").remoting(config).start().await?;
        system.spawn("echo", Echo::default).await?;
        Ok::<_, rakt::BoxError>(system.advertised().1)
    }))??;
    let address: Address = format!("rakt://node@127.0.0.1:{port}/echo").parse()?;
    let connect = |count: usize| {
        let address = address.clone();
        let dialing: Vec<_> = (0..count).map(|_| dialing()).collect();
        peers.block_on(async move {
            let mut clients = Vec::new();
            for dialing in dialing {
                let client = Client::new("peer", dialing)?;
                // More than what is kept of a small read, both ways.
                client.ask(&address, Ping { payload: vec![7; 10_000] }).await?;
                clients.push(client);
            }
            Ok::<_, rakt::BoxError>(clients)
        })
    };

    let mut clients = connect(16)?;
    let before = bytes(Side::Far);
    clients.extend(connect(count)?);
    let each = (bytes(Side::Far) - before) / count as i64;
    assert!(each > 256, "{each} bytes: no connection can do with so little, so they are gone");
    Ok(each)
}
