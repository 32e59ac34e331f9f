//! Native connections as sessions of the pump: what both sides of one have in common.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use rakt_wire::native::{
    CloseCode, Inbound, LinkError, Liveness, LivenessAction, Role, Side, Transmit, Writer,
};

use super::block::COPIED_LEN;
use super::conn::{Conn, Half};
use super::later::{Patience, wake_later};
use crate::error::Cause;
use crate::remote::account::Unread;
use crate::remote::io::{Buffers, Farewell, Fault, Pace, Pump, Rate, Reading, Session, WriteNow};
use crate::remote::resources::log_peer;
use crate::remote::transport::Stream;
use crate::timers::now;

/// What is read where a chunk is expected, in bytes: enough to see where the rest of it belongs.
const PROBE_LEN: usize = 4 * 1024;
/// What one side does with what arrives: the reading half of its session, and who is told.
pub(crate) trait Reader: Send {
    type Half: Half;

    fn inbound(&mut self) -> &mut Inbound;

    /// See [`Inbound::handle_bytes`].
    fn handle_bytes(&mut self, now: Instant, buf: &[u8]) -> Result<usize, LinkError>;

    /// See [`Inbound::handle_filled`].
    fn handle_filled(&mut self, now: Instant) -> Result<(), LinkError>;

    /// A read has been handled; what was noted of it refers to this block.
    ///
    /// # Errors
    /// The peer went beyond what it may do; the connection ends.
    fn finish(&mut self, block: Bytes) -> Result<(), LinkError>;

    /// How many frames that are cheap to send have come since the last call, where that is limited.
    fn take_cheap(&mut self) -> u32 {
        0
    }

    /// See [`Session::hurry`].
    fn hurry(&mut self) {}

    /// The goodbye of the peer, once.
    fn take_goodbye(&mut self) -> Option<(CloseCode, String)>;

    /// Lets go of what nobody needs any more, however little is read. From time to time.
    fn tidy(&mut self) {}

    /// The connection has ended.
    fn end(&mut self);

    /// Whether the connection must stay although nothing is sent.
    fn is_needed(&self) -> bool {
        true
    }
}

pub(crate) struct Driver<R: Reader> {
    conn: Arc<Conn<R::Half>>,
    reader: R,
    /// How what is unread counts against the node's budget.
    unread: Unread,
    /// Something was written since those that wait for room were woken.
    has_written: bool,
    /// Others had their turn before what is buffered now is written.
    has_waited: bool,
    patience: Patience,
    /// The peer is not read from until it has taken more.
    is_held_back: bool,
    last_use: Instant,
    /// Something was sent since, and an answer to it is to come: the connection is in use until then.
    is_used: bool,
    liveness: Liveness,
    pace: Pace,
    rate: Rate,
    /// When the reader last let go of what nobody needs.
    tidied: Instant,
    /// How much was unread, and to come of the chunk that is arriving, after the last read.
    left: (usize, usize),
}

/// Why a connection ended.
pub(crate) enum End {
    /// The peer, or nobody in particular, ended it.
    Quiet(Cause),
    /// This end was done with it, and everything but the end itself is written.
    Done(CloseCode, String),
    /// This end ends it, and tells the peer why.
    Told(CloseCode, String),
}

/// Runs a connection to its end.
pub(crate) fn drive<R: Reader + 'static>(
    conn: Arc<Conn<R::Half>>,
    stream: Box<dyn Stream>,
    reader: R,
    early: BytesMut,
) -> impl Future<Output = ()> + Send {
    let (now, options) = (now(), &conn.resources.options);
    let write_timeout = options.write_timeout;
    let driver = Driver {
        reader,
        unread: Unread::default(),
        has_written: false,
        has_waited: false,
        patience: Patience::default(),
        is_held_back: false,
        last_use: now,
        is_used: false,
        liveness: Liveness::new(now, options.read_idle_timeout),
        pace: Pace::new(options.min_rate),
        rate: Rate::new(options.control_rate),
        tidied: now,
        left: (0, 0),
        conn,
    };
    let resources = driver.conn.resources.clone();
    let pump = Pump::new(driver, stream, early, Some(write_timeout));
    async move { resources.pumps.run(pump).await }
}

impl<R: Reader> Driver<R> {
    /// What was noted of the read refers to `block`.
    fn after_handling(
        &mut self,
        now: Instant,
        handled: Result<(), LinkError>,
        block: Bytes,
    ) -> Result<(), End> {
        let finished = self.reader.finish(block);
        let in_rate = self.rate.handle_frames(now, self.reader.take_cheap());
        in_rate.map_err(|many| End::Told(CloseCode::Limit, many.to_string()))?;
        if let Some((code, text)) = self.reader.take_goodbye() {
            if code == CloseCode::Denied {
                let (peer, from) = self.conn.peer.shown();
                log_peer!(self.conn.resources, from, warn, "a peer refuses this node", %peer, why = %text);
            }
            self.conn.close(format!("the peer closed the connection: {text}"));
        }
        handled.and(finished).map_err(|error| End::Told(error.close_code(), error.close_text()))
    }

