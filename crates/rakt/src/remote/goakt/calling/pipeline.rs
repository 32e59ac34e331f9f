//! Tells over one connection: requests go out one behind the other, and senders are told what came of them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rakt_wire::Metadata;
use rakt_wire::goakt::{Answer, Call, ClientError, Procedure, SendError};
use rakt_wire::native::Transmit;

use super::endpoint::Endpoint;
use super::letters::{self, Letters, Missing};
use super::link::{self, Failed, Link, READ_LEN, Use};
use super::outbox::Outbox;
use super::queue::{Group, Queue};
use super::refusal;
use super::standing::Verdict;
use super::successor::{Next, Successor};
use crate::answer::{Fate, Reply};
use crate::error::{Cause, Refusal};
use crate::remote::io::{Buffers, Farewell, Fault, Pump, Reading, Session};
use crate::remote::redial::BriefConns;
use crate::remote::transport::Stream;
use crate::timers::now;

/// Most requests without an outcome.
const MAX_IN_FLIGHT: usize = 256;
/// Bytes of requests without an answer beyond which no further one is sent. 4 MiB.
const WINDOW: usize = 4 * 1024 * 1024;
/// Bytes after which no further request becomes part of the same write. 256 KiB.
const WRITE_LEN: usize = 256 * 1024;

const USE: Use = Use::Pipeline { max_in_flight: MAX_IN_FLIGHT };

/// How long the node may take to answer what it was told before this side closes. 4 s, less than
/// [closing](crate::remote::node::CLOSE_TIMEOUT) may take in all.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(4);

struct Pipeline {
    endpoint: Arc<Endpoint>,
    outbox: Arc<Outbox>,
    link: Link,
    /// Taken from the outbox and not sent yet.
    queue: Queue,
    /// Requests without an outcome; their payloads are gone.
    in_flight: VecDeque<Group>,
    /// How many requests have had an outcome, and how many the node is through with.
    ended: u64,
    done: u64,
    /// Bytes of the requests that it is not through with.
    pending_len: usize,
    last_use: Instant,
    /// When it ends whatever has no answer by then, once this side closes.
    closes: Option<Instant>,
    /// What takes its place. Once that is open, nothing more is sent here.
    successor: Successor,
}

/// Why a pipeline ends.
enum End {
    /// Nothing is left to do.
    Idle,
    /// Nothing is under way, and another connection takes its place.
    Succeeded,
    Failed(Failed),
    /// The node says that it goes down.
    NodeDown,
}

/// Runs an outbox until its connection ends.
pub(super) async fn run(endpoint: Arc<Endpoint>, at: usize, brief: BriefConns) {
    let outbox = endpoint.outboxes[at].clone();
    let dialed = async {
        endpoint.node.pause(brief).await;
        link::dial(&endpoint.node, USE).await
    };
    let dialed = tokio::select! {
        dialed = dialed => dialed,
        () = closed(&endpoint, &outbox) => Err(Refusal::Closed),
    };
    let Ok((link, stream)) = dialed else {
        // Who waits tries again, and hears the reason from the node.
        outbox.down(false, false);
        return;
    };
    outbox.up();
    drive(endpoint, outbox, (link, stream), Queue::default()).await;
}

/// Sends what was taken from an outbox, and what is in there, until the connection ends.
async fn drive(
    endpoint: Arc<Endpoint>,
    outbox: Arc<Outbox>,
    (link, stream): (Link, Box<dyn Stream>),
    queue: Queue,
) {
    let pipeline = Pipeline {
        endpoint,
        outbox,
        link,
        queue,
        in_flight: VecDeque::new(),
        ended: 0,
        done: 0,
        pending_len: 0,
        last_use: now(),
        closes: None,
        successor: Successor::None,
    };
    // The requests run out of time themselves.
    let resources = pipeline.endpoint.node.dialer.resources.clone();
    let pump = Pump::new(pipeline, stream, BytesMut::new(), None);
    resources.pumps.run(pump).await;
}

