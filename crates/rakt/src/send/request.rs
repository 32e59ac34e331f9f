//! A message whose outcome is awaited.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use rakt_wire::{Address, Wish};

use super::envelope::{Envelope, Receipt};
use super::message_for::MessageFor;
use crate::answer::Fate;
use crate::error::{AskError, Refusal};
use crate::limit::Limit;
use crate::message::Message;
use crate::message::reader::reading;

/// A message whose outcome is awaited.
pub(super) struct Request<'a, T, M: Message> {
    pub(super) envelope: Envelope<'a, T, M>,
    receipt: Option<Receipt<M::Reply>>,
    pub(super) limit: Limit,
    wish: Wish,
}

impl<'a, T, M: Message + MessageFor<T>> Request<'a, T, M> {
    pub(super) fn new(mut envelope: Envelope<'a, T, M>, limit: Limit, wish: Wish) -> Self {
        envelope.is_alone = true;
        Self { envelope, receipt: None, limit, wish }
    }

    fn target(&self) -> Address {
        self.envelope.target.address()
    }

    /// Has the message accepted, and no more: what came of it is for [`poll`](Self::poll).
    pub(super) fn poll_send(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), AskError<M>>> {
        if self.receipt.is_some() {
            return Poll::Ready(Ok(()));
        }
        let deadline = if self.wish == Wish::Ask { self.limit.deadline() } else { None };
        match self.envelope.poll_accept(self.wish, deadline, Some(cx.waker())) {
            Poll::Ready(Ok(receipt)) => {
                self.receipt = Some(receipt);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err((refusal, message))) => {
                let target = self.target();
                Poll::Ready(Err(AskError::NotSent { target, refusal, message }))
            }
            Poll::Pending if self.limit.poll(cx, self.envelope.ticks()).is_ready() => {
                let refusal = self.envelope.late();
                match self.envelope.take_back() {
                    Some(message) => {
                        let target = self.target();
                        Poll::Ready(Err(AskError::NotSent { target, refusal, message }))
                    }
                    None => Poll::Pending,
                }
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// Ends with what `of` makes of the reply, or, where none was asked for, of nothing.
    #[inline]
    pub(super) fn poll<E>(
        &mut self,
        cx: &mut TaskContext<'_>,
        of: impl FnOnce(Option<M::Reply>) -> E,
    ) -> Poll<Result<E, AskError<M>>> {
        if self.receipt.is_none() {
            std::task::ready!(self.poll_send(cx))?;
        }
        match &mut self.receipt {
            None => return Poll::Pending,
            Some(Receipt::Accepted) => return Poll::Ready(Ok(of(None))),
            Some(Receipt::Local(answer)) => match Pin::new(answer).poll(cx) {
                Poll::Ready(Ok(reply)) => return Poll::Ready(Ok(of(Some(reply)))),
                Poll::Ready(Err(refusal)) => {
                    let target = self.target();
                    return Poll::Ready(Err(match refusal {
                        // Of a grain it was passed on to another node.
                        Refusal::Lost { source } => AskError::ConnectionLost { target, source },
                        refusal => AskError::Refused { target, refusal },
                    }));
                }
                Poll::Pending => {}
            },
            Some(Receipt::Remote(answer)) => match Pin::new(answer).poll(cx) {
                // Who refuses it on another node does not send it back; of a grain it was kept for that.
                Poll::Ready(Fate::Refused(refusal)) if self.envelope.goes_on_after(&refusal) => {
                    self.receipt = None;
                    return self.poll(cx, of);
                }
                Poll::Ready(fate) => return Poll::Ready(self.read(fate).map(of)),
                Poll::Pending => {}
            },
        }
        if self.limit.poll(cx, self.envelope.ticks()).is_ready() {
            let (target, limit) = (self.target(), self.limit.length());
            return Poll::Ready(Err(AskError::Timeout { target, limit }));
        }
        Poll::Pending
    }

    /// The reply that came, where one was asked for.
    fn read(&self, fate: Fate) -> Result<Option<M::Reply>, AskError<M>> {
        let payload = match fate {
            Fate::Reply(_) if self.wish == Wish::Confirm => return Ok(None),
            Fate::Reply(payload) => payload,
            Fate::Outcome(_) => {
                let source = "an outcome where a reply belongs".into();
                return Err(AskError::BadReply { target: self.target(), source });
            }
            Fate::BadReply(source) => {
                return Err(AskError::BadReply { target: self.target(), source });
            }
            Fate::Refused(Refusal::Lost { source }) | Fate::Lost(source) => {
                return Err(AskError::ConnectionLost { target: self.target(), source });
            }
            Fate::Refused(refusal) => {
                return Err(AskError::Refused { target: self.target(), refusal });
            }
        };
        let decoded = match M::wire() {
            Some(wire) => {
                let reader = self.envelope.target.target().call_options().reader;
                reading(reader, || payload.decode(&wire.reply))
            }
            None => Err("the type has no codec".into()),
        };
        match decoded {
            Ok(reply) => Ok(Some(reply)),
            Err(source) => Err(AskError::BadReply { target: self.target(), source }),
        }
    }
}