    /// What was sent without the driver counts as of now: it is not that long ago.
    fn note_use(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_used) {
            self.last_use = now;
        }
    }

    /// Notes whether what has arrived ends in the middle of a frame. `taken` of it was handled, and so much
    /// is unread.
    fn keep_pace(&mut self, now: Instant, arrived: usize, taken: usize, unread: usize) {
        let chunk = self.reader.inbound().chunk_left();
        // A chunk is handled as it comes. All else is handled once it is whole.
        let ends_frame = taken > 0 && taken >= self.left.1;
        self.left = (unread, chunk);
        self.pace.handle_read(now, arrived, ends_frame, unread > 0 || chunk > 0);
    }

    /// Counts what has arrived of an unfinished frame. Our large ones come in chunks, which are counted
    /// elsewhere.
    fn charge_unread(&mut self, unread: usize) -> Result<(), End> {
        let held = self.conn.account.hold_unread(&mut self.unread, unread);
        held.map_err(|limit| {
            let text = format!(
                "no room for a frame of which {unread} bytes have arrived: all peers together may have \
                 {limit} bytes under way"
            );
            End::Told(CloseCode::Limit, text)
        })
    }

    /// What the peer is told last; all who wait for the connection are woken.
    fn last_words(&self, end: End, io: &Buffers) -> (Cause, Option<Farewell>) {
        let (code, reason, now) = match end {
            End::Quiet(reason) => return (reason, Some(Farewell::silent(false))),
            // An answer that has just been given goes first.
            End::Done(code, reason) => (code, reason, false),
            End::Told(code, reason) => (code, reason, true),
        };
        let mut bytes = io.unwritten.to_vec();
        let mut state = self.conn.lock();
        bytes.extend(state.farewell(code, &reason, now));
        drop(state);
        self.conn.close(reason.as_str());
        if now {
            let (peer, from) = self.conn.peer.shown();
            log_peer!(self.conn.resources, from, warn, "closing a connection", %peer, %reason);
        }
        (reason.into(), self.conn.account.farewell(bytes))
    }
}

impl<R: Reader> Session for Driver<R> {
    type End = End;

    fn lend_writer(&mut self, writer: Weak<dyn WriteNow>) {
        self.conn.lend_writer(writer);
    }

    fn transmit_now(&mut self, io: &mut Buffers) -> bool {
        let mut state = self.conn.lock();
        let is_lone = state.is_lone();
        if is_lone {
            state.poll_transmit(&mut io.unwritten);
        }
        is_lone
    }