/// Completes when this side closes.
async fn closed(endpoint: &Endpoint, outbox: &Outbox) {
    poll_fn(|cx| {
        outbox.set_driver(cx.waker());
        match endpoint.node.dialer.is_closed() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

impl Pipeline {
    /// Makes requests of what waits, as far as more may be under way, for the next write.
    fn fill(&mut self, io: &mut Buffers) -> Result<(), End> {
        if !self.link.client.is_usable() {
            return Ok(());
        }
        // What is left of a large one goes first.
        let is_held = self.link.client.unsent_len() > 0 || self.successor.is_open();
        let mut is_taken = false;
        while !is_held
            && self.pending_len < WINDOW
            && self.link.client.unsent_len() < WRITE_LEN
            && !self.link.client.is_full()
        {
            if self.queue.is_empty() && !std::mem::replace(&mut is_taken, true) {
                self.queue.tidy();
                self.outbox.take(&mut self.queue);
            }
            let Some(group) = self.queue.pop() else { break };
            self.send(group);
        }
        if self.link.client.unsent_len() > 0 {
            self.last_use = now();
            let transmitted = self.link.client.poll_transmit(now(), io.unwritten.bytes());
            transmitted.map_err(failed)?;
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
                    error => Refusal::Internal { source: Cause::new(error) },
                };
                letters::refuse(self.link.node.outlet(), group, refusal);
                self.outbox.settle(1);
            }
        }
    }

    /// Takes the outcomes that have arrived; also how many more requests the node is through with.
    fn take_outcomes(&mut self, unread: &mut BytesMut) -> (Result<(), End>, u64) {
        let node = self.link.node.clone();
        let (mut settled, mut missing) = (0, None);
        let result = loop {
            let polled = self.link.client.poll_answer(unread);
            settled += self.note_done();
            match polled {
                Ok(Some((_, answer))) => {
                    let Some(group) = self.in_flight.pop_front() else { break Ok(()) };
                    self.ended += 1;
                    match answer {
                        Some(Answer::Error(error)) => {
                            let refusal = refusal::of_error(error, Procedure::Tell);
                            letters::refuse(node.outlet(), group, refusal);
                        }
                        Some(_) => {
                            let reply = Reply::Small(Bytes::new());
                            letters::answer(group, Fate::Reply(reply));
                        }
                        None => missing.get_or_insert_with(|| Missing::new(&node)).add(group),
                    }
                }
                Ok(None) if !self.link.client.is_usable() => break Err(End::NodeDown),
                Ok(None) => break self.link.count(unread.len()).map_err(End::Failed),
                Err(error) => break Err(failed(error)),
            }
        };
        if let Some(missing) = missing {
            missing.tell();
        }
        (result, settled)
    }

    /// Returns how many more requests the node is through with.
    fn note_done(&mut self) -> u64 {
        let before = std::mem::replace(&mut self.done, self.link.client.done());
        let at = |number: u64| (number - self.ended) as usize;
        let done = self.in_flight.range(at(before)..at(self.done));
        self.pending_len -= done.map(|group| group.len).sum::<usize>();
        self.done - before
    }

    /// Tells those who care what the end means for what is left.
    fn lose(&mut self, why: Refusal, cause: &Cause) {
        let is_brief = !self.link.has_answered;
        let is_understood = !matches!(why, Refusal::Incompatible { .. });
        let node = self.link.node.clone();
        let mut letters = Letters::new(node.outlet(), why.clone());
        for (group, lost) in self.in_flight.drain(..).zip(self.link.client.take_lost()) {
            letters.add(&group);
            // What a node does not understand it cannot have acted on.
            let fate = match lost.is_sent && is_understood {
                true => Fate::Lost(cause.clone()),
                false => Fate::Refused(why.clone()),
            };
            letters::answer(group, fate);
        }
        let rest = self.outbox.down(false, is_brief);
        for mut queue in [Some(std::mem::take(&mut self.queue)), rest].into_iter().flatten() {
            while let Some(group) = queue.pop() {
                letters.add(&group);
                letters::answer(group, Fate::Refused(why.clone()));
            }
        }
        letters.flush();
    }
}

impl Session for Pipeline {
    type End = End;

    fn is_woken(&self) -> bool {
        self.outbox.is_woken() || self.link.standing.is_woken()
    }

    fn poll_transmit(&mut self, cx: &mut Context<'_>, io: &mut Buffers) -> Poll<Result<(), End>> {
        self.outbox.set_driver(cx.waker());
        match self.link.standing.watch(cx.waker()) {
            Verdict::Forbidden(why) => {
                self.link.log_forbidden(&why);
                return Poll::Ready(Err(End::Failed(Failed::Lost(why))));
            }
            Verdict::Retired(_) if self.closes.is_none() => {
                self.successor.poll(&self.endpoint, USE, cx);
            }
            Verdict::Retired(_) | Verdict::Good => {}
        }
        if io.is_written() {
            self.fill(io)?;
        }
        if self.closes.is_none() && self.link.node.dialer.is_closed() {
            self.closes = Some(now() + ANSWERS_TIMEOUT);
        }
        Poll::Pending
    }

    fn handle_written(&mut self) {}

    fn reading(&mut self, _: &Buffers) -> Reading<'_> {
        Reading::Unread(READ_LEN)
    }

    fn handle_read(&mut self, now: Instant, io: &mut Buffers) -> Result<(), End> {
        let (result, settled) = self.take_outcomes(&mut io.unread);
        self.last_use = now;
        if settled > 0 {
            self.link.note_answer();
            self.outbox.settle(settled);
        }
        result
    }

    fn handle_eof(&mut self) -> Result<(), End> {
        Err(End::Failed(self.link.ended()))
    }

    fn handle_pause(&mut self, io: &Buffers) -> Result<(), End> {
        if !self.in_flight.is_empty() || !io.is_written() {
            return Ok(());
        }
        if self.successor.is_open() {
            return Err(End::Succeeded);
        }
        let unused = now().saturating_duration_since(self.last_use);
        let is_over = unused >= self.endpoint.idle_timeout || self.closes.is_some();
        // Only if nothing has come in meanwhile, which wakes this task.
        match is_over && self.outbox.down(true, false).is_some() {
            true => Err(End::Idle),
            false => Ok(()),
        }
    }

    fn poll_timeout(&self) -> Instant {
        let due = self.link.client.poll_timeout();
        let due = due.unwrap_or(self.last_use + self.endpoint.idle_timeout);
        self.closes.map_or(due, |closes| closes.min(due))
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), End> {
        if self.closes.is_some_and(|closes| closes <= now) {
            let why = format!("closed here, without an answer within {ANSWERS_TIMEOUT:?}");
            return Err(End::Failed(Failed::Lost(why.into())));
        }
        self.link.client.handle_timeout(now).map_err(failed)
    }

    fn handle_fault(&mut self, fault: Fault) -> End {
        End::Failed(match fault {
            Fault::Read(error) | Fault::Write(error) => self.link.broken(error),
            Fault::Stuck(_) => Failed::Lost(Cause::new(fault)),
        })
    }

    fn end(&mut self, end: End, _: Buffers) -> Option<Farewell> {
        let node = self.link.node.clone();
        let (why, cause) = match end {
            End::Idle => {
                self.link.why = "idle".into();
                return None;
            }
            End::Succeeded => {
                self.link.why = "another connection takes its place".into();
                if let Some(next) = self.successor.take() {
                    let (endpoint, outbox) = (self.endpoint.clone(), self.outbox.clone());
                    let queue = std::mem::take(&mut self.queue);
                    let Next { link, stream, .. } = *next;
                    let driver = drive(endpoint, outbox, (link, stream), queue);
                    node.dialer.runtime.spawn(driver);
                }
                return None;
            }
            End::NodeDown => (Refusal::RemotingOff, "the node goes down".into()),
            End::Failed(Failed::Incompatible(cause)) => {
                let refusal = node.incompatible(cause.clone());
                node.failed(refusal.clone());
                (refusal, cause)
            }
            End::Failed(failed) => (node.unreachable(failed.cause()), failed.cause()),
        };
        self.link.why = cause.clone();
        self.lose(why, &cause);
        None
    }
}

fn failed(error: ClientError) -> End {
    End::Failed(Failed::of(error))
}
