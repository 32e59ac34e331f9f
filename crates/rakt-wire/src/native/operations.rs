//! How operations, outcomes, failures and endings are written.

use bytes::Bytes;

use crate::base::cause::{Cause, Lines};
use crate::base::text::cut_text;
use crate::base::varint::{
    DecodeError, Reader, put_bytes, put_optional_u64, put_string, put_varint,
};
use crate::failure::{Code, Failure, MAX_DETAIL_LEN, Terminated};
use crate::operation::{
    MAX_KINDS, MAX_OPERATION_PATH_LEN, MAX_TYPE_LEN, Operation, Outcome, SpawnArgument,
};

mod op {
    pub(super) const LOOKUP: u8 = 1;
    pub(super) const SPAWN: u8 = 2;
    pub(super) const STOP: u8 = 3;
    pub(super) const RESPAWN: u8 = 4;
    pub(super) const REINSTATE: u8 = 5;
    pub(super) const WATCH: u8 = 6;
    pub(super) const UNWATCH: u8 = 7;
    pub(super) const PING: u8 = 8;
    pub(super) const KINDS: u8 = 9;
}

mod outcome {
    pub(super) const FOUND: u8 = 1;
    pub(super) const ABSENT: u8 = 2;
    pub(super) const DONE: u8 = 3;
    pub(super) const SPAWNED: u8 = 4;
    pub(super) const KINDS: u8 = 5;
}

/// Writes an operation: its code, then its fields.
pub fn put_operation(out: &mut Vec<u8>, operation: &Operation) {
    match operation {
        Operation::Lookup { path } => {
            out.push(op::LOOKUP);
            put_string(out, path);
        }
        Operation::Spawn { path, kind, argument } => {
            out.push(op::SPAWN);
            put_string(out, path);
            put_string(out, kind);
            out.push(u8::from(argument.is_some()));
            if let Some(SpawnArgument { type_name, payload }) = argument {
                put_string(out, type_name);
                put_bytes(out, payload);
            }
        }
        Operation::Stop { path, uid } => put_target(out, op::STOP, path, *uid),
        Operation::Respawn { path, uid } => put_target(out, op::RESPAWN, path, *uid),
        Operation::Reinstate { path, uid } => put_target(out, op::REINSTATE, path, *uid),
        Operation::Watch { path, uid, watch_id } => {
            put_target(out, op::WATCH, path, *uid);
            put_varint(out, *watch_id);
        }
        Operation::Unwatch { watch_id } => {
            out.push(op::UNWATCH);
            put_varint(out, *watch_id);
        }
        Operation::Ping => out.push(op::PING),
        Operation::Kinds => out.push(op::KINDS),
    }
}

fn put_target(out: &mut Vec<u8>, code: u8, path: &str, uid: Option<u64>) {
    out.push(code);
    put_string(out, path);
    put_optional_u64(out, uid);
}

/// Reads an operation up to the end of `reader`. `Ok(Err(code))` is one that only newer peers know.
///
/// # Errors
/// Says which field of a known operation is malformed.
pub fn read_operation(reader: &mut Reader<'_>) -> Result<Result<Operation, u8>, DecodeError> {
    let operation = match reader.u8("operation")? {
        op::LOOKUP => Operation::Lookup { path: read_path(reader)? },
        op::SPAWN => Operation::Spawn {
            path: read_path(reader)?,
            kind: read_type(reader, "kind")?,
            argument: match reader.flag("argument flag")? {
                false => None,
                true => Some(SpawnArgument {
                    type_name: read_type(reader, "argument type")?,
                    payload: Bytes::copy_from_slice(reader.bytes("argument", usize::MAX)?),
                }),
            },
        },
        code @ (op::STOP | op::RESPAWN | op::REINSTATE | op::WATCH) => {
            let (path, uid) = (read_path(reader)?, reader.optional_u64("uid")?);
            match code {
                op::STOP => Operation::Stop { path, uid },
                op::RESPAWN => Operation::Respawn { path, uid },
                op::REINSTATE => Operation::Reinstate { path, uid },
                _ => Operation::Watch { path, uid, watch_id: reader.varint("watch id")? },
            }
        }
        op::UNWATCH => Operation::Unwatch { watch_id: reader.varint("watch id")? },
        op::PING => Operation::Ping,
        op::KINDS => Operation::Kinds,
        unknown => return Ok(Err(unknown)),
    };
    reader.finish()?;
    Ok(Ok(operation))
}

