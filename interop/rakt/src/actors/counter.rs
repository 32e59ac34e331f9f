//! Notes that come in order, or do not.

use std::collections::HashMap;

use rakt::prelude::*;

use super::{accept_echoes, echoes, unanswered};
use crate::messages::{Count, CountRequest, Note};

/// Counts notes, of each sender, and echoes. It forgets when it restarts.
#[derive(Default)]
pub struct Counter(HashMap<String, Seen>);

/// What came of one sender.
#[derive(Default)]
pub(super) struct Seen {
    notes: u64,
    violations: u64,
    last: u64,
}

impl Seen {
    /// Notes a note among those of all senders.
    pub(super) fn note(all: &mut HashMap<String, Self>, note: Note) {
        let seen = all.entry(note.sender).or_default();
        seen.notes += 1;
        seen.violations += u64::from(note.number != seen.last.wrapping_add(1));
        seen.last = note.number;
    }

    /// What came of one sender, or of all where none is named.
    pub(super) fn count(all: &HashMap<String, Self>, sender: &str) -> Count {
        let mut count = Count::default();
        for (_, seen) in all.iter().filter(|(name, _)| sender.is_empty() || sender == *name) {
            count.notes += seen.notes;
            count.violations += seen.violations;
        }
        count
    }
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
        Seen::note(&mut self.0, note);
        unanswered(ctx)
    }
}

impl Handler<CountRequest> for Counter {
    async fn handle(&mut self, request: CountRequest, _: &mut Context<Self>) -> Result<Count> {
        Ok(Seen::count(&self.0, &request.sender))
    }
}
