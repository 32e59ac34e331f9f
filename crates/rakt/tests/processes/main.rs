//! Nodes in processes of their own: this program, run once more with one of its ignored tests.
//!
//! | file | asks |
//! | --- | --- |
//! | `descriptors.rs` | does a node go on that has used up its file descriptors? |
//! | `promises.rs` | what is left of the promises when a process is killed, stopped or restarted? |

#[cfg(target_os = "linux")]
#[path = "../support/hostile.rs"]
mod hostile;
#[path = "../support/nodes.rs"]
mod nodes;
#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(unix)]
mod promises;
