//! Something that happens once, and that anybody may wait for.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Closed at first; once it is open it stays so.
#[derive(Debug, Default)]
pub(crate) struct Latch {
    is_open: AtomicBool,
    opened: Notify,
}

impl Latch {
    pub(crate) fn open(&self) {
        self.is_open.store(true, Ordering::Release);
        self.opened.notify_waiters();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Completes when it is open.
    pub(crate) async fn opened(&self) {
        let mut told = std::pin::pin!(self.opened.notified());
        // In line before the look: an opening between the two is not missed.
        told.as_mut().enable();
        if !self.is_open() {
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn who_waits_and_who_comes_later_both_hear_of_it() {
        let latch = Arc::<Latch>::default();
        let waiting = tokio::spawn({
            let latch = latch.clone();
            async move { latch.opened().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !latch.is_open());
        latch.open();
        waiting.await.expect("it does not panic");
        latch.opened().await;
        assert!(latch.is_open());
    }
}
