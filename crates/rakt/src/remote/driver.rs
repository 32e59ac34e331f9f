//! Native connections as sessions: what both sides of one have in common.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rakt_wire::native::{
    CloseCode, Inbound, LinkError, Liveness, LivenessAction, Role, Sink, Transmit,
};

use super::conn::Conn;
use super::io::spare::READ_LEN;
use super::io::{Buffers, Farewell, Fault, Pump, Reading, Session};
use super::transport::Stream;
use crate::timers::now;

/// What is read where a chunk is expected, in bytes: enough to see where the rest of it belongs.
const PROBE_LEN: usize = 4 * 1024;
/// What one read brought is copied out if it is at most this much, in bytes: the payload of a message
/// that comes alone pins no more than what came with it.
const COPIED_LEN: usize = 4 * 1024;

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
    role: Role,
    side: S,
    inbound: Inbound,
    /// How much of what is unread counts against the node's budget.
    held: usize,
    /// Something was written since those that wait for room were woken.
    has_written: bool,
    /// Others had their turn before what is buffered now is written.
    has_waited: bool,
    /// The peer is not read from until it has taken more.
    is_held_back: bool,
    last_use: Instant,
    liveness: Liveness,
}

/// Why a connection ended.
pub(crate) enum End {
    /// The peer, or nobody in particular, ended it.
    Quiet(String),
    /// This end was done with it, and everything but the end itself is written.
    Done(CloseCode, String),
    /// This end ends it, and tells the peer why.
    Told(CloseCode, String),
}

/// Runs a connection to its end.
pub(crate) fn drive<S: Side>(
    conn: Arc<Conn>,
    stream: Box<dyn Stream>,
    role: Role,
    side: S,
    early: BytesMut,
) -> impl Future<Output = ()> + Send {
    let (now, options) = (now(), &conn.resources.options);
    let write_timeout = options.write_timeout;
    let driver = Driver {
        inbound: Inbound::new(role, conn.limits),
        role,
        side,
        held: 0,
        has_written: false,
        has_waited: false,
        is_held_back: false,
        last_use: now,
        liveness: Liveness::new(now, options.read_idle_timeout),
        conn,
    };
    Pump::new(driver, stream, early, Some(write_timeout)).run()
}

impl<S: Side> Driver<S> {
    /// What was noted of the read refers to `block`.
    fn after_handling(&mut self, handled: Result<(), LinkError>, block: Bytes) -> Result<(), End> {
        let finished = self.side.finish(block);
        if let Err(error) = handled {
            return Err(End::Told(error.close_code(), error.close_text()));
        }
        finished.map_err(|broken| End::Told(broken.code, broken.text))
    }

    /// Counts what has arrived of a large frame. Ours come in chunks, which are counted elsewhere.
    fn charge_unread(&mut self, unread: usize) -> Result<(), End> {
        let beyond = unread.saturating_sub(READ_LEN + rakt_wire::native::CHUNK_LEN);
        if beyond < self.held {
            self.side.release(self.held - beyond);
        } else if beyond > self.held && !self.side.admit(beyond - self.held) {
            let limit = self.conn.resources.budgets.inbound.limit();
            let text = format!(
                "no room for a frame of which {unread} bytes have arrived: all peers together may \
                 have {limit} bytes under way"
            );
            return Err(End::Told(CloseCode::Limit, text));
        }
        self.held = beyond;
        Ok(())
    }

    /// What the peer is told last; all who wait for the connection are woken.
    fn last_words(&self, end: End, unwritten: &Buffers) -> (String, Farewell) {
        let (code, reason) = match end {
            End::Quiet(reason) => return (reason, Farewell { bytes: Vec::new(), lingers: false }),
            End::Done(code, reason) => {
                let mut bytes = Vec::new();
                let mut shared = self.conn.lock();
                // An answer that has just been given goes first.
                shared.take_output(&mut bytes);
                shared.out.close(code, &reason);
                shared.take_output(&mut bytes);
                let waiting = shared.wake_for_room();
                drop(shared);
                waiting.into_iter().for_each(Waker::wake);
                return (reason, Farewell { bytes, lingers: true });
            }
            End::Told(code, reason) => (code, reason),
        };
        let mut bytes = unwritten.unwritten.to_vec();
        let mut shared = self.conn.lock();
        shared.out.close_now(code, &reason);
        shared.take_output(&mut bytes);
        let waiting = shared.wake_for_room();
        // Closed before those that waited for room try again.
        drop(shared);
        self.conn.close(&reason);
        waiting.into_iter().for_each(Waker::wake);
        tracing::warn!(peer = %self.conn.peer.name, %reason, "closing a connection");
        (reason, Farewell { bytes, lingers: true })
    }
}

impl<S: Side> Session for Driver<S> {
    type End = End;

