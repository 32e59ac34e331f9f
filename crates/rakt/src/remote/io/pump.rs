//! The task of one connection: it moves bytes and keeps time, and decides nothing.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{BufMut, BytesMut};
use rakt_wire::native::{IDLE_CAPACITY, Transmit};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Sleep;

use super::farewell::say_goodbye;
use super::session::{Buffers, Fault, Reading, Session, TURN_LEN, Turn};
use super::spare;
use crate::remote::transport::Stream;
use crate::timers::now;

/// Most pieces of one vectored write.
const MAX_SLICES: usize = 16;
/// What a read counts in a turn at least.
const LEAST_COUNT: usize = TURN_LEN / 8;
/// How long the peer is read from after a write has failed. What it sent before counts: it may be answers, and why it
/// has closed. 1 s: that is there already, and the end of the stream is behind it.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Most turns in a row, after one that was full, in which nothing is read because others have so much to handle: they may
/// not come to it at all. While a turn is waited for, the runtime runs some sixty other tasks.
const MOST_PASSED: u32 = 32;

/// A session and the stream that it speaks over.
pub(crate) struct Pump<S> {
    /// Dropped before the session, which tells those that wait for that.
    stream: Box<dyn Stream>,
    pub(crate) session: S,
    io: Buffers,
    /// How long the peer may take nothing; `None` where the session sees to that.
    write_timeout: Option<Duration>,
    /// Since when the peer takes nothing.
    stuck_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// The timer wakes the task that polled it last.
    is_timed: bool,
    /// Others have their turn before it goes on.
    has_paused: bool,
    /// Wakes the task that polled it last.
    waker: Option<Waker>,
    /// How a write failed, and until when the peer is read from after that. Nothing more is written.
    failed: Option<(io::Error, Instant)>,
    /// Turns in which nothing is read, for as long as the session [is ahead](Session::is_ahead).
    passes: u32,
}

