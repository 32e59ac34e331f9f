//! A transport over TCP, or over a network in memory, that can be cut, frozen and looked at.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rakt::remote::{Listener, Opening, Stream, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::memory::Memory;

/// The connections that a node dials, in the hands of the test.
#[derive(Clone, Default)]
pub(crate) struct Cable(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Without one, it is TCP.
    memory: Option<Memory>,
    dials: Mutex<Vec<Duration>>,
    is_unplugged: Mutex<bool>,
    lines: Mutex<Vec<Arc<Line>>>,
    written: AtomicU64,
    open: AtomicUsize,
    made: AtomicUsize,
    /// Bytes that may still be written; without one, any number.
    allowance: Mutex<Option<usize>>,
    /// Connections that were cut while the network still held bytes of theirs.
    stray: Mutex<Vec<Stray>>,
}

/// A connection that has been cut, and what the network held of it.
struct Stray {
    stream: Box<dyn Stream>,
    held: Vec<u8>,
}

#[derive(Default)]
struct Line(Mutex<LineState>);

#[derive(Default)]
struct LineState {
    is_cut: bool,
    is_frozen: bool,
    /// What was written and is still on its way, where the network is slow.
    held: Option<Vec<u8>>,
    wakers: Vec<Waker>,
}

impl Line {
    fn change(&self, f: impl FnOnce(&mut LineState)) {
        let mut state = self.0.lock().expect("not poisoned");
        f(&mut state);
        state.wakers.drain(..).for_each(Waker::wake);
    }

