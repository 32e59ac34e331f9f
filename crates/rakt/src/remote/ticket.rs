//! The place of a task in the wait line of a host that others share.

use std::sync::Arc;
use std::task::Waker;

use crate::line::Line;

/// What has a line to wait in.
pub(crate) trait HasLine {
    /// A task does not wait any more.
    fn leave(&self, ticket: u64);
}

/// The place of a task in a line. Dropping it leaves the line.
pub(crate) struct Ticket<H: HasLine>(Option<(Arc<H>, u64)>);

impl<H: HasLine> Default for Ticket<H> {
    fn default() -> Self {
        Self(None)
    }
}

impl<H: HasLine> Ticket<H> {
    /// Stands in `line`, which is the one of `host`. One that stood in the line of another host must have
    /// been woken there.
    pub(crate) fn wait<N>(&mut self, host: &Arc<H>, line: &mut Line<N>, waker: &Waker, need: N) {
        let held = self.0.take().filter(|(known, _)| Arc::ptr_eq(known, host));
        let (host, mut ticket) = match held {
            Some((host, ticket)) => (host, Some(ticket)),
            None => (host.clone(), None),
        };
        line.wait(&mut ticket, waker, need);
        self.0 = ticket.map(|ticket| (host, ticket));
    }
}

impl<H: HasLine> Drop for Ticket<H> {
    fn drop(&mut self) {
        if let Some((host, ticket)) = self.0.take() {
            host.leave(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    #[derive(Default)]
    struct Host(Mutex<Line<u8>>);

    impl HasLine for Host {
        fn leave(&self, ticket: u64) {
            self.0.lock().leave(ticket);
        }
    }

    #[test]
    fn a_ticket_that_is_dropped_leaves_the_line() {
        let host = Arc::<Host>::default();
        let (mut ticket, mut other) = (Ticket::default(), Ticket::default());
        for _ in 0..2 {
            ticket.wait(&host, &mut host.0.lock(), Waker::noop(), 1);
            other.wait(&host, &mut host.0.lock(), Waker::noop(), 1);
        }
        assert_eq!(host.0.lock().len(), 2);
        drop(ticket);
        assert_eq!(host.0.lock().len(), 1);
        drop(other);
        assert!(host.0.lock().is_empty());
    }

    #[test]
    fn a_ticket_of_another_line_is_worth_nothing() {
        let (host, next) = (Arc::<Host>::default(), Arc::<Host>::default());
        let mut ticket = Ticket::default();
        ticket.wait(&host, &mut host.0.lock(), Waker::noop(), 1);
        drop(host.0.lock().wake(|_| true));
        ticket.wait(&next, &mut next.0.lock(), Waker::noop(), 1);
        drop(ticket);
        assert!(next.0.lock().is_empty());
    }
}
