//! The view: the one document that says who is a member. Nothing else decides that.
//!
//! | file | holds |
//! | --- | --- |
//! | this | a view, and what can be asked of it |
//! | `member` | what it is made of: members, their states, what makes it valid |
//! | `codec` | its bytes |
//! | `owners` | who owns each slot by it |
//! | `follow` | whether a node that knows one view may go on to another |
//!
//! ```text
//! Joining ──► Up ──► Leaving ──► gone        any but Dead ──► Dead ──► gone
//!    └────────────────────────────┘
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::epoch::Stamp;
use crate::node::{NodeId, Seat};
use crate::slots::{Slot, SlotRule, xxh64};

mod codec;
mod follow;
mod member;
mod owners;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use follow::{Refused, Step};
pub use member::{
    Draft, MAX_LEASE, MAX_MEMBERS, MAX_NAME_LEN, MAX_ROLES, MAX_VIEW_LEN, MIN_LEASE, Member, State,
    ViewError,
};
use owners::Owners;

/// Who is a member, as the register has it: a [`Draft`] that was checked, and never changes.
///
/// A view is what the register returned or acknowledged. A proposal whose outcome is unknown is none.
#[derive(Clone)]
pub struct View {
    digest: u64,
    draft: Draft,
    owners: Owners,
}

impl View {
    /// Makes a view of a draft.
    ///
    /// # Errors
    /// Says which rule the draft breaks.
    pub fn new(draft: Draft) -> Result<Self, ViewError> {
        draft.check()?;
        let bytes = codec::encode(&draft);
        member::in_range("the length", bytes.len() as u64, 0, MAX_VIEW_LEN as u64)?;
        Ok(Self { digest: xxh64(&bytes), draft, owners: Owners::default() })
    }

    /// Its bytes, as the register has them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.draft)
    }

    /// Reads a view, of a peer or of the register. Reserves no more than what is there can fill.
    ///
    /// # Errors
    /// Says what is wrong with the bytes, or which rule they break.
    pub fn decode(bytes: &[u8]) -> Result<Self, ViewError> {
        Self::new(codec::decode(bytes)?)
    }

    /// A copy of what it is made of.
    #[must_use]
    pub fn draft(&self) -> Draft {
        self.draft.clone()
    }

    /// A number of its bytes. Two views that count the same and differ in this come from two histories.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> u128 {
        self.draft.cluster
    }

    /// The generation in which its history began.
    #[must_use]
    pub fn origin(&self) -> u64 {
        self.draft.origin
    }

    /// What views are ordered by.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp { generation: self.draft.generation, version: self.draft.version }
    }

    /// The rule for slots.
    #[must_use]
    pub fn slots(&self) -> SlotRule {
        self.draft.slots
    }

    /// How long a confirmed node may host.
    #[must_use]
    pub fn lease(&self) -> Duration {
        self.draft.lease
    }

    /// What all members can do.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.draft.level
    }

    /// The members, by ascending id.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.draft.members
    }

    /// The entry of a node, whichever run of it.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<&Member> {
        let members = &self.draft.members;
        members.get(members.binary_search_by_key(&id, |member| member.id).ok()?)
    }

    /// The entry of this seat: same node, same incarnation, same admission.
    #[must_use]
    pub fn member(&self, seat: Seat) -> Option<&Member> {
        self.node(seat.id).filter(|member| member.seat() == seat)
    }

    /// How far this seat has come; nothing if it is not listed.
    #[must_use]
    pub fn state(&self, seat: Seat) -> Option<State> {
        self.member(seat).map(|member| member.state)
    }

    /// All that are Up.
    pub fn up(&self) -> impl Iterator<Item = &Member> {
        self.members().iter().filter(|member| member.state == State::Up)
    }

    /// All that may host: those that are Up or Leaving.
    pub fn hosts(&self) -> impl Iterator<Item = Seat> {
        self.members().iter().filter(|member| member.state.hosts()).map(Member::seat)
    }

    /// All that are Dead.
    pub fn dead(&self) -> impl Iterator<Item = Seat> {
        let dead = |member: &&Member| matches!(member.state, State::Dead { .. });
        self.members().iter().filter(dead).map(Member::seat)
    }

    /// Who owns a slot: one that is Up, or nobody if none has weight. The first call works it out for all slots, others look
    /// it up; with a thousand members that is ten milliseconds or so, which [`owners_after`](Self::owners_after) saves.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> Option<Seat> {
        self.owners.of(&self.draft, slot).map(Member::seat)
    }

    /// Works out the owners of all slots from those of a view before, which is cheap where few members have changed. Does
    /// nothing if those are not known there, or are known here. A [directory](crate::directory::Directory::learn) does it with
    /// each view that it goes on to.
    pub fn owners_after(&self, before: &Self) {
        self.owners.after(&self.draft, &before.draft, &before.owners);
    }
}

/// All that it is made of.
impl PartialEq for View {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.draft == other.draft
    }
}

impl Eq for View {}

/// By the digest, which is of all its bytes.
impl Hash for View {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View {} ", self.stamp())?;
        f.debug_map().entries(self.members().iter().map(|m| (m.id, m.state))).finish()
    }
}
