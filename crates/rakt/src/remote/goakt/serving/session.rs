//! What the bytes of one connection mean: requests in, responses out.
//!
//! A Go node waits for each response before it goes on, so a tell whose mailbox has room is acknowledged
//! within the turn that read it, before the actor has the message in hand.
//!
//! GoAkt never closes one direction of a connection alone. So when a peer closes its side, what it asked
//! for is given up, and its place is free for others: acknowledgements that are due are still written,
//! asks under way are cancelled. A tell that waits for room in a mailbox stays in line there. Requests that wait for
//! room in the window of their receiver, and those that
//! nobody has looked at, as those before them have no answer yet, are dropped.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use rakt_wire::Compression;
use rakt_wire::goakt::{RespondError, Server, ServerConfig};
use rakt_wire::native::Transmit;

use super::ahead::Ahead;
use super::conn::{Answer, GoConn};
use super::handing::{Handing, Progress};
use super::requests::Names;
use crate::error::{Cause, Chain};
use crate::remote::access::Access;
use crate::remote::admission::Greeting;
use crate::remote::goakt::limits::Held;
use crate::remote::io::spare::READ_LEN;
use crate::remote::io::{Buffers, Farewell, Fault, Pace, Pump, Rate, Reading, Session};
use crate::remote::links::LinkOf;
use crate::remote::resources::log_peer;
use crate::remote::transport::Stream;
use crate::timers::now;

/// What handing on a request or a message counts in a turn: both take about a microsecond.
const MESSAGE_COUNT: usize = 1024;

struct Serve {
    /// The place that the connection has, and the time for its first request.
    greeting: Greeting,
    conn: Arc<GoConn>,
    server: Server,
    names: Names,
    /// There is no request in what has been read before more of it arrives.
    is_parsed: bool,
    /// The request whose messages are on their way, where they cannot all go at once.
    handing: Option<Handing>,
    /// Nothing is read any more, as the peer has closed its side.
    is_over: bool,
    /// Why no request is taken any more; what was asked until then is answered.
    closing: Option<Cause>,
    /// Answers on their way to the server; empty but for its memory.
    answers: Vec<(u64, Answer)>,
    /// When a request arrived or a response left.
    last_use: Instant,
    /// When the first ask ends, or earlier.
    next_expiry: Option<Instant>,
    /// Bytes that count against the node's budget for as long as the peer leaves them here.
    held: Held,
    ahead: Ahead,
    pace: Pace,
    rate: Rate,
    /// Requests that are cheap to send and not counted yet.
    cheap: u32,
    /// How much was unread when it was last looked through, and whether a request has come to its end or
    /// more has arrived since.
    left: usize,
    has_ended: bool,
    has_read: bool,
}

/// Why the connection ends.
struct End {
    reason: Cause,
    /// The stream still takes what is left to say.
    is_open: bool,
}

impl End {
    fn lost(reason: impl Into<Cause>) -> Self {
        Self { reason: reason.into(), is_open: false }
    }
}

/// A Go node does not say who it is when it connects.
fn link_of(conn: &GoConn) -> LinkOf {
    LinkOf::single(conn.peer.from(), conn.peer.from(), conn)
}

/// Runs a connection to its end.
pub(super) fn run(
    conn: Arc<GoConn>,
    (greeting, compression): (Greeting, Compression),
    stream: Box<dyn Stream>,
    early: BytesMut,
) -> impl Future<Output = ()> + Send {
    let options = &conn.resources.options;
    let (write_timeout, max_frame_len) = (options.write_timeout, options.max_frame_size as usize);
    let config = ServerConfig {
        max_frame_len,
        max_in_flight: conn.terms.max_pipelined as usize,
        ..ServerConfig::default()
    };
    conn.resources.link_up(&link_of(&conn), compression);
    let (pace, rate) = (Pace::new(options.min_rate), Rate::new(options.control_rate));
    let names = Names::new(Access::new(conn.resources.clone(), conn.peer.clone()));
    let serve = Serve {
        greeting,
        conn,
        server: Server::new(config),
        names,
        is_parsed: false,
        handing: None,
        is_over: false,
        closing: None,
        answers: Vec::new(),
        last_use: now(),
        next_expiry: None,
        held: Held::default(),
        ahead: Ahead::default(),
        pace,
        rate,
        cheap: 0,
        left: 0,
        has_ended: false,
        has_read: false,
    };
    let resources = serve.conn.resources.clone();
    let pump = Pump::new(serve, stream, early, Some(write_timeout));
    async move { resources.pumps.run(pump).await }
}

