//! Whether a node that knows one view may go on to another.
//!
//! A node never goes back. A view is only what the register has returned or acknowledged; what is not of the same history, or
//! undoes what a view has said, is refused, and an alarm.

use std::cmp::Ordering;

use super::View;
use crate::epoch::Stamp;
use crate::node::Seat;

/// What another view is to one that a node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The same.
    Same,
    /// One from before. From a peer that lags this is usual; from the register it is an alarm.
    Older,
    /// A later one of this history.
    Newer {
        /// Whether it is the very next one.
        in_row: bool,
    },
    /// A later one of a history that was recovered from a copy. What was decided after the copy is lost: the node
    /// ends all it hosts and joins anew.
    Recovered,
}

/// Why a view may not be followed. Each is an alarm: the register has lost or invented something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It is of another cluster.
    #[error("a view of another cluster")]
    Foreign,
    /// It is of a history that this one has left: it counts the same and says something else, as after a register was
    /// restored from a copy, or goes on from before that.
    #[error("view {0} is of another history")]
    Diverged(Stamp),
    /// A member has gone back to an earlier state, or is listed again after it was gone.
    #[error("{0} has gone back in a later view")]
    Returned(Seat),
    /// The rule for slots has changed, the lease is shorter or the level lower.
    #[error("{0} of a later view may not be what it is")]
    Changed(&'static str),
}

impl View {
    /// What `other` is to a node that knows this view.
    ///
    /// # Errors
    /// Says why `other` cannot be a view of this history, or of one that was recovered from it.
    pub fn step(&self, other: &Self) -> Result<Step, Refused> {
        if self.cluster() != other.cluster() {
            return Err(Refused::Foreign);
        }
        if self.stamp() == other.stamp() {
            let same = self.digest() == other.digest() && self.origin() == other.origin();
            return same.then_some(Step::Same).ok_or(Refused::Diverged(self.stamp()));
        }
        if other.stamp() < self.stamp() {
            return Ok(Step::Older);
        }
        match other.origin().cmp(&self.origin()) {
            Ordering::Less => return Err(Refused::Diverged(other.stamp())),
            Ordering::Equal => {}
            Ordering::Greater => return Ok(Step::Recovered),
        }
        let (before, after) = (self.stamp().version, other.stamp().version);
        // Versions rise also where the generation does.
        if after <= before {
            return Err(Refused::Diverged(other.stamp()));
        }
        self.leads_to(other)?;
        Ok(Step::Newer { in_row: before.checked_add(1) == Some(after) })
    }

    fn leads_to(&self, later: &Self) -> Result<(), Refused> {
        let changed = [
            ("the rule for slots", self.slots() == later.slots()),
            ("the lease", self.lease() <= later.lease()),
            ("the level", self.level() <= later.level()),
        ];
        if let Some((what, _)) = changed.into_iter().find(|(_, good)| !good) {
            return Err(Refused::Changed(what));
        }
        for member in later.members() {
            let back = match self.state(member.seat()) {
                Some(before) => before.rank() > member.state.rank(),
                None => member.joined <= self.stamp().version,
            };
            if back {
                return Err(Refused::Returned(member.seat()));
            }
        }
        Ok(())
    }
}
