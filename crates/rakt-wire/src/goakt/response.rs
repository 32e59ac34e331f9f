//! Responses: as they go out, and as they arrive.

use bytes::Bytes;
use prost::Message;

use super::error::{ErrorCode, GoError};
use super::fields::{Field, Fields, Malformed};
use super::frame::{EncodeError, Frame, put_frame};
use super::messages::{Packed, Payload, Replies};
use super::procedure::{ERROR_NAME, Procedure};
use super::proto;
use super::request::MAX_SETUP_LEN;
use crate::base::varint::at_most;
use crate::failure::Failure;
use crate::operation::MAX_KINDS;

/// A response that goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Response<'a> {
    /// It is done. For every request whose response is empty.
    Done,
    /// To an ask: one reply for each message, in their order.
    Replies(&'a [Payload<'a>]),
    /// To a lookup: where the actor is, as a `goakt://` address.
    Address(&'a str),
    /// To a message to a grain: what it replied, if it did.
    GrainReply(Option<Payload<'a>>),
    /// It failed.
    Error(GoError),
}

/// Why a response could not be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RespondError {
    /// There is no such request, or it has its response already.
    #[error("no request with the id {0} waits for a response")]
    Unknown(u64),
    /// The request has another kind of response. It still waits.
    #[error("that is no response to {0}")]
    Mismatch(Procedure),
    /// The response is longer than a frame. The peer was told so in its place.
    #[error("a response of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its length in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl Response<'_> {
    /// Appends the response to a request of this kind as one frame, in the plain form.
    pub(super) fn encode(
        &self,
        procedure: Procedure,
        out: &mut Vec<u8>,
        max_frame_len: usize,
    ) -> Result<(), RespondError> {
        use Procedure as P;
        let name = match self {
            Self::Error(_) => ERROR_NAME,
            _ => procedure.response_name(),
        };
        let fits = match self {
            Self::Done => !matches!(
                procedure,
                P::Ask | P::Lookup | P::AskGrain | P::GetNodeMetric | P::GetKinds
            ),
            Self::Replies(_) => procedure == P::Ask,
            Self::Address(_) => procedure == P::Lookup,
            Self::GrainReply(_) => procedure == P::AskGrain,
            Self::Error(_) => true,
        };
        if !fits {
            return Err(RespondError::Mismatch(procedure));
        }
        let result = put_frame(out, name, None, max_frame_len, |out| match self {
            Self::Done | Self::GrainReply(None) => {}
            Self::Replies(payloads) => Payload::put_all(payloads, out),
            Self::GrainReply(Some(payload)) => out.nested(1, |out| payload.put(out)),
            Self::Address(address) => out.bytes(1, address.as_bytes()),
            Self::Error(GoError { code, message }) => {
                out.message(&proto::Error { code: code.as_i32(), message: message.clone() });
            }
        });
        result.map_err(|error| match error {
            EncodeError::TooLarge { size, limit } => RespondError::TooLarge { size, limit },
            // There is no metadata in a response.
            EncodeError::Metadata(_) => RespondError::Mismatch(procedure),
        })
    }
}

/// A response that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// It is done.
    Done,
    /// To an ask: a reply for each message, in their order.
    Replies(Replies),
    /// To a lookup: where the actor is. It may be on another node.
    Address(String),
    /// To a message to a grain: what it replied, if it did.
    GrainReply(Option<Packed>),
    /// To [`Procedure::GetKinds`].
    Kinds(Vec<String>),
    /// It failed.
    Error(GoError),
}

impl Answer {
    /// What became of it, as a failure of ours where it failed.
    ///
    /// A lookup that finds nothing, and a stop, respawn or reinstate of an actor that does not exist,
    /// fail with [`Code::NotFound`](crate::Code::NotFound); a Go client would call the latter three a
    /// success.
    ///
    /// # Errors
    /// What the other node said.
    pub fn into_result(self, procedure: Procedure) -> Result<Self, Failure> {
        match self {
            Self::Error(error) => Err(error.into_failure(procedure)),
            other => Ok(other),
        }
    }

    /// Reads the response to a request of this kind.
    pub fn decode(procedure: Procedure, frame: Frame) -> Result<Self, AnswerError> {
        let name = frame.name();
        let is_error = name == ERROR_NAME.as_bytes();
        if !is_error && name != procedure.response_name().as_bytes() {
            let shown = name.get(..name.len().min(100)).unwrap_or_default();
            let found = String::from_utf8_lossy(shown).into_owned();
            return Err(AnswerError::Unexpected { procedure, found });
        }
        let body = frame.into_body();
        let result = if is_error { read_error(body) } else { Self::read(procedure, body) };
        result.map_err(|source| AnswerError::Malformed { procedure, source })
    }

    fn read(procedure: Procedure, body: Bytes) -> Result<Self, Malformed> {
        Ok(match procedure {
            Procedure::Ask => Self::Replies(Replies::decode(body)?),
            Procedure::Lookup => Self::Address(proto::LookupResponse::decode(body)?.address),
            Procedure::AskGrain => Self::GrainReply(read_grain_reply(&body)?),
            Procedure::GetKinds => {
                at_most("the list of kinds", body.len() as u64, MAX_SETUP_LEN as u64)?;
                let mut kinds = proto::KindsResponse::decode(body)?.kinds;
                kinds.truncate(MAX_KINDS);
                Self::Kinds(kinds)
            }
            // In v4 these say where the actor is, in v3 they say nothing.
            Procedure::Spawn | Procedure::Respawn if has_first_field(&body)? => {
                return Err(Malformed::Version);
            }
            _ => {
                Fields::new(&body).check()?;
                Self::Done
            }
        })
    }
}

fn read_error(body: Bytes) -> Result<Answer, Malformed> {
    let proto::Error { code, message } = proto::Error::decode(body)?;
    Ok(Answer::Error(GoError { code: ErrorCode::from_i32(code), message }))
}

fn has_first_field(body: &[u8]) -> Result<bool, Malformed> {
    Ok(matches!(Fields::new(body).next()?, Some((1, Field::Bytes(_)))))
}

fn read_grain_reply(body: &Bytes) -> Result<Option<Packed>, Malformed> {
    let (mut fields, mut reply) = (Fields::new(body), None);
    while let Some(field) = fields.next()? {
        if let (1, Field::Bytes(bytes)) = field {
            let before: Packed = reply.unwrap_or_default();
            reply = Some(before.merge(body.slice_ref(bytes))?);
        }
    }
    Ok(reply)
}

/// Why a frame is no response to the request it stands for. The connection is of no use after that:
/// nothing but their order tells responses apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// It has another name.
    #[error("{procedure} is answered with {found:?}")]
    Unexpected {
        /// The request.
        procedure: Procedure,
        /// The name of the response, cut if it is long.
        found: String,
    },
    /// It does not decode.
    #[error("the response to {procedure} is malformed")]
    Malformed {
        /// The request.
        procedure: Procedure,
        /// What is wrong with it.
        source: Malformed,
    },
}
