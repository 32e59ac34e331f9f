//! Connections from Go nodes.
//!
//! - `conn`: one connection: the requests that wait for their responses, as actors see it
//! - `driver`: its task, which reads requests and writes responses
//! - `handing`: a request whose messages go on their way one after another
//! - `requests`: from a message to the actor it is for; `delivery`: where that sends its reply
//! - `framework`: messages that mean something to the node itself
//! - `operations`: what is not a message
//!
//! GoAkt has no numbers in its frames: responses go out in the order of the requests. Requests are handed on
//! in their order too, each once all messages of the one before are on their way; nothing waits for the
//! replies to another.

mod conn;
mod delivery;
mod driver;
mod framework;
mod handing;
mod operations;
mod requests;

use std::net::IpAddr;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::Compression;
use rakt_wire::goakt::{Local, Opening, sniff};
use rakt_wire::native::Hello;
use tokio::io::AsyncReadExt;

pub(crate) use conn::GoConn;

use super::GoAkt;
use crate::remote::dialer::Dialer;
use crate::remote::transport::Stream;
use crate::sync::Lock;
use crate::system::ActorSystem;

/// How a node serves Go nodes.
pub(crate) struct Serving {
    /// The names under which they reach this one.
    local: Local,
    native: bool,
    max_pipelined: u32,
    read_idle_timeout: Duration,
    conns: Mutex<Vec<Weak<GoConn>>>,
    /// Answers to asynchronous requests that are under way.
    answers: AtomicU32,
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
        Arc::new(Self {
            local,
            native: options.native,
            max_pipelined: options.max_pipelined,
            read_idle_timeout: options.read_idle_timeout,
            conns: Mutex::default(),
            answers: AtomicU32::new(0),
        })
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
        stream: Box<dyn Stream>,
        (from, compression): (String, Compression),
        early: BytesMut,
    ) {
        let conn = GoConn::new(self.clone(), dialer.resources.clone(), system, from);
        crate::remote::node::note(&mut self.conns.hold(), &conn);
        if dialer.is_closed() {
            conn.close();
        }
        driver::drive(conn, compression, stream, early).await;
    }

    /// Has all connections end once what is answered by now is written.
    pub(crate) fn close(&self) -> Vec<Arc<GoConn>> {
        let conns: Vec<_> = self.conns.hold().iter().filter_map(Weak::upgrade).collect();
        conns.iter().for_each(|conn| conn.close());
        conns
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
        if stream.read_buf(early).await? == 0 {
            return Ok(None);
        }
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
