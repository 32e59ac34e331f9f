//! The task of one connection: it moves bytes and keeps time, and decides nothing.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rakt_wire::native::{
    CloseCode, Inbound, LinkError, Liveness, LivenessAction, Role, Segments, Sink, Transmit,
};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Sleep;

use super::conn::Conn;
use super::spare::{self, READ_LEN};
use super::transport::Stream;
use crate::timers::now;

/// What is read where a chunk is expected, in bytes: enough to see where the rest of it belongs.
const PROBE_LEN: usize = 4 * 1024;
/// Most pieces of one vectored write.
const MAX_SLICES: usize = 16;
/// What one read brought is copied out if it is at most this much, in bytes: the payload of a message
/// that comes alone pins no more than what came with it.
const COPIED_LEN: usize = 4 * 1024;
/// Bytes read and written before all others get a turn. A lone request on another connection may have
/// to wait for a turn of this one at four places: both ways, on both nodes.
const TURN_LEN: usize = 256 * 1024;
/// What a read counts in a turn at least.
const LEAST_COUNT: usize = TURN_LEN / 8;
/// How long a connection that ends with a reason waits for the peer to take it.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);
/// How much a peer may still send meanwhile, in bytes.
const FAREWELL_LEN: usize = 1024 * 1024;

/// Why a connection must end, and what the peer is told.
pub(crate) struct Broken {
    pub(crate) code: CloseCode,
    pub(crate) text: String,
}

/// What one end does with what arrives.
pub(crate) trait Side: Sink + Send {
    /// A read is about to be handled.
    fn begin(&mut self, now: Instant);
    /// A read has been handled; what was noted of it refers to this block.
    ///
    /// # Errors
    /// The peer went beyond what it may do; the connection ends.
    fn finish(&mut self, block: Bytes) -> Result<(), Broken>;
    /// The connection has ended.
    fn end(&mut self);
    /// Whether the connection must stay although nothing is sent.
    fn is_needed(&self) -> bool;
}

pub(crate) struct Driver<S: Side> {
    conn: Arc<Conn>,
    stream: Box<dyn Stream>,
    role: Role,
    side: S,
    inbound: Inbound,
    read: BytesMut,
    /// How much of it counts against the node's budget.
    held: usize,
    write: Segments,
    is_flushed: bool,
    /// Something was written since those that wait for room were woken.
    has_written: bool,
    /// What has been read and written in this turn.
    moved: usize,
    /// Others had their turn before what is buffered now is written.
    has_waited: bool,
    /// The peer is not read from until it has taken more.
    is_held_back: bool,
    /// Since when the peer takes nothing.
    stuck_since: Option<Instant>,
    last_use: Instant,
    liveness: Liveness,
    timer: Pin<Box<Sleep>>,
}

/// Why a connection ended.
enum End {
    /// The peer, or nobody in particular, ended it.
    Quiet(String),
    /// This end was done with it, and everything but the end itself is written.
    Done(CloseCode, String),
    /// This end ends it, and tells the peer why.
    Told(CloseCode, String),
}

/// Runs a connection to its end.
pub(crate) async fn drive<S: Side>(
    conn: Arc<Conn>,
    stream: Box<dyn Stream>,
    role: Role,
    side: S,
    early: BytesMut,
) {
    let now = now();
    let liveness = Liveness::new(now, conn.net.options.read_idle_timeout);
    let mut first = liveness.poll_timeout();
    if role == Role::Dialer {
        first = first.min(now + conn.net.options.idle_timeout);
    }
    let timer = Box::pin(tokio::time::sleep_until(first.into()));
    let mut driver = Driver {
        inbound: Inbound::new(role, conn.limits),
        conn: conn.clone(),
        stream,
        role,
        side,
        read: early,
        held: 0,
        write: Segments::default(),
        is_flushed: true,
        has_written: false,
        moved: 0,
        has_waited: false,
        is_held_back: false,
        stuck_since: None,
        last_use: now,
        liveness,
        timer,
    };
    // A handshake may have read more than its own bytes.
    let early = if driver.read.is_empty() { Ok(()) } else { driver.handle_read() };
    let end = match early {
        Ok(()) => std::future::poll_fn(|cx| driver.poll(cx)).await,
        Err(end) => end,
    };
    driver.end(end).await;
}

