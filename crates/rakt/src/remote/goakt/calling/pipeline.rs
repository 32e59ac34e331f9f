//! The task of a lane while it has a connection: it writes requests, one behind the other, and tells
//! senders what came of them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt_wire::Metadata;
use rakt_wire::goakt::{Answer, Call, ClientError, Procedure, SendError};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Sleep;

use super::endpoint::Endpoint;
use super::lane::Lane;
use super::link::{Failed, Link, Use};
use super::queue::{Group, Known, Queue};
use super::refusal;
use super::site::Site;
use crate::error::Refusal;
use crate::events::{DeadLetter, Outlet};
use crate::remote::answer::{Fate, Reply};
use crate::timers::now;

/// Most requests without an outcome.
const MAX_IN_FLIGHT: usize = 256;
/// Bytes of requests without an answer beyond which no further one is sent. 4 MiB.
const WINDOW: usize = 4 * 1024 * 1024;
/// Bytes after which no further request becomes part of the same write. 256 KiB.
const WRITE_LEN: usize = 256 * 1024;
/// Bytes written before all others on this thread get a turn. 256 KiB.
const TURN_LEN: usize = 256 * 1024;

/// How long the node may take to answer what it was told before this side closes. 4 s, less than
/// [closing](crate::remote::node::CLOSE_TIMEOUT) may take in all.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(4);

struct Pipeline<'a> {
    endpoint: &'a Arc<Endpoint>,
    lane: &'a Lane,
    link: Link,
    /// Taken from the lane and not sent yet.
    queue: Queue,
    /// Requests without an outcome; their payloads are gone.
    in_flight: VecDeque<Group>,
    /// How many requests have had an outcome, and how many the node is through with.
    ended: u64,
    done: u64,
    /// Bytes of the requests that it is not through with.
    pending_len: usize,
    out: Vec<u8>,
    written: usize,
    is_flushed: bool,
    /// Bytes written in this turn.
    moved: usize,
    timer: Pin<Box<Sleep>>,
    last_use: Instant,
    /// When it ends whatever has no answer by then, once this side closes.
    closes: Option<Instant>,
}

/// Why a pipeline ends with something left.
enum End {
    Failed(Failed),
    /// The node says that it goes down.
    NodeDown,
}

/// Runs a lane until its connection ends. `brief` earlier ones in a row ended without an answer.
pub(super) async fn run(endpoint: Arc<Endpoint>, at: usize, brief: u32) {
    let lane = &endpoint.lanes[at];
    let link = tokio::select! {
        link = dial(&endpoint, brief) => link,
        () = closed(&endpoint, lane) => Err(Refusal::ShuttingDown),
    };
    let Ok(link) = link else {
        // Who waits tries again, and hears the reason from the site.
        lane.down(false, false);
        return;
    };
    lane.up();
    let now = now();
    let timer = Box::pin(tokio::time::sleep_until((now + endpoint.idle_timeout).into()));
    let mut pipeline = Pipeline {
        endpoint: &endpoint,
        lane,
        link,
        queue: Queue::default(),
        in_flight: VecDeque::new(),
        ended: 0,
        done: 0,
        pending_len: 0,
        out: Vec::new(),
        written: 0,
        is_flushed: true,
        moved: 0,
        timer,
        last_use: now,
        closes: None,
    };
    let end = pipeline.run().await;
    pipeline.end(end);
}

async fn dial(endpoint: &Endpoint, brief: u32) -> Result<Link, Refusal> {
    // A peer that takes every connection and ends it at once is not to be dialed in a tight loop.
    if let Some(earlier) = brief.checked_sub(2) {
        tokio::time::sleep(crate::remote::native::backoff(&endpoint.site.dialer.random, earlier))
            .await;
    }
    endpoint.site.dial(Use::Pipeline { max_in_flight: MAX_IN_FLIGHT }).await
}

/// Completes when this side closes.
async fn closed(endpoint: &Endpoint, lane: &Lane) {
    while !endpoint.site.dialer.is_closed() {
        lane.work.notified().await;
    }
}

