//! A propagator that carries one header, the `traceparent` of the W3C recommendation.

use rakt::propagate::{ContextPropagator, Extensions};
use rakt::{BoxError, Metadata, Result};

const PARENT_HEADER: &str = "traceparent";
const REFUSE_HEADER: &str = "x-refuse";

/// What the message at hand came with.
pub struct Traceparent(pub String);

pub struct Propagator;

impl ContextPropagator for Propagator {
    fn inject(&self, current: &Extensions, carrier: &mut Metadata) -> Result<(), BoxError> {
        if let Some(Traceparent(parent)) = current.find() {
            carrier.insert(PARENT_HEADER, parent)?;
        }
        Ok(())
    }

    fn extract(&self, carrier: &Metadata, current: &mut Extensions) -> Result<(), BoxError> {
        if let Some(why) = header(carrier, REFUSE_HEADER) {
            return Err(why.into());
        }
        if let Some(parent) = header(carrier, PARENT_HEADER) {
            current.insert(Traceparent(parent.to_owned()));
        }
        Ok(())
    }
}

/// Metadata with this `traceparent`.
pub fn parent(value: &str) -> Metadata {
    with(PARENT_HEADER, value)
}

/// Metadata that the contract's propagators refuse, for the reason given.
pub fn refusal(why: &str) -> Metadata {
    with(REFUSE_HEADER, why)
}

fn with(name: &str, value: &str) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.insert(name, value).expect("one short header");
    metadata
}

/// Go writes the names of headers in its own case.
fn header<'a>(carrier: &'a Metadata, name: &str) -> Option<&'a str> {
    carrier.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}
