//! Messages and requests to actors on Go nodes. Imports run downward in this table.
//!
//! | files | what is in them |
//! | --- | --- |
//! | `receiver` | everything that can be asked of a node and of its actors |
//! | `tell`, `ask`, `operate` | how each of that is begun, with the `send_state` of a sender that waits |
//! | `pipeline`, `lease` | connections for tells, many at a time, and for requests that have one to themselves |
//! | `endpoint` | one Go node, as references to its actors share it |
//! | `outbox`, `pool` | what senders share with those connections |
//! | `exchange`, `letters` | one request and its response; how tells end |
//! | `standing`, `successor` | whether a connection may still be used, and the one that takes its place |
//! | `link`, `node` | what every connection has; where a node is, and when it is dialed |
//! | `queue`, `sender`, `refusal` | messages that wait, what is made of them, and what goes wrong |
//!
//! A Go node takes the requests of one connection one after another and has no numbers for them. So
//! what it answers at once is sent without waiting for the answers, over few connections that keep the
//! order (what if one is left out, `rakt_wire` knows); what may take long has a connection to itself, which
//! is dropped if no answer comes: a late one would be taken for that of the next request.

mod ask;
mod endpoint;
mod exchange;
mod lease;
mod letters;
mod link;
mod node;
mod operate;
mod outbox;
mod pipeline;
mod pool;
mod queue;
mod receiver;
mod refusal;
mod send_state;
mod sender;
mod standing;
mod successor;
mod tell;

pub(crate) use endpoint::Endpoint;
pub(crate) use receiver::Receiver;
