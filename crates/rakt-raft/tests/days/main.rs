//! Clusters of real processes that keep their register themselves, on days on which the machine is against them.
//!
//! | file | asks |
//! | --- | --- |
//! | `partitions.rs` | what if some nodes do not hear others any more? |
//! | `founding.rs` | is one cluster founded, whenever each node starts? |
//! | `throttled.rs` | what if a node has little of the processor? |
//! | `full_disk.rs` | what if the disk of a voter is full? |
//! | `world.rs` | a machine of its own for each test, and a network in it that can be cut |
//! | `fleet.rs` | the nodes |
//! | `history.rs` | who has answered when, and whether that could be |
//!
//! Networks of their own take root, so these tests are left out where nobody asks for them: `.ci/run days` does.

#![cfg(target_os = "linux")]

mod fleet;
mod founding;
mod full_disk;
mod history;
mod partitions;
mod throttled;
mod world;
