//! The messages of the contract, and those of GoAkt itself that the checks send.

use bytes::Bytes;
use prost::Message;
use rakt::message::{Codec, CodecError, Prost};

#[derive(Clone, PartialEq, Message)]
pub struct BytesValue {
    #[prost(bytes = "bytes", tag = "1")]
    pub value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct StringValue {
    #[prost(string, tag = "1")]
    pub value: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub struct Note {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(uint64, tag = "2")]
    pub number: u64,
}

impl Note {
    /// A note of this sender is written with one that is no text, so that nobody can read it.
    pub const SMUDGED: &str = "smudged";
}

/// Protobuf, but for notes that nobody is to read.
pub enum Smudging {}

impl Codec<Note> for Smudging {
    fn encoded_len(_: &Note) -> Option<usize> {
        None
    }

    fn encode(note: &Note, out: &mut Vec<u8>) -> Result<(), CodecError> {
        match &*note.sender {
            Note::SMUDGED => out.extend_from_slice(b"\x0a\x02\xff\xff"),
            _ => note.encode(out).map_err(CodecError::new)?,
        }
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Note, CodecError> {
        <Prost as Codec<Note>>::decode(bytes)
    }
}

impl Codec<()> for Smudging {
    fn encoded_len(value: &()) -> Option<usize> {
        <Prost as Codec<()>>::encoded_len(value)
    }

    fn encode(value: &(), out: &mut Vec<u8>) -> Result<(), CodecError> {
        <Prost as Codec<()>>::encode(value, out)
    }

    fn decode(bytes: Bytes) -> Result<(), CodecError> {
        <Prost as Codec<()>>::decode(bytes)
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct CountRequest {
    #[prost(string, tag = "1")]
    pub sender: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Count {
    #[prost(uint64, tag = "1")]
    pub notes: u64,
    #[prost(uint64, tag = "2")]
    pub violations: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct Delay {
    #[prost(uint32, tag = "1")]
    pub millis: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct Produce {
    #[prost(uint32, tag = "1")]
    pub size: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Fail {
    #[prost(string, tag = "1")]
    pub how: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Relay {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub to: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub struct OutcomeRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Outcome {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
    #[prost(string, tag = "3")]
    pub error: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct TraceRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    #[prost(string, tag = "1")]
    pub traceparent: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Hop {
    #[prost(string, tag = "1")]
    pub to: String,
}

rakt::messages! {
    BytesValue as "google.protobuf.BytesValue" => BytesValue as "google.protobuf.BytesValue",
    StringValue as "google.protobuf.StringValue" => StringValue as "google.protobuf.StringValue",
    Empty as "google.protobuf.Empty" => Empty as "google.protobuf.Empty",
    Note as "rakt.interop.Note" with Smudging,
    CountRequest as "rakt.interop.CountRequest" => Count as "rakt.interop.Count",
    Delay as "rakt.interop.Delay" => BytesValue as "google.protobuf.BytesValue",
    Produce as "rakt.interop.Produce" => BytesValue as "google.protobuf.BytesValue",
    Fail as "rakt.interop.Fail" => Fail as "rakt.interop.Fail",
    Relay as "rakt.interop.Relay" => Empty as "google.protobuf.Empty",
    OutcomeRequest as "rakt.interop.OutcomeRequest" => Outcome as "rakt.interop.Outcome",
    TraceRequest as "rakt.interop.TraceRequest" => Trace as "rakt.interop.Trace",
    Hop as "rakt.interop.Hop" => Trace as "rakt.interop.Trace",
}

/// What every GoAkt actor understands.
#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckRequest {}

#[derive(Clone, PartialEq, Message)]
pub struct HealthCheckResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct PoisonPill {}

/// GoAkt's envelope for a request whose answer is a message.
#[derive(Clone, PartialEq, Message)]
pub struct AsyncRequest {
    #[prost(string, tag = "1")]
    pub correlation_id: String,
    #[prost(string, tag = "2")]
    pub reply_to: String,
    #[prost(message, tag = "3")]
    pub message: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

rakt::messages! {
    HealthCheckRequest as "internalpb.HealthCheckRequest"
        => HealthCheckResponse as "internalpb.HealthCheckResponse",
    PoisonPill as "goaktpb.PoisonPill",
    AsyncRequest as "internalpb.AsyncRequest",
}

pub fn bytes(value: impl Into<Bytes>) -> BytesValue {
    BytesValue { value: value.into() }
}

pub fn text(value: impl Into<String>) -> StringValue {
    StringValue { value: value.into() }
}

pub fn note(sender: &str, number: u64) -> Note {
    Note { sender: sender.to_owned(), number }
}

pub fn fail(how: &str) -> Fail {
    Fail { how: how.to_owned() }
}
