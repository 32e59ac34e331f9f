//! Messages that mean something to the node itself, whichever actor they are for.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use rakt_wire::goakt::{
    ASYNC_RESPONSE, ASYNC_TIMEOUT, GoAddress, GoError, HEALTH_CHECK_RESPONSE, Procedure,
    SystemMessage, proto,
};
use rakt_wire::{Code, Encode};

use super::conn::GoConn;
use super::delivery::encode_reply;
use super::requests::{Asked, Framework, Run, not_accepted};
use crate::error::{Bound, Chain, Refusal};
use crate::events::{DeadLetter, Outlet, StopReason};
use crate::mailbox::arrivals::Reachable;
use crate::mailbox::reply::{RemoteAsker, ReplyTo};
use crate::message::{Codec, CodecError, Message, WireType};
use crate::reference::{ActorRef, Target};
use crate::signal::Signal;

/// Answers to asynchronous requests that are under way at one time, all peers together; further ones are
/// dead letters. Each may wait for a connection to a host that the peer has chosen.
const MAX_ANSWERS: u32 = 1024;
/// Longest number of an asynchronous request, in bytes. GoAkt's have 36.
const MAX_CORRELATION_LEN: usize = 1024;

impl GoConn {
    /// Does what a message of GoAkt itself asks for.
    pub(super) fn handle_framework(
        self: &Arc<Self>,
        procedure: Procedure,
        read: Option<SystemMessage>,
        cell: &Arc<dyn Reachable>,
    ) -> Result<Framework, GoError> {
        let Some(read) = read else { return Ok(Framework::NotOurs) };
        tracing::debug!(
            peer = self.peer.from(),
            path = cell.path(),
            ?procedure,
            "a message of GoAkt itself"
        );
        match read {
            SystemMessage::PoisonPill => {
                cell.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
            }
            SystemMessage::HealthCheckRequest => {
                return Ok(Framework::Replied(HEALTH_CHECK_RESPONSE));
            }
            SystemMessage::AsyncRequest(request) => {
                let run = self.ask_async(procedure, request, cell.clone())?;
                return Ok(Framework::Asks(Box::new(run)));
            }
            // Nothing here sends asynchronous requests, so nobody waits for this. It is acknowledged all
            // the same: a Go actor whose answer is refused is suspended.
            SystemMessage::AsyncResponse(_) => {}
            // When an actor is stopped for being idle is decided here.
            _ => {}
        }
        Ok(Framework::Done)
    }

    /// An ask in the name of somebody who wants the answer as a message.
    fn ask_async(
        self: &Arc<Self>,
        procedure: Procedure,
        request: proto::AsyncRequest,
        cell: Arc<dyn Reachable>,
    ) -> Result<Run, GoError> {
        let proto::AsyncRequest { correlation_id, reply_to, message } = request;
        if correlation_id.len() > MAX_CORRELATION_LEN {
            let (size, limit) = (correlation_id.len(), MAX_CORRELATION_LEN);
            let text = format!("a correlation_id of {size} bytes, the limit is {limit}");
            let refusal = Refusal::InvalidArgument { source: text.into() };
            return Err(GoError::from_failure(procedure, &reply_to, &refusal.to_wire()));
        }
        let message = message.unwrap_or_default();
        let entry = cell.accepted(message.type_name());
        let entry = entry.ok_or_else(|| not_accepted(procedure, message.type_name()))?;
        let address = GoAddress::parse(&reply_to)
            .map_err(|error| GoError::invalid_message(procedure, error))?;
        let asker = match self.is_own(address) {
            true => None,
            false => self.reference(address),
        };
        let origin = AsyncOrigin {
            conn: self.clone(),
            correlation_id,
            asker: asker.clone(),
            answerer: ActorRef::from_target(Target::Local(cell.clone())),
        };
        let asked = Asked {
            asker: RemoteAsker { to: Arc::new(origin), request: 0 },
            payload: Bytes::copy_from_slice(&message.value),
        };
        Ok(Run::of_request(cell, message.type_name().into(), entry, asker, asked))
    }
}

