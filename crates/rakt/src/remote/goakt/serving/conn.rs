//! One connection from a Go node, as everybody but its driver sees it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use rakt_wire::Failure;
use rakt_wire::goakt::{GoError, Payload, Procedure, Response};

use super::terms::Terms;
use crate::error::{Cause, Refusal};
use crate::events::Outlet;
use crate::peer::Peer;
use crate::remote::account::Account;
use crate::remote::admission::Source;
use crate::remote::budget::Part;
use crate::remote::cancel_wakers::CancelWakers;
use crate::remote::latch::Latch;
use crate::remote::resources::Resources;
#[cfg(feature = "_tls")]
use crate::remote::resources::log_peer;
use crate::sync::{Mutex, MutexGuard};
use crate::system::ActorSystem;

pub(crate) struct GoConn {
    pub(super) terms: Arc<Terms>,
    pub(super) resources: Arc<Resources>,
    pub(super) system: ActorSystem,
    /// Who it has proven to be, and where it comes from: Go nodes do not say who they are.
    pub(super) peer: Peer,
    shared: Mutex<Shared>,
    pub(super) account: Arc<Account>,
    /// Why the peer is not to be heard any more.
    forbidden: OnceLock<Cause>,
    /// The stream is closed.
    pub(crate) gone: Latch,
}

/// Has the driver look again.
impl Wake for GoConn {
    fn wake(self: Arc<Self>) {
        self.touch();
    }
}

#[derive(Default)]
struct Shared {
    /// Requests without an answer.
    open: HashMap<u64, Open>,
    /// Answers that the driver has not taken.
    answers: Vec<(u64, Answer)>,
    /// Not after the end of the first ask; may be long before it.
    next_expiry: Option<Instant>,
    driver: Option<Waker>,
    /// Something has changed since the driver last looked.
    is_touched: bool,
    cancel_wakers: CancelWakers,
    /// Bytes of replies in `open` and `answers`, and of those that the driver has taken.
    collected: usize,
    unsent: usize,
    /// Nothing more is taken from the peer.
    is_closing: bool,
}

/// What the driver finds when it looks.
pub(super) struct Turn {
    /// Something has changed since it last looked.
    pub(super) is_touched: bool,
    /// Nothing more is taken from the peer.
    pub(super) is_closing: bool,
    pub(super) next_expiry: Option<Instant>,
}

/// A request without an answer.
enum Open {
    Tell {
        /// Messages that are on their way to their mailboxes.
        unconfirmed: usize,
        /// The answer once they are there; `None` while more messages follow.
        end: Option<Answer>,
    },
    Ask {
        /// Messages without a reply, those that are not sent yet included.
        left: usize,
        replies: Replies,
        expires: Option<Instant>,
    },
    Operation,
}

