//! Errors that are the asker's business alone.

use rakt_wire::Cause;

use super::{BoxError, Refusal};

/// An error by which a handler turns its message down, and is well: the asker gets
/// [`Refusal::Declined`], [supervision](crate::supervision) never sees it, and the actor goes on with the state
/// that it has. Every other error of a handler is a fault.
///
/// ```
/// use rakt::prelude::*;
/// use rakt::{Declined, OrDecline};
///
/// #[derive(Message)]
/// #[rakt(reply = u64)]
/// struct Withdraw(String);
///
/// #[derive(Default)]
/// struct Account(u64);
/// impl Actor for Account {}
///
/// impl Handler<Withdraw> for Account {
///     async fn handle(&mut self, Withdraw(amount): Withdraw, _: &mut Context<Self>) -> Result<u64> {
///         let amount: u64 = amount.parse().or_decline()?;
///         let left = self.0.checked_sub(amount).ok_or_else(|| Declined::new("not covered"))?;
///         self.0 = left;
///         Ok(left)
///     }
/// }
/// ```
///
/// A message that nobody awaits a reply for becomes a dead letter with that reason.
#[derive(Debug)]
pub struct Declined(pub(crate) Refusal);

impl Declined {
    /// Turns the message at hand down for this reason.
    pub fn new(reason: impl Into<BoxError>) -> Self {
        Self(Refusal::Declined { source: Cause::described(&*reason.into()) })
    }
}

impl std::fmt::Display for Declined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Declined {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Makes an error one by which a handler turns its message down: see [`Declined`].
pub trait OrDecline<T> {
    /// The value, or the error as one that only the asker hears of.
    ///
    /// # Errors
    /// [`Declined`], with the error as its cause.
    fn or_decline(self) -> Result<T, Declined>;
}

impl<T, E: Into<BoxError>> OrDecline<T> for Result<T, E> {
    fn or_decline(self) -> Result<T, Declined> {
        self.map_err(Declined::new)
    }
}