    fn poll_transmit(&mut self, cx: &mut Context<'_>, io: &mut Buffers) -> Poll<Result<(), End>> {
        let mut shared = self.conn.lock();
        shared.set_driver(cx.waker());
        if shared.is_closed() {
            return Poll::Ready(Err(End::Quiet("closed here".to_owned())));
        }
        let mut wakers = Vec::new();
        if io.unwritten.is_empty() {
            if !self.has_waited && shared.expects_more() {
                // Whoever wakes this task makes it the next to run, ahead of all the others that are
                // about to write as well. Letting them go first once makes one write of many: 64
                // askers on one core had one frame a write before.
                self.has_waited = true;
                drop(shared);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.has_waited = false;
            shared.take_output(&mut io.unwritten);
            // Not before it is written: while they fill the next megabyte on this thread, the
            // peer needs something to do.
            if std::mem::take(&mut self.has_written) || io.unwritten.is_empty() {
                wakers = shared.wake_for_room();
            }
            if shared.take_used() {
                self.last_use = now();
            }
        }
        self.is_held_back = self.conn.is_backed_up(&mut shared);
        let closing = match io.is_written() {
            true => shared.closing.clone(),
            false => None,
        };
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
        match closing {
            Some((code, reason)) => Poll::Ready(Err(End::Done(code, reason))),
            None => Poll::Pending,
        }
    }

    fn handle_written(&mut self) {
        self.has_written = true;
        if self.is_held_back {
            // Its answers to our pings lie unread: that it takes bytes has to do.
            self.liveness.handle_read(now());
        }
    }

    fn reading(&mut self, _: &Buffers) -> Reading<'_> {
        if self.is_held_back || self.has_waited {
            return Reading::Held;
        }
        let limit = match self.inbound.expects_chunk() {
            true => self.inbound.wanted() + PROBE_LEN,
            false => usize::MAX,
        };
        // Only while a chunk is arriving, and then nothing else is waiting to be handled.
        self.inbound.room().map_or(Reading::Unread(limit), Reading::Room)
    }

    fn handle_read(&mut self, now: Instant, io: &mut Buffers) -> Result<(), End> {
        self.liveness.handle_read(now);
        self.side.begin(now);
        let unread = &mut io.unread;
        let handled = self.inbound.handle_bytes(unread, &mut self.side);
        // After an error the spans noted before it still refer to what was read.
        let len = *handled.as_ref().unwrap_or(&unread.len());
        let block = if len <= COPIED_LEN {
            let copy = Bytes::copy_from_slice(&unread[..len]);
            unread.advance(len);
            copy
        } else {
            unread.split_to(len).freeze()
        };
        self.after_handling(handled.map(drop), block)?;
        self.charge_unread(io.unread.len())
    }

    fn handle_filled(&mut self, now: Instant) -> Result<(), End> {
        self.liveness.handle_read(now);
        self.side.begin(now);
        let handled = self.inbound.handle_filled(&mut self.side);
        self.after_handling(handled, Bytes::new())
    }

    fn handle_eof(&mut self) -> Result<(), End> {
        Err(End::Quiet("the peer closed the connection".to_owned()))
    }

    /// What the peer sent before it had a newer connection has been read.
    fn handle_pause(&mut self, _: &Buffers) -> Result<(), End> {
        match self.conn.is_superseded() {
            true => Err(End::Quiet("a newer connection of the peer took its place".to_owned())),
            false => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Instant {
        let due = self.liveness.poll_timeout();
        match self.role {
            Role::Dialer => due.min(self.last_use + self.conn.resources.options.idle_timeout),
            Role::Acceptor => due,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), End> {
        let options = &self.conn.resources.options;
        let is_idle = self.role == Role::Dialer && now >= self.last_use + options.idle_timeout;
        if is_idle && (self.side.is_needed() || !self.conn.finish_if_idle("idle")) {
            self.last_use = now;
        }
        match self.liveness.handle_timeout(now) {
            LivenessAction::Ping => {
                self.conn.write(|out| out.ping(0));
            }
            LivenessAction::Dead => {
                let limit = options.read_idle_timeout * 2;
                let text = format!("nothing was heard from the peer for {limit:?}");
                return Err(End::Told(CloseCode::Timeout, text));
            }
            LivenessAction::None => {}
        }
        Ok(())
    }

    fn handle_fault(&mut self, fault: Fault) -> End {
        match fault {
            Fault::Stuck(_) => End::Told(CloseCode::Timeout, fault.to_string()),
            Fault::Read(_) | Fault::Write(_) => End::Quiet(fault.to_string()),
        }
    }

    fn end(&mut self, end: End, io: Buffers) -> Option<Farewell> {
        let (reason, farewell) = self.last_words(end, &io);
        let told = self.conn.closed();
        let reason = told.as_deref().unwrap_or(&reason);
        self.conn.close(reason);
        self.inbound.clear(&mut self.side);
        self.side.release(self.held);
        self.side.end();
        self.conn.resources.link_down(&self.conn.peer.name, reason);
        Some(farewell)
    }
}

impl<S: Side> Drop for Driver<S> {
    fn drop(&mut self) {
        self.conn.set_gone();
    }
}

/// The reason of a connection that the peer has closed, in words that came from the peer.
pub(crate) fn closed_by_peer(text: &str) -> String {
    format!("the peer closed the connection: {}", text.escape_debug())
}
