//! The bytes of a view.
//!
//! ```text
//! view    format (1) · cluster 16 · origin · generation · version · rule · lease in ms · level · count · members
//! member  id 16 · incarnation 16 · joined · state 1 · [since] · host · port · count · roles · zone · weight · level
//! ```
//! Integers are varints and texts have their length in front, as in the protocol of rakt. A view has one form: roles and
//! members ascend, no varint is longer than it has to be, and nothing follows.

use std::collections::BTreeSet;
use std::time::Duration;

use rakt_wire::MAX_NAME_LEN as MAX_HOST_LEN;

use super::member::{
    Draft, MAX_LEASE, MAX_MEMBERS, MAX_NAME_LEN, MAX_ROLES, MAX_VIEW_LEN, Member, State, ViewError,
};
use crate::bytes::{
    DecodeError, array, byte, count, finish, put_string, put_varint, string, varint, varint_max,
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
    let from = &mut &*bytes;
    match byte(from, "the format")? {
        FORMAT => {}
        value => {
            let value = u64::from(value);
            return Err(DecodeError::Unknown { what: "the format", value }.into());
        }
    }
    let cluster = u128::from_be_bytes(array(from, "the cluster")?);
    let origin = varint(from, "the origin")?;
    let generation = varint(from, "the generation")?;
    let version = varint(from, "the version")?;
    let code = varint(from, "the rule")?;
    let slots = SlotRule::from_code(code).ok_or(ViewError::Rule { code })?;
    let millis = varint_max(from, "the lease", MAX_LEASE.as_millis() as u64)?;
    let level = varint_max(from, "the level", u64::from(u32::MAX))? as u32;
    let (count, fits) = count(from, "the number of members", MAX_MEMBERS, MIN_MEMBER_LEN)?;
    let mut members = Vec::with_capacity(fits);
    for _ in 0..count {
        members.push(member(from)?);
    }
    finish(from)?;
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

impl Member {
    /// Writes it as it stands in a view.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_member(out, self);
    }

    /// Reads one off the front.
    pub(crate) fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        member(from)
    }
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

fn member(from: &mut &[u8]) -> Result<Member, DecodeError> {
    let id = NodeId(u128::from_be_bytes(array(from, "a node")?));
    let incarnation = Incarnation(u128::from_be_bytes(array(from, "an incarnation")?));
    let joined = varint(from, "an admission")?;
    let state = match byte(from, "a state")? {
        0 => State::Joining,
        1 => State::Up,
        2 => State::Leaving,
        3 => State::Dead { since: varint(from, "a death")? },
        value => return Err(DecodeError::Unknown { what: "a state", value: u64::from(value) }),
    };
    let host = string(from, "a host", MAX_HOST_LEN)?.to_owned();
    let port = small(from, "a port")?;
    let count = varint_max(from, "the number of roles", MAX_ROLES as u64)?;
    let mut roles = BTreeSet::new();
    for _ in 0..count {
        let role = string(from, "a role", MAX_NAME_LEN)?;
        if roles.last().is_some_and(|last: &String| last.as_str() >= role) {
            return Err(DecodeError::Invalid { what: "the order of roles" });
        }
        roles.insert(role.to_owned());
    }
    let zone = string(from, "a zone", MAX_NAME_LEN)?.to_owned();
    let weight = small(from, "a weight")?;
    let level = varint_max(from, "a level", u64::from(u32::MAX))? as u32;
    Ok(Member { id, incarnation, joined, state, host, port, roles, zone, weight, level })
}

fn small(from: &mut &[u8], what: &'static str) -> Result<u16, DecodeError> {
    let value = varint(from, what)?;
    let limit = u64::from(u16::MAX);
    u16::try_from(value).map_err(|_| DecodeError::TooLarge { what, value, limit })
}