impl Serve {
    /// Hands on what has arrived, as far as that goes; false if there was nothing to do.
    fn hand_on(&mut self, io: &mut Buffers) -> Result<bool, End> {
        self.names.renew();
        let mut has_moved = false;
        let mut arrived = io.unread.len().saturating_sub(self.left);
        while !io.turn.is_over() {
            if let Some(handing) = &mut self.handing {
                let progress = handing.go_on(&self.conn, &mut self.names);
                if progress == Progress::Waits {
                    break;
                }
                io.turn.add(MESSAGE_COUNT);
                has_moved = true;
                if matches!(progress, Progress::Over | Progress::Refused) {
                    self.handing = None;
                }
                self.cheap += u32::from(progress == Progress::Refused);
            } else if !self.is_parsed && !self.rate.is_held() && self.take_request(io)? {
                has_moved = true;
            } else if !self.ahead.is_empty() && self.has_room(io) {
                arrived += self.ahead.take(&mut io.unread, &self.conn.account);
                (self.is_parsed, self.has_read, has_moved) = (false, true, true);
            } else {
                break;
            }
        }
        self.keep_rate()?;
        self.keep_pace(arrived, io.unread.len());
        self.hold(io.unread.len())?;
        Ok(has_moved)
    }

    /// Whether more is to be read to be handled.
    fn has_room(&self, io: &Buffers) -> bool {
        !self.rate.is_held() && (self.is_parsed || io.unread.len() < READ_LEN)
    }

    /// Counts requests that are cheap to send. The time is looked up where there were any.
    fn keep_rate(&mut self) -> Result<(), End> {
        if self.cheap == 0 {
            return Ok(());
        }
        let in_rate = self.rate.handle_frames(now(), std::mem::take(&mut self.cheap));
        in_rate.map_err(|many| {
            let peer = self.conn.peer.from();
            log_peer!(self.conn.resources, peer, warn, "closing a connection", %peer, reason = %many);
            End { reason: Cause::new(many), is_open: true }
        })
    }

    /// Notes whether what has arrived ends in the middle of a request.
    fn keep_pace(&mut self, arrived: usize, unread: usize) {
        self.left = unread;
        if std::mem::take(&mut self.has_read) {
            let ends_request = std::mem::take(&mut self.has_ended);
            let is_left = unread + self.server.held_len().0 > 0;
            self.pace.handle_read(now(), arrived, ends_request, is_left);
        }
        if self.handing.is_some() || !self.is_parsed {
            self.pace.excuse(now());
        }
    }

    /// Takes the next request, or does a part of the work for it; false if it is not there.
    fn take_request(&mut self, io: &mut Buffers) -> Result<bool, End> {
        let (unread, decompressed) = (io.unread.len(), self.server.decompressed());
        let had_greeted = self.server.has_taken_request();
        let next = self.server.poll_request(&mut io.unread);
        if !had_greeted && self.server.has_taken_request() {
            self.greet()?;
        }
        io.turn.add((self.server.decompressed() - decompressed) as usize);
        if unread - io.unread.len() > READ_LEN {
            // What is left would keep the memory of a large frame.
            io.unread = BytesMut::from(&io.unread[..]);
        }
        match next {
            Ok(Some(incoming)) => {
                self.has_ended = true;
                self.last_use = now();
                self.handing = self.conn.take_on(incoming, self.names.access());
                // What carries no messages, or was answered at once.
                self.cheap += u32::from(self.handing.is_none());
                io.turn.add(MESSAGE_COUNT);
                Ok(true)
            }
            Ok(None) => {
                self.is_parsed = !self.server.has_more() && !self.server.is_full();
                Ok(self.server.has_more())
            }
            Err(error) => {
                let reason = Cause::new(error);
                let (peer, reason_text) = (self.conn.peer.from(), Chain(&reason));
                log_peer!(self.conn.resources, peer, warn, "closing a connection", %peer, reason = %reason_text);
                self.closing.get_or_insert(reason);
                Ok(true)
            }
        }
    }

