//! What is said of views that this node does not know: by others, who speak by one, or by a store, which has an epoch of one.
//!
//! A view is what the register has returned or acknowledged. What others say is a hint that there is one, and what it is like is
//! never taken from them: so who lies makes a node read the register, and no more.

use std::time::Duration;

use crate::epoch::Stamp;
use crate::node::Seat;

/// What was said of views that are not known here.
#[derive(Clone, Debug, Default)]
pub(super) struct Rumours {
    /// The last of what others have said, and who.
    pub(super) said: Option<(Seat, Stamp)>,
    /// The newest of which a store has an epoch.
    pub(super) stored: Option<Stamp>,
    /// Nothing is asked about them before that.
    pub(super) after: Duration,
    /// What was not so is not told of before that.
    pub(super) tell_after: Duration,
}

impl Rumours {
    /// When the register is to be read for them, if there are any.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.said.is_some() || self.stored.is_some()).then_some(self.after)
    }

    /// That view is known now.
    pub(super) fn learn(&mut self, known: Stamp) {
        self.said = self.said.filter(|(_, of)| *of > known);
        self.stored = self.stored.filter(|of| *of > known);
    }
}
