//! A network in memory that costs as little as one can. Its lines are as fast as memory, or carry no more than a
//! given rate.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rakt::remote::{Listener, Opening, Stream, Transport};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, Sleep};

/// What a line holds of each direction, in bytes.
const LINE_LEN: usize = 256 * 1024;
/// Most bytes that a slow line takes in one piece.
const PIECE_LEN: usize = 16 * 1024;
/// For how long a slow line that was not used makes up for it: timers are no finer than this.
const BURST: Duration = Duration::from_millis(2);

/// A network: the nodes that are given clones of it reach each other, by port.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    rate: Option<u32>,
    ports: Mutex<HashMap<u16, UnboundedSender<Line>>>,
    written: AtomicU64,
}

impl Memory {
    /// Each direction of each connection carries `rate` bytes a second.
    pub(crate) fn with_rate(rate: u32) -> Self {
        Self(Arc::new(Shared { rate: Some(rate), ..Shared::default() }))
    }

    /// Bytes that all connections have taken, in both directions.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    fn line(&self, end: DuplexStream) -> Line {
        let pace = self.0.rate.map(|rate| Pace {
            rate,
            free_at: Instant::now(),
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        });
        Line { end, pace, shared: self.0.clone() }
    }
}

impl Transport for Memory {
    fn bind<'a>(&'a self, _: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        Box::pin(async move {
            let mut ports = self.0.ports.lock().expect("not poisoned");
            let free = || (1..=u16::MAX).find(|port| !ports.contains_key(port));
            let port = if port == 0 { free() } else { Some(port) };
            let port = port.ok_or(io::ErrorKind::AddrInUse)?;
            let (dialed, accepting) = unbounded_channel();
            ports.insert(port, dialed);
            let listener: Box<dyn Listener> = Box::new(Accepting { port, accepting });
            Ok(listener)
        })
    }

    fn dial<'a>(&'a self, _: &'a str, port: u16, _: Duration) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async move {
            let (near, far) = tokio::io::duplex(LINE_LEN);
            let ports = self.0.ports.lock().expect("not poisoned");
            let listener = ports.get(&port).ok_or(io::ErrorKind::ConnectionRefused)?;
            listener.send(self.line(far)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            let stream: Box<dyn Stream> = Box::new(self.line(near));
            Ok(stream)
        })
    }
}

struct Accepting {
    port: u16,
    accepting: UnboundedReceiver<Line>,
}

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let line = self.accepting.recv().await.ok_or(io::ErrorKind::NotConnected)?;
            let stream: Box<dyn Stream> = Box::new(line);
            Ok((stream, "memory".to_owned()))
        })
    }

    fn port(&self) -> u16 {
        self.port
    }
}

/// One end of a connection.
struct Line {
    end: DuplexStream,
    pace: Option<Pace>,
    shared: Arc<Shared>,
}

/// Spaces out what is written.
struct Pace {
    /// Bytes a second.
    rate: u32,
    /// When all that was written will have passed.
    free_at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Pace {
    /// Ready when the line takes something.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timer.as_mut().poll(cx)
    }

    fn note(&mut self, written: usize) {
        let now = Instant::now();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let takes = Duration::from_secs_f64(written as f64 / f64::from(self.rate));
        self.free_at = self.free_at.max(earliest) + takes;
        self.timer.as_mut().reset(self.free_at);
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_read(cx, buf)
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { end, pace, shared } = &mut *self;
        let mut bytes = bytes;
        if let Some(pace) = pace {
            ready!(pace.poll(cx));
            bytes = &bytes[..bytes.len().min(PIECE_LEN)];
        }
        let n = ready!(Pin::new(end).poll_write(cx, bytes))?;
        if let Some(pace) = pace {
            pace.note(n);
        }
        shared.written.fetch_add(n as u64, Ordering::Relaxed);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.end).poll_shutdown(cx)
    }
}
