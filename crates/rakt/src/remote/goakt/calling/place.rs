//! Where a sender stands while its message cannot be taken.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::endpoint::Endpoint;
use super::pool::Lease;
use crate::error::Refusal;

/// A connection to be.
pub(super) type Leasing = Pin<Box<dyn Future<Output = Result<Lease, Refusal>> + Send>>;

/// Where a sender stands in line, its payload if that was encoded already, and the connection it waits
/// for.
#[derive(Default)]
pub(crate) struct Place {
    /// In which lane, and under which number.
    pub(super) ticket: Option<(Arc<Endpoint>, usize, u64)>,
    /// The request whose end comes first.
    pub(super) turn: Option<u64>,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) leasing: Option<Leasing>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((endpoint, lane, ticket)) = self.ticket.take() {
            endpoint.lanes[lane].leave(ticket);
        }
    }
}
