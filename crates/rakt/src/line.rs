//! A FIFO wait queue: tasks that wait for something that a lock protects.
//!
//! A [`Line`] lies under that lock. A task that has to wait gives its waker and what it needs, and gets a
//! ticket; whoever changes something takes out the wakers of those that may go on, and wakes them once the
//! lock is let go. A task that is woken and still has to wait stands where it stood before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

/// Tasks that wait, in the order in which they came; each says what it needs.
pub(crate) struct Line<N> {
    /// By ticket, the lowest first.
    waiters: VecDeque<Waiter<N>>,
}

struct Waiter<N> {
    ticket: u64,
    waker: Waker,
    need: N,
}

impl<N> Default for Line<N> {
    fn default() -> Self {
        Self { waiters: VecDeque::new() }
    }
}

impl<N> Line<N> {
    /// Notes a task, which keeps its place if it has one.
    pub(crate) fn wait(&mut self, ticket: &mut Option<u64>, waker: &Waker, need: N) {
        // Never given twice: a task may come back with its ticket to a line that is another by then, and
        // would take the place of somebody else in it.
        static TICKETS: AtomicU64 = AtomicU64::new(0);
        let ticket = *ticket.get_or_insert_with(|| TICKETS.fetch_add(1, Ordering::Relaxed));
        match self.find(ticket) {
            Ok(at) => {
                self.waiters[at].waker.clone_from(waker);
                self.waiters[at].need = need;
            }
            Err(at) => self.waiters.insert(at, Waiter { ticket, waker: waker.clone(), need }),
        }
    }

    /// A task does not wait any more.
    pub(crate) fn leave(&mut self, ticket: u64) {
        if let Ok(at) = self.find(ticket) {
            self.waiters.remove(at);
        }
    }

    /// Takes out all that wait for something that is there now. They are to be woken once no lock is held.
    #[must_use]
    pub(crate) fn wake(&mut self, may_go_on: impl Fn(&N) -> bool) -> Vec<Waker> {
        let mut woken = Vec::new();
        if self.waiters.is_empty() {
            return woken;
        }
        self.waiters.retain_mut(|waiter| {
            let stays = !may_go_on(&waiter.need);
            if !stays {
                woken.push(std::mem::replace(&mut waiter.waker, Waker::noop().clone()));
            }
            stays
        });
        woken
    }

    /// Takes out who came first, with its ticket.
    pub(crate) fn pop_first(&mut self) -> Option<(u64, Waker)> {
        self.waiters.pop_front().map(|waiter| (waiter.ticket, waiter.waker))
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn find(&self, ticket: u64) -> Result<usize, usize> {
        self.waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;
    use crate::sync::Mutex;

    #[derive(Default)]
    struct Names(Mutex<Vec<&'static str>>);

    struct Named(&'static str, Arc<Names>);

    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.0.lock().push(self.0);
        }
    }

    fn woken(line: &mut Line<u8>, names: &Names, need: u8) -> Vec<&'static str> {
        line.wake(|known| *known == need).into_iter().for_each(Waker::wake);
        std::mem::take(&mut names.0.lock())
    }

    #[test]
    fn who_comes_first_is_woken_first_and_keeps_its_place() {
        let names = Arc::<Names>::default();
        let waker = |name| Waker::from(Arc::new(Named(name, names.clone())));
        let (mut line, mut first, mut second) = (Line::default(), None, None);
        line.wait(&mut first, &waker("first"), 1);
        line.wait(&mut second, &waker("second"), 1);
        line.wait(&mut None, &waker("other"), 2);
        line.wait(&mut first, &waker("first again"), 1);
        assert_eq!(woken(&mut line, &names, 1), ["first again", "second"]);
        // Both were in vain: the second one is quicker, and yet behind.
        line.wait(&mut second, &waker("second"), 1);
        line.wait(&mut first, &waker("first"), 1);
        assert_eq!(woken(&mut line, &names, 1), ["first", "second"]);
        assert!(!line.is_empty());
        assert_eq!(woken(&mut line, &names, 2), ["other"]);
        assert!(line.is_empty());
    }
}
