//! Nodes of GoAkt v3.14: served on the same listener as native ones, and dialed by `goakt://` addresses.
//!
//! - [`options`](GoAkt): what a user sets
//! - `serving`: connections from Go nodes
//!
//! To actors on Go nodes:
//!
//! - `endpoint`: one Go node and its receivers; `site`: how it is dialed; `link`: one connection
//! - `lane`, `queue`, `pipeline`: tells, in order and many at a time
//! - `ask`, `operate`, `pool`: requests that each have a connection to themselves
//! - `sender`, `place`, `refusal`: what both have in common

mod ask;
mod endpoint;
mod lane;
mod link;
mod operate;
mod options;
mod pipeline;
mod place;
mod pool;
mod queue;
mod refusal;
mod sender;
mod serving;
mod site;

pub use options::GoAkt;

pub(crate) use endpoint::{Endpoint, Receiver};
pub(crate) use place::Place;
pub(crate) use serving::{Serving, open};

/// A time limit longer than this is as good as none, and can be added to any point in time. A year.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);
