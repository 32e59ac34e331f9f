//! A way to etcd that can be shut in either direction.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ways {
    /// What etcd says is swallowed.
    pub(crate) deaf: bool,
    /// What is said to etcd is swallowed.
    pub(crate) mute: bool,
    /// So many connections are dead, from the first on: nothing passes, and nobody is told.
    pub(crate) dead: usize,
}

pub(crate) struct Proxy {
    address: SocketAddr,
    ways: Arc<watch::Sender<Ways>>,
    task: JoinHandle<()>,
    opened: watch::Receiver<usize>,
}

impl Proxy {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let ways = Arc::new(watch::Sender::new(Ways::default()));
        let (count, opened) = watch::channel(0);
        let task = tokio::spawn({
            let ways = ways.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let Ok(server) = TcpStream::connect(server).await else { continue };
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    count.send_modify(|count| *count += 1);
                    let number = *count.borrow();
                    let shut = |of: fn(&Ways) -> bool| {
                        let ways = ways.subscribe();
                        move || of(&ways.borrow()) || number <= ways.borrow().dead
                    };
                    tokio::spawn(pass(from_client, to_server, shut(|ways| ways.mute)));
                    tokio::spawn(pass(from_server, to_client, shut(|ways| ways.deaf)));
                }
            }
        });
        Self { address, ways, task, opened }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn set(&self, ways: Ways) {
        self.ways.send_replace(ways);
    }

    /// How many connections there have been.
    pub(crate) fn opened(&self) -> usize {
        *self.opened.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection that has swallowed something is broken for good, and silent: nobody is told.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_shut: impl Fn() -> bool + Send) {
    let mut bytes = vec![0; 1 << 16];
    let mut is_broken = false;
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        is_broken |= is_shut();
        if !is_broken && to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}
