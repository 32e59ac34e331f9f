//! Nodes of GoAkt as peers, which the tests play: one file per capability.
//!
//! | file | asks |
//! | --- | --- |
//! | `calling.rs` | how do calls to actors on Go nodes end? |
//! | `delivery.rs` | what becomes of the messages of Go nodes? |
//! | `grains.rs` | what can Go nodes do with grains? |
//! | `limits.rs` | what can a peer that speaks GoAkt, or seems to, not do to a node? |
//! | `policy.rs` | what may Go nodes do, in whose name, and what do they hear of what they may not? |
//! | `scripted.rs` | (a Go node that does what a test tells it to) |
//! | `serving.rs` | what does a Go node find when it talks to a node of rakt? |
//! | `shutdown.rs` | what becomes of what a Go node has asked when the node shuts down? |
//! | `version.rs` | what becomes of calls to a node of GoAkt v4? |
//! | `windows.rs` | whom does a slow actor hold back? |

#[path = "../support/goakt.rs"]
mod goakt;
#[expect(dead_code, reason = "the native tests use the rest")]
#[path = "../support/memory.rs"]
mod memory;
#[path = "../support/messages.rs"]
mod messages;
#[expect(dead_code, reason = "the native tests use the rest")]
#[path = "../support/nodes.rs"]
mod nodes;
#[expect(dead_code, reason = "the native tests use the rest")]
#[path = "../support/probe.rs"]
mod probe;
#[path = "../support/mod.rs"]
mod support;

mod calling;
mod delivery;
mod gone;
mod grains;
mod limits;
mod policy;
mod scripted;
mod serving;
mod shutdown;
mod version;
mod windows;