impl Pipeline<'_> {
    /// Goes on until the connection is not needed any more, which ends well, or fails.
    async fn run(&mut self) -> Result<(), End> {
        loop {
            if self.moved >= TURN_LEN {
                self.moved = 0;
                tokio::task::yield_now().await;
            }
            if self.is_flushed {
                self.fill()?;
            }
            let is_idle = self.in_flight.is_empty() && self.is_flushed;
            let is_closed = self.endpoint.site.dialer.is_closed();
            let is_over =
                now().saturating_duration_since(self.last_use) >= self.endpoint.idle_timeout;
            if is_idle && (is_over || is_closed) {
                // Only if nothing has come in meanwhile.
                match self.lane.down(true, false) {
                    Some(_) => return Ok(()),
                    None => continue,
                }
            }
            if self.closes.is_none() && is_closed {
                self.closes = Some(now() + ANSWERS_TIMEOUT);
            }
            self.set_timer();
            let Link { reader, writer, unread, .. } = &mut self.link;
            Link::make_room(unread);
            let (left, is_flushed) = (&self.out[self.written..], self.is_flushed);
            // A piece of that length may have become a little longer.
            let left = &left[..left.len().min(2 * TURN_LEN)];
            let write = std::future::poll_fn(|cx| match left {
                [] => Pin::new(&mut *writer).poll_flush(cx).map_ok(|()| None),
                left => Pin::new(&mut *writer).poll_write(cx, left).map_ok(Some),
            });
            tokio::select! {
                biased;
                read = reader.read_buf(unread) => {
                    match read {
                        Ok(0) => return Err(End::Failed(self.link.ended())),
                        Ok(read) => self.handle_read(read)?,
                        Err(error) => return Err(End::Failed(self.link.broken(&error))),
                    }
                }
                wrote = write, if !is_flushed => match wrote {
                    Ok(None) => self.is_flushed = true,
                    Ok(Some(0)) => {
                        let error = io::ErrorKind::WriteZero.into();
                        return Err(End::Failed(self.link.broken(&error)));
                    }
                    Ok(Some(n)) => {
                        crate::metrics::sent(n);
                        self.written += n;
                        self.moved += n;
                    }
                    Err(error) => return Err(End::Failed(self.link.broken(&error))),
                },
                () = self.lane.work.notified() => {}
                () = &mut self.timer => self.handle_timeout()?,
            }
        }
    }

    /// Has the timer go off by the time something is due. It may go off early.
    fn set_timer(&mut self) {
        let due = match self.link.client.poll_timeout() {
            Some(expires) => expires,
            None => self.last_use + self.endpoint.idle_timeout,
        };
        let due = self.closes.map_or(due, |closes| closes.min(due));
        let due = tokio::time::Instant::from(due);
        if self.timer.is_elapsed() || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
        }
    }

    fn handle_timeout(&mut self) -> Result<(), End> {
        let now = now();
        if self.closes.is_some_and(|closes| closes <= now) {
            let why = format!("closed here, without an answer within {ANSWERS_TIMEOUT:?}");
            return Err(End::Failed(Failed::Lost(why)));
        }
        self.link.client.handle_timeout(now).map_err(|error| End::Failed(Failed::of(error)))
    }

    /// Makes requests of what waits, as far as more may be under way, for the next write.
    fn fill(&mut self) -> Result<(), End> {
        if !self.link.client.is_usable() {
            return Ok(());
        }
        let failed = |error: ClientError| End::Failed(Failed::of(error));
        // What is left of a large one goes first.
        let is_rest = self.link.client.unsent_len() > 0;
        let mut is_taken = false;
        while !is_rest
            && self.pending_len < WINDOW
            && self.link.client.unsent_len() < WRITE_LEN
            && !self.link.client.is_full()
        {
            if self.queue.is_empty() && !std::mem::replace(&mut is_taken, true) {
                self.queue.tidy();
                self.lane.take(&mut self.queue);
            }
            let Some(group) = self.queue.pop() else { break };
            self.send(group);
        }
        if self.link.client.unsent_len() > 0 {
            self.last_use = now();
            self.out.clear();
            self.written = 0;
            self.link.client.poll_transmit(now(), &mut self.out).map_err(failed)?;
            self.is_flushed = false;
        }
        Ok(())
    }

    fn send(&mut self, mut group: Group) {
        let none = Metadata::new();
        let headers = group.headers.as_deref().unwrap_or(&none);
        let expires = now() + self.endpoint.answer_timeout;
        let client = &mut self.link.client;
        let sent = {
            let mut messages = self.queue.messages(&group);
            match group.count {
                1 => client.send(&Call::Tell(messages.next().as_slice()), headers, None, expires),
                _ => {
                    let messages: Vec<_> = messages.collect();
                    client.send(&Call::Tell(&messages), headers, None, expires)
                }
            }
        };
        (group.large, group.headers) = (None, None);
        match sent {
            Ok(_) => {
                if group.slot.is_some() {
                    client.hurry();
                }
                self.pending_len += group.len;
                self.in_flight.push_back(group);
            }
            Err(error) => {
                // Does not happen: its length was looked at when it was taken, and headers fit.
                let refusal = match error {
                    SendError::Encode(error) => refusal::unencodable(error),
                    error => Refusal::Internal { detail: error.to_string() },
                };
                refuse(self.endpoint.site.outlet(), group, refusal);
                self.lane.settle(1);
            }
        }
    }

    fn handle_read(&mut self, read: usize) -> Result<(), End> {
        crate::metrics::received(read);
        let site = &self.endpoint.site;
        let (mut settled, mut missing) = (0, None);
        let result = loop {
            let polled = self.link.client.poll_answer(&mut self.link.unread);
            settled += self.note_done();
            match polled {
                Ok(Some((_, answer))) => {
                    let Some(group) = self.in_flight.pop_front() else { break Ok(()) };
                    self.ended += 1;
                    match answer {
                        Some(Answer::Error(error)) => {
                            refuse(site.outlet(), group, refusal::of_error(error, Procedure::Tell));
                        }
                        Some(_) => {
                            let reply = Reply { bytes: Bytes::new(), compressed: None };
                            self::answer(group, Fate::Reply(reply));
                        }
                        None => missing.get_or_insert_with(|| Missing::new(site)).add(group),
                    }
                }
                Ok(None) if !self.link.client.is_usable() => break Err(End::NodeDown),
                Ok(None) => break self.link.count().map_err(End::Failed),
                Err(error) => break Err(End::Failed(Failed::of(error))),
            }
        };
        if let Some(missing) = missing {
            missing.tell();
        }
        self.last_use = now();
        if settled > 0 {
            self.link.note_answer();
            self.lane.settle(settled);
        }
        result
    }

    /// Returns how many more requests the node is through with.
    fn note_done(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.done, self.link.client.done());
        let at = |number: u64| (number - self.ended) as usize;
        let done = self.in_flight.range(at(before)..at(self.done));
        self.pending_len -= done.map(|group| group.len).sum::<usize>();
        self.done - before
    }

    /// The connection has ended; what is left of it is told to those who care.
    fn end(mut self, end: Result<(), End>) {
        let Err(end) = end else {
            "idle".clone_into(&mut self.link.why);
            return;
        };
        let site = self.endpoint.site.clone();
        let (why, text) = match end {
            End::NodeDown => {
                let refusal = Refusal::RemotingOff;
                (refusal, "the node goes down".to_owned())
            }
            End::Failed(failed) => {
                let detail = format!("{}: {failed}", self.endpoint.site.peer);
                let refusal = match &failed {
                    Failed::Incompatible(_) => Refusal::Incompatible { detail },
                    _ => Refusal::Unreachable { detail },
                };
                if let Failed::Incompatible(_) = &failed {
                    self.endpoint.site.failed(refusal.clone());
                }
                (refusal, failed.to_string())
            }
        };
        self.link.why.clone_from(&text);
        let is_brief = !self.link.has_answered;
        let is_understood = !matches!(why, Refusal::Incompatible { .. });
        let mut letters = Letters::new(site.outlet(), why.clone());
        for (group, lost) in self.in_flight.drain(..).zip(self.link.client.take_lost()) {
            letters.add(&group);
            // What a node does not understand it cannot have acted on.
            let fate = match lost.is_sent && is_understood {
                true => Fate::Lost(text.clone()),
                false => Fate::Refused(why.clone()),
            };
            answer(group, fate);
        }
        let rest = self.lane.down(false, is_brief);
        for mut queue in [Some(self.queue), rest].into_iter().flatten() {
            while let Some(group) = queue.pop() {
                letters.add(&group);
                answer(group, Fate::Refused(why.clone()));
            }
        }
        letters.flush();
    }
}

