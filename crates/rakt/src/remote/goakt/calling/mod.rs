//! Messages and requests to actors on Go nodes.
//!
//! - `endpoint`: one Go node and its receivers; `site`: how it is dialed; `link`: one connection
//! - `lane`, `queue`, `pipeline`: tells, in order and many at a time
//! - `ask`, `operate`, `pool`: requests that each have a connection to themselves
//! - `sender`, `place`, `refusal`: what both have in common
//!
//! A Go node takes the requests of one connection one after another and has no numbers for them. So
//! what it answers at once is sent without waiting for the answers, over few connections that keep the
//! order (what if one is left out, `rakt_wire` knows); what may take long has a connection to itself, which
//! is dropped if no answer comes: a late one would be taken for that of the next request.

mod ask;
mod endpoint;
mod lane;
mod link;
mod operate;
mod pipeline;
mod place;
mod pool;
mod queue;
mod refusal;
mod sender;
mod site;

pub(crate) use endpoint::{Endpoint, Receiver};
pub(crate) use place::Place;

/// A time limit longer than this is as good as none, and can be added to any point in time. A year.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);