fn read_path(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.name("path", MAX_OPERATION_PATH_LEN).map(str::to_owned)
}

fn read_type(reader: &mut Reader<'_>, what: &'static str) -> Result<String, DecodeError> {
    reader.name(what, MAX_TYPE_LEN).map(str::to_owned)
}

/// Writes an outcome: its code, then its fields.
pub fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    match outcome {
        Outcome::Found { uid, kind } => {
            out.push(outcome::FOUND);
            out.extend_from_slice(&uid.to_be_bytes());
            put_string(out, kind);
        }
        Outcome::Absent => out.push(outcome::ABSENT),
        Outcome::Done => out.push(outcome::DONE),
        Outcome::Spawned { uid } => {
            out.push(outcome::SPAWNED);
            out.extend_from_slice(&uid.to_be_bytes());
        }
        Outcome::Kinds(kinds) => {
            out.push(outcome::KINDS);
            let kinds = kinds.get(..MAX_KINDS).unwrap_or(kinds);
            put_varint(out, kinds.len() as u64);
            for kind in kinds {
                put_string(out, kind);
            }
        }
    }
}

/// Reads an outcome up to the end of `reader`.
///
/// # Errors
/// Says which field is malformed.
pub fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, DecodeError> {
    let outcome = match reader.u8("outcome")? {
        outcome::FOUND => {
            Outcome::Found { uid: reader.u64_be("uid")?, kind: read_type(reader, "kind")? }
        }
        outcome::ABSENT => Outcome::Absent,
        outcome::DONE => Outcome::Done,
        outcome::SPAWNED => Outcome::Spawned { uid: reader.u64_be("uid")? },
        outcome::KINDS => {
            let count = reader.varint_max("kind count", MAX_KINDS as u64)?;
            let kinds = (0..count).map(|_| read_type(reader, "kind"));
            Outcome::Kinds(kinds.collect::<Result<_, _>>()?)
        }
        code => return Err(DecodeError::Unknown { what: "outcome", value: u64::from(code) }),
    };
    reader.finish()?;
    Ok(outcome)
}

/// Writes a failure: code, size, limit, and the detail, cut at [`MAX_DETAIL_LEN`].
pub fn put_failure(out: &mut Vec<u8>, failure: &Failure) {
    out.push(failure.code.as_u8());
    put_varint(out, failure.size);
    put_varint(out, failure.limit);
    put_string(out, cut_text(&failure.detail, MAX_DETAIL_LEN));
}

/// Reads a failure. A code of a newer peer becomes [`Code::Internal`] and keeps its detail.
///
/// # Errors
/// Says which field is malformed.
pub fn read_failure(reader: &mut Reader<'_>) -> Result<Failure, DecodeError> {
    Ok(Failure {
        code: Code::from_u8(reader.u8("code")?).unwrap_or(Code::Internal),
        size: reader.varint("size")?,
        limit: reader.varint("limit")?,
        detail: reader.string("detail", MAX_DETAIL_LEN)?.to_owned(),
    })
}

/// Writes how an actor ended: a code, then a text that only a failed one fills, a line for each cause.
pub fn put_terminated(out: &mut Vec<u8>, reason: &Terminated) {
    let (code, detail) = match reason {
        Terminated::Stopped => (1, String::new()),
        Terminated::Failed(cause) => (2, Lines(cause).to_string()),
        Terminated::Passivated => (3, String::new()),
        Terminated::NotFound => (4, String::new()),
        Terminated::StaleIncarnation => (5, String::new()),
        Terminated::NodeLost => (6, String::new()),
        Terminated::Shutdown => (7, String::new()),
    };
    out.push(code);
    put_string(out, cut_text(&detail, MAX_DETAIL_LEN));
}

/// Reads how an actor ended. A code of a newer peer reads as failed, with its text.
///
/// # Errors
/// Says which field is malformed.
pub fn read_terminated(reader: &mut Reader<'_>) -> Result<Terminated, DecodeError> {
    let code = reader.u8("reason")?;
    let detail = reader.string("detail", MAX_DETAIL_LEN)?;
    Ok(match code {
        1 => Terminated::Stopped,
        3 => Terminated::Passivated,
        4 => Terminated::NotFound,
        5 => Terminated::StaleIncarnation,
        6 => Terminated::NodeLost,
        7 => Terminated::Shutdown,
        _ => Terminated::Failed(Cause::from_lines(detail)),
    })
}
