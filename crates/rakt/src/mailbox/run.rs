//! Runs of letters whose type only their own functions know.

use std::any::Any;

use rakt_wire::Address;

use crate::error::Refusal;

/// Hears of a letter that is turned down: the name of the message, and how to find its sender.
pub(crate) type Lost<'a> = dyn Fn(&'static str, &dyn Fn() -> Option<Address>) + 'a;

/// A run whose type is known to its dispatch function alone.
pub(crate) trait AnyRun: Any + Send {
    fn len(&self) -> usize;
    /// How many letters there is memory for.
    fn room(&self) -> usize;
    /// Takes the first letter off, as a run of its own.
    fn take_first(&mut self) -> Option<Box<dyn AnyRun>>;
    /// Turns every letter down, after telling `lost` the name of the message and how to find its sender.
    fn refuse_all(self: Box<Self>, refusal: &Refusal, lost: &Lost<'_>);
}

/// A letter that may be taken into a mailbox, or stays where it is.
pub(crate) trait Loose {
    /// Moves the letter into `run`, if that is of its type and not full.
    fn join(&mut self, run: &mut dyn AnyRun) -> bool;
    /// Moves the letter into a run of its own.
    fn begin(&mut self) -> Box<dyn AnyRun>;
    fn message_name(&self) -> &'static str;
}
