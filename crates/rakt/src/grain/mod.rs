//! Grains: virtual actors. A grain is named by its kind and a key, and lives somewhere as soon as it is sent a message.
//!
//! - `id`: which grain is meant; `epoch`: which life of it
//! - `store`: where grains keep what outlives them; `memory_store`: one that is gone with the process

mod epoch;
mod id;
mod memory_store;
mod store;

pub use epoch::{Epoch, Writer};
pub use id::GrainId;
pub use memory_store::MemoryStore;
pub use store::{ClaimError, DueReminder, GrainStore, Reminder, SaveError, StoreError, Stored};
