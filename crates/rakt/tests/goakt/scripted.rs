//! A GoAkt node that does what a test tells it to, over TCP or a network in memory.
//!
//! Like a real one it takes the requests of one connection one after another.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use rakt::remote::{Compression, Listener, Opening, Stream, Transport};
use rakt_wire::goakt::{
    ErrorCode, GoAddress, GoError, Incoming, Payload, Request, Response, Server, ServerConfig,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// What the node does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Done,
    /// A reply of this type.
    Reply(&'static str, Bytes),
    NoReplies,
    Address(String),
    Error(ErrorCode, &'static str),
    /// Bytes as they are, past all compression.
    Raw(Vec<u8>),
    /// Leaves this request without an answer and goes on with the next. Not with compression.
    Unanswered,
    /// Closes the connection.
    Close,
    /// Goes on with nothing until the connection ends.
    Never,
}

pub(crate) type Doing = Pin<Box<dyn Future<Output = Act> + Send>>;
type Script = Arc<dyn Fn(Incoming) -> Doing + Send + Sync>;

/// A message as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// The number of the connection, and of the request on all of them.
    pub(crate) conn: usize,
    pub(crate) request: usize,
    pub(crate) sender: String,
    pub(crate) receiver: String,
    pub(crate) type_name: String,
    pub(crate) value: Bytes,
}

/// A node under a script.
pub(crate) struct Scripted {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    /// Every message of every tell and ask, in the order of their arrival.
    pub(crate) told: mpsc::UnboundedReceiver<Told>,
    /// Every request.
    pub(crate) requests: mpsc::UnboundedReceiver<Incoming>,
    accepting: AbortHandle,
}

struct Shared {
    script: Script,
    compression: Option<Compression>,
    told: mpsc::UnboundedSender<Told>,
    requests: mpsc::UnboundedSender<Incoming>,
    dialed: AtomicUsize,
    count: AtomicUsize,
    most_open: AtomicUsize,
    open: Mutex<HashMap<usize, AbortHandle>>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Scripted {
    /// On a free TCP port; any compression is taken.
    pub(crate) async fn tcp(script: impl Fn(Incoming) -> Doing + Send + Sync + 'static) -> Self {
        Self::on(&Tcp, 0, None, script).await
    }

    pub(crate) async fn on(
        network: &dyn Transport,
        port: u16,
        compression: Option<Compression>,
        script: impl Fn(Incoming) -> Doing + Send + Sync + 'static,
    ) -> Self {
        let mut listener = network.bind("127.0.0.1", port).await.expect("a port is free");
        let port = listener.port();
        let (told, told_here) = mpsc::unbounded_channel();
        let (requests, requests_here) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            script: Arc::new(script),
            compression,
            told,
            requests,
            dialed: AtomicUsize::new(0),
            count: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let accepting = tokio::spawn({
            let shared = shared.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let conn = shared.dialed.fetch_add(1, Ordering::SeqCst);
                    let mut open = shared.open.lock().expect("not poisoned");
                    let serving = tokio::spawn(shared.clone().serve(conn, stream));
                    open.insert(conn, serving.abort_handle());
                    shared.most_open.fetch_max(open.len(), Ordering::SeqCst);
                }
            }
        });
        let accepting = accepting.abort_handle();
        Self { port, shared, told: told_here, requests: requests_here, accepting }
    }

    /// The address of an actor on it.
    pub(crate) fn address(&self, path: &str) -> rakt::Address {
        format!("goakt://go@127.0.0.1:{}/{path}", self.port).parse().expect("an address")
    }

    /// Connections so far, and those that are open.
    pub(crate) fn dialed(&self) -> usize {
        self.shared.dialed.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.shared.open.lock().expect("not poisoned").len()
    }

    /// The most that were open at one time.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::SeqCst)
    }

    /// Ends all connections that are open.
    pub(crate) fn cut(&self) {
        for (_, serving) in self.shared.open.lock().expect("not poisoned").drain() {
            serving.abort();
        }
    }

    /// The node is gone.
    pub(crate) fn stop(&self) {
        self.accepting.abort();
        self.cut();
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, conn: usize, stream: Box<dyn Stream>) {
        let _ = self.converse(conn, stream).await;
        self.open.lock().expect("not poisoned").remove(&conn);
    }

    async fn converse(&self, conn: usize, mut stream: Box<dyn Stream>) -> io::Result<()> {
        let compression = self.compression;
        let mut server = Server::new(ServerConfig { compression, ..ServerConfig::default() });
        let mut unread = BytesMut::new();
        loop {
            let incoming = match server.poll_request(&mut unread) {
                Ok(Some(incoming)) => incoming,
                Ok(None) if server.has_more() => continue,
                Ok(None) => {
                    // What only a cluster answers is answered by now.
                    transmit(&mut server, &mut *stream).await?;
                    if stream.read_buf(&mut unread).await? == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Err(_) => {
                    // As a Go node does: it closes its own stream, and says nothing.
                    if let Some(compression) = self.compression {
                        stream.write_all(goodbye(compression)).await?;
                    }
                    return Ok(());
                }
            };
            self.note(conn, &incoming);
            let id = incoming.id;
            let act = (self.script)(incoming).await;
            let payload;
            let response = match &act {
                Act::Done | Act::Unanswered => Response::Done,
                Act::Reply(type_name, bytes) => {
                    payload = [Payload { type_name, bytes }];
                    Response::Replies(&payload)
                }
                Act::NoReplies => Response::Replies(&[]),
                Act::Address(address) => Response::Address(address),
                Act::Error(code, text) => Response::Error(GoError::new(*code, *text)),
                Act::Raw(bytes) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await?;
                    continue;
                }
                Act::Close => return Ok(()),
                Act::Never => {
                    while stream.read_buf(&mut unread).await? > 0 {}
                    return Ok(());
                }
            };
            server.respond(id, &response).expect("a response to that request");
            if let Act::Unanswered = act {
                server.poll_transmit(&mut Vec::new()).expect("it is there");
                continue;
            }
            transmit(&mut server, &mut *stream).await?;
        }
    }

    /// An ask for nothing is no request of anybody's: it shows whether answers are missing.
    fn note(&self, conn: usize, incoming: &Incoming) {
        if matches!(&incoming.request, Request::Ask { messages, .. } if messages.is_empty()) {
            return;
        }
        let request = self.count.fetch_add(1, Ordering::SeqCst);
        if let Request::Tell(messages) | Request::Ask { messages, .. } = &incoming.request {
            for message in messages.iter() {
                let _ = self.told.send(Told {
                    conn,
                    request,
                    sender: message.sender.to_owned(),
                    receiver: message.receiver.to_owned(),
                    type_name: message.message.type_name().to_owned(),
                    value: message.message.value.clone(),
                });
            }
        }
        let _ = self.requests.send(incoming.clone());
    }
}

