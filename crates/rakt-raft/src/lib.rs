#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]

mod blob;
mod book;
mod call;
mod delta;
mod document;
mod embedded;
mod error;
mod founding;
mod names;
mod network;
mod node;
mod options;
mod recover;
mod store;
mod types;

pub use embedded::{Embedded, VoterId, VotersError};
pub use error::{OpenError, StartError};
pub use recover::{RecoverError, Recovered, recover};