/// Ends a request.
fn answer(group: Group, fate: Fate) {
    if let Some(slot) = group.slot {
        crate::metrics::requests_ended(fate.outcome(), 1);
        // Nobody may wait any more.
        drop(slot.answer(fate));
    }
}

/// Ends a request that failed.
fn refuse(outlet: &Outlet, group: Group, refusal: Refusal) {
    let mut letters = Letters::new(outlet, refusal.clone());
    letters.add(&group);
    letters.flush();
    answer(group, Fate::Refused(refusal));
}

/// Requests of which the node has left one or more unanswered, and it cannot be known which.
struct Missing<'a> {
    letters: Letters<'a>,
    peer: &'a str,
    requests: u64,
}

impl<'a> Missing<'a> {
    const WHY: &'static str =
        "the node left this message, or one sent shortly before or after it, without an answer";

    fn new(site: &'a Site) -> Self {
        let detail = format!("{}: {}", site.peer, Self::WHY);
        let letters = Letters::new(site.outlet(), Refusal::Unreachable { detail });
        Self { letters, peer: &site.peer, requests: 0 }
    }

    fn add(&mut self, group: Group) {
        self.requests += 1;
        self.letters.add(&group);
        answer(group, Fate::Lost(Self::WHY.to_owned()));
    }

