//! Nodes of GoAkt as peers, which the tests play: one file per capability.
//!
//! | file | asks |
//! | --- | --- |
//! | `calling.rs` | how do calls to actors on Go nodes end? |
//! | `limits.rs` | what can a peer that speaks GoAkt, or seems to, not do to a node? |
//! | `messages.rs` | what becomes of the messages of Go nodes? |
//! | `scripted.rs` | (a Go node that does what a test tells it to) |
//! | `serving.rs` | what does a Go node find when it talks to a node of rakt? |

#[path = "../support/goakt.rs"]
mod goakt;
#[path = "../support/nodes.rs"]
mod nodes;
#[path = "../support/mod.rs"]
mod support;

mod calling;
mod limits;
mod messages;
mod scripted;
mod serving;