/// What becomes of a request.
pub(super) enum Answer {
    Done,
    Replies(Replies),
    Address(String),
    /// What a grain has answered, if it did more than to acknowledge a message.
    GrainReply(Option<(&'static str, Vec<u8>)>),
    Error(GoError),
}

/// Replies to the messages of one ask, one after another.
#[derive(Default)]
pub(super) struct Replies {
    bytes: Vec<u8>,
    /// The type of each, and where it ends.
    ends: Vec<(&'static str, usize)>,
}

impl Answer {
    /// Calls `send` with the answer in the form that goes out.
    pub(super) fn with<R>(self, send: impl FnOnce(&Response<'_>) -> R) -> R {
        match self {
            Self::Done => send(&Response::Done),
            Self::Address(address) => send(&Response::Address(&address)),
            Self::GrainReply(reply) => {
                let payload = reply.as_ref().map(|(type_name, bytes)| Payload { type_name, bytes });
                send(&Response::GrainReply(payload))
            }
            Self::Error(error) => send(&Response::Error(error)),
            Self::Replies(replies) => {
                let mut start = 0;
                let payloads = replies.ends.iter().map(|(type_name, end)| {
                    let bytes = &replies.bytes[std::mem::replace(&mut start, *end)..*end];
                    Payload { type_name, bytes }
                });
                send(&Response::Replies(&payloads.collect::<Vec<_>>()))
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Replies(replies) => replies.bytes.len(),
            Self::GrainReply(Some((_, bytes))) => bytes.len(),
            _ => 0,
        }
    }
}

#[cfg(feature = "_tls")]
impl crate::remote::tls::Guarded for GoConn {
    fn forbid(&self, why: &str) {
        if self.forbidden.set(why.into()).is_ok() {
            let peer = self.peer.from();
            log_peer!(self.resources, peer, warn, "closing a connection", %peer, reason = why);
            self.touch();
        }
    }

    /// Whoever dialed it sees to that.
    fn retire(&self, _: &str) {}
}

impl GoConn {
    pub(super) fn new(
        terms: Arc<Terms>,
        resources: Arc<Resources>,
        system: ActorSystem,
        (peer, source): (Peer, Source),
    ) -> Arc<Self> {
        Arc::new(Self {
            terms,
            account: Account::of(resources.clone(), source),
            resources,
            system,
            peer,
            forbidden: OnceLock::new(),
            shared: Mutex::default(),
            gone: Latch::default(),
        })
    }

    // Requests.

    /// So many messages of a tell are about to be put in a mailbox, the first ones unless it is open.
    /// `end` is the answer once they are there, if they are the last ones.
    pub(super) fn expect_confirmed(
        &self,
        id: u64,
        more: usize,
        last: Option<Answer>,
        is_open: bool,
    ) {
        let mut shared = self.shared.lock();
        match shared.open.get_mut(&id) {
            Some(Open::Tell { unconfirmed, end }) => {
                *unconfirmed += more;
                *end = last;
            }
            None if !is_open => {
                shared.open.insert(id, Open::Tell { unconfirmed: more, end: last });
            }
            // It is answered.
            _ => {}
        }
    }

    /// No further message of a tell follows: this is the answer once they are in their mailboxes.
    pub(super) fn end_tell(&self, id: u64, answer: Answer) {
        let mut shared = self.shared.lock();
        match shared.open.get_mut(&id) {
            Some(Open::Tell { unconfirmed: 1.., end }) => *end = Some(answer),
            Some(_) => self.settle(shared, id, answer),
            None => {}
        }
    }

    /// An ask of so many messages, which follow one after another.
    pub(super) fn open_ask(&self, id: u64, left: usize) {
        let ask = Open::Ask { left, replies: Replies::default(), expires: None };
        self.shared.lock().open.insert(id, ask);
    }

    /// The next message of an ask is about to be put in a mailbox; its reply must be here by then.
    pub(super) fn expect_reply(&self, id: u64, by: Instant) {
        let mut shared = self.shared.lock();
        if let Some(Open::Ask { expires, .. }) = shared.open.get_mut(&id) {
            *expires = Some(by);
            if shared.next_expiry.is_none_or(|next| by < next) {
                shared.next_expiry = Some(by);
                shared.is_touched = true;
            }
        }
    }

    /// An operation on an actor.
    pub(super) fn open_operation(&self, id: u64) {
        self.shared.lock().open.insert(id, Open::Operation);
    }

    /// How many messages of a tell are on their way to mailboxes, or of an ask without a reply; `None`
    /// once it is answered. For the driver, which looks again whenever that changes.
    pub(super) fn unsettled(&self, id: u64) -> Option<usize> {
        match self.shared.lock().open.get(&id)? {
            Open::Tell { unconfirmed: count, .. } | Open::Ask { left: count, .. } => Some(*count),
            Open::Operation => None,
        }
    }

    /// Answers a request that nothing has been noted of.
    pub(super) fn answer_new(&self, id: u64, answer: Answer) {
        let mut shared = self.shared.lock();
        shared.answers.push((id, answer));
        let driver = shared.touch();
        drop(shared);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Answers a request, if it is not answered yet.
    pub(super) fn answer(&self, id: u64, answer: Answer) {
        self.settle(self.shared.lock(), id, answer);
    }

    fn settle(&self, mut shared: MutexGuard<'_, Shared>, id: u64, answer: Answer) {
        let wakers = self.settle_in(&mut shared, id, answer);
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Who must be woken once the lock is released is returned.
    fn settle_in(&self, shared: &mut Shared, id: u64, answer: Answer) -> Vec<Waker> {
        let Some(open) = shared.open.remove(&id) else { return Vec::new() };
        if let Open::Ask { replies, .. } = open {
            shared.collected -= replies.bytes.len();
        }
        shared.collected += answer.len();
        shared.answers.push((id, answer));
        let mut wakers: Vec<_> = shared.cancel_wakers.take(id).collect();
        wakers.extend(shared.touch());
        wakers
    }

    /// A message of a tell is in its mailbox.
    pub(super) fn confirm(&self, id: u64) {
        let mut shared = self.shared.lock();
        let Some(Open::Tell { unconfirmed, end }) = shared.open.get_mut(&id) else { return };
        *unconfirmed -= 1;
        if *unconfirmed > 0 {
            return;
        }
        match end.take() {
            Some(answer) => self.settle(shared, id, answer),
            None => {
                let driver = shared.touch();
                drop(shared);
                driver.into_iter().for_each(Waker::wake);
            }
        }
    }

    /// A message of an ask has its reply.
    pub(super) fn reply(&self, id: u64, type_name: &'static str, bytes: &[u8]) {
        let mut shared = self.shared.lock();
        let is_wanted = shared.open.contains_key(&id);
        let has_room = is_wanted && self.account.note_replies(shared.buffered() + bytes.len());
        let Some(Open::Ask { left, replies, expires }) = shared.open.get_mut(&id) else { return };
        let size = replies.bytes.len() + bytes.len();
        let limit = self.resources.options.max_frame_size as usize;
        if !has_room || size > limit {
            let failure = match has_room {
                true => Failure::too_large(size as u64, limit as u64),
                false => self.account.no_room(Part::Replies, size as u64),
            };
            let error = GoError::from_failure(Procedure::Ask, "", &failure);
            return self.settle(shared, id, Answer::Error(error));
        }
        replies.bytes.extend_from_slice(bytes);
        replies.ends.push((type_name, size));
        *left -= 1;
        *expires = None;
        if *left > 0 {
            shared.collected += bytes.len();
            let driver = shared.touch();
            drop(shared);
            driver.into_iter().for_each(Waker::wake);
            return;
        }
        let replies = std::mem::take(replies);
        shared.collected -= size - bytes.len();
        self.settle(shared, id, Answer::Replies(replies));
    }

    /// A message was turned down, and with it the request it belongs to.
    pub(super) fn refuse(&self, id: u64, path: &str, refusal: &Refusal) {
        self.fail(id, path, &refusal.to_wire());
    }

    /// The same, of what is as a peer hears of it.
    pub(super) fn fail(&self, id: u64, path: &str, failure: &Failure) {
        let mut shared = self.shared.lock();
        let procedure = match shared.open.get(&id) {
            Some(Open::Tell { .. }) => Procedure::Tell,
            Some(Open::Ask { .. }) => Procedure::Ask,
            Some(Open::Operation) | None => return,
        };
        let address = self.terms.local.address(path);
        let error = GoError::from_failure(procedure, &address, failure);
        let wakers = self.settle_in(&mut shared, id, Answer::Error(error));
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether nobody waits for a request any more.
    pub(super) fn is_cancelled(&self, id: u64) -> bool {
        !self.shared.lock().open.contains_key(&id)
    }

    /// Completes when nobody waits for a request any more.
    pub(super) fn poll_cancelled(&self, id: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock();
        if !shared.open.contains_key(&id) {
            return Poll::Ready(());
        }
        shared.cancel_wakers.add(id, cx.waker());
        Poll::Pending
    }

    // For the driver.

    /// Gives up on asks whose time is over, and says when the next one's is.
    pub(super) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut shared = self.shared.lock();
        if shared.next_expiry.is_none_or(|at| now < at) {
            return shared.next_expiry;
        }
        let expiry = |open: &Open| match open {
            Open::Ask { expires, .. } => *expires,
            _ => None,
        };
        let due = shared.open.iter().filter(|(_, open)| expiry(open).is_some_and(|at| at <= now));
        let due: Vec<_> = due.map(|(id, _)| *id).collect();
        let mut wakers = Vec::new();
        for id in due {
            let failure = Refusal::DeadlineExceeded.to_wire();
            let error = GoError::from_failure(Procedure::Ask, "", &failure);
            wakers.append(&mut self.settle_in(&mut shared, id, Answer::Error(error)));
        }
        shared.next_expiry = shared.open.values().filter_map(expiry).min();
        let next = shared.next_expiry;
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
        next
    }

    /// Moves the answers that have come in to `answers`, which is empty. `unsent` bytes of responses
    /// wait for the peer to take them. Where nothing has changed, `driver` is woken by what does.
    pub(super) fn take_answers(
        &self,
        answers: &mut Vec<(u64, Answer)>,
        unsent: usize,
        driver: Option<&Waker>,
    ) -> Turn {
        let mut shared = self.shared.lock();
        std::mem::swap(&mut shared.answers, answers);
        let len = answers.iter().map(|(_, answer)| answer.len()).sum::<usize>();
        shared.collected -= len;
        // They wait for the peer too now.
        if std::mem::replace(&mut shared.unsent, unsent + len) != unsent + len {
            self.account.note_replies(shared.buffered());
        }
        let is_touched = std::mem::take(&mut shared.is_touched);
        shared.driver = if is_touched { None } else { driver.cloned() };
        let Shared { next_expiry, is_closing, .. } = *shared;
        Turn { is_touched, is_closing, next_expiry }
    }

    /// Whether something has changed since the driver last looked.
    pub(super) fn is_touched(&self) -> bool {
        self.shared.lock().is_touched
    }

    /// Takes nothing more from the peer, and ends the connection once all is answered.
    pub(super) fn close(&self) {
        let mut shared = self.shared.lock();
        shared.is_closing = true;
        let driver = shared.touch();
        drop(shared);
        driver.into_iter().for_each(Waker::wake);
    }

    /// Has the driver end the connection; what is not answered by now is refused.
    pub(super) fn give_up(&self) {
        let mut shared = self.shared.lock();
        let ids: Vec<_> = shared.open.keys().copied().collect();
        let mut wakers: Vec<_> = shared.touch().into_iter().collect();
        for id in ids {
            // It is with its actor, which may have begun to handle it.
            let failure = Refusal::NoReply.to_wire();
            let error = GoError::from_failure(Procedure::Ask, "", &failure);
            wakers.append(&mut self.settle_in(&mut shared, id, Answer::Error(error)));
        }
        drop(shared);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Nobody waits for answers any more. Actors that owe one keep the connection, but none of its tables.
    pub(super) fn end(&self) {
        let mut shared = self.shared.lock();
        (shared.open, shared.answers) = (HashMap::new(), Vec::new());
        (shared.collected, shared.unsent) = (0, 0);
        let wakers = shared.cancel_wakers.take_all();
        drop(shared);
        self.account.release_all(Part::Replies);
        wakers.for_each(Waker::wake);
    }

    /// Has the driver look again.
    pub(super) fn touch(&self) {
        let driver = self.shared.lock().touch();
        driver.into_iter().for_each(Waker::wake);
    }

    /// Whether nothing more is taken from the peer.
    pub(super) fn is_closing(&self) -> bool {
        self.shared.lock().is_closing
    }

    /// Why the peer is not to be heard any more, if so.
    pub(super) fn forbidden(&self) -> Option<&Cause> {
        self.forbidden.get()
    }

    /// Where dead letters go.
    pub(super) fn outlet(&self) -> &Outlet {
        &self.resources.outlet
    }
}

impl Shared {
    /// Bytes of replies that the peer has not taken yet.
    fn buffered(&self) -> usize {
        self.collected + self.unsent
    }

    fn touch(&mut self) -> Option<Waker> {
        self.is_touched = true;
        self.driver.take()
    }
}
