//! How long an actor with nothing to do waits for more.

use std::sync::Arc;
use std::task::Waker;

use crate::ticks::{Call, Ticks};

/// An actor that has worked off its mailbox waits for more until the next but one tick.
#[derive(Default)]
pub(crate) struct Doze {
    call: Option<Call>,
    /// Something was taken out of the mailbox since the call.
    pub(crate) has_worked: bool,
    /// The message at hand came alone, and found the actor dozing.
    pub(crate) is_lone: bool,
    /// The cell has the task's waker already, for when the message at hand is done.
    pub(crate) is_noted: bool,
}

impl Doze {
    /// Whether there was a tick since the call.
    #[inline]
    pub(crate) fn is_due(&self, ticks: &Ticks, waker: &Waker) -> bool {
        self.call.is_some_and(|call| ticks.is_over(waker, call))
    }

    pub(crate) fn go_on(&mut self, ticks: &Arc<Ticks>, waker: &Waker) {
        let call = ticks.call(waker, self.call);
        if self.call.replace(call) != Some(call) {
            self.has_worked = false;
        }
    }
}
