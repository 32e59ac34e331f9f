//! Tasks that want to hear when a peer gives up on a request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::task::Waker;

/// The tasks, by the number of the request. A peer may have tens of thousands of requests that wait in as
/// many handlers, and give up on them one by one: none is looked for among the others.
#[derive(Default)]
pub(crate) struct CancelWakers(HashMap<u64, Tasks>);

/// The first task, and the others, of which there are seldom any.
type Tasks = (Waker, Vec<Waker>);

/// Room for this many is not worth giving back.
const FEW: usize = 64;

impl CancelWakers {
    /// Adds a task, unless it is there.
    pub(crate) fn add(&mut self, request: u64, waker: &Waker) {
        match self.0.entry(request) {
            Entry::Vacant(free) => {
                free.insert((waker.clone(), Vec::new()));
            }
            Entry::Occupied(mut taken) => {
                let (first, others) = taken.get_mut();
                let mut known = std::iter::once(&*first).chain(others.iter());
                if !known.any(|known| known.will_wake(waker)) {
                    others.push(waker.clone());
                }
            }
        }
    }

    /// Takes out the tasks of a request.
    pub(crate) fn take(&mut self, request: u64) -> impl Iterator<Item = Waker> + use<> {
        let tasks = if self.0.is_empty() { None } else { self.0.remove(&request) };
        if self.0.is_empty() && self.0.capacity() > FEW {
            self.0 = HashMap::new();
        }
        each(tasks)
    }

    /// Takes out all of them, with their room.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        each(std::mem::take(&mut self.0).into_values())
    }
}

fn each(tasks: impl IntoIterator<Item = Tasks>) -> impl Iterator<Item = Waker> {
    tasks.into_iter().flat_map(|(first, others)| std::iter::once(first).chain(others))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it is woken. Another one is another task.
    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_waits_for_a_request_is_found_by_its_number_and_once() {
        let tasks: [Arc<Counting>; 3] = Default::default();
        let mut wakers = CancelWakers::default();
        for (request, at) in [(1, 0), (1, 0), (1, 1), (2, 2)] {
            wakers.add(request, &tasks[at].clone().into());
        }
        wakers.take(1).for_each(Waker::wake);
        assert_eq!(wakers.take(1).chain(wakers.take(3)).count(), 0);
        let woken = || tasks.each_ref().map(|task| task.0.load(Ordering::Relaxed));
        assert_eq!(woken(), [1, 1, 0]);
        wakers.take_all().for_each(Waker::wake);
        assert_eq!((woken(), wakers.0.capacity()), ([1, 1, 1], 0));
    }
}