/// An asynchronous request, as the actor that is asked sees it.
struct AsyncOrigin {
    conn: Arc<GoConn>,
    correlation_id: String,
    /// Who is told the answer; `None` if nobody can be.
    asker: Option<ActorRef>,
    answerer: ActorRef,
}

impl AsyncOrigin {
    fn send(&self, message: Option<proto::Any>, error: String) {
        let Some(asker) = self.asker.clone() else { return };
        let terms = self.conn.terms.clone();
        if terms.answers.fetch_add(1, Ordering::Relaxed) >= MAX_ANSWERS {
            terms.answers.fetch_sub(1, Ordering::Relaxed);
            let bound = Bound::AsyncAnswers;
            let reason = Refusal::ResourceExhausted { bound, limit: MAX_ANSWERS.into() };
            return lose(self.conn.outlet(), &asker, &self.answerer, reason);
        }
        let correlation_id = self.correlation_id.clone();
        let response = proto::AsyncResponse { correlation_id, message, error };
        let (answerer, conn) = (self.answerer.clone(), self.conn.clone());
        self.conn.system.runtime().spawn(async move {
            let answer = AsyncAnswer(response.to_bytes().into());
            if let Err(error) = asker.tell(answer).sender(&answerer).await {
                lose(conn.outlet(), &asker, &answerer, error.refusal);
            }
            terms.answers.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// An answer does not reach the asker, and nobody waits to hear so.
fn lose(outlet: &Outlet, asker: &ActorRef, answerer: &ActorRef, reason: Refusal) {
    outlet.dead_letters(1, || DeadLetter {
        target: asker.address().into(),
        sender: Some(answerer.address()),
        message: ASYNC_RESPONSE.to_owned(),
        reason,
        count: 1,
    });
}

impl ReplyTo for AsyncOrigin {
    fn reply(&self, corr: u64, name: Option<&'static str>, payload: &dyn Encode) {
        match encode_reply(name, payload, self.conn.resources.options.max_frame_size) {
            Ok((name, bytes)) => {
                self.send(Some(proto::Any::pack(name, bytes.into())), String::new());
            }
            Err(refusal) => self.refuse(corr, &refusal),
        }
    }

    fn refuse(&self, _: u64, refusal: &Refusal) {
        let text = match refusal.to_wire().code {
            Code::DeadlineExceeded => ASYNC_TIMEOUT.to_owned(),
            _ => Chain(refusal).to_string(),
        };
        self.send(None, text);
    }

    fn is_cancelled(&self, _: u64) -> bool {
        false
    }

    fn poll_cancelled(&self, _: u64, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// The answer to an asynchronous request, encoded already.
struct AsyncAnswer(Bytes);

impl Message for AsyncAnswer {
    type Reply = ();

    fn wire() -> Option<&'static WireType<Self>> {
        static WIRE: LazyLock<WireType<AsyncAnswer>> =
            LazyLock::new(|| WireType::new::<Encoded>(ASYNC_RESPONSE));
        Some(&WIRE)
    }
}

/// The codec of what is encoded already.
enum Encoded {}

impl Codec<AsyncAnswer> for Encoded {
    fn encoded_len(answer: &AsyncAnswer) -> Option<usize> {
        Some(answer.0.len())
    }

    fn encode(answer: &AsyncAnswer, out: &mut Vec<u8>) -> Result<(), CodecError> {
        out.extend_from_slice(&answer.0);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<AsyncAnswer, CodecError> {
        Ok(AsyncAnswer(bytes))
    }
}

impl Codec<()> for Encoded {
    fn encoded_len(_: &()) -> Option<usize> {
        Some(0)
    }

    fn encode(_: &(), _: &mut Vec<u8>) -> Result<(), CodecError> {
        Ok(())
    }

    fn decode(_: Bytes) -> Result<(), CodecError> {
        Ok(())
    }
}
