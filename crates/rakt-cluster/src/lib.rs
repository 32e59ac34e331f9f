//! The decisions of a cluster of rakt nodes, without I/O.
//!
//! Words of peers, answers of the register and time go in; what to do comes out. There is no runtime, socket, clock or
//! randomness in this crate, so that a whole cluster can be replayed in a test, and a model checker runs what is shipped
//! (`src/model`, for tests alone). Times are [`Duration`](std::time::Duration)s since an origin that the caller chooses once, on a clock that
//! also counts while the machine sleeps.
//!
//! `rakt` with the feature `cluster` does what a [`Participant`](participant::Participant) decides. There is:
//!
//! | module | holds |
//! | --- | --- |
//! | [`bytes`] | how the fields of words and views are written |
//! | [`node`] | who a node is: [`NodeId`], [`Incarnation`], [`Seat`] |
//! | [`epoch`] | the order of views and of the lives of a grain |
//! | [`slots`] | which slot a grain is in, and which member owns it |
//! | [`view`] | the one document that says who is a member, its bytes, which view may follow which |
//! | [`register`] | what holds the view must do, as outcomes |
//! | [`lease`] | how long a node may act after it has read that it is a member |
//! | [`takeover`] | how long others wait before they take what was its |
//! | [`directory`] | where grains live: who owns a slot, how it changes hands, what hosts promise |
//! | [`failure`] | who does not answer, and what that is enough for |
//! | [`clock`] | whether a node's clock runs as those of others do |
//! | [`placement`] | where a grain is activated |
//! | [`propose`] | how a change is put into a view |
//! | [`participant`] | all that one node decides, put together |
//! | [`sim`] | a register for tests |
//!
//! Inside, an import goes down the floors in `ARCHITECTURE.md` and never up.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, which is fine")
)]

pub mod bytes;
pub mod clock;
pub mod directory;
pub mod epoch;
pub mod failure;
pub mod lease;
#[cfg(test)]
mod model;
pub mod node;
pub mod participant;
pub mod placement;
pub mod propose;
pub mod register;
pub mod sim;
pub mod slots;
pub mod takeover;
pub mod view;

pub use epoch::{Epoch, Stamp};
pub use node::{Incarnation, NodeId, Seat};
pub use slots::{Slot, SlotRule};
pub use view::{Member, State, View};
