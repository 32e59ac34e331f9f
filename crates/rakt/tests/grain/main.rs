//! Grains on one node: one file per question.
//!
//! | file | asks |
//! | --- | --- |
//! | `calls.rs` | how are messages sent to a grain, and what do errors say? |
//! | `failures.rs` | what if a grain does not come to life, or fails? |
//! | `life.rs` | when does a grain live, and what becomes of messages in between? |
//! | `limit.rs` | how many live at once? |
//! | `portable.rs` | can a message hold grains? |
//! | `references.rs` | what can be done with a reference? |
//! | `reminders.rs` | does a reminder find a grain that does not live? |
//! | `state.rs` | what outlives an activation, and who may write it? |
//! | `storm.rs` | what may never happen, whatever comes together? |

#[path = "../support/mod.rs"]
mod support;

mod calls;
mod failures;
mod life;
mod limit;
#[cfg(feature = "serde")]
mod portable;
mod references;
mod reminders;
mod state;
mod storm;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rakt::grain::{Grain, GrainKind, GrainRef};
use rakt::prelude::*;

use support::Gate;

const IDLE: Duration = Duration::from_secs(10);

/// What tests see of the life of grains, and where they hold them.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    living: HashMap<String, usize>,
}

impl Seen {
    fn note(&self, what: impl std::fmt::Display) {
        self.0.lock().expect("not poisoned").lines.push(what.to_string());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("not poisoned").lines)
    }

    fn begins(&self, key: &str) {
        let mut log = self.0.lock().expect("not poisoned");
        let living = log.living.entry(key.to_owned()).or_default();
        *living += 1;
        assert_eq!(*living, 1, "two activations of {key} live at once");
    }

    fn ends(&self, key: &str) {
        *self.0.lock().expect("not poisoned").living.get_mut(key).expect("it has begun") -= 1;
    }
}

/// Counts, and tells of its life.
pub(crate) struct Counter {
    seen: Seen,
    gate: Option<Gate>,
    key: String,
    count: u64,
}

#[derive(Message)]
#[rakt(reply = u64)]
pub(crate) struct Count;

/// The handler waits at the gate.
#[derive(Message)]
pub(crate) struct Hold(Gate);

#[derive(Message)]
pub(crate) struct Stop;

#[derive(Message)]
pub(crate) struct Fail;

#[derive(Message)]
#[rakt(reply = rakt::grain::Epoch)]
pub(crate) struct TellEpoch;

impl Actor for Counter {}

impl Grain for Counter {
    const KIND: &'static str = "counter";

    async fn activate(&mut self, ctx: &mut Context<Self>) -> Result {
        self.key = ctx.grain_id().key().to_owned();
        self.seen.begins(&self.key);
        self.seen.note(format_args!("activate {}", self.key));
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        if self.key.starts_with("bad") {
            return Err("it is bad".into());
        }
        if self.key.starts_with("panic") {
            panic!("it panics");
        }
        Ok(())
    }

    async fn passivate(&mut self, _: &mut Context<Self>) -> Result {
        self.seen.note(format_args!("passivate {} at {}", self.key, self.count));
        if let Some(gate) = &self.gate {
            gate.pass().await;
        }
        Ok(())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if !self.key.is_empty() {
            self.seen.ends(&self.key);
        }
    }
}

impl Handler<Count> for Counter {
    async fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Result<u64> {
        self.count += 1;
        Ok(self.count)
    }
}

impl Handler<Hold> for Counter {
    async fn handle(&mut self, Hold(gate): Hold, _: &mut Context<Self>) -> Result {
        gate.pass().await;
        Ok(())
    }
}

impl Handler<Stop> for Counter {
    async fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) -> Result {
        ctx.stop();
        Ok(())
    }
}

impl Handler<Fail> for Counter {
    async fn handle(&mut self, _: Fail, _: &mut Context<Self>) -> Result {
        Err("as it was told".into())
    }
}

impl Handler<TellEpoch> for Counter {
    async fn handle(
        &mut self,
        _: TellEpoch,
        ctx: &mut Context<Self>,
    ) -> Result<rakt::grain::Epoch> {
        Ok(ctx.epoch())
    }
}

pub(crate) fn counters(seen: &Seen) -> GrainKind<Counter> {
    gated(seen, None)
}

/// Counters that wait as they begin to live and as they end.
pub(crate) fn gated(seen: &Seen, gate: Option<Gate>) -> GrainKind<Counter> {
    let seen = seen.clone();
    let counter =
        move || Counter { seen: seen.clone(), gate: gate.clone(), key: String::new(), count: 0 };
    GrainKind::built_by(counter).passivate_after(IDLE)
}

pub(crate) async fn system(kind: GrainKind<impl Grain>) -> ActorSystem {
    ActorSystem::builder("grains").grain(kind).start().await.expect("it starts")
}

/// Waits until the grain does not live.
pub(crate) async fn ended<G: Grain>(grain: &GrainRef<G>) {
    support::within(async {
        while grain.is_active() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