impl<S: Side> Driver<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.moved = 0;
        while self.moved < TURN_LEN {
            let is_open = match self.poll_write(cx) {
                Ok(is_open) => is_open,
                Err(end) => return Poll::Ready(end),
            };
            if is_open {
                match self.poll_read(cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(end)) => return Poll::Ready(end),
                    Poll::Pending => {}
                }
            }
            if self.moved >= TURN_LEN {
                break;
            }
            if self.conn.is_superseded() {
                let reason = "a newer connection of the peer took its place".to_owned();
                return Poll::Ready(End::Quiet(reason));
            }
            return self.poll_timer(cx);
        }
        // Where nobody else is ready, the runtime looks at its sockets and timers before this task
        // goes on. Woken at once, it would look only every 61st time, and all other connections would
        // wait.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        self.poll_timer(cx)
    }

    /// Writes what has piled up, as much as the peer takes; says whether to read as well.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        loop {
            let mut shared = self.conn.lock();
            shared.set_driver(cx.waker());
            if shared.is_closed() {
                return Err(End::Quiet("closed here".to_owned()));
            }
            let is_written = self.write.is_empty();
            let mut wakers = Vec::new();
            if is_written && !self.has_waited && shared.expects_more() {
                // Whoever wakes this task makes it the next to run, ahead of all the others that are
                // about to write as well. Letting them go first once makes one write of many: 64
                // askers on one core had one frame a write before.
                self.has_waited = true;
                drop(shared);
                cx.waker().wake_by_ref();
                return Ok(false);
            }
            if is_written {
                self.has_waited = false;
                shared.take_output(&mut self.write);
                // Not before it is written: while they fill the next megabyte on this thread, the
                // peer needs something to do.
                if std::mem::take(&mut self.has_written) || self.write.is_empty() {
                    wakers = shared.wake_for_room();
                }
                if shared.take_used() {
                    self.last_use = now();
                }
            }
            let is_backed_up = self.conn.is_backed_up(&mut shared);
            self.is_held_back = is_backed_up;
            let closing = match self.write.is_empty() {
                true => shared.closing.clone(),
                false => None,
            };
            drop(shared);
            wakers.into_iter().for_each(Waker::wake);
            if self.write.is_empty() && self.is_flushed {
                // An idle connection keeps no large buffer.
                self.write.shrink(READ_LEN);
                return match closing {
                    Some((code, reason)) => Err(End::Done(code, reason)),
                    None => Ok(!is_backed_up),
                };
            }
            match self.poll_push(cx) {
                Poll::Ready(Ok(())) if self.moved < TURN_LEN => {}
                Poll::Ready(Ok(())) => return Ok(!is_backed_up),
                Poll::Ready(Err(error)) => return Err(broken("write", &error)),
                Poll::Pending => {
                    let since = *self.stuck_since.get_or_insert_with(now);
                    self.arm(since + self.conn.net.options.write_timeout);
                    return Ok(!is_backed_up);
                }
            }
        }
    }

    /// Pushes the write buffer into the stream, as much as this turn allows, and flushes that: TLS may
    /// keep the last record back.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.write.is_empty() {
            self.is_flushed = false;
            let n = ready!(self.poll_write_some(cx))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.write.advance(n);
            self.has_written = true;
            self.moved += n;
            if self.is_held_back {
                // Its answers to our pings lie unread: that it takes bytes has to do.
                self.liveness.handle_read(now());
            }
            crate::metrics::sent(n);
            self.stuck_since = None;
            if self.moved >= TURN_LEN && !self.write.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.is_flushed = true;
        self.stuck_since = None;
        Poll::Ready(Ok(()))
    }

    /// Writes once: the pieces of large payloads with what is between them, where the stream can.
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        if self.write.is_contiguous() || !stream.is_write_vectored() {
            let front = self.write.front();
            return stream.poll_write(cx, &front[..front.len().min(TURN_LEN)]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = self.write.slices(TURN_LEN, &mut slices);
        stream.poll_write_vectored(cx, &slices[..filled])
    }

    /// Reads once and handles it.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        // Only while a chunk is arriving, and then nothing else is waiting to be handled.
        let filled = self.inbound.room().map(|room| {
            let mut room = room.limit(TURN_LEN);
            pin!(self.stream.read_buf(&mut room)).poll(cx)
        });
        match filled {
            Some(Poll::Ready(Ok(n))) => return Poll::Ready(self.handle_filled(n)),
            Some(Poll::Ready(Err(error))) => return Poll::Ready(Err(broken("read", &error))),
            Some(Poll::Pending) => {
                spare::lend(&mut self.read);
                return Poll::Pending;
            }
            None => {}
        }
        spare::make_room(&mut self.read);
        let limit = match self.inbound.expects_chunk() {
            true => self.inbound.wanted() + PROBE_LEN,
            false => usize::MAX,
        };
        let mut room = (&mut self.read).limit(limit);
        let n = match pin!(self.stream.read_buf(&mut room)).poll(cx) {
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(broken("read", &error))),
            Poll::Pending => {
                spare::lend(&mut self.read);
                return Poll::Pending;
            }
        };
        Poll::Ready(self.note_read(n).and_then(|()| self.handle_read()))
    }

    fn note_read(&mut self, n: usize) -> Result<(), End> {
        if n == 0 {
            return Err(End::Quiet("the peer closed the connection".to_owned()));
        }
        crate::metrics::received(n);
        self.moved += n.max(LEAST_COUNT);
        Ok(())
    }

    /// Handles what was read to where it belongs.
    fn handle_filled(&mut self, n: usize) -> Result<(), End> {
        self.note_read(n)?;
        let now = now();
        self.liveness.handle_read(now);
        self.side.begin(now);
        let handled = self.inbound.handle_filled(&mut self.side);
        self.after_handling(handled, Bytes::new())
    }

    fn handle_read(&mut self) -> Result<(), End> {
        let now = now();
        self.liveness.handle_read(now);
        self.side.begin(now);
        let handled = self.inbound.handle_bytes(&self.read, &mut self.side);
        // After an error the spans noted before it still refer to what was read.
        let len = *handled.as_ref().unwrap_or(&self.read.len());
        let block = if len <= COPIED_LEN {
            let copy = Bytes::copy_from_slice(&self.read[..len]);
            self.read.advance(len);
            copy
        } else {
            self.read.split_to(len).freeze()
        };
        self.after_handling(handled.map(drop), block)?;
        self.charge_unread()
    }

    /// What was noted of the read refers to `block`.
    fn after_handling(&mut self, handled: Result<(), LinkError>, block: Bytes) -> Result<(), End> {
        let finished = self.side.finish(block);
        if let Err(error) = handled {
            return Err(End::Told(error.close_code(), error.close_text()));
        }
        finished.map_err(|broken| End::Told(broken.code, broken.text))
    }

    /// Counts what has arrived of a large frame. Ours come in chunks, which are counted elsewhere.
    fn charge_unread(&mut self) -> Result<(), End> {
        let beyond = self.read.len().saturating_sub(READ_LEN + rakt_wire::native::CHUNK_LEN);
        if beyond < self.held {
            self.side.release(self.held - beyond);
        } else if beyond > self.held && !self.side.admit(beyond - self.held) {
            let limit = self.conn.net.budget.limit();
            let text = format!(
                "no room for a frame of which {} bytes have arrived: all peers together may have \
                 {limit} bytes under way",
                self.read.len()
            );
            return Err(End::Told(CloseCode::Limit, text));
        }
        self.held = beyond;
        Ok(())
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = now();
            let options = &self.conn.net.options;
            if self.stuck_since.is_some_and(|since| now >= since + options.write_timeout) {
                let limit = options.write_timeout;
                let text = format!("the peer took nothing for {limit:?}");
                return Poll::Ready(End::Told(CloseCode::Timeout, text));
            }
            let idle_at = self.last_use + options.idle_timeout;
            if self.role == Role::Dialer && now >= idle_at {
                match self.side.is_needed() || !self.conn.finish_if_idle("idle") {
                    true => self.last_use = now,
                    false => cx.waker().wake_by_ref(),
                }
            }
            match self.liveness.handle_timeout(now) {
                LivenessAction::Ping => {
                    self.conn.write(|out| out.ping(0));
                }
                LivenessAction::Dead => {
                    let limit = options.read_idle_timeout * 2;
                    let text = format!("nothing was heard from the peer for {limit:?}");
                    return Poll::Ready(End::Told(CloseCode::Timeout, text));
                }
                _ => {}
            }
            let mut next = self.liveness.poll_timeout();
            if let Some(since) = self.stuck_since {
                next = next.min(since + self.conn.net.options.write_timeout);
            }
            if self.role == Role::Dialer {
                next = next.min(self.last_use + self.conn.net.options.idle_timeout);
            }
            self.timer.as_mut().reset(next.into());
        }
        Poll::Pending
    }

    /// Has the timer go off no later than `at`.
    fn arm(&mut self, at: Instant) {
        if self.timer.deadline() > at.into() {
            self.timer.as_mut().reset(at.into());
        }
    }

    async fn end(mut self, end: End) {
        let lingers = !matches!(end, End::Quiet(_));
        let (reason, farewell) = match end {
            End::Quiet(reason) => (reason, Vec::new()),
            End::Done(code, reason) => {
                let mut farewell = Vec::new();
                let mut shared = self.conn.lock();
                // An answer that has just been given goes first.
                shared.take_output(&mut farewell);
                shared.out.close(code, &reason);
                shared.take_output(&mut farewell);
                let waiting = shared.wake_for_room();
                drop(shared);
                waiting.into_iter().for_each(Waker::wake);
                (reason, farewell)
            }
            End::Told(code, reason) => {
                let mut farewell = self.write.to_vec();
                let mut shared = self.conn.lock();
                shared.out.close_now(code, &reason);
                shared.take_output(&mut farewell);
                let waiting = shared.wake_for_room();
                // Closed before those that waited for room try again.
                drop(shared);
                self.conn.close(&reason);
                waiting.into_iter().for_each(Waker::wake);
                tracing::warn!(peer = %self.conn.peer.name, %reason, "closing a connection");
                (reason, farewell)
            }
        };
        let told = self.conn.closed();
        let reason = told.as_deref().unwrap_or(&reason);
        self.conn.close(reason);
        self.inbound.clear(&mut self.side);
        self.side.release(self.held);
        self.side.end();
        self.conn.net.link_down(&self.conn, reason);
        drop(tokio::time::timeout(FAREWELL, say_goodbye(self.stream, farewell, lingers)).await);
        self.conn.set_gone();
    }
}

/// Sends the last bytes. Where something of ours may still be under way, it then reads on until the
/// peer has closed too: closing with unread input would reset the connection, and the peer might
/// never see what was sent last.
pub(crate) async fn say_goodbye(
    mut stream: Box<dyn Stream>,
    farewell: Vec<u8>,
    lingers: bool,
) -> io::Result<()> {
    stream.write_all(&farewell).await?;
    stream.shutdown().await?;
    if lingers {
        let mut scratch = BytesMut::with_capacity(READ_LEN);
        let mut left = FAREWELL_LEN;
        while left > 0 {
            scratch.clear();
            let n = stream.read_buf(&mut scratch).await?;
            if n == 0 {
                break;
            }
            left = left.saturating_sub(n);
        }
    }
    Ok(())
}

/// The reason of a connection that the peer has closed, in words that came from the peer.
pub(crate) fn closed_by_peer(text: &str) -> String {
    format!("the peer closed the connection: {}", text.escape_debug())
}

fn broken(what: &str, error: &io::Error) -> End {
    End::Quiet(format!("{what}: {error}"))
}