async fn transmit(server: &mut Server, stream: &mut dyn Stream) -> io::Result<()> {
    let mut out = Vec::new();
    server.poll_transmit(&mut out).expect("it compresses");
    stream.write_all(&out).await?;
    stream.flush().await
}

/// What a Go node writes when it closes a stream that it has written nothing to.
fn goodbye(compression: Compression) -> &'static [u8] {
    match compression {
        Compression::Gzip => b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0",
        Compression::Zstd => b"\x28\xb5\x2f\xfd\x04\x48\x01\0\0\x99\xe9\xd8\x51",
        Compression::Brotli => b"\x3b",
        _ => b"",
    }
}

/// Answers as an actor does that echoes what it is asked, and takes what it is told.
pub(crate) fn echoing(incoming: Incoming) -> Act {
    match &incoming.request {
        Request::Ask { messages, .. } => {
            let Some(first) = messages.iter().next() else { return Act::NoReplies };
            // Leaked: the names in a test are few.
            let name = String::leak(first.message.type_name().to_owned());
            Act::Reply(name, first.message.value)
        }
        Request::Lookup(target) => {
            let (host, port, path) = (&*target.host, target.port, &*target.name);
            Act::Address(GoAddress { system: "go", host, port, path }.to_string())
        }
        _ => Act::Done,
    }
}

/// A script of what is known at once.
pub(crate) fn at_once(
    act: impl Fn(Incoming) -> Act + Send + Sync + 'static,
) -> impl Fn(Incoming) -> Doing + Send + Sync + 'static {
    move |incoming| Box::pin(std::future::ready(act(incoming)))
}

/// TCP, for the side that listens.
pub(crate) struct Tcp;

struct TcpListening(tokio::net::TcpListener);

impl Transport for Tcp {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let listener = tokio::net::TcpListener::bind((host, port)).await?;
            let listener: Box<dyn Listener> = Box::new(TcpListening(listener));
            Ok(listener)
        })
    }

    fn dial<'a>(
        &'a self,
        _: &'a str,
        _: u16,
        _: std::time::Duration,
    ) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }
}

impl Listener for TcpListening {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let (stream, from) = self.0.accept().await?;
            let stream: Box<dyn Stream> = Box::new(stream);
            Ok((stream, from.to_string()))
        })
    }

    fn port(&self) -> u16 {
        self.0.local_addr().map_or(0, |address| address.port())
    }
}