    /// The first request is there: the peer is a Go node, or as good as one.
    fn greet(&mut self) -> Result<(), End> {
        self.greeting.permit.greet(now()).map_err(|limit| {
            let peer = self.conn.peer.from();
            let topic = "closed a connection: too many are open";
            if self.conn.resources.may_log(topic, peer) {
                tracing::warn!(%peer, %limit, "{topic}");
            }
            End { reason: limit.to_string().into(), is_open: true }
        })
    }

    /// Counts what the peer has here and may leave here. A request whose messages are not all on their way
    /// counts as a whole; what is left of it is refused if there is no room for that.
    fn hold(&mut self, unread: usize) -> Result<(), End> {
        let (partial, compression) = self.server.held_len();
        loop {
            let handing = self.handing.as_ref().map_or(0, Handing::len);
            let buffered = unread + partial + handing;
            let held = self.held.hold(&self.conn.account, buffered, compression);
            let Err(reason) = held else { return Ok(()) };
            if let Some(handing) = self.handing.take() {
                handing.give_up(&self.conn, &reason);
                continue;
            }
            let peer = self.conn.peer.from();
            log_peer!(self.conn.resources, peer, warn, "closing a connection", %peer, %reason);
            return Err(End { reason: reason.into(), is_open: true });
        }
    }

    /// Takes the answers that have come in; false if nothing has changed. `waker` is woken by what does.
    fn respond(&mut self, unwritten: usize, waker: Option<&Waker>) -> bool {
        let unsent = unwritten + self.server.unsent_len();
        let turn = self.conn.take_answers(&mut self.answers, unsent, waker);
        self.next_expiry = turn.next_expiry;
        if turn.is_closing && self.closing.is_none() {
            self.closing = Some("the node is shutting down".into());
            self.server.close();
        }
        for (id, answer) in self.answers.drain(..) {
            match answer.with(|response| self.server.respond(id, response)) {
                // It was told so in its place.
                Ok(()) | Err(RespondError::TooLarge { .. }) => {}
                Err(error) => {
                    let peer = self.conn.peer.from();
                    log_peer!(self.conn.resources, peer, error, "no response", %peer, %error);
                }
            }
        }
        turn.is_touched
    }
}

impl Session for Serve {
    type End = End;

