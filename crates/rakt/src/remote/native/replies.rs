//! Replies on their way to askers here: what the side that dialed does with what arrives.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use rakt_wire::Terminated;
use rakt_wire::native::{
    Body, Budget, CloseCode, Inbound, LinkError, Refused, Replies, Session, Settled, Span,
};

use super::conn::Conn;
use super::dialed::Dialed;
use super::driver::Reader;
use super::later::Together;
use crate::answer::{Fate, Reply};
use crate::error::Refusal;
use crate::remote::budget::Part;
use crate::slot::Slot;

/// Whom a connection belongs to.
pub(super) trait Owner: Send + Sync {
    /// The node at the other end has shut down, and with it all its actors.
    fn has_shut_down(&self, conn: &Conn<Dialed>);
    /// An actor that is watched has ended.
    fn terminated(&self, watch_id: u64, reason: Terminated);
    /// The connection has ended.
    fn lost(self: Arc<Self>, conn: &Arc<Conn<Dialed>>);
    /// Whether the connection must stay although nothing is sent.
    fn needs(&self, conn: &Conn<Dialed>) -> bool;
}

pub(crate) struct RepliesReader {
    conn: Arc<Conn<Dialed>>,
    owner: Arc<dyn Owner>,
    replies: Replies,
    /// Requests of the read at hand, to be told once no lock is held.
    ended: Vec<(Arc<Slot<Fate>>, Fate)>,
    askers: Together,
    news: Vec<News>,
}

/// What else is told once no lock is held.
enum News {
    Refused(Refused),
    Terminated(u64, Terminated),
}

impl RepliesReader {
    pub(crate) fn new(conn: Arc<Conn<Dialed>>, owner: Arc<dyn Owner>, session: &Session) -> Self {
        let (replies, askers) = (Replies::new(session), Together::default());
        Self { conn, owner, replies, ended: Vec::new(), askers, news: Vec::new() }
    }

    fn tell(&mut self, news: News) {
        match news {
            News::Refused(refused) => self.conn.dead_letter(refused),
            News::Terminated(watch_id, reason) => self.owner.terminated(watch_id, reason),
        }
    }
}

impl Reader for RepliesReader {
    type Half = Dialed;

    fn inbound(&mut self) -> &mut Inbound {
        self.replies.inbound()
    }

    fn handle_bytes(&mut self, _: Instant, buf: &[u8]) -> Result<usize, LinkError> {
        self.replies.handle_bytes(buf, &mut Inflow(&self.conn))
    }

    fn handle_filled(&mut self, _: Instant) -> Result<(), LinkError> {
        self.replies.handle_filled(&mut Inflow(&self.conn))
    }

    fn finish(&mut self, mut block: Bytes) -> Result<(), LinkError> {
        if self.replies.is_empty() {
            return Ok(());
        }
        self.conn.note_answer();
        let Self { conn, replies, ended, askers, news, .. } = self;
        let packed = |raw_len, bytes: Bytes| {
            let (compression, resources) = (conn.compression, conn.resources.clone());
            let open = move || resources.compressors.decompress(compression, &bytes, raw_len);
            Reply::Packed(Box::new(open), Box::new(conn.account.clone()))
        };
        let is_lone = replies.is_lone();
        let mut state = conn.lock();
        let result = state.half.settle(replies, |settled| match settled {
            Settled::Reply { kept, raw_len, body } => {
                let bytes = match body {
                    // It has the block to itself: to share it would take memory.
                    Body::Block(span) if is_lone => end_of(std::mem::take(&mut block), span),
                    body => body.slice(&block),
                };
                let reply = match raw_len {
                    None => Reply::plain(bytes, || conn.account.clone()),
                    Some(raw_len) => packed(raw_len, bytes),
                };
                ended.push((kept, Fate::Reply(reply)));
            }
            Settled::Outcome { kept, outcome } => ended.push((kept, Fate::Outcome(outcome))),
            Settled::Failed { kept, failure } => {
                ended.push((kept, Fate::Refused(Refusal::from_wire(failure))));
            }
            Settled::NoRoom { kept } => {
                ended.push((kept, Fate::Refused(conn.account.exhausted(Part::Messages))))
            }
            Settled::Refused(refused) => news.push(News::Refused(refused)),
            Settled::Terminated { watch_id, reason } => {
                news.push(News::Terminated(watch_id, reason));
            }
        });
        let wakers = state.half.wake_freed();
        // The driver writes what comes of it next: nobody has to wake it.
        drop(state);
        for (slot, fate) in ended.drain(..) {
            crate::metrics::requests_ended(fate.outcome(), 1);
            // An error: nobody waits any more, as the answer crossed with the cancellation.
            if let Ok(Some(asker)) = slot.put(fate) {
                askers.add(asker);
            }
        }
        askers.wake();
        wakers.into_iter().for_each(std::task::Waker::wake);
        for news in std::mem::take(&mut self.news) {
            self.tell(news);
        }
        result
    }

    fn hurry(&mut self) {
        self.askers.hurry();
    }

    fn take_goodbye(&mut self) -> Option<(CloseCode, String)> {
        let goodbye = self.replies.take_goodbye();
        if matches!(goodbye, Some((CloseCode::ShuttingDown, _))) {
            self.owner.has_shut_down(&self.conn);
        }
        goodbye
    }

    fn end(&mut self) {
        self.replies.clear(&mut Inflow(&self.conn));
        self.owner.clone().lost(&self.conn);
    }

    fn is_needed(&self) -> bool {
        self.owner.needs(&self.conn)
    }
}

/// A part of a block of which nothing else is needed.
fn end_of(mut block: Bytes, span: Span) -> Bytes {
    if span.start as usize + span.len as usize == block.len() {
        block.advance(span.start as usize);
        return block;
    }
    Body::Block(span).slice(&block)
}

/// Room for unfinished replies, of the node's budget for what arrives.
struct Inflow<'a>(&'a Conn<Dialed>);

impl Budget for Inflow<'_> {
    fn admit(&mut self, bytes: usize) -> bool {
        self.0.account.admit(Part::Messages, bytes as u64)
    }

    fn release(&mut self, bytes: usize) {
        self.0.account.release(Part::Messages, bytes as u64);
    }

    fn admit_head(&mut self, bytes: usize) -> Result<(), u64> {
        self.0.account.admit_head(bytes)
    }

    fn release_head(&mut self, bytes: usize) {
        self.0.account.release_head(bytes);
    }
}
