//! Whether this node may run what it hosts: as a member of a cluster it may only while it knows that nobody takes over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::sync::Mutex;

/// The time on a clock that also counts while the machine sleeps, since some moment.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Until when grains may run here. It is moved ahead again and again, as long as the node is confirmed as a member.
pub(crate) struct Hosting {
    clock: Clock,
    /// In nanoseconds of the clock; [`OVER`] once it is never moved ahead again.
    until: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// Who stands still.
#[derive(Default)]
struct Waiting {
    wakers: Vec<Waker>,
    /// How often all were woken.
    round: u64,
}

const OVER: u64 = u64::MAX;

/// What a grain may do at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    Run,
    /// Nobody knows who hosts it: it stands still until that is known.
    Wait,
    /// It lives elsewhere, or may.
    End,
}

impl Hosting {
    /// Not before the first [`extend`](Self::extend).
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self { clock, until: AtomicU64::new(0), waiting: Mutex::default() })
    }

    pub(crate) fn now(&self) -> Duration {
        (self.clock)()
    }

    pub(crate) fn may(&self) -> May {
        match self.until.load(Ordering::Acquire) {
            OVER => May::End,
            until if nanos(self.now()) < until => May::Run,
            _ => May::Wait,
        }
    }

    /// Grains may run until then, unless it is over.
    pub(crate) fn extend(&self, until: Duration) {
        let until = nanos(until).min(OVER - 1);
        let extend = |before| (before != OVER && before < until).then_some(until);
        let _ = self.until.fetch_update(Ordering::AcqRel, Ordering::Acquire, extend);
        self.wake();
    }

    /// Nothing that is hosted here runs any more.
    pub(crate) fn end(&self) {
        self.until.store(OVER, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        let mut waiting = self.waiting.lock();
        waiting.round += 1;
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Pending while it is not known whether grains may run. `joined` says in which round the task has begun to wait: it
    /// has its waker here once, however often it is polled.
    fn poll_may(&self, joined: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<May> {
        match self.may() {
            May::Wait => {}
            may => return Poll::Ready(may),
        }
        let mut waiting = self.waiting.lock();
        if *joined != Some(waiting.round) {
            *joined = Some(waiting.round);
            waiting.wakers.push(cx.waker().clone());
        }
        drop(waiting);
        // It may have been moved ahead before that.
        match self.may() {
            May::Wait => Poll::Pending,
            may => Poll::Ready(may),
        }
    }

    /// Runs code of a grain, as long as grains may run: it stands still where that is not known, and is dropped where it is
    /// over.
    pub(crate) fn run<F: Future<Output = ()>>(self: Arc<Self>, code: F) -> Run<F> {
        Run { hosting: self, joined: None, code: Box::pin(code) }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(OVER - 1)
}

/// See [`Hosting::run`].
pub(crate) struct Run<F> {
    hosting: Arc<Hosting>,
    joined: Option<u64>,
    code: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Run<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { hosting, joined, code } = &mut *self;
        match std::task::ready!(hosting.poll_may(joined, cx)) {
            May::End => Poll::Ready(()),
            _ => code.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn code_stands_still_while_it_is_not_known_and_is_dropped_when_it_is_over() {
        let time = Arc::new(AtomicU64::new(5));
        let at = time.clone();
        let clock: Clock = Arc::new(move || Duration::from_nanos(at.load(Ordering::Relaxed)));
        let (hosting, polls) = (Hosting::new(clock), Arc::new(AtomicU64::new(0)));
        let counted = polls.clone();
        let code = std::future::poll_fn(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Poll::<()>::Pending
        });
        let mut run = Box::pin(hosting.clone().run(code));
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut poll = || run.as_mut().poll(&mut Context::from_waker(&waker));
        for _ in 0..3 {
            assert_eq!((poll(), polls.load(Ordering::Relaxed)), (Poll::Pending, 0));
        }
        assert_eq!(hosting.waiting.lock().wakers.len(), 1, "once, however often it is polled");
        hosting.extend(Duration::from_nanos(10));
        assert!(woken.0.load(Ordering::Relaxed));
        assert_eq!((poll(), polls.load(Ordering::Relaxed)), (Poll::Pending, 1));
        hosting.extend(Duration::from_nanos(7));
        time.store(9, Ordering::Relaxed);
        assert_eq!((poll(), polls.load(Ordering::Relaxed)), (Poll::Pending, 2), "never shortened");
        time.store(10, Ordering::Relaxed);
        assert_eq!((poll(), polls.load(Ordering::Relaxed)), (Poll::Pending, 2));
        hosting.end();
        hosting.extend(Duration::from_secs(1));
        assert_eq!((poll(), polls.load(Ordering::Relaxed)), (Poll::Ready(()), 2));
        drop(run);
        assert_eq!(Arc::strong_count(&polls), 1);
    }
}
