//! Replies on their way to askers here: the dialer's side of a connection.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rakt_wire::native::{Body, Budget, Event, Sink};

use super::conn::{Conn, Fate, Reply};
use super::driver::{Broken, Side, closed_by_peer};
use super::endpoint::Endpoint;
use super::receive::exhausted_budget;
use crate::error::Refusal;

pub(crate) struct Answers {
    conn: Arc<Conn>,
    endpoint: Arc<Endpoint>,
    /// Replies of the read at hand, whose payloads are in its block.
    replies: Vec<(u64, Option<u32>, Body)>,
    ended: Vec<(u64, Fate)>,
    goodbye: Option<String>,
}

impl Answers {
    pub(crate) fn new(conn: Arc<Conn>, endpoint: Arc<Endpoint>) -> Self {
        Self { conn, endpoint, replies: Vec::new(), ended: Vec::new(), goodbye: None }
    }
}

impl Sink for Answers {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Reply { corr, raw_len, body } => self.replies.push((corr, raw_len, body)),
            Event::Fail { corr, failure } => {
                self.ended.push((corr, Fate::Refused(Refusal::from_wire(failure))));
            }
            Event::Response { corr, outcome } => self.ended.push((corr, Fate::Outcome(outcome))),
            Event::RefusedReply { corr } => {
                self.ended.push((corr, Fate::Refused(exhausted_budget(&self.conn))));
            }
            Event::Nack { receiver, sender, type_id, epoch, count, failure } => {
                let refusal = Refusal::from_wire(failure);
                self.conn.dead_letter(receiver, sender, type_id, epoch, count, refusal);
            }
            Event::Credit { receiver, epoch, bytes } => {
                self.conn.handle_credit(receiver, epoch, bytes);
            }
            Event::Terminated { watch_id, reason } => {
                self.endpoint.watches.ended(watch_id, super::watch::from_wire(reason));
            }
            Event::Ping { nonce } => self.conn.write(|out| out.pong(nonce)),
            Event::GoAway { .. } => self.conn.handle_goaway(),
            Event::Close { text, .. } => {
                self.goodbye = Some(closed_by_peer(text));
            }
            _ => {}
        }
    }
}

impl Budget for Answers {
    fn admit(&mut self, bytes: usize) -> bool {
        self.conn.admit(bytes as u64)
    }

    fn release(&mut self, bytes: usize) {
        self.conn.release(bytes as u64);
    }
}

impl Side for Answers {
    fn begin(&mut self, _: Instant) {}

    fn finish(&mut self, block: Bytes) -> Result<(), Broken> {
        if !self.replies.is_empty() || !self.ended.is_empty() {
            let conn = &self.conn;
            let replies = self.replies.drain(..).map(|(corr, raw_len, body)| {
                let bytes = match body {
                    Body::Block(span) => {
                        let start = span.start as usize;
                        block.slice(start..start + span.len as usize)
                    }
                    Body::Whole(bytes) => bytes,
                };
                let compressed = raw_len.map(|raw_len| (raw_len, conn.clone()));
                (corr, Fate::Reply(Reply { bytes, compressed }))
            });
            conn.complete(replies.chain(self.ended.drain(..)));
        }
        if let Some(goodbye) = self.goodbye.take() {
            self.conn.close(&goodbye);
        }
        Ok(())
    }

    fn end(&mut self) {
        self.endpoint.lost(&self.conn);
    }

    fn is_needed(&self) -> bool {
        self.endpoint.watches.need(&self.conn)
    }
}
