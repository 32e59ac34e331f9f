//! On what terms Go nodes are served.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rakt_wire::goakt::Local;

use super::window::Windows;

/// What all connections from Go nodes have in common.
pub(super) struct Terms {
    /// The names under which they reach this node.
    pub(super) local: Local,
    pub(super) max_pipelined: u32,
    pub(super) read_idle_timeout: Duration,
    pub(super) windows: Windows,
    /// Answers to asynchronous requests that are under way.
    pub(super) answers: AtomicU32,
}
