//! What handlers and hooks return.

/// Any error, as handlers and hooks return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What handlers and hooks return: an `Err` meets the actor's [supervision](crate::supervision),
/// but for [`Declined`](crate::Declined), which is for the asker alone.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;
