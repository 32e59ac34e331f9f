//! Connections from Go nodes.
//!
//! Imports run downward in this table.
//!
//! | files | what is in them |
//! | --- | --- |
//! | `session` | what the bytes of a connection mean: requests in, responses out |
//! | `ahead` | what is read and not looked at, to hear of it when the peer goes |
//! | `handing` | a request whose messages go on their way one after another |
//! | `requests`, `operations` | from a message to the actor it is for; what is not a message |
//! | `grains` | messages to grains, and to bring one to life |
//! | `spawning` | what a Go node wants of an actor that it spawns |
//! | `framework`, `delivery` | messages for the node itself; what a mailbox holds, and where replies go |
//! | `conn` | the requests that wait for their responses, as actors see them |
//! | `window` | how much may wait for one receiver |
//! | `terms` | on what terms all Go nodes are served |
//!
//! GoAkt has no numbers in its frames: responses go out in the order of the requests. Requests are handed on
//! in their order too, each once all messages of the one before are on their way; nothing waits for the
//! replies to another.

mod ahead;
mod conn;
mod delivery;
mod framework;
mod grains;
mod handing;
mod operations;
mod requests;
mod session;
mod spawning;
mod terms;
mod window;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::Compression;
use rakt_wire::goakt::{Local, Opening, sniff};
use rakt_wire::native::Hello;
use tokio::io::AsyncReadExt;

pub(crate) use conn::GoConn;

use self::terms::Terms;
use self::window::Windows;
use super::options::GoAkt;
use crate::remote::admission::Greeting;
use crate::remote::dialer::Dialer;
use crate::remote::known::Known;
use crate::remote::transport::Stream;
use crate::remote::weak_map::WeakSet;
use crate::sync::Mutex;
use crate::system::ActorSystem;

/// How a node serves Go nodes.
pub(crate) struct Serving {
    terms: Arc<Terms>,
    native: bool,
    conns: Mutex<WeakSet<GoConn>>,
}

impl Serving {
    /// `hello` is what this node says of itself; it listens on `host` and `port`.
    pub(crate) async fn new(options: &GoAkt, hello: &Hello, host: &str, port: u16) -> Arc<Self> {
        let (advertised, advertised_port) = hello.advertised.clone().unwrap_or_default();
        if !rakt_wire::goakt::is_host(&advertised) {
            tracing::warn!(
                host = advertised,
                "Go nodes cannot write this host, nor answer this node"
            );
        }
        let mut hosts = options.aliases.clone();
        for host in [host, &advertised] {
            hosts.push(host.to_owned());
            hosts.extend(addresses(host).await);
        }
        let mut local = Local::new(&hello.system, advertised, advertised_port);
        for host in hosts {
            local = local.alias(host.clone(), advertised_port).alias(host, port);
        }
        let terms = Arc::new(Terms {
            local,
            max_pipelined: options.max_pipelined,
            read_idle_timeout: options.read_idle_timeout,
            windows: Windows::new(hello.limits.receiver_window),
            answers: AtomicU32::new(0),
        });
        Arc::new(Self { terms, native: options.native, conns: Mutex::default() })
    }

    /// Whether native peers are served as well.
    pub(crate) fn serves_native(&self) -> bool {
        self.native
    }

    /// Runs a connection to its end; `early` is what has been read of it.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        dialer: &Dialer,
        system: ActorSystem,
        (stream, _known): (Box<dyn Stream>, Known),
        (greeting, compression): (Greeting, Compression),
        early: BytesMut,
    ) {
        let peer = (greeting.peer.clone(), greeting.permit.counted());
        let conn = GoConn::new(self.terms.clone(), dialer.resources.clone(), system, peer);
        self.conns.lock().insert(&conn);
        #[cfg(feature = "_tls")]
        _known.guard(&conn);
        if dialer.is_closed() {
            conn.close();
        }
        session::run(conn, (greeting, compression), stream, early).await;
    }

    /// Takes no further requests, and ends all connections: those that owe an answer after `patience` at the latest,
    /// since a task may still give it.
    pub(crate) async fn close(&self, patience: Duration) {
        let conns = self.conns.lock().values();
        conns.iter().for_each(|conn| conn.close());
        let all_gone = async {
            for conn in &conns {
                conn.gone.opened().await;
            }
        };
        let mut all_gone = pin!(all_gone);
        if tokio::time::timeout(patience, &mut all_gone).await.is_err() {
            conns.iter().for_each(|conn| conn.give_up());
            all_gone.await;
        }
    }
}

/// Reads until it is known what a connection starts with; `None` if it ends before.
pub(crate) async fn open(
    stream: &mut dyn Stream,
    early: &mut BytesMut,
) -> std::io::Result<Option<Opening>> {
    loop {
        if let Some(opening) = sniff(early) {
            return Ok(Some(opening));
        }
        early.reserve(4 * 1024);
        match stream.read_buf(early).await {
            Ok(0) => return Ok(None),
            // As health checks do that reset the connection.
            Err(_) if early.is_empty() => return Ok(None),
            heard => heard?,
        };
    }
}

/// The addresses that a host name stands for, as text.
async fn addresses(host: &str) -> Vec<String> {
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Vec::new();
    }
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => found.map(|address| address.ip().to_string()).collect(),
        Err(error) => {
            tracing::warn!(host, %error, "cannot tell by which addresses Go nodes mean this one");
            Vec::new()
        }
    }
}
