//! What the targets run: kept with the tests of the crate, which run the same functions over the corpus.

#[path = "../../crates/rakt-wire/tests/fuzz/mod.rs"]
mod targets;

pub use targets::*;
