//! Room for one more living grain: those that are idle make it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Grain;
use super::place::Kind;
use crate::signal::{Signal, Signalled};
use crate::system::core::ActorSystem;
use crate::timers::now;

/// So many living grains are looked at for those that can end in favour of others.
const LOOKED_AT: usize = 64;

/// How long those that were told to end have for it before others are, and how long to wait where all were busy, at first
/// and at most.
const ENDING: Duration = Duration::from_millis(5);
const BUSY: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// Room for one more, which others make where there is none.
pub(super) async fn room<G: Grain>(
    kind: Arc<Kind<G>>,
    system: ActorSystem,
) -> OwnedSemaphorePermit {
    let _waiting = Waiting::begin(&kind);
    kind.is_asked.notify_one();
    if !kind.is_making_room.swap(true, Ordering::AcqRel) {
        system.runtime().spawn(make_for_all(kind.clone()));
    }
    kind.room.clone().acquire_owned().await.expect("it is never closed")
}

/// Somebody who waits.
struct Waiting<'a, G: Grain>(&'a Kind<G>);

impl<'a, G: Grain> Waiting<'a, G> {
    fn begin(kind: &'a Kind<G>) -> Self {
        kind.waiting.fetch_add(1, Ordering::AcqRel);
        Self(kind)
    }
}

impl<G: Grain> Drop for Waiting<'_, G> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Makes room as long as anybody waits: one task, however many those are.
async fn make_for_all<G: Grain>(kind: Arc<Kind<G>>) {
    let mut busy = BUSY[0];
    loop {
        let waiting = kind.waiting.load(Ordering::Acquire);
        if waiting == 0 {
            kind.is_making_room.store(false, Ordering::Release);
            // Somebody may have begun to wait, and relied on this.
            let is_needed = kind.waiting.load(Ordering::Acquire) > 0;
            if !is_needed || kind.is_making_room.swap(true, Ordering::AcqRel) {
                return;
            }
            continue;
        }
        match make_room(&kind, waiting) {
            0 => {
                tokio::time::sleep(busy).await;
                busy = BUSY[1].min(2 * busy);
            }
            _ => {
                busy = BUSY[0];
                // Or somebody else comes, for whom nobody was told to end yet.
                let _ = tokio::time::timeout(ENDING, kind.is_asked.notified()).await;
            }
        }
    }
}

/// Has so many end that are idle: of some, those that are idle longest. Returns how many there were.
pub(super) fn make_room<G: Grain>(kind: &Kind<G>, most: usize) -> usize {
    let now = now();
    let candidates = kind.places.next_few(LOOKED_AT);
    let resting = candidates.iter().filter_map(|place| {
        let cell = place.living()?;
        Some((cell.rested_for(now)?, cell))
    });
    let mut resting: Vec<_> = resting.collect();
    resting.sort_by_key(|(rested, _)| std::cmp::Reverse(*rested));
    resting.truncate(most);
    for (_, cell) in &resting {
        cell.signal(Signal::Passivate);
    }
    resting.len()
}