impl<S: Session> Pump<S> {
    /// `early` is what has been read already.
    pub(crate) fn new(
        session: S,
        stream: Box<dyn Stream>,
        early: BytesMut,
        write_timeout: Option<Duration>,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(session.poll_timeout().into()));
        let io = Buffers::new(early);
        Self {
            stream,
            session,
            io,
            write_timeout,
            stuck_since: None,
            timer,
            is_timed: false,
            has_paused: false,
            waker: None,
            failed: None,
            passes: 0,
        }
    }

    /// Has what was read before handled. Once, before it is polled.
    pub(super) fn begin(&mut self) -> Result<(), S::End> {
        match self.io.unread.is_empty() {
            true => Ok(()),
            false => self.session.handle_read(now(), &mut self.io),
        }
    }

    /// Says goodbye to the peer and closes the stream.
    pub(super) async fn finish(mut self, end: S::End) {
        let io = std::mem::take(&mut self.io);
        if let Some(farewell) = self.session.end(end, io) {
            say_goodbye(self.stream, farewell).await;
        }
    }

    /// Whether the peer has neither sent anything nor closed its side, as far as that is known here.
    #[cfg(feature = "goakt")]
    pub(crate) fn is_quiet(&mut self) -> bool {
        let (mut byte, mut cx) = ([0], Context::from_waker(Waker::noop()));
        self.io.unread.is_empty()
            && self.io.is_written()
            && pin!(self.stream.read(&mut byte)).poll(&mut cx).is_pending()
    }

    /// Nothing is read for a while.
    #[cfg(feature = "goakt")]
    pub(crate) fn rest(&mut self) {
        spare::lend(&mut self.io.unread);
    }

    /// Whether the task that runs it has been woken since, or waits for its turn.
    pub(super) fn is_woken(&self) -> bool {
        self.has_paused || self.session.is_woken()
    }

    /// Sends the peer a sign of life. The task that runs it is woken, and goes on from there.
    pub(super) fn beat(&mut self) {
        self.session.beat();
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..2 {
            // What is wrong with the stream its task sees too.
            drop(self.write(&mut cx));
        }
    }

    /// Writes what is to be written, in place of the task that runs it, where nothing is in the way; says whether that
    /// is done. Otherwise that task is to be woken, and goes on from there.
    pub(super) fn write_now(&mut self) -> bool {
        let is_free = self.io.is_written() && !self.has_paused && self.failed.is_none();
        if !is_free || !self.session.transmit_now(&mut self.io) {
            return false;
        }
        // What the stream waits for, that task waits for.
        let Some(waker) = self.waker.take() else { return false };
        self.io.turn = Turn::default();
        let is_stuck = self.push(&mut Context::from_waker(&waker));
        self.waker = Some(waker);
        if is_stuck {
            return false;
        }
        self.io.unwritten.shrink(IDLE_CAPACITY);
        self.io.is_written()
    }

    /// Goes on until the connection ends.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<S::End> {
        self.io.turn = Turn::default();
        self.has_paused = false;
        if !self.waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
            self.is_timed = false;
        }
        match self.take_turn(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Goes on until nothing moves, or others have waited long enough. `cx` is woken for what comes next.
    fn take_turn(&mut self, cx: &mut Context<'_>) -> Result<(), S::End> {
        let passes = self.passes > 0 && self.session.is_ahead();
        self.passes = if passes { self.passes - 1 } else { 0 };
        while !self.io.turn.is_over() {
            self.write(cx)?;
            if passes {
                break;
            }
            if self.read(cx)? || self.io.turn.is_over() {
                continue;
            }
            if self.failed.is_none() {
                self.session.handle_pause(&self.io)?;
            }
            if !self.keep_time(cx)? {
                return Ok(());
            }
        }
        if !passes {
            self.passes = MOST_PASSED;
        }
        // Where nobody else is ready, the runtime looks at its sockets and timers before this task
        // goes on. Woken at once, it would look only every 61st time, and all other connections would
        // wait.
        self.has_paused = true;
        let _ = pin!(tokio::task::yield_now()).poll(cx);
        self.keep_time(cx).map(drop)
    }

    /// Writes what the session has, as much as the peer takes.
    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), S::End> {
        loop {
            let has_more = self.session.poll_transmit(cx, &mut self.io)?.is_ready();
            let is_stuck = if self.io.is_written() {
                // An idle connection keeps no large buffer.
                self.io.unwritten.shrink(IDLE_CAPACITY);
                true
            } else {
                self.push(cx)
            };
            if (is_stuck && !has_more) || self.io.turn.is_over() {
                return Ok(());
            }
        }
    }

    /// Pushes what is to be written into the stream; says whether that takes no more.
    fn push(&mut self, cx: &mut Context<'_>) -> bool {
        if self.failed.is_none() {
            match self.poll_push(cx) {
                Poll::Ready(Ok(())) => return false,
                Poll::Ready(Err(error)) => self.failed = Some((error, now() + LAST_WORDS)),
                Poll::Pending => {
                    self.stuck_since.get_or_insert_with(now);
                }
            }
        }
        true
    }

    /// As much as this turn allows, and flushes that: TLS may keep the last record back.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.io.unwritten.is_empty() {
            self.io.is_flushed = false;
            let n = ready!(self.poll_write_some(cx))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.io.unwritten.advance(n);
            self.io.turn.add(n);
            self.session.handle_written();
            crate::metrics::sent(n);
            self.stuck_since = None;
            if self.io.turn.is_over() && !self.io.unwritten.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.io.is_flushed = true;
        self.stuck_since = None;
        Poll::Ready(Ok(()))
    }

    /// Writes once: the pieces of large payloads with what is between them, where the stream can.
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (stream, unwritten) = (Pin::new(&mut self.stream), &self.io.unwritten);
        if unwritten.is_contiguous() || !stream.is_write_vectored() {
            let front = unwritten.front();
            return stream.poll_write(cx, &front[..front.len().min(TURN_LEN)]);
        }
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let filled = unwritten.slices(TURN_LEN, &mut slices);
        stream.poll_write_vectored(cx, &slices[..filled])
    }

    /// Reads once and has it handled; false if nothing came.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, S::End> {
        let (polled, is_filled) = match self.session.reading(&self.io) {
            Reading::Held => return Ok(false),
            Reading::Room(room) => {
                let mut room = room.limit(TURN_LEN);
                (pin!(self.stream.read_buf(&mut room)).poll(cx), true)
            }
            Reading::Unread(limit) => {
                spare::make_room(&mut self.io.unread);
                let mut room = (&mut self.io.unread).limit(limit);
                (pin!(self.stream.read_buf(&mut room)).poll(cx), false)
            }
        };
        let n = match polled {
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(error)) => return Err(self.end_of_reads(error)),
            Poll::Pending => {
                spare::lend(&mut self.io.unread);
                return Ok(false);
            }
        };
        if n == 0 {
            if self.failed.is_some() {
                return Err(self.end_of_reads(io::ErrorKind::UnexpectedEof.into()));
            }
            self.session.handle_eof()?;
            return Ok(true);
        }
        crate::metrics::received(n);
        self.io.turn.add(n.max(LEAST_COUNT));
        match is_filled {
            true => self.session.handle_filled(now())?,
            false => self.session.handle_read(now(), &mut self.io)?,
        }
        Ok(true)
    }

    /// Nothing more can be read: where a write had failed before, that is what the session hears of, unless the peer has
    /// said why. Over TLS that is an alert.
    fn end_of_reads(&mut self, error: io::Error) -> S::End {
        let says_why = error.kind() == io::ErrorKind::InvalidData;
        self.session.handle_fault(match self.failed.take() {
            None => Fault::Read(error),
            Some((failed, _)) => Fault::Write(if says_why { error } else { failed }),
        })
    }

    /// Has the session handle that time has passed; false if nothing is due.
    fn keep_time(&mut self, cx: &mut Context<'_>) -> Result<bool, S::End> {
        let stuck = self.stuck_since.zip(self.write_timeout);
        let stuck_until = stuck.map(|(since, limit)| since + limit);
        let due = self.session.poll_timeout();
        let failed_until = self.failed.as_ref().map(|(_, until)| *until);
        let due = [stuck_until, failed_until].into_iter().flatten().fold(due, Instant::min).into();
        // It is only moved closer: that it goes off early costs less than to move it each time.
        if self.timer.is_elapsed() || self.timer.deadline() > due {
            self.timer.as_mut().reset(due);
        } else if self.is_timed {
            return Ok(false);
        }
        self.is_timed = self.timer.as_mut().poll(cx).is_pending();
        if self.is_timed {
            return Ok(false);
        }
        let now = now();
        if failed_until.is_some_and(|until| now >= until) {
            return Err(self.end_of_reads(io::ErrorKind::TimedOut.into()));
        }
        if let Some((since, limit)) = stuck
            && now >= since + limit
        {
            return Err(self.session.handle_fault(Fault::Stuck(limit)));
        }
        self.session.handle_timeout(now)?;
        Ok(true)
    }
}
