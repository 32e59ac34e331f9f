//! What the sending side makes of an actor and of a message.

use std::sync::Arc;
use std::time::Duration;

use rakt_wire::goakt::{Call, GoAddress, Payload};
use rakt_wire::{Address, Dialect, Encode, Metadata};

use super::queue::Tell;
use super::refusal;
use crate::error::Refusal;
use crate::reference::ActorRef;

/// The address of a sender as Go nodes read it. `nobody` for one that they could not answer: it has no
/// port, or a host that their addresses have no room for.
pub(super) fn address_of(sender: &ActorRef, nobody: &Arc<str>) -> Arc<str> {
    let address = sender.address();
    if address.port() == 0 || address.host().contains(':') {
        return nobody.clone();
    }
    GoAddress::from(&address).to_string().into()
}

/// What an address of Go nodes is here.
pub(super) fn parsed(text: &str) -> Option<Address> {
    let found = GoAddress::parse(text).ok()?;
    let port = u16::try_from(found.port).ok()?;
    let address = Address::new(found.actor_path(), found.system, found.host, port).ok()?;
    Some(address.with_dialect(Dialect::GoAkt))
}

/// A payload on its own.
pub(super) fn encoded(payload: &dyn Encode) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::with_capacity(payload.encoded_len().unwrap_or(0).min(1 << 26));
    payload
        .encode(&mut bytes)
        .map_err(|error| Refusal::Unencodable { source: error.into_cause() })?;
    Ok(bytes)
}

/// Whether a message fits into a frame; one that is asked says there how long that may take.
pub(super) fn check_len(
    tell: &Tell<'_>,
    payload: &[u8],
    timeout: Option<Duration>,
    max_frame_len: usize,
) -> Result<(), Refusal> {
    if payload.len() + tell.overhead() <= max_frame_len {
        return Ok(());
    }
    // So close to the limit the frame itself tells.
    let message = rakt_wire::goakt::Outgoing {
        sender: tell.sender,
        receiver: &tell.receiver.address,
        payload: Payload { type_name: tell.type_name, bytes: payload },
    };
    let none = Metadata::new();
    let headers = tell.headers.unwrap_or(&none);
    let messages = std::slice::from_ref(&message);
    let call = match timeout {
        None => Call::Tell(messages),
        // The longest of this second: by the time it leaves some will have passed.
        Some(timeout) => {
            Call::Ask { messages, timeout: Duration::new(timeout.as_secs(), 999_999_999) }
        }
    };
    call.encode(&mut Vec::new(), headers, None, max_frame_len).map_err(refusal::unencodable)
}
