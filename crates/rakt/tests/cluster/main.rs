//! Clusters, through the public API.
//!
//! | file | asks |
//! | --- | --- |
//! | `names.rs` | is what has a name of the cluster, or is kept alive, there once? |
//! | `nodes.rs` | do grains live once, wherever they are asked from and whoever leaves? |

mod names;
mod nodes;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