    fn poll_transmit(&mut self, cx: &mut Context<'_>, io: &mut Buffers) -> Poll<Result<(), End>> {
        let mut state = self.conn.lock();
        // Asked after each read and each write, it mostly has nothing to do.
        if io.is_written() && !self.is_held_back && state.is_at_rest(cx.waker()) {
            self.is_used |= state.half.take_used();
            (self.has_written, self.has_waited) = (false, false);
            return Poll::Pending;
        }
        state.set_driver(cx.waker());
        if state.half.session().writer().is_closed() {
            return Poll::Ready(Err(End::Quiet("closed here".into())));
        }
        if let Some(why) = &state.forbidden {
            return Poll::Ready(Err(End::Told(CloseCode::Denied, why.to_string())));
        }
        let mut wakers = Vec::new();
        if io.unwritten.is_empty() {
            if !self.has_waited && state.half.session().expects_more() {
                // Many are about to write as well. Letting them go first once makes one write of many: 64
                // askers on one core had one frame a write before.
                self.has_waited = true;
                if self.patience.begin(now()) {
                    // None of them is to wake this task, which would be the next to run.
                    let driver = state.take_driver();
                    drop(state);
                    wake_later(driver.as_ref().unwrap_or(cx.waker()));
                } else {
                    drop(state);
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            if std::mem::take(&mut self.has_waited) {
                self.patience.end(now());
            }
            state.poll_transmit(&mut io.unwritten);
            // Not before it is written: while they fill the next megabyte on this thread, the
            // peer needs something to do.
            if std::mem::take(&mut self.has_written) || io.unwritten.is_empty() {
                wakers = state.half.written();
            }
            if state.half.take_used() {
                (self.last_use, self.is_used) = (now(), false);
            }
        }
        self.is_held_back = state.half.is_backed_up();
        if self.is_held_back {
            self.pace.excuse(now());
        }
        let ending = match io.is_written() {
            true => state.half.session().ending(),
            false => None,
        };
        let ending = ending.map(|(code, reason)| End::Done(code, reason.to_owned()));
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        ending.map_or(Poll::Pending, |end| Poll::Ready(Err(end)))
    }

    fn handle_written(&mut self) {
        self.has_written = true;
        if self.is_held_back {
            // Its answers to our pings lie unread: that it takes bytes has to do.
            self.liveness.handle_read(now());
        }
    }

    fn reading(&mut self, _: &Buffers) -> Reading<'_> {
        if self.is_held_back || self.has_waited || self.rate.is_held() {
            return Reading::Held;
        }
        let inbound = self.reader.inbound();
        let limit = match inbound.expects_chunk() {
            true => inbound.wanted() + PROBE_LEN,
            false => usize::MAX,
        };
        // Only while a chunk is arriving, and then nothing else is waiting to be handled.
        inbound.room().map_or(Reading::Unread(limit), Reading::Room)
    }

    fn handle_read(&mut self, now: Instant, io: &mut Buffers) -> Result<(), End> {
        self.liveness.handle_read(now);
        self.note_use(now);
        let unread = &mut io.unread;
        let handled = self.reader.handle_bytes(now, unread);
        // After an error the spans noted before it still refer to what was read.
        let len = *handled.as_ref().unwrap_or(&unread.len());
        let (arrived, unread_len) = (unread.len() - self.left.0, unread.len() - len);
        let block = if len <= COPIED_LEN {
            let copy = Bytes::copy_from_slice(&unread[..len]);
            match unread_len {
                0 => unread.clear(),
                _ => unread.advance(len),
            }
            copy
        } else {
            unread.split_to(len).freeze()
        };
        self.keep_pace(now, arrived, len, unread_len);
        self.after_handling(now, handled.map(drop), block)?;
        self.charge_unread(io.unread.len())
    }

    fn handle_filled(&mut self, now: Instant) -> Result<(), End> {
        self.liveness.handle_read(now);
        let handled = self.reader.handle_filled(now);
        let filled = self.left.1 - self.reader.inbound().chunk_left().min(self.left.1);
        self.keep_pace(now, filled, filled, 0);
        self.after_handling(now, handled, Bytes::new())
    }

    fn handle_eof(&mut self) -> Result<(), End> {
        Err(End::Quiet("the peer closed the connection".into()))
    }

    /// What the peer sent before it had a newer connection has been read.
    fn handle_pause(&mut self, _: &Buffers) -> Result<(), End> {
        match self.conn.is_superseded() {
            true => Err(End::Quiet("a newer connection of the peer took its place".into())),
            false => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Instant {
        let due = self.liveness.poll_timeout();
        let dues = [self.pace.poll_timeout(), self.rate.poll_timeout()];
        let due = dues.into_iter().flatten().fold(due, Instant::min);
        match R::Half::ROLE {
            Role::Dialer => due.min(self.last_use + self.conn.resources.options.idle_timeout),
            Role::Acceptor => due,
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), End> {
        self.note_use(now);
        let options = &self.conn.resources.options;
        let is_idle = R::Half::ROLE == Role::Dialer && now >= self.last_use + options.idle_timeout;
        if is_idle && (self.reader.is_needed() || !self.conn.finish_if_idle("idle")) {
            self.last_use = now;
        }
        if now >= self.tidied + options.read_idle_timeout {
            self.tidied = now;
            self.reader.tidy();
        }
        if self.rate.handle_timeout(now) {
            // That it was not heard is no fault of the peer.
            self.liveness.handle_read(now);
            self.pace.excuse(now);
        }
        match self.liveness.handle_timeout(now) {
            LivenessAction::Ping => {
                self.conn.write(Writer::ping);
            }
            LivenessAction::Dead => {
                let limit = options.read_idle_timeout * 2;
                let text = format!("nothing was heard from the peer for {limit:?}");
                return Err(End::Told(CloseCode::Timeout, text));
            }
            LivenessAction::None => {}
        }
        let in_pace = self.pace.handle_timeout(now);
        in_pace.map_err(|slow| End::Told(CloseCode::Timeout, slow.to_string()))
    }

    fn handle_fault(&mut self, fault: Fault) -> End {
        match fault {
            Fault::Stuck(_) => End::Told(CloseCode::Timeout, fault.to_string()),
            Fault::Read(_) | Fault::Write(_) => End::Quiet(Cause::new(fault)),
        }
    }

    fn is_woken(&self) -> bool {
        self.conn.lock().is_woken()
    }

    fn is_ahead(&self) -> bool {
        // A dialer always reads.
        R::Half::ROLE == Role::Acceptor && self.conn.account.is_ahead()
    }

    fn hurry(&mut self) {
        self.reader.hurry();
    }

    fn beat(&mut self) {
        self.conn.write(Writer::ping);
    }

    fn end(&mut self, end: End, io: Buffers) -> Option<Farewell> {
        let (reason, farewell) = self.last_words(end, &io);
        self.conn.close(reason.clone());
        let (reason, unconfirmed) = self.conn.closed().unwrap_or((reason, 0));
        self.conn.account.release_unread(&mut self.unread);
        self.reader.end();
        self.conn.resources.link_down(&self.conn.link(), reason, unconfirmed);
        farewell
    }
}

impl<R: Reader> Drop for Driver<R> {
    fn drop(&mut self) {
        self.conn.gone.open();
    }
}
