//! How a change is put into a view: the rules, and what breaks them.
//!
//! Any member may propose; that only one does, by custom, saves conflicts. What comes out is a proposal: it becomes a view when
//! the register acknowledges or returns it ([`crate::register`]), and is neither acted on nor sent on before.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::bytes::DecodeError;
use crate::node::{Incarnation, NodeId, Seat};
use crate::slots::SlotRule;
use crate::takeover::{Over, Proof};
use crate::view::{Draft, MAX_MEMBERS, MAX_VIEW_LEN, Member, State, View, ViewError};

/// Those that are let in leave so many bytes of a view free: it grows as it says of each member when that was removed.
const LEFT_FREE: usize = MAX_MEMBERS * 16;

/// A node that asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newcomer {
    /// Who it is.
    pub id: NodeId,
    /// Which run of its process.
    pub incarnation: Incarnation,
    /// Where it listens.
    pub host: String,
    /// The port there.
    pub port: u16,
    /// What it may host.
    pub roles: BTreeSet<String>,
    /// Where it stands.
    pub zone: String,
    /// Its part of the slots.
    pub weight: u16,
    /// What its version of rakt can do.
    pub level: u32,
}

/// One change of a view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Admits a node as Joining. Another run of the same node has to be gone, unless its end is proven: then it is replaced.
    Join(Newcomer, Option<Proof>),
    /// Lets one that is Joining in: it has spoken with all that are Up.
    Up(Seat),
    /// One that is Up starts to leave, and says so itself.
    Leave(Seat),
    /// One that is Leaving has ended all, and says so itself; or one that is Joining gives up, or is turned away.
    Gone(Seat),
    /// One does not answer: whoever says so, by evidence of several.
    Dead(Seat),
    /// One is over, and its entry is dropped.
    Drop(Over),
    /// Another weight.
    Weigh(Seat, u16),
    /// A longer lease.
    Lease(Duration),
    /// A higher level, which all members have.
    Level(u32),
    /// A generation above this one: a store has seen epochs of it.
    Raise {
        /// What the store has seen.
        above: u64,
    },
}

