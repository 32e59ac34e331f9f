//! The place where one answer is awaited: a one-shot channel whose sender can see that the receiver
//! has given up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// One answer, awaited by an [`Answer`] and given by whoever holds the slot.
pub(crate) struct Slot<T> {
    /// When the asker stops waiting.
    deadline: Option<Instant>,
    /// The same as the state says, to be seen without the lock.
    is_abandoned: AtomicBool,
    state: Mutex<State<T>>,
}

enum State<T> {
    /// Several may look out for the asker giving up, and none is to miss it.
    Waiting {
        asker: Option<Waker>,
        answerers: Vec<Waker>,
    },
    Answered(T),
    Taken,
    Abandoned,
}

/// The view of a slot that does not know the type of its answer.
pub(crate) trait Abandonment: Send + Sync {
    fn is_abandoned(&self) -> bool;
    fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<T> Slot<T> {
    /// A slot, and the future of its answer.
    #[allow(dead_code, reason = "for the remote half, which is a feature")]
    pub(crate) fn new() -> (Arc<Self>, Answer<T>) {
        Self::expected(None, None)
    }

    /// A slot with a deadline, and the future of its answer. With a waker given here, the first poll
    /// of the answer must be by the same task; it does nothing.
    pub(crate) fn expected(
        deadline: Option<Instant>,
        waker: Option<&Waker>,
    ) -> (Arc<Self>, Answer<T>) {
        let state = State::Waiting { asker: waker.cloned(), answerers: Vec::new() };
        let (is_abandoned, state) = (AtomicBool::new(false), Mutex::new(state));
        let slot = Arc::new(Self { deadline, is_abandoned, state });
        (slot.clone(), Answer { slot, is_expected: waker.is_some(), is_taken: false })
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Gives the answer; gives it back if nobody waits any more.
    pub(crate) fn answer(&self, answer: T) -> Result<(), T> {
        if let Some(waker) = self.put(answer)? {
            waker.wake();
        }
        Ok(())
    }

    /// The same, and whoever calls wakes the asker.
    pub(crate) fn put(&self, answer: T) -> Result<Option<Waker>, T> {
        let mut state = self.state.lock();
        if !matches!(*state, State::Waiting { .. }) {
            return Err(answer);
        }
        match std::mem::replace(&mut *state, State::Answered(answer)) {
            State::Waiting { asker, .. } => Ok(asker),
            State::Answered(_) | State::Taken | State::Abandoned => Ok(None),
        }
    }
}

impl<T: Send> Abandonment for Slot<T> {
    fn is_abandoned(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
    }

    fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.state.lock() {
            State::Waiting { answerers, .. } => {
                if !answerers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    answerers.push(cx.waker().clone());
                }
                Poll::Pending
            }
            State::Abandoned => Poll::Ready(()),
            State::Answered(_) | State::Taken => Poll::Pending,
        }
    }
}

/// The future of an answer. Dropping it abandons the slot.
pub(crate) struct Answer<T> {
    slot: Arc<Slot<T>>,
    /// The slot has the waker of the next poll already.
    is_expected: bool,
    is_taken: bool,
}

impl<T> Future for Answer<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if std::mem::take(&mut self.is_expected) {
            return Poll::Pending;
        }
        let this = &mut *self;
        let mut state = this.slot.state.lock();
        match &mut *state {
            State::Waiting { asker, .. } => {
                match asker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *asker = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
            State::Answered(_) => {}
            State::Taken | State::Abandoned => return Poll::Pending,
        }
        this.is_taken = true;
        match std::mem::replace(&mut *state, State::Taken) {
            State::Answered(answer) => Poll::Ready(answer),
            _ => Poll::Pending,
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut state = self.slot.state.lock();
        let State::Waiting { answerers, .. } = &mut *state else { return };
        let answerers = std::mem::take(answerers);
        *state = State::Abandoned;
        self.slot.is_abandoned.store(true, Ordering::Relaxed);
        drop(state);
        answerers.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_arrives_once() {
        let (slot, answer) = Slot::new();
        assert_eq!(slot.answer(7), Ok(()));
        assert_eq!(slot.answer(8), Err(8));
        assert_eq!(answer.await, 7);
        assert!(!slot.is_abandoned());
    }

    #[tokio::test]
    async fn dropping_the_future_abandons_the_slot() {
        let (slot, answer) = Slot::<u8>::new();
        let seen = slot.clone();
        let watcher = tokio::spawn(std::future::poll_fn(move |cx| seen.poll_abandoned(cx)));
        drop(answer);
        watcher.await.expect("abandoned is seen");
        assert!(slot.is_abandoned());
        assert_eq!(slot.answer(1), Err(1));
    }
}
