//! Views for tests.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Draft, Member, State, View};
use crate::node::{Incarnation, NodeId};
use crate::slots::SlotRule;

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn member(id: u128, joined: u64, state: State) -> Member {
    Member {
        id: NodeId(id),
        incarnation: Incarnation(id + 100),
        joined,
        state,
        host: "10.0.0.1".into(),
        port: 3320,
        roles: BTreeSet::new(),
        zone: String::new(),
        weight: 100,
        level: 1,
    }
}

pub(crate) fn draft(version: u64, members: Vec<Member>) -> Draft {
    let (lease, slots) = (seconds(8), SlotRule::One);
    Draft { cluster: 7, origin: 1, generation: 1, version, slots, lease, level: 1, members }
}

/// Members with the ids from 1, in these states, admitted by the first version.
pub(crate) fn view(version: u64, states: &[State]) -> View {
    let members = (1..).zip(states).map(|(id, state)| member(id, 1, *state)).collect();
    View::new(draft(version, members)).expect("a view")
}
