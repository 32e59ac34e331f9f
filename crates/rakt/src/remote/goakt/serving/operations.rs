//! Requests that are not messages to actors.

use std::sync::Arc;
use std::time::Instant;

use rakt_wire::goakt::{GoError, Procedure, Purpose, Request};
use rakt_wire::{Metadata, Operation, Outcome, is_reserved};

use super::conn::{Answer, GoConn};
use crate::error::Refusal;
use crate::remote::access::Access;
use crate::remote::budget::Part;
use crate::remote::serve::{self, Asked, carried_out, operation_cost};
use crate::timers::now;

impl GoConn {
    /// What is not a message to an actor.
    pub(super) fn operate(
        self: &Arc<Self>,
        id: u64,
        request: &Request,
        (metadata, until): (Metadata, Option<Instant>),
        access: &Access,
    ) {
        self.open_operation(id);
        let procedure = request.procedure();
        let operation = match request.purpose() {
            Purpose::Operation(operation) => Ok(operation),
            Purpose::Grain(grain) => {
                let called = self.call_grain(id, request, grain, (metadata, until), access);
                return called.unwrap_or_else(|error| self.answer(id, Answer::Error(error)));
            }
            Purpose::Refused(error) => Err(error),
            _ => Err(GoError::cluster_off()),
        };
        let mut operation = match operation {
            Ok(operation) => operation,
            Err(error) => return self.answer(id, Answer::Error(error)),
        };
        let changes = match super::spawning::changes(request) {
            Ok(changes) => changes,
            Err(error) => return self.answer(id, Answer::Error(error)),
        };
        let subject = request.subject().to_owned();
        // Who is for nobody is not there, as far as peers can see: nodes are looked for by such a name.
        let is_hidden =
            matches!(&operation, Operation::Lookup { path } if path.split('/').any(is_reserved));
        if is_hidden {
            return self.answer(id, self.answer_to(procedure, &subject, Ok(Outcome::Absent)));
        }
        if let Err(refusal) = access.permit(&self.system, &mut operation) {
            return self.answer(id, self.answer_to(procedure, &subject, Err(refusal)));
        }
        if let Operation::Lookup { path } = &operation {
            let found = serve::lookup(&self.system, path);
            return self.answer(id, self.answer_to(procedure, &subject, found));
        }
        let charge = match self.account.charged(Part::Operations, operation_cost(&operation)) {
            Ok(charge) => charge,
            Err(refusal) => {
                return self.answer(id, self.answer_to(procedure, &subject, Err(refusal)));
            }
        };
        let (conn, system) = (self.clone(), self.system.clone());
        let peer = self.peer.clone();
        // GoAkt's clients wait without a limit unless their context has a deadline.
        let limit = self.system.ask_timeout();
        let remaining = until.map_or(limit, |until| until.saturating_duration_since(now()));
        let asked = Asked { operation, changes };
        self.system.runtime().spawn(async move {
            tokio::select! {
                result = carried_out(system, asked, Some(remaining), (charge, peer)) => {
                    conn.answer(id, conn.answer_to(procedure, &subject, result));
                }
                () = conn.gone.opened() => {}
            }
        });
    }

    fn answer_to(
        &self,
        procedure: Procedure,
        subject: &str,
        result: Result<Outcome, Refusal>,
    ) -> Answer {
        let address = self.terms.local.address(subject);
        match result {
            Ok(Outcome::Absent) if procedure == Procedure::Lookup => {
                Answer::Error(GoError::not_found(address))
            }
            Ok(_) if procedure == Procedure::Lookup => Answer::Address(address),
            // The actor that has the name stays as it is, and nobody is told: so does a Go node
            // without a cluster.
            Err(Refusal::NameTaken) if procedure == Procedure::Spawn => Answer::Done,
            Ok(_) => Answer::Done,
            Err(refusal) => {
                // A spawn is known by its name, since there is no actor yet.
                let subject = if procedure == Procedure::Spawn { subject } else { &address };
                Answer::Error(GoError::from_failure(procedure, subject, &refusal.to_wire()))
            }
        }
    }
}
