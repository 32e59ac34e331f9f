//! A node in this thread, with a clock that stands still while anybody has something to do.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::ActorSystem;
use rakt::remote::certificate::{Authority, Issued, Request};
use rakt::remote::{Config, GoAkt, Listener, Opening, Policy, Stream, Tls, Transport};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{self, Edit, Line};

/// Of what the node is reached by: nobody looks for it.
const HOST: &str = "127.0.0.1";
/// More than a client says in one input, and a node to it, in bytes.
const LINE_LEN: usize = 4 * 1024 * 1024;

thread_local! {
    pub(super) static NODE: Node = Node::start();
}

pub(super) struct Node {
    pub(super) runtime: Runtime,
    dialed: UnboundedSender<DuplexStream>,
    native: Arc<ClientConfig>,
    go: Arc<ClientConfig>,
    _system: ActorSystem,
}

impl Node {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let authority = Authority::generate("fuzz").expect("a CA");
        let issue = |name| authority.issue(&Request::new(name).host(HOST)).expect("issued");
        let (node, peer, ca) = (issue("node"), issue("peer"), authority.certificate_pem());
        let tls = tls(&node, &ca);
        let (dialed, accepting) = unbounded_channel();
        let port = Port(Mutex::new(Some(accepting)));
        let config = Config::new(HOST, 0).transport(port).tls(tls).policy(Policy::open());
        let config = config.memory_budget(4 * 1024 * 1024).goakt(GoAkt::new());
        let system = runtime.block_on(async {
            let system = ActorSystem::builder("fuzz").remoting(config).start().await;
            let system = system.expect("a node");
            // All tasks of its own are there then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            system
        });
        let (native, go) = (client::config(&peer, &ca, true), client::config(&peer, &ca, false));
        Self { runtime, dialed, native, go, _system: system }
    }

    pub(super) fn tasks(&self) -> usize {
        self.runtime.metrics().num_alive_tasks()
    }

    /// Waits until there are no more tasks than that.
    pub(super) async fn has_only(&self, tasks: usize, within: Duration) {
        let until = tokio::time::Instant::now() + within;
        while self.tasks() > tasks {
            assert!(tokio::time::Instant::now() < until, "{} tasks of {tasks}", self.tasks());
            tokio::task::yield_now().await;
            // The clock goes on by that if nobody has anything to do.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A connection on which at most `most` bytes are written at once.
    pub(super) fn dial(&self, most: usize, edits: Vec<Edit>) -> Line {
        let (near, far) = tokio::io::duplex(LINE_LEN);
        self.dialed.send(far).expect("the node is there");
        Line::new(near, most, edits)
    }

    /// The same after a handshake.
    pub(super) async fn secure(
        &self,
        most: usize,
        edits: Vec<Edit>,
        is_native: bool,
    ) -> io::Result<TlsStream<Line>> {
        let config = if is_native { &self.native } else { &self.go };
        let name = ServerName::try_from(HOST).expect("a name");
        let connecting = TlsConnector::from(config.clone()).connect(name, self.dial(most, edits));
        // A length that was made larger lets both sides wait for the rest.
        tokio::time::timeout(Duration::from_secs(30), connecting).await?
    }
}

fn tls(node: &Issued, ca: &str) -> Tls {
    Tls::from_pem(node.certificate_pem(), node.key_pem(), ca)
}

/// The node's end of all lines. It dials nobody.
struct Port(Mutex<Option<UnboundedReceiver<DuplexStream>>>);

impl Transport for Port {
    fn bind<'a>(&'a self, _: &'a str, _: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let accepting = self.0.lock().expect("not poisoned").take();
            let listener: Box<dyn Listener> =
                Box::new(Accepting(accepting.ok_or(io::ErrorKind::AddrInUse)?));
            Ok(listener)
        })
    }

    fn dial<'a>(&'a self, _: &'a str, _: u16, _: Duration) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}

struct Accepting(UnboundedReceiver<DuplexStream>);

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let line = self.0.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            let stream: Box<dyn Stream> = Box::new(line);
            Ok((stream, "memory".to_owned()))
        })
    }

    fn port(&self) -> u16 {
        1
    }
}
