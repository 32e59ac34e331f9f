//! Notes that come in order, or do not.

use std::collections::HashMap;

use rakt::prelude::*;

use super::{accept_echoes, echoes, unanswered};
use crate::messages::{Count, CountRequest, Note};

/// Counts notes, of each sender, and echoes. It forgets when it restarts.
#[derive(Default)]
pub struct Counter(HashMap<String, Seen>);

#[derive(Default)]
struct Seen {
    notes: u64,
    violations: u64,
    last: u64,
}

echoes! { Counter: BytesValue, StringValue, Empty }

impl Actor for Counter {
    fn accepts(accepts: &mut Accepts<Self>) {
        accept_echoes(accepts);
        accepts.remote::<Note>().remote::<CountRequest>();
    }
}

impl Handler<Note> for Counter {
    async fn handle(&mut self, note: Note, ctx: &mut Context<Self>) -> Result {
        let seen = self.0.entry(note.sender).or_default();
        seen.notes += 1;
        seen.violations += u64::from(note.number != seen.last.wrapping_add(1));
        seen.last = note.number;
        unanswered(ctx)
    }
}

impl Handler<CountRequest> for Counter {
    async fn handle(&mut self, request: CountRequest, _: &mut Context<Self>) -> Result<Count> {
        let is_meant = |name: &str| request.sender.is_empty() || request.sender == name;
        let mut count = Count::default();
        for (_, seen) in self.0.iter().filter(|(name, _)| is_meant(name)) {
            count.notes += seen.notes;
            count.violations += seen.violations;
        }
        Ok(count)
    }
}
