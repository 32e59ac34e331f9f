//! The actor that hears what other members say.

use std::sync::Arc;

use rakt_cluster::participant::Envelope;

use super::admission::Admission;
use super::message::Said;
use crate::actor::{Accepts, Actor, Handler};
use crate::cell::{Cell, Setup};
use crate::context::Context;
use crate::error::{Chain, Declined, Refusal, Result};
use crate::mailbox::Mailbox;
use crate::runner::Runner;
use crate::spawn::class_of;
use crate::system::core::{ActorSystem, MEMBER};

/// So many messages wait for the participant; more are refused, and said again.
const WAITING: u32 = 100_000;

/// Why one is not heard.
const NO_MEMBER: &str = "no member of this cluster (`cluster::Config::members` says who is one)";

/// Takes what other members say.
pub(super) type Hear = Arc<dyn Fn(Envelope) + Send + Sync>;

/// Hears what other members say.
struct Ear {
    hear: Hear,
    admission: Admission,
}

impl Actor for Ear {
    fn accepts(accepts: &mut Accepts<Self>) {
        accepts.remote::<Said>();
    }
}

impl Handler<Said> for Ear {
    async fn handle(&mut self, Said(bytes): Said, ctx: &mut Context<Self>) -> Result {
        if !self.admission.admits(ctx.peer()) {
            return Err(Declined::new(NO_MEMBER).into());
        }
        match Envelope::decode(&bytes) {
            Ok(envelope) => (self.hear)(envelope),
            Err(error) => {
                let outlet = ctx.system().outlet();
                if outlet.actor_log.allows("a member cannot be understood", MEMBER) {
                    let peer = ctx.peer();
                    tracing::warn!(?peer, error = %Chain(&error), "a member cannot be understood");
                }
                return Err(Declined::new(error).into());
            }
        }
        Ok(())
    }
}

/// Has members be heard.
pub(super) async fn begin(
    system: &ActorSystem,
    admission: Admission,
    hear: Hear,
) -> Result<(), Refusal> {
    let internal = |text: String| Refusal::Internal { source: text.into() };
    let class = class_of::<Ear>(system).map_err(|error| internal(error.to_string()))?;
    let mut setup = Setup::default();
    setup.mailbox = Mailbox::bounded(WAITING);
    let uid = system.next_uid();
    let cell = Cell::new(system.clone(), MEMBER.into(), uid, class, setup, None);
    if !system.0.registry.add(cell.clone()) {
        return Err(Refusal::NameTaken);
    }
    crate::metrics::actor_started();
    let ear = move || Ear { hear: hear.clone(), admission: admission.clone() };
    let started = Runner::start(cell, Box::new(ear)).await;
    started.map_err(|fault| internal(fault.to_string()))
}
