//! The bytes of a view.
//!
//! ```text
//! view    format (1) · cluster 16 · origin · generation · version · rule · lease in ms · level · count · members
//! member  id 16 · incarnation 16 · joined · state 1 · [since] · host · port · count · roles · zone · weight · level
//! ```
//! Integers are varints and texts have their length in front, as in the protocol of rakt. A view has one form: roles and
//! members ascend, and nothing follows.

use std::collections::BTreeSet;
use std::time::Duration;

use rakt_wire::{DecodeError, MAX_NAME_LEN as MAX_HOST_LEN, Reader, put_string, put_varint};

use super::member::{
    Draft, MAX_LEASE, MAX_MEMBERS, MAX_NAME_LEN, MAX_ROLES, MAX_VIEW_LEN, Member, State, ViewError,
};
use crate::node::{Incarnation, NodeId};
use crate::slots::SlotRule;

/// The number of this form.
const FORMAT: u8 = 1;
/// Fewest bytes of a member: what is left bounds how many can follow.
const MIN_MEMBER_LEN: usize = 42;

pub(super) fn decode(bytes: &[u8]) -> Result<Draft, ViewError> {
    let what = "the length of a view";
    if bytes.len() > MAX_VIEW_LEN {
        let (value, limit) = (bytes.len() as u64, MAX_VIEW_LEN as u64);
        return Err(DecodeError::TooLarge { what, value, limit }.into());
    }
    let mut from = Reader::new(bytes);
    match from.u8("the format")? {
        FORMAT => {}
        value => {
            let value = u64::from(value);
            return Err(DecodeError::Unknown { what: "the format", value }.into());
        }
    }
    let cluster = u128::from_be_bytes(from.array("the cluster")?);
    let origin = from.varint("the origin")?;
    let generation = from.varint("the generation")?;
    let version = from.varint("the version")?;
    let code = from.varint("the rule")?;
    let slots = SlotRule::from_code(code).ok_or(ViewError::Rule { code })?;
    let millis = from.varint_max("the lease", MAX_LEASE.as_millis() as u64)?;
    let level = from.varint_u32("the level")?;
    let count = from.varint_max("the number of members", MAX_MEMBERS as u64)? as usize;
    let mut members = Vec::with_capacity(count.min(from.len() / MIN_MEMBER_LEN));
    for _ in 0..count {
        members.push(member(&mut from)?);
    }
    from.finish()?;
    let lease = Duration::from_millis(millis);
    Ok(Draft { cluster, origin, generation, version, slots, lease, level, members })
}

pub(super) fn encode(draft: &Draft) -> Vec<u8> {
    let mut out = vec![FORMAT];
    out.extend(draft.cluster.to_be_bytes());
    for number in [
        draft.origin,
        draft.generation,
        draft.version,
        draft.slots.code(),
        draft.lease.as_millis() as u64,
        u64::from(draft.level),
        draft.members.len() as u64,
    ] {
        put_varint(&mut out, number);
    }
    for member in &draft.members {
        put_member(&mut out, member);
    }
    out
}

fn put_member(out: &mut Vec<u8>, member: &Member) {
    out.extend(member.id.0.to_be_bytes());
    out.extend(member.incarnation.0.to_be_bytes());
    put_varint(out, member.joined);
    out.push(member.state.rank());
    if let State::Dead { since } = member.state {
        put_varint(out, since);
    }
    put_string(out, &member.host);
    put_varint(out, u64::from(member.port));
    put_varint(out, member.roles.len() as u64);
    member.roles.iter().for_each(|role| put_string(out, role));
    put_string(out, &member.zone);
    put_varint(out, u64::from(member.weight));
    put_varint(out, u64::from(member.level));
}

fn member(from: &mut Reader<'_>) -> Result<Member, DecodeError> {
    let id = NodeId(u128::from_be_bytes(from.array("a node")?));
    let incarnation = Incarnation(u128::from_be_bytes(from.array("an incarnation")?));
    let joined = from.varint("an admission")?;
    let state = match from.u8("a state")? {
        0 => State::Joining,
        1 => State::Up,
        2 => State::Leaving,
        3 => State::Dead { since: from.varint("a death")? },
        value => return Err(DecodeError::Unknown { what: "a state", value: u64::from(value) }),
    };
    let host = from.string("a host", MAX_HOST_LEN)?.to_owned();
    let port = small(from, "a port")?;
    let count = from.varint_max("the number of roles", MAX_ROLES as u64)?;
    let mut roles = BTreeSet::new();
    for _ in 0..count {
        let role = from.string("a role", MAX_NAME_LEN)?;
        if roles.last().is_some_and(|last: &String| last.as_str() >= role) {
            return Err(DecodeError::Invalid { what: "the order of roles" });
        }
        roles.insert(role.to_owned());
    }
    let zone = from.string("a zone", MAX_NAME_LEN)?.to_owned();
    let weight = small(from, "a weight")?;
    let level = from.varint_u32("a level")?;
    Ok(Member { id, incarnation, joined, state, host, port, roles, zone, weight, level })
}

fn small(from: &mut Reader<'_>, what: &'static str) -> Result<u16, DecodeError> {
    let value = from.varint(what)?;
    let limit = u64::from(u16::MAX);
    u16::try_from(value).map_err(|_| DecodeError::TooLarge { what, value, limit })
}
