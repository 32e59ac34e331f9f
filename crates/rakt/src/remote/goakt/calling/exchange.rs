//! One request and its response at a time, over a connection that nothing else uses.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::BytesMut;
use rakt_wire::Metadata;
use rakt_wire::goakt::{Answer, Call, Deadline, SendError};
use rakt_wire::native::Transmit;

use super::link::{self, Failed, Link, READ_LEN, Use};
use super::node::GoNode;
use super::refusal;
use super::standing::Verdict;
use crate::error::{Cause, Refusal};
use crate::remote::account::Account;
use crate::remote::io::{Buffers, Fault, Pump, Reading, Session};
use crate::timers::now;

/// A connection for requests that each wait for the answer to the one before. Dropping it closes it.
pub(super) struct Exchanger(Pump<Exchange>);

/// A request, from the first byte that leaves to its answer.
struct Exchange {
    link: Link,
    expires: Instant,
    /// Something of it has left.
    has_left: bool,
}

impl Exchanger {
    pub(super) async fn dial(node: &Arc<GoNode>) -> Result<Self, Refusal> {
        let (link, stream) = link::dial(node, Use::OneByOne).await?;
        let exchange = Exchange { link, expires: now(), has_left: false };
        // The request runs out of time itself.
        Ok(Self(Pump::new(exchange, stream, BytesMut::new(), None)))
    }

    /// Sends one request and reads its response. After an error other than [`Failed::Refused`], and when
    /// this is dropped before its end, the connection is of no use any more.
    pub(super) async fn exchange(
        &mut self,
        call: &Call<'_>,
        headers: &Metadata,
        deadline: Option<Deadline>,
        expires: Instant,
    ) -> Result<Answer, Failed> {
        let exchange = &mut self.0.session;
        match exchange.link.client.send(call, headers, deadline, expires) {
            Ok(_) => {}
            Err(SendError::Encode(error)) => {
                return Err(Failed::Refused(refusal::unencodable(error)));
            }
            Err(error) => return Err(Failed::Unsent(Cause::new(error))),
        }
        (exchange.expires, exchange.has_left) = (expires, false);
        let exchanged = poll_fn(|cx| self.0.poll(cx)).await;
        if let Err(failed) = &exchanged {
            self.closes(failed.cause());
        }
        exchanged
    }

    /// Whether it may be used again: the node has sent nothing and not closed it, as far as that is known here, and has
    /// been sent all of what was asked.
    pub(super) fn is_quiet(&mut self) -> bool {
        let client = &self.0.session.link.client;
        client.is_usable() && client.unsent_len() == 0 && self.0.is_quiet()
    }

    /// What the connection holds of what its node has.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.0.session.link.account
    }

    /// Nothing is asked for a while: `keeper` has it, and is woken when it is over.
    pub(super) fn rest(&mut self, keeper: &Waker) {
        self.0.rest();
        self.0.session.link.standing.watch(keeper);
    }

    /// Why nothing more may be asked over it, if so.
    pub(super) fn over(&self) -> Option<Cause> {
        self.0.session.link.standing.over()
    }

    /// It is about to be dropped.
    pub(super) fn closes(&mut self, why: impl Into<Cause>) {
        self.0.session.link.why = why.into();
    }
}

impl Exchange {
    /// The connection is of no use any more, for this reason: of what has not left yet the node knows nothing.
    fn lost(&self, failed: Failed) -> Failed {
        match failed {
            Failed::Lost(cause) if !self.has_left => Failed::Unsent(cause),
            failed => failed,
        }
    }
}

impl Session for Exchange {
    type End = Result<Answer, Failed>;

    fn poll_transmit(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut Buffers,
    ) -> Poll<Result<(), Self::End>> {
        if let Verdict::Forbidden(why) = self.link.standing.watch(cx.waker()) {
            self.link.log_forbidden(&why);
            return Poll::Ready(Err(Err(self.lost(Failed::Lost(why)))));
        }
        if io.unwritten.is_empty() {
            let transmitted = self.link.client.poll_transmit(now(), io.unwritten.bytes());
            transmitted.map_err(|error| Err(self.lost(Failed::Lost(Cause::new(error)))))?;
        }
        Poll::Pending
    }

    fn handle_written(&mut self) {
        self.has_left = true;
    }

    /// Also while the request leaves: a node that does not take it may say why.
    fn reading(&mut self, _: &Buffers) -> Reading<'_> {
        Reading::Unread(READ_LEN)
    }

    fn handle_read(&mut self, _: Instant, io: &mut Buffers) -> Result<(), Self::End> {
        let answer = self.link.client.poll_answer(&mut io.unread);
        let answer = answer.map_err(|error| Err(Failed::of(error)))?;
        let counted = self.link.count(io.unread.len());
        // A single request always has its own.
        if let Some((_, Some(answer))) = answer {
            self.link.note_answer();
            return Err(Ok(answer));
        }
        counted.map_err(Err)
    }

    fn handle_eof(&mut self) -> Result<(), Self::End> {
        let ended = self.link.ended();
        Err(Err(self.lost(ended)))
    }

    fn poll_timeout(&self) -> Instant {
        self.expires
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Self::End> {
        self.link.client.handle_timeout(now).map_err(|error| Err(Failed::of(error)))
    }

    fn handle_fault(&mut self, fault: Fault) -> Self::End {
        Err(self.lost(match fault {
            Fault::Read(error) | Fault::Write(error) => self.link.broken(error),
            Fault::Stuck(_) => Failed::Lost(Cause::new(fault)),
        }))
    }
}
