//! Other libraries, each used as its documentation recommends.

use crate::contestant::Contestant;

/// A line for each, behind the feature that builds it.
pub(crate) const ALL: &[Contestant] = &[];