    fn poll_transmit(&mut self, cx: &mut Context<'_>, io: &mut Buffers) -> Poll<Result<(), End>> {
        if let Some(why) = self.conn.forbidden() {
            // What has arrived is not looked at, and what was asked for gets no answer: the peer cannot be told why, and
            // an actor may have begun to handle it.
            return Poll::Ready(Err(End { reason: why.clone(), is_open: true }));
        }
        let mut has_moved = self.hand_on(io)?;
        has_moved |= self.respond(io.unwritten.len(), (!has_moved).then_some(cx.waker()));
        if io.unwritten.is_empty() {
            let transmitted = self.server.poll_transmit(io.unwritten.bytes());
            transmitted.map_err(|error| End::lost(Cause::new(error)))?;
        }
        if has_moved { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn handle_written(&mut self) {
        self.last_use = now();
    }

    /// While there are requests left it is a little, and after a moment more, to hear of it when the peer goes.
    fn reading(&mut self, io: &Buffers) -> Reading<'_> {
        if self.is_over {
            return Reading::Held;
        }
        if self.has_room(io) && self.ahead.is_empty() {
            self.ahead.go_on();
            // No more than this at once: what comes behind a large frame is moved out of its memory.
            return Reading::Unread(READ_LEN);
        }
        self.ahead.room(&self.conn.account, now()).map_or(Reading::Held, Reading::Room)
    }

    fn handle_read(&mut self, _: Instant, _: &mut Buffers) -> Result<(), End> {
        (self.is_parsed, self.has_read) = (false, true);
        Ok(())
    }

    fn handle_eof(&mut self) -> Result<(), End> {
        self.is_over = true;
        Ok(())
    }

    fn handle_pause(&mut self, io: &Buffers) -> Result<(), End> {
        if self.is_over {
            let reason = "the peer closed the connection".into();
            return Err(End { reason: self.closing.take().unwrap_or(reason), is_open: true });
        }
        if let Some(refusal) = self.ahead.refusal(&self.conn.account) {
            let peer = self.conn.peer.from();
            let reason = format!("what it sends behind requests that wait has no room: {refusal}");
            log_peer!(self.conn.resources, peer, warn, "closing a connection", %peer, %reason);
            return Err(End { reason: reason.into(), is_open: true });
        }
        match self.closing.take_if(|_| self.server.is_idle() && io.is_written()) {
            Some(reason) => Err(End { reason, is_open: true }),
            None => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Instant {
        let idle_at = match self.server.has_taken_request() {
            true => self.last_use + self.conn.terms.read_idle_timeout,
            false => self.greeting.until,
        };
        let slow = [self.pace.poll_timeout(), self.rate.poll_timeout()];
        let late = self.handing.as_ref().and_then(Handing::poll_timeout);
        let dues = [self.next_expiry, self.ahead.poll_timeout(), late].into_iter().chain(slow);
        dues.flatten().fold(idle_at, Instant::min)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), End> {
        if !self.server.has_taken_request() && now >= self.greeting.until {
            let limit = self.conn.resources.options.dial_timeout;
            let from = self.conn.peer.from();
            let resources = &self.conn.resources;
            log_peer!(resources, from, warn, "a peer did not greet in time", %from, ?limit);
            let reason = format!("the first request was not there within {limit:?}");
            return Err(End { reason: reason.into(), is_open: true });
        }
        if self.rate.handle_timeout(now) {
            self.pace.excuse(now);
        }
        if let Err(slow) = self.pace.handle_timeout(now) {
            let peer = self.conn.peer.from();
            log_peer!(self.conn.resources, peer, warn, "closing a connection", %peer, reason = %slow);
            return Err(End { reason: Cause::new(slow), is_open: true });
        }
        self.ahead.handle_timeout(now);
        self.next_expiry = self.conn.expire(now);
        let limit = self.conn.terms.read_idle_timeout;
        if now >= self.last_use + limit {
            if self.server.is_idle() {
                let reason = format!("nothing was asked for {limit:?}");
                return Err(End { reason: reason.into(), is_open: true });
            }
            self.last_use = now;
        }
        Ok(())
    }

    fn handle_fault(&mut self, fault: Fault) -> End {
        End::lost(Cause::new(fault))
    }

    fn is_woken(&self) -> bool {
        self.conn.is_touched()
    }

    fn end(&mut self, end: End, io: Buffers) -> Option<Farewell> {
        self.conn.end();
        // A peer may take its time with the last bytes: nothing else is kept for as long as that.
        let mut server = std::mem::replace(&mut self.server, Server::new(ServerConfig::default()));
        let mut bytes = io.unwritten.to_vec();
        let is_open = end.is_open && server.finish(&mut bytes).is_ok();
        drop((server, io, self.handing.take(), std::mem::take(&mut self.answers)));
        self.held.release(&self.conn.account);
        self.ahead.release(&self.conn.account);
        self.conn.resources.link_down(&link_of(&self.conn), end.reason, 0);
        if is_open { self.conn.account.farewell(bytes) } else { None }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        self.conn.gone.open();
    }
}