    fn tell(mut self) {
        let Self { peer, requests, .. } = self;
        tracing::warn!(peer, requests, "the node left at least one of these without an answer");
        self.letters.flush();
    }
}

/// Tells that have failed, those that are alike in a row as one.
struct Letters<'a> {
    outlet: &'a Outlet,
    reason: Refusal,
    next: Option<(Arc<Known>, Arc<str>, &'static str, u64)>,
}

impl<'a> Letters<'a> {
    fn new(outlet: &'a Outlet, reason: Refusal) -> Self {
        Self { outlet, reason, next: None }
    }

    fn add(&mut self, group: &Group) {
        if group.slot.is_some() {
            // Whoever waits for it hears of it.
            return;
        }
        let Group { receiver, sender, type_name, count, .. } = group;
        if let Some((known, by, name, sum)) = &mut self.next
            && Arc::ptr_eq(known, receiver)
            && Arc::ptr_eq(by, sender)
            && std::ptr::eq(*name, *type_name)
        {
            *sum += *count as u64;
            return;
        }
        self.flush();
        self.next = Some((receiver.clone(), sender.clone(), type_name, *count as u64));
    }

    fn flush(&mut self) {
        let Some((receiver, sender, message, count)) = self.next.take() else { return };
        let reason = &self.reason;
        tracing::debug!(target = %receiver.address, count, %reason, "messages failed");
        let nobody = rakt_wire::goakt::NO_SENDER;
        self.outlet.dead_letters(count, || DeadLetter {
            target: receiver.address.to_string(),
            sender: Some(sender.to_string()).filter(|sender| sender != nobody),
            message: message.to_owned(),
            reason: reason.clone(),
            count,
        });
    }
}
