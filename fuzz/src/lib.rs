//! What the targets run: kept with the tests of the crates, which run the same functions over the corpus.

#[path = "../../crates/rakt-cluster/tests/fuzz/mod.rs"]
mod clusters;
#[cfg(feature = "node")]
#[path = "../../crates/rakt/tests/fuzz/mod.rs"]
mod nodes;
#[path = "../../crates/rakt-wire/tests/fuzz/mod.rs"]
mod targets;

pub use clusters::*;
#[cfg(feature = "node")]
pub use nodes::*;
pub use targets::*;
