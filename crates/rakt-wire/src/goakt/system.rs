//! Messages that mean something to GoAkt itself, whoever sends them (GoAkt v3.14.0, `actor/pid.go`).

use bytes::Bytes;
use prost::Message;

use super::fields::Malformed;
use super::messages::{Any, TYPE_URL_PREFIX, type_name};
use super::proto;
use crate::base::varint::DecodeError;
use crate::verb::Verb;

/// The full name of the message that stops its receiver.
pub(crate) const POISON_PILL: &str = "goaktpb.PoisonPill";
/// The full name of the message that keeps its receiver in memory.
pub(crate) const PAUSE_PASSIVATION: &str = "goaktpb.PausePassivation";
/// The full name of the message that takes that back.
pub(crate) const RESUME_PASSIVATION: &str = "goaktpb.ResumePassivation";
/// The full name of the message that every actor answers with [`HEALTH_CHECK_RESPONSE`].
pub(crate) const HEALTH_CHECK_REQUEST: &str = "internalpb.HealthCheckRequest";
/// The full name of a message that stands alone in a frame to find out which version a node has: v3.14 knows it, and
/// skips it since it is no request. v4 has no message of that name, and closes the connection.
pub(crate) const VERSION_CHECK: &str = HEALTH_CHECK_REQUEST;
/// The full name of the answer of an actor.
pub const HEALTH_CHECK_RESPONSE: &str = "internalpb.HealthCheckResponse";
/// The full name of [`proto::AsyncRequest`].
pub(crate) const ASYNC_REQUEST: &str = "internalpb.AsyncRequest";
/// The full name of [`proto::AsyncResponse`].
pub const ASYNC_RESPONSE: &str = "internalpb.AsyncResponse";

/// The error of an [`AsyncResponse`](proto::AsyncResponse) that came too late.
pub const ASYNC_TIMEOUT: &str = "request timed out";

/// A message that the node handles before, or in place of, the actor it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SystemMessage {
    /// Stop when you get here. Has no reply, so an ask runs out of time.
    PoisonPill,
    /// Stay in memory.
    PausePassivation,
    /// Do as before.
    ResumePassivation,
    /// Are you there? The reply is [`HEALTH_CHECK_RESPONSE`], without content.
    HealthCheckRequest,
    /// A message whose answer comes as a message of its own: unpack it, and send what the actor replies
    /// to `reply_to` in a tell, as an [`AsyncResponse`](proto::AsyncResponse).
    AsyncRequest(proto::AsyncRequest),
    /// The answer to one of ours. Those with an unknown correlation id are dropped.
    AsyncResponse(proto::AsyncResponse),
}

impl SystemMessage {
    /// What it does with the actor that it is for.
    pub fn verb(&self) -> Verb {
        match self {
            Self::PoisonPill => Verb::Stop,
            Self::AsyncRequest(_) => Verb::Ask,
            Self::HealthCheckRequest => Verb::Lookup,
            // Nothing comes of them here, but they are answered by whether there is such an actor.
            Self::PausePassivation | Self::ResumePassivation | Self::AsyncResponse(_) => Verb::Tell,
        }
    }

    /// Reads a message that has arrived; `None` for one that is the actor's own affair.
    ///
    /// # Errors
    /// [`Malformed`]. Of an asynchronous request, all three fields must be set.
    pub fn read(message: &Any<'_>) -> Result<Option<Self>, Malformed> {
        let bytes = || Bytes::clone(&message.value);
        Ok(Some(match message.type_name() {
            POISON_PILL => Self::PoisonPill,
            PAUSE_PASSIVATION => Self::PausePassivation,
            RESUME_PASSIVATION => Self::ResumePassivation,
            HEALTH_CHECK_REQUEST => Self::HealthCheckRequest,
            ASYNC_REQUEST => {
                let request = proto::AsyncRequest::decode(bytes())?;
                let proto::AsyncRequest { correlation_id, reply_to, message } = &request;
                if correlation_id.is_empty() || reply_to.is_empty() || message.is_none() {
                    let what = "each field of an asynchronous request";
                    return Err(DecodeError::Occurrence { what }.into());
                }
                Self::AsyncRequest(request)
            }
            ASYNC_RESPONSE => Self::AsyncResponse(proto::AsyncResponse::decode(bytes())?),
            _ => return Ok(None),
        }))
    }
}

impl proto::Any {
    /// Packs a message of that type.
    pub fn pack(type_name: &str, value: Bytes) -> Self {
        Self { type_url: format!("{TYPE_URL_PREFIX}{type_name}"), value }
    }

    /// The full name of the type: what follows the last `/`.
    pub fn type_name(&self) -> &str {
        type_name(&self.type_url)
    }
}

impl proto::AsyncRequest {
    /// The bytes of a message named `ASYNC_REQUEST`.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

impl proto::AsyncResponse {
    /// The bytes of a message named [`ASYNC_RESPONSE`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// Whether a type belongs to GoAkt.
pub(crate) fn is_framework(type_name: &str) -> bool {
    ["goaktpb.", "internalpb."].iter().any(|package| type_name.starts_with(package))
}
