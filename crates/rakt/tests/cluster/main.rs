//! Clusters, through the public API.
//!
//! | file | asks |
//! | --- | --- |
//! | `nodes.rs` | do grains live once, wherever they are asked from and whoever leaves? |

mod nodes;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/mod.rs"]
mod support;
