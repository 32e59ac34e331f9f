//! Where a policy was read.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a policy was read.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) path: Arc<Path>,
    /// What the file said.
    pub(super) bytes: Arc<[u8]>,
    /// Something was added to the policy since.
    pub(super) is_changed: bool,
}

/// What it said is in the policy.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.path)
    }
}
