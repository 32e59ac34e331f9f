//! Waiting, with a limit.

use std::panic::Location;
use std::time::Duration;

/// How long anything may take that is bound to happen: 60 s. No machine is so slow.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits for something that is bound to happen, for [`LIMIT`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let (sender, receiver) = tokio::sync::oneshot::channel();
/// tokio::spawn(async { sender.send(42) });
/// assert_eq!(rakt::testkit::within(receiver).await, Ok(42));
/// # }
/// ```
///
/// # Panics
/// The future does, with the place of this call, if it does not happen. On a paused clock that is as soon as nothing
/// in the process can make progress.
#[track_caller]
pub fn within<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        match tokio::time::timeout(LIMIT, future).await {
            Ok(output) => output,
            Err(_) => panic!("{at}: it did not happen within {LIMIT:?}"),
        }
    }
}
