//! Asks: each has a connection to itself until its reply is here.
//!
//! A Go node answers the requests of one connection one after another, so an ask that takes long would
//! hold up all behind it.

use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant, SystemTime};

use rakt_wire::Metadata;
use rakt_wire::goakt::{Answer, Call, Deadline, Outgoing as Message, Payload, Procedure};

use super::endpoint::Endpoint;
use super::lease::{Lease, lease, try_lease};
use super::link::Failed;
use super::queue::{ReceiverEntry, Tell};
use super::refusal;
use super::send_state::{Leasing, SendState, poll_settled};
use super::sender;
use crate::answer::{Fate, RemoteAnswer, Reply};
use crate::error::Refusal;
use crate::reference::Outgoing;
use crate::remote::account::Account;
use crate::remote::goakt::limits::LONGEST;
use crate::slot::{Abandonment, Slot};
use crate::timers::now;

/// The type of a reply that says nothing.
const EMPTY: &str = "google.protobuf.Empty";

/// How much longer the connection waits than the asker, which then hears that time is up, and not that
/// the connection was given up. 100 ms.
const GRACE: Duration = Duration::from_millis(100);

/// A message that wants a reply, on its way.
struct Asking {
    receiver: Arc<ReceiverEntry>,
    sender: Arc<str>,
    type_name: &'static str,
    reply_name: &'static str,
    payload: Vec<u8>,
    headers: Metadata,
    timeout: Duration,
    expires: Instant,
    deadline: Option<Deadline>,
}

/// Takes a message once its turn has come and there is a connection for it.
pub(super) fn poll_ask(
    endpoint: &Arc<Endpoint>,
    receiver: &Arc<ReceiverEntry>,
    outgoing: &Outgoing<'_>,
    state: &mut Option<Box<SendState>>,
    waker: Option<&Waker>,
) -> Poll<Result<Option<RemoteAnswer>, Refusal>> {
    let Some(reply_name) = outgoing.reply_name else {
        let text = format!(
            "the reply to {} has no wire name, which GoAkt needs: write `=> Reply as \"package.Name\"`",
            outgoing.type_name
        );
        return Poll::Ready(Err(Refusal::InvalidArgument { source: text.into() }));
    };
    // An ask always waits for its reply.
    let waker = waker.unwrap_or(Waker::noop());
    if state.as_ref().is_none_or(|state| state.leasing.is_none()) {
        ready!(poll_settled(endpoint.outbox(receiver), receiver, state, waker));
    }
    let sender = match outgoing.sender {
        Some(sender) => sender::address_of(sender, &endpoint.nobody),
        None => endpoint.nobody.clone(),
    };
    let timeout = outgoing.remaining.unwrap_or(LONGEST).min(LONGEST);
    let payload = match state.as_mut().and_then(|state| state.payload.take()) {
        Some(payload) => payload,
        None => {
            let payload = sender::encoded(outgoing.payload)?;
            let tell = Tell {
                receiver,
                sender: &sender,
                type_name: outgoing.type_name,
                headers: outgoing.metadata,
                slot: None,
            };
            sender::check_len(&tell, &payload, Some(timeout), endpoint.node.max_frame_len())?;
            payload
        }
    };
    let leasing = state.as_mut().and_then(|state| state.leasing.take());
    let leased = match leasing {
        Some(leasing) => Err(leasing),
        None => match try_lease(endpoint) {
            Some(lease) => Ok(lease),
            None => Err(Box::pin(lease(endpoint.clone())) as Leasing),
        },
    };
    let lease = match leased {
        Ok(lease) => lease,
        Err(mut leasing) => match leasing.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(lease) => lease?,
            Poll::Pending => {
                let state = state.get_or_insert_default();
                (state.payload, state.leasing) = (Some(payload), Some(leasing));
                return Poll::Pending;
            }
        },
    };
    let deadline = endpoint.tells_deadlines.then(|| Deadline::after(SystemTime::now(), timeout));
    let asking = Asking {
        receiver: receiver.clone(),
        sender,
        type_name: outgoing.type_name,
        reply_name,
        payload,
        headers: outgoing.metadata.cloned().unwrap_or_default(),
        timeout,
        expires: now() + timeout + GRACE,
        deadline,
    };
    let (slot, answer) = Slot::new();
    endpoint.node.dialer.runtime.spawn(run(endpoint.clone(), lease, asking, slot));
    Poll::Ready(Ok(Some(RemoteAnswer::of_slot(answer))))
}

async fn run(endpoint: Arc<Endpoint>, lease: Lease, asking: Asking, slot: Arc<Slot<Fate>>) {
    let abandoned = std::future::poll_fn(|cx| slot.poll_abandoned(cx));
    tokio::select! {
        // With nobody waiting the connection is given up: what still comes over it is for nobody.
        () = abandoned => crate::metrics::requests_ended("lost", 1),
        fate = asking.carry_out(&endpoint, lease) => {
            crate::metrics::requests_ended(fate.outcome(), 1);
            drop(slot.answer(fate));
        }
    }
}

impl Asking {
    async fn carry_out(&self, endpoint: &Arc<Endpoint>, mut lease: Lease) -> Fate {
        let message = Message {
            sender: &self.sender,
            receiver: &self.receiver.address,
            payload: Payload { type_name: self.type_name, bytes: &self.payload },
        };
        let messages = std::slice::from_ref(&message);
        let call = Call::Ask { messages, timeout: self.timeout };
        loop {
            let Self { headers, deadline, expires, .. } = self;
            let failed = match lease.conn.exchange(&call, headers, *deadline, *expires).await {
                Ok(answer) => {
                    let account = lease.conn.account().clone();
                    lease.give_back(endpoint);
                    return self.read(answer, account);
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Refused(refusal) => {
                    lease.give_back(endpoint);
                    return Fate::Refused(refusal);
                }
                // The node may have closed it while it was idle.
                Failed::Unsent(_) if lease.is_reused => match lease.renew(endpoint).await {
                    Ok(renewed) => lease = renewed,
                    Err(refusal) => return Fate::Refused(refusal),
                },
                Failed::Unsent(cause) => return Fate::Refused(endpoint.node.unreachable(cause)),
                Failed::Incompatible(cause) => {
                    let refusal = endpoint.node.incompatible(cause);
                    endpoint.node.failed(refusal.clone());
                    return Fate::Refused(refusal);
                }
                failed @ (Failed::Lost(_) | Failed::TimedOut) => return Fate::Lost(failed.cause()),
            }
        }
    }

    fn read(&self, answer: Answer, account: Arc<Account>) -> Fate {
        let replies = match answer {
            Answer::Replies(replies) => replies,
            Answer::Error(error) => {
                return Fate::Refused(refusal::of_error(error, Procedure::Ask));
            }
            other => return Fate::BadReply(format!("{other:?} where a reply belongs").into()),
        };
        let reply = replies.iter().next().unwrap_or_default();
        let is_nothing = reply.type_name().is_empty() && reply.value.is_empty();
        let is_expected = reply.type_name() == self.reply_name;
        if is_expected || (is_nothing && self.reply_name == EMPTY) {
            Fate::Reply(Reply::plain(reply.value, || account))
        } else if is_nothing {
            Fate::Refused(Refusal::NoReply)
        } else {
            let (found, wanted) = (reply.type_name(), self.reply_name);
            Fate::BadReply(format!("it is a {found:?}, where {wanted:?} was expected").into())
        }
    }
}