    /// Ready when bytes may pass, or never will.
    fn poll(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock().expect("not poisoned");
        if state.is_cut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !state.wakers.iter().any(|known| known.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        if state.is_frozen { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl Cable {
    /// Over a network in memory. On a paused clock, time passes only when all have done what they can.
    pub(crate) fn over(memory: &Memory) -> Self {
        Self(Arc::new(Shared { memory: Some(memory.clone()), ..Shared::default() }))
    }

    /// Breaks the connections there are; new ones can be made.
    pub(crate) fn cut(&self) {
        for line in self.0.lines.lock().expect("not poisoned").drain(..) {
            line.change(|state| state.is_cut = true);
        }
    }

    /// Breaks the connections there are, and lets none be made until [`Cable::plug`].
    pub(crate) fn unplug(&self) {
        *self.0.is_unplugged.lock().expect("not poisoned") = true;
        self.cut();
    }

    pub(crate) fn plug(&self) {
        *self.0.is_unplugged.lock().expect("not poisoned") = false;
    }

    /// Lets no byte pass on the connections there are, and says nothing.
    pub(crate) fn freeze(&self) {
        for line in self.0.lines.lock().expect("not poisoned").iter() {
            line.change(|state| state.is_frozen = true);
        }
    }

    /// Keeps what is written from now on in the network, on the connections there are.
    pub(crate) fn hold(&self) {
        for line in self.0.lines.lock().expect("not poisoned").iter() {
            line.change(|state| state.held = Some(Vec::new()));
        }
    }

    /// Delivers what the network held of connections that have been cut since.
    pub(crate) async fn deliver_late(&self) {
        let stray = std::mem::take(&mut *self.0.stray.lock().expect("not poisoned"));
        for Stray { mut stream, held } in stray {
            // The peer may have closed its end.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, &held).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut Vec::new()).await;
        }
    }

    /// Connections that were cut while the network held bytes of theirs.
    pub(crate) fn stray_count(&self) -> usize {
        self.0.stray.lock().expect("not poisoned").len()
    }

    /// Lets this many more bytes be written, and then none until the next call.
    pub(crate) fn allow(&self, bytes: usize) {
        *self.0.allowance.lock().expect("not poisoned").get_or_insert(0) += bytes;
        for line in self.0.lines.lock().expect("not poisoned").iter() {
            line.change(|_| {});
        }
    }

    /// How often was dialed.
    pub(crate) fn dial_count(&self) -> usize {
        self.0.dials.lock().expect("not poisoned").len()
    }

    /// Connections that were ever made.
    pub(crate) fn made_count(&self) -> usize {
        self.0.made.load(Ordering::Relaxed)
    }

    /// The interval of keep-alive that was asked for with each dial.
    pub(crate) fn keep_alives(&self) -> Vec<Duration> {
        self.0.dials.lock().expect("not poisoned").clone()
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub(crate) fn open_count(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }
}

impl Transport for Cable {
    fn bind<'a>(&'a self, host: &'a str, port: u16) -> Opening<'a, Box<dyn Listener>> {
        if let Some(memory) = &self.0.memory {
            return memory.bind(host, port);
        }
        Box::pin(async move {
            let listener = TcpListener::bind((host, port)).await?;
            let listener: Box<dyn Listener> = Box::new(Accepting(listener));
            Ok(listener)
        })
    }

    fn dial<'a>(
        &'a self,
        host: &'a str,
        port: u16,
        keep_alive: Duration,
    ) -> Opening<'a, Box<dyn Stream>> {
        Box::pin(async move {
            self.0.dials.lock().expect("not poisoned").push(keep_alive);
            if *self.0.is_unplugged.lock().expect("not poisoned") {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            let stream: Box<dyn Stream> = match &self.0.memory {
                Some(memory) => memory.dial(host, port, keep_alive).await?,
                None => {
                    let tcp = TcpStream::connect((host, port)).await?;
                    tcp.set_nodelay(true)?;
                    Box::new(tcp)
                }
            };
            if *self.0.is_unplugged.lock().expect("not poisoned") {
                return Err(io::ErrorKind::NetworkUnreachable.into());
            }
            let line = Arc::new(Line::default());
            self.0.lines.lock().expect("not poisoned").push(line.clone());
            self.0.open.fetch_add(1, Ordering::Relaxed);
            self.0.made.fetch_add(1, Ordering::Relaxed);
            let wire: Box<dyn Stream> =
                Box::new(Wire { stream: Some(stream), line, cable: self.0.clone() });
            Ok(wire)
        })
    }
}

struct Accepting(TcpListener);

impl Listener for Accepting {
    fn accept(&mut self) -> Opening<'_, (Box<dyn Stream>, String)> {
        Box::pin(async move {
            let (tcp, peer) = self.0.accept().await?;
            let stream: Box<dyn Stream> = Box::new(tcp);
            Ok((stream, peer.to_string()))
        })
    }

    fn port(&self) -> u16 {
        self.0.local_addr().expect("it is bound").port()
    }
}

struct Wire {
    /// There until it is dropped.
    stream: Option<Box<dyn Stream>>,
    line: Arc<Line>,
    cable: Arc<Shared>,
}

impl Wire {
    fn stream(&mut self) -> Pin<&mut Box<dyn Stream>> {
        Pin::new(self.stream.as_mut().expect("there until it is dropped"))
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cable.open.fetch_sub(1, Ordering::Relaxed);
        let held = self.line.0.lock().expect("not poisoned").held.take();
        if let (Some(held), Some(stream)) = (held, self.stream.take()) {
            self.cable.stray.lock().expect("not poisoned").push(Stray { stream, held });
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.line.poll(cx))?;
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.line.poll(cx))?;
        if let Some(held) = &mut self.line.0.lock().expect("not poisoned").held {
            held.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        let cable = self.cable.clone();
        let mut allowance = cable.allowance.lock().expect("not poisoned");
        let len = bytes.len().min(allowance.unwrap_or(usize::MAX));
        if len == 0 && !bytes.is_empty() {
            return Poll::Pending;
        }
        let n = std::task::ready!(self.stream().poll_write(cx, &bytes[..len]))?;
        if let Some(allowance) = &mut *allowance {
            *allowance -= n;
        }
        self.cable.written.fetch_add(n as u64, Ordering::Relaxed);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What the network holds is followed by the end of the stream only when it is delivered.
        if self.line.0.lock().expect("not poisoned").held.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.stream().poll_shutdown(cx)
    }
}