/// Why a change is not put into a view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// It is there already: nothing to do.
    #[error("the view says so already")]
    Already,
    /// The view does not list it.
    #[error("{0} is not listed")]
    Unlisted(Seat),
    /// The state does not lead there.
    #[error("{seat} is {state:?}, which does not lead to that")]
    State {
        /// Whose state.
        seat: Seat,
        /// How far it has come.
        state: State,
    },
    /// Another run of the node is still listed, and its end is not proven.
    #[error("another run of node {0} is still listed")]
    Occupied(NodeId),
    /// There are as many members as a view can hold, or they take up as many bytes.
    #[error("the view is full")]
    Full,
    /// A lease or a level would go down, or a level would be above a member's.
    #[error("{0} may only rise, and not above what all members can do")]
    Lowered(&'static str),
    /// A number has reached its end.
    #[error("{0} has reached its end")]
    Exhausted(&'static str),
    /// What comes out is no view.
    #[error("the change makes no view")]
    View(#[from] ViewError),
}

/// A view with some changes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What to propose over the view that was changed; nothing if no change was good.
    pub view: Option<View>,
    /// Which changes were left out, by their number, and why.
    pub refused: Vec<(usize, ChangeError)>,
}

/// Puts changes into a view, one after the other; together they make one version. Each that is refused is left out, and
/// the others are not.
#[must_use]
pub fn propose(view: &View, changes: &[Change]) -> Proposal {
    let mut next = view.draft();
    if let Err(error) = step(&mut next) {
        let refused = (0..changes.len()).map(|at| (at, error.clone())).collect();
        return Proposal { view: None, refused };
    }
    let room = MAX_VIEW_LEN.saturating_sub(LEFT_FREE).saturating_sub(view.encode().len());
    let (mut draft, mut left, mut refused) = (next.clone(), room, Vec::new());
    for (at, change) in changes.iter().enumerate() {
        refused.extend(apply(&mut draft, change, &mut left).err().map(|error| (at, error)));
    }
    if refused.len() == changes.len() {
        return Proposal { view: None, refused };
    }
    match View::new(draft) {
        Ok(view) => Proposal { view: Some(view), refused },
        // One of them asks for what no view can be.
        Err(_) => one_by_one(next, changes, room),
    }
}

fn one_by_one(mut draft: Draft, changes: &[Change], mut room: usize) -> Proposal {
    let (mut last, mut refused) = (None, Vec::new());
    for (at, change) in changes.iter().enumerate() {
        let mut tried = draft.clone();
        let made = apply(&mut tried, change, &mut room).and_then(|()| Ok(View::new(tried)?));
        match made {
            Ok(view) => {
                draft = view.draft();
                last = Some(view);
            }
            Err(error) => refused.push((at, error)),
        }
    }
    Proposal { view: last, refused }
}

/// The first view of a cluster: its founders are Up.
///
/// The generation is the seconds of Unix time, or one more than that of an earlier cluster that is known of: so that the epochs
/// of one that was lost with its disks are not granted again.
///
/// # Errors
/// Says which rule the founders break.
pub fn found(
    cluster: u128,
    seconds: u64,
    previous: Option<u64>,
    lease: Duration,
    founders: Vec<Newcomer>,
) -> Result<View, ViewError> {
    let generation = previous.map_or(1, |last| last.saturating_add(1)).max(seconds);
    let level = founders.iter().map(|founder| founder.level).min().unwrap_or(0);
    let mut members: Vec<_> = founders.into_iter().map(|new| new.member(1, State::Up)).collect();
    members.sort_by_key(|member| member.id);
    let (origin, version, slots) = (generation, 1, SlotRule::One);
    View::new(Draft { cluster, origin, generation, version, slots, lease, level, members })
}

/// A view that begins a new history over a copy of an old one: every old member is Dead. What was decided after the copy is lost,
/// and who is still running from then ends all it hosts and joins anew.
///
/// `lease` is the longest that the cluster may have had since the copy, where it was raised.
///
/// A last member stands for all that were let in after the copy, and of whom nobody knows: it is Dead, and is waited for like
/// the others. These may prove that they are over, and are not waited for then; of it nobody can.
///
/// # Errors
/// Fails if a number has reached its end, or the copy has as many members as a view may have.
pub fn recover(copy: &View, seconds: u64, lease: Duration) -> Result<View, ChangeError> {
    let mut draft = copy.draft();
    step(&mut draft)?;
    let next = draft.generation.checked_add(1).ok_or(ChangeError::Exhausted("the generation"))?;
    draft.generation = next.max(seconds);
    draft.origin = draft.generation;
    draft.lease = draft.lease.max(lease);
    let since = draft.version;
    for member in &mut draft.members {
        if !matches!(member.state, State::Dead { .. }) {
            member.state = State::Dead { since };
        }
    }
    let is_free = |id: &NodeId| copy.node(*id).is_none();
    let id = (0..=u128::MAX).rev().map(NodeId).find(is_free).ok_or(ChangeError::Full)?;
    let at = draft.members.partition_point(|member| member.id < id);
    let lost = Newcomer {
        id,
        incarnation: Incarnation(0),
        // No name of a host ends like that (RFC 2606).
        host: "lost.invalid".into(),
        port: 1,
        roles: BTreeSet::new(),
        zone: String::new(),
        weight: 0,
        level: draft.level,
    };
    draft.members.insert(at, lost.member(since, State::Dead { since }));
    Ok(View::new(draft)?)
}

impl Newcomer {
    /// Writes it as what the first view of a cluster would list.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.clone().member(1, State::Joining).encode(out);
    }

    /// Reads one off the front, which a view may list.
    pub(crate) fn decode(from: &mut &[u8]) -> Result<Self, DecodeError> {
        let new = Member::decode(from)?;
        if new.state != State::Joining || new.check(1).is_err() {
            return Err(DecodeError::Invalid { what: "a node that comes" });
        }
        let Member { id, incarnation, host, port, roles, zone, weight, level, .. } = new;
        Ok(Self { id, incarnation, host, port, roles, zone, weight, level })
    }

    fn member(self, joined: u64, state: State) -> Member {
        let Self { id, incarnation, host, port, roles, zone, weight, level } = self;
        Member { id, incarnation, joined, state, host, port, roles, zone, weight, level }
    }
}

