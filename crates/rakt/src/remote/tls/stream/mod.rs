//! A TLS connection as a stream.
//!
//! ```text
//! socket ── one read ──► unread ── opened where it lies, copied once ──► reader   (`rest`: had no room there)
//! socket ◄── one write ── unsent ◄── sealed, short pieces joined ─────── writer
//! ```
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod` | the stream, and its handshake |
//! | `step` | what rustls is asked to do next |
//! | `room` | where bytes wait: an idle connection keeps no buffer |

mod room;
mod step;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::remote::handshakes::Entering;
use crate::remote::io::{FAREWELL_LEN, Farewell, say_goodbye};
use crate::remote::transport::Stream;
use room::Room;
use step::{Session, Step, Task, Turn};

/// What a peer may send without a byte of data, in bytes: tickets, updates of keys, and the longest record as long as
/// it is not complete.
const MAX_BARE_LEN: usize = 64 * 1024;

/// How long a peer that has come in may be waited for, in all, once its first message is there. 2 s.
const REST: Duration = Duration::from_secs(2);
/// What is said of one for which that is not enough.
const TOO_SLOW: &str = "the peer has not gone on with it within 2s";

/// A TLS connection after its handshake.
pub(crate) struct TlsStream {
    stream: Box<dyn Stream>,
    session: Session,
    /// Received, not opened yet.
    unread: Room,
    /// Whole records may be among the unread, because the reader had no room for them.
    is_held: bool,
    /// Opened, but there was no room for it.
    rest: BytesMut,
    /// Sealed, not taken by the socket yet.
    unsent: Room,
    /// Nothing more comes from the peer.
    has_ended: bool,
    /// Nothing more is sealed, and nothing opened.
    is_shut: bool,
    /// Received since the last data, in bytes.
    bare_len: usize,
    failed: Option<Box<rustls::Error>>,
}

/// The handshake of the side that dialed.
///
/// # Errors
/// The [`rustls::Error`] is inside the error if there is one. The peer has been told then.
pub(crate) async fn connect(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: Box<dyn Stream>,
) -> io::Result<TlsStream> {
    let session = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
    Box::new(TlsStream::new(Session::Dialed(session), stream)).shake_hands(None).await
}

/// The handshake of the side that took the connection, of which `early` has been read.
///
/// # Errors
/// Like [`connect`].
pub(crate) async fn accept(
    config: Arc<ServerConfig>,
    stream: Box<dyn Stream>,
    early: BytesMut,
    entering: Option<Entering<'_>>,
) -> io::Result<TlsStream> {
    let session = UnbufferedServerConnection::new(config).map_err(invalid)?;
    let mut stream = Box::new(TlsStream::new(Session::Accepted(session), stream));
    stream.unread.put(&early);
    // Else it would be there twice until the handshake is over.
    drop(early);
    stream.shake_hands(entering).await
}

impl TlsStream {
    fn new(session: Session, stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            session,
            unread: Room::default(),
            is_held: false,
            rest: BytesMut::new(),
            unsent: Room::default(),
            has_ended: false,
            is_shut: false,
            bare_len: 0,
            failed: None,
        }
    }

    /// The chain of the peer, its own certificate first.
    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.session.state().peer_certificates()
    }

    /// The application protocol that both sides have agreed on.
    pub(crate) fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.state().alpn_protocol()
    }

    /// In boxes: what a future may hold makes the task of a connection larger as long as that lives.
    async fn shake_hands(mut self: Box<Self>, entering: Option<Entering<'_>>) -> io::Result<Self> {
        let Err(error) = Box::pin(self.go_on(entering)).await else {
            return Ok(*self);
        };
        // The peer reads the alert before it sees that the connection is gone.
        let alert = Farewell::new(self.unsent.filled().to_vec(), ());
        Box::pin(say_goodbye(self.stream, alert)).await;
        Err(error)
    }

    /// Shakes hands. A peer that comes in has its turns, and little time of its own between them.
    async fn go_on(&mut self, mut entering: Option<Entering<'_>>) -> io::Result<()> {
        let mut left = REST;
        loop {
            let is_over = match &mut entering {
                Some(entering) => {
                    self.unread.lend();
                    entering.keep(self.unread.kept_len()).map_err(io::Error::other)?;
                    let _turn = entering.turn().await;
                    self.work_out()?
                }
                None => self.work_out()?,
            };
            let exchanged = poll_fn(|cx| self.poll_exchange(is_over, cx));
            if entering.is_some() {
                let since = Instant::now();
                let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, TOO_SLOW));
                tokio::time::timeout(left, exchanged).await.unwrap_or_else(late)?;
                left = left.saturating_sub(since.elapsed());
            } else {
                exchanged.await?;
            }
            if is_over {
                return Ok(());
            }
        }
    }

    /// Does what can be done with what was received; true if the handshake is over.
    fn work_out(&mut self) -> io::Result<bool> {
        while !self.has_ended {
            match self.step(&mut ReadBuf::new(&mut []), Task::Open)? {
                Step::Moved | Step::Opened | Step::Sealed(_) => {}
                Step::Ended => self.has_ended = true,
                Step::Ready => {
                    self.bare_len = 0;
                    self.unread.lend();
                    return Ok(true);
                }
                Step::Starved => return Ok(false),
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends what is there to be sent, and reads once unless the handshake is over.
    fn poll_exchange(&mut self, is_over: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if is_over { Poll::Ready(Ok(())) } else { self.poll_receive(cx) }
    }

    /// Has rustls go on by one step.
    ///
    /// It keeps the beginning of a handshake message among the unread, and counts on seeing it each time: so they are
    /// shown to it when something is sealed too. Whole records that are held it would open then. Those come behind
    /// data, and behind data no handshake message has begun.
    fn step(&mut self, into: &mut ReadBuf<'_>, task: Task<'_>) -> io::Result<Step> {
        if let Some(error) = &self.failed {
            return Err(invalid((**error).clone()));
        }
        let unread = if self.is_held { &mut [] } else { self.unread.filled_mut() };
        let mut turn = Turn { into, rest: &mut self.rest, unsent: &mut self.unsent, task };
        let (len, step) = self.session.step(unread, &mut turn);
        self.unread.advance(len);
        if let Ok(Step::Opened) = step {
            self.bare_len = 0;
        }
        step.map_err(|error| self.fail(error))
    }

    /// Ends the connection. What the peer shall know of that is among the unsent.
    fn fail(&mut self, error: rustls::Error) -> io::Error {
        // To go on further than that would be to open again what cannot be opened.
        while self.session.state().wants_write() {
            let (into, rest) = (&mut ReadBuf::new(&mut []), &mut self.rest);
            let mut turn = Turn { into, rest, unsent: &mut self.unsent, task: Task::Open };
            if self.session.step(&mut [], &mut turn).1.is_err() {
                break;
            }
        }
        self.unread.clear();
        invalid((**self.failed.insert(Box::new(error))).clone())
    }

    /// Opens as many records as the reader has room for, and at least one if there is one.
    fn open(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> io::Result<()> {
        self.is_held = false;
        loop {
            let is_sending = !self.unsent.is_empty();
            let step = self.step(into, Task::Open);
            if step.is_err() && !is_sending {
                // The alert. If a writer waits for the socket, it sends that, and must not lose its place.
                drop(self.poll_drain(cx));
            }
            match step? {
                // Most often: what rustls may still want to say goes before the next that is sealed.
                Step::Opened if self.unread.is_empty() => return Ok(()),
                Step::Opened => {
                    self.is_held = !self.unread.has_record(into.remaining());
                    if self.is_held {
                        return Ok(());
                    }
                }
                Step::Moved | Step::Sealed(_) => {}
                Step::Ready | Step::Starved => return Ok(()),
                Step::Ended => {
                    self.has_ended = true;
                    self.unread.clear();
                    return Ok(());
                }
            }
        }
    }

    /// Seals what `task` says, and returns how much that was.
    fn seal(&mut self, task: Task<'_>) -> io::Result<usize> {
        loop {
            match self.step(&mut ReadBuf::new(&mut []), task)? {
                Step::Sealed(len) => return Ok(len),
                Step::Moved | Step::Opened => {}
                Step::Ended => self.has_ended = true,
                Step::Ready | Step::Starved => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Reads once.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = &self.failed {
            return Poll::Ready(Err(invalid((**error).clone())));
        }
        let vacant = self.unread.vacant();
        let most = if self.is_shut { FAREWELL_LEN } else { MAX_BARE_LEN };
        if vacant.is_empty() || self.bare_len > most {
            let flood = "the peer sends no data, but more of all else than is taken from it";
            return Poll::Ready(Err(self.fail(rustls::Error::General(flood.to_owned()))));
        }
        let mut buf = ReadBuf::new(vacant);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut buf);
        let len = buf.filled().len();
        self.unread.fill(len);
        if len == 0 {
            self.unread.lend();
        }
        ready!(polled)?;
        self.bare_len += len;
        self.has_ended = len == 0;
        match self.has_ended && !self.unread.is_empty() {
            true => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Reads to the end, and drops what comes: behind our last word nobody needs that. Rustls must not see it, since it
    /// would answer what it cannot open with an alert, and panics where it has said its last word.
    fn poll_drop(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.has_ended {
            self.unread.clear();
            ready!(self.poll_receive(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Has the socket take all that is sealed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.unsent.filled()) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => self.unsent.advance(len),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.unsent.lend();
                    return Poll::Pending;
                }
            }
        }
        self.unsent.lend();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buf.remaining());
        if this.is_shut {
            return this.poll_drop(cx);
        }
        if !this.rest.is_empty() {
            let len = this.rest.len().min(before);
            buf.put_slice(&this.rest.split_to(len));
            if this.rest.is_empty() {
                this.rest = BytesMut::new();
            }
        }
        while buf.remaining() == before && before > 0 && !this.has_ended {
            if !this.is_held {
                ready!(this.poll_receive(cx))?;
            }
            this.open(cx, buf)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        if this.is_shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let len = this.seal(Task::Seal(pieces))?;
        // What the socket does not take now goes with what comes next, at the latest with a flush.
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(len)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.is_shut, true) && this.failed.is_none() {
            this.seal(Task::Close)?;
        }
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
