//! The task of one connection: it reads requests, writes responses and keeps time.
//!
//! It goes in steps: read once, hand on what has arrived, write what is answered. A Go node waits for each
//! response before it goes on, so a tell whose mailbox has room is acknowledged within the step that read
//! it, before the actor has the message in hand.
//!
//! GoAkt never closes one direction of a connection alone. So when a peer closes its side, what it asked
//! for is given up, and its place is free for others: acknowledgements that are due are still written,
//! asks under way are cancelled. A tell that waits for room in a mailbox stays in line there.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{BufMut, BytesMut};
use rakt_wire::Compression;
use rakt_wire::goakt::{RespondError, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Sleep;

use super::conn::{Answer, GoConn};
use super::handing::{Handing, Progress};
use super::requests::Names;
use crate::remote::goakt::{counted_len, no_room};
use crate::remote::io::spare::{self, READ_LEN};
use crate::remote::io::{Farewell, TURN_LEN, say_goodbye};
use crate::remote::transport::Stream;
use crate::timers::now;

/// What a read counts in a turn at least.
const READ_COUNT: usize = TURN_LEN / 8;
/// What handing on a request or a message counts in a turn: both take about a microsecond.
const MESSAGE_COUNT: usize = 1024;

struct Driver {
    conn: Arc<GoConn>,
    stream: Box<dyn Stream>,
    server: Server,
    names: Names,
    unread: BytesMut,
    /// There is no request in what has been read before more of it arrives.
    is_parsed: bool,
    /// The request whose messages are on their way, where they cannot all go at once.
    handing: Option<Handing>,
    /// Nothing is read any more, as the peer has closed its side.
    is_over: bool,
    /// Why no request is taken any more; what was asked until then is answered.
    closing: Option<String>,
    /// Answers on their way to the server; empty but for its memory.
    answers: Vec<(u64, Answer)>,
    write: Vec<u8>,
    written: usize,
    is_flushed: bool,
    /// Since when the peer takes nothing.
    stuck_since: Option<Instant>,
    /// What this turn has done.
    moved: usize,
    /// When a request arrived or a response left.
    last_use: Instant,
    compression: Compression,
    /// Bytes that count against the node's budget for as long as the peer leaves them here.
    held: u64,
    timer: Pin<Box<Sleep>>,
}

/// Why the connection ends.
struct End {
    reason: String,
    /// The stream still takes what is left to say.
    is_open: bool,
}

impl End {
    fn lost(reason: String) -> Self {
        Self { reason, is_open: false }
    }
}

/// Runs a connection to its end.
pub(super) async fn drive(
    conn: Arc<GoConn>,
    compression: Compression,
    stream: Box<dyn Stream>,
    early: BytesMut,
) {
    conn.resources.link_up(&conn.peer, compression);
    let mut driver = Driver::new(conn, compression, stream, early);
    let end = poll_fn(|cx| driver.poll(cx)).await;
    driver.end(end).await;
}

impl Driver {
    fn new(
        conn: Arc<GoConn>,
        compression: Compression,
        stream: Box<dyn Stream>,
        early: BytesMut,
    ) -> Self {
        let config = ServerConfig {
            max_frame_len: conn.resources.options.max_frame_size as usize,
            max_in_flight: conn.serving.max_pipelined as usize,
            ..ServerConfig::default()
        };
        Self {
            stream,
            server: Server::new(config),
            names: Names::default(),
            unread: early,
            is_parsed: false,
            handing: None,
            is_over: false,
            closing: None,
            answers: Vec::new(),
            write: Vec::new(),
            written: 0,
            is_flushed: true,
            stuck_since: None,
            moved: 0,
            last_use: now(),
            compression,
            held: 0,
            timer: Box::pin(tokio::time::sleep(conn.serving.read_idle_timeout)),
            conn,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.moved = 0;
        while self.moved < TURN_LEN {
            match self.step(cx) {
                Ok(true) => {}
                Ok(false) => return self.poll_timer(cx),
                Err(end) => return Poll::Ready(end),
            }
        }
        // Where nobody else is ready, the runtime looks at its sockets and timers before this task
        // goes on.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        self.poll_timer(cx)
    }

    /// Does what can be done; false if there is nothing before `cx` is woken.
    fn step(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let could_read = self.is_reading();
        let mut has_moved = could_read && self.poll_read(cx)?;
        has_moved |= self.hand_on()?;
        has_moved |= !could_read && self.is_reading();
        has_moved |= self.respond((!has_moved).then_some(cx.waker()));
        has_moved |= self.poll_write(cx)?;
        if has_moved {
            return Ok(true);
        }
        if self.is_over {
            let reason = "the peer closed the connection".to_owned();
            return Err(End { reason: self.closing.take().unwrap_or(reason), is_open: true });
        }
        match self.closing.take_if(|_| self.server.is_idle() && self.write.is_empty()) {
            Some(reason) => Err(End { reason, is_open: true }),
            None => Ok(false),
        }
    }

    /// Whether anything is read. While there are requests left it is a little, to hear of it when the
    /// peer goes.
    fn is_reading(&self) -> bool {
        !self.is_over && (self.is_parsed || self.unread.len() < READ_LEN)
    }

    /// Reads once; false if nothing came.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        spare::make_room(&mut self.unread);
        // No more than this at once: what comes behind a large frame is moved out of its memory.
        let mut room = (&mut self.unread).limit(READ_LEN);
        match pin!(self.stream.read_buf(&mut room)).poll(cx) {
            Poll::Ready(Ok(0)) => {
                self.is_over = true;
                Ok(true)
            }
            Poll::Ready(Ok(n)) => {
                crate::metrics::received(n);
                self.moved += n.max(READ_COUNT);
                self.is_parsed = false;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(End::lost(format!("read: {error}"))),
            Poll::Pending => {
                spare::lend(&mut self.unread);
                Ok(false)
            }
        }
    }

    /// Hands on what has arrived, as far as that goes; false if there was nothing to do.
    fn hand_on(&mut self) -> Result<bool, End> {
        let (mut has_moved, mut waits) = (false, false);
        while self.moved < TURN_LEN {
            if let Some(handing) = &mut self.handing {
                let progress = handing.go_on(&self.conn, &mut self.names);
                waits = progress == Progress::Waits;
                if waits {
                    break;
                }
                self.moved += MESSAGE_COUNT;
                has_moved = true;
                if progress == Progress::Over {
                    self.handing = None;
                }
            } else if !self.is_parsed && self.take_request() {
                has_moved = true;
            } else {
                break;
            }
        }
        self.hold(waits)?;
        Ok(has_moved)
    }

    /// Takes the next request, or does a part of the work for it; false if it is not there.
    fn take_request(&mut self) -> bool {
        let (unread, decompressed) = (self.unread.len(), self.server.decompressed());
        let next = self.server.poll_request(&mut self.unread);
        self.moved += (self.server.decompressed() - decompressed) as usize;
        if unread - self.unread.len() > READ_LEN {
            // What is left would keep the memory of a large frame.
            self.unread = BytesMut::from(&self.unread[..]);
        }
        match next {
            Ok(Some(incoming)) => {
                // Its bytes count as messages from here on.
                self.conn.release(std::mem::take(&mut self.held));
                self.last_use = now();
                self.handing = self.conn.take_on(incoming);
                self.moved += MESSAGE_COUNT;
                true
            }
            Ok(None) => {
                self.is_parsed = !self.server.has_more() && !self.server.is_full();
                self.server.has_more()
            }
            Err(error) => {
                tracing::warn!(peer = %self.conn.peer, reason = %error, "closing a connection");
                self.closing.get_or_insert(error.to_string());
                true
            }
        }
    }

    /// Counts what the peer has here and may leave here. A request that waits for room in a mailbox, or
    /// for a reply, counts as a whole; what is left of it is refused if there is no room for that.
    fn hold(&mut self, waits: bool) -> Result<(), End> {
        let (partial, window) = self.server.held_len();
        loop {
            let waiting = self.handing.as_ref().filter(|_| waits).map_or(0, Handing::len);
            let buffered = self.unread.len() + partial + waiting;
            let len = counted_len(buffered, READ_LEN, window, self.compression);
            if len <= self.held {
                self.conn.release(self.held - len);
            } else if !self.conn.admit(len - self.held) {
                if let Some(handing) = self.handing.take_if(|_| waits) {
                    handing.give_up(&self.conn);
                    continue;
                }
                let reason = no_room(len, "a frame", self.conn.resources.budgets.inbound.limit());
                tracing::warn!(peer = %self.conn.peer, %reason, "closing a connection");
                return Err(End { reason, is_open: true });
            }
            self.held = len;
            return Ok(());
        }
    }

    /// Takes the answers that have come in; false if nothing has changed. `waker` is woken by what does.
    fn respond(&mut self, waker: Option<&Waker>) -> bool {
        let unsent = self.write.len() - self.written + self.server.unsent_len();
        let turn = self.conn.take_answers(&mut self.answers, unsent, waker);
        if let Some(at) = turn.next_expiry {
            self.arm(at);
        }
        if turn.is_closing && self.closing.is_none() {
            self.closing = Some("the node is shutting down".to_owned());
            self.server.close();
        }
        for (id, answer) in self.answers.drain(..) {
            match answer.with(|response| self.server.respond(id, response)) {
                // It was told so in its place.
                Ok(()) | Err(RespondError::TooLarge { .. }) => {}
                Err(error) => tracing::error!(peer = %self.conn.peer, %error, "no response"),
            }
        }
        turn.is_touched
    }

    /// Writes what there is, as much as the peer takes; false if that was nothing.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut has_moved = false;
        loop {
            if self.write.is_empty() {
                let transmitted = self.server.poll_transmit(&mut self.write);
                transmitted.map_err(|error| End::lost(format!("compress: {error}")))?;
                if self.write.is_empty() {
                    break;
                }
            }
            match self.poll_push(cx) {
                Poll::Ready(Ok(())) => {
                    self.stuck_since = None;
                    self.last_use = now();
                    has_moved = true;
                    if self.moved >= TURN_LEN {
                        break;
                    }
                }
                Poll::Ready(Err(error)) => return Err(End::lost(format!("write: {error}"))),
                Poll::Pending => {
                    let since = *self.stuck_since.get_or_insert_with(now);
                    self.arm(since + self.conn.resources.options.write_timeout);
                    break;
                }
            }
        }
        Ok(has_moved)
    }

    /// Pushes a part of the write buffer into the stream, and flushes that once it is all there.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written < self.write.len() {
            self.is_flushed = false;
            let rest = &self.write[self.written..];
            let rest = &rest[..rest.len().min(TURN_LEN)];
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            crate::metrics::sent(n);
            self.written += n;
            self.moved += n;
            self.stuck_since = None;
            if self.written < self.write.len() {
                return Poll::Ready(Ok(()));
            }
        }
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        self.written = 0;
        self.write.clear();
        self.write.shrink_to(READ_LEN);
        Poll::Ready(Ok(()))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = now();
            let stuck_until =
                self.stuck_since.map(|at| at + self.conn.resources.options.write_timeout);
            if stuck_until.is_some_and(|until| now >= until) {
                let limit = self.conn.resources.options.write_timeout;
                return Poll::Ready(End::lost(format!("the peer took nothing for {limit:?}")));
            }
            let next_expiry = self.conn.expire(now);
            let limit = self.conn.serving.read_idle_timeout;
            if now >= self.last_use + limit {
                if self.server.is_idle() {
                    let reason = format!("nothing was asked for {limit:?}");
                    return Poll::Ready(End { reason, is_open: true });
                }
                self.last_use = now;
            }
            let next = [next_expiry, stuck_until].into_iter().flatten().min();
            let idle_at = self.last_use + limit;
            self.timer.as_mut().reset(next.map_or(idle_at, |at| at.min(idle_at)).into());
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
        self.conn.end();
        self.conn.release(self.held);
        self.conn.resources.link_down(&self.conn.peer, &end.reason);
        let mut bytes = self.write.split_off(self.written);
        if end.is_open && self.server.finish(&mut bytes).is_ok() {
            say_goodbye(self.stream, Farewell { bytes, lingers: true }).await;
        }
        self.conn.set_gone();
    }
}
