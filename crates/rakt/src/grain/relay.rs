//! Stands in for a grain that lives on another node, for messages of peers that arrive here, and for what a life of it here has
//! left: they are passed on as they came.

use std::any::{Any, TypeId};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rakt_wire::{Address, Metadata, Wish};

use super::Grain;
use super::place::Place;
use crate::answer::{Fate, RemoteAnswer, Reply};
use crate::call_options::CallOptions;
use crate::context::{ActorCell, ActorClass};
use crate::error::Refusal;
use crate::events::{DeadLetter, WatchId};
use crate::mailbox::arrivals::{Arrivals, Reachable};
use crate::mailbox::current::{Current, Exclusive};
use crate::mailbox::packed::{Packed, PackedLetter, Packing, Undelivered};
use crate::mailbox::reply::RemoteAsker;
use crate::mailbox::run::{AnyRun, Loose};
use crate::mailbox::work_batch::Item;
use crate::message::allowance::{Hold, Room};
use crate::peer::Peer;
use crate::reference::{ActorRef, AnyCell, Life, Outgoing, Push, RemoteActor, Target};
use crate::signal::{Signal, Signalled, WatchKey, Watcher, refuse_signal};
use crate::system::core::{ActorSystem, Refused, Token, Whereabouts};
use crate::timers::now;

/// What a message takes up besides its payload while it is passed on, in bytes: a task, most of it.
const OVERHEAD: u64 = 2048;
/// Between two tries to reach a grain.
const PAUSE: Duration = Duration::from_millis(5);
/// How long it is tried for messages that bring no deadline, as all do but asks: for longer than a dead node is waited for.
const LIMIT: Duration = Duration::from_secs(60);

/// A grain that lives elsewhere, or is about to live.
pub(super) struct Relay<G: Grain> {
    place: Arc<Place<G>>,
    system: ActorSystem,
    class: Arc<ActorClass<G>>,
    path: Arc<str>,
}

impl<G: Grain> Relay<G> {
    pub(super) fn new(
        place: Arc<Place<G>>,
        system: ActorSystem,
        class: Arc<ActorClass<G>>,
    ) -> Self {
        let path = place.id.path().into();
        Self { place, system, class, path }
    }
}

/// What became of one that was sent.
type Sent = Result<Option<RemoteAnswer>, Refusal>;

/// A message that is passed on.
struct Passed {
    entry: u16,
    type_name: &'static str,
    reply_name: Option<&'static str>,
    payload: Bytes,
    sender: Option<ActorRef>,
    metadata: Option<Metadata>,
    until: Instant,
    /// For a life of the grain here; and it counts as long as this is there.
    kept: Exclusive<Option<(Current, Box<dyn Hold>)>>,
}

/// Passes on what has come for a grain, one batch after the other.
pub(super) async fn work_off<G: Grain>(relay: Arc<Relay<G>>) {
    while let Some((batch, token)) = relay.place.next_relayed() {
        relay.deliver(batch).await;
        drop(token);
    }
}

/// Where a message is to go.
enum Next<G: Grain> {
    There(ActorRef),
    /// To the life that takes messages here.
    Here(Arc<ActorCell<G>>),
}

impl<G: Grain> Relay<G> {
    async fn deliver(&self, mut batch: Box<dyn Arrivals>) {
        let until = now() + LIMIT;
        let mut target = match self.find_life(None, until).await {
            Ok(Next::There(found)) => found,
            Ok(Next::Here(cell)) => return cell.push_arrivals(batch),
            Err(refusal) => return batch.refuse_all(&refusal),
        };
        while let Some(entry) = batch.first() {
            let payload = match batch.payload() {
                Ok(payload) => payload,
                Err(refusal) => {
                    batch.refuse_first(&refusal);
                    continue;
                }
            };
            // From here on it is no part of the batch, which counts it.
            let mut hold = batch.room().begin();
            if let Err(refusal) = hold.add(OVERHEAD + payload.len() as u64) {
                batch.refuse_first(&refusal);
                continue;
            }
            // What came with it is not kept for it.
            let payload = Bytes::copy_from_slice(&payload);
            let mut current = Current::default();
            let confirmer = batch.confirmer().map(|who| Waiter { who, wish: Wish::Confirm });
            let asker = batch.take(&mut current).map(|who| Waiter { who, wish: Wish::Ask });
            let Some(listed) = self.class.entries.get(usize::from(entry)) else { continue };
            let Some(type_name) = listed.wire_name else { continue };
            crate::metrics::relayed();
            let passed = Passed {
                entry,
                type_name,
                reply_name: listed.reply_name,
                payload,
                sender: current.sender.clone(),
                metadata: current.metadata().cloned(),
                until: current.deadline.unwrap_or(until),
                kept: Exclusive::new(Some((current, hold))),
            };
            match asker.or(confirmer) {
                // Those that nobody waits for stay in order.
                None => {
                    if let Some(found) = self.tell(passed, target.clone()).await {
                        target = found;
                    }
                }
                Some(waiter) => {
                    // Sent in order, and waited for besides: as long as anybody waits for the answer.
                    let sent = tokio::select! {
                        biased;
                        () = waiter.given_up() => continue,
                        sent = send(&target, &passed, waiter.wish) => sent,
                    };
                    let (relay, target) = (self.again(), target.clone());
                    self.system.runtime().spawn(async move {
                        tokio::select! {
                            () = relay.ask(passed, target, sent, waiter.clone()) => {}
                            () = waiter.given_up() => {}
                        }
                    });
                }
            }
        }
    }

