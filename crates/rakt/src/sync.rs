//! A lock that does not care for poison: a panic in user code never happens while one is held.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks without a `Result`.
pub(crate) trait Lock<T: ?Sized> {
    /// Takes the lock, waiting for it.
    fn hold(&self) -> MutexGuard<'_, T>;
}

impl<T: ?Sized> Lock<T> for Mutex<T> {
    fn hold(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
