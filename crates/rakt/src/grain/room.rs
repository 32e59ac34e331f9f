//! Room for one more living grain: one that is idle makes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Grain;
use super::place::Kind;
use crate::signal::{Signal, Signalled};
use crate::timers::now;

/// So many living grains are looked at for one that can end in favour of another.
const LOOKED_AT: usize = 64;

/// How long somebody waits for a grain to end before another one is asked to; twice as long each time, up to a second, as
/// many may wait.
const PATIENCE: Duration = Duration::from_millis(20);

/// Room for one more, which others make where there is none.
pub(super) async fn room<G: Grain>(kind: Arc<Kind<G>>) -> OwnedSemaphorePermit {
    let mut free = std::pin::pin!(kind.room.clone().acquire_owned());
    let mut patience = PATIENCE;
    loop {
        make_room(&kind);
        if let Ok(permit) = tokio::time::timeout(patience, &mut free).await {
            return permit.expect("it is never closed");
        }
        patience = Duration::from_secs(1).min(2 * patience);
    }
}

/// Has one end that is idle: of some the one that is idle longest.
pub(super) fn make_room<G: Grain>(kind: &Kind<G>) {
    let now = now();
    let candidates = kind.places.next_few(LOOKED_AT);
    let resting = candidates.iter().filter_map(|place| {
        let cell = place.living()?;
        Some((cell.rested_for(now)?, cell))
    });
    if let Some((_, cell)) = resting.max_by_key(|(rested, _)| *rested) {
        cell.signal(Signal::Passivate);
    }
}
