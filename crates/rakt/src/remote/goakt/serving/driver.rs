//! The task of one connection: it reads requests, writes responses and keeps time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rakt_wire::compress::Compression;
use rakt_wire::goakt::{RespondError, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::Sleep;

use super::conn::GoConn;
use super::requests::Names;
use crate::remote::driver::{FAREWELL, READ_LEN, say_goodbye};
use crate::remote::transport::Stream;
use crate::sync::Lock;
use crate::timers::now;

/// What a decoder may hold without being counted, in bytes: a little more than the streams of Go nodes
/// make necessary.
fn free_window(compression: Compression) -> usize {
    match compression {
        Compression::Brotli => 4 * 1024 * 1024,
        _ => 1024 * 1024,
    }
}

/// Both halves of the task use it, one at a time.
struct Link {
    conn: Arc<GoConn>,
    server: Mutex<Server>,
    free_window: usize,
    /// When a request arrived or a response left.
    last_use: Mutex<Instant>,
}

/// Why no further request is read.
enum Stop {
    /// The peer has closed its side, or the node closes.
    Done,
    /// The connection is broken.
    Lost(String),
    /// The peer did what it may not.
    Refused(String),
}

/// Why the connection ends.
struct End {
    reason: String,
    /// The stream still takes what is left to say.
    is_open: bool,
}

/// Runs a connection to its end.
pub(super) async fn drive(
    conn: Arc<GoConn>,
    compression: Compression,
    stream: Box<dyn Stream>,
    early: BytesMut,
) {
    conn.link_up(compression);
    let options = &conn.net.options;
    let config = ServerConfig {
        max_frame_len: options.max_frame_size as usize,
        max_in_flight: conn.serving.max_pipelined as usize,
        ..ServerConfig::default()
    };
    let link = Link {
        conn: conn.clone(),
        server: Mutex::new(Server::new(config)),
        free_window: free_window(compression),
        last_use: Mutex::new(now()),
    };
    let (mut read, mut write) = tokio::io::split(stream);
    let end = run(&link, &mut read, &mut write, early).await;
    conn.end();
    conn.link_down(&end.reason);
    let mut farewell = Vec::new();
    if end.is_open && link.server.hold().finish(&mut farewell).is_ok() {
        let goodbye = say_goodbye(read.unsplit(write), farewell, true);
        drop(tokio::time::timeout(FAREWELL, goodbye).await);
    }
    conn.set_gone();
}

async fn run(
    link: &Link,
    read: &mut ReadHalf<Box<dyn Stream>>,
    write: &mut WriteHalf<Box<dyn Stream>>,
    early: BytesMut,
) -> End {
    let conn = &link.conn;
    let mut reading = pin!(link.read_requests(read, early));
    let mut writing = pin!(link.write_responses(write));
    let (mut is_reading, mut reason) = (true, None);
    poll_fn(|cx| {
        loop {
            conn.begin_turn();
            // Responses first: they make room for requests.
            if let Poll::Ready(mut end) = writing.as_mut().poll(cx) {
                end.reason = reason.take().unwrap_or(end.reason);
                return Poll::Ready(end);
            }
            if is_reading && let Poll::Ready(stop) = reading.as_mut().poll(cx) {
                is_reading = false;
                match stop {
                    Stop::Done => {}
                    Stop::Lost(reason) => return Poll::Ready(End { reason, is_open: false }),
                    Stop::Refused(why) => {
                        tracing::warn!(peer = %conn.peer, reason = %why, "closing a connection");
                        reason = Some(why);
                    }
                }
                // What has been asked until then is answered.
                conn.finish();
            }
            if conn.end_turn(cx.waker()) {
                return Poll::Pending;
            }
        }
    })
    .await
}

impl Link {
    async fn read_requests(
        &self,
        stream: &mut ReadHalf<Box<dyn Stream>>,
        mut unread: BytesMut,
    ) -> Stop {
        let mut names = Names::default();
        let mut held = Held { conn: &self.conn, bytes: 0 };
        loop {
            let (next, is_full, len) = {
                let mut server = self.server.hold();
                let unsent = server.unsent_len();
                let next = server.poll_request(&mut unread);
                if server.unsent_len() > unsent {
                    // What it answers by itself: the other half of the task has something to write.
                    self.conn.touch();
                }
                let (partial, window) = server.held_len();
                let beyond = (unread.len() + partial).saturating_sub(READ_LEN);
                (next, server.is_full(), beyond + window.saturating_sub(self.free_window))
            };
            if !held.set(len as u64) {
                let limit = self.conn.net.budget.limit();
                return Stop::Refused(format!(
                    "no room for {len} bytes of a frame and its compression: all peers together may \
                     have {limit} bytes under way"
                ));
            }
            match next {
                Ok(Some(incoming)) => {
                    *self.last_use.hold() = now();
                    self.conn.hand_on(incoming, &mut names).await;
                }
                Ok(None) if is_full => {
                    // The other half of the task makes room, and this one is polled after it.
                    let is_full = || self.server.hold().is_full() && !self.conn.is_closing();
                    poll_fn(|_| if is_full() { Poll::Pending } else { Poll::Ready(()) }).await;
                }
                Ok(None) => match poll_fn(|cx| self.poll_read(stream, &mut unread, cx)).await {
                    Ok(true) => {}
                    Ok(false) => return Stop::Done,
                    Err(error) => return Stop::Lost(format!("read: {error}")),
                },
                Err(error) => return Stop::Refused(error.to_string()),
            }
            if self.conn.is_closing() {
                return Stop::Done;
            }
        }
    }

    /// Reads once; false at the end of the stream, or when nothing more is to be read.
    fn poll_read(
        &self,
        stream: &mut ReadHalf<Box<dyn Stream>>,
        unread: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<bool>> {
        if self.conn.is_closing() {
            return Poll::Ready(Ok(false));
        }
        if unread.capacity() - unread.len() < READ_LEN / 4 {
            unread.reserve(READ_LEN);
        }
        match pin!(stream.read_buf(unread)).poll(cx) {
            Poll::Ready(Ok(n)) => {
                crate::metrics::received(n);
                Poll::Ready(Ok(n > 0))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if unread.is_empty() {
                    // An idle connection keeps no buffer.
                    *unread = BytesMut::new();
                }
                Poll::Pending
            }
        }
    }

    async fn write_responses(&self, stream: &mut WriteHalf<Box<dyn Stream>>) -> End {
        let mut timer = Box::pin(tokio::time::sleep(self.conn.serving.read_idle_timeout));
        let mut out = Vec::new();
        loop {
            match poll_fn(|cx| self.poll_output(&mut out, timer.as_mut(), cx)).await {
                Ok(()) => {}
                Err(end) => return end,
            }
            if let Err(reason) = self.write(stream, &out).await {
                return End { reason, is_open: false };
            }
            crate::metrics::sent(out.len());
            *self.last_use.hold() = now();
            out.clear();
            out.shrink_to(READ_LEN);
            self.conn.set_unsent(self.server.hold().unsent_len());
        }
    }

    /// Waits until there is something to write, and puts it into `out`.
    fn poll_output(
        &self,
        out: &mut Vec<u8>,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            let now = now();
            let next_expiry = self.conn.expire(now);
            let is_idle = {
                let mut server = self.server.hold();
                let answers = self.conn.take_answers();
                let is_changed = !answers.is_empty();
                for (id, answer) in answers {
                    match answer.with(|response| server.respond(id, response)) {
                        // It was told so in its place.
                        Ok(()) | Err(RespondError::TooLarge { .. }) => {}
                        Err(error) => {
                            tracing::error!(peer = %self.conn.peer, %error, "no response")
                        }
                    }
                }
                let transmitted = server.poll_transmit(out);
                if is_changed || !out.is_empty() {
                    // Also responses that wait for the one before them.
                    self.conn.set_unsent(out.len() + server.unsent_len());
                }
                match transmitted {
                    Ok(true) => return Poll::Ready(Ok(())),
                    Ok(false) => {}
                    Err(error) => {
                        let reason = format!("compress: {error}");
                        return Poll::Ready(Err(End { reason, is_open: false }));
                    }
                }
                server.is_idle()
            };
            if is_idle && self.conn.is_closing() {
                let reason = match self.conn.net.is_closed() {
                    true => "the node is shutting down",
                    false => "the peer closed the connection",
                };
                return Poll::Ready(Err(End { reason: reason.to_owned(), is_open: true }));
            }
            let limit = self.conn.serving.read_idle_timeout;
            let mut idle_at = *self.last_use.hold() + limit;
            if now >= idle_at {
                if is_idle {
                    let reason = format!("nothing was asked for {limit:?}");
                    return Poll::Ready(Err(End { reason, is_open: true }));
                }
                *self.last_use.hold() = now;
                idle_at = now + limit;
            }
            let next = next_expiry.map_or(idle_at, |at| at.min(idle_at)).into();
            if next < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(next);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Writes all of it; the peer may not take longer than the limit for any part.
    async fn write(
        &self,
        stream: &mut WriteHalf<Box<dyn Stream>>,
        mut bytes: &[u8],
    ) -> Result<(), String> {
        let limit = self.conn.net.options.write_timeout;
        while !bytes.is_empty() {
            let n = self.in_time(limit, stream.write(bytes)).await?;
            if n == 0 {
                return Err("write: the stream takes nothing".to_owned());
            }
            bytes = &bytes[n..];
        }
        self.in_time(limit, stream.flush()).await
    }

    async fn in_time<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, String> {
        match tokio::time::timeout(limit, step).await {
            Ok(result) => result.map_err(|error| format!("write: {error}")),
            Err(_) => Err(format!("the peer took nothing for {limit:?}")),
        }
    }
}

/// Bytes that count against the node's budget for as long as the peer leaves them here.
struct Held<'a> {
    conn: &'a GoConn,
    bytes: u64,
}

impl Held<'_> {
    /// False if there is no room for so many.
    fn set(&mut self, bytes: u64) -> bool {
        if bytes > self.bytes {
            if !self.conn.admit(bytes - self.bytes) {
                return false;
            }
        } else {
            self.conn.release(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.conn.release(self.bytes);
    }
}
