//! What a Go node wants of an actor that it spawns, in terms of actors here.

use std::time::Duration;

use rakt_wire::Shown;
use rakt_wire::goakt::{ErrorCode, GoError, Request, proto};

use crate::remote::goakt::limits::LONGEST;
use crate::supervision::{Directive, Fault, Strategy, Supervision};
use crate::system::core::Changes;

/// The type of Go's error for a panic.
const PANIC: &str = "errors.PanicError";
/// The type of Go's error for a `panic(nil)`, which there is none of here. GoAkt names it by default.
const PANIC_NIL: &str = "runtime.PanicNilError";
/// Most restarts that a peer may grant: each is remembered for as long as it counts.
const MAX_RESTARTS: u32 = 1000;

/// What a request wants of an actor that it spawns.
///
/// # Errors
/// The answer: it wants what actors here do not have.
pub(super) fn changes(request: &Request) -> Result<Changes, GoError> {
    let Request::Spawn(spawn) = request else { return Ok(Changes::default()) };
    refuse_others(spawn)?;
    let passivate_after = spawn.passivation_strategy.as_ref().map(passivation).transpose()?;
    let supervision = spawn.supervisor.as_ref().map(supervision).transpose()?;
    Ok(Changes { supervision, passivate_after: passivate_after.flatten() })
}

/// Refuses what there is nothing of here. Every actor here has a stash, and stays where it is, as those of a Go node
/// without a cluster do; Go asks for relocation unless told otherwise.
fn refuse_others(spawn: &proto::SpawnRequest) -> Result<(), GoError> {
    if let Some(role) = spawn.role.as_deref().filter(|role| !role.is_empty()) {
        return Err(refused(format!("the role {}: this node is in no cluster", Shown(role))));
    }
    match spawn.reentrancy {
        Some(reentrancy) if reentrancy.mode != 0 => Err(refused("reentrancy".to_owned())),
        _ => Ok(()),
    }
}

fn passivation(strategy: &proto::PassivationStrategy) -> Result<Option<Duration>, GoError> {
    if strategy.messages_count_based.is_some() {
        return Err(refused("passivation by a number of messages".to_owned()));
    }
    let idle = |time: proto::TimeBasedPassivation| {
        time.passivate_after.unwrap_or_default().to_std().min(LONGEST)
    };
    Ok(strategy.long_lived.map(|_| Duration::MAX).or(strategy.time_based.map(idle)))
}

fn supervision(spec: &proto::SupervisorSpec) -> Result<Supervision, GoError> {
    let supervision = match spec.any_error_directive {
        Some(always) => Supervision::always(directive(always)),
        None => by_rules(&spec.directives)?,
    };
    let strategy = if spec.strategy == 1 { Strategy::OneForAll } else { Strategy::OneForOne };
    let window = spec.timeout.unwrap_or_default().to_std().min(LONGEST);
    match spec.max_retries {
        times if times > MAX_RESTARTS => {
            Err(refused(format!("{times} restarts (the limit is {MAX_RESTARTS})")))
        }
        times if times > 0 && !window.is_zero() => {
            Ok(supervision.strategy(strategy).max_restarts(times, window))
        }
        // Nothing was said.
        _ => Ok(supervision.strategy(strategy)),
    }
}

/// As GoAkt has it, a panic without a rule stops the actor, and another fault suspends it.
fn by_rules(rules: &[proto::SupervisorDirectiveRule]) -> Result<Supervision, GoError> {
    let mut at_panic = Directive::Stop;
    for rule in rules {
        match &*rule.error_type {
            PANIC => at_panic = directive(rule.directive),
            PANIC_NIL => {}
            other => {
                return Err(refused(format!("supervision by the Go type {}", Shown(other))));
            }
        }
    }
    Ok(Supervision::by(move |fault| match fault {
        Fault::Panic(_) => at_panic,
        _ => Directive::Suspend,
    }))
}

fn directive(number: i32) -> Directive {
    match number {
        1 => Directive::Resume,
        2 => Directive::Restart,
        3 => Directive::Escalate,
        _ => Directive::Stop,
    }
}

fn refused(what: String) -> GoError {
    GoError::new(ErrorCode::InvalidArgument, format!("this node does not carry out {what}"))
}
