//! Lives of grains that the cluster does not know of: of kinds that are available while their node is cut off.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rakt_cluster::directory::Grain;
use rakt_cluster::participant::Found;
use tokio::task::JoinSet;

use super::clustering::{grain_of, to_core};
use super::grains::ENDING;
use super::node::Node;
use crate::events::StopReason;
use crate::grain::Epoch;
use crate::hosting::May;
use crate::reference::ended;
use crate::signal::Signal;
use crate::system::core::{Clustering, GrainLife, Granted};

impl Node {
    /// Brings a grain to life that nobody has granted, unless it lives here.
    pub(super) fn begin_alone(&self, grain: &Grain) {
        let Some(system) = self.system() else { return };
        let Some(host) = system.0.grains.get(&*grain.kind).cloned() else { return };
        let (key, epoch, hosting) = (grain.key.clone(), Epoch::default(), self.hosting());
        host.admit(&system, Granted { key, epoch, hosting });
        // It may have been decided before, and come after all others were told to end.
        if self.may() == May::Run {
            self.end_strays();
        }
    }

    /// The node has a lease again: what lives here that the cluster does not know of ends, some at a time.
    pub(super) fn end_strays(&self) {
        let (Some(node), Some(system)) = (self.me.upgrade(), self.system()) else { return };
        if self.is_leaving.load(Ordering::Relaxed) {
            return;
        }
        let kinds = system.0.grains.values().filter(|host| host.are_available());
        let mut lives: Vec<GrainLife> = kinds.flat_map(|host| host.lives()).collect();
        if lives.is_empty() {
            return;
        }
        // Looked at last: what was granted since is none of those.
        let granted: HashSet<_> = {
            let state = self.state.lock();
            state.participant.granted().map(|life| (life.grain, life.epoch)).collect()
        };
        lives.retain(|(id, epoch, _)| !granted.contains(&(grain_of(id), to_core(*epoch))));
        self.runtime.spawn(async move {
            let mut ending = JoinSet::new();
            for stray in lives {
                if ending.len() >= ENDING {
                    ending.join_next().await;
                }
                ending.spawn(node.clone().end_stray(stray));
            }
            ending.join_all().await;
        });
    }

    /// It serves on until it is known whether another life is to go on in its place.
    async fn end_stray(self: Arc<Self>, (id, living, cell): GrainLife) {
        let (Some(system), grain) = (self.system(), grain_of(&id)) else { return };
        let found = self.clone().search(grain.clone(), None, false);
        let found = tokio::time::timeout(system.ask_timeout(), found).await;
        // Cut off again: it is looked at anew after that.
        if self.may() != May::Run || cell.has_ended() {
            return;
        }
        if let Ok(Found::There { epoch, .. }) = found {
            self.stray(&system, &grain, epoch, living);
        }
        drop(system);
        cell.signal(Signal::Stop { finish: true, reason: StopReason::Stopped });
        ended(&*cell).await;
    }
}