    fn again(&self) -> Self {
        Self {
            place: self.place.clone(),
            system: self.system.clone(),
            class: self.class.clone(),
            path: self.path.clone(),
        }
    }

    async fn find(&self, refused: Option<Refused>, until: Instant) -> Result<Whereabouts, Refusal> {
        // It has not come into its cluster yet.
        let cluster = self.system.cluster().cloned().ok_or(Refusal::Fenced)?;
        let found = cluster.find(&self.place.id, refused);
        let found = tokio::time::timeout_at(until.into(), found).await;
        found.map_err(|_| Refusal::DeadlineExceeded)?
    }

    /// The life that is to have a message, which is not the one that has refused it.
    async fn find_life(
        &self,
        mut refused: Option<Refused>,
        until: Instant,
    ) -> Result<Next<G>, Refusal> {
        loop {
            let living = match self.find(refused, until).await? {
                Whereabouts::There(found) => return Ok(Next::There(found)),
                Whereabouts::Here => self.place.living(),
            };
            match living {
                Some(cell) if cell.takes_messages() => return Ok(Next::Here(cell)),
                _ if now() >= until => return Err(Refusal::DeadlineExceeded),
                // It ends, and the next one may live anywhere.
                living => {
                    let life = living.map(|cell| cell.life());
                    refused = life.map(|life| Refused { life, ended: true });
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Where to try next, after this refusal by `target`.
    ///
    /// # Errors
    /// There is no use in another try.
    async fn next(
        &self,
        target: &ActorRef,
        refusal: Refusal,
        until: Instant,
    ) -> Result<Next<G>, Refusal> {
        let ended = match refusal {
            Refusal::Stopped | Refusal::NotFound | Refusal::StaleIncarnation => true,
            Refusal::ShuttingDown => true,
            Refusal::Fenced | Refusal::Unreachable { .. } => false,
            refusal => return Err(refusal),
        };
        // A node that is not reached is found dead first.
        tokio::time::sleep(if ended { PAUSE } else { 4 * PAUSE }).await;
        let refused = target.life().map(|life| Refused { life, ended });
        self.find_life(refused, until).await
    }

    /// Puts what was to be passed on into the mailbox of a life here.
    fn keep(&self, cell: &ActorCell<G>, mut passed: Passed, asker: Option<RemoteAsker>) {
        let Some((current, hold)) = passed.kept.reach().take() else { return };
        let (entry, payload, _hold) = (passed.entry, passed.payload, Some(hold));
        let letter = PackedLetter { entry, payload, asker, current, _hold };
        cell.push_arrivals(Box::new(Packed::of(letter, self.undelivered())));
    }

    /// Makes a dead letter of what nobody waits for.
    fn undelivered(&self) -> Arc<Undelivered> {
        let relay = self.again();
        Arc::new(move |entry, sender, reason| {
            let listed = relay.class.entries.get(usize::from(entry));
            let name = listed.and_then(|entry| entry.wire_name).unwrap_or_default();
            relay.lose(name, sender, reason.clone());
        })
    }

    fn lose(&self, name: &str, sender: Option<&ActorRef>, reason: Refusal) {
        self.system.dead_letter(|| DeadLetter {
            target: self.address().into(),
            sender: sender.map(ActorRef::address),
            message: name.to_owned(),
            reason,
            count: 1,
        });
    }

    /// Has go on to the next life what the last one has left; `token` is there until it has. Where the next one lives here, it
    /// has it already.
    pub(super) async fn pass_on(self: Arc<Self>, ended: Life, token: Token) {
        let until = now() + LIMIT;
        let refused = Refused { life: ended, ended: true };
        let refusal = match self.find(Some(refused), until).await {
            Ok(Whereabouts::Here) => return,
            Ok(Whereabouts::There(_)) => None,
            Err(refusal) => Some(refusal),
        };
        let Some((mut left, cell)) = self.place.take_left() else { return };
        if let Some(refusal) = refusal {
            return cell.discard_all(&mut left, &refusal);
        }
        while let Some(item) = left.pop_front() {
            let batch: Box<dyn Arrivals> = match item {
                Item::Remote(batch) => batch,
                Item::Local { run, dispatch } => match self.pack(run) {
                    Ok(packed) => Box::new(packed),
                    // No other node takes it.
                    Err(run) => {
                        cell.discard(Item::Local { run, dispatch }, &Refusal::Stopped);
                        continue;
                    }
                },
            };
            if self.place.put_in_line((batch, Some(token.clone()))) {
                self.system.runtime().spawn(work_off(self.clone()));
            }
        }
    }

    /// Writes letters down that other nodes take as well.
    fn pack(&self, mut run: Box<dyn AnyRun>) -> Result<Packed, Box<dyn AnyRun>> {
        let (reader, undelivered) = (self.system.call_options().reader, self.undelivered());
        for (listed, entry) in self.class.entries.iter().zip(0..) {
            if listed.wire_name.is_none() {
                continue;
            }
            let packing = Packing { entry, reader, undelivered: undelivered.clone() };
            match (listed.pack)(run, &packing) {
                Ok(packed) => return Ok(packed),
                Err(same) => run = same,
            }
        }
        Err(run)
    }

    /// Passes on a message that nobody waits for. Returns where it has gone, if it was not there.
    async fn tell(&self, passed: Passed, mut target: ActorRef) -> Option<ActorRef> {
        let mut moved = None;
        loop {
            let sent = send(&target, &passed, Wish::Tell).await;
            let refusal = match sent {
                Ok(_) => return moved,
                Err(refusal) => refusal,
            };
            match self.next(&target, refusal, passed.until).await {
                Ok(Next::There(found)) => {
                    target = found;
                    moved = Some(target.clone());
                }
                Ok(Next::Here(cell)) => {
                    self.keep(&cell, passed, None);
                    return moved;
                }
                Err(refusal) => {
                    self.lose(passed.type_name, passed.sender.as_ref(), refusal);
                    return moved;
                }
            }
        }
    }

    /// Passes on a message whose outcome somebody waits for.
    async fn ask(&self, passed: Passed, mut target: ActorRef, mut sent: Sent, waiter: Waiter) {
        let Waiter { who: RemoteAsker { to, request }, wish } = waiter;
        let refusal = loop {
            let fate = match sent {
                Ok(Some(answer)) => {
                    let answered = tokio::time::timeout_at(passed.until.into(), answer).await;
                    answered.unwrap_or(Fate::Refused(Refusal::DeadlineExceeded))
                }
                Ok(None) => Fate::Refused(Refusal::NoReply),
                Err(refusal) => Fate::Refused(refusal),
            };
            match fate {
                Fate::Reply(_) if wish == Wish::Confirm => return to.confirm(request),
                Fate::Reply(reply) => match bytes_of(reply) {
                    Ok(bytes) => return to.reply(request, passed.reply_name, &&*bytes),
                    Err(refusal) => break refusal,
                },
                Fate::Refused(refusal) => match self.next(&target, refusal, passed.until).await {
                    Ok(Next::There(found)) => {
                        target = found;
                        sent = send(&target, &passed, wish).await;
                    }
                    Ok(Next::Here(cell)) if wish == Wish::Confirm => {
                        self.keep(&cell, passed, None);
                        return to.confirm(request);
                    }
                    Ok(Next::Here(cell)) => {
                        return self.keep(&cell, passed, Some(RemoteAsker { to, request }));
                    }
                    Err(refusal) => break refusal,
                },
                // It may have been handled.
                Fate::Lost(source) => break Refusal::Lost { source },
                Fate::BadReply(source) => break Refusal::Internal { source },
                Fate::Outcome(_) => break Refusal::NoReply,
            }
        };
        to.refuse(request, &refusal);
    }
}

/// A peer that waits for the outcome of a message that is passed on.
#[derive(Clone)]
struct Waiter {
    who: RemoteAsker,
    /// For a reply, or for its confirmation.
    wish: Wish,
}

impl Waiter {
    /// Completes when it does not wait any more.
    async fn given_up(&self) {
        poll_fn(|cx| self.who.to.poll_cancelled(self.who.request, cx)).await;
    }
}

fn bytes_of(reply: Reply) -> Result<Bytes, Refusal> {
    match reply {
        Reply::Small(bytes) | Reply::Large(bytes, _) => Ok(bytes),
        Reply::Packed(open, _) => open(),
    }
}

/// Sends a message as it was written.
async fn send(target: &ActorRef, passed: &Passed, wish: Wish) -> Sent {
    let Target::Remote(remote) = target.target() else { return Err(Refusal::Stopped) };
    let remote: &Arc<dyn RemoteActor> = remote;
    let payload: &[u8] = &passed.payload;
    let mut state = None;
    let sent = poll_fn(|cx| {
        let outgoing = Outgoing {
            wish,
            type_name: passed.type_name,
            reply_name: passed.reply_name,
            payload: &payload,
            sender: passed.sender.as_ref(),
            remaining: (wish == Wish::Ask).then(|| passed.until.saturating_duration_since(now())),
            metadata: passed.metadata.as_ref(),
            is_alone: false,
        };
        remote.poll_send(&outgoing, &mut state, Some(cx.waker()))
    });
    let sent = tokio::time::timeout_at(passed.until.into(), sent).await;
    sent.map_err(|_| Refusal::DeadlineExceeded)?
}

impl<G: Grain> Signalled for Relay<G> {
    fn signal(&self, signal: Signal) {
        refuse_signal(signal);
    }
}

/// Only messages of peers come here.
impl<G: Grain> AnyCell for Relay<G> {
    fn path(&self) -> &str {
        &self.path
    }

    fn uid(&self) -> u64 {
        0
    }

    fn life(&self) -> Life {
        Life { uid: 0, incarnation: self.system.incarnation() }
    }

    fn parent(&self) -> Option<Arc<dyn AnyCell>> {
        None
    }

    fn address(&self) -> Address {
        self.system.address_of(&self.path)
    }

    fn call_options(&self) -> &CallOptions {
        self.system.call_options()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn watch(&self, _: Watcher) {}

    fn kill(&self) {}

    fn evict(&self, _: &Refusal) {}

    fn unwatch(&self, _: WatchId) {}

    /// It is looked for anew with each batch: it may live here by then.
    fn has_ended(&self) -> bool {
        true
    }

    fn queue_len(&self) -> usize {
        0
    }

    fn capacity(&self) -> u64 {
        0
    }

    fn forget_waiter(&self, _: u64) {}

    fn push_listed(
        &self,
        _: &mut dyn Loose,
        _: TypeId,
        _: Option<(&mut Option<u64>, &Waker)>,
    ) -> Push {
        Push::Refused(Refusal::Stopped)
    }
}

impl<G: Grain> Reachable for Relay<G> {
    fn kind(&self) -> Option<&Arc<str>> {
        None
    }

    fn spawner(&self) -> Option<&Peer> {
        None
    }

    fn accepted(&self, wire_name: &str) -> Option<u16> {
        self.class.accepted(wire_name)
    }

    fn wire_names(&self) -> Vec<&'static str> {
        self.class.entries.iter().filter_map(|entry| entry.wire_name).collect()
    }

    fn check(&self, entry: u16, payload: Bytes, room: &dyn Room) -> Result<(), Refusal> {
        let entry = self.class.entries.get(entry as usize).ok_or(Refusal::NotFound)?;
        (entry.check)(payload, room)
    }

    fn push_arrivals(&self, arrivals: Box<dyn Arrivals>) {
        if self.place.put_in_line((arrivals, None)) {
            let relay = Arc::new(self.again());
            self.system.runtime().spawn(work_off(relay));
        }
    }

    fn unwatch_call(&self, _: WatchKey) {}

    fn abandon(&self, _: &Refusal) {}
}
