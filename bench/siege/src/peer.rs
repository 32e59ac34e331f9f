//! A peer that speaks in bytes: it goes through the greeting, and then says what it likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rakt_wire::goakt::StreamEncoder;
use rakt_wire::native::{Handshake, Hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::Result;
use crate::over::{Over, Stream};
use crate::phrase::{At, Opening, Phrase};

/// How long a node may take for a connection and the greeting.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whether a peer reads what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ears {
    Open,
    Shut,
}

/// Whom to dial, and where from.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    pub(crate) port: u16,
    pub(crate) over: &'static Over,
    pub(crate) source: Ipv4Addr,
}

type Reader = ReadHalf<Box<dyn Stream>>;
type Writer = WriteHalf<Box<dyn Stream>>;

/// A connection that has gone through its greeting.
pub(crate) struct Peer {
    /// Parts of the phrase that have been said.
    said: u64,
    writer: Writer,
    encoder: Option<StreamEncoder>,
    /// Whoever does not listen keeps its ear all the same: without it the connection would be reset.
    _ear: Ear,
}

enum Ear {
    Open(#[expect(dead_code, reason = "it listens until it is dropped")] AbortOnDropHandle<()>),
    Shut(#[expect(dead_code, reason = "it is kept and not read")] Reader),
}

impl Peer {
    pub(crate) async fn open(line: Line, phrase: &Phrase, ears: Ears) -> Result<Self> {
        timeout(PATIENCE, Self::dial(line, phrase, ears)).await?
    }

    async fn dial(line: Line, phrase: &Phrase, ears: Ears) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if ears == Ears::Shut {
            socket.set_recv_buffer_size(4096)?;
        }
        socket.bind(SocketAddr::new(line.source.into(), 0))?;
        let stream = socket.connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), line.port)).await?;
        stream.set_nodelay(true)?;
        let is_go = matches!(phrase.opening, Opening::GoAkt(_));
        let stream = line.over.secure(stream, is_go).await?;
        let (mut reader, mut writer) = tokio::io::split(stream);
        let encoder = match phrase.opening {
            Opening::Native => {
                greet(&mut reader, &mut writer).await?;
                None
            }
            Opening::GoAkt(compression) => Some(StreamEncoder::new(compression)?),
            Opening::Nothing => None,
        };
        let ear = match ears {
            Ears::Shut => Ear::Shut(reader),
            Ears::Open => Ear::Open(AbortOnDropHandle::new(tokio::spawn(listen(reader)))),
        };
        let mut peer = Self { said: 0, writer, encoder, _ear: ear };
        peer.say(&phrase.prelude).await?;
        Ok(peer)
    }

    /// Which part comes next.
    pub(crate) fn next(&mut self) -> At {
        static UNIQUE: AtomicU64 = AtomicU64::new(0);
        self.said += 1;
        At { n: self.said - 1, unique: UNIQUE.fetch_add(1, Ordering::Relaxed) }
    }

    /// Writes bytes, compressed where the connection is.
    pub(crate) async fn say(&mut self, bytes: &[u8]) -> Result {
        if bytes.is_empty() {
            // Who has nothing to say must not keep others waiting.
            tokio::task::yield_now().await;
            return Ok(());
        }
        let Some(encoder) = &mut self.encoder else {
            return write(&mut self.writer, bytes).await;
        };
        let mut out = Vec::new();
        encoder.encode(bytes, &mut out)?;
        write(&mut self.writer, &out).await
    }
}

/// Over TLS some of it may wait for the flush.
async fn write(writer: &mut Writer, bytes: &[u8]) -> Result {
    writer.write_all(bytes).await?;
    Ok(writer.flush().await?)
}

/// The handshake of rakt's own protocol.
async fn greet(reader: &mut Reader, writer: &mut Writer) -> Result {
    let mut hello = Hello::new("mallory", [13; 16]);
    hello.compressions.clear();
    let mut handshake = Handshake::dial(hello);
    let first = handshake.poll_transmit().ok_or("the dialer speaks first")?;
    write(writer, &first).await?;
    let mut read = BytesMut::new();
    while handshake.handle_bytes(&mut read)?.is_none() {
        if reader.read_buf(&mut read).await? == 0 {
            return Err("closed without a word".into());
        }
    }
    Ok(())
}

/// Reads until the node closes.
async fn listen(mut reader: Reader) {
    let mut heard = vec![0; 64 * 1024];
    while matches!(reader.read(&mut heard).await, Ok(1..)) {}
}
