//! What a peer costs that is connected and says nothing. The only test in its process, because it counts
//! all that is allocated; each side has its own threads, so that their memory is told apart.

#![cfg(all(feature = "remote", feature = "prost"))]
#![expect(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, Ordering};

use rakt::prelude::*;
use rakt::remote::{Client, Config};

struct Counting;

/// Bytes allocated and not freed: by the threads of the peers, and by those of the node.
static BYTES: [AtomicI64; 2] = [const { AtomicI64::new(0) }; 2];

thread_local! {
    static SIDE: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    BYTES[SIDE.try_with(Cell::get).unwrap_or(0)].fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: every call goes on to the system's allocator unchanged; counting has no other effect.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Clone, PartialEq, prost::Message)]
struct Ping {
    #[prost(bytes = "vec", tag = "1")]
    payload: Vec<u8>,
}

rakt::messages! {
    Ping => Ping as "links.Ping",
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

const NODE: usize = 1;
const PEERS: usize = 200;
/// Heap of the node for each peer. The target is 24 KiB with the kernel's share and all else.
const LIMIT: i64 = 12 * 1024;

fn runtime(side: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .on_thread_start(move || SIDE.set(side))
        .build()
        .expect("a runtime")
}

#[test]
fn an_idle_peer_costs_a_node_little() -> Result {
    let (peers, node) = (runtime(0), runtime(NODE));
    let port = node.block_on(node.spawn(async {
        let config = Config::new("127.0.0.1", 0);
        let system = ActorSystem::builder("node").remoting(config).start().await?;
        system.spawn("echo", Echo::default).await?;
        Ok::<_, rakt::BoxError>(system.advertised().1)
    }))??;
    let address: Address = format!("rakt://node@127.0.0.1:{port}/echo").parse()?;
    let connect = |count: usize| {
        let address = address.clone();
        peers.block_on(async move {
            let mut clients = Vec::new();
            for _ in 0..count {
                let client = Client::new("peer", Config::client())?;
                // More than what is kept of a small read, both ways.
                client.ask(&address, Ping { payload: vec![7; 10_000] }).await?;
                clients.push(client);
            }
            Ok::<_, rakt::BoxError>(clients)
        })
    };

    let mut clients = connect(16)?;
    let before = BYTES[NODE].load(Ordering::Relaxed);
    clients.extend(connect(PEERS)?);
    let each = (BYTES[NODE].load(Ordering::Relaxed) - before) / PEERS as i64;
    println!("bytes of heap for a peer that is idle: {each}");
    assert!(each > 256, "{each} bytes: no connection can do with so little, so they are gone");
    assert!(each <= LIMIT, "{each} bytes for an idle peer");
    Ok(())
}