fn step(draft: &mut Draft) -> Result<(), ChangeError> {
    draft.version = draft.version.checked_add(1).ok_or(ChangeError::Exhausted("the version"))?;
    Ok(())
}

/// Puts one change into a draft, or leaves that as it is. Those that are let in may take up `room` bytes.
fn apply(draft: &mut Draft, change: &Change, room: &mut usize) -> Result<(), ChangeError> {
    let version = draft.version;
    match change {
        Change::Join(new, proof) => join(draft, new, *proof, room)?,
        Change::Up(seat) => enter(draft, *seat, State::Up, &[State::Joining])?,
        Change::Leave(seat) => enter(draft, *seat, State::Leaving, &[State::Up])?,
        Change::Dead(seat) => {
            let living = [State::Joining, State::Up, State::Leaving];
            enter(draft, *seat, State::Dead { since: version }, &living)?;
        }
        Change::Gone(seat) => {
            let state = find(draft, *seat)?.state;
            if !matches!(state, State::Leaving | State::Joining) {
                return Err(ChangeError::State { seat: *seat, state });
            }
            draft.members.retain(|member| member.seat() != *seat);
        }
        Change::Drop(over) => {
            find(draft, over.seat())?;
            draft.members.retain(|member| member.seat() != over.seat());
        }
        Change::Weigh(seat, weight) => {
            let member = find(draft, *seat)?;
            changes(member.weight != *weight)?;
            member.weight = *weight;
        }
        Change::Lease(lease) => {
            changes(draft.lease != *lease)?;
            rises("the lease", draft.lease < *lease)?;
            draft.lease = *lease;
        }
        Change::Level(level) => {
            changes(draft.level != *level)?;
            let all = draft.members.iter().all(|member| member.level >= *level);
            rises("the level", draft.level < *level && all)?;
            draft.level = *level;
        }
        Change::Raise { above } => {
            changes(draft.generation <= *above)?;
            let next = above.checked_add(1);
            draft.generation = next.ok_or(ChangeError::Exhausted("the generation"))?;
        }
    }
    Ok(())
}

fn join(
    draft: &mut Draft,
    new: &Newcomer,
    proof: Option<Proof>,
    room: &mut usize,
) -> Result<(), ChangeError> {
    rises("the level", new.level >= draft.level)?;
    let member = new.clone().member(draft.version, State::Joining);
    let mut bytes = Vec::new();
    member.encode(&mut bytes);
    let left = room.checked_sub(bytes.len()).ok_or(ChangeError::Full)?;
    let at = match draft.members.binary_search_by_key(&new.id, |member| member.id) {
        Ok(at) => {
            let listed = draft.members.get(at).map(|member| member.incarnation);
            changes(listed != Some(new.incarnation))?;
            if proof.is_none() {
                return Err(ChangeError::Occupied(new.id));
            }
            draft.members.remove(at);
            at
        }
        Err(_) if draft.members.len() >= MAX_MEMBERS => return Err(ChangeError::Full),
        Err(at) => at,
    };
    draft.members.insert(at, member);
    *room = left;
    Ok(())
}

fn find(draft: &mut Draft, seat: Seat) -> Result<&mut Member, ChangeError> {
    let member = draft.members.iter_mut().find(|member| member.seat() == seat);
    member.ok_or(ChangeError::Unlisted(seat))
}

fn enter(draft: &mut Draft, seat: Seat, state: State, from: &[State]) -> Result<(), ChangeError> {
    let member = find(draft, seat)?;
    changes(member.state.rank() != state.rank())?;
    if !from.contains(&member.state) {
        return Err(ChangeError::State { seat, state: member.state });
    }
    member.state = state;
    Ok(())
}

fn changes(yes: bool) -> Result<(), ChangeError> {
    yes.then_some(()).ok_or(ChangeError::Already)
}

fn rises(what: &'static str, yes: bool) -> Result<(), ChangeError> {
    yes.then_some(()).ok_or(ChangeError::Lowered(what))
}

#[cfg(test)]
mod tests;
