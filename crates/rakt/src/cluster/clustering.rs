//! What a node does for the grains and names of its system.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rakt_cluster::directory::Grain;
use rakt_cluster::participant::Found;

use super::config::NAME;
use super::node::{Named, Node, Progress, end_ear};
use crate::error::{Cause, Chain, Refusal};
use crate::grain::{Epoch, GrainId};
use crate::hosting::May;
use crate::reference::AnyCell;
use crate::system::core::{
    Activating, Claiming, Clustering, Finding, Locating, Refused, Token, Unclaimed, Whereabouts,
};

pub(super) fn to_core(epoch: Epoch) -> rakt_cluster::Epoch {
    let stamp = rakt_cluster::Stamp { generation: epoch.generation, version: epoch.view };
    rakt_cluster::Epoch { stamp, counter: epoch.counter }
}

pub(super) fn grain_of(id: &GrainId) -> Grain {
    Grain::new(id.kind(), id.key())
}

/// Something is passed on to other nodes.
struct PassingOn(Arc<Node>);

impl Drop for PassingOn {
    fn drop(&mut self) {
        self.0.tell(|participant, now| participant.end_passing_on(now));
    }
}

impl Clustering for Node {
    fn may(&self) -> May {
        self.hosting().may()
    }

    fn find(self: Arc<Self>, grain: &GrainId, refused: Option<Refused>) -> Finding {
        let (grain, path) = (grain_of(grain), grain.path());
        Box::pin(async move {
            if self.progress.borrow().is_over() {
                return Err(Refusal::ShuttingDown);
            }
            let found = self.clone().search(grain.clone(), refused, true).await;
            if found == Found::Alone {
                self.begin_alone(&grain);
                return Ok(Whereabouts::Here);
            }
            // Nobody is no answer to that.
            self.whereabouts(&path, found)?.ok_or(Refusal::NotFound)
        })
    }

    fn until_hosting(self: Arc<Self>) -> Activating {
        Box::pin(async move {
            let mut progress = self.progress.subscribe();
            let hosts = |progress: &Progress| self.now() < progress.hosts_until;
            let waited = progress.wait_for(|progress| progress.is_over() || hosts(progress)).await;
            match waited {
                Ok(progress) if !progress.is_over() => Ok(()),
                _ => Err(Refusal::ShuttingDown),
            }
        })
    }

    fn look(self: Arc<Self>, grain: &GrainId) -> Locating {
        let (grain, path) = (grain_of(grain), grain.path());
        Box::pin(async move {
            let found = self.clone().search(grain, None, false).await;
            self.whereabouts(&path, found)
        })
    }

    fn is_gone(&self, run: [u8; 16]) -> bool {
        !self.living.lock().contains(&run)
    }

    fn passing_on(self: Arc<Self>) -> Token {
        self.tell(|participant, _| {
            participant.begin_passing_on();
            Vec::new()
        });
        Arc::new(PassingOn(self))
    }

    fn started(&self, grain: &GrainId, epoch: Epoch, uid: u64) {
        let (grain, epoch) = (grain_of(grain), to_core(epoch));
        self.tell(|participant, now| participant.started(&grain, epoch, uid, now));
    }

    fn failed(&self, grain: &GrainId, epoch: Epoch, why: &Cause) {
        let (grain, epoch, why) = (grain_of(grain), to_core(epoch), Chain(why).to_string());
        self.tell(|participant, _| {
            participant.failed(&grain, epoch, why);
            Vec::new()
        });
    }

    fn ended(&self, grain: &GrainId, epoch: Epoch) {
        let (grain, epoch) = (grain_of(grain), to_core(epoch));
        self.tell(|participant, now| participant.finished(&grain, epoch, now));
    }

    fn superseded(&self, by: Epoch) {
        self.tell(|participant, now| {
            participant.superseded(to_core(by).stamp);
            participant.poll(now)
        });
    }

    fn is_owner(&self, grain: &GrainId) -> bool {
        let state = self.state.lock();
        state.participant.is_owner(&grain_of(grain), self.now())
    }

    fn claim(self: Arc<Self>, name: &str, actor: Arc<dyn AnyCell>) -> Claiming {
        let grain = Grain::new(NAME, name);
        Box::pin(async move {
            let uid = actor.uid();
            {
                let mut state = self.state.lock();
                if state.names.contains_key(&grain.key) {
                    return Err(Unclaimed::Taken(None));
                }
                let named = Named { actor: actor.clone(), granted: None };
                state.names.insert(grain.key.clone(), named);
            }
            // From here on it is given back whatever comes.
            let watched = self.clone().look_after_named(grain.clone(), actor);
            self.runtime.spawn(watched);
            let limit = self.system().ok_or(Refusal::ShuttingDown)?.ask_timeout();
            let found = self.clone().search(grain.clone(), None, true);
            let found = tokio::time::timeout(limit, found).await;
            match found.map_err(|_| Unclaimed::Late(limit))? {
                Found::Here { .. } => {
                    let state = self.state.lock();
                    let named = state.names.get(&grain.key);
                    let granted = named.filter(|named| named.actor.uid() == uid);
                    let granted = granted.and_then(|named| named.granted.as_ref());
                    granted.map(|(_, hosting)| hosting.clone()).ok_or(Unclaimed::Taken(None))
                }
                found => match self.whereabouts(&grain.key, found)? {
                    Some(Whereabouts::There(found)) => Err(Unclaimed::Taken(Some(found.address()))),
                    _ => Err(Refusal::NotFound.into()),
                },
            }
        })
    }

    fn needs(&self, uid: u64) -> bool {
        self.needed.lock().contains(&uid)
    }

    fn leave(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.is_leaving.store(true, Ordering::Relaxed);
            self.tell(|participant, now| {
                participant.leave();
                participant.poll(now)
            });
            let mut progress = self.progress.subscribe();
            tokio::select! {
                _ = progress.wait_for(|progress| progress.has_left) => {}
                () = self.leave_unheard() => {}
            }
        })
    }

    fn stop(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let stop = |progress: &mut Progress| !std::mem::replace(&mut progress.is_stopped, true);
            if !self.progress.send_if_modified(stop) {
                return;
            }
            self.kick.notify_one();
            self.register.stop().await;
            if let Some(system) = self.system() {
                end_ear(&system).await;
            }
        })
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
